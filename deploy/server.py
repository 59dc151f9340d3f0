"""Hypercorn, started from code on a bound socket, so that a taken port is known before anything starts."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import Any

import hypercorn.asyncio
from hypercorn.config import Config
from starlette.types import ASGIApp

from promptforge.core.errors import ConfigurationError

BACKLOG = 2048
KEEP_ALIVE_SECONDS = 75.0
MAX_HEADER_BYTES = 32 * 1024


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


def _config(listener: socket.socket, grace_seconds: float) -> Config:
    config = Config()
    config.bind = [f"fd://{listener.fileno()}"]
    config.backlog = BACKLOG
    config.accesslog = None  # costs 40 % of the rate; the middleware logs one line per request
    config.errorlog = None
    config.include_server_header = False
    config.graceful_timeout = grace_seconds
    config.keep_alive_timeout = KEEP_ALIVE_SECONDS
    config.h11_max_incomplete_size = MAX_HEADER_BYTES
    config.read_timeout = None  # would end event streams too; bodies have a deadline of their own in http/body.py
    config.alpn_protocols = ["http/1.1"]
    return config


async def serve(
    app: ASGIApp, listener: socket.socket, *, shutdown: Callable[[], Awaitable[Any]], grace_seconds: float
) -> None:
    """Serve until `shutdown()` returns, then finish the requests under way for at most `grace_seconds`."""
    application: Any = app  # Hypercorn has its own names for the ASGI types
    await hypercorn.asyncio.serve(application, _config(listener, grace_seconds), shutdown_trigger=shutdown, mode="asgi")
