from __future__ import annotations

import re

import pytest

from otel_codomon.errors import InvalidArgumentError
from otel_codomon.journal.delivery.endpoints import Endpoint, endpoints, environment_of

BASE = "OTEL_EXPORTER_OTLP_"


def test_nobody_named_means_nowhere() -> None:
    assert endpoints({}) == {}


def test_one_address_serves_all_signals() -> None:
    found = endpoints({f"{BASE}ENDPOINT": "http://host:4318/prefix/"})

    assert found == {
        "traces": Endpoint(
            signal="traces", protocol="http/protobuf", url="http://host:4318/prefix/v1/traces"
        ),
        "metrics": Endpoint(
            signal="metrics", protocol="http/protobuf", url="http://host:4318/prefix/v1/metrics"
        ),
        "logs": Endpoint(
            signal="logs", protocol="http/protobuf", url="http://host:4318/prefix/v1/logs"
        ),
    }


def test_what_is_said_of_one_signal_goes_before_what_is_said_of_all() -> None:
    environ = {
        f"{BASE}ENDPOINT": "http://all:4318",
        f"{BASE}TRACES_ENDPOINT": "https://traces/exactly/here",
        f"{BASE}HEADERS": "a=all",
        f"{BASE}TRACES_HEADERS": "a=traces,b=c%3Dd, Broken ,=x",
        f"{BASE}COMPRESSION": "gzip",
        f"{BASE}METRICS_COMPRESSION": "none",
        f"{BASE}TIMEOUT": "3",
        f"{BASE}TRACES_TIMEOUT": "0.5",
        f"{BASE}TRACES_CERTIFICATE": "/ca.pem",
        f"{BASE}CLIENT_CERTIFICATE": "/me.pem",
        f"{BASE}CLIENT_KEY": "/me.key",
    }

    found = endpoints(environ)

    assert found["traces"] == Endpoint(
        signal="traces",
        protocol="http/protobuf",
        url="https://traces/exactly/here",
        headers={"a": "traces", "b": "c=d"},
        compression="gzip",
        timeout_seconds=0.5,
        certificate="/ca.pem",
        client_certificate="/me.pem",
        client_key="/me.key",
    )
    assert found["metrics"].url == "http://all:4318/v1/metrics"
    assert found["metrics"].headers == {"a": "all"}
    assert found["metrics"].compression == "none"
    assert found["metrics"].timeout_seconds == 3


@pytest.mark.parametrize(
    ("address", "insecure_variable", "url", "insecure"),
    [
        ("http://host:4317", "", "http://host:4317", "yes"),
        ("https://host:4317", "true", "https://host:4317", "no"),
        ("host:4317", "true", "http://host:4317", "yes"),
        ("host:4317", "", "https://host:4317", "no"),
    ],
)
def test_the_scheme_says_whether_grpc_is_secure_and_then_the_variable(
    address: str, insecure_variable: str, url: str, insecure: str
) -> None:
    environ = {
        f"{BASE}PROTOCOL": "grpc",
        f"{BASE}ENDPOINT": address,
        f"{BASE}INSECURE": insecure_variable,
    }

    found = endpoints(environ)["traces"]

    assert (found.url, found.insecure) == (url, insecure == "yes")


def test_a_signal_that_goes_to_another_exporter_is_not_ours() -> None:
    environ = {f"{BASE}ENDPOINT": "http://all:4318", "OTEL_METRICS_EXPORTER": "prometheus"}

    assert list(endpoints(environ)) == ["traces", "logs"]


def test_arguments_go_before_the_environment() -> None:
    environ = {
        f"{BASE}TRACES_ENDPOINT": "http://other/x",
        f"{BASE}PROTOCOL": "grpc",
        f"{BASE}HEADERS": "a=b",
    }

    found = endpoints(
        environ, endpoint="http://mine:4318", protocol="http/protobuf", headers={"K": "v"}
    )

    assert {e.url for e in found.values()} == {
        "http://mine:4318/v1/traces",
        "http://mine:4318/v1/metrics",
        "http://mine:4318/v1/logs",
    }
    assert found["traces"].headers == {"k": "v"}


@pytest.mark.parametrize("value", ["soon", "-1", "0", "inf", "nan"])
def test_a_timeout_that_means_nothing_is_refused(value: str) -> None:
    expected = re.escape(
        f"invalid OTEL_EXPORTER_OTLP_TIMEOUT {value!r}: must be a number of seconds above 0, "
        "such as 10"
    )

    with pytest.raises(InvalidArgumentError, match=f"^{expected}$"):
        endpoints({f"{BASE}ENDPOINT": "http://x", f"{BASE}TIMEOUT": value})


def test_a_header_cannot_smuggle_another() -> None:
    environ = {f"{BASE}ENDPOINT": "http://x", f"{BASE}HEADERS": "a=b%0d%0aEvil: yes,c=d"}

    assert endpoints(environ)["traces"].headers == {"c": "d"}


def test_tokens_are_not_shown() -> None:
    environ = {
        f"{BASE}ENDPOINT": "http://user:secret@host:4318?key=secret",
        f"{BASE}HEADERS": "authorization=secret",
    }
    found = endpoints(environ, endpoint=None)["traces"]

    assert "secret" not in found.place
    assert "authorization" not in repr(found)


def test_another_process_can_be_told_the_same() -> None:
    environ = {
        f"{BASE}ENDPOINT": "https://host:4317",
        f"{BASE}PROTOCOL": "grpc",
        f"{BASE}HEADERS": "a=b%2Cc",
        f"{BASE}CERTIFICATE": "/ca.pem",
    }
    found = endpoints(environ)

    assert endpoints(environment_of(found)) == found
