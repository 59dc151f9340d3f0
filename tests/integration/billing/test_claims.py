"""Refunds and disputes at a Stripe (the sandbox, through the SDK) take credits back, and give them back, once."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest

from promptforge.actors.billing.messages import ReplayWebhookEvent, WebhookEventState
from promptforge.core.jobs import Backoff
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Role
from tests.integration.billing.bank import amounts
from tests.integration.billing.shop import Shop, open_shop

pytestmark = pytest.mark.anyio


@pytest.fixture
async def shop(mongo: Mongo, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shop]:
    monkeypatch.setattr(Backoff, "seconds", lambda *_: 0.05)
    async with open_shop(mongo) as opened:
        yield opened


async def test_a_refund_takes_its_part_once_however_often_it_is_told(shop: Shop) -> None:
    user = await shop.bank.user()
    _, charge = await shop.buy(user)
    await shop.refund(charge, 200)
    await shop.hear(await shop.told() * 3)
    assert amounts(await shop.bank.credits(user)) == {"purchased": "300"}
    await shop.refund(charge, 300)
    await shop.hear(await shop.told())
    assert amounts(await shop.bank.credits(user)) == {}
    assert await shop.states() <= {"processed", "ignored"}
    assert (await shop.bank.verify()).ok


async def test_a_refund_whose_event_never_came_is_found_by_the_charges(shop: Shop) -> None:
    user = await shop.bank.user()
    _, charge = await shop.buy(user)
    await shop.refund(charge, 100)
    await shop.refund(charge, 100)
    await shop.hear([event for event in await shop.told() if not event["type"].startswith("refund.")])
    assert amounts(await shop.bank.credits(user)) == {"purchased": "300"}


async def test_a_refund_after_the_credits_were_spent_is_a_debt(shop: Shop) -> None:
    user, seller = await shop.bank.user(), await shop.bank.user()
    _, charge = await shop.buy(user)
    await shop.hear(await shop.told())
    await shop.bank.charge(user, seller, 400)
    await shop.refund(charge, 500)
    await shop.hear(await shop.told())
    assert amounts(await shop.bank.credits(user)) == {"debt": "400"}
    assert (await shop.bank.verify()).ok


async def test_several_refunds_for_fraud_undo_sales_of_one_in_the_transaction_that_tells_of_them(shop: Shop) -> None:
    """The rest is undone by jobs, so that no transaction lasts for a minute; whoever is told of it hears it once."""
    user, seller = await shop.bank.user(), await shop.bank.user()
    _, charge = await shop.buy(user)
    await shop.hear(await shop.told())
    for number in range(5):
        await shop.bank.charge(user, seller, 100, f"pur_{number}")
    for _ in range(5):
        await shop.refund(charge, 100, reason="fraudulent")
    (event,) = [one for one in await shop.told() if one["type"] == "charge.refunded"][-1:]
    await shop.hear([event])
    assert amounts(await shop.bank.credits(user)) == {}
    assert amounts(await shop.bank.credits(seller)) == {}
    jobs = await shop.bank.collection("jobs").count_documents({"kind": "billing.UndoSales"})
    assert jobs > 0
    undone = await shop.bank.collection("ledger_journals").find({"kind": "purchase_refund"}).to_list(None)
    at = [row["created_at"] for row in undone]
    assert (len(at), len(set(at)) > 1) == (5, True), "not all in one"
    assert (await shop.bank.verify()).ok


async def test_a_refund_that_fails_later_gives_back(shop: Shop) -> None:
    user = await shop.bank.user()
    _, charge = await shop.buy(user)
    refund = await shop.refund(charge, 500)
    await shop.hear(await shop.told())
    assert amounts(await shop.bank.credits(user)) == {}
    await shop.till.control(f"/refunds/{refund}/fail")
    await shop.hear(await shop.told())
    assert amounts(await shop.bank.credits(user)) == {"purchased": "500"}
    assert (await shop.bank.verify()).ok


async def test_a_refund_that_is_heard_of_before_the_payment_waits_for_it(shop: Shop) -> None:
    user = await shop.bank.user()
    _, charge = await shop.buy(user)
    await shop.refund(charge, 100)
    await shop.hear(list(reversed(await shop.told())))
    assert amounts(await shop.bank.credits(user)) == {"purchased": "400"}


async def test_an_inquiry_moves_nothing(shop: Shop) -> None:
    user = await shop.bank.user()
    _, charge = await shop.buy(user)
    dispute = await shop.dispute(charge, inquiry=True)
    await shop.hear(await shop.told())
    view = await shop.bank.credits(user)
    assert (view.purchased, view.frozen) == ("500", "0")
    await shop.till.control(f"/disputes/{dispute}", {"outcome": "escalated"})
    await shop.hear(await shop.told())
    assert amounts(await shop.bank.credits(user)) == {}


async def comes_to(shop: Shop, dispute: str, status: str, *, money_back: bool) -> None:
    """As no bank of the sandbox's does: what was a dispute ends as if it had been none."""
    world = shop.till.sandbox.world
    row = world.get("dispute", dispute)
    moved = [{"amount": row["amount"]}] if money_back and row["balance_transactions"] else []
    row |= {"status": status, "balance_transactions": [*row["balance_transactions"], *moved]}
    world.emit("charge.dispute.closed", row, account=world.owner("dispute", dispute))


