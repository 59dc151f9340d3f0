"""Events are there once, whoever tells of them how often, and all of them are added up once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import anyio
import pytest

from promptforge.actors.ai.usage.messages import Bucket
from promptforge.actors.analytics.events.messages import ForgetEvents, RecordEvents
from promptforge.actors.analytics.events.store import BATCHES, EVENTS, LONGEST_WRITE, EventStore, event_row
from promptforge.actors.analytics.rollups import store
from promptforge.actors.analytics.rollups.domain import MOST, OTHER, Level
from promptforge.actors.analytics.rollups.store import LOOK_AGAIN_AFTER, LOOKS, ROLLUPS, EventRollups
from promptforge.core.errors import DatabaseUnavailable, Invalid
from promptforge.core.mongo import Document, Mongo, run_transaction
from tests.integration.analytics.telling import ask_events, fold, new_event, number_of, tell
from tests.integration.marketplace.branches import Branches, Interrupted, interrupt

pytestmark = pytest.mark.anyio


async def test_an_event_is_taken_once_and_each_owner_has_ids_of_their_own(branches: Branches) -> None:
    ada, there = await branches.person("ada")
    bob, _ = await branches.person("bob")
    now = ada.now()
    first = await tell(ada, *(new_event(f"e{number}", now) for number in range(3)), new_event("e0", now))
    assert (first.inserted, first.duplicates) == (3, 1)
    again = await tell(there, new_event("e1", now), new_event("e3", now))
    assert (again.inserted, again.duplicates) == (1, 1)
    assert (await tell(bob, new_event("e0", now))).inserted == 1
    assert await fold(branches) == 5
    assert (await number_of(ada), await number_of(bob)) == (4, 1)
    assert await branches.count(BATCHES) == 0


async def test_of_many_who_tell_at_once_each_hears_about_their_own_events(branches: Branches) -> None:
    ada, there = await branches.person("ada")
    now, answers = ada.now(), {}

    async def one(number: int) -> None:
        events = (new_event(f"own-{number}", now), new_event("shared", now))
        answers[number] = await tell(ada if number % 2 else there, *events)

    async with anyio.create_task_group() as tasks:
        for number in range(40):
            tasks.start_soon(one, number)
    assert sum(one.inserted for one in answers.values()) == 41
    assert all(one.inserted + one.duplicates == 2 for one in answers.values())
    assert await fold(branches) == 41
    assert await number_of(ada) == 41


async def test_what_is_late_is_added_to_the_day_that_it_was_on(branches: Branches) -> None:
    ada, _ = await branches.person("ada")
    day = ada.now().replace(hour=10, minute=30) - timedelta(days=2)
    await tell(ada, new_event("a", day, value=1.5), new_event("b", day + timedelta(hours=1)))
    await fold(branches)
    await tell(ada, new_event("late", day, value=2), new_event("a", day, value=1.5))
    await fold(branches)
    assert await fold(branches) == 0, "once more changes nothing"
    rows = (await ask_events(ada, bucket=Bucket.HOUR)).rows
    assert [(row.start, row.measures) for row in rows] == [
        (day.replace(minute=0, second=0, microsecond=0), {"events": 2, "value": 3.5}),
        (day.replace(hour=11, minute=0, second=0, microsecond=0), {"events": 1, "value": 0.0}),
    ]


async def test_a_fold_that_is_cut_short_has_changed_nothing(branches: Branches) -> None:
    ada, _ = await branches.person("ada")
    await tell(ada, new_event("a", ada.now()))
    branches.transactions.before_commit = interrupt
    with pytest.raises(Interrupted):
        await fold(branches)
    assert await number_of(ada) == 0
    assert await fold(branches) == 1
    assert await number_of(ada) == 1


async def test_two_who_fold_the_same_batches_at_once_add_them_up_once(branches: Branches) -> None:
    """The second works while the first has yet to commit: without the batches' removal both would add them."""
    ada, _ = await branches.person("ada")
    await tell(ada, *(new_event(f"e{number}", ada.now()) for number in range(5)))
    rollups, now = EventRollups(branches.mongo), ada.now()
    ids = await rollups.list_due(now, 10)

    folded = []

    async def fold_there() -> None:
        work = run_transaction(branches.mongo, lambda session: rollups.fold(ids, now=now, session=session))
        folded.append(await work)

    async with anyio.create_task_group() as tasks:

        async def other_one() -> None:
            tasks.start_soon(fold_there)
            await anyio.sleep(0.05)  # it has read what we have read, and runs into what we have written

        branches.transactions.before_commit = other_one
        folded.append(await fold(branches))
    assert sorted(folded) == [0, 5]
    assert await number_of(ada) == 5


