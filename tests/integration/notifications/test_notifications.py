"""Notifications on a real MongoDB: told once, in order, read by whom they were told to."""

from __future__ import annotations

import pytest

from promptforge.actors.notifications.messages import (
    CountUnread,
    ListNotifications,
    MarkAllRead,
    MarkRead,
    NotifyUser,
)
from promptforge.core.context import Context
from promptforge.core.errors import Invalid
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Principal
from tests.integration.marketplace.branches import Branches, all_at_once
from tests.support.market import raised

pytestmark = pytest.mark.anyio


def notice(person: Context, number: int, **changes: str) -> NotifyUser:
    fields = {"title": f"Title {number}", "body": "Body", "dedupe_key": f"{person.user_id}:{number}", **changes}
    return NotifyUser(user_id=person.user_id, kind="test", subject={"n": str(number)}, **fields)


async def tell(branches: Branches, *notices: NotifyUser) -> None:
    service = branches.here.process.context()
    for one in notices:
        await service.ask(one)


async def test_what_two_processes_tell_at_once_is_told_once(branches: Branches) -> None:
    carla, there = await branches.person("carla")
    services = [branches.here.process.context(), branches.there.process.context()]
    assert await all_at_once([(service, notice(carla, 1)) for service in services * 8]) == {"done": 16}
    assert [one.title for one in (await there.ask(ListNotifications())).items] == ["Title 1"]
    await tell(branches, notice(carla, 1, title="Another title"))
    assert [one.title for one in (await carla.ask(ListNotifications())).items] == ["Title 1"], "the first one stays"


async def test_what_was_told_in_a_job_that_runs_twice_is_told_once(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    service = branches.here.process.context()
    for _ in range(2):
        await service.enqueue(notice(carla, 1), owner_id=carla.user_id)
    assert len(await branches.here.notices(carla)) == 1
    assert await branches.count("jobs", state="completed") == 2


async def test_reading_twice_is_reading_once(branches: Branches) -> None:
    here, there = await branches.person("carla")
    await tell(branches, notice(here, 1), notice(here, 2))
    newest, oldest = (await here.ask(ListNotifications())).items
    assert (newest.read_at, newest.subject) == (None, {"n": "2"})
    first = await here.ask(MarkRead(notification_id=oldest.id))
    assert first.read_at is not None
    assert await there.ask(MarkRead(notification_id=oldest.id)) == first
    assert (await here.ask(MarkAllRead())).marked == 1
    assert (await here.ask(MarkAllRead())).marked == 0
    (_, again) = (await here.ask(ListNotifications())).items
    assert again == first, "marking all does not move what was read"


async def test_two_processes_mark_each_notification_once(branches: Branches) -> None:
    here, there = await branches.person("carla")
    await tell(branches, *(notice(here, number) for number in range(20)))
    assert await all_at_once([(here, MarkAllRead()), (there, MarkAllRead())]) == {"done": 2}
    assert (await here.ask(CountUnread())).unread == 0
    assert (await here.ask(ListNotifications(unread=True))).items == ()


async def test_other_peoples_notifications_do_not_exist(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    eve, _ = await branches.person("eve")
    await tell(branches, notice(carla, 1), notice(eve, 2))
    (mine,) = (await carla.ask(ListNotifications())).items
    assert await raised(eve, MarkRead(notification_id=mine.id)) == "not_found"
    assert await raised(carla, MarkRead(notification_id="ntf_nowhere")) == "not_found"
    assert (await eve.ask(MarkAllRead())).marked == 1
    assert (await carla.ask(CountUnread())).unread == 1
    assert [one.id for one in (await carla.ask(ListNotifications())).items] == [mine.id]
    assert await raised(carla, notice(carla, 3)) == "forbidden", "telling is the service's own"


async def test_the_suspended_still_read_what_they_are_told(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    await tell(branches, notice(carla, 1))
    principal = Principal(carla.user_id, "carla", suspended=True)
    suspended = branches.here.process.system.context(request_id="r", principal=principal)
    (one,) = (await suspended.ask(ListNotifications())).items
    assert (await suspended.ask(MarkRead(notification_id=one.id))).read_at is not None


async def test_pages_hold_still_while_more_is_told(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    await tell(branches, *(notice(carla, number) for number in range(7)))
    read = (await carla.ask(ListNotifications())).items[3]
    await carla.ask(MarkRead(notification_id=read.id))
    for unread, expected in ((False, [6, 5, 4, 3, 2, 1, 0]), (True, [6, 5, 4, 2, 1, 0])):
        seen: list[int] = []
        cursor = None
        while len(seen) < len(expected) or cursor is not None:
            page = await carla.ask(ListNotifications(unread=unread, limit=2, cursor=cursor))
            seen += [int(one.subject["n"]) for one in page.items]
            cursor = page.next
            if not unread:
                await tell(branches, notice(carla, 100 + len(seen)))
        assert seen == expected
        newer = [one for one in (await carla.ask(ListNotifications())).items if int(one.subject["n"]) >= 100]
        for one in newer:
            await carla.ask(MarkRead(notification_id=one.id))
    with pytest.raises(Invalid):
        await carla.ask(ListNotifications(cursor="x"))


async def test_lists_and_counts_are_read_from_their_index(branches: Branches, mongo: Mongo) -> None:
    carla, _ = await branches.person("carla")
    eve, _ = await branches.person("eve")
    await tell(branches, *(notice(person, number) for number in range(30) for person in (carla, eve)))
    first = await carla.ask(ListNotifications(unread=True, limit=5))
    await mongo.raw.command("profile", 2)
    try:
        await carla.ask(ListNotifications(unread=True, limit=5, cursor=first.next))
        await carla.ask(ListNotifications(limit=5, cursor=first.next))
        await carla.ask(CountUnread())
    finally:
        await mongo.raw.command("profile", 0)
    done = await mongo.collection("system.profile").find({"ns": f"{mongo.name}.notifications"}).to_list(10)
    assert [one["docsExamined"] <= 30 and "hasSortStage" not in one for one in done] == [True] * 3
    assert all(one["docsExamined"] <= 12 for one in done[:2])
