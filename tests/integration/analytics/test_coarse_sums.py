"""Coarse sums are those of the fine ones: whatever comes in whichever order, late, cut short, done again or erased."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from random import Random

import anyio
import pytest

from promptforge.actors.analytics.events.messages import ForgetEvents
from promptforge.actors.analytics.queries.messages import GetDashboard
from promptforge.actors.analytics.rollups.domain import MOST, OTHER, Level, month_of
from promptforge.actors.analytics.rollups.store import ROLLUPS, EventRollups
from promptforge.core.context import Context
from promptforge.core.mongo import Document, Session, run_transaction
from promptforge.deploy.migrations import MIGRATIONS
from promptforge.deploy.upgrade.event_sums import make_coarse_sums
from tests.integration.analytics.telling import fold, new_event, tell
from tests.integration.marketplace.branches import Branches, Interrupted, interrupt

pytestmark = pytest.mark.anyio
SEED = 20261127


async def sums_of(branches: Branches, owner: str, level: Level) -> AsyncIterator[Document]:
    wanted = {"_id": {"$gt": f"{owner}:{level}:", "$lt": f"{owner}:{level};"}}
    async for row in branches.mongo.collection(ROLLUPS).find(wanted):
        yield row


async def check_sums(branches: Branches, owner: str) -> dict[tuple[datetime, str], tuple[int, float]]:
    """Coarse sums equal fine ones; answers the latter, by day and kind. Values are quarters, so they add up exactly."""
    days, months = dict[datetime, tuple[int, float]](), dict[tuple[datetime, str], tuple[int, float]]()
    fine, hours = dict[tuple[datetime, str], tuple[int, float]](), dict[tuple[datetime, str], tuple[int, float]]()

    def plus(before: tuple[int, float] | None, row: Document) -> tuple[int, float]:
        events, value = before or (0, 0.0)
        return events + row["events"], value + row["value"]

    async for row in sums_of(branches, owner, Level.KIND):
        fine[row["day"], row["kind"]] = plus(None, row)
        days[row["day"]] = plus(days.get(row["day"]), row)
        month = month_of(row["day"]), row["kind"]
        months[month] = plus(months.get(month), row)
        assert row["events"] == sum(hour["events"] for hour in row["hours"].values())
        for hour, one in row["hours"].items():
            hours[row["day"], hour] = plus(hours.get((row["day"], hour)), one)
    whole = [row async for row in sums_of(branches, owner, Level.DAY)]
    assert {row["day"]: plus(None, row) for row in whole} == days
    assert {(row["day"], at): plus(None, one) for row in whole for at, one in row["hours"].items()} == hours
    told = {(row["day"], row["kind"]): plus(None, row) async for row in sums_of(branches, owner, Level.MONTH)}
    assert told == months
    return fine


async def test_coarse_sums_are_those_of_the_fine_ones_whatever_comes_in_whichever_order(
    branches: Branches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random batches of two owners, told of in two processes, with kinds that are too many for a day."""
    monkeypatch.setitem(MOST, Level.KIND, 4)
    random = Random(SEED)
    people = [await branches.person(name) for name in ("ada", "bob")]
    now, told = people[0][0].now(), Counter[str]()
    for batch in range(24):
        person = random.choice(people)
        events = [
            new_event(
                f"e{random.randrange(400)}",
                now - timedelta(minutes=random.randrange(130 * 24 * 60) if random.random() < 0.7 else 0),
                kind=f"kind{int(random.expovariate(0.4))}",
                value=random.randrange(40) / 4,
            )
            for _ in range(random.randrange(1, 40))
        ]
        told[person[0].user_id] += (await tell(random.choice(person), *events)).inserted
        if batch % 5 == 3:
            branches.transactions.before_commit = interrupt
            with pytest.raises(Interrupted):
                await fold(branches)
        if batch % 3 == 2:
            await fold(branches)
    await fold(branches)
    assert await fold(branches) == 0, "once more changes nothing"
    for one, _ in people:
        fine = await check_sums(branches, one.user_id)
        assert sum(events for events, _ in fine.values()) == told[one.user_id] > 0
        assert any(kind == OTHER for _, kind in fine), "there were more kinds than a day tells apart"
        await check_overviews(branches, one, fine, random)


async def check_overviews(
    branches: Branches, person: Context, fine: dict[tuple[datetime, str], tuple[int, float]], random: Random
) -> None:
    """Of any days: within a month, across some, and from the first of one to the last of another."""
    today = person.now().replace(hour=0, minute=0, second=0, microsecond=0)
    rollups, firsts = EventRollups(branches.mongo), sorted({month_of(day) for day, _ in fine})
    spans = [(today - timedelta(days=random.randrange(140)), random.randrange(1, 100)) for _ in range(20)]
    asked = [(start, start + timedelta(days=days)) for start, days in spans]
    asked += [(first, last) for first in firsts for last in firsts if first < last]
    for start, end in asked:
        found = await rollups.overview(person.user_id, start, end, kinds=5)
        days, kinds, values = Counter[datetime](), Counter[str](), Counter[str]()
        for (day, kind), (events, value) in fine.items():
            if start <= day < end:
                days[day] += events
                kinds[kind] += events
                values[kind] += int(value * 4)
        assert [(one.start, one.events) for one in found.days] == sorted(days.items()), (start, end)
        most = sorted(kinds.items(), key=lambda item: (-item[1], item[0]))[:5]
        assert [(one.label.kind, one.events) for one in found.kinds] == most, (start, end)
        assert [one.value * 4 for one in found.kinds] == [values[kind] for kind, _ in most]


