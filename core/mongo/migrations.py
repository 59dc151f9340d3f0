"""Numbered, idempotent migrations, recorded in MongoDB; one process applies them while the others wait.

A migration may have something to prepare before the indexes are made, which a database of another service could refuse.
The lease is a document with the server's time. Who holds it renews nothing: a migration that outlives the lease may be
run by two processes, and being idempotent it may.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import anyio
import structlog

from promptforge.core.errors import ConfigurationError
from promptforge.core.mongo.client import Mongo
from promptforge.core.mongo.errors import DuplicateKey

COLLECTION = "migrations"
_LEASE = "lease"
LEASE_SECONDS = 120.0
WAIT_SECONDS = 0.2

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Migration:
    """`apply` may be interrupted anywhere and run again: it must come to the same end. So must `prepare`, which runs
    before the indexes are made, at every start until the migration is recorded.
    """

    number: int
    name: str
    apply: Callable[[Mongo], Awaitable[None]]
    prepare: Callable[[Mongo], Awaitable[None]] | None = None


async def prepare_migrations(
    mongo: Mongo, migrations: Sequence[Migration], *, lease_seconds: float = LEASE_SECONDS
) -> None:
    """What has to be done before the indexes are made; nothing where every migration is recorded."""
    while True:
        done = await _recorded(mongo)
        wanted = [one.prepare for one in migrations if one.prepare is not None and one.number not in done]
        if not wanted:
            return
        async with _lease(mongo, lease_seconds) as held:
            if held:
                for prepare in wanted:
                    await prepare(mongo)
                return
        await anyio.sleep(WAIT_SECONDS)


async def run_migrations(
    mongo: Mongo, migrations: Sequence[Migration], *, lease_seconds: float = LEASE_SECONDS
) -> list[int]:
    """Apply what is not yet recorded, in order; answers the numbers applied by this process.

    Raises `ConfigurationError` where the database has been migrated by a newer version than this one.
    """
    wanted = sorted(migrations, key=lambda migration: migration.number)
    known = {migration.number for migration in wanted}
    if len(known) != len(wanted):
        raise ConfigurationError("two migrations have one number")
    applied: list[int] = []
    while True:
        done = await _recorded(mongo)
        if newer := done - known:
            raise ConfigurationError(
                f"the database has migration {max(newer)}, which this version does not know: run a newer version"
            )
        pending = [migration for migration in wanted if migration.number not in done]
        if not pending:
            return applied
        async with _lease(mongo, lease_seconds) as held:
            if held:
                applied += await _apply(mongo, pending)
                continue
        await anyio.sleep(WAIT_SECONDS)


async def refuse_unmigrated(mongo: Mongo, migrations: Sequence[Migration]) -> None:
    """For programs beside the service. Raises `ConfigurationError` for a database that it has not been started on."""
    done = await _recorded(mongo)
    if missing := [migration.number for migration in migrations if migration.number not in done]:
        raise ConfigurationError(f"the database lacks migration {min(missing)}: start the service on it first")


async def _apply(mongo: Mongo, pending: Sequence[Migration]) -> list[int]:
    done = await _recorded(mongo)  # looked at again, now that nobody else can be at it
    applied = []
    for migration in pending:
        if migration.number in done:
            continue
        log.info("migration.applying", number=migration.number, name=migration.name)
        await migration.apply(mongo)
        await mongo.collection(COLLECTION).update_one(
            {"_id": migration.number},
            {"$set": {"name": migration.name}, "$currentDate": {"applied_at": True}},
            upsert=True,
        )
        applied.append(migration.number)
    return applied


async def _recorded(mongo: Mongo) -> set[int]:
    rows = await mongo.collection(COLLECTION).find({"_id": {"$ne": _LEASE}}, {"_id": 1}).to_list(None)
    return {row["_id"] for row in rows}


@asynccontextmanager
async def _lease(mongo: Mongo, seconds: float) -> AsyncIterator[bool]:
    """Whether it is ours meanwhile."""
    holder = secrets.token_hex(8)
    held = await _take_lease(mongo, holder, seconds)
    try:
        yield held
    finally:
        if held:
            with anyio.CancelScope(shield=True):
                await mongo.collection(COLLECTION).delete_one({"_id": _LEASE, "holder": holder})


async def _take_lease(mongo: Mongo, holder: str, lease_seconds: float) -> bool:
    now = await mongo.server_time()
    until = now + timedelta(seconds=lease_seconds)
    try:
        row = await mongo.collection(COLLECTION).find_one_and_update(
            {"_id": _LEASE, "until": {"$lte": now}}, {"$set": {"holder": holder, "until": until}}, upsert=True
        )
    except DuplicateKey:  # it is there and not yet over
        return False
    return row is not None and row["holder"] == holder
