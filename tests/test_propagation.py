"""What a command is told of our telemetry."""

from __future__ import annotations

import pytest

from otel_codomon.sandbox.environment import exporting, linked

BASE = "OTEL_EXPORTER_OTLP_"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("http://host:4318", "http://host:4318"),
        ("http://me:s3cr3t@host:4318/p", "http://host:4318/p"),
        ("http://me:s3/cr@3t@host:4318/p", "http://host:4318/p"),
        ("https://s3cr3t-token@host", "https://host"),
        ("https://host/p?api_key=s3cr3t", "https://host/p"),
        ("me:s3cr3t@host:4317", "http://host:4317"),
        ("http://me:s3cr3t@", None),
        ("https://host/ghp_" + "0aB9" * 9, None),
    ],
)
def test_a_linked_command_gets_an_address_without_credentials(given: str, told: str | None) -> None:
    shown = linked({f"{BASE}TRACES_ENDPOINT": given})

    assert shown == ({} if told is None else {f"{BASE}TRACES_ENDPOINT": told})


def test_a_linked_command_gets_what_is_on_the_list_and_no_more() -> None:
    plain = {
        f"{BASE}PROTOCOL": "grpc",
        f"{BASE}CERTIFICATE": "/etc/ca.pem",
        "OTEL_SERVICE_NAME": "shop",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=test",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    ours = {
        **plain,
        f"{BASE}HEADERS": "authorization=Bearer%20s3cr3t",
        f"{BASE}TRACES_HEADERS": "x-key=s3cr3t",
        f"{BASE}CLIENT_KEY": "/etc/me.key",
        f"{BASE}CLIENT_CERTIFICATE": "/etc/me.pem",
        "OTEL_PYTHON_EXPORTER_OTLP_CREDENTIALS": "s3cr3t",
        "OTEL_PYTHON_CODOMON_JOURNAL": "/var/lib/journal",
        "OTEL_VENDOR_TOKEN": "s3cr3t",
        "OTEL_CONFIG_FILE": "/etc/otel.yaml",
        "https_proxy": "http://me:s3cr3t@proxy",
        "PATH": "/bin",
    }

    assert linked(ours) == plain


def test_a_value_that_holds_a_secret_is_not_passed_on() -> None:
    ours = {
        "OTEL_RESOURCE_ATTRIBUTES": "team=a,token=s3cr3t-1",
        "OTEL_SERVICE_NAME": "service-s3cr3t-2",
        "MY_TOKEN": "s3cr3t-2",
    }

    assert linked(ours) == {}


def test_full_propagation_passes_credentials_on() -> None:
    ours = {f"{BASE}HEADERS": "authorization=x", "OTEL_ANY": "y", "PATH": "/bin"}

    assert exporting(ours) == {f"{BASE}HEADERS": "authorization=x", "OTEL_ANY": "y"}
