"""A purchase on a real MongoDB: all of it or nothing, once, on the terms that the buyer saw."""

from __future__ import annotations

import pytest

from promptforge.actors.billing.messages import GetCredits
from promptforge.actors.marketplace.errors import AlreadyOwned, PriceChanged
from promptforge.actors.marketplace.messages import (
    GetListing,
    GetPurchase,
    ListPurchases,
    ListSales,
    PurchaseListing,
    SubmitListing,
    UnlistListing,
)
from promptforge.actors.prompts.messages import (
    ArchivePrompt,
    ChatMessage,
    ChatRole,
    CreatePrompt,
    CreateVersion,
    FirstVersion,
    ModelSettings,
    PromptKind,
)
from promptforge.core.context import Context
from promptforge.core.principal import Principal, Role
from tests.integration.marketplace.branches import Branches, Interrupted, all_at_once, interrupt
from tests.integration.marketplace.test_listings import offer
from tests.support.market import Market, judge, raised

pytestmark = pytest.mark.anyio

EVERYTHING_A_SALE_WRITES = ("purchases", "entitlements", "ledger_journals", "ledger_sales", "transactions", "jobs")


async def available(person: Context) -> str:
    return (await person.ask(GetCredits())).available


async def buyer_with(market: Market, credits: int, uid: str = "bruno") -> Context:
    buyer = await market.person(uid)
    if credits:
        await market.fund(buyer, credits)
    return buyer


async def test_each_reason_not_to_sell_is_a_problem_of_its_own(branches: Branches) -> None:
    market = branches.here
    carla = await market.person("carla", Role.SELLER)
    bruno, poor = await buyer_with(market, 100), await market.person("poor")
    draft, listing = await market.draft(carla, "Draft"), await market.published(carla, "Public")
    await market.jobs_done()
    before = [await branches.count(name) for name in EVERYTHING_A_SALE_WRITES]
    click = PurchaseListing(listing_id=listing.id, expected_price="10")
    assert await raised(bruno, PurchaseListing(listing_id=draft.id, expected_price="10")) == "not_found"
    assert await raised(bruno, PurchaseListing(listing_id="lst_nowhere", expected_price="10")) == "not_found"
    for price in ("9", "11", "9.999", "0"):
        with pytest.raises(PriceChanged) as refused:
            await bruno.ask(PurchaseListing(listing_id=listing.id, expected_price=price))
        assert refused.value.extra == {"price": "10"}
    assert await raised(carla, click) == "own_listing"
    assert await raised(poor, click) == "insufficient_credits"
    suspended = Principal(bruno.user_id, "bruno", suspended=True)
    assert (
        await raised(market.process.system.context(request_id="r", principal=suspended), click) == "account_suspended"
    )
    assert await raised(market.process.system.context(request_id="r"), click) == "unauthenticated"
    await carla.ask(UnlistListing(listing_id=listing.id))
    assert await raised(bruno, click) == "not_for_sale"
    assert [await branches.count(name) for name in EVERYTHING_A_SALE_WRITES] == before
    assert await available(bruno) == "100"


async def test_a_sale_that_does_not_commit_leaves_nothing(branches: Branches) -> None:
    market = branches.here
    carla, bruno = await market.person("carla", Role.SELLER), await buyer_with(market, 15)
    listing = await market.published(carla, "Interrupted")
    await market.jobs_done()
    before = [await branches.count(name) for name in EVERYTHING_A_SALE_WRITES]
    branches.transactions.before_commit = interrupt
    with pytest.raises(Interrupted):
        await market.buy(bruno, listing)
    assert [await branches.count(name) for name in EVERYTHING_A_SALE_WRITES] == before
    assert (await available(bruno), (await bruno.ask(ListPurchases())).items) == ("15", ())
    await market.buy(bruno, listing)
    assert (await available(bruno), len(await market.notices(carla))) == ("5", 2)
    assert await branches.ledger_is_right()


