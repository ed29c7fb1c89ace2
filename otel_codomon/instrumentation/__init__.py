"""Zero-code instrumentation: the instrumentor and the table of what it switches on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.instrumentation.instrumentor import (  # type: ignore[attr-defined] # untyped
    BaseInstrumentor,
)

from otel_codomon._platform.refused_values import shown
from otel_codomon.errors import InvalidArgumentError
from otel_codomon.instrumentation import observed_processes
from otel_codomon.instrumentation.observed_processes import ProcessOptions
from otel_codomon.instrumentation.targets import TARGETS
from otel_codomon.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Collection


class CodomonInstrumentor(BaseInstrumentor):  # type: ignore[misc] # as above
    """Observes executions in programs that nobody changes.

    `opentelemetry-instrument` finds it by its entry point. Called by hand::

        CodomonInstrumentor().instrument(tracer_provider=provider)
    """

    def instrumentation_dependencies(self) -> Collection[str]:
        """Nothing: what it hooks is part of this package."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:
        """Switch targets on; one that fails leaves none on.

        Args:
            **kwargs: ``tracer_provider`` and ``meter_provider`` of the API;
                the global ones where they are not given. ``instrument``, names
                of what is observed, and ``exclude``, globs of programs that
                are not: the variables ``OTEL_PYTHON_CODOMON_INSTRUMENT`` and
                ``OTEL_PYTHON_CODOMON_EXCLUDED_PROGRAMS`` where they are not
                given. ``request_hook(span, args)`` and
                ``response_hook(span, args, returncode)`` are called before a
                process is started and at its end; *returncode* is None where
                it is not known.

        Raises:
            InvalidArgumentError: One of them cannot mean anything.
        """
        for argument, method in (
            ("tracer_provider", "get_tracer"),
            ("meter_provider", "get_meter"),
        ):
            _check_provider(argument, kwargs.get(argument), method)
        for argument in ("request_hook", "response_hook"):
            _check_hook(argument, kwargs.get(argument))
        settings = read_settings({name: kwargs.get(name) for name in ("instrument", "exclude")})
        observed_processes.choose(
            ProcessOptions(
                settings["exclude"].value, kwargs.get("request_hook"), kwargs.get("response_hook")
            )
        )
        on = []
        try:
            for target in TARGETS:
                if target.is_chosen and target.name not in settings["instrument"].value:
                    continue
                target.enable(kwargs.get("tracer_provider"), kwargs.get("meter_provider"))
                on.append(target)
        except Exception:
            for target in reversed(on):
                target.disable()
            observed_processes.stop()
            raise

    def _uninstrument(self, **_kwargs: Any) -> None:
        """Switch every target off, the last one first."""
        for target in reversed(TARGETS):
            target.disable()
        observed_processes.stop()


def _check_provider(argument: str, value: object, method: str) -> None:
    if value is not None and not callable(getattr(value, method, None)):
        raise InvalidArgumentError(
            argument,
            f"invalid {argument} {shown(value)}: it has no {method}(); "
            "pass a provider, or leave it out for the global one",
        )


def _check_hook(argument: str, value: object) -> None:
    if value is not None and not callable(value):
        raise InvalidArgumentError(
            argument,
            f"invalid {argument} {shown(value)}: it is not callable; "
            "pass a function, or leave it out",
        )