class Sleeper(EventStore):
    """A process that sleeps between its batch's beginning and its events, or dies there."""

    async def insert_half(self, rows: list[Document], *, now: Any, meanwhile: Any) -> None:
        """The first half of the events is written, then `meanwhile` happens, then the rest."""
        half = len(rows) // 2

        async def in_two(documents: list[Document]) -> frozenset[int]:
            await insert_new(documents[:half])
            await meanwhile()
            await insert_new(documents[half:])
            return frozenset()

        insert_new = self._events.insert_new
        self._events = _Instead(self._events, in_two)  # type: ignore[assignment]  # a collection that is slow
        await self.insert(rows, now=now)


class _Instead:
    def __init__(self, collection: Any, insert_new: Any) -> None:
        self._collection = collection
        self.insert_new = insert_new

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)


def rows_of(owner: str, number: int, now: Any) -> list[Document]:
    return [event_row(owner, new_event(f"e{one}", now), now=now) for one in range(number)]


async def fold_at(mongo: Mongo, now: Any) -> int:
    rollups, folded = EventRollups(mongo), 0
    while ids := await rollups.list_due(now, 10):

        async def work(session: Any, ids: list[str] = ids) -> int:
            return await rollups.fold(ids, now=now, session=session)

        folded += await run_transaction(mongo, work)
    return folded


async def test_events_of_a_process_that_died_in_the_middle_are_added_up(branches: Branches) -> None:
    ada, _ = await branches.person("ada")
    now = ada.now()

    async def dies() -> None:
        raise DatabaseUnavailable

    with pytest.raises(DatabaseUnavailable):
        await Sleeper(branches.mongo).insert_half(rows_of(ada.user_id, 10, now), now=now, meanwhile=dies)
    assert await fold_at(branches.mongo, now) == 0, "somebody may still be writing it"
    assert await fold_at(branches.mongo, now + LONGEST_WRITE) == 5
    assert (await tell(ada, *(new_event(f"e{one}", now) for one in range(10)))).inserted == 5
    assert await fold(branches) == 5
    for look in range(1, LOOKS):
        assert await fold_at(branches.mongo, now + LONGEST_WRITE + look * LOOK_AGAIN_AFTER) == 0
    assert await number_of(ada) == 10
    assert await branches.count(BATCHES) == 0


@pytest.mark.parametrize("looks", [1, LOOKS])
async def test_events_of_a_process_that_slept_while_its_batch_was_taken_are_added_up(
    branches: Branches, looks: int
) -> None:
    """What was counted is not counted again, and what came later is not forgotten, also if the batch is gone."""
    ada, _ = await branches.person("ada")
    now = ada.now()

    async def taken() -> None:
        folded = [await fold_at(branches.mongo, now + LONGEST_WRITE + n * LOOK_AGAIN_AFTER) for n in range(looks)]
        assert folded == [5, *[0] * (looks - 1)]

    await Sleeper(branches.mongo).insert_half(rows_of(ada.user_id, 10, now), now=now, meanwhile=taken)
    assert await fold(branches) == 5
    assert await number_of(ada) == 10
    assert await branches.count(BATCHES) == 0


async def test_names_without_end_are_added_up_together(branches: Branches, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MOST, Level.KIND, 3)
    monkeypatch.setitem(MOST, Level.DETAIL, 5)
    ada, _ = await branches.person("ada")
    now = ada.now()
    for start in (0, 10, 20):
        await tell(ada, *(new_event(f"e{n}", now, kind=f"kind{n}", variant=str(n)) for n in range(start, start + 10)))
        await fold(branches)
    assert await number_of(ada) == 30
    kinds = {
        row.dimensions["kind"]: row.measures["events"] for row in (await ask_events(ada, dimensions=("kind",))).rows
    }
    assert len(kinds) == 4
    assert kinds[OTHER] == 27
    assert await branches.count(ROLLUPS) == 4 + 6 + 1 + 4, "and the coarse ones: a day, and the kinds in its month"


