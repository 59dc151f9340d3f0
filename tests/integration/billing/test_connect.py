"""Onboarding sellers at a Stripe (the sandbox, through the SDK): one account each, and what is known of it is fresh."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

import anyio
import pytest

from promptforge.actors.billing.connect.messages import RefreshConnectAccount
from promptforge.actors.billing.errors import StripeRefused, StripeUnavailable
from promptforge.core.mongo import Mongo
from tests.integration.billing.payroll import Payroll, open_payroll

pytestmark = pytest.mark.anyio

SDK_TRIES = 3


@pytest.fixture
async def payroll(mongo: Mongo) -> AsyncIterator[Payroll]:
    async with open_payroll(mongo) as opened:
        yield opened


async def accounts(payroll: Payroll) -> int:
    return len((await payroll.till.client.v1.accounts.list_async()).data)


async def test_a_seller_goes_from_nothing_to_active(payroll: Payroll) -> None:
    assert (await payroll.account()).state == "not_started"
    link = await payroll.onboarding()
    assert link.url.startswith(payroll.till.sandbox.url)
    pending = await payroll.account()
    assert (pending.state, pending.payouts_enabled) == ("pending", False)
    assert "external_account" in pending.requirements_due
    await payroll.till.control(f"/accounts/{await payroll.account_id()}/onboard")
    await payroll.hear()
    active = await payroll.account()
    assert (active.state, active.currency, active.requirements_due) == ("active", "usd", ())
    assert active.bank_details_since is not None
    assert active.payouts_from == active.bank_details_since + timedelta(hours=72)


async def test_however_often_one_clicks_there_is_one_account(payroll: Payroll) -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(6):
            tasks.start_soon(_click, payroll)
    await payroll.onboarding()
    assert await accounts(payroll) == 1


async def _click(payroll: Payroll) -> None:
    with contextlib.suppress(StripeUnavailable):  # the key is in use: the next click goes on
        await payroll.onboarding()


async def test_an_account_whose_answer_was_lost_is_the_one_that_the_same_key_answers(payroll: Payroll) -> None:
    await payroll.fault("disconnect", "accounts.create", times=SDK_TRIES)
    with pytest.raises(StripeUnavailable):
        await payroll.onboarding()
    await payroll.till.client.v1.accounts.create_async(
        {
            "type": "express",
            "country": "US",
            "capabilities": {"transfers": {"requested": True}},
            "metadata": {"user_id": payroll.seller},
        },
        {"idempotency_key": f"connect:{payroll.seller}:1"},
    )  # it arrives after all
    await payroll.onboarding()
    assert await accounts(payroll) == 1


async def test_a_stored_error_does_not_lock_a_seller_out(payroll: Payroll) -> None:
    await payroll.fault("server_error", "accounts.create")
    with pytest.raises(StripeRefused):
        await payroll.onboarding()
    await payroll.onboarding()
    assert await accounts(payroll) == 1


async def test_what_is_known_is_what_stripe_says_now_and_not_what_an_old_event_said(payroll: Payroll) -> None:
    account_id = await payroll.onboard()
    await payroll.till.quiet()
    old = [event for event in payroll.till.received.events if event["type"] == "account.updated"]
    await payroll.till.control(f"/accounts/{account_id}/require")
    await payroll.bank.context().ask(RefreshConnectAccount(account_id=account_id))
    for event in old:
        event["id"] += "_again"
    await payroll.hear(old)
    assert (await payroll.account()).state == "restricted"


async def test_of_a_seller_who_has_left_nothing_is_kept_any_more(payroll: Payroll) -> None:
    account_id = await payroll.onboard()
    rows = payroll.bank.collection("connect_accounts")
    row = await rows.find_one({"account_id": account_id})
    assert row is not None
    await rows.update_one({"_id": row["_id"]}, {"$set": {"facts": None}})
    await payroll.bank.collection("payment_instruments").delete_many({})
    await payroll.bank.collection("users").update_one(
        {"_id": row["_id"]}, {"$set": {"closed_at": payroll.bank.context().now()}}
    )
    await payroll.till.control(f"/accounts/{account_id}/bank")
    await payroll.bank.context().ask(RefreshConnectAccount(account_id=account_id))
    after = await rows.find_one({"_id": row["_id"]})
    assert after is not None
    assert after["facts"] is None
    assert await payroll.bank.collection("payment_instruments").count_documents({}) == 0


async def test_an_account_that_nobody_here_has_is_nothing_to_refresh(payroll: Payroll) -> None:
    stranger = await payroll.till.client.v1.accounts.create_async({"type": "express"})
    assert await payroll.bank.context().ask(RefreshConnectAccount(account_id=stranger.id)) is False


async def test_bank_details_grow_old_only_while_they_stay_the_same(payroll: Payroll) -> None:
    account_id = await payroll.onboard()
    first = (await payroll.account()).bank_details_since
    await payroll.bank.context().ask(RefreshConnectAccount(account_id=account_id))
    assert (await payroll.account()).bank_details_since == first
    await payroll.till.control(f"/accounts/{account_id}/bank")
    payroll.clock.advance(hours=1)
    await payroll.bank.context().ask(RefreshConnectAccount(account_id=account_id))
    assert (await payroll.account()).bank_details_since == payroll.clock.now()
