"""Bytes to a port and what comes back: for requests that no HTTP client would send."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from dataclasses import dataclass
from typing import Any, Self

from tests.support.running import PATIENCE_SECONDS

ALIVE = b"GET /health/live HTTP/1.1\r\nhost: service\r\n\r\n"


@dataclass(frozen=True)
class Raw:
    """One response; interim ones (1xx) have no headers and no body here."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Talk:
    """One connection. Every wait has an end, and fails there."""

    def __init__(self, port: int, *, source: str = "127.0.0.1", receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE_SECONDS)
        if source != "127.0.0.1":
            self.socket.bind((source, 0))
        self.socket.connect(("127.0.0.1", port))
        self._left = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def say(self, data: bytes) -> None:
        """Send, to a server that may have closed in the middle of it: what it said before that is still to be read."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def hear(self) -> Raw:
        """The next response. Raises `EOFError` where the server has closed."""
        while b"\r\n\r\n" not in self._left:
            self._more()
        head, _, self._left = self._left.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        status = int(first.split(" ")[1])
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = 0 if status < 200 else int(headers.get("content-length", 0))
        while len(self._left) < length:
            self._more()
        body, self._left = self._left[:length], self._left[length:]
        return Raw(status, headers, body)

    def rest(self) -> list[Raw]:
        """Every response until the server closes."""
        found: list[Raw] = []
        try:
            while True:
                found.append(self.hear())
        except EOFError:
            assert self._left == b"", self._left[:200]
            return found

    def seconds_until_closed(self, *, patience: float) -> float:
        """How long until the server closes, whatever it says meanwhile."""
        began = time.monotonic()
        self.socket.settimeout(patience)
        with contextlib.suppress(ConnectionResetError):
            while self.socket.recv(65536):
                pass
        return time.monotonic() - began

    def _more(self) -> None:
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            raise EOFError
        self._left += data


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "host: service", *headers, "", ""]).encode("latin-1")


def post(*headers: str, body: bytes = b"") -> bytes:
    """To a path that takes a body from who is signed in."""
    lines = ["POST /api/v1/prompts HTTP/1.1", "host: service", "content-type: application/json", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def surprises(log: str) -> list[str]:
    """Lines of a service's log that say that something was not foreseen."""
    return [line[:800] for line in log.splitlines() if '"level":"info"' not in line and "http." in line] + [
        line[:800] for line in log.splitlines() if '"exception"' in line or "Traceback" in line
    ]
