"""Favourites, categories, ranks and the dashboard, beside what the ledger says."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from random import Random

import pytest

from promptforge.actors.billing.messages import GetCredits
from promptforge.actors.marketplace.favourites.messages import AddFavourite, ListFavourites, RemoveFavourite
from promptforge.actors.marketplace.insights.messages import GetSellerDashboard, ListCategories, RankListings
from promptforge.actors.marketplace.insights.store import InsightStore
from promptforge.actors.marketplace.insights.views import DAYS, ViewCounter, day_of
from promptforge.actors.marketplace.listings.messages import ListingSort, ListListings
from promptforge.actors.marketplace.listings.store import LISTINGS
from promptforge.actors.marketplace.messages import (
    Category,
    Licence,
    RefundPurchase,
    RelistListing,
    UnlistListing,
)
from promptforge.actors.marketplace.purchases.store import PURCHASES
from promptforge.core.principal import Role
from tests.integration.marketplace.branches import Branches
from tests.integration.marketplace.test_reviews import said
from tests.support.market import raised, top_up

pytestmark = pytest.mark.anyio


async def rank(branches: Branches) -> int:
    return await branches.here.process.context().ask(RankListings())


async def browse(branches: Branches, **wanted: object) -> list[str]:
    person = branches.here.process.system.context(request_id="anonymous")
    page = await person.ask(ListListings(**wanted))  # type: ignore[arg-type]  # fields of the message
    return [one.title for one in page.items]


async def test_favourites_are_ones_own_and_say_what_is_off_the_market(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    bruno, there = await branches.person("bruno")
    listings = [await branches.here.published(carla, f"Listing {number}") for number in range(3)]
    for listing in listings:
        await bruno.ask(AddFavourite(listing_id=listing.id))
    first = await there.ask(AddFavourite(listing_id=listings[0].id))
    assert first == await bruno.ask(AddFavourite(listing_id=listings[0].id)), "twice is once"
    page = await bruno.ask(ListFavourites(limit=2))
    rest = await bruno.ask(ListFavourites(limit=2, cursor=page.next))
    assert [one.listing_id for one in (*page.items, *rest.items)] == [one.id for one in listings[::-1]]
    await carla.ask(UnlistListing(listing_id=listings[1].id))
    shown = (await bruno.ask(ListFavourites())).items
    assert [one.listing is None for one in shown] == [False, True, False]
    await bruno.ask(RemoveFavourite(listing_id=listings[0].id))
    await bruno.ask(RemoveFavourite(listing_id=listings[0].id))
    assert len((await bruno.ask(ListFavourites())).items) == 2
    assert (await carla.ask(ListFavourites())).items == ()
    assert await raised(bruno, AddFavourite(listing_id=listings[1].id)) == "not_found"


async def test_categories_tell_how_many_listings_are_on_the_market(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    for name in ("One", "Two"):
        await branches.here.published(carla, name)
    await branches.here.draft(carla, "Draft")
    counted = {one.category: one.listings for one in (await carla.ask(ListCategories())).categories}
    assert counted == {**dict.fromkeys(Category, 0), Category.WRITING: 2}


async def test_ranks_are_worked_out_from_what_counts(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    names = ("Sold twice", "Gift", "Refunded", "Seen", "Nothing")
    listings = {name: await branches.here.published(carla, name) for name in names}
    for number in range(2):
        buyer, _ = await branches.person(f"buyer{number}")
        await top_up(branches.mongo, buyer, 100)
        purchase = await branches.here.buy(buyer, listings["Sold twice"])
        await buyer.ask(said(purchase, 5 - number))
    mike, _ = await branches.person("mike")
    await top_up(branches.mongo, mike, 100)
    refunded = await branches.here.buy(mike, listings["Refunded"])
    message = RefundPurchase(purchase_id=refunded.id, reason="As asked for")
    await branches.here.process.context().ask(message)
    eve, _ = await branches.person("eve")
    await branches.here.fund(eve, 10)
    await branches.here.buy(eve, listings["Gift"])
    views = ViewCounter(branches.mongo)
    for _ in range(50):
        views.add(listings["Seen"].id, seller_id=carla.user_id, viewer_id=None, now=carla.now())
    await views.flush()
    assert await rank(branches) == 2
    assert await rank(branches) == 0, "nothing has changed since"
    rows = {row["title"]: row["ranks"] for row in await branches.mongo.collection(LISTINGS).find({}).to_list(10)}
    assert rows["Sold twice"] == {"trending": 2000, "sales": 2, "rated": round(24 / 7 * 1000), "average": 4500}
    assert rows["Seen"] == {"trending": 500, "sales": 0, "rated": 0, "average": 0}
    for name in ("Gift", "Refunded", "Nothing"):
        assert not any(rows[name].values()), name
    assert (await browse(branches, sort=ListingSort.TRENDING))[:2] == ["Sold twice", "Seen"]
    assert (await browse(branches, sort=ListingSort.BEST_SELLING))[0] == "Sold twice"
    assert (await browse(branches, sort=ListingSort.TOP_RATED))[0] == "Sold twice"
    assert await browse(branches, min_rating=4.5) == ["Sold twice"]
    assert await browse(branches, min_rating=4.6) == []


async def test_a_trend_fades_with_the_days(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    listing = await branches.here.published(carla, "Yesterday's")
    bruno, _ = await branches.person("bruno")
    await top_up(branches.mongo, bruno, 10)
    purchase = await branches.here.buy(bruno, listing)
    for days, trending in ((0, 1000), (1, 850), (13, round(0.85**13 * 1000)), (14, 0)):
        moved = {"$set": {"created_at": carla.now() - timedelta(days=days)}}
        await branches.mongo.collection("purchases").update_one({"_id": purchase.id}, moved)
        await rank(branches)
        row = await branches.mongo.collection(LISTINGS).find_one({"_id": listing.id})
        assert row is not None
        assert (row["ranks"]["trending"], row["ranks"]["sales"]) == (trending, 1)


async def test_ranks_that_did_not_change_are_not_written(branches: Branches) -> None:
    """So processes go on remembering pages of lists that go by others."""
    carla, _ = await branches.person("carla", Role.SELLER)
    listing = await branches.here.published(carla, "Seen")
    views = ViewCounter(branches.mongo)
    async with branches.mongo.raw[LISTINGS].watch() as stream:
        views.add(listing.id, seller_id=carla.user_id, viewer_id=None, now=carla.now())
        await views.flush()
        assert await rank(branches) == 1
        assert set((await stream.next())["updateDescription"]["updatedFields"]) == {"ranks.trending"}


async def test_the_market_is_filtered_by_price_and_licence(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    for price in ("0", "5", "12.5"):
        await branches.here.published(carla, f"For {price}", price=price)
    assert await browse(branches, free=True) == ["For 0"]
    assert await browse(branches, min_price="5", sort=ListingSort.PRICE) == ["For 5", "For 12.5"]
    assert await browse(branches, min_price="0.001", max_price="12.499") == ["For 5"]
    assert len(await browse(branches, licence=Licence.SOURCE)) == 3


async def test_the_dashboard_says_what_the_ledger_says(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    best = await branches.here.published(carla, "Best", price="20")
    other = await branches.here.published(carla, "Other", price="7.777")
    purchases = []
    for number in range(4):
        buyer, _ = await branches.person(f"buyer{number}")
        await (branches.here.fund(buyer, 100) if number % 2 else top_up(branches.mongo, buyer, 100))
        purchases.append(await branches.here.buy(buyer, best, "20"))
        purchases.append(await branches.here.buy(buyer, other, "7.777"))
    for purchase in purchases[:3]:
        message = RefundPurchase(purchase_id=purchase.id, reason="As asked for")
        await branches.here.process.context().ask(message)
    views = ViewCounter(branches.mongo)
    for _ in range(40):
        views.add(best.id, seller_id=carla.user_id, viewer_id=None, now=carla.now())
    await views.flush()
    shown = await carla.ask(GetSellerDashboard(days=7))
    pending = (await carla.ask(GetCredits())).pending
    earned = float(shown.total.net) - float(shown.total.refunded_net)
    assert f"{earned:.3f}" == f"{float(pending):.3f}"
    rows = branches.mongo.collection("transactions")
    legs = [row async for row in rows.find({"user_id": carla.user_id, "account": {"$regex": "pending$"}})]
    assert sum(row["amount"] for row in legs if row["amount"] > 0) == round(float(shown.total.net) * 1000)
    assert -sum(row["amount"] for row in legs if row["amount"] < 0) == round(float(shown.total.refunded_net) * 1000)
    assert (shown.total.sales, shown.total.refunds, shown.total.views) == (8, 3, 40)
    assert (shown.total.gross, shown.total.conversion) == ("111.108", 0.2)
    assert [one.title for one in shown.top] == ["Best", "Other"]
    assert (len(shown.days), shown.days[-1].sales, shown.days[-1].net) == (7, 8, shown.total.net)
    assert await branches.ledger_is_right()
    eve, _ = await branches.person("eve", Role.SELLER)
    assert (await eve.ask(GetSellerDashboard())).total.sales == 0


async def test_a_seller_s_sums_by_day_and_by_listing_are_those_of_each_listing_s_days(branches: Branches) -> None:
    rng, today = Random(4), day_of(branches.here.process.context().now())
    sold = [
        {
            "_id": f"pur_{at}",
            "seller_id": "usr_carla" if at % 5 else "usr_other",
            "buyer_id": f"usr_{at}",
            "listing_id": f"lst_{rng.randrange(3)}",
            "created_at": today - timedelta(days=rng.randrange(6), minutes=-rng.randrange(1440)),
            "price": rng.randrange(9000),
            "seller_share": rng.randrange(5000),
            "refunded_at": today if rng.random() < 0.4 else None,
        }
        for at in range(60)
    ]
    await branches.mongo.collection(PURCHASES).insert_many(sold)
    views = ViewCounter(branches.mongo)
    for _ in range(100):
        listing, day = f"lst_{rng.randrange(3)}", today - timedelta(days=rng.randrange(6))
        views.add(listing, seller_id="usr_carla", viewer_id=None, now=day)
    await views.flush()
    store, since = InsightStore(branches.mongo), today - timedelta(days=4)
    each = await store.days_of_seller("usr_carla", since=since, until=today)
    days, listings = await store.sums_of_seller("usr_carla", since=since, until=today)
    for name in ("views", "sales", "gross", "net", "refunds", "refunded_net"):
        for key, rows in (("day", days), ("listing_id", listings)):
            sums, expected = Counter[object](), Counter[object]()
            for into, some in ((sums, rows), (expected, each)):
                for row in some:
                    into[getattr(row, key)] += getattr(row, name)
            assert sums == expected, (name, key)
            assert sums.total() > 0


async def test_views_of_a_year_are_read_from_an_index_alone(branches: Branches) -> None:
    days = {"seller_id": "usr_carla", "day": {"$gte": day_of(branches.here.process.context().now())}}
    group = {"_id": {"listing": "$listing_id", "day": "$day"}, "views": {"$sum": "$views"}}
    command = {"aggregate": DAYS, "pipeline": [{"$match": days}, {"$group": group}], "cursor": {}}
    told = await branches.mongo.raw.command({"explain": command, "verbosity": "queryPlanner"})
    chosen = str(told["queryPlanner"]["winningPlan"])
    assert "seller_id_1_day_1_views_1_listing_id_1" in chosen
    assert "FETCH" not in chosen


async def test_the_dashboard_has_the_days_that_were_asked_for(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    listing = await branches.here.published(carla, "Old")
    views = ViewCounter(branches.mongo)
    today = day_of(carla.now())
    for days in (0, 1, 2, 3):
        views.add(listing.id, seller_id=carla.user_id, viewer_id=None, now=today - timedelta(days=days))
    await views.flush()
    assert await branches.count(DAYS) == 4
    shown = await carla.ask(GetSellerDashboard(days=3))
    assert ([one.views for one in shown.days], shown.total.views) == ([1, 1, 1], 3)
    assert (shown.since, shown.until) == ((today - timedelta(days=2)).date(), today.date())
    await carla.ask(UnlistListing(listing_id=listing.id))
    await carla.ask(RelistListing(listing_id=listing.id))
    assert (await carla.ask(GetSellerDashboard(days=3))).total == shown.total
