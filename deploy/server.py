"""The listening socket and its life: Hypercorn's HTTP/1.1, on connections of our own (deploy/connections.py).

A taken port is known before anything starts. The application has no lifespan of its own; the process has one already.
"""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from hypercorn.config import Config
from starlette.types import ASGIApp

from promptforge.core.errors import ConfigurationError
from promptforge.deploy.connections import Connections, Limits
from promptforge.deploy.wire import MAX_HEAD_BYTES
from promptforge.http.refusals import Refusals

BACKLOG = 2048
MOST_CONNECTIONS = 16_384
OTHER_FILES = 512
"""File descriptors kept back for everything but clients: the database's connections, other servers, logs."""


def bind(host: str, port: int) -> socket.socket:
    """Listen on `host:port` (0: a free port). Raises `ConfigurationError` where the address cannot be had."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigurationError(f"cannot listen on {host}:{port}: {reason}; set PORT or HOST") from None
    listener.setblocking(False)
    return listener


def most_connections() -> int:
    """How many connections the process may hold; raises its soft limit of open files as far as it may and needs."""
    wanted = MOST_CONNECTIONS + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        soft = allowed
    files = wanted if soft == resource.RLIM_INFINITY else min(wanted, soft)
    return max(files - OTHER_FILES, files // 2)


def _config() -> Config:
    config = Config()
    config.accesslog = None  # costs 40 % of the rate; the middleware logs one line per request
    config.errorlog = None
    config.include_server_header = False
    config.h11_max_incomplete_size = MAX_HEAD_BYTES
    return config


async def serve(
    app: ASGIApp,
    listener: socket.socket,
    *,
    shutdown: Callable[[], Awaitable[Any]],
    grace_seconds: float,
    limits: Limits | None = None,
    https_only: bool = False,
) -> None:
    """Serve until `shutdown()` returns, then finish the requests under way for at most `grace_seconds`.

    `limits` are those of a process for itself unless given; `https_only` is told where no
    request was understood. Returns soon after the grace, whatever clients do.
    """
    refusals = Refusals(https_only=https_only)
    connections = Connections(app, _config(), limits or Limits(most=most_connections()), refusals)
    server = await asyncio.start_server(connections.accept, sock=listener, backlog=BACKLOG)
    watching = asyncio.create_task(connections.watch())
    try:
        await shutdown()
    finally:
        server.close()
        try:
            await connections.finish(grace_seconds)
        finally:
            watching.cancel()
