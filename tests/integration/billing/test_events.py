"""Stripe's events: recorded once, applied once per fact, and never dropped."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from promptforge.actors.billing.events.recording import EVENT_ATTEMPTS
from promptforge.actors.billing.messages import GetCheckout, ListWebhookEvents, ProcessStripeEvent, WebhookEventState
from promptforge.core.context import JobInfo
from promptforge.core.errors import Forbidden
from promptforge.core.jobs import Backoff
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Role
from tests.integration.billing.bank import Bank, Interrupted, amounts, open_bank, session_event

pytestmark = pytest.mark.anyio

SUCCEEDED = "checkout.session.async_payment_succeeded"


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backoff, "seconds", lambda *_: 0.0)


async def test_a_paid_session_brings_the_pack_of_its_checkout(bank: Bank) -> None:
    user = await bank.user()
    checkout = await bank.checkout(user, "pack_1000")
    assert await bank.record(session_event(checkout)) is False
    row = await bank.until_event("evt_1", "processed")
    await bank.until_quiet()
    assert (row["attempts"], row["reason"], row["finished_at"] is not None) == (1, None, True)
    assert amounts(await bank.credits(user)) == {"purchased": "1025"}
    paid = await bank.context(user).ask(GetCheckout(checkout_id=checkout.id))
    assert (paid.state, paid.paid_at is not None) == ("paid", True)
    (told,) = bank.notified.told
    assert (told.user_id, told.kind, told.title) == (user, "credits.granted", "1025 credits are yours")
    assert (await bank.verify()).ok


ABOUT = {
    "direct": ({"client_reference_id": "USER"}, None),
    "customer": ({"customer": "cus_1"}, None),
    "customer before": ({"customer": "cus_0"}, None),
    "account": ({}, "acct_1"),
    "checkout": ({"id": "cs_1"}, None),
    "charge": ({"charge": "ch_1"}, None),
    "nobody": ({"id": "cus_2", "customer": "cus_2", "charge": "ch_2"}, None),
}


@pytest.mark.parametrize("way", ABOUT)
@pytest.mark.parametrize("kind", ["invoice.created", "payout.paid", "charge.refunded"])
async def test_of_who_has_left_nothing_stays_of_an_event_that_comes_later(bank: Bank, way: str, kind: str) -> None:
    """Whether it is ignored, quarantined or about something: but for what a replay reads."""
    gone, there = await bank.user(), await bank.user()
    planted: dict[str, dict[str, object]] = {
        "stripe_customers": {"_id": gone, "customer_id": "cus_1", "gone": ["cus_0"]},
        "connect_accounts": {"_id": gone, "account_id": "acct_1"},
        "checkouts": {"_id": "chk_1", "user_id": gone, "session_id": "cs_1"},
        "receipts": {"_id": "rct_1", "user_id": gone, "topup_id": "topup_1", "paid": {"charge": "ch_1"}},
    }
    for name, row in planted.items():
        await bank.collection(name).insert_one(row)
    fields, account = ABOUT[way]
    told = {**fields, "object": "thing", "receipt_email": "ada@example.com"}
    if "client_reference_id" in told:
        told["client_reference_id"] = gone
    stored = {
        "_id": "whe_1",
        "event_id": "evt_1",
        "type": kind,
        "account": account,
        "payload": {"data": {"object": told}},
    }
    facts = {"api_version": "2026-10-28.endive", "livemode": False, "created": 1, "attempts": 0, "reason": None}
    times = {"created_at": bank.context().now(), "received_at": bank.context().now(), "finished_at": None}
    events, people = bank.collection("webhook_events"), bank.collection("users")

    async def payload_after(closed: str) -> object:
        await people.update_many({}, {"$set": {"closed_at": None}})
        await people.update_one({"_id": closed}, {"$set": {"closed_at": bank.context().now()}})
        await events.delete_many({})
        await events.insert_one({**stored, **facts, **times, "state": "received"})
        await bank.context().ask(ProcessStripeEvent(event_id="evt_1"))
        row = await events.find_one({"event_id": "evt_1"})
        assert row is not None
        assert row["finished_at"] is not None
        return row["payload"]

    assert await payload_after(there) == stored["payload"]
    left = {name: value for name, value in told.items() if name in {"object", "id", "client_reference_id"}}
    assert await payload_after(gone) == (stored["payload"] if way == "nobody" else {"data": {"object": left}})


async def test_an_event_50_times_in_a_row_has_one_effect(bank: Bank) -> None:
    user = await bank.user()
    event = session_event(await bank.checkout(user))
    duplicates = [await bank.record(event) for _ in range(50)]
    await bank.until_event("evt_1", "processed")
    await bank.until_quiet()
    assert duplicates == [False] + [True] * 49
    assert amounts(await bank.credits(user)) == {"purchased": "500"}
    assert await bank.collection("webhook_events").count_documents({}) == 1
    assert len(bank.notified.told) == 1
    assert (await bank.verify()).ok


async def test_an_event_50_times_at_once_has_one_effect_in_every_process(bank: Bank, mongo: Mongo) -> None:
    user = await bank.user()
    event = session_event(await bank.checkout(user))
    duplicates: list[bool] = []
    async with open_second(mongo) as other, anyio.create_task_group() as tasks:

        async def record(at: Bank) -> None:
            duplicates.append(await at.record(event))

        for number in range(50):
            tasks.start_soon(record, (bank, other)[number % 2])
    await bank.until_event("evt_1", "processed")
    await bank.until_quiet()
    assert sorted(duplicates) == [False] + [True] * 49
    assert amounts(await bank.credits(user)) == {"purchased": "500"}
    assert await bank.collection("jobs").count_documents({"kind": "billing.ProcessStripeEvent"}) == 1
    assert (await bank.verify()).ok


async def test_applying_an_event_many_times_at_once_applies_it_once(bank: Bank, mongo: Mongo) -> None:
    user = await bank.user()
    event = session_event(await bank.checkout(user))
    async with open_second(mongo) as other:
        await other.record(event)
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                at = (bank, other)[number % 2]
                tasks.start_soon(at.context().ask, ProcessStripeEvent(event_id="evt_1"))
    row = await bank.until_event("evt_1", "processed")
    await bank.until_quiet()
    assert row["attempts"] == 1
    assert amounts(await bank.credits(user)) == {"purchased": "500"}
    assert len(bank.notified.told) == 1
    assert (await bank.verify()).ok


async def test_two_events_that_tell_one_fact_grant_once(bank: Bank) -> None:
    user = await bank.user()
    checkout = await bank.checkout(user)
    async with anyio.create_task_group() as tasks:
        for number, kind in enumerate(["checkout.session.completed", SUCCEEDED] * 4):
            tasks.start_soon(bank.record, session_event(checkout, f"evt_{number}", kind=kind))
    for number in range(8):
        await bank.until_event(f"evt_{number}", "processed")
    await bank.until_quiet()
    assert amounts(await bank.credits(user)) == {"purchased": "500"}
    assert len(bank.notified.told) == 1
    assert (await bank.verify()).ok


async def test_an_unpaid_session_grants_nothing_until_the_payment_succeeds(bank: Bank) -> None:
    user = await bank.user()
    checkout = await bank.checkout(user)
    await bank.record(session_event(checkout, "evt_1", session={"payment_status": "unpaid"}))
    await bank.until_event("evt_1", "processed")
    assert amounts(await bank.credits(user)) == {}
    assert (await bank.context(user).ask(GetCheckout(checkout_id=checkout.id))).state == "processing"
    await bank.record(session_event(checkout, "evt_2", kind=SUCCEEDED))
    await bank.until_event("evt_2", "processed")
    assert amounts(await bank.credits(user)) == {"purchased": "500"}
    assert (await bank.context(user).ask(GetCheckout(checkout_id=checkout.id))).state == "paid"
    assert (await bank.verify()).ok


async def test_news_that_come_in_the_wrong_order_end_the_same(bank: Bank) -> None:
    user = await bank.user()
    checkout = await bank.checkout(user)
    await bank.record(session_event(checkout, "evt_2", kind=SUCCEEDED))
    await bank.until_event("evt_2", "processed")
    await bank.record(session_event(checkout, "evt_1", session={"payment_status": "unpaid"}))
    await bank.until_event("evt_1", "processed")
    assert amounts(await bank.credits(user)) == {"purchased": "500"}
    assert (await bank.context(user).ask(GetCheckout(checkout_id=checkout.id))).state == "paid"


@pytest.mark.parametrize(
    ("session", "changes", "why"),
    [
        ({"amount_subtotal": 1}, {}, "subtotal"),
        ({"currency": "jpy"}, {}, "currency"),
        ({}, {"livemode": True}, "livemode"),
        ({}, {"account": "acct_seller"}, "connected account"),
        ({}, {"api_version": "someday"}, "API version"),
        ({"amount_subtotal": "500"}, {}, "shape"),
    ],
)
async def test_what_does_not_fit_is_quarantined_and_not_applied(
    bank: Bank, session: dict[str, Any], changes: dict[str, Any], why: str
) -> None:
    user = await bank.user()
    checkout = await bank.checkout(user)
    await bank.record(session_event(checkout, session=session, **changes))
    row = await bank.until_event("evt_1", "quarantined")
    assert why in row["reason"]
    assert amounts(await bank.credits(user)) == {}
    assert (await bank.context(user).ask(GetCheckout(checkout_id=checkout.id))).state == "open"
    assert (await bank.verify()).ok


async def test_types_that_nothing_depends_on_are_kept_and_ignored(bank: Bank) -> None:
    checkout = await bank.checkout(await bank.user())
    await bank.record(session_event(checkout, kind="customer.created"))
    await bank.until_event("evt_1", "ignored")


async def test_one_of_the_other_mode_is_quarantined_also_where_nothing_depends_on_its_type(bank: Bank) -> None:
    checkout = await bank.checkout(await bank.user())
    await bank.record(session_event(checkout, kind="imagined.happened", livemode=True))
    await bank.until_event("evt_1", "quarantined")


async def test_a_pack_is_granted_as_it_was_when_the_checkout_was_made(bank: Bank) -> None:
    user = await bank.user()
    checkout = await bank.checkout(user)
    snapshot = {"pack.credits": 77_000, "pack.price_minor_units": 77}  # what was sold before the packs were changed
    await bank.collection("checkouts").update_one({"_id": checkout.id}, {"$set": snapshot})
    await bank.record(session_event(checkout, session={"amount_subtotal": 77}))
    await bank.until_event("evt_1", "processed")
    assert amounts(await bank.credits(user)) == {"purchased": "77"}


async def test_an_unknown_session_is_kept_and_applied_once_it_is_known(bank: Bank, quick_retries: None) -> None:
    user = await bank.user()
    checkout = await bank.checkout(user)
    hidden = {"$set": {"session_id": "cs_test_another"}}
    await bank.collection("checkouts").update_one({"_id": checkout.id}, hidden)
    context = bank.context()
    await bank.record(session_event(checkout))
    row = await bank.until_event("evt_1", "failed")
    assert row["reason"].startswith("unknown_checkout")
    assert context.job is None
    await bank.collection("checkouts").update_one({"_id": checkout.id}, {"$set": {"session_id": checkout.session_id}})
    await bank.until_event("evt_1", "processed")
    assert amounts(await bank.credits(user)) == {"purchased": "500"}


async def test_a_session_that_stays_unknown_ends_dead_and_visible(bank: Bank, quick_retries: None) -> None:
    checkout = await bank.checkout(await bank.user())
    await bank.record(session_event(checkout, session={"id": "cs_test_nobodys"}))
    row = await bank.until_event("evt_1", "dead")
    assert row["attempts"] == EVENT_ATTEMPTS
    await bank.until_quiet()
    (job,) = await bank.collection("jobs").find({"kind": "billing.ProcessStripeEvent"}).to_list(2)
    assert job["state"] == "dead"
    operator = bank.context("usr_op", Role.OPERATOR)
    (shown,) = (await operator.ask(ListWebhookEvents(state=WebhookEventState.DEAD))).items
    assert (shown.event_id, shown.attempts) == ("evt_1", EVENT_ATTEMPTS)
    assert shown.reason is not None


async def test_nobody_who_has_left_is_granted_what_they_pay_in_the_same_moment(bank: Bank) -> None:
    user = await bank.user()
    checkout = await bank.checkout(user)
    await bank.collection("users").update_one({"_id": user}, {"$set": {"closed_at": bank.context().now()}})
    await bank.record(session_event(checkout))
    row = await bank.until_event("evt_1", "quarantined")
    assert "refund the payment" in row["reason"]
    assert amounts(await bank.credits(user)) == {}
    assert (await bank.verify()).ok


async def test_one_that_ends_dead_after_its_person_left_tells_nothing_of_them(bank: Bank, quick_retries: None) -> None:
    user = await bank.user()
    checkout = await bank.checkout(user)
    await bank.collection("users").update_one({"_id": user}, {"$set": {"closed_at": bank.context().now()}})
    whose = {"id": "cs_test_nobodys", "client_reference_id": user, "customer_details": {"email": "ada@example.com"}}
    await bank.record(session_event(checkout, session=whose))
    row = await bank.until_event("evt_1", "dead")
    assert "customer_details" not in row["payload"]["data"]["object"]
    assert row["payload"]["data"]["object"]["id"] == "cs_test_nobodys"


async def test_an_unexpected_failure_shows_and_leaves_nothing_behind(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_bank(mongo, running=False) as bank:
        user = await bank.user()
        await bank.record(session_event(await bank.checkout(user)))

        def broken(*_: object, **__: object) -> None:
            raise KeyError("secret-payload")

        context = bank.process.system.context(request_id="r", trusted=True, job=JobInfo("job_1", 1))
        with monkeypatch.context() as patch:
            patch.setattr("promptforge.actors.billing.events.checkouts.credits_granted", broken)
            with pytest.raises(KeyError):
                await context.ask(ProcessStripeEvent(event_id="evt_1"))
        row = await bank.until_event("evt_1", "failed")
        assert row["reason"] == "KeyError", "what it said stays in the log"
        assert amounts(await bank.credits(user)) == {}, "the grant was made, and went with the transaction"
        await context.ask(ProcessStripeEvent(event_id="evt_1"))
        assert amounts(await bank.credits(user)) == {"purchased": "500"}
        assert (await bank.verify()).ok


async def test_an_event_that_is_not_committed_has_no_job(bank: Bank) -> None:
    event = session_event(await bank.checkout(await bank.user()))
    bank.transactions.interrupt_next = True
    with pytest.raises(Interrupted):
        await bank.record(event)
    assert await bank.collection("webhook_events").count_documents({}) == 0
    assert await bank.collection("jobs").count_documents({}) == 0
    assert await bank.record(event) is False


async def test_an_effect_that_is_not_committed_leaves_its_event_unfinished(mongo: Mongo) -> None:
    async with open_bank(mongo, running=False) as bank:
        user = await bank.user()
        checkout = await bank.checkout(user)
        await bank.record(session_event(checkout))
        bank.transactions.interrupt_next = True
        with pytest.raises(Interrupted):
            await bank.context().ask(ProcessStripeEvent(event_id="evt_1"))
        await bank.until_event("evt_1", "failed")
        assert amounts(await bank.credits(user)) == {}
        assert (await bank.context(user).ask(GetCheckout(checkout_id=checkout.id))).state == "open"
        assert await bank.collection("jobs").count_documents({"kind": "notifications.NotifyUser"}) == 0
        await bank.context().ask(ProcessStripeEvent(event_id="evt_1"))
        await bank.until_event("evt_1", "processed")
        assert amounts(await bank.credits(user)) == {"purchased": "500"}


async def test_a_finished_event_is_not_judged_again_when_its_job_runs_again(bank: Bank) -> None:
    user = await bank.user()
    checkout = await bank.checkout(user)
    await bank.record(session_event(checkout, session={"amount_subtotal": 77}))
    await bank.until_event("evt_1", "quarantined")
    await bank.collection("checkouts").update_one({"_id": checkout.id}, {"$set": {"pack.price_minor_units": 77}})
    await bank.context().ask(ProcessStripeEvent(event_id="evt_1"))
    row = await bank.until_event("evt_1", "quarantined")
    assert row["attempts"] == 1
    assert amounts(await bank.credits(user)) == {}, "what was refused is not applied behind the operators' backs"


async def test_events_are_listed_newest_first_for_operators_only(bank: Bank) -> None:
    user = await bank.user()
    checkout = await bank.checkout(user)
    for number in range(5):
        await bank.record(session_event(checkout, f"evt_{number}", kind="customer.created"))
        await bank.until_event(f"evt_{number}", "ignored")
    operator = bank.context("usr_op", Role.OPERATOR)
    first = await operator.ask(ListWebhookEvents(limit=3))
    second = await operator.ask(ListWebhookEvents(limit=3, cursor=first.next))
    assert [event.event_id for event in (*first.items, *second.items)] == [f"evt_{n}" for n in (4, 3, 2, 1, 0)]
    assert second.next is None
    with pytest.raises(Forbidden):
        await bank.context(user).ask(ListWebhookEvents())


def open_second(mongo: Mongo) -> Any:  # Any: a context manager of a bank
    """Another process on the same database; it runs no jobs."""
    return open_bank(mongo, running=False)
