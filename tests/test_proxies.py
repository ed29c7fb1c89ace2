"""Credentials of collectors and proxies: used where they are for, and seen nowhere else."""

from __future__ import annotations

import os
import signal
import socket
import time
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.collector import Collector
from support.proxy import Proxy
from support.tls import Authority
from support.user_program import PATIENCE_SECONDS, Program

from otel_codomon import names
from otel_codomon.errors import InvalidArgumentError
from otel_codomon.journal import records
from otel_codomon.journal.delivery.addresses import read_address
from otel_codomon.journal.delivery.answers import Answer, AnswerKind
from otel_codomon.journal.delivery.endpoints import Endpoint, endpoints
from otel_codomon.journal.delivery.http_transport import HttpTransport
from otel_codomon.journal.delivery.proxies import proxy_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PASSWORD = "s3cr3t/of@the:proxy%"  # noqa: S105 - planted
PROGRAM = """
import logging
logging.basicConfig(level=logging.DEBUG)
from otel_codomon import configure, execution
configure()
with execution("through a proxy"):
    pass
"""


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http", "https", "all", "no", "grpc"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name.upper()}_PROXY", raising=False)


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    with Proxy(tmp_path / "proxy.log", user="me", password=PASSWORD) as running:
        yield running


def with_user(endpoint: str) -> str:
    return endpoint.replace("://", "://us3r:s3cr3t-endpoint@")


def send_through(
    proxy: Proxy, collector: Collector, folder: Path, environ: Mapping[str, str]
) -> str:
    """Run a program that sends through *proxy*; all that it said."""
    program = Program(
        folder,
        {
            **collector.environment(),
            "http_proxy": proxy.address,
            "https_proxy": proxy.address,
            **environ,
        },
    )
    done = program.run(PROGRAM)
    assert done.returncode == 0, done.stderr
    assert [span.name for span in collector.wait_for_spans(1)] == ["through a proxy"]
    return done.stdout + done.stderr


def test_over_http_the_proxy_gets_its_own_credentials_and_the_collector_its_own(
    tmp_path: Path, proxy: Proxy
) -> None:
    with Collector() as collector:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": with_user(collector.http_endpoint)}
        said = send_through(proxy, collector, tmp_path, environ)
        received = collector.requests()
        [*told] = proxy.requests()

        assert {request.status for request in told} == {200}
        assert {request.line for request in told} <= {
            f"POST {collector.http_endpoint}/v1/{signal} HTTP/1.1"
            for signal in ("traces", "metrics")
        }
        assert {request.headers["authorization"] for request in received} == {
            "Basic dXMzcjpzM2NyM3QtZW5kcG9pbnQ="
        }
        assert not any("proxy-authorization" in request.headers for request in received)
        assert "s3cr3t" not in said


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_over_tls_the_proxy_sees_a_tunnel_and_nothing_of_the_collectors_credentials(
    tmp_path: Path, proxy: Proxy, protocol: str
) -> None:
    authority = Authority(tmp_path)
    with Collector(tls=authority.server()) as collector:
        environ = {
            **collector.environment(protocol),
            "OTEL_EXPORTER_OTLP_CERTIFICATE": authority.ca_file,
        }
        environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = with_user(environ["OTEL_EXPORTER_OTLP_ENDPOINT"])
        said = send_through(proxy, collector, tmp_path, environ)
        port = collector.grpc_port if protocol == "grpc" else collector.http_port
        told = proxy.requests()
        received = collector.requests()

        assert {request.status for request in told} == {200}
        assert {" ".join(request.line.split()[:2]) for request in told} == {
            f"CONNECT localhost:{port}"
        }
        assert not any("authorization" in request.headers for request in told)
        assert {request.headers["authorization"] for request in received} == {
            "Basic dXMzcjpzM2NyM3QtZW5kcG9pbnQ="
        }
        assert not any("proxy-authorization" in request.headers for request in received)
        assert "s3cr3t" not in said


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_refuses_us_is_named_and_nothing_is_sent_until_it_is_mended(
    monkeypatch: pytest.MonkeyPatch, proxy: Proxy, scheme: str
) -> None:
    monkeypatch.setenv(f"{scheme}_proxy", f"http://me:wrong@localhost:{proxy.port}")
    transport = HttpTransport(
        Endpoint(signal="traces", protocol="http/protobuf", url=f"{scheme}://x")
    )

    answer = transport.send(b"", timeout_seconds=60)
    transport.close()

    assert (answer.kind, answer.reason) == (AnswerKind.BLOCKED, "HTTP 407 from the proxy")


