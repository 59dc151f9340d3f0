"""The process put together: database, actors, jobs, identity and the HTTP application, started and stopped in order."""

from __future__ import annotations

import importlib.metadata
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import anyio
import structlog
from starlette.types import ASGIApp

from promptforge.core.clock import SystemClock
from promptforge.core.identity import Principals
from promptforge.core.jobs import Codec, JobRunner, MongoJobStore
from promptforge.core.mongo import Change, ChangeFeed, Mongo, Session, ensure_indexes, run_transaction
from promptforge.core.runtime import System
from promptforge.deploy.database import Database, open_database
from promptforge.deploy.features import INDEXES, build_actors, job_messages
from promptforge.deploy.health import HealthProbe
from promptforge.deploy.identity import make_verifier, principal_finder, provisioner
from promptforge.deploy.settings import Settings

T = TypeVar("T")
log = structlog.get_logger(__name__)

PRINCIPAL_FIELDS = frozenset({"roles", "suspended"})
"""The fields of a user whose change makes a cached principal wrong; credits change with every sale and do not."""


class Service:
    """The running process as the server sees it."""

    def __init__(self, app: ASGIApp, health: HealthProbe, version: str) -> None:
        self.app = app
        self.version = version
        self._health = health

    def begin_drain(self) -> None:
        """Readiness goes red and connections are asked to close; requests are still answered."""
        self._health.draining = True

    async def until_ready(self) -> None:
        await self._health.until_ready()


class _Transactions:
    """MongoDB's transactions as the runtime wants them."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo

    async def __call__(self, work: Callable[[Session], Awaitable[T]], *, deadline: float) -> T:
        return await run_transaction(self._mongo, work, deadline=deadline)
