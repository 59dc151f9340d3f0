"""POSTs to addresses that users name, without lending them this machine's place in its network.

The name is resolved once, every address it has is judged, and the connection goes to one of those that were judged: a
name that answers differently the second time (DNS rebinding) changes nothing. TLS and the Host header keep the name. A
redirect is an answer like any other, no proxy is used, no connection is kept, and of an answer only its status counts:
its head and the waiting are bounded by one deadline, and once the head is there the body, of which a little is read and
thrown away, changes nothing any more.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum
from functools import partial
from typing import Any, Protocol

import anyio
import anyio.to_thread
import httpcore

from promptforge.core.egress.addresses import is_public
from promptforge.core.egress.urls import UrlPolicy
from promptforge.core.tls import authorities

DRAINED_BYTES = 16_384
DRAIN_SECONDS = 1.0
MOST_CONNECTIONS = 256
RESOLVERS = 32
"""Threads that wait for name servers; names whose servers never answer must not take all of them for long."""
RESOLVE_SECONDS = 5.0


class Problem(StrEnum):
    """Why there was no answer; it tells the receiver's owner what to look at, and nothing about our network."""

    ADDRESS_REFUSED = "address_refused"
    NAME_UNKNOWN = "name_unknown"
    NOT_CONNECTED = "not_connected"
    TLS = "tls"
    TIMEOUT = "timeout"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Answer:
    """Either a status or a problem. `retry_after_seconds` as the receiver asked."""

    seconds: float
    status: int | None = None
    problem: Problem | None = None
    retry_after_seconds: float | None = None

    @property
    def ok(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class Resolve(Protocol):
    async def __call__(self, host: str, port: int) -> list[str]:
        """The addresses of a name. Raises `OSError` or `UnicodeError`."""
        ...


class _AddressRefused(Exception):
    """Nothing the name resolves to may be connected to."""


class _NameUnknown(Exception):
    """The name does not resolve."""


class SystemResolver:
    """The machine's, in threads of its own."""

    def __init__(self) -> None:
        self._threads: anyio.CapacityLimiter | None = None

    async def __call__(self, host: str, port: int) -> list[str]:
        if self._threads is None:
            self._threads = anyio.CapacityLimiter(RESOLVERS)
        look = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        with anyio.fail_after(RESOLVE_SECONDS):
            found = await anyio.to_thread.run_sync(look, limiter=self._threads, abandon_on_cancel=True)
        return [str(address[0]) for *_, address in found]


class _JudgingBackend(httpcore.AsyncNetworkBackend):
    """Connects to judged addresses only."""

    def __init__(self, policy: UrlPolicy, resolve: Resolve) -> None:
        self._policy = policy
        self._resolve = resolve
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(  # noqa: PLR0917  # httpcore's interface
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore's interface
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = await self._judged(host, port)
        last: Exception = _AddressRefused()
        for address in addresses[:4]:
            try:
                return await self._inner.connect_tcp(address, port, timeout=timeout)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
        raise last

    async def _judged(self, host: str, port: int) -> list[str]:
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError):
            raise _NameUnknown from None
        if self._policy.trusts(host):
            return addresses
        # One inner address among public ones makes the name a trick, not a mistake.
        if not addresses or not all(is_public(address) for address in addresses):
            raise _AddressRefused
        return addresses

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


class Outward:
    """`ssl_context` and `resolve` are for tests; certificates are checked against the machine's authorities."""

    def __init__(
        self,
        policy: UrlPolicy,
        *,
        resolve: Resolve | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._pool: httpcore.AsyncConnectionPool | None = None
        self._policy = policy
        self._resolve = resolve or SystemResolver()
        self._ssl_context = ssl_context

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, *, timeout_seconds: float) -> Answer:
        """Never raises for what the receiver or the network do."""
        started = time.monotonic()
        head: tuple[int, float | None] | None = None
        problem = Problem.TIMEOUT
        with anyio.move_on_after(timeout_seconds):
            try:
                async with self._exchanged(url, headers, body) as response:
                    head = response.status, _retry_after(response.headers)
                    await _drain(response)
            except _AddressRefused:
                problem = Problem.ADDRESS_REFUSED
            except _NameUnknown:
                problem = Problem.NAME_UNKNOWN
            except (httpcore.TimeoutException, TimeoutError):
                problem = Problem.TIMEOUT
            except httpcore.ConnectError as error:
                problem = Problem.TLS if isinstance(error.__context__, ssl.SSLError) else Problem.NOT_CONNECTED
            except (httpcore.NetworkError, httpcore.ProtocolError, ssl.SSLError, OSError):
                problem = Problem.BROKEN
        seconds = time.monotonic() - started
        if head is None:
            return Answer(seconds, None, problem)
        return Answer(seconds, head[0], None, head[1])  # whatever came of its body

    def _exchanged(
        self, url: str, headers: Mapping[str, str], body: bytes
    ) -> AbstractAsyncContextManager[httpcore.Response]:
        """The answer, as soon as its head is there."""
        if self._pool is None:
            self._pool = httpcore.AsyncConnectionPool(
                ssl_context=self._ssl_context or authorities("http"),
                max_connections=MOST_CONNECTIONS,
                max_keepalive_connections=0,
                network_backend=_JudgingBackend(self._policy, self._resolve),
            )
        sent = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
        return self._pool.stream("POST", url, headers=sent, content=body)

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.aclose()
            self._pool = None


async def _drain(response: Any) -> None:  # Any: httpcore's response as its stream() types it
    """Let a receiver finish a small answer: what it says is nobody's business here."""
    read = 0
    with anyio.move_on_after(DRAIN_SECONDS):
        try:
            async for chunk in response.aiter_stream():
                read += len(chunk)
                if read > DRAINED_BYTES:
                    return
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException):
            return  # the status is known, and that is what counts


def _retry_after(headers: Iterable[tuple[bytes, bytes]]) -> float | None:
    """RFC 9110, 10.2.3: seconds or a date; None where there is none that can be read."""
    for name, value in headers:
        if name.lower() == b"retry-after":
            text = value.decode("latin-1").strip()
            if text.isdecimal() and len(text) < 10:
                return float(text)
            try:
                return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
            except (ValueError, OverflowError, TypeError):
                return None
    return None
