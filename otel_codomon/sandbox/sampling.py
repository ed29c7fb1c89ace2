"""Whether an execution is sampled, as the SDK's samplers of the standard variables decide it.

For `otel-codomon run`, which starts its command before it could import the SDK.
Imports nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # not from typing: see `otel_codomon.cli`
if TYPE_CHECKING:
    from collections.abc import Mapping

SAMPLED = 0x01
"""The bit of a trace's flags."""

_SAMPLER = "OTEL_TRACES_SAMPLER"
_ARGUMENT = "OTEL_TRACES_SAMPLER_ARG"
_DEFAULT = "parentbased_always_on"
_BY_PARENT = "parentbased_"
_ALWAYS_ON, _ALWAYS_OFF, _RATIO = "always_on", "always_off", "traceidratio"
_LOW_BITS = (1 << 64) - 1  # a 64-bit trace id is decided alike


def is_sampled(trace_id: str, parent_flags: str | None, environ: Mapping[str, str]) -> bool:
    """Whether an execution of this trace is to be delivered.

    Args:
        trace_id: 32 hexadecimal digits.
        parent_flags: The flags of the span it is a child of, two hexadecimal
            digits; None for a root.
        environ: The environment. A sampler that is none of the standard ones
            is taken for the default, as the SDK does.
    """
    sampler = environ.get(_SAMPLER, _DEFAULT).lower()
    if sampler.removeprefix(_BY_PARENT) not in (_ALWAYS_ON, _ALWAYS_OFF, _RATIO):
        sampler = _DEFAULT
    if sampler.startswith(_BY_PARENT) and parent_flags is not None:
        return bool(int(parent_flags, 16) & SAMPLED)
    root = sampler.removeprefix(_BY_PARENT)
    if root == _RATIO:
        bound = round(_ratio(environ) * (_LOW_BITS + 1))
        return int(trace_id, 16) & _LOW_BITS < bound
    return root == _ALWAYS_ON


def _ratio(environ: Mapping[str, str]) -> float:
    """The argument of the sampler; 1 where it is no share, as in the SDK."""
    try:
        ratio = float(environ.get(_ARGUMENT, ""))
    except ValueError:
        return 1.0
    return ratio if 0 <= ratio <= 1 else 1.0
