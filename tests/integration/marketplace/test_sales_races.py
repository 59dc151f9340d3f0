"""Sales beside what else happens to a listing. Which came first is MongoDB's to say; that one of them did, is ours."""

from __future__ import annotations

import anyio
import pytest

from promptforge.actors.billing.messages import GetCredits
from promptforge.actors.marketplace.listings.store import LISTINGS
from promptforge.actors.marketplace.messages import (
    GetListing,
    GetPurchase,
    ListingState,
    ListingView,
    ListPurchases,
    PurchaseListing,
    RelistListing,
    UnlistListing,
)
from promptforge.core.context import Context
from promptforge.core.principal import Role
from tests.integration.marketplace.branches import Branches, all_at_once, write_conflict
from tests.support.market import raised

pytestmark = pytest.mark.anyio


def click(listing: ListingView) -> PurchaseListing:
    return PurchaseListing(listing_id=listing.id, expected_price=listing.price)


async def set_price(branches: Branches, listing: ListingView, millicredits: int) -> None:
    """As an approved change of price will: a new revision of the published listing."""
    update = {"$set": {"price": millicredits}, "$inc": {"revision": 1}}
    await branches.mongo.collection(LISTINGS).update_one({"_id": listing.id}, update)


async def test_a_sale_that_has_to_begin_again_looks_at_the_listing_again(branches: Branches) -> None:
    """The first attempt loses a conflict, and meanwhile the seller is told that the listing is off the market."""
    carla, carla_there = await branches.person("carla", Role.SELLER)
    bruno, _ = await branches.person("bruno")
    await branches.here.fund(bruno, 100)

    async def unlisted() -> None:
        await carla_there.ask(UnlistListing(listing_id=listing.id))
        raise write_conflict()

    async def dearer() -> None:
        await set_price(branches, listing, 11_000)
        raise write_conflict()

    for meanwhile, refused in ((unlisted, "not_for_sale"), (dearer, "price_changed")):
        listing = await branches.here.published(carla, refused)
        branches.transactions.attempts, branches.transactions.before_commit = 0, meanwhile
        assert await raised(bruno, click(listing)) == refused
        assert branches.transactions.attempts == 2
    assert (await bruno.ask(GetCredits())).available == "100"
    assert (await branches.count("purchases"), await branches.count("entitlements")) == (0, 0)


async def test_a_sale_that_was_under_way_comes_before_the_unlisting(branches: Branches) -> None:
    """The sale has read the listing and not yet committed; neither waits for the other, and the sale's terms hold."""
    carla, carla_there = await branches.person("carla", Role.SELLER)
    bruno, _ = await branches.person("bruno")
    await branches.here.fund(bruno, 100)
    listing = await branches.here.published(carla, "Under way")

    async def meanwhile() -> None:
        await set_price(branches, listing, 99_000)
        unlisted = await carla_there.ask(UnlistListing(listing_id=listing.id))
        assert unlisted.state is ListingState.UNLISTED

    branches.transactions.attempts, branches.transactions.before_commit = 0, meanwhile
    with anyio.fail_after(60):
        purchase = await bruno.ask(click(listing))
    assert branches.transactions.attempts == 1
    assert (purchase.price, (await bruno.ask(GetCredits())).available) == ("10", "90")
    assert (await bruno.ask(GetPurchase(purchase_id=purchase.id))).content == "Say {{word}}."
    eve, _ = await branches.person("eve")
    assert await raised(eve, click(listing)) == "not_for_sale"
    assert await branches.ledger_is_right()


