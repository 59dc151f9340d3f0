"""Buyers who want their credits back: at once within the policy, and otherwise by a moderator's decision."""

from __future__ import annotations

from datetime import timedelta

import pytest

from promptforge.actors.billing.messages import GetCredits
from promptforge.actors.marketplace.messages import (
    Decision,
    GetPurchase,
    ListPurchases,
    ListSales,
    PurchaseListing,
    PurchaseView,
    RefundPurchase,
    UpdateListing,
)
from promptforge.actors.marketplace.purchases.messages import (
    RefuseRefund,
    RequestRefund,
)
from promptforge.actors.marketplace.refunds.messages import RefundState
from promptforge.actors.moderation.messages import CaseKind
from promptforge.actors.prompts.messages import CreateVersion
from promptforge.core.context import Context
from promptforge.core.principal import Role
from tests.integration.marketplace.branches import Branches, Interrupted, all_at_once, interrupt
from tests.integration.marketplace.test_proposals import about
from tests.integration.marketplace.test_refunds import bought
from tests.integration.marketplace.test_suspensions import decided, open_cases, seen
from tests.support.market import raised, top_up

pytestmark = pytest.mark.anyio
WORDS = "It does something else than it says."


def asked(purchase: PurchaseView) -> RequestRefund:
    return RequestRefund(purchase_id=purchase.id, words=WORDS)


async def of(buyer: Context, purchase: PurchaseView) -> PurchaseView:
    return next(one for one in (await buyer.ask(ListPurchases())).items if one.id == purchase.id)


async def test_what_is_unused_is_refunded_for_the_asking(branches: Branches) -> None:
    carla, bruno, purchase = await bought(branches.here)
    assert purchase.automatic_refund_until == purchase.created_at + timedelta(days=14)
    view = await bruno.ask(asked(purchase))
    assert view.refund is not None
    assert (view.refund.state, view.refund.words, view.automatic_refund_until) == (RefundState.REFUNDED, WORDS, None)
    assert (await bruno.ask(GetCredits())).available == "100"
    (sale,) = (await carla.ask(ListSales())).items
    assert (sale.fee, sale.net, sale.refunded_at) == ("1.5", "8.5", view.refunded_at)
    assert await raised(bruno, asked(purchase)) == "purchase_refunded"
    assert await open_cases(branches) == []
    assert await branches.ledger_is_right()


async def test_the_day_after_the_last_somebody_decides(branches: Branches) -> None:
    _, bruno, purchase = await bought(branches.here)
    long_ago = {"$set": {"created_at": purchase.created_at - timedelta(days=14)}}
    await branches.mongo.collection("purchases").update_one({"_id": purchase.id}, long_ago)
    view = await bruno.ask(asked(purchase))
    assert view.refund is not None
    assert (view.refund.state, view.refunded_at) == (RefundState.IN_REVIEW, None)
    assert await raised(bruno, asked(purchase)) == "refund_pending"


async def test_what_was_used_is_a_case_with_the_buyers_words(branches: Branches) -> None:
    _, bruno, purchase = await bought(branches.here)
    await bruno.ask(GetPurchase(purchase_id=purchase.id))
    branches.transactions.before_commit = interrupt
    with pytest.raises(Interrupted):
        await bruno.ask(asked(purchase))
    assert (await of(bruno, purchase)).refund is None
    await bruno.ask(asked(purchase))
    (case,) = await open_cases(branches)
    assert (case.kind, case.purchase_id, case.reason) == (CaseKind.REFUND, purchase.id, WORDS)
    assert (await bruno.ask(GetCredits())).available == "90"
    message = RefundPurchase(purchase_id=purchase.id, reason="Not as described: it does not say what it needs")
    await branches.here.process.context().ask(message)
    refund = (await of(bruno, purchase)).refund
    assert refund is not None
    assert (refund.state, (await bruno.ask(GetCredits())).available) == (RefundState.REFUNDED, "100")
    assert await branches.ledger_is_right()


async def test_a_refusal_tells_the_buyer_why_once(branches: Branches) -> None:
    _, bruno, purchase = await bought(branches.here)
    refuse = RefuseRefund(
        purchase_id=purchase.id,
        reason_code="outside_policy",
        public_note="It works as described.",
        explanation="It works as described.",
    )
    service = branches.here.process.context()
    assert await raised(service, refuse) == "no_refund_requested"
    await bruno.ask(GetPurchase(purchase_id=purchase.id))
    await bruno.ask(asked(purchase))
    outcomes = await all_at_once([(service, refuse), (branches.there.process.context(), refuse)] * 2)
    assert outcomes == {"done": 1, "no_refund_requested": 3}
    refund = (await of(bruno, purchase)).refund
    assert refund is not None
    assert (refund.state, refund.reason_code) == (RefundState.REFUSED, "outside_policy")
    assert await raised(bruno, asked(purchase)) == "refund_refused"
    told = [one for one in await branches.here.notices(bruno) if one.kind == "refund.refused"]
    assert ["It works as described." in one.body for one in told] == [True]
    assert await raised(bruno, refuse) == "forbidden"


