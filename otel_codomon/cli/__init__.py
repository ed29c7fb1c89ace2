"""The command line: prints what the operations return."""
