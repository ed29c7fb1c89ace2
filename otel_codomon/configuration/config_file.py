"""``OTEL_CONFIG_FILE``: providers as a declarative configuration describes them.

Read as `opentelemetry-instrument` reads it: the file alone says what there is,
and a signal that is not in it goes nowhere.
"""

from __future__ import annotations

import os
from typing import Final

from otel_codomon._platform.refused_values import shown
from otel_codomon._platform.scrubbed_values import scrubbed_text
from otel_codomon.errors import InvalidArgumentError

OTEL_CONFIG_FILE: Final = "OTEL_CONFIG_FILE"  # SDKs before 1.42 have no constant of it


def is_set() -> bool:
    """Whether the environment names a file."""
    return bool(os.environ.get(OTEL_CONFIG_FILE))


def make_providers() -> None:
    """Make the global providers that the file describes.

    Raises:
        InvalidArgumentError: It cannot be read, or nothing is installed that could.
    """
    path = os.environ[OTEL_CONFIG_FILE]
    try:
        from opentelemetry.configuration import (  # noqa: PLC0415 - of an optional package
            configure_sdk,
            load_config_file,
        )
    except ImportError:
        raise InvalidArgumentError(
            OTEL_CONFIG_FILE,
            f"cannot read {OTEL_CONFIG_FILE}={shown(path)}: opentelemetry-configuration is not "
            "installed; install it, or unset the variable and set the others of OTEL_*",
        ) from None
    try:
        configure_sdk(load_config_file(path))
    except Exception as error:
        raise InvalidArgumentError(
            OTEL_CONFIG_FILE,
            f"cannot use {OTEL_CONFIG_FILE}={shown(path)}: {scrubbed_text(error, limit=500)}; "
            "correct the file, or unset the variable",
        ) from error
