"""Disputes, connected accounts, transfers, payouts and the balance, through the real SDK."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from tests.support.stripe_sandbox import Till

pytestmark = pytest.mark.anyio


async def available(till: Till, account: str | None = None) -> int:
    options: Any = {"stripe_account": account} if account else {}
    balance = await till.client.v1.balance.retrieve_async({}, options)
    return sum(one.amount for one in balance.available if one.currency == "usd")


async def movements(till: Till, account: str | None = None) -> list[tuple[str, int]]:
    options: Any = {"stripe_account": account} if account else {}
    listed = await till.client.v1.balance_transactions.list_async({"limit": 100}, options)
    return [(one.type, one.net) for one in listed.data][::-1]


async def seller(till: Till, **more: Any) -> stripe.Account:
    """A connected account that can be paid."""
    asked: Any = {"type": "express", "country": "US", "capabilities": {"transfers": {"requested": True}}, **more}
    account = await till.client.v1.accounts.create_async(asked)
    await till.control(f"/accounts/{account.id}/onboard", {"bank": f"bank of {account.id}"})
    return await till.client.v1.accounts.retrieve_async(account.id)


async def test_the_balance_is_the_sum_of_its_movements(till: Till) -> None:
    charge = await till.charge(2000)
    assert await available(till) == 2000 - 88  # 2.9 % and 30
    await till.client.v1.refunds.create_async({"charge": charge.id, "amount": 500})
    assert await movements(till) == [("charge", 1912), ("refund", -500)]
    assert await available(till) == 1412
    movement = await till.client.v1.balance_transactions.retrieve_async(str(charge.balance_transaction))
    assert (movement.amount, movement.fee, movement.net, movement.source) == (2000, 88, 1912, charge.id)


async def test_money_is_available_after_some_days(till: Till) -> None:
    await till.charge(2000, method="pm_card_visa")
    balance = await till.client.v1.balance.retrieve_async()
    assert (balance.available[0].amount, balance.pending[0].amount) == (0, 1912)
    await till.control("/clock", {"seconds": 2 * 86_400 + 1})
    assert await available(till) == 1912
    (movement,) = (await till.client.v1.balance_transactions.list_async()).data
    assert movement.status == "available"


async def test_a_lost_dispute_takes_the_money_once(till: Till) -> None:
    charge = await till.charge(2000)
    dispute = await till.control("/disputes", {"charge": charge.id})
    await till.received.until("charge.dispute.funds_withdrawn")
    assert await available(till) == 1912 - 2000 - 1500
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await till.client.v1.refunds.create_async({"charge": charge.id})
    assert refused.value.code == "charge_disputed"
    closed = await till.client.v1.disputes.close_async(dispute["id"])
    assert closed.status == "lost"
    await till.received.until("charge.dispute.closed")
    assert await available(till) == 1912 - 3500
    assert "charge.dispute.funds_reinstated" not in till.received.types()


async def test_a_dispute_that_is_won_gives_the_money_back(till: Till) -> None:
    charge = await till.charge(2000)
    dispute = await till.control("/disputes", {"charge": charge.id})
    await till.control(f"/disputes/{dispute['id']}", {"outcome": "won"})
    await till.control(f"/disputes/{dispute['id']}", {"outcome": "won"})
    event = await till.received.until("charge.dispute.funds_reinstated")
    assert event["data"]["object"]["status"] == "won"
    assert [one["amount"] for one in event["data"]["object"]["balance_transactions"]] == [-2000, 2000]
    assert await movements(till) == [("charge", 1912), ("adjustment", -3500), ("adjustment", 2000)]
    await till.client.v1.refunds.create_async({"charge": charge.id})


async def test_an_inquiry_moves_nothing_until_it_is_escalated(till: Till) -> None:
    charge = await till.charge(2000)
    dispute = await till.control("/disputes", {"charge": charge.id, "inquiry": True})
    assert dispute["status"] == "warning_needs_response"
    assert await movements(till) == [("charge", 1912)]
    await till.control(f"/disputes/{dispute['id']}", {"outcome": "escalated"})
    await till.received.until("charge.dispute.funds_withdrawn")
    assert (await till.client.v1.disputes.retrieve_async(dispute["id"])).status == "needs_response"

    other = await till.control("/disputes", {"charge": (await till.charge()).id, "inquiry": True})
    await till.control(f"/disputes/{other['id']}", {"outcome": "closed"})
    assert (await till.client.v1.disputes.retrieve_async(other["id"])).status == "warning_closed"


async def test_evidence_decides_a_dispute_as_in_test_mode(till: Till) -> None:
    charge = await till.charge(2000, method="pm_card_createDispute")
    (dispute,) = (await till.client.v1.disputes.list_async({"charge": charge.id})).data
    told = await till.client.v1.disputes.update_async(
        dispute.id, {"evidence": {"uncategorized_text": "winning_evidence"}, "submit": True}
    )
    assert told.status == "under_review"
    await till.control("/clock", {"seconds": 5})
    assert (await till.client.v1.disputes.retrieve_async(dispute.id)).status == "won"


async def test_an_account_is_onboarded_before_it_is_paid(till: Till) -> None:
    asked: Any = {"type": "express", "capabilities": {"transfers": {"requested": True}}, "metadata": {"user": "usr_1"}}
    account = await till.client.v1.accounts.create_async(asked)
    assert (account.payouts_enabled, account.details_submitted) == (False, False)
    assert account.requirements is not None
    assert "external_account" in (account.requirements.currently_due or [])
    await till.control("/funds", {"amount": 10_000})
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await till.client.v1.transfers.create_async({"amount": 500, "currency": "usd", "destination": account.id})
    assert refused.value.code == "insufficient_capabilities_for_transfer"

    link = await till.client.v1.account_links.create_async(
        {
            "account": account.id,
            "type": "account_onboarding",
            "refresh_url": "http://127.0.0.1:9/again",
            "return_url": "http://127.0.0.1:9/back",
        }
    )
    page = await till.http.get(link.url)
    assert "external_account" in page.text
    done = await till.http.post(link.url, data={"action": "complete", "bank": "mine"})
    assert (done.status_code, done.headers["location"]) == (303, "http://127.0.0.1:9/back")
    again = await till.http.get(link.url)
    assert again.headers["location"] == "http://127.0.0.1:9/again"

    event = await till.received.until("account.updated")
    assert (event["account"], event["data"]["object"]["payouts_enabled"]) == (account.id, True)
    ready = await till.client.v1.accounts.retrieve_async(account.id)
    assert ready.external_accounts is not None
    (bank,) = ready.external_accounts.data
    assert isinstance(bank, stripe.BankAccount)
    assert bank.fingerprint
    await till.control(f"/accounts/{account.id}/require", {"due": ["individual.id_number"]})
    await till.received.until("account.updated", times=2)
    assert not (await till.client.v1.accounts.retrieve_async(account.id)).payouts_enabled


async def test_a_transfer_can_be_found_by_its_group_and_taken_back(till: Till) -> None:
    account = await seller(till)
    await till.control("/funds", {"amount": 10_000})
    asked: Any = {"amount": 3000, "currency": "usd", "destination": account.id, "transfer_group": "payout:pay_1"}
    transfer = await till.client.v1.transfers.create_async(asked)
    other: Any = {**asked, "transfer_group": "payout:pay_2"}
    await till.client.v1.transfers.create_async(other)
    found = await till.client.v1.transfers.list_async({"transfer_group": "payout:pay_1"})
    assert [one.id for one in found.data] == [transfer.id]
    assert (await available(till), await available(till, account.id)) == (4000, 6000)

    await till.client.v1.transfers.reversals.create_async(transfer.id, {"amount": 1000})
    with pytest.raises(stripe.InvalidRequestError, match="greater than unreversed"):
        await till.client.v1.transfers.reversals.create_async(transfer.id, {"amount": 2001})
    await till.client.v1.transfers.reversals.create_async(transfer.id)
    taken_back = (await till.received.until("transfer.reversed", times=2))["data"]["object"]
    assert (taken_back["amount_reversed"], taken_back["reversed"]) == (3000, True)
    assert (await available(till), await available(till, account.id)) == (7000, 3000)
    assert await movements(till, account.id) == [
        ("payment", 3000),
        ("payment", 3000),
        ("payment_refund", -1000),
        ("payment_refund", -2000),
    ]


async def test_payouts_arrive_or_fail_and_tell_the_connect_endpoint(till: Till) -> None:
    account = await seller(till)
    await till.control("/funds", {"amount": 10_000})
    await till.client.v1.transfers.create_async({"amount": 3000, "currency": "usd", "destination": account.id})
    payout = await till.client.v1.payouts.create_async(
        {"amount": 1000, "currency": "usd"}, {"stripe_account": account.id}
    )
    assert (payout.status, payout.automatic) == ("pending", False)
    await till.control("/clock", {"seconds": 3 * 86_400})
    paid = await till.received.until("payout.paid")
    assert (paid["account"], paid["data"]["object"]["id"]) == (account.id, payout.id)

    await till.control(f"/accounts/{account.id}/payout", {"outcome": "failed"})
    failed = (await till.received.until("payout.failed"))["data"]["object"]
    assert (failed["amount"], failed["failure_code"], failed["automatic"]) == (2000, "account_closed", True)
    assert await available(till, account.id) == 2000
    await till.quiet()
    assert not any(kind.startswith("payout.") for kind in till.received.types())
    mine = await till.client.v1.payouts.list_async({}, {"stripe_account": account.id})
    assert len(mine.data) == 2
    assert (await till.client.v1.payouts.list_async()).data == []


async def test_payouts_in_some_currencies_are_whole_hundreds(till: Till) -> None:
    account = await seller(till, country="HU")
    await till.control("/funds", {"amount": 100_000, "currency": "huf"})
    with pytest.raises(stripe.InvalidRequestError, match="divisible by 100"):
        await till.client.v1.transfers.create_async({"amount": 1050, "currency": "huf", "destination": account.id})
    await till.client.v1.transfers.create_async({"amount": 1000, "currency": "huf", "destination": account.id})
