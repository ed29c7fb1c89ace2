"""The same program in every language that can be run: it says 42."""

from __future__ import annotations

SOURCES = {
    "python": "print(6 * 7)",
    "javascript": "console.log(6 * 7)",
    "bash": "echo $((6 * 7))",
    "c": '#include <stdio.h>\nint main(void) { printf("%d\\n", 6 * 7); }',
    "cpp": "#include <iostream>\nint main() { std::cout << 6 * 7 << std::endl; }",
    "go": 'package main\nimport "fmt"\nfunc main() { fmt.Println(6 * 7) }',
    "rust": 'fn main() { println!("{}", 6 * 7); }',
    "java": "class Main { public static void main(String[] a) { System.out.println(6 * 7); } }",
}