@pytest.mark.parametrize("status", ["prevented", "warning_closed"])
@pytest.mark.parametrize("money_back", [True, False])
async def test_a_dispute_that_ends_as_if_it_had_been_none_leaves_what_its_money_says(
    shop: Shop, status: str, *, money_back: bool
) -> None:
    user = await shop.bank.user()
    _, charge = await shop.buy(user)
    dispute = await shop.dispute(charge, amount=200)
    await shop.hear(await shop.told())
    assert (await shop.bank.credits(user)).frozen == "300"
    read_before = await shop.read(dispute)
    await comes_to(shop, dispute, status, money_back=money_back)
    await shop.hear(await shop.told())
    await shop.bank.context().transaction(read_before)
    view = await shop.bank.credits(user)
    assert (view.purchased, view.frozen) == ("500" if money_back else "300", "0")
    assert await shop.states() <= {"processed", "ignored"}
    assert (await shop.bank.verify()).ok


@pytest.mark.parametrize(("outcome", "left"), [("won", {"purchased": "500"}), ("lost", {})])
async def test_a_dispute_takes_the_credits_and_gives_them_back_once_where_it_is_won(
    shop: Shop, outcome: str, left: dict[str, str]
) -> None:
    user = await shop.bank.user()
    _, charge = await shop.buy(user)
    dispute = await shop.dispute(charge)
    await shop.hear(await shop.told())
    assert amounts(await shop.bank.credits(user)) == {}
    await shop.till.control(f"/disputes/{dispute}", {"outcome": outcome})
    await shop.hear(await shop.told() * 2)
    view = await shop.bank.credits(user)
    assert (amounts(view), view.frozen) == (left, "0")
    assert (await shop.bank.verify()).ok


async def test_a_refund_and_a_dispute_of_one_charge_never_take_twice(shop: Shop) -> None:
    user = await shop.bank.user(purchased=1000)
    _, charge = await shop.buy(user)
    await shop.refund(charge, 300)
    await shop.dispute(charge, amount=500)  # of the whole charge, though part of it was refunded
    await shop.hear(await shop.told())
    assert amounts(await shop.bank.credits(user)) == {"purchased": "1000"}
    assert await shop.bank.balance_of("platform:losses") == -300_000
    assert (await shop.bank.verify()).ok


async def test_news_read_before_a_dispute_was_closed_do_not_freeze_it_again(shop: Shop) -> None:
    user = await shop.bank.user()
    _, charge = await shop.buy(user)
    dispute = await shop.dispute(charge)
    await shop.hear(await shop.told())
    read_before = await shop.read(dispute)
    await shop.till.control(f"/disputes/{dispute}", {"outcome": "won"})
    await shop.hear(await shop.told())
    await shop.bank.context().transaction(read_before)
    view = await shop.bank.credits(user)
    assert (view.purchased, view.frozen) == ("500", "0")


@pytest.mark.parametrize("seed", range(6))
async def test_in_whatever_order_and_how_often_the_end_is_the_same(shop: Shop, seed: int) -> None:
    chance = random.Random(seed)
    user = await shop.bank.user()
    _, charge = await shop.buy(user)
    first = await shop.refund(charge, 120)
    await shop.refund(charge, 80)
    await shop.till.control(f"/refunds/{first}/fail")
    dispute = await shop.dispute(charge, amount=100)
    await shop.till.control(f"/disputes/{dispute}", {"outcome": "won"})
    events = await shop.told()
    heard = events + chance.choices(events, k=len(events))
    chance.shuffle(heard)
    await shop.hear(heard)
    view = await shop.bank.credits(user)
    assert (amounts(view), view.frozen) == ({"purchased": "420"}, "0")
    assert await shop.states() <= {WebhookEventState.PROCESSED, WebhookEventState.IGNORED}
    assert (await shop.bank.verify()).ok


async def test_a_stripe_that_fails_for_a_while_only_delays(shop: Shop) -> None:
    user = await shop.bank.user()
    _, charge = await shop.buy(user)
    await shop.refund(charge, 500)
    for kind in ("disconnect", "rate_limit"):  # the first is tried again at once, the other one later
        await shop.till.control("/faults", {"operation": "refunds.retrieve", "kind": kind})
    await shop.hear(await shop.told())
    assert amounts(await shop.bank.credits(user)) == {}
    assert await shop.states() <= {"processed", "ignored"}


async def test_a_dispute_quarantined_before_its_person_left_still_takes_the_credits(shop: Shop) -> None:
    """What is left of its event tells nothing of them, and is enough for an operator's replay."""
    user = await shop.bank.user()
    _, charge = await shop.buy(user)
    await shop.hear(await shop.told())
    dispute = await shop.dispute(charge)
    (event,) = [one for one in await shop.told() if one["type"] == "charge.dispute.created"]
    event["data"]["object"]["evidence"] = {"customer_email_address": "ada@example.com"}
    event["data"]["object"]["customer"] = "cus_gone"
    people = shop.bank.collection("users")
    await people.update_one({"_id": user}, {"$set": {"closed_at": shop.bank.context().now()}})
    await shop.bank.collection("stripe_customers").update_one(
        {"_id": user}, {"$set": {"customer_id": "cus_gone"}}, upsert=True
    )
    await shop.hear([{**event, "api_version": "2099-01-01.unheard"}])
    rows = shop.bank.collection("webhook_events")
    row = await rows.find_one({"event_id": event["id"]})
    assert row is not None
    assert row["state"] == "quarantined"
    assert row["payload"]["data"] == {"object": {"object": "dispute", "id": dispute, "currency": "usd"}}
    await rows.update_one({"event_id": event["id"]}, {"$set": {"api_version": event["api_version"]}})
    await shop.bank.context("usr_op", Role.OPERATOR).ask(ReplayWebhookEvent(event_id=event["id"]))
    await shop.bank.until_event(event["id"], "processed")
    assert amounts(await shop.bank.credits(user)) == {}
    assert (await shop.bank.verify()).ok
