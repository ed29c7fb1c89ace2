"""What is configured, and by what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_codomon._platform.scrubbing import is_secret_name, scrub, secret_values
from otel_codomon.doctor.checks.result import CheckResult, State
from otel_codomon.errors import InvalidArgumentError
from otel_codomon.settings import OPTIONS, read_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otel_codomon.doctor.checks.result import Scene

CATEGORY: Final = "configuration"
# Values that hold tokens, though their names do not promise it.
_SECRET: Final = ("HEADERS", "KEY", "CREDENTIAL")
_LONGEST: Final = 200  # characters


def check(scene: Scene) -> Iterator[CheckResult]:
    """Each setting of ours with its origin, and each standard variable that is set."""
    for option in OPTIONS:
        yield _setting(option.name, option.variable, scene)
    ours = {option.variable for option in OPTIONS}
    for name in sorted(scene.environ):
        if name.startswith("OTEL_") and name not in ours:
            yield CheckResult(
                category=CATEGORY, name=name, state=State.OK, detail=_shown(name, scene.environ)
            )


def _setting(name: str, variable: str, scene: Scene) -> CheckResult:
    alone = {variable: scene.environ[variable]} if variable in scene.environ else {}
    home = {key: scene.environ[key] for key in ("XDG_STATE_HOME",) if key in scene.environ}
    try:
        setting = read_settings({}, {**home, **alone})[name]
    except InvalidArgumentError as error:
        return CheckResult(category=CATEGORY, name=name, state=State.FAILURE, detail=str(error))
    value = (
        ", ".join(sorted(setting.value)) or "nothing"
        if isinstance(setting.value, frozenset)
        else setting.value
    )
    return CheckResult(
        category=CATEGORY,
        name=name,
        state=State.OK,
        detail=f"{value} (from {_origin(setting.origin)})",
        is_detail=setting.origin == "default",
    )


def _origin(origin: str) -> str:
    return "the default" if origin == "default" else origin


def _shown(name: str, environ: Mapping[str, str]) -> str:
    value = environ[name]
    if is_secret_name(name) or any(word in name for word in _SECRET):
        return f"set, {len(value)} characters"
    return scrub(value, secret_values(environ), limit=_LONGEST)
