"""Receipts: what each payment was for, as Stripe's sandbox knows it, and what of it was given back."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import pytest

from promptforge.actors.billing.errors import InsufficientCredits
from promptforge.actors.billing.ledger.messages import ListCreditLots, ReservePayout
from promptforge.actors.billing.receipts import actor
from promptforge.actors.billing.receipts.messages import GetReceipt, ListCountryConflicts, ListReceipts, ReceiptView
from promptforge.actors.billing.subscriptions.messages import CreateSubscription
from promptforge.core.errors import Forbidden, NotFound
from promptforge.core.jobs import Backoff
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Role
from tests.integration.billing.shop import Shop, open_shop
from tests.support.waiving import WAIVED

pytestmark = pytest.mark.anyio


@pytest.fixture
async def shop(mongo: Mongo, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shop]:
    monkeypatch.setattr(Backoff, "seconds", lambda *_: 0.05)
    async with open_shop(mongo) as opened:
        yield opened


async def receipts(shop: Shop, user: str) -> list[ReceiptView]:
    return list((await shop.bank.context(user).ask(ListReceipts())).items)


async def test_a_pack_has_a_receipt_with_tax_and_the_number_of_its_invoice(shop: Shop) -> None:
    user = await shop.bank.user()
    await shop.buy(user, country="DE")
    await shop.hear(await shop.told() * 2)
    (receipt,) = await receipts(shop, user)
    assert (receipt.kind, receipt.title, receipt.credits) == ("pack", "500 PromptForge credits", "500")
    assert (receipt.currency, receipt.subtotal, receipt.tax, receipt.total) == ("usd", 500, 95, 595)
    assert [(tax.rate, tax.amount, tax.country) for tax in receipt.taxes] == [("19", 95, "DE")]
    assert receipt.country == "DE"
    assert receipt.withdrawal_waiver == WAIVED["withdrawal_waiver"]
    assert receipt.waived_at is not None
    assert receipt.waived_at <= receipt.paid_at
    (invoice,) = (await shop.till.client.v1.invoices.list_async({"limit": 9})).data
    assert (receipt.number, receipt.invoice_url) == (invoice.number, invoice.hosted_invoice_url)
    (charge,) = (await shop.till.client.v1.charges.list_async({"limit": 9})).data
    assert receipt.receipt_url == charge.receipt_url
    assert await shop.bank.context(user).ask(GetReceipt(receipt_id=receipt.id)) == receipt


async def test_each_paid_month_has_one_too(shop: Shop) -> None:
    user = await shop.bank.user()
    began = await shop.bank.context(user).ask(CreateSubscription(plan_id="monthly_1000", **WAIVED))
    row = await shop.bank.collection("subscriptions").find_one({"_id": began.id})
    assert row is not None
    await shop.till.control(f"/checkout/{row['session_id']}/pay", {"country": "FR"})
    await shop.hear(await shop.told())
    row = await shop.bank.collection("subscriptions").find_one({"_id": began.id})
    assert row is not None
    await shop.till.control(f"/subscriptions/{row['stripe_id']}/advance")
    await shop.hear(await shop.told())
    months = await receipts(shop, user)
    assert [(one.kind, one.title, one.credits) for one in months] == [
        ("subscription", "1050 PromptForge credits a month", "1050")
    ] * 2
    assert {one.withdrawal_waiver for one in months} == {WAIVED["withdrawal_waiver"]}
    assert [(one.subtotal, one.tax, one.total, one.country) for one in months] == [(1000, 200, 1200, "FR")] * 2
    assert len({one.number for one in months} - {None}) == 2


async def test_a_receipt_says_what_was_given_back_so_far(shop: Shop) -> None:
    user = await shop.bank.user()
    _, charge = await shop.buy(user, country="DE")
    await shop.hear(await shop.told())
    refund = await shop.refund(charge, 100)
    await shop.refund(charge, 50)
    await shop.hear(await shop.told())
    assert [(one.refunded, one.charged_back) for one in await receipts(shop, user)] == [(150, 0)]
    await shop.till.control(f"/refunds/{refund}/fail")
    dispute = await shop.dispute(charge, amount=200)
    await shop.hear(await shop.told())
    assert [(one.refunded, one.charged_back) for one in await receipts(shop, user)] == [(50, 200)]
    await shop.till.control(f"/disputes/{dispute}", {"outcome": "won"})
    await shop.hear(await shop.told())
    assert [(one.refunded, one.charged_back) for one in await receipts(shop, user)] == [(50, 0)]


async def test_receipts_come_in_pages_and_anothers_is_not_there(shop: Shop) -> None:
    user, stranger = await shop.bank.user(), await shop.bank.user()
    for _ in range(3):
        await shop.buy(user)
    await shop.hear(await shop.told())
    first = await shop.bank.context(user).ask(ListReceipts(limit=2))
    second = await shop.bank.context(user).ask(ListReceipts(limit=2, cursor=first.next))
    assert (len(first.items), len(second.items), second.next) == (2, 1, None)
    assert len({one.id for one in (*first.items, *second.items)}) == 3
    assert await receipts(shop, stranger) == []
    with pytest.raises(NotFound):
        await shop.bank.context(stranger).ask(GetReceipt(receipt_id=first.items[0].id))


async def test_credits_do_not_wait_for_the_receipt(shop: Shop) -> None:
    """While Stripe does not answer, the receipt says what is known here, and the rest comes when it answers."""
    user = await shop.bank.user()
    await shop.buy(user, country="DE")
    fault = {"operation": "checkout.sessions.retrieve", "kind": "rate_limit", "times": 1}
    await shop.till.control("/faults", fault)
    await shop.hear(await shop.told())
    assert (await shop.bank.credits(user)).purchased == "500"
    (receipt,) = await receipts(shop, user)
    assert receipt.total == 595


async def test_an_invoice_that_stripe_makes_later_is_waited_for(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actor, "INVOICED_WITHIN_SECONDS", 0.1)
    user = await shop.bank.user()
    checkout, _ = await shop.buy(user, country="DE")
    session = shop.till.sandbox.world.get("checkout.session", str(checkout.session_id))
    late, session["invoice"] = session["invoice"], None
    events = await shop.told()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(shop.hear, events)
        with anyio.fail_after(60):
            while not [one for one in await receipts(shop, user) if one.total is not None]:
                await anyio.sleep(0.01)
        assert [(one.tax, one.total, one.number) for one in await receipts(shop, user)] == [(95, 595, None)]
        session["invoice"] = late
    (receipt,) = await receipts(shop, user)
    assert receipt.number is not None


async def test_two_pieces_of_evidence_say_where_the_buyer_is_and_a_conflict_is_marked(shop: Shop) -> None:
    agreeing, travelling = await shop.bank.user(), await shop.bank.user()
    await shop.buy(agreeing, country="DE")
    await shop.buy(travelling, country="DE", card_country="CH")
    await shop.hear(await shop.told())
    rows = await shop.bank.collection("receipts").find({}).to_list(None)
    told = {
        row["user_id"]: (row["paid"]["billing_country"], row["paid"]["card_country"], row["country_conflicts"])
        for row in rows
    }
    assert told == {agreeing: ("DE", "DE", False), travelling: ("DE", "CH", True)}
    (listed,) = (await shop.bank.context("usr_op", Role.OPERATOR).ask(ListCountryConflicts())).items
    assert (listed.user_id, listed.country, listed.taxed_in) == (travelling, "DE", ("DE",))
    assert (listed.billing_country, listed.card_country, listed.tax, listed.total) == ("DE", "CH", 95, 595)
    with pytest.raises(Forbidden):
        await shop.bank.context(travelling).ask(ListCountryConflicts())


async def test_whoever_pays_with_the_same_card_is_linked(shop: Shop) -> None:
    one, other, stranger = [await shop.bank.user() for _ in range(3)]
    await shop.buy(one, card="blue")
    await shop.buy(stranger, card="red")
    began = await shop.bank.context(other).ask(CreateSubscription(plan_id="monthly_1000", **WAIVED))
    row = await shop.bank.collection("subscriptions").find_one({"_id": began.id})
    assert row is not None
    await shop.till.control(f"/checkout/{row['session_id']}/pay", {"card": "blue"})
    await shop.hear(await shop.told())
    assert await shop.bank.linked(one, other)
    assert not await shop.bank.linked(one, stranger)


async def test_lots_say_where_credits_came_from_and_what_can_be_refunded(shop: Shop) -> None:
    user = await shop.bank.user(granted=5)
    checkout, charge = await shop.buy(user)
    await shop.hear(await shop.told())
    await shop.bank.charge(user, await shop.bank.user(), 30)
    lots = (await shop.bank.context(user).ask(ListCreditLots())).lots
    assert [(lot.id, lot.origin, lot.remaining, lot.refundable) for lot in lots] == [
        (f"topup:{checkout.session_id}", "topup", "475", True)
    ]
    assert lots[0].came_at is not None
    await shop.bank.give(user, 7)
    await shop.dispute(charge)
    await shop.hear([event for event in await shop.told() if event["type"] == "charge.dispute.created"])
    lots = (await shop.bank.context(user).ask(ListCreditLots())).lots
    gift = ("granted", "grant", False)
    assert [(lot.account, lot.origin, lot.refundable) for lot in lots] == [gift, gift], "the sale was undone"
    assert [lot.remaining for lot in lots] == ["5", "7"]


async def test_what_was_bought_is_never_paid_out_to_its_buyer(shop: Shop) -> None:
    """The one way back is a refund at Stripe, to what paid."""
    user = await shop.bank.user()
    await shop.buy(user)
    await shop.hear(await shop.told())
    with pytest.raises(InsufficientCredits):
        await shop.bank.context().ask(ReservePayout(payout_id="pay_1", user_id=user, amount_millicredits=1))
