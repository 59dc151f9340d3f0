"""Payouts while Stripe fails: answers that do not come, errors that are kept, too little money, refusals, reversals."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from promptforge.actors.billing.ledger.messages import FreezeTopup, ThawTopup
from promptforge.actors.billing.messages import WebhookEventState
from promptforge.actors.billing.payouts.messages import PayoutView
from promptforge.core.mongo import Mongo
from tests.integration.billing.payroll import Payroll, open_payroll

pytestmark = pytest.mark.anyio

SDK_TRIES = 3
"""The first and two repetitions, all with one key."""


@pytest.fixture
async def ready(mongo: Mongo) -> AsyncIterator[Payroll]:
    async with open_payroll(mongo) as payroll:
        await payroll.onboard()
        yield payroll


async def key_number(payroll: Payroll, payout_id: str) -> int:
    row = await payroll.bank.collection("payouts").find_one({"_id": payout_id})
    assert row is not None
    number: int = row["key_number"]
    return number


async def unheard_transfer(payroll: Payroll, payout: PayoutView) -> None:
    """What was asked for arrives at Stripe after all, and nobody here hears of it."""
    await payroll.till.client.v1.transfers.create_async(
        {
            "amount": payout.money,
            "currency": payout.currency,
            "destination": await payroll.account_id(),
            "transfer_group": f"payout:{payout.id}",
        },
        {"idempotency_key": f"payout:{payout.id}:1"},
    )


async def later(payroll: Payroll, **span: float) -> None:
    payroll.clock.advance(**(span or {"hours": 7}))
    await payroll.run()


async def test_no_answer_means_the_same_key_again(ready: Payroll) -> None:
    await ready.fault("disconnect", times=SDK_TRIES)
    payout = await ready.request()
    await ready.run()
    waiting = await ready.payout(payout.id)
    assert waiting.state == "sending"
    assert await ready.credits() == ("35", "50")
    await later(ready, minutes=5)
    assert (await ready.payout(payout.id)).state == "sent"
    assert await key_number(ready, payout.id) == 1
    assert len(await ready.transfers()) == 1


async def test_an_answer_that_is_lost_after_the_effect_is_heard_with_the_same_key(ready: Payroll) -> None:
    await ready.fault("disconnect", after=True)
    payout = await ready.request()
    await ready.run()
    assert (await ready.payout(payout.id)).state == "sent"
    assert len(await ready.transfers()) == 1


async def test_a_stored_error_is_looked_into_before_another_key_is_used(ready: Payroll) -> None:
    """Stripe keeps a 500 with its key: sent again, it would be the same 500 for a day."""
    await ready.fault("server_error")
    payout = await ready.request()
    await ready.run()
    assert (await ready.payout(payout.id)).state == "sending"
    await later(ready, minutes=1)
    assert (await ready.payout(payout.id)).state == "sent"
    assert await key_number(ready, payout.id) == 2
    assert len(await ready.transfers()) == 1


async def test_a_stored_error_whose_effect_has_happened_is_found_by_its_group(ready: Payroll) -> None:
    await ready.fault("server_error", after=True)
    payout = await ready.request()
    await ready.run()
    await later(ready, minutes=1)
    after = await ready.payout(payout.id)
    assert (after.state, await key_number(ready, payout.id)) == ("sent", 1)
    assert len(await ready.transfers()) == 1
    assert await ready.credits() == ("35", "0")


async def test_a_key_that_stripe_may_have_forgotten_is_not_sent_again(ready: Payroll) -> None:
    await ready.fault("disconnect", times=SDK_TRIES)
    payout = await ready.request()
    await ready.run()
    await unheard_transfer(ready, payout)
    await ready.till.control("/clock", {"seconds": 25 * 3600})  # the sandbox keeps keys for a day
    await later(ready, hours=24)
    assert await key_number(ready, payout.id) == 1
    assert (await ready.payout(payout.id)).state == "sent"
    assert len(await ready.transfers()) == 1


async def test_too_little_money_at_the_platform_is_waited_for(mongo: Mongo) -> None:
    async with open_payroll(mongo) as payroll:
        account_id = await payroll.onboard()
        await payroll.till.client.v1.transfers.create_async(
            {"amount": 1_000_000, "currency": "usd", "destination": account_id}
        )  # all that there is
        payout = await payroll.request()
        await payroll.run()
        waiting = await payroll.payout(payout.id)
        assert waiting.state == "waiting_for_funds"
        assert waiting.reason is not None
        assert await payroll.credits() == ("35", "50")
        for _ in range(12):
            await later(payroll)
        assert (await payroll.payout(payout.id)).state == "waiting_for_funds"
        await payroll.till.control("/funds", {"amount": 50})
        await later(payroll)
        assert (await payroll.payout(payout.id)).state == "sent"
        assert await payroll.ended_well()


async def test_what_stripe_refuses_for_good_is_given_back(ready: Payroll) -> None:
    """The account loses its capability between our look and the transfer."""
    account = ready.till.sandbox.world.get("account", await ready.account_id())
    account["capabilities"] = {"transfers": "active"}
    payout = await ready.request()
    await ready.fault("disconnect", times=SDK_TRIES)
    await ready.run()
    account["capabilities"] = {"transfers": "inactive"}
    await later(ready, minutes=5)
    after = await ready.payout(payout.id)
    assert after.state == "returned"
    assert "insufficient_capabilities_for_transfer" in (after.reason or "")
    assert after.reason_code == "refused_by_stripe"
    assert await ready.credits() == ("85", "0")
    assert [told.kind for told in ready.bank.notified.told] == ["payout.returned"]
    assert await ready.ended_well()


async def test_stripe_away_is_waited_out_for_as_long_as_it_takes(ready: Payroll) -> None:
    payout = await ready.request()
    await ready.fault("disconnect", times=12)
    for _ in range(10):
        await later(ready, hours=2)
    assert (await ready.payout(payout.id)).state == "sent"
    assert len(await ready.transfers()) == 1


# Events


async def sent(payroll: Payroll) -> tuple[str, Any]:
    payout = await payroll.request()
    await payroll.run()
    (transfer,) = await payroll.transfers()
    return payout.id, transfer


async def reverse(payroll: Payroll, transfer: Any, amount: int) -> None:
    await payroll.till.client.v1.transfers.reversals.create_async(transfer.id, {"amount": amount})


async def test_a_reversal_of_all_gives_all_back(ready: Payroll) -> None:
    payout_id, transfer = await sent(ready)
    await reverse(ready, transfer, 50)
    await ready.hear()
    assert (await ready.payout(payout_id)).state == "reversed"
    assert await ready.credits() == ("85", "0")
    assert await ready.ended_well()


async def test_reversals_of_parts_give_parts_back_whatever_the_order_of_their_events(ready: Payroll) -> None:
    payout_id, transfer = await sent(ready)
    for amount in (7, 13):
        await reverse(ready, transfer, amount)
    await ready.till.quiet()
    events = list(ready.till.received.events) * 2
    random.Random(7).shuffle(events)
    await ready.hear(events)
    after = await ready.payout(payout_id)
    assert (after.state, after.reversed_money) == ("sent", 20)
    assert await ready.credits() == ("55", "0")
    await reverse(ready, transfer, 30)
    await ready.hear()
    assert (await ready.payout(payout_id)).state == "reversed"
    assert await ready.credits() == ("85", "0")
    assert await ready.ended_well()


async def test_the_event_of_a_transfer_ends_the_payout_whose_job_heard_no_answer(ready: Payroll) -> None:
    await ready.fault("disconnect", times=SDK_TRIES)
    payout = await ready.request()
    await ready.run()
    assert (await ready.payout(payout.id)).state == "sending"
    await unheard_transfer(ready, payout)
    await ready.hear()
    assert (await ready.payout(payout.id)).state == "sent"
    await later(ready, hours=1)
    assert len(await ready.transfers()) == 1
    assert await ready.credits() == ("35", "0")


@pytest.mark.parametrize("kind", ["transfer.reversed", "account.updated", "payout.paid"])
async def test_events_that_a_stranger_could_mint_change_nothing(ready: Payroll, kind: str) -> None:
    """A connected account of somebody else's platform, or one of ours that speaks of another."""
    payout_id, transfer = await sent(ready)
    obj = {"id": transfer.id if kind.startswith("transfer") else "acct_stranger", "object": "x"}
    event = {
        "id": "evt_minted",
        "object": "event",
        "type": kind,
        "api_version": "2026-10-28.endive",
        "created": 1_795_000_000,
        "livemode": False,
        "account": "acct_stranger",
        "data": {"object": obj},
    }
    await ready.hear([event])
    row = await ready.bank.collection("webhook_events").find_one({"event_id": "evt_minted"})
    assert row is not None
    assert row["state"] in {WebhookEventState.IGNORED, WebhookEventState.QUARANTINED}
    assert (await ready.payout(payout_id)).state == "sent"
    assert await ready.credits() == ("35", "0")