@pytest.mark.parametrize("clicks", [2, 16])
async def test_clicking_twice_in_two_processes_buys_once_and_names_the_purchase(
    branches: Branches, clicks: int
) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    here, there = await branches.person("bruno")
    await branches.here.fund(here, 100)
    listing = await branches.here.published(carla, "Clicked")
    click = PurchaseListing(listing_id=listing.id, expected_price="10")
    outcomes = await all_at_once([(here if number % 2 else there, click) for number in range(clicks)])
    assert outcomes == {"done": 1, "already_owned": clicks - 1}
    assert await available(here) == "90"
    (purchase,) = (await here.ask(ListPurchases())).items
    with pytest.raises(AlreadyOwned) as refused:
        await there.ask(click)
    assert refused.value.extra == {"purchase_id": purchase.id}
    assert [one.kind for one in await branches.here.notices(here)].count("purchase.completed") == 1
    assert [one.kind for one in await branches.here.notices(carla)].count("listing.sold") == 1
    assert await branches.ledger_is_right()


async def test_a_late_second_click_hears_that_it_is_theirs_whatever_has_changed(branches: Branches) -> None:
    market = branches.here
    carla, bruno = await market.person("carla", Role.SELLER), await buyer_with(market, 10)
    listing = await market.published(carla, "Changed")
    await market.buy(bruno, listing)
    assert await available(bruno) == "0", "nor could they pay again"
    assert await raised(bruno, PurchaseListing(listing_id=listing.id, expected_price="99")) == "already_owned"
    await carla.ask(UnlistListing(listing_id=listing.id))
    assert await raised(bruno, PurchaseListing(listing_id=listing.id, expected_price="10")) == "already_owned"


