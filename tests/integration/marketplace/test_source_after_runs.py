"""Who has bought runs of a listing can buy its source later, if they say so: another purchase, refunded by itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest

from promptforge.actors.billing.messages import GetCredits
from promptforge.actors.marketplace.listings.store import LISTINGS
from promptforge.actors.marketplace.messages import (
    GetPurchase,
    Licence,
    ListingView,
    ListPurchases,
    PurchaseListing,
    PurchaseView,
    UpdateListing,
)
from promptforge.actors.marketplace.purchases.messages import RequestRefund
from promptforge.core.amounts import from_millicredits, to_millicredits
from promptforge.core.context import Context
from promptforge.core.principal import Role
from tests.integration.marketplace.branches import Branches, Interrupted, all_at_once, interrupt
from tests.integration.marketplace.test_proposals import about
from tests.support.market import raised

pytestmark = pytest.mark.anyio
TERMS = {"model": "m", "share": 0, "max_tokens": 64, "temperature": None, "top_p": None, "trials_per_person": 0}
NOT_WANTED = "I do not need it after all."


@dataclass(frozen=True)
class Upgrade:
    """Bruno has bought runs for 10 of Carla's listing, which sells its source for 25 by now; he has 90 left."""

    branches: Branches
    carla: Context
    bruno: Context
    there: Context
    listing: ListingView
    runs: PurchaseView
    source_price: str

    def click(self, *, price: str = "25", licence: Licence | None = Licence.SOURCE) -> PurchaseListing:
        return PurchaseListing(listing_id=self.listing.id, expected_price=price, expected_licence=licence)

    async def standing(self) -> list[PurchaseView]:
        return [one for one in (await self.bruno.ask(ListPurchases())).items if one.refunded_at is None]

    async def available(self) -> str:
        return (await self.bruno.ask(GetCredits())).available

    async def entitled_by(self) -> str | None:
        wanted = {"_id": f"{self.bruno.user_id}:{self.listing.id}"}
        row = await self.branches.mongo.collection("entitlements").find_one(wanted)
        return None if row is None else row["purchase_id"]

    async def booked(self) -> Counter[str]:
        """What each of the market's accounts has by all legs of these sales."""
        sums: Counter[str] = Counter()
        async for leg in self.branches.mongo.collection("transactions").find({"journal_id": {"$regex": "^purchase:"}}):
            sums[leg["account"]] += leg["amount"]
        return sums

    async def holds(self) -> None:
        """What is true at any moment: one entitlement where something stands, each purchase paid once, books right."""
        standing = await self.standing()
        entitled = await self.entitled_by()
        assert (entitled is not None) is bool(standing)
        if standing:
            assert entitled in {one.id for one in standing}
            sources = {one.id for one in standing if one.licence is Licence.SOURCE}
            assert len(sources) <= 1
            assert entitled in (sources or {standing[0].id})
        spent = sum(to_millicredits(one.price) for one in standing)
        assert await self.available() == from_millicredits(100_000 - spent)
        assert await self.branches.ledger_is_right()


async def make_runs(branches: Branches, listing: ListingView) -> None:
    change = {"$set": {"licence": "runs", "runs": TERMS}}
    await branches.mongo.collection(LISTINGS).update_one({"_id": listing.id}, change)


async def upgrade(branches: Branches, name: str = "Runs first", *, free: bool = False) -> Upgrade:
    carla, _ = await branches.person("carla", Role.SELLER)
    bruno, there = await branches.person(f"bruno-{name}")
    await branches.here.fund(bruno, 100)
    before, after = ("0", "0") if free else ("10", "25")
    listing = await branches.here.published(carla, name, price=before)
    await make_runs(branches, listing)
    runs = await branches.here.buy(bruno, listing, before)
    assert runs.licence is Licence.RUNS
    assert await raised(bruno, PurchaseListing(listing_id=listing.id, expected_price=before)) == "already_owned"
    sold = await carla.ask(UpdateListing(listing_id=listing.id, licence=Licence.SOURCE, runs=None, price=after))
    await branches.here.process.context().ask(about(sold))
    return Upgrade(branches, carla, bruno, there, listing, runs, after)


async def test_the_source_is_bought_besides_at_its_full_price(branches: Branches) -> None:
    here = await upgrade(branches)
    source = await here.bruno.ask(here.click())
    assert (source.licence, source.price, await here.available()) == (Licence.SOURCE, "25", "65")
    assert await here.entitled_by() == source.id
    assert {one.id for one in await here.standing()} == {source.id, here.runs.id}, "the runs stay"
    assert (await here.bruno.ask(GetPurchase(purchase_id=source.id))).content == "Say {{word}}."
    assert await here.booked() == {"granted": -35_000, "pending": 29_750, "platform:fees": 5250}
    assert await raised(here.bruno, here.click()) == "already_owned"
    await here.holds()


