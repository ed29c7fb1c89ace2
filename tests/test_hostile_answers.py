"""Whatever answers in the place of a collector, a request ends at its deadline with a verdict."""

from __future__ import annotations

import socket
import time
from contextlib import closing, contextmanager
from dataclasses import replace
from threading import Thread
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from otel_codomon.journal.delivery.answers import AnswerKind, retry_after_seconds
from otel_codomon.journal.delivery.endpoints import endpoints
from otel_codomon.journal.delivery.http_transport import HttpTransport, rejected_items

if TYPE_CHECKING:
    from collections.abc import Iterator

BODY = b"\x0a\x00"
PAGE = b"<!DOCTYPE html><html><body>Squid</body></html>"


def response(status: str, body: bytes = b"", *headers: str) -> bytes:
    """A response with the right length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


@contextmanager
def answering(answer: bytes, *, endless: bytes = b"", closes: bool = True) -> Iterator[int]:
    """A server that reads something, answers, and goes on with *endless*; its port."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve(connected: socket.socket) -> None:
        with connected:
            try:
                connected.recv(65536)
                connected.sendall(answer)
                while endless:
                    connected.sendall(endless)
                if closes:
                    connected.shutdown(socket.SHUT_WR)
                while connected.recv(65536):  # unread bytes would make the end a reset
                    pass
            except OSError:  # the other side has had enough
                return

    def accept() -> None:
        while True:
            try:
                connected, _ = listening.accept()
            except OSError:  # the test is over
                return
            Thread(target=serve, args=(connected,), daemon=True).start()

    Thread(target=accept, daemon=True).start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()


def transport(port: int, scheme: str = "http") -> HttpTransport:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"{scheme}://127.0.0.1:{port}"}
    return HttpTransport(replace(endpoints(environ)["traces"], timeout_seconds=100.0))


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (response("200 OK"), AnswerKind.DELIVERED),
        (response("200 OK", b"\xff\xff\xff"), AnswerKind.DELIVERED),
        (response("200 OK", PAGE), AnswerKind.BLOCKED),
        (response("400 Bad Request", PAGE, "Content-Type: text/html"), AnswerKind.BLOCKED),
        (response("422 Unprocessable", PAGE), AnswerKind.BLOCKED),
        (response("400 Bad Request", b"\x08\x03"), AnswerKind.REFUSED),
        (response("413 Too Large", PAGE), AnswerKind.REFUSED),
        (response("502 Bad Gateway", PAGE), AnswerKind.RETRY),
        (response("407 Proxy Authentication Required", PAGE), AnswerKind.BLOCKED),
        (response("302 Found", b"", "Location: http://127.0.0.1:1/"), AnswerKind.BLOCKED),
        (response("999 What"), AnswerKind.RETRY),
        (response("503 Busy", b"", "Retry-After: Mon, 99 Zzz 99999"), AnswerKind.RETRY),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", AnswerKind.DELIVERED),
        (b"HTTP/1.1 200 OK\r\nContent-Length: lots\r\n\r\n", AnswerKind.DELIVERED),
        (b"", AnswerKind.RETRY),
        (b"\x00" * 100_000, AnswerKind.RETRY),
        (b"\x16\x03\x01\x00\x05hello", AnswerKind.RETRY),
        (b"HTTP/1.1 \xff\xff\r\n\r\n", AnswerKind.RETRY),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000 + b"\r\n", AnswerKind.RETRY),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n", AnswerKind.RETRY),
        (b"SSH-2.0-OpenSSH_9\r\n", AnswerKind.RETRY),
    ],
)
def test_each_answer_has_its_verdict(answer: bytes, kind: AnswerKind) -> None:
    with answering(answer) as port, closing(transport(port)) as sending:
        found = sending.send(BODY, timeout_seconds=60.0)

    assert found.kind is kind, found


@pytest.mark.parametrize(
    ("answer", "endless"),
    [
        (b"", b""),
        (b"HTTP/1.1 200 OK\r\n", b""),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n"),
    ],
    ids=["silent", "half a head", "endless 100s", "short body", "endless trailers"],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_what_says_too_little_or_too_much_ends_at_the_deadline(
    scheme: str, answer: bytes, endless: bytes
) -> None:
    with (
        answering(answer, endless=endless, closes=False) as port,
        closing(transport(port, scheme)) as sending,
    ):
        begin = time.monotonic()
        found = sending.send(BODY, timeout_seconds=0.5)
        elapsed = time.monotonic() - begin

    assert found.kind in {AnswerKind.RETRY, AnswerKind.BLOCKED}
    assert elapsed < 60  # an hour, or forever, without a deadline


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    ("answer", "verdicts"),
    [
        (b"", {AnswerKind.RETRY}),
        (response("200 OK", PAGE), {AnswerKind.RETRY, AnswerKind.BLOCKED}),
        (response("403 Forbidden", PAGE), {AnswerKind.RETRY, AnswerKind.BLOCKED}),
    ],
    ids=["silent", "a page", "a refusal"],
)
def test_a_proxy_that_says_nothing_or_a_page_delivers_nothing_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, scheme: str, answer: bytes, verdicts: set[AnswerKind]
) -> None:
    with answering(answer, closes=bool(answer)) as port:
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"{scheme}://collector.invalid:4318"}
        begin = time.monotonic()
        with closing(HttpTransport(endpoints(environ)["traces"])) as sending:
            found = sending.send(BODY, timeout_seconds=1.0)
        elapsed = time.monotonic() - begin

    assert found.kind in verdicts
    assert elapsed < 60


@given(st.text(max_size=40))
def test_any_retry_after_is_a_bounded_wait_or_none(text: str) -> None:
    found = retry_after_seconds(text)

    assert found is None or 0 <= found <= 300


@given(st.binary(max_size=60), st.sampled_from(["traces", "metrics"]))
def test_any_partial_success_is_a_count(body: bytes, signal: str) -> None:
    assert rejected_items(signal, body) >= 0
    assert rejected_items(signal, b'{"partialSuccess":{"rejectedSpans":' + body + b"}}") >= 0
