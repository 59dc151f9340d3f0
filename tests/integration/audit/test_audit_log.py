"""The audit log: written with the deed, sealed afterwards, and what a hand in the database would leave behind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import anyio
import pytest

from promptforge.core.audit import BATCH, CHECKPOINTS, ENTRIES, INDEXES, SETTLED, ActorKind, AuditFilter, AuditLog
from promptforge.core.context import Context
from promptforge.core.errors import NotFound
from promptforge.core.mongo import Mongo
from promptforge.core.pages import Cursor
from promptforge.core.principal import Principal
from promptforge.core.runtime import System
from tests.support.mongo import with_indexes
from tests.support.processes import MongoTransactions, SteppedClock

pytestmark = pytest.mark.anyio
ALICE = Principal("usr_alice", "alice")
PROGRAM = Principal("usr_alice", "alice", scopes=frozenset({"x"}), key_id="key_1")


class Process:
    """Acts, and lets time pass."""

    def __init__(self, mongo: Mongo) -> None:
        self.clock = SteppedClock()
        self.log = AuditLog(mongo)
        self.system = System([], clock=self.clock, transactions=MongoTransactions(mongo), audit_log=self.log)

    async def act(self, action: str, target: str, who: Principal | None = ALICE) -> None:
        async def work(tx: Context) -> None:
            await tx.audit(action, target, before={"state": "a"}, after={"state": "b"})

        await self.system.context(request_id="req_1", trace_id="t", principal=who).transaction(work)
        self.clock.advance(seconds=1)

    async def seal(self) -> int:
        self.clock.advance(seconds=SETTLED.total_seconds() + 1)
        return await self.log.seal(self.clock.now())


@pytest.fixture
async def process(mongo: Mongo) -> Process:
    await with_indexes(mongo, INDEXES)
    return Process(mongo)


async def test_an_entry_says_who_did_what(process: Process) -> None:
    for who in (ALICE, PROGRAM, None):
        await process.act("thing.done", "thg_1", who)
    entries = (await process.log.list_page(AuditFilter(), None, 10)).items
    assert [(entry.actor.kind, entry.actor.user_id, entry.actor.key_id) for entry in entries] == [
        (ActorKind.SYSTEM, None, None),
        (ActorKind.API_KEY, "usr_alice", "key_1"),
        (ActorKind.PERSON, "usr_alice", None),
    ]
    first = entries[0]
    assert (first.action, first.target, first.before, first.after) == (
        "thing.done", "thg_1", {"state": "a"}, {"state": "b"},
    )  # fmt: skip
    assert (first.request_id, first.trace_id) == ("req_1", "t")


async def test_what_did_not_happen_is_not_told(process: Process) -> None:
    async def fail(tx: Context) -> None:
        await tx.audit("thing.done", "thg_1")
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011  # the one above
        await process.system.context(request_id="r").transaction(fail)
    with pytest.raises(RuntimeError, match="one transaction"):
        await process.system.context(request_id="r").audit("thing.done", "thg_1")
    assert (await process.log.list_page(AuditFilter(), None, 10)).items == ()


async def test_entries_are_found_by_who_what_and_when(process: Process) -> None:
    begun = process.clock.now()
    for number in range(4):
        await process.act(f"thing.{number % 2}", f"thg_{number}", ALICE if number else None)

    async def found(wanted: AuditFilter) -> list[str]:
        page = await process.log.list_page(wanted, None, 10)
        return [entry.target for entry in page.items]

    assert await found(AuditFilter(user_id="usr_alice")) == ["thg_3", "thg_2", "thg_1"]
    assert await found(AuditFilter(action="thing.1")) == ["thg_3", "thg_1"]
    assert await found(AuditFilter(target="thg_2")) == ["thg_2"]
    second = begun + timedelta(seconds=1)
    assert await found(AuditFilter(since=second, until=second + timedelta(seconds=2))) == ["thg_2", "thg_1"]
    first = await process.log.list_page(AuditFilter(), None, 3)
    assert first.next is not None
    rest = await process.log.list_page(AuditFilter(), Cursor.decode(first.next), 3)
    assert [entry.target for entry in (*first.items, *rest.items)] == ["thg_3", "thg_2", "thg_1", "thg_0"]


async def test_what_has_settled_is_sealed_once_however_many_seal(process: Process, mongo: Mongo) -> None:
    for number in range(5):
        await process.act("thing.done", f"thg_{number}")
    assert await process.log.seal(process.clock.now()) == 0  # a transaction may still be open that is older
    process.clock.advance(minutes=6)
    sealed: list[int] = []

    async def seal() -> None:
        sealed.append(await AuditLog(mongo).seal(process.clock.now()))

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(seal)
    assert sum(sealed) == 5
    await process.act("thing.done", "later")
    report = await process.log.verify()
    assert (report.ok, report.entries, report.unsealed, report.broken) == (True, 5, 1, None)


async def test_long_logs_are_sealed_in_batches_that_hold_each_other(process: Process, mongo: Mongo) -> None:
    rows = [
        {"_id": f"aud_{number:05}", "at": process.clock.now(), "action": "x", "target": "y"}
        for number in range(2 * BATCH + 1)
    ]
    await mongo.collection(ENTRIES).insert_many(rows)
    assert await process.seal() == 2 * BATCH + 1
    assert await mongo.collection(CHECKPOINTS).count_documents({}) == 3
    report = await process.log.verify()
    assert (report.ok, report.checkpoints, report.entries) == (True, 3, 2 * BATCH + 1)
    first = await process.log.verify(most=2)
    assert (first.ok, first.entries, first.unsealed, first.next) == (True, 2 * BATCH, None, 2)
    rest = await process.log.verify(after=2, most=2)
    assert (rest.ok, rest.entries, rest.unsealed, rest.next, rest.head) == (True, 1, 0, None, report.head)
    with pytest.raises(NotFound):
        await process.log.verify(after=4)
    await mongo.collection(ENTRIES).delete_one({"_id": "aud_00000"})
    assert (await process.log.verify()).broken == 1


async def _remove(mongo: Mongo) -> None:
    await mongo.collection(ENTRIES).delete_one({"target": "thg_2"})


async def _change(mongo: Mongo) -> None:
    await mongo.collection(ENTRIES).update_one({"target": "thg_2"}, {"$set": {"after": {"state": "c"}}})


async def _add(mongo: Mongo) -> None:
    row = await mongo.collection(ENTRIES).find_one({"target": "thg_2"})
    assert row is not None
    await mongo.collection(ENTRIES).insert_one({**row, "_id": f"{row['_id']}0"})


async def _remove_with_checkpoint(mongo: Mongo) -> None:
    await _remove(mongo)
    await mongo.collection(CHECKPOINTS).delete_one({"_id": 2})


async def _remove_without_a_gap(mongo: Mongo) -> None:
    await _remove(mongo)
    checkpoints = mongo.collection(CHECKPOINTS)
    for number in (3, 4, 5):
        row = await checkpoints.find_one({"_id": number})
        assert row is not None
        await checkpoints.delete_one({"_id": number})
        if number > 3:
            await checkpoints.insert_one({**row, "_id": number - 1})


@pytest.mark.parametrize("tamper", [_remove, _change, _add, _remove_with_checkpoint, _remove_without_a_gap])
async def test_a_hand_in_the_database_shows(
    process: Process, mongo: Mongo, tamper: Callable[[Mongo], Awaitable[None]]
) -> None:
    for number in range(5):
        await process.act("thing.done", f"thg_{number}")
        await process.seal()
    assert (await process.log.verify()).ok
    await tamper(mongo)
    report = await process.log.verify()
    assert (report.ok, report.broken) == (False, 4 if tamper is _add else 3)