async def test_a_refund_is_asked_for_by_the_buyer_only(branches: Branches) -> None:
    carla, _, purchase = await bought(branches.here)
    eve, _ = await branches.person("eve")
    for other in (carla, eve):
        assert await raised(other, asked(purchase)) == "not_found"


async def test_reading_beside_asking_for_a_refund_ends_with_the_one_or_the_other(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    bruno, there = await branches.person("bruno")
    await branches.here.fund(bruno, 100)
    for number in range(6):
        purchase = await branches.here.buy(bruno, await branches.here.published(carla, f"Raced {number}"))
        asks = [(there, GetPurchase(purchase_id=purchase.id)), (bruno, asked(purchase))]
        outcomes = await all_at_once(asks if number % 2 else asks[::-1])
        view = await of(bruno, purchase)
        assert view.refund is not None
        if view.refunded_at is not None:
            assert outcomes == {"done": 1, "purchase_refunded": 1}
            assert view.used_at is None
        else:
            assert outcomes == {"done": 2}
            assert (view.refund.state, view.used_at is None) == (RefundState.IN_REVIEW, False)
    assert await branches.ledger_is_right()


async def test_a_sale_beside_a_suspension_a_lower_price_and_a_refund_is_before_or_after_each(
    branches: Branches,
) -> None:
    carla, carla_there = await branches.person("carla", Role.SELLER)
    for number in range(4):
        listing = await branches.here.published(carla, f"Contested {number}")
        buyers = [await branches.person(f"buyer{number}{one}") for one in range(4)]
        first = buyers.pop()[0]
        await branches.here.fund(first, 10)
        refunded = await branches.here.buy(first, listing)
        for here, _ in buyers:
            await branches.here.fund(here, 10)
        click = PurchaseListing(listing_id=listing.id, expected_price="10")
        outcomes = await all_at_once(
            [
                *((there if index % 2 else here, click) for index, (here, there) in enumerate(buyers)),
                (carla_there, UpdateListing(listing_id=listing.id, price="9")),
                (branches.here.process.context(), decided(listing, Decision.SUSPEND)),
                (first, asked(refunded)),
                (first, click),
            ]
        )
        assert set(outcomes) <= {"done", "not_for_sale", "price_changed", "already_owned", "insufficient_credits"}
        for here, _ in (*buyers, (first, first)):
            standing = [one for one in (await here.ask(ListPurchases())).items if one.refunded_at is None]
            spent = sum(int(one.price) for one in standing)
            assert (await here.ask(GetCredits())).available == str(10 - spent)
            assert all(one.price == "10" for one in standing), "nobody pays another price than they saw"
        assert await branches.count("entitlements", listing_id=listing.id) == await branches.count(
            "purchases", listing_id=listing.id, refunded_at=None
        )
        assert (await seen(carla, listing)).price == "9"
    assert await branches.ledger_is_right()


async def test_the_library_says_where_a_newer_version_is_out(branches: Branches) -> None:
    carla, bruno, purchase = await bought(branches.here)
    assert (await of(bruno, purchase)).newer_version is None
    await carla.ask(CreateVersion(prompt_id=purchase.prompt_id, content="Better {{word}}."))
    view = await carla.ask(UpdateListing(listing_id=purchase.listing_id, version=2))
    assert (await of(bruno, purchase)).newer_version is None, "it waits for review"
    service = branches.here.process.context()
    await service.ask(about(view))
    assert ((await of(bruno, purchase)).version, (await of(bruno, purchase)).newer_version) == (1, 2)
    assert (await bruno.ask(GetPurchase(purchase_id=purchase.id))).content == "Say {{word}}.", "what was bought stays"
    await service.ask(decided(view, Decision.SUSPEND))
    assert (await of(bruno, purchase)).newer_version is None, "nobody can buy it"


async def test_what_is_free_is_bought_refunded_and_counts_for_nothing(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    bruno, _ = await branches.person("bruno")
    listing = await branches.here.published(carla, "Free", price="0")
    purchase = await branches.here.buy(bruno, listing, "0")
    assert (await bruno.ask(GetPurchase(purchase_id=purchase.id))).content == "Say {{word}}."
    other = await branches.here.buy(bruno, await branches.here.published(carla, "Free too", price="0"), "0")
    assert (await bruno.ask(asked(other))).refunded_at is not None
    assert await branches.ledger_is_right()


async def test_what_part_of_the_price_is_payable_is_kept_with_the_purchase(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    listing = await branches.here.published(carla, "Paid in ways")
    rows = branches.mongo.collection("purchases")
    for name, gift, own, payable in (("own", 0, 10, 8500), ("mixed", 4, 6, 5100), ("gift", 10, 0, 0)):
        buyer, _ = await branches.person(name)
        if gift:
            await branches.here.fund(buyer, gift)
        if own:
            await top_up(branches.mongo, buyer, own)
        row = await rows.find_one({"_id": (await branches.here.buy(buyer, listing)).id})
        assert row is not None
        assert (row["payable"], row["seller_share"], row["fee"]) == (payable, 8500, 1500)
    assert await branches.ledger_is_right()
