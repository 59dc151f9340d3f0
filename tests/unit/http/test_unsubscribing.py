"""How often unsubscribe links may be used: mail providers send the clicks of many from few addresses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from promptforge.actors.notifications.mail.messages import (
    ExpectMailLink,
    GetMailSubscription,
    SubscriptionKindView,
    Unsubscribe,
)
from promptforge.core.context import Context
from promptforge.core.errors import NotFound
from promptforge.core.runtime import Actor, handles
from promptforge.http.app import HttpSettings
from tests.unit.http.sample import Parts, serving

pytestmark = pytest.mark.anyio

LIMITED = ("default=3/minute", "webhook=2/minute")


class Links(Actor):
    """Takes what begins with `good` for a link."""

    name = "mail"
    reads = 0

    @handles(ExpectMailLink)
    async def expect(self, message: ExpectMailLink, context: Context) -> None:
        if not message.token.startswith("good"):
            raise NotFound("no link")

    @handles(GetMailSubscription)
    async def about(self, message: GetMailSubscription, context: Context) -> SubscriptionKindView:
        self.reads += 1
        return SubscriptionKindView("listing.sold", "Something was sold", subscribed=True)

    @handles(Unsubscribe)
    async def unsubscribe(self, message: Unsubscribe, context: Context) -> SubscriptionKindView:
        self.reads += 1
        return SubscriptionKindView("listing.sold", "Something was sold", subscribed=False)


@asynccontextmanager
async def linked(links: Links | None = None) -> AsyncIterator[httpx.AsyncClient]:
    settings = HttpSettings(version="1", rate_limits=LIMITED)
    async with serving(Parts(settings=settings, actors=[links or Links()])) as service:
        yield service.client


async def clicked(client: httpx.AsyncClient, token: str) -> int:
    response = await client.post("/unsubscribe", params={"token": token}, data={"List-Unsubscribe": "One-Click"})
    return response.status_code


async def test_one_address_may_click_many_links_and_none_of_them_for_ever() -> None:
    async with linked() as client:
        assert {await clicked(client, f"good-{number}") for number in range(20)} == {200}
        assert [await clicked(client, "good-0") for _ in range(3)] == [200, 200, 429]
        assert await clicked(client, "good-21") == 200


async def test_guessing_links_is_slowed_down_by_address_and_good_ones_go_on() -> None:
    async with linked() as client:
        assert [await clicked(client, f"bad-{number}") for number in range(3)] == [404, 404, 429]
        assert (await client.get("/unsubscribe")).status_code == 429, "no link at all is none of ours"
        assert await clicked(client, "good-0") == 200
        assert [(await client.put("/unsubscribe")).status_code for _ in range(4)] == [405, 405, 405, 429]


async def test_what_is_refused_reads_nothing_and_what_is_not_reads_once() -> None:
    links = Links()
    async with linked(links) as client:
        await clicked(client, "bad-0")
        assert links.reads == 0
        assert [await clicked(client, "good-0") for _ in range(8)] == [200] * 3 + [429] * 5
        assert links.reads == 3
        assert [(await client.get("/unsubscribe?token=good-1")).status_code for _ in range(8)] == [200] * 3 + [429] * 5
        assert links.reads == 6
