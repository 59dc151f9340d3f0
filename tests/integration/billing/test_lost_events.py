"""What crashes and lost deliveries leave behind is found: by the sweeper, by operators, by comparing with Stripe."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from promptforge.actors.billing.errors import EventApplied
from promptforge.actors.billing.messages import (
    GetWebhookEvent,
    ReplayWebhookEvent,
    SweepStripeEvents,
    WebhookEventState,
)
from promptforge.actors.billing.reconciliation.messages import (
    ReconcileStripe,
    ReconciliationReport,
    RequestReconciliation,
)
from promptforge.core.clock import SystemClock
from promptforge.core.errors import Forbidden
from promptforge.core.jobs import Backoff
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Role
from promptforge.http.webhooks import event_from
from tests.integration.billing.bank import Bank, amounts, open_bank, session_event
from tests.integration.billing.shop import Shop, open_shop
from tests.support.stripe_sandbox import open_till, stripe_api

pytestmark = pytest.mark.anyio


@pytest.fixture
async def shop(mongo: Mongo, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shop]:
    monkeypatch.setattr(Backoff, "seconds", lambda *_: 0.05)
    async with open_shop(mongo) as opened:
        yield opened


async def age(bank: Bank) -> None:
    """Make all events old enough to be swept."""
    rows = await bank.collection("webhook_events").find({}).to_list(None)
    for row in rows:
        old = {"$set": {"created_at": row["created_at"] - timedelta(hours=1)}}
        await bank.collection("webhook_events").update_one({"_id": row["_id"]}, old)


async def test_an_event_whose_job_is_gone_is_finished_by_the_sweeper(mongo: Mongo) -> None:
    async with open_bank(mongo, running=False) as bank:
        user = await bank.user()
        await bank.record(session_event(await bank.checkout(user)))
        await bank.collection("jobs").delete_many({})
        assert await bank.context().ask(SweepStripeEvents()) == 0, "it has just come"
        await age(bank)
        assert await bank.context().ask(SweepStripeEvents()) == 1
        assert await bank.context().ask(SweepStripeEvents()) == 1
        assert await bank.collection("jobs").count_documents({}) == 1, "the second time it had a job already"
        await bank.process.runner.drain()
        assert amounts(await bank.credits(user)) == {"purchased": "500"}
        assert await bank.context().ask(SweepStripeEvents()) == 0


async def test_operators_replay_what_was_refused_and_nobody_what_was_applied(bank: Bank) -> None:
    user = await bank.user()
    checkout = await bank.checkout(user)
    await bank.record(session_event(checkout, session={"amount_subtotal": 77}))
    await bank.until_event("evt_1", "quarantined")
    operator = bank.context("usr_op", Role.OPERATOR)
    with pytest.raises(Forbidden):
        await bank.context(user).ask(ReplayWebhookEvent(event_id="evt_1"))
    await bank.collection("checkouts").update_one({"_id": checkout.id}, {"$set": {"pack.price_minor_units": 77}})
    replayed = await operator.ask(ReplayWebhookEvent(event_id="evt_1"))
    assert replayed.state == WebhookEventState.RECEIVED
    await bank.until_event("evt_1", "processed")
    assert amounts(await bank.credits(user)) == {"purchased": "500"}
    with pytest.raises(EventApplied):
        await operator.ask(ReplayWebhookEvent(event_id="evt_1"))
    shown = await operator.ask(GetWebhookEvent(event_id="evt_1"))
    assert shown.payload["data"]["object"]["amount_subtotal"] == 77
    (entry,) = await bank.collection("audit_log").find({"action": "webhook_event.replayed"}).to_list(2)
    assert (entry["target"], entry["before"]["state"]) == ("evt_1", "quarantined")


async def test_a_replay_of_what_is_still_wrong_is_refused_again(bank: Bank) -> None:
    user = await bank.user()
    await bank.record(session_event(await bank.checkout(user), session={"currency": "jpy"}))
    await bank.until_event("evt_1", "quarantined")
    await bank.context("usr_op", Role.OPERATOR).ask(ReplayWebhookEvent(event_id="evt_1"))
    await bank.until_quiet()
    await bank.until_event("evt_1", "quarantined")
    assert amounts(await bank.credits(user)) == {}


async def test_a_key_that_stripe_does_not_take_costs_no_event(mongo: Mongo) -> None:
    """A key is rotated, and this process has the old one for a while."""
    told = {
        "id": "evt_1",
        "object": "event",
        "type": "refund.created",
        "api_version": "2026-10-28.endive",
        "livemode": False,
        "created": 1_795_000_000,
        "data": {"object": {"id": "re_1", "object": "refund"}},
    }
    async with (
        open_till() as till,
        stripe_api(till.sandbox.url, "sk_test_of_before") as api,
        open_bank(mongo, api=api, running=False) as bank,
    ):
        await bank.record(event_from(json.dumps(told).encode()))
        await bank.process.runner.drain()
        shown = await bank.context("usr_op", Role.OPERATOR).ask(GetWebhookEvent(event_id="evt_1"))
        assert (shown.event.state, "key" in (shown.event.reason or "")) == (WebhookEventState.RECEIVED, True)


async def reconciled(shop: Shop) -> ReconciliationReport:
    await shop.till.quiet()
    report = await shop.bank.context().ask(ReconcileStripe())
    await shop.bank.until_quiet()
    return report


async def test_what_never_arrived_is_found_at_stripe_and_applied_once(shop: Shop) -> None:
    user = await shop.bank.user()
    _, charge = await shop.buy(user)
    await shop.refund(charge, 100)
    report = await reconciled(shop)
    assert report.events_recorded == report.events > 2
    assert amounts(await shop.bank.credits(user)) == {"purchased": "400"}
    again = await reconciled(shop)
    assert (again.events, again.events_recorded) == (report.events, 0)
    assert (again.refunds, again.refunds_applied, again.unresolved) == (1, 0, ())
    await shop.hear(await shop.told())
    assert amounts(await shop.bank.credits(user)) == {"purchased": "400"}
    assert (await shop.bank.verify()).ok


async def test_a_refund_and_a_dispute_without_any_event_are_applied(shop: Shop) -> None:
    user = await shop.bank.user()
    _, charge = await shop.buy(user)
    await shop.hear(await shop.told())
    await shop.refund(charge, 100)
    await shop.dispute(charge, amount=400)
    report = await reconciled_without_events(shop)
    assert (report.refunds_applied, report.disputes_applied) == (1, 1)
    assert amounts(await shop.bank.credits(user)) == {}
    assert (await shop.bank.verify()).ok


async def test_the_end_of_a_dispute_that_never_took_money_is_found_without_any_event(shop: Shop) -> None:
    """Its bank takes the money only once it is lost, so that no claim differs: the credits would stay frozen."""
    user = await shop.bank.user()
    _, charge = await shop.buy(user)
    dispute = await shop.dispute(charge, amount=400)
    row = shop.till.sandbox.world.get("dispute", dispute)
    row["balance_transactions"] = []
    await shop.hear(await shop.told())
    view = await shop.bank.credits(user)
    assert (view.purchased, view.frozen) == ("500", "500")
    row["status"] = "won"
    report = await reconciled_without_events(shop)
    assert report.disputes_applied == 1
    view = await shop.bank.credits(user)
    assert (view.purchased, view.frozen) == ("500", "0")
    assert (await reconciled_without_events(shop)).disputes_applied == 0


async def reconciled_without_events(shop: Shop) -> ReconciliationReport:
    """As if all events had been recorded, and their effects lost."""
    for event in await shop.told():
        row = {"event_id": event["id"], "_id": event["id"], "state": "ignored"}
        where = {"event_id": event["id"]}
        await shop.bank.collection("webhook_events").update_one(where, {"$setOnInsert": row}, upsert=True)
    return await reconciled(shop)


async def test_a_stripe_that_knows_of_nothing_any_more_changes_nothing(mongo: Mongo) -> None:
    async with open_shop(mongo) as before:
        user = await before.bank.user()
        _, charge = await before.buy(user)
        await before.refund(charge, 100)
        await before.hear(await before.told())
    async with open_shop(mongo) as after:
        report = await reconciled(after)
        assert (report.events, report.refunds, report.disputes, report.unresolved) == (0, 0, 0, ())
        assert amounts(await after.bank.credits(user)) == {"purchased": "400"}


class LaterClock(SystemClock):
    """Forty days from now."""

    def now(self) -> datetime:
        return super().now() + timedelta(days=40)


async def test_what_is_older_than_stripe_tells_is_not_found_by_a_comparison(shop: Shop) -> None:
    user = await shop.bank.user()
    _, charge = await shop.buy(user)
    await shop.refund(charge, 100)
    await shop.till.quiet()
    shop.bank.process.system.clock = LaterClock()
    report = await shop.bank.context().ask(ReconcileStripe())
    assert (report.events, report.refunds, report.disputes, report.unresolved) == (0, 0, 0, ())
    assert amounts(await shop.bank.credits(user)) == {}


async def test_a_late_refund_of_an_old_payment_is_found_and_applied(shop: Shop) -> None:
    """How old the payment is does not matter: what is listed are refunds."""
    user = await shop.bank.user()
    _, charge = await shop.buy(user)
    await shop.hear(await shop.told())
    await shop.till.control("/clock", {"seconds": 40 * 86_400})
    await shop.refund(charge, 100)
    shop.bank.process.system.clock = LaterClock()
    report = await shop.bank.context().ask(ReconcileStripe())
    await shop.bank.until_quiet()
    assert report.refunds == 1
    assert amounts(await shop.bank.credits(user)) == {"purchased": "400"}


async def test_an_event_that_was_kept_is_replayed_however_old_it_is(bank: Bank) -> None:
    """Nothing of it is asked of Stripe's list of events: the payload was kept, and objects stay at Stripe."""
    user = await bank.user()
    checkout = await bank.checkout(user)
    await bank.record(session_event(checkout, session={"amount_subtotal": 77}, created=1_600_000_000))
    await bank.until_event("evt_1", "quarantined")
    events = bank.collection("webhook_events")
    await events.update_one({"event_id": "evt_1"}, {"$set": {"created_at": datetime(2021, 1, 1, tzinfo=UTC)}})
    await bank.collection("checkouts").update_one({"_id": checkout.id}, {"$set": {"pack.price_minor_units": 77}})
    await bank.context("usr_op", Role.OPERATOR).ask(ReplayWebhookEvent(event_id="evt_1"))
    await bank.until_event("evt_1", "processed")
    assert amounts(await bank.credits(user)) == {"purchased": "500"}


async def test_what_is_of_somebody_elses_payment_is_told_and_left_alone(shop: Shop) -> None:
    charge = await shop.till.charge(2000)
    refund = await shop.refund(charge.id, 100)
    assert (await reconciled_without_events(shop)).unresolved == (refund,)


async def test_operators_ask_for_a_comparison_and_find_its_report_with_the_job(shop: Shop) -> None:
    operator = shop.bank.context("usr_op", Role.OPERATOR)
    started = await operator.ask(RequestReconciliation())
    await shop.bank.process.until_done(started.job_id)
    assert (await shop.bank.process.store.get(started.job_id)).result["events"] == 0
    with pytest.raises(Forbidden):
        await shop.bank.context(await shop.bank.user()).ask(RequestReconciliation())
