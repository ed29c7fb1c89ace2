"""Every exception that is raised on purpose.

Wording: cannot *do what, to which value*: *what was found*; *what to do*.
"""

from __future__ import annotations


class CodomonError(Exception):
    """Base of everything this package raises on purpose."""


class InvalidArgumentError(CodomonError, ValueError):
    """An argument, an option or an environment variable cannot mean anything.

    Attributes:
        argument: Name of the argument, option or variable.
    """

    def __init__(self, argument: str, message: str) -> None:
        self.argument = argument
        super().__init__(message)


class UnknownExecutionError(CodomonError, LookupError):
    """No execution of this id runs here or is in the journal.

    Attributes:
        execution_id: The id that was asked for.
        looked_in: Where it was looked for: a journal's folder, or this process.
    """

    def __init__(self, execution_id: str, looked_in: str) -> None:
        self.execution_id = execution_id
        self.looked_in = looked_in
        super().__init__(
            f"cannot find execution {execution_id!r}: it neither runs in this process nor is in "
            f"{looked_in}; list what there is with `otel-codomon list`"
        )


class JournalUnavailableError(CodomonError, OSError):
    """There is no folder that the journal may use.

    Attributes:
        folder: The folder that was tried.
        found: What is wrong with it.
    """

    def __init__(self, folder: str, found: str) -> None:
        self.folder = folder
        self.found = found
        super().__init__(
            f"cannot keep a journal in {folder}: {found}; name a folder of your own in "
            "OTEL_PYTHON_CODOMON_JOURNAL, or say off there"
        )
