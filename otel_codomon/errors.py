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


class NoEventLoopError(CodomonError, RuntimeError):
    """A coroutine of this package is awaited where no event loop of asyncio runs."""

    def __init__(self) -> None:
        super().__init__(
            "cannot wait for a command here: no asyncio event loop is running in this thread; "
            "call run in a thread instead; under trio, with "
            "`await trio.to_thread.run_sync(functools.partial(run, command))`"
        )


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
            f"no execution has the id {execution_id!r} in {looked_in}; "
            "`otel-codomon list` shows what there is"
        )


class AmbiguousExecutionError(CodomonError, LookupError):
    """The beginning of an id fits several executions.

    Attributes:
        beginning: What was given.
        found: Ids of some of those that it fits, the newest first.
    """

    def __init__(self, beginning: str, found: tuple[str, ...]) -> None:
        self.beginning = beginning
        self.found = found
        super().__init__(
            f"{beginning!r} matches several executions: {', '.join(found)}; give more digits"
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
            f"cannot keep a journal in {folder}: {found}; set OTEL_PYTHON_CODOMON_JOURNAL to "
            "a directory of your own, or to off"
        )


class UnknownCacheError(CodomonError, LookupError):
    """No adapter recognises the object that was handed in as a cache.

    Attributes:
        cache_type: Type of the object.
        tried: Names of the adapters that were asked.
    """

    def __init__(self, cache_type: type, tried: tuple[str, ...]) -> None:
        self.cache_type = cache_type
        self.tried = tried
        super().__init__(
            f"cannot read a cache of type {cache_type.__module__}.{cache_type.__qualname__}: "
            f"none of the adapters ({', '.join(tried) or 'none were given'}) recognises it; "
            "pass a CacheAdapter that does, as adapters=(YourAdapter(), *DEFAULT_ADAPTERS), "
            "or observe count_lookups(cache) if it is a mapping that counts nothing itself"
        )


class CacheNameTakenError(CodomonError, ValueError):
    """Two caches of one process cannot have one name.

    Attributes:
        name: The name.
    """

    def __init__(self, name: str, found: str) -> None:
        self.name = name
        super().__init__(
            f"cannot observe a cache as {name!r}: {found}; "
            "tell them apart with a name of your own, as observe_cache(cache, name='...')"
        )