async def test_nothing_is_sold_to_a_click_after_the_unlisting_was_acknowledged(branches: Branches) -> None:
    carla, carla_there = await branches.person("carla", Role.SELLER)
    listing = await branches.here.published(carla, "Raced")
    people = [await branches.person(f"buyer{number}") for number in range(12)]
    for here, _ in people:
        await branches.here.fund(here, 10)
    unlisted, sold, refused = anyio.Event(), 0, 0

    async def unlist() -> None:
        await anyio.sleep(0.02)
        await carla_there.ask(UnlistListing(listing_id=listing.id))
        unlisted.set()

    async def buy(person: Context, delay: float) -> None:
        nonlocal sold, refused
        await anyio.sleep(delay)
        clicked_late = unlisted.is_set()
        outcome = await raised(person, click(listing))
        assert outcome in ({"not_for_sale"} if clicked_late else {"done", "not_for_sale"})
        sold, refused = sold + (outcome == "done"), refused + (outcome != "done")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(unlist)
        *early, (late, _) = people
        for number, (here, there) in enumerate(early):
            tasks.start_soon(buy, there if number % 2 else here, 0.01 * number)
        await unlisted.wait()
        await buy(late, 0)
    assert refused > 0
    assert await branches.count("purchases") == await branches.count("entitlements") == sold
    for here, _ in people:
        bought = len((await here.ask(ListPurchases())).items)
        assert (await here.ask(GetCredits())).available == ("0" if bought else "10")
    assert await branches.ledger_is_right()


async def test_sales_beside_prices_that_change_are_at_the_price_that_the_buyer_saw(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    listing = await branches.here.published(carla, "Priced")
    buyers = [await branches.here.person(f"buyer{number}") for number in range(16)]
    for buyer in buyers:
        await branches.here.fund(buyer, 20)

    async def change_prices() -> None:
        for price in (20, 10, 20, 10, 20):
            await set_price(branches, listing, price * 1000)

    wanted = [
        (buyer, PurchaseListing(listing_id=listing.id, expected_price="10" if number % 2 else "20"))
        for number, buyer in enumerate(buyers)
    ]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(change_prices)
        outcomes = await all_at_once(wanted)
    assert set(outcomes) <= {"done", "price_changed"}
    for buyer, message in wanted:
        spent = sum(int(one.price) for one in (await buyer.ask(ListPurchases())).items)
        assert spent in {0, int(message.expected_price)}
        assert (await buyer.ask(GetCredits())).available == str(20 - spent)
    assert await branches.ledger_is_right()


async def test_sixty_four_sales_of_one_listing_do_not_stand_in_each_others_way(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    listing = await branches.here.published(carla, "Hot")
    people = [await branches.person(f"buyer{number}") for number in range(64)]
    for here, _ in people:
        await branches.here.fund(here, 10)
    branches.transactions.attempts = 0
    asks = [(there if number % 2 else here, click(listing)) for number, (here, there) in enumerate(people)]
    assert await all_at_once(asks) == {"done": 64}
    assert branches.transactions.attempts <= 40, "sales of one listing made each other begin again"
    assert (await carla.ask(GetListing(listing_id=listing.id))).revision == listing.revision + 1
    assert (await carla.ask(GetCredits())).pending == "544"
    told = [one for one in await branches.here.notices(carla) if one.kind == "listing.sold"]
    assert len(told) == len({one.subject["purchase_id"] for one in told}) == 64
    assert await branches.ledger_is_right()


async def test_unlisting_and_relisting_at_once_leave_one_state(branches: Branches) -> None:
    here, there = await branches.person("carla", Role.SELLER)
    listing = await branches.here.published(here, "Moved")
    published = await here.ask(GetListing(listing_id=listing.id))
    unlist, relist = UnlistListing(listing_id=listing.id), RelistListing(listing_id=listing.id)
    outcomes = await all_at_once([(here, unlist), (there, unlist), (here, relist), (there, relist)] * 2)
    assert set(outcomes) <= {"done", "illegal_move", "stale_revision"}
    assert outcomes["done"] >= 1
    seen = await here.ask(GetListing(listing_id=listing.id))
    assert seen.revision == published.revision + outcomes["done"]
    assert seen.state is (ListingState.UNLISTED if outcomes["done"] % 2 else ListingState.PUBLISHED)