async def test_a_second_click_for_runs_never_buys_the_source(branches: Branches) -> None:
    """Its licence has changed between the two clicks, and its price has not."""
    here = await upgrade(branches)
    assert await raised(here.bruno, here.click(licence=None)) == "already_owned"
    assert await raised(here.bruno, here.click(licence=Licence.RUNS)) == "already_owned"
    assert await raised(here.bruno, here.click(price="24")) == "price_changed"
    assert await here.entitled_by() == here.runs.id
    await here.holds()


async def test_of_fifty_at_once_one_buys_it(branches: Branches) -> None:
    here = await upgrade(branches)
    outcomes = await all_at_once([(here.bruno, here.click()), (here.there, here.click())] * 25)
    assert outcomes == {"done": 1, "already_owned": 49}
    assert (len(await here.standing()), await here.available()) == (2, "65")
    await here.holds()


async def test_what_does_not_commit_leaves_the_runs(branches: Branches) -> None:
    here = await upgrade(branches)
    branches.transactions.before_commit = interrupt
    with pytest.raises(Interrupted):
        await here.bruno.ask(here.click())
    assert (await here.entitled_by(), await here.available()) == (here.runs.id, "90")
    poor = PurchaseListing(listing_id=here.listing.id, expected_price="25", expected_licence=Licence.SOURCE)
    await branches.here.buy(here.bruno, await branches.here.published(here.carla, "Dear", price="70"), "70")
    assert await raised(here.bruno, poor) == "insufficient_credits"
    assert await here.entitled_by() == here.runs.id


@pytest.mark.parametrize("first", ["source", "runs"])
async def test_each_of_the_two_is_refunded_by_itself_in_either_order(branches: Branches, first: str) -> None:
    here = await upgrade(branches)
    source = await here.bruno.ask(here.click())
    order = [source.id, here.runs.id] if first == "source" else [here.runs.id, source.id]
    await here.bruno.ask(RequestRefund(purchase_id=order[0], words=NOT_WANTED))
    assert await here.entitled_by() == order[1]
    await here.holds()
    if first == "source":
        assert await raised(here.bruno, GetPurchase(purchase_id=source.id)) == "purchase_refunded"
        again = await here.bruno.ask(here.click())
        await here.bruno.ask(RequestRefund(purchase_id=again.id, words=NOT_WANTED))
    else:
        assert await raised(here.bruno, here.click()) == "already_owned"
    await here.bruno.ask(RequestRefund(purchase_id=order[1], words=NOT_WANTED))
    assert (await here.entitled_by(), await here.available()) == (None, "100")
    assert not any((await here.booked()).values())
    assert await raised(here.bruno, here.click()) == "done", "it can be bought as if nothing had been"
    await here.holds()


@pytest.mark.parametrize("free", [False, True], ids=["paid", "free"])
async def test_both_refunds_at_once_leave_no_entitlement_behind(branches: Branches, *, free: bool) -> None:
    """The one gives the listing back to the purchase that the other takes away. What is free writes no balance, so that
    nothing but the purchase itself makes the two conflict.
    """
    for number in range(8):
        here = await upgrade(branches, f"Given back {number}", free=free)
        source = await here.bruno.ask(here.click(price=here.source_price))
        asks: list[tuple[Context, Any]] = [
            (here.bruno, RequestRefund(purchase_id=source.id, words=NOT_WANTED)),
            (here.there, RequestRefund(purchase_id=here.runs.id, words=NOT_WANTED)),
        ]
        assert await all_at_once(asks if number % 2 else asks[::-1]) == {"done": 2}
        assert (await here.entitled_by(), await here.available()) == (None, "100")
        await here.holds()


async def test_buying_the_source_beside_giving_the_runs_back_is_before_or_after(branches: Branches) -> None:
    seen: Counter[int] = Counter()
    for number in range(6):
        here = await upgrade(branches, f"Contested {number}")
        refund = (here.there, RequestRefund(purchase_id=here.runs.id, words=NOT_WANTED))
        asks: list[tuple[Context, Any]] = [(here.bruno, here.click()), refund]
        assert await all_at_once(asks if number % 2 else asks[::-1]) == {"done": 2}
        seen[len(await here.standing())] += 1
        await here.holds()
    assert seen == {1: 6}


async def test_whoever_owns_the_source_does_not_buy_runs_besides(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    bruno, _ = await branches.person("bruno")
    await branches.here.fund(bruno, 100)
    listing = await branches.here.published(carla, "Source first")
    wrong = PurchaseListing(listing_id=listing.id, expected_price="10", expected_licence=Licence.RUNS)
    assert await raised(bruno, wrong) == "licence_changed"
    await branches.here.buy(bruno, listing)
    await make_runs(branches, listing)
    for licence in (None, Licence.RUNS, Licence.SOURCE):
        click = PurchaseListing(listing_id=listing.id, expected_price="10", expected_licence=licence)
        assert await raised(bruno, click) == "already_owned"