async def disputed(payroll: Payroll) -> ThawTopup:
    """A payment of the seller's own is disputed; answers what ends that."""
    topup = await payroll.bank.top_up(payroll.seller, 5)
    await payroll.bank.context().ask(FreezeTopup(topup_id=topup, dispute_id="dp_1"))
    return ThawTopup(topup_id=topup, dispute_id="dp_1")


async def test_a_dispute_since_the_request_is_waited_for_and_then_it_is_sent(ready: Payroll) -> None:
    payout = await ready.request()
    decided = await disputed(ready)
    await ready.run()
    waiting = await ready.payout(payout.id)
    assert (waiting.state, "disputed" in (waiting.reason or "")) == ("requested", True)
    assert await ready.transfers() == []
    await ready.bank.context().ask(decided)
    await later(ready, minutes=16)
    assert (await ready.payout(payout.id)).state == "sent"
    assert len(await ready.transfers()) == 1


async def test_a_dispute_while_the_platform_has_no_money_is_waited_for_too(mongo: Mongo) -> None:
    async with open_payroll(mongo) as payroll:
        await payroll.onboard()
        await payroll.fault("server_error")
        payout = await payroll.request()
        await payroll.run()
        assert (await payroll.payout(payout.id)).state == "sending"
        decided = await disputed(payroll)
        await later(payroll, minutes=20)
        waiting = await payroll.payout(payout.id)
        assert (waiting.state, "disputed" in (waiting.reason or "")) == ("sending", True)
        assert await payroll.transfers() == []
        await payroll.bank.context().ask(decided)
        await later(payroll, minutes=20)
        assert (await payroll.payout(payout.id)).state == "sent"
        assert len(await payroll.transfers()) == 1
        assert await payroll.ended_well()
