"""A refund takes the purchase from its buyer and gives the credits back, in one transaction, once."""

from __future__ import annotations

import anyio
import pytest

from promptforge.actors.billing.messages import GetCredits
from promptforge.actors.billing.verification import verify_ledger
from promptforge.actors.marketplace.messages import (
    GetPurchase,
    ListPurchases,
    PurchaseListing,
    PurchaseView,
    RefundPurchase,
    RevokePurchase,
    UsePurchasedSource,
)
from promptforge.core.context import Context
from promptforge.core.errors import NotFound
from promptforge.core.principal import Role
from tests.integration.marketplace.branches import Branches, Interrupted, interrupt
from tests.support.market import Market, raised

pytestmark = pytest.mark.anyio


async def bought(market: Market) -> tuple[Context, Context, PurchaseView]:
    """Bruno has bought from Carla for 10 of his 100 credits."""
    carla, bruno = await market.person("carla", Role.SELLER), await market.person("bruno")
    await market.fund(bruno, 100)
    listing = await market.published(carla, "Public")
    return carla, bruno, await market.buy(bruno, listing)


async def refund(market: Market, purchase: PurchaseView) -> PurchaseView:
    message = RefundPurchase(purchase_id=purchase.id, reason="It was not as described")
    return await market.process.context().ask(message)


async def test_a_refund_gives_the_credits_back_and_takes_the_content(branches: Branches) -> None:
    market = branches.here
    carla, bruno, purchase = await bought(market)
    assert (await refund(market, purchase)).refunded_at is not None
    assert (await bruno.ask(GetCredits())).available == "100"
    assert (await carla.ask(GetCredits())).pending == "0"
    assert await raised(bruno, GetPurchase(purchase_id=purchase.id)) == "purchase_refunded"
    use = UsePurchasedSource(prompt_id=purchase.prompt_id, version=None, buyer_id=bruno.user_id)
    assert await market.process.context().ask(use) is None
    (shown,) = (await bruno.ask(ListPurchases())).items
    assert shown.refunded_at is not None
    assert [notice.kind for notice in await market.notices(carla)].count("sale.refunded") == 1
    assert [notice.kind for notice in await market.notices(bruno)].count("purchase.refunded") == 1
    assert (await verify_ledger(branches.mongo)).violations == ()


async def test_what_was_refunded_can_be_bought_again(branches: Branches) -> None:
    market = branches.here
    _, bruno, purchase = await bought(market)
    await refund(market, purchase)
    again = await bruno.ask(PurchaseListing(listing_id=purchase.listing_id, expected_price="10"))
    assert again.id != purchase.id
    assert (await bruno.ask(GetPurchase(purchase_id=again.id))).used_at is not None
    assert (await verify_ledger(branches.mongo)).violations == ()


async def test_many_refunds_at_once_in_two_processes_are_one(branches: Branches) -> None:
    _, bruno, purchase = await bought(branches.here)
    async with anyio.create_task_group() as tasks:
        for market in [branches.here, branches.there] * 4:
            tasks.start_soon(refund, market, purchase)
    assert (await bruno.ask(GetCredits())).available == "100"
    assert await branches.count("audit_log", action="purchase.refunded") == 1
    assert (await verify_ledger(branches.mongo)).violations == ()


async def test_a_refund_that_is_not_committed_has_not_happened(branches: Branches) -> None:
    _, bruno, purchase = await bought(branches.here)
    branches.transactions.before_commit = interrupt
    with pytest.raises(Interrupted):
        await refund(branches.here, purchase)
    assert (await bruno.ask(GetCredits())).available == "90"
    assert (await bruno.ask(GetPurchase(purchase_id=purchase.id))).used_at is not None
    await refund(branches.here, purchase)
    assert (await verify_ledger(branches.mongo)).violations == ()


async def test_reading_beside_a_refund_shows_nothing_that_was_not_marked_as_used(branches: Branches) -> None:
    """Either the content came first and says so, or the refund did and there is no content."""
    _, bruno, purchase = await bought(branches.here)
    outcomes: list[str] = []

    async def read() -> None:
        outcomes.append(await raised(bruno, GetPurchase(purchase_id=purchase.id)))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        tasks.start_soon(refund, branches.there, purchase)
    row = await branches.mongo.collection("purchases").find_one({"_id": purchase.id})
    assert row is not None
    assert outcomes[0] in {"done", "purchase_refunded"}
    assert outcomes[0] != "done" or row["used_at"] is not None


async def test_what_the_ledger_took_back_is_revoked_once(branches: Branches) -> None:
    market = branches.here
    _, bruno, purchase = await bought(market)
    for _ in range(2):
        await market.process.context().ask(RevokePurchase(purchase_id=purchase.id))
    assert await raised(bruno, GetPurchase(purchase_id=purchase.id)) == "purchase_refunded"
    assert await branches.count("audit_log", action="purchase.refunded") == 1


async def test_there_is_no_refund_of_what_nobody_bought(branches: Branches) -> None:
    message = RefundPurchase(purchase_id="pur_none", reason="Because")
    with pytest.raises(NotFound):
        await branches.here.process.context().ask(message)
