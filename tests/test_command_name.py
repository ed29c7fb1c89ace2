"""What a command is called where nobody names it."""

from __future__ import annotations

import pytest

from otel_codomon.sandbox.command_name import default_name


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["make", "-j", "all"], "make"),
        (["/usr/local/bin/python3.12", "/srv/jobs/nightly.py"], "python3.12 nightly.py"),
        (["python", "-u", "-W", "error", "-X", "dev", "job.py", "-c"], "python job.py"),
        (["python", "-m", "http.server", "8000"], "python -m http.server"),
        (["python", "-m"], "python -m"),
        (["python", "-c", "print('a secret')"], "python"),
        (["python", "-Bc", "print()"], "python"),
        (["python", "-"], "python"),
        (["python"], "python"),
        (["python", "--", "-odd.py"], "python -odd.py"),
        (["python", "/tmp/tmpa1b2c3.py"], "python"),  # noqa: S108 - nothing is written there
        (["python", "/scratch/x1.py"], "python"),
        (["python", "/scratchy/x1.py"], "python x1.py"),
        (["bash", "-eu", "-o", "pipefail", "deploy.sh"], "bash deploy.sh"),
        (["sh", "-ec", "echo a/secret"], "sh"),
        (["sh", "-ce", "echo a/secret"], "sh"),
        (["node", "--require", "./trace.js", "server.js"], "node server.js"),
        (["node", "-e", "1"], "node"),
        (["perl", "-I", "lib", "run.pl"], "perl run.pl"),
        (["php", "-r", "echo 1;"], "php"),
        (["grep", "-c", "job.py"], "grep"),
    ],
)
def test_the_name_is_the_program_and_its_script(words: list[str], name: str) -> None:
    assert default_name(words, temporary="/scratch") == name