def test_a_proxy_that_says_nothing_is_left_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setenv("https_proxy", f"http://me:s3cr3t-silent@127.0.0.1:{port}")
        endpoint = Endpoint(signal="traces", protocol="http/protobuf", url="https://x")
        transport = HttpTransport(endpoint)

        answer = transport.send(b"", timeout_seconds=0.2)

        assert answer == Answer(kind=AnswerKind.RETRY, reason="TimeoutError", is_answer=False)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("socks5://me:s3cr3t@host:1080", "not an HTTP proxy: only http:// is supported"),
        ("https://me:s3cr3t@host", "not an HTTP proxy: only http:// is supported"),
        (
            "http://me:s3cr3t@host:s3cr3t",
            "invalid proxy address: its host or port is invalid",
        ),
        ("http://me:s3cr3t@", "invalid proxy address: it has no host"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_a_reason_without_its_address(
    monkeypatch: pytest.MonkeyPatch, address: str, reason: str
) -> None:
    monkeypatch.setenv("http_proxy", address)
    transport = HttpTransport(Endpoint(signal="traces", protocol="http/protobuf", url="http://x"))

    answer = transport.send(b"", timeout_seconds=60)

    assert answer == Answer(kind=AnswerKind.BLOCKED, reason=reason, is_answer=False)


def test_no_proxy_names_hosts_and_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "proxy.example")
    monkeypatch.setenv("no_proxy", "localhost,.internal,other:4318")

    through = {
        name: proxy_for(read_address(f"http://{name}")) is not None
        for name in ("localhost:4318", "a.internal", "other:4318", "other:80", "host")
    }

    assert through == {
        "localhost:4318": False,
        "a.internal": False,
        "other:4318": False,
        "other:80": True,
        "host": True,
    }


def test_a_sender_process_has_no_credentials_in_its_arguments(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        environ = {
            **os.environ,
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://me:s3cr3t-endpoint@127.0.0.1:{port}",
            "OTEL_EXPORTER_OTLP_HEADERS": "x-api-key=s3cr3t-header",
            "OTEL_EXPORTER_OTLP_TIMEOUT": str(PATIENCE_SECONDS),
        }
        _leave_a_record(str(tmp_path))
        pid = records.spawn_sender(str(tmp_path), environ=environ)
        assert pid is not None
        try:
            silent.accept()[0].close()  # it is up, and sends
            shown = Path(f"/proc/{pid}/cmdline").read_bytes()
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    assert str(tmp_path).encode() in shown
    assert b"s3cr3t" not in shown


def _leave_a_record(folder: str) -> None:
    writer = records.open_writer(folder)
    assert writer is not None
    records.write_started(
        writer,
        trace_id="ab" * 16,
        span_id="cd" * 8,
        name="true",
        started_unix_ns=time.time_ns(),
        attributes={names.EXECUTION_ID: "1"},
        resource=records.resource(),
    )
    records.write_ended(
        writer,
        trace_id="ab" * 16,
        span_id="cd" * 8,
        name="true",
        started_unix_ns=time.time_ns(),
        ended_unix_ns=time.time_ns(),
        attributes={names.EXECUTION_ID: "1"},
        resource=records.resource(),
    )
    writer.close()


# --- addresses ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "url", "pair"),
    [
        ("http://host:4318/x?y=z", "http://host:4318/x?y=z", None),
        ("HTTPS://host", "https://host", None),
        ("host:4317", "http://host:4317", None),
        ("http://[::1]:4318/", "http://[::1]:4318/", None),
        ("http://me:s3cr3t@host/x", "http://host/x", "me:s3cr3t"),
        ("http://me:s3%2Fcr%403t@host", "http://host", "me:s3/cr@3t"),
        ("http://me:s3@cr3t@host/x", "http://host/x", "me:s3@cr3t"),
        ("http://me:s3/cr3t@host:1/x", "http://host:1/x", "me:s3/cr3t"),
        ("http://t0ken@host", "http://host", "t0ken:"),
        ("http://host:80/path/@name", "http://host:80/path/@name", None),
    ],
)
def test_an_address_is_taken_apart(text: str, url: str, pair: str | None) -> None:
    address = read_address(text)

    assert address.url == url
    assert address.authorization == (None if pair is None else basic(pair))
    assert "s3cr3t" not in repr(address)


def basic(pair: str) -> str:
    return f"Basic {b64encode(pair.encode()).decode()}"


@pytest.mark.parametrize(
    "text", ["http://", "http://:80", "http://a b", "http://h:99999", "http://[x"]
)
def test_an_address_that_leads_nowhere_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"^its? h(as no host|ost or port is invalid)"):
        read_address(text)


def test_the_address_of_an_endpoint_holds_no_credentials() -> None:
    found = endpoints({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://me:s3/cr@3t@host:4318/p?k=s3cr3t"})

    endpoint = found["traces"]
    assert endpoint.place == "http://host:4318/p"
    assert endpoint.headers == {"authorization": basic("me:s3/cr@3t")}


@pytest.mark.parametrize("address", ["http://me:s3cr3t", "http://me:s3cr3t@", "http://me@h:s3cr3t"])
def test_an_endpoint_that_leads_nowhere_is_an_error_that_does_not_repeat_it(address: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        endpoints({"OTEL_EXPORTER_OTLP_ENDPOINT": address})

    assert str(caught.value).startswith("cannot send to the address in OTEL_EXPORTER_OTLP_ENDPOINT")
    assert "s3cr3t" not in str(caught.value)