async def test_kinds_without_end_are_added_up_together_in_a_month_too(
    branches: Branches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MOST, Level.MONTH, 3)
    ada, _ = await branches.person("ada")
    month = month_of(ada.now().replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=40))
    for day in range(5):
        at = month + timedelta(days=day)
        await tell(ada, *(new_event(f"e{day}-{n}", at, kind=f"kind{day}.{n}") for n in range(2)))
        await fold(branches)
    found = await EventRollups(branches.mongo).overview(ada.user_id, month, month + timedelta(days=60), kinds=10)
    assert (found.kinds[0].label.kind, found.kinds[0].events, len(found.kinds)) == (OTHER, 7, 4)
    assert [day.events for day in found.days] == [2] * 5
    await run_transaction(branches.mongo, lambda session: rebuilt(branches, ada.user_id, month, session))
    again = await EventRollups(branches.mongo).overview(ada.user_id, month, month + timedelta(days=60), kinds=10)
    assert (again.kinds[0].label.kind, again.kinds[0].events, len(again.kinds)) == (OTHER, 7, 4)


async def rebuilt(branches: Branches, owner: str, month: datetime, session: Session) -> None:
    await EventRollups(branches.mongo).rebuild(owner, month, session=session)


async def test_sums_from_before_get_coarse_ones_and_as_often_as_they_are_made(branches: Branches) -> None:
    assert make_coarse_sums in {one.apply for one in MIGRATIONS}
    people = [(await branches.person(name))[0] for name in ("ada", "bob", "eve")]
    now = people[0].now()
    for person in people[:2]:
        events = (new_event(f"e{n}", now - timedelta(days=n), kind=f"k{n % 7}", value=0.25) for n in range(100))
        await tell(person, *events)
    await fold(branches)
    rollups = branches.mongo.collection(ROLLUPS)
    await rollups.delete_many({"_id": {"$regex": ":[tm]:"}})
    late = new_event("late", now - timedelta(days=50), kind="k1", value=0.25)
    await tell(people[0], late)
    await fold(branches)  # as of a new process, while there is none of the others yet
    for _ in range(2):
        await make_coarse_sums(branches.mongo)
        for person, number in zip(people, (101, 100, 0), strict=True):
            fine = await check_sums(branches, person.user_id)
            assert sum(events for events, _ in fine.values()) == number


async def test_who_adds_events_up_while_a_month_is_made_anew_is_counted_once(branches: Branches) -> None:
    ada, _ = await branches.person("ada")
    now = ada.now()
    await tell(ada, *(new_event(f"e{n}", now, kind=f"k{n}", value=1) for n in range(3)))
    await fold(branches)
    await tell(ada, *(new_event(f"f{n}", now, kind=f"k{n}", value=1) for n in range(5)))
    read, added = anyio.Event(), anyio.Event()
    month = month_of(now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0))

    async def slowly(session: Session) -> None:
        await branches.mongo.collection(ROLLUPS).find_one({}, session=session)  # what it sees is of this moment
        read.set()
        await added.wait()
        await rebuilt(branches, ada.user_id, month, session)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run_transaction, branches.mongo, slowly)
        await read.wait()
        assert await fold(branches) == 5
        added.set()
    fine = await check_sums(branches, ada.user_id)
    assert sum(events for events, _ in fine.values()) == 8


async def test_who_is_erased_has_no_coarse_sum_and_others_keep_theirs(branches: Branches) -> None:
    ada, _ = await branches.person("ada")
    bob, _ = await branches.person("bob")
    for person in (ada, bob):
        await tell(person, *(new_event(f"e{n}", person.now() - timedelta(days=n * 9), value=1) for n in range(9)))
    await fold(branches)
    assert await branches.count(ROLLUPS, owner=ada.user_id) > 0
    await branches.here.process.context().ask(ForgetEvents(user_id=ada.user_id))
    assert await branches.count(ROLLUPS, owner=ada.user_id) == 0
    assert (await ada.ask(GetDashboard(days=100))).totals.events == 0
    assert (await bob.ask(GetDashboard(days=100))).totals.events == 9
    await check_sums(branches, bob.user_id)
    await make_coarse_sums(branches.mongo)
    assert await branches.count(ROLLUPS, owner=ada.user_id) == 0