async def test_events_of_many_days_at_once_take_few_questions_and_only_so_many_sums_in_one_transaction(
    branches: Branches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MOST_AT_ONCE", 500)
    people = [(await branches.person(name))[0] for name in ("ada", "bob", "eve")]
    now = people[0].now()
    for person in people:
        await tell(person, *(new_event(f"e{day}", now - timedelta(days=day)) for day in range(300)))
    rollups = EventRollups(branches.mongo)
    asked: list[str] = []
    rollups._rollups = _Watched(rollups._rollups, asked)  # type: ignore[assignment]  # a collection that tells
    now = people[0].now()
    waiting = await rollups.list_due(now, 10)
    assert len(waiting) == 3
    work = run_transaction(branches.mongo, lambda session: rollups.fold(waiting, now=now, session=session))
    assert await work == 300, "one batch has 600 sums"
    assert len(asked) <= 12, asked
    assert len(await rollups.list_due(now, 10)) == 2
    assert await fold(branches) == 600
    for person in people:
        found = await ask_events(person, since=now - timedelta(days=390))
        assert sum(int(row.measures["events"]) for row in found.rows) == 300


class _Watched:
    """A collection, and what was asked of it."""

    def __init__(self, collection: Any, asked: list[str]) -> None:
        self._collection = collection
        self._asked = asked

    def __getattr__(self, name: str) -> Any:
        self._asked.append(name)
        return getattr(self._collection, name)


async def test_what_may_be_millions_is_erased_some_at_a_time(
    branches: Branches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One command for all would be given up after half a minute."""
    monkeypatch.setattr("promptforge.core.mongo.collections.DELETED_TOGETHER", 4)
    ada, _ = await branches.person("ada")
    await tell(ada, *(new_event(f"e{n}", ada.now(), kind=f"k{n}") for n in range(10)))
    await fold(branches)
    await branches.mongo.raw.command({"profile": 2})
    assert await branches.here.process.context().ask(ForgetEvents(user_id=ada.user_id)) == 10
    await branches.mongo.raw.command({"profile": 0})
    for collection, number in ((EVENTS, 10), (ROLLUPS, 31)):
        asked = {"op": "remove", "ns": f"{branches.mongo.raw.name}.{collection}"}
        removed = [row["ndeleted"] async for row in branches.mongo.collection("system.profile").find(asked)]
        assert (max(removed), sum(removed)) == (4, number), collection
        assert await branches.count(collection, owner=ada.user_id) == 0


async def test_who_is_erased_leaves_no_event_and_no_sum(branches: Branches) -> None:
    ada, _ = await branches.person("ada")
    bob, _ = await branches.person("bob")
    await tell(ada, new_event("a", ada.now()))
    await fold(branches)
    await tell(ada, new_event("b", ada.now()))
    await tell(bob, new_event("a", bob.now()))
    assert await branches.here.process.context().ask(ForgetEvents(user_id=ada.user_id)) == 2
    await fold(branches)
    for collection in (EVENTS, ROLLUPS):
        rows = await branches.mongo.collection(collection).find({"_id": {"$regex": ada.user_id}}).to_list(10)
        assert rows == []
    assert await number_of(bob) == 1


async def test_one_event_that_is_not_right_and_none_is_taken(branches: Branches) -> None:
    ada, _ = await branches.person("ada")
    now = ada.now()
    wrong = [
        new_event("a", now),
        new_event("b", now + timedelta(hours=1)),
        new_event("c", now - timedelta(days=401)),
        new_event("d@example.com", now),
        new_event("e", now, properties={"note": "ask bob@example.org", "rating": 5}),
    ]
    with pytest.raises(Invalid) as refused:
        await ada.ask(RecordEvents(events=tuple(wrong)))
    assert [(one.pointer, one.code) for one in refused.value.errors] == [
        ("/events/1/at", "out_of_range"),
        ("/events/2/at", "out_of_range"),
        ("/events/3/external_id", "personal_data"),
        ("/events/4/properties/note", "personal_data"),
    ]
    assert await branches.count(EVENTS) == 0
