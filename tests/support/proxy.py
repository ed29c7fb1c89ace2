"""A real HTTP proxy in a process of its own, which notes all that it is told.

    with Proxy(user="me", password="secret") as proxy:
        ... send through proxy.address ...
        proxy.requests()

It forwards requests in absolute form and makes tunnels, takes its own
credentials out of what it forwards, and answers 407 to whoever has none.
"""

from __future__ import annotations

import base64
import http.client
import json
import selectors
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

_OWN = ("proxy-authorization", "proxy-connection", "connection")


@dataclass(frozen=True)
class ProxiedRequest:
    """What the proxy was told: its request line as an access log has it, and the headers."""

    line: str
    headers: dict[str, str]
    status: int


@dataclass
class Proxy:
    """The proxy's process."""

    log: Path
    user: str | None = None
    password: str = ""
    _process: subprocess.Popen[str] | None = field(default=None, repr=False)
    port: int = 0

    def __enter__(self) -> Self:
        self.log.touch()
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(self.log), json.dumps(self._expected)],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    @property
    def _expected(self) -> str | None:
        if self.user is None:
            return None
        pair = f"{self.user}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"

    @property
    def address(self) -> str:
        """For HTTP_PROXY, with the credentials percent-encoded."""
        at = "" if self.user is None else f"{quote(self.user)}:{quote(self.password, safe='')}@"
        return f"http://{at}localhost:{self.port}"

    def requests(self) -> list[ProxiedRequest]:
        """All that it was told so far."""
        return [ProxiedRequest(**json.loads(line)) for line in self.log.read_text().splitlines()]


class _Handler(BaseHTTPRequestHandler):
    log_path = ""
    expected: str | None = None

    def log_message(self, *_: object) -> None:
        """Print nothing: the log has it."""

    def note(self, status: int) -> bool:
        """Note the request with what is answered; whether it may go on."""
        headers = {key.lower(): value for key, value in self.headers.items()}
        allowed = self.expected in (None, headers.get("proxy-authorization"))
        told = {"line": self.requestline, "headers": headers, "status": status if allowed else 407}
        with Path(self.log_path).open("a") as log:
            log.write(json.dumps(told) + "\n")
        if not allowed:
            self.send_error(407)
        return allowed

    def do_CONNECT(self) -> None:
        """Make a tunnel."""
        if not self.note(200):
            return
        host, _, port = self.path.rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port))) as there:
            self.send_response(200)
            self.end_headers()
            _pump(self.connection, there)
        self.close_connection = True

    def do_POST(self) -> None:
        """Forward a request in absolute form."""
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if not self.note(200):
            return
        target = urlsplit(self.path)
        connection = http.client.HTTPConnection(target.hostname or "", target.port or 80)
        kept = {k: v for k, v in self.headers.items() if k.lower() not in _OWN}
        connection.request("POST", target.path, body, kept)
        answer = connection.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        self.send_header("content-type", answer.headers.get("content-type", ""))
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        connection.close()


def _pump(one: socket.socket, other: socket.socket) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(one, selectors.EVENT_READ, other)
        selector.register(other, selectors.EVENT_READ, one)
        while True:
            for key, _ in selector.select():
                data = key.fileobj.recv(65536)  # type: ignore[union-attr] # a socket
                if not data:
                    return
                key.data.sendall(data)


def main() -> None:
    """Serve until killed."""
    _Handler.log_path, _Handler.expected = sys.argv[1], json.loads(sys.argv[2])
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
