"""`promptforge serve`: the life of the process, from a checked configuration to an orderly stop."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import sys
from pathlib import Path

import anyio
import structlog

from promptforge.core import failpoints
from promptforge.core.errors import ConfigurationError
from promptforge.core.runtime import CriticalActorFailed
from promptforge.deploy.logs import configure_logs
from promptforge.deploy.payments import open_payments
from promptforge.deploy.server import bind, serve
from promptforge.deploy.service import Service, open_service
from promptforge.deploy.settings import Settings, load_settings
from promptforge.deploy.welcome import print_welcome

EXIT_CRITICAL = 70
"""`EX_SOFTWARE` of sysexits.h: a critical actor kept failing; whoever supervises the process starts it again."""
EXIT_FORCED = 130
LAME_DUCK_SECONDS = 0.5
"""Between readiness going red and the listener closing: keep-alive connections are asked to close meanwhile."""

log = structlog.get_logger(__name__)


def run_service(*, port: int | None, host: str | None, data_dir: Path | None) -> None:
    """Serve until a signal. Raises `ConfigurationError` before serving; exits 70 where a critical actor stays down."""
    settings = load_settings(port=port, host=host, data_dir=data_dir)
    failpoints.arm(settings.failpoints)
    configure_logs(settings.log_level, readable=not settings.production and sys.stderr.isatty())
    listener = bind(settings.host, settings.port)
    try:
        anyio.run(_run, settings, listener, backend_options={"use_uvloop": True})
    except BaseExceptionGroup as failures:
        _exit_for(failures)


def _exit_for(failures: BaseExceptionGroup[BaseException]) -> None:
    """Task groups wrap what ended them: find out what it was."""
    refused, _ = failures.split(ConfigurationError)
    if refused is not None:
        first: BaseException = refused
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None
    critical, others = failures.split(CriticalActorFailed)
    if critical is not None and others is None:
        log.critical("process.critical_actor_failed")
        raise SystemExit(EXIT_CRITICAL)
    raise failures


async def _run(settings: Settings, listener: socket.socket) -> None:
    stop = anyio.Event()
    port = listener.getsockname()[1]
    async with (
        open_payments(settings, port=port) as complete,
        open_service(complete) as service,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(_watch_signals, stop)
        _announce(complete, listener, service, sandboxed=settings.stripe_secret_key is None)
        _settle_memory()
        await _serve_until(stop, service, settings, listener)
        tasks.cancel_scope.cancel()


def _settle_memory() -> None:
    """What the start has made stays: the garbage collector need not look through it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


async def _serve_until(stop: anyio.Event, service: Service, settings: Settings, listener: socket.socket) -> None:
    async def shutdown() -> None:
        await stop.wait()
        service.begin_drain()
        log.info("process.draining")
        await anyio.sleep(LAME_DUCK_SECONDS)

    await serve(
        service.app,
        listener,
        shutdown=shutdown,
        grace_seconds=settings.grace_seconds,
        https_only=settings.production,
    )


async def _watch_signals(stop: anyio.Event) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            if stop.is_set():  # asked twice: the person means now
                os._exit(EXIT_FORCED)
            stop.set()


def _announce(settings: Settings, listener: socket.socket, service: Service, *, sandboxed: bool) -> None:
    """The listener is bound already: connections made from here on are answered."""
    host, port = listener.getsockname()[:2]
    log.info("process.serving", host=host, port=port, version=service.version)
    with contextlib.suppress(OSError):  # nobody reads standard output any more: no reason to stop
        print_welcome(settings, host=host, port=port, sandboxed=sandboxed)
