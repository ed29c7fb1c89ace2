"""`configure`: providers and exporters, from arguments and the standard environment.

`setting_up` is the way in; `exporters` reads what the environment says of each
signal; `pipelines` puts journal and exporters behind a provider; `configured`
is what the caller gets.
"""

from __future__ import annotations

from otel_codomon.configuration.configured import Configuration as Configuration
from otel_codomon.configuration.setting_up import (
    configure as configure,
    forget_history as forget_history,
    keep_history as keep_history,
)
