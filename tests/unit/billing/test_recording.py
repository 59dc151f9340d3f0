"""Events are recorded in groups, and in a storm a group waits for those who were just answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest

from promptforge.actors.billing.events.recording import (
    GATHER_SECONDS,
    MOST_BYTES,
    STORM_GROUP,
    EventRecorder,
    Storm,
)
from promptforge.actors.billing.events.store import EventStore
from promptforge.actors.billing.messages import RecordStripeEvent
from promptforge.core.context import Context
from tests.support.virtual_time import run_virtually, virtual

COMMIT_SECONDS = 0.01


class Books:
    """Keeps what is committed, group by group; stands for the store and the context."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.session = None

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def transaction(self, work: Callable[[Any], Awaitable[None]]) -> None:  # Any: itself
        await work(self)
        await anyio.sleep(COMMIT_SECONDS)

    async def insert_many(self, messages: Sequence[RecordStripeEvent], **_: object) -> None:
        self.groups.append([message.event_id for message in messages])

    async def enqueue_many(self, jobs: Sequence[object], **_: object) -> None:
        assert len(jobs) == len(self.groups[-1])


def event(event_id: str, *, size: int = 4096) -> RecordStripeEvent:
    return RecordStripeEvent(
        event_id=event_id, type="x", api_version=None, livemode=False, account=None, created=1, payload={}, size=size
    )


async def sizes_of(senders: int, each: int, *, pause: float = 0.0) -> list[int]:
    """How large the groups are when so many send one event after the other."""
    books = Books()
    recorder = EventRecorder(cast("EventStore", books), Storm())

    async def send(sender: int) -> None:
        for number in range(each):
            await recorder.record(event(f"evt_{sender}_{number}"), cast("Context", books))
            await anyio.sleep(pause)

    async with anyio.create_task_group() as tasks:
        for sender in range(senders):
            tasks.start_soon(send, sender)
    recorded = [one for group in books.groups for one in group]
    assert len(recorded) == len(set(recorded)) == senders * each
    return [len(group) for group in books.groups]


@virtual
async def test_in_a_storm_a_group_waits_for_most_of_those_who_were_just_answered() -> None:
    """Without that, whoever comes first is committed alone, and all the others wait for it."""
    first, second, *others = await sizes_of(16, 6)
    assert first == 1
    assert second >= 15, "the storm begins"
    *whole, _ = others
    assert whole
    assert min(whole) >= 12


@virtual
async def test_one_who_was_answered_and_sends_nothing_more_holds_nobody_up_for_long() -> None:
    with anyio.fail_after(5):
        assert sum(await sizes_of(16, 2, pause=3 * GATHER_SECONDS)) == 32


@virtual
async def test_few_events_are_not_waited_with() -> None:
    sizes = await sizes_of(STORM_GROUP - 1, 4)
    assert max(sizes) < STORM_GROUP


@virtual
async def test_a_group_has_no_more_bytes_than_fit_into_a_transaction() -> None:
    books, sent = Books(), 20
    recorder = EventRecorder(cast("EventStore", books), Storm())
    async with anyio.create_task_group() as tasks:
        for number in range(sent):
            tasks.start_soon(recorder.record, event(f"evt_{number}", size=MOST_BYTES // 4), cast("Context", books))
    assert sum(len(group) for group in books.groups) == sent
    assert max(len(group) for group in books.groups) == 4
    await recorder.record(event("evt_huge", size=2 * MOST_BYTES), cast("Context", books))
    assert books.groups[-1] == ["evt_huge"], "alone, but not never"


@pytest.mark.parametrize("seconds", [0.0, COMMIT_SECONDS / 2, 1.5 * COMMIT_SECONDS], ids=["at once", "first", "second"])
def test_who_is_interrupted_holds_nobody_up(seconds: float) -> None:
    """As when the actor's workers end: the next event must not wait for a leader who is gone."""

    async def interrupted() -> None:
        books = Books()
        recorder = EventRecorder(cast("EventStore", books), Storm())
        with anyio.move_on_after(seconds):
            async with anyio.create_task_group() as tasks:
                for number in range(8):
                    tasks.start_soon(recorder.record, event(f"evt_{number}"), cast("Context", books))
        with anyio.fail_after(5):
            answer = await recorder.record(event("evt_after"), cast("Context", books))
        assert answer.duplicate is False
        assert books.groups[-1] == ["evt_after"]

    run_virtually("asyncio", interrupted)


@virtual
async def test_one_follower_who_leaves_is_not_recorded_and_the_others_are() -> None:
    books = Books()
    recorder = EventRecorder(cast("EventStore", books), Storm())

    async def impatient() -> None:
        with anyio.move_on_after(COMMIT_SECONDS / 2):
            await recorder.record(event("evt_impatient"), cast("Context", books))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(recorder.record, event("evt_first"), cast("Context", books))
        await anyio.lowlevel.checkpoint()
        tasks.start_soon(impatient)
        await anyio.lowlevel.checkpoint()
        tasks.start_soon(recorder.record, event("evt_last"), cast("Context", books))
    assert books.groups == [["evt_first"], ["evt_last"]]
