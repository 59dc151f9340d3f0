"""Webhooks that are tied to an app: they are silent while the app may not act."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from promptforge.actors.notifications.webhooks.domain import MOST_OF_AN_APP
from promptforge.actors.notifications.webhooks.messages import (
    CreateWebhook,
    DeleteWebhook,
    DisableWebhook,
    EnableWebhook,
    GetWebhook,
    GetWebhookDelivery,
    ListWebhookDeliveries,
    ListWebhooks,
    RedeliverWebhook,
    RotateWebhookSecret,
    TestWebhook,
    UpdateWebhook,
)
from promptforge.actors.partnerships.apps.messages import CreatePartnerApp, DeletePartnerApp, RotateAppSecret
from promptforge.actors.partnerships.messages import PartnershipDecision
from promptforge.core.context import Context
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Principal, Role
from promptforge.deploy.upgrade.leftovers import give_apps_their_slots
from tests.integration.marketplace.branches import all_at_once
from tests.integration.notifications.post import Post, open_post
from tests.integration.partnerships.partners import decide, partner
from tests.support.market import raised
from tests.support.receiver import receiving

pytestmark = pytest.mark.anyio
URL = "https://example.com/hook"
SCOPES = ("webhooks:read", "webhooks:write")


@pytest.fixture
async def post(mongo: Mongo) -> AsyncIterator[Post]:
    async with open_post(mongo) as opened:
        yield opened


async def rotated(person: Context, partner_id: str, app_id: str, **how: bool) -> None:
    await person.ask(RotateAppSecret(partner_id=partner_id, app_id=app_id, **how))


async def app_of(person: Context, partner_id: str) -> str:
    return (await person.ask(CreatePartnerApp(partner_id=partner_id, name="Review site", scopes=SCOPES))).id


def program_of(post: Post, person: Context, app_id: str, *, generation: int = 0) -> Context:
    """With a token of the app."""
    scopes = frozenset(SCOPES)
    principal = Principal(person.user_id, "pat", scopes=scopes, key_id=app_id, key_generation=generation)
    return post.process.system.context(request_id="program", principal=principal)


async def test_an_apps_webhook_is_silent_while_the_app_may_not_act(post: Post) -> None:
    pat, admin = await post.person("pat"), await post.market.person("admin", Role.ADMIN)
    made = await partner(pat, admin)
    app_id = await app_of(pat, made.id)
    async with receiving() as receiver:
        webhook, _ = await post.webhook(pat, receiver, kinds=("listing.sold",), app_id=app_id)
        assert webhook.app_id == app_id
        await post.tell(pat, "1")
        await post.work()
        assert len(receiver.received) == 1
        await post.tell(pat, "2")  # it was on its way when the partner was suspended
        await decide(admin, made.id, PartnershipDecision.SUSPEND)
        await post.work()
        (latest, *_) = await post.deliveries(pat, webhook)
        assert (latest.state, latest.reason) == ("skipped", "app_stopped")
        await decide(admin, made.id, PartnershipDecision.LIFT)
        await post.tell(pat, "3")
        await post.work()
        assert len(receiver.received) == 2
        await pat.ask(DeletePartnerApp(partner_id=made.id, app_id=app_id))
        await post.tell(pat, "4")
        await post.work()
        assert len(receiver.received) == 2


async def test_a_webhook_is_tied_to_an_app_of_ones_own_that_may_act(post: Post) -> None:
    pat, eve = await post.person("pat"), await post.person("eve")
    admin = await post.market.person("admin", Role.ADMIN)
    made = await partner(pat, admin)
    app_id = await app_of(pat, made.id)
    assert await raised(eve, CreateWebhook(url=URL, app_id=app_id)) == "invalid_request"
    assert await raised(pat, CreateWebhook(url=URL, app_id="app_nobody")) == "invalid_request"
    await decide(admin, made.id, PartnershipDecision.SUSPEND)
    assert await raised(pat, CreateWebhook(url=URL, app_id=app_id)) == "invalid_request"


async def test_what_an_app_makes_is_its_own(post: Post) -> None:
    pat, admin = await post.person("pat"), await post.market.person("admin", Role.ADMIN)
    made = await partner(pat, admin)
    first, second = await app_of(pat, made.id), await app_of(pat, made.id)
    scopes = frozenset(SCOPES)
    program = program_of(post, pat, first)
    assert (await program.ask(CreateWebhook(url=URL))).webhook.app_id == first
    assert (await program.ask(CreateWebhook(url=URL, app_id=first))).webhook.app_id == first
    assert await raised(program, CreateWebhook(url=URL, app_id=second)) == "invalid_request"
    key = post.process.system.context(
        request_id="key", principal=Principal(pat.user_id, "pat", scopes=scopes, key_id="key_1")
    )
    assert (await key.ask(CreateWebhook(url=URL))).webhook.app_id is None


async def test_an_app_finds_no_webhooks_but_its_own(post: Post) -> None:
    """It could have what its owner is told sent to itself, signed with a secret that it has made."""
    pat, admin = await post.person("pat"), await post.market.person("admin", Role.ADMIN)
    made = await partner(pat, admin)
    mine, others = await app_of(pat, made.id), await app_of(pat, made.id)
    program = program_of(post, pat, mine)
    own = (await program.ask(CreateWebhook(url=URL))).webhook
    not_its = [(await pat.ask(CreateWebhook(url=URL, app_id=app_id))).webhook for app_id in (None, others)]
    assert await program.ask(GetWebhook(webhook_id=own.id)) == own
    for webhook in not_its:
        hook = webhook.id
        sent = (await pat.ask(TestWebhook(webhook_id=hook))).id
        for message in (
            GetWebhook(webhook_id=hook),
            ListWebhookDeliveries(webhook_id=hook),
            GetWebhookDelivery(webhook_id=hook, delivery_id=sent),
            UpdateWebhook(webhook_id=hook, url="https://evil.example/hook"),
            RotateWebhookSecret(webhook_id=hook),
            DisableWebhook(webhook_id=hook),
            EnableWebhook(webhook_id=hook),
            TestWebhook(webhook_id=hook),
            RedeliverWebhook(webhook_id=hook, delivery_id=sent),
            DeleteWebhook(webhook_id=hook),
        ):
            assert await raised(program, message) == "not_found", type(message).__name__
        assert await pat.ask(GetWebhook(webhook_id=hook)) == webhook
    assert (await program.ask(ListWebhooks())).items == (own,)
    assert [one.id for one in (await pat.ask(ListWebhooks())).items] == sorted(one.id for one in (own, *not_its))
    for message in (
        UpdateWebhook(webhook_id=own.id, description="Sales"),
        RotateWebhookSecret(webhook_id=own.id),
        DisableWebhook(webhook_id=own.id),
        EnableWebhook(webhook_id=own.id),
        TestWebhook(webhook_id=own.id),
        DeleteWebhook(webhook_id=own.id),
    ):
        assert await raised(program, message) == "done", type(message).__name__


async def test_with_a_leaked_secret_go_the_webhooks_if_their_owner_says_so_at_once(post: Post) -> None:
    """Silent from the commit on, before any job has deleted them; those of others stay."""
    pat, admin = await post.person("pat"), await post.market.person("admin", Role.ADMIN)
    made = await partner(pat, admin)
    app_id, other = await app_of(pat, made.id), await app_of(pat, made.id)
    async with receiving() as receiver:
        await post.webhook(pat, receiver, kinds=("listing.sold",), app_id=app_id)
        others = [(await pat.ask(CreateWebhook(url=URL, app_id=one))).id for one in (None, other)]
        await post.tell(pat, "1")
        await post.work()
        assert len(receiver.received) == 1
        await rotated(pat, made.id, app_id, leaked=True)
        await post.tell(pat, "2")
        await post.work()
        assert len(receiver.received) == 2, "a leaked secret alone leaves them"
        await post.tell(pat, "3")
        await rotated(pat, made.id, app_id, leaked=True, drop_webhooks=True)
        await post.work()
        assert len(receiver.received) == 2
        assert sorted(one.id for one in (await pat.ask(ListWebhooks())).items) == sorted(others)
        with_new_secret = program_of(post, pat, app_id, generation=2)
        assert (await with_new_secret.ask(CreateWebhook(url=URL))).webhook.app_id == app_id
        post.clock.advance(seconds=300)
        await post.work()
        assert len((await with_new_secret.ask(ListWebhooks())).items) == 1, "what was made afterwards stays"


async def test_what_a_leaked_secret_makes_at_that_moment_is_told_nothing(post: Post) -> None:
    """Its transaction began before the rotation and commits after it; the second look deletes it."""
    pat, admin = await post.person("pat"), await post.market.person("admin", Role.ADMIN)
    made = await partner(pat, admin)
    app_id = await app_of(pat, made.id)

    async def rotate() -> None:
        await rotated(pat, made.id, app_id, leaked=True, drop_webhooks=True)
        await post.work()

    program = program_of(post, pat, app_id)
    async with receiving() as receiver:
        post.transactions.before_commit = rotate
        await post.webhook(program, receiver, kinds=("listing.sold",))
        await post.tell(pat, "1")
        await post.work()
        assert receiver.received == []
        assert await raised(program, CreateWebhook(url=URL)) == "invalid_request", "its token is of the secret before"
        post.clock.advance(seconds=300)
        await post.work()
        assert (await pat.ask(ListWebhooks())).items == ()


async def test_dropping_webhooks_goes_with_a_leak_only(post: Post) -> None:
    pat, admin = await post.person("pat"), await post.market.person("admin", Role.ADMIN)
    made = await partner(pat, admin)
    rotation = RotateAppSecret(partner_id=made.id, app_id=await app_of(pat, made.id), drop_webhooks=True)
    assert await raised(pat, rotation) == "invalid_request"


async def test_with_an_app_or_its_partnership_go_its_webhooks(post: Post) -> None:
    pat, admin = await post.person("pat"), await post.market.person("admin", Role.ADMIN)
    made = await partner(pat, admin)
    first, second = await app_of(pat, made.id), await app_of(pat, made.id)
    for app_id in (None, first, second):
        await pat.ask(CreateWebhook(url=URL, app_id=app_id))
    await pat.ask(DeletePartnerApp(partner_id=made.id, app_id=first))
    await post.work()
    assert [one.app_id for one in (await pat.ask(ListWebhooks())).items] == [None, second]
    await decide(admin, made.id, PartnershipDecision.SUSPEND)
    await post.work()
    assert len((await pat.ask(ListWebhooks())).items) == 2, "a suspension may be lifted"
    await decide(admin, made.id, PartnershipDecision.END)
    await post.work()
    assert [one.app_id for one in (await pat.ask(ListWebhooks())).items] == [None]


async def test_an_app_has_room_of_its_own_and_takes_nobody_elses(post: Post) -> None:
    pat, admin = await post.person("pat"), await post.market.person("admin", Role.ADMIN)
    made = await partner(pat, admin)
    first, second = await app_of(pat, made.id), await app_of(pat, made.id)
    wanted = [(program_of(post, pat, first), CreateWebhook(url=URL))] * 12
    assert await all_at_once(wanted) == {"done": MOST_OF_AN_APP, "too_many_webhooks": 12 - MOST_OF_AN_APP}
    assert await raised(pat, CreateWebhook(url=URL, app_id=first)) == "too_many_webhooks"
    assert await raised(program_of(post, pat, second), CreateWebhook(url=URL)) == "done"
    assert await all_at_once([(pat, CreateWebhook(url=URL))] * 12) == {"done": 10, "too_many_webhooks": 2}
    assert len((await pat.ask(ListWebhooks())).items) == MOST_OF_AN_APP + 1 + 10


async def test_webhooks_of_apps_from_before_give_their_owners_room_back(post: Post) -> None:
    pat, admin = await post.person("pat"), await post.market.person("admin", Role.ADMIN)
    made = await partner(pat, admin)
    app_id = await app_of(pat, made.id)
    webhooks = post.process.mongo.collection("webhooks")
    mine = (await pat.ask(CreateWebhook(url=URL))).id
    for slot in range(1, 4):
        hook = (await pat.ask(CreateWebhook(url=URL, app_id=app_id))).id
        await webhooks.update_one({"_id": hook}, {"$set": {"slot": slot}, "$unset": {"app_generation": ""}})
    for _ in range(2):  # the migration can be run again
        await give_apps_their_slots(post.process.mongo)
    slots = {row["_id"]: row["slot"] async for row in webhooks.find({})}
    assert slots.pop(mine) == 0
    assert sorted(slots.values()) == [f"{app_id}:{number}" for number in range(1, 4)]
    assert await all_at_once([(pat, CreateWebhook(url=URL))] * 9) == {"done": 9}
