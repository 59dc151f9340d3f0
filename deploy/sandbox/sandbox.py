"""The sandbox put together, and its life: a socket on loopback, what is due in time, and the sending of events."""

from __future__ import annotations

import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
from starlette.types import ASGIApp

from promptforge.deploy.connections import Limits
from promptforge.deploy.sandbox.api import Api
from promptforge.deploy.sandbox.app import build_app
from promptforge.deploy.sandbox.deliveries import Deliveries, Endpoint, Retries
from promptforge.deploy.sandbox.faults import Faults
from promptforge.deploy.sandbox.guard import refuse_other_hosts
from promptforge.deploy.sandbox.idempotency import Keys
from promptforge.deploy.sandbox.sender import Sender
from promptforge.deploy.sandbox.timeline import Timeline
from promptforge.deploy.sandbox.world import MOST_OBJECTS, World
from promptforge.deploy.server import bind, serve

TICK_SECONDS = 0.25
GRACE_SECONDS = 0.5
MOST_CONNECTIONS = 256


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """`seed` makes ids repeat, for tests. `pending_seconds`: how long a charge's money is not available yet.

    `most_objects`: how many of a kind are kept, the newest.
    """

    api_key: str = "sk_test_sandbox"
    endpoints: tuple[Endpoint, ...] = ()
    seed: str | None = None
    pending_seconds: int = 2 * 86_400
    most_objects: int = MOST_OBJECTS
    retries: Retries = field(default_factory=Retries)
    deliveries_at_once: int = 4


class Sandbox:
    """State and application. In a test's own event loop the state may be used directly; it is not for threads."""

    def __init__(self, settings: SandboxSettings, *, timeline: Timeline | None = None) -> None:
        self.settings = settings
        self.world = World(
            seed=settings.seed,
            timeline=timeline,
            most=settings.most_objects,
            pending_seconds=settings.pending_seconds,
        )
        self.faults = Faults()
        self.deliveries = Deliveries(
            time.monotonic, endpoints=settings.endpoints, retries=settings.retries, seed=settings.seed
        )
        self.world.listeners.append(self.deliveries.take)
        self.api = Api(self.world, self.faults, Keys())
        self.app = build_app(self)

    @property
    def url(self) -> str:
        return self.world.base_url

    async def run(self) -> None:
        """Let time pass and events go out, until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Sender(self.deliveries, at_once=self.settings.deliveries_at_once).run)
            while True:
                await anyio.sleep(TICK_SECONDS)
                self.world.timeline.catch_up()


@asynccontextmanager
async def open_sandbox(
    settings: SandboxSettings, *, host: str = "127.0.0.1", port: int = 0, timeline: Timeline | None = None
) -> AsyncIterator[Sandbox]:
    """Serve on a loopback address (port 0: a free one). Raises `ConfigurationError`."""
    refuse_other_hosts(host)
    sandbox = Sandbox(settings, timeline=timeline)
    listener = bind(host, port)
    shown = f"[{host}]" if ":" in host else host
    sandbox.world.base_url = f"http://{shown}:{listener.getsockname()[1]}"
    async with serving(sandbox.app, listener), anyio.create_task_group() as tasks:
        tasks.start_soon(sandbox.run)
        yield sandbox
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def serving(app: ASGIApp, listener: socket.socket) -> AsyncIterator[None]:
    """Serve meanwhile; in the end hang up in order, whatever ends it."""
    stop = anyio.Event()

    async def run() -> None:
        with anyio.CancelScope(shield=True):
            await serve(
                app, listener, shutdown=stop.wait, grace_seconds=GRACE_SECONDS, limits=Limits(most=MOST_CONNECTIONS)
            )

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        try:
            yield
        finally:
            stop.set()