async def test_the_last_credits_are_spent_once_in_two_processes(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    here, there = await branches.person("bruno")
    await branches.here.fund(here, 10)
    listings = [await branches.here.published(carla, f"Listing {number}") for number in range(6)]
    asks = [
        (here if number % 2 else there, PurchaseListing(listing_id=listing.id, expected_price="10"))
        for number, listing in enumerate(listings)
    ]
    assert await all_at_once(asks) == {"done": 1, "insufficient_credits": 5}
    assert await available(here) == "0"
    assert (await branches.count("purchases"), await branches.count("entitlements")) == (1, 1)
    assert await branches.ledger_is_right()


async def test_what_is_free_needs_no_credits(branches: Branches) -> None:
    market = branches.here
    carla, bruno = await market.person("carla", Role.SELLER), await market.person("bruno")
    listing = await market.published(carla, "Free", price="0")
    purchase = await market.buy(bruno, listing, "0")
    assert purchase.price == "0"
    assert (await bruno.ask(GetPurchase(purchase_id=purchase.id))).content == "Say {{word}}."
    assert [(sale.price, sale.net) for sale in (await carla.ask(ListSales())).items] == [("0", "0")]
    assert await branches.ledger_is_right()


async def test_the_purchase_keeps_the_terms_and_the_version_of_its_day(branches: Branches) -> None:
    market = branches.here
    carla, bruno = await market.person("carla", Role.SELLER), await buyer_with(market, 50)
    mona = await market.person("mona", Role.MODERATOR)
    messages = (ChatMessage(ChatRole.SYSTEM, "Be brief."), ChatMessage(ChatRole.USER, "{{question}}"))
    first = FirstVersion(content=messages, settings=ModelSettings(model="small", temperature=0.5))
    prompt = await carla.ask(CreatePrompt(name="Chat", kind=PromptKind.CHAT, first_version=first))
    listing = await carla.ask(offer(prompt.id, price="12.345"))
    await carla.ask(SubmitListing(listing_id=listing.id))
    await judge(mona, await market.case_of(mona, listing))
    purchase = await market.buy(bruno, listing, "12.345")
    await carla.ask(CreateVersion(prompt_id=prompt.id, content=messages[1:]))
    await carla.ask(UnlistListing(listing_id=listing.id))
    await carla.ask(ArchivePrompt(prompt_id=prompt.id))
    content = await bruno.ask(GetPurchase(purchase_id=purchase.id))
    assert (content.content, content.settings, content.kind) == (messages, first.settings, PromptKind.CHAT)
    assert (content.version, content.price) == (1, "12.345")
    row = await branches.mongo.collection("purchases").find_one({"_id": purchase.id})
    assert row is not None
    assert (row["price"], row["seller_share"], row["fee"]) == (12_345, 10_493, 1_852), "floor(85 %), and the rest"
    assert row["content_hash"] == purchase.content_hash
    assert row["refund_policy"] == purchase.refund_policy != ""
    assert row["journal_id"] == f"purchase:{purchase.id}"


async def test_reading_counts_as_use_before_anything_is_read(branches: Branches) -> None:
    market = branches.here
    carla, bruno = await market.person("carla", Role.SELLER), await buyer_with(market, 10)
    purchase = await market.buy(bruno, await market.published(carla, "Used"))
    versions = branches.mongo.collection("prompt_versions")
    row = await versions.find_one({})
    assert row is not None
    await versions.delete_one({"_id": row["_id"]})
    assert await raised(bruno, GetPurchase(purchase_id=purchase.id)) == "not_found"
    (seen,) = (await bruno.ask(ListPurchases())).items
    assert seen.used_at is not None, "what may have left has left"
    await versions.insert_one(row)
    assert (await bruno.ask(GetPurchase(purchase_id=purchase.id))).used_at == seen.used_at, "the first time stays"


async def test_a_purchase_is_its_buyers_alone(branches: Branches) -> None:
    market = branches.here
    carla, bruno = await market.person("carla", Role.SELLER), await buyer_with(market, 10)
    purchase = await market.buy(bruno, await market.published(carla, "Private"))
    mona = await market.person("mona", Role.MODERATOR, Role.OPERATOR, Role.ADMIN)
    for other in (carla, mona, await market.person("eve")):
        assert await raised(other, GetPurchase(purchase_id=purchase.id)) == "not_found"
        assert (await other.ask(ListPurchases())).items == ()
    assert (await bruno.ask(ListPurchases())).items[0].used_at is None, "their tries used nothing"
    (sale,) = (await carla.ask(ListSales())).items
    assert bruno.user_id not in repr(sale)
    assert (sale.price, sale.net) == ("10", "8.5")
    suspended = market.process.system.context(
        request_id="r", principal=Principal(bruno.user_id, "bruno", suspended=True)
    )
    assert await raised(suspended, GetPurchase(purchase_id=purchase.id)) == "done", "they paid for it"


async def test_both_sides_are_told(branches: Branches) -> None:
    market = branches.here
    carla, bruno = await market.person("carla", Role.SELLER), await buyer_with(market, 10)
    listing = await market.published(carla, "<b>Told</b>")
    purchase = await market.buy(bruno, listing)
    sold = next(one for one in await market.notices(carla) if one.kind == "listing.sold")
    bought = next(one for one in await market.notices(bruno) if one.kind == "purchase.completed")
    assert sold.subject == bought.subject == {"purchase_id": purchase.id, "listing_id": listing.id}
    assert "8.5 credits" in sold.body
    assert "<b>Told</b>" in sold.title, "markup is text"
    assert bruno.user_id not in repr(sold)
    assert "10 credits" in bought.body


async def test_lists_of_purchases_and_sales_come_in_pages(branches: Branches) -> None:
    market = branches.here
    carla, bruno = await market.person("carla", Role.SELLER), await buyer_with(market, 100)
    listings = [await market.published(carla, f"Listing {number}") for number in range(5)]
    for listing in listings:
        await market.buy(bruno, listing)
    newest_first = [f"Listing {number}" for number in (4, 3, 2, 1, 0)]
    bought: list[str] = []
    cursor = None
    while len(bought) < 5 or cursor is not None:
        page = await bruno.ask(ListPurchases(limit=2, cursor=cursor))
        bought += [one.title for one in page.items]
        cursor = page.next
    first = await carla.ask(ListSales(limit=3))
    rest = await carla.ask(ListSales(limit=3, cursor=first.next))
    assert bought == [one.title for one in (*first.items, *rest.items)] == newest_first
    assert rest.next is None
    assert (await carla.ask(GetListing(listing_id=listings[0].id))).revision == 3, "sales do not touch the listing"
