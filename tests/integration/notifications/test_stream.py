"""The log that is followed and the tickets that open it, on a real MongoDB."""

from __future__ import annotations

from datetime import timedelta

import anyio
import pytest

from promptforge.actors.notifications.messages import NotifyUser
from promptforge.actors.notifications.preferences.messages import ChannelChoice
from promptforge.actors.notifications.stream.messages import CreateStreamTicket, FollowNotifications, RedeemStreamTicket
from promptforge.actors.users.messages import Identity
from promptforge.actors.users.settings.messages import UpdateSettings
from promptforge.core.context import Context
from promptforge.core.mongo import Mongo
from tests.integration.notifications.post import Post
from tests.support.market import raised

pytestmark = pytest.mark.anyio


async def ticket_of(person: Context) -> str:
    made = await person.ask(CreateStreamTicket())
    assert made.ticket is not None
    return made.ticket


async def test_of_all_who_come_with_a_ticket_at_once_one_gets_in(post: Post, mongo: Mongo) -> None:
    carla = await post.person("carla")
    redeem = RedeemStreamTicket(ticket=await ticket_of(carla))
    inside: list[Identity] = []

    async def enter() -> None:
        found = await post.process.context().ask(redeem)
        if found is not None:
            inside.append(found)

    async with anyio.create_task_group() as tasks:
        for _ in range(16):
            tasks.start_soon(enter)
    assert [one.user_id for one in inside] == [carla.user_id]
    assert await mongo.collection("stream_tickets").count_documents({}) == 0


async def test_a_ticket_is_good_for_a_minute_and_kept_as_a_hash(post: Post, mongo: Mongo) -> None:
    carla = await post.person("carla")
    ticket = await ticket_of(carla)
    row = await mongo.collection("stream_tickets").find_one({})
    assert row is not None
    assert ticket not in str(row)
    assert row["expire_at"] == post.clock.now() + timedelta(seconds=60)
    post.clock.advance(seconds=60)
    assert await post.process.context().ask(RedeemStreamTicket(ticket=ticket)) is None
    assert await raised(carla, RedeemStreamTicket(ticket=ticket)) == "forbidden"


async def test_who_chose_channels_before_they_were_told_anything_follows_from_the_start(post: Post) -> None:
    carla = await post.person("carla")
    await carla.ask(UpdateSettings(notifications={"listing.reviewed": ChannelChoice(email=False)}))
    assert (await carla.ask(FollowNotifications())).position == 0
    await post.tell(carla, "1")
    await post.work()
    followed = await carla.ask(FollowNotifications(last_event_id="0"))
    assert [(number, one.title) for number, one in followed.items] == [(1, "Title 1")]


async def test_what_is_not_shown_is_not_streamed_and_does_not_stop_the_log(post: Post) -> None:
    carla = await post.person("carla")
    await carla.ask(UpdateSettings(notifications={"listing.reviewed": ChannelChoice(in_app=False)}))
    service = post.process.context()
    for number in range(1, 251):
        kind = "listing.sold" if number in {1, 200, 250} else "listing.reviewed"
        notice = NotifyUser(
            user_id=carla.user_id, kind=kind, title=str(number), body="B", subject={}, dedupe_key=str(number)
        )
        await service.ask(notice)
    seen, position, pages = [], 0, 0
    while True:
        page = await carla.ask(FollowNotifications(last_event_id=str(position)))
        seen += [(number, one.title) for number, one in page.items]
        position, pages = page.position, pages + 1
        if not page.more:
            break
    assert seen == [(1, "1"), (200, "200"), (250, "250")]
    assert (position, pages) == (250, 3)
    assert (await carla.ask(FollowNotifications())).position == 250
    assert await raised(carla, FollowNotifications(last_event_id="251")) == "invalid_request"
