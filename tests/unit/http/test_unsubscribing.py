"""How often unsubscribe links may be used: mail providers send the clicks of many from few addresses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from promptforge.actors.notifications.mail.messages import GetMailSubscription, SubscriptionKindView, Unsubscribe
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

    @handles(GetMailSubscription)
    async def about(self, message: GetMailSubscription, context: Context) -> SubscriptionKindView:
        return _about(message.token, subscribed=True)

    @handles(Unsubscribe)
    async def unsubscribe(self, message: Unsubscribe, context: Context) -> SubscriptionKindView:
        return _about(message.token, subscribed=False)


def _about(token: str, *, subscribed: bool) -> SubscriptionKindView:
    if not token.startswith("good"):
        raise NotFound("no link")
    return SubscriptionKindView("listing.sold", "Something was sold", subscribed)


@asynccontextmanager
async def linked() -> AsyncIterator[httpx.AsyncClient]:
    settings = HttpSettings(version="1", rate_limits=LIMITED)
    async with serving(Parts(settings=settings, actors=[Links()])) as service:
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
