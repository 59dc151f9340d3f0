"""Listings, moderation and purchases on a real MongoDB: the life of a listing, and every race of a sale."""

from __future__ import annotations

from collections import Counter
from typing import Any

import anyio
import pytest

from promptforge.actors.billing.messages import GetCredits
from promptforge.actors.billing.verification import verify_ledger
from promptforge.actors.marketplace.errors import StaleRevision
from promptforge.actors.marketplace.listings.domain import TRANSITIONS, Move, next_state
from promptforge.actors.marketplace.listings.history import Act
from promptforge.actors.marketplace.listings.messages import ListingSort, ListListings
from promptforge.actors.marketplace.listings.store import ListingStore
from promptforge.actors.marketplace.messages import (
    ApplyDecision,
    Decision,
    GetListing,
    GetPurchase,
    ListingState,
    ListMyListings,
    ListPurchases,
    ListSales,
    PurchaseListing,
    RelistListing,
    SubmitListing,
    UnlistListing,
    UpdateListing,
    WithdrawListing,
)
from promptforge.actors.moderation.messages import ClaimCase, DecideCase, GetCase
from promptforge.core.context import Context
from promptforge.core.errors import Conflict
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Role
from tests.support.market import Market, decision, judge, raised
from tests.support.processes import UNHURRIED_SECONDS

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("state", ListingState)
@pytest.mark.parametrize("move", Move)
def test_every_move_is_in_the_table_or_refused_with_the_legal_ones(state: ListingState, move: Move) -> None:
    if (state, move) in TRANSITIONS:
        before = ListingState.PUBLISHED
        assert next_state(state, move, before=before) is (TRANSITIONS[state, move] or before)
        return
    with pytest.raises(Conflict) as refused:
        next_state(state, move)
    legal = refused.value.extra["legal_moves"]
    assert isinstance(legal, list)
    assert all((state, Move(one)) in TRANSITIONS for one in legal)


async def test_a_listing_goes_through_review_and_the_seller_hears_why(market: Market) -> None:
    carla = await market.person("carla", Role.SELLER)
    mona = await market.person("mona", Role.MODERATOR)
    anyone = market.process.system.context(request_id="anonymous")
    listing = await market.draft(carla, "Listing")
    assert await raised(anyone, GetListing(listing_id=listing.id)) == "not_found"
    await carla.ask(SubmitListing(listing_id=listing.id))
    assert await raised(carla, SubmitListing(listing_id=listing.id)) == "illegal_move"
    assert await raised(carla, UpdateListing(listing_id=listing.id, title="Sneaky")) == "illegal_move"
    case_id = await market.case_of(mona, listing)
    assert (await mona.ask(GetCase(case_id=case_id))).listing.id == listing.id
    await judge(mona, case_id, Decision.REQUEST_CHANGES)
    seen = await carla.ask(GetListing(listing_id=listing.id))
    assert (seen.state, seen.review and seen.review.note) == (ListingState.CHANGES_REQUESTED, "Because.")
    changed = await carla.ask(UpdateListing(listing_id=listing.id, title="Better", price="12.5"))
    assert (changed.title, changed.price) == ("Better", "12.5")
    await carla.ask(SubmitListing(listing_id=listing.id))
    await judge(mona, await market.case_of(mona, listing))
    published = await anyone.ask(GetListing(listing_id=listing.id))
    assert (published.state, published.review) == (ListingState.PUBLISHED, None)
    kinds = [one.kind for one in await market.notices(carla)]
    assert kinds == ["listing.approved", "listing.changes_requested"]


async def test_one_case_is_decided_once_and_nobody_decides_their_own(market: Market) -> None:
    carla = await market.person("carla", Role.SELLER, Role.MODERATOR)
    moderators = [await market.person(f"mod{number}", Role.MODERATOR) for number in range(6)]
    listing = await market.draft(carla, "Contested")
    await carla.ask(SubmitListing(listing_id=listing.id))
    case_id = await market.case_of(moderators[0], listing)
    assert await raised(carla, decision(case_id)) == "own_case"
    outcomes = Counter[str]()
    call, claim = (market.process.system.bindings[kind].call for kind in (DecideCase, ClaimCase))

    async def decide(moderator: Context, kind: Decision) -> None:
        try:
            await claim(ClaimCase(case_id=case_id), moderator.derive())
            await call(decision(case_id, kind), moderator.derive())  # past the key, as another process would
        except Conflict as error:
            outcomes[error.code] += 1
        else:
            outcomes["decided"] += 1

    async with anyio.create_task_group() as tasks:
        for number, moderator in enumerate(moderators):
            context = moderator.derive()
            context.cell = market.process.system._cells[
                [c.name for c in market.process.system._cells].index("moderation")
            ]
            context.trusted = True
            tasks.start_soon(decide, context, Decision.APPROVE if number % 2 else Decision.REJECT)
    assert outcomes["decided"] == 1
    assert set(outcomes) <= {"decided", "case_claimed", "already_decided"}
    assert len(await market.notices(carla)) == 1


async def test_a_withdrawn_listing_leaves_an_obsolete_case(market: Market) -> None:
    carla = await market.person("carla", Role.SELLER)
    mona = await market.person("mona", Role.MODERATOR)
    listing = await market.draft(carla, "Withdrawn")
    await carla.ask(SubmitListing(listing_id=listing.id))
    case_id = await market.case_of(mona, listing)
    await carla.ask(WithdrawListing(listing_id=listing.id))
    assert await raised(mona, decision(case_id)) == "case_obsolete"
    assert await raised(mona, decision(case_id)) == "case_obsolete"
    assert (await mona.ask(GetCase(case_id=case_id))).case.state == "obsolete"


async def test_an_edit_of_a_stale_revision_is_refused(market: Market) -> None:
    carla = await market.person("carla", Role.SELLER)
    listing = await market.draft(carla, "Edited")
    await carla.ask(UpdateListing(listing_id=listing.id, revision=1, title="Edited once"))
    assert await raised(carla, UpdateListing(listing_id=listing.id, revision=1, title="Lost")) == "stale_revision"
    eve = await market.person("eve", Role.SELLER)
    for message in (
        UpdateListing(listing_id=listing.id, title="Stolen"),
        SubmitListing(listing_id=listing.id),
        WithdrawListing(listing_id=listing.id),
        UnlistListing(listing_id=listing.id),
        RelistListing(listing_id=listing.id),
    ):
        assert await raised(eve, message) == "not_found"


async def test_the_market_is_browsed_in_pages_by_time_and_by_price(market: Market) -> None:
    carla = await market.person("carla", Role.SELLER)
    for number, price in enumerate(("3", "1", "2", "1", "5")):
        await market.published(carla, f"Listing {number}", price=price)
    anyone = market.process.system.context(request_id="anonymous", timeout_seconds=UNHURRIED_SECONDS)

    async def titles(sort: ListingSort) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        cursor = None
        while True:
            page = await anyone.ask(ListListings(sort=sort, limit=2, cursor=cursor))
            found += [(listing.title, listing.price) for listing in page.items]
            cursor = page.next
            if cursor is None:
                return found

    assert [title for title, _ in await titles(ListingSort.NEW)] == [f"Listing {n}" for n in (4, 3, 2, 1, 0)]
    assert [price for _, price in await titles(ListingSort.PRICE)] == ["1", "1", "2", "3", "5"]
    assert len((await carla.ask(ListMyListings(state=ListingState.PUBLISHED))).items) == 5


async def test_a_sale_moves_everything_at_once(market: Market, mongo: Mongo) -> None:
    carla, bruno = await market.person("carla", Role.SELLER), await market.person("bruno")
    await market.fund(bruno, 15)
    listing = await market.published(carla, "Sold")
    purchase = await market.buy(bruno, listing)
    assert (purchase.price, purchase.version, purchase.used_at) == ("10", 1, None)
    assert (await bruno.ask(GetCredits())).available == "5"
    assert (await carla.ask(GetCredits())).pending == "8.5"
    content = await bruno.ask(GetPurchase(purchase_id=purchase.id))
    assert content.content == "Say {{word}}."
    assert content.used_at is not None
    assert [one.listing_id for one in (await bruno.ask(ListPurchases())).items] == [listing.id]
    assert [one.net for one in (await carla.ask(ListSales())).items] == ["8.5"]
    assert next(one.kind for one in await market.notices(carla)) == "listing.sold"
    for other in (carla, await market.person("eve")):
        assert await raised(other, GetPurchase(purchase_id=purchase.id)) == "not_found"
    assert (await verify_ledger(mongo)).ok


async def test_each_reason_not_to_sell_is_a_problem_of_its_own(market: Market, mongo: Mongo) -> None:
    carla, bruno = await market.person("carla", Role.SELLER), await market.person("bruno")
    listing = await market.published(carla, "Refused")
    draft = await market.draft(carla, "Draft")
    assert await raised(bruno, PurchaseListing(listing_id=listing.id, expected_price="10")) == "insufficient_credits"
    await market.fund(bruno, 100)
    assert await raised(bruno, PurchaseListing(listing_id=listing.id, expected_price="9")) == "price_changed"
    assert await raised(carla, PurchaseListing(listing_id=listing.id, expected_price="10")) == "own_listing"
    assert await raised(bruno, PurchaseListing(listing_id=draft.id, expected_price="10")) == "not_found"
    assert await raised(bruno, PurchaseListing(listing_id="lst_none", expected_price="10")) == "not_found"
    await carla.ask(UnlistListing(listing_id=listing.id))
    assert await raised(bruno, PurchaseListing(listing_id=listing.id, expected_price="10")) == "not_for_sale"
    await carla.ask(RelistListing(listing_id=listing.id))
    assert await raised(bruno, PurchaseListing(listing_id=listing.id, expected_price="10")) == "done"
    assert await raised(bruno, PurchaseListing(listing_id=listing.id, expected_price="10")) == "already_owned"
    assert (await bruno.ask(GetCredits())).available == "90"
    assert await mongo.collection("purchases").count_documents({}) == 1


async def _all_at_once(messages: list[tuple[Context, Any]]) -> Counter[str]:
    outcomes = Counter[str]()

    async def ask(person: Context, message: Any) -> None:
        outcomes[await raised(person, message)] += 1

    async with anyio.create_task_group() as tasks:
        for person, message in messages:
            tasks.start_soon(ask, person, message)
    return outcomes


async def test_sixteen_clicks_at_once_buy_once(market: Market, mongo: Mongo) -> None:
    carla, bruno = await market.person("carla", Role.SELLER), await market.person("bruno")
    await market.fund(bruno, 100)
    listing = await market.published(carla, "Clicked")
    click = PurchaseListing(listing_id=listing.id, expected_price="10")
    outcomes = await _all_at_once([(bruno, click)] * 16)
    assert outcomes == {"done": 1, "already_owned": 15}
    assert (await bruno.ask(GetCredits())).available == "90"
    assert len(await market.notices(carla)) == 2  # approved, and sold once
    assert (await verify_ledger(mongo)).ok


async def test_the_last_credits_buy_one_of_many_listings(market: Market, mongo: Mongo) -> None:
    carla, bruno = await market.person("carla", Role.SELLER), await market.person("bruno")
    await market.fund(bruno, 10)
    listings = [await market.published(carla, f"Listing {number}") for number in range(6)]
    clicks = [(bruno, PurchaseListing(listing_id=one.id, expected_price="10")) for one in listings]
    assert await _all_at_once(clicks) == {"done": 1, "insufficient_credits": 5}
    assert (await bruno.ask(GetCredits())).available == "0"
    assert await mongo.collection("purchases").count_documents({}) == 1
    assert await mongo.collection("entitlements").count_documents({}) == 1
    assert (await verify_ledger(mongo)).ok


async def test_forty_buyers_of_one_listing_all_succeed(market: Market, mongo: Mongo) -> None:
    carla = await market.person("carla", Role.SELLER)
    listing = await market.published(carla, "Hot")
    buyers = [await market.person(f"buyer{number}") for number in range(40)]
    for buyer in buyers:
        await market.fund(buyer, 10)
    click = PurchaseListing(listing_id=listing.id, expected_price="10")
    assert await _all_at_once([(buyer, click) for buyer in buyers]) == {"done": 40}
    assert (await carla.ask(GetCredits())).pending == "340"
    assert (await verify_ledger(mongo)).ok


async def test_a_purchase_that_meets_an_unlisting_or_a_price_change_ends_legally(market: Market, mongo: Mongo) -> None:
    carla = await market.person("carla", Role.SELLER)
    buyers = [await market.person(f"buyer{number}") for number in range(8)]
    for buyer in buyers:
        await market.fund(buyer, 10)
    listing = await market.published(carla, "Raced")
    click = PurchaseListing(listing_id=listing.id, expected_price="10")
    outcomes = await _all_at_once(
        [*((buyer, click) for buyer in buyers[:4]), (carla, UnlistListing(listing_id=listing.id))]
        + [(buyer, click) for buyer in buyers[4:]]
    )
    assert set(outcomes) <= {"done", "not_for_sale"}
    assert await raised(await market.person("late"), click) == "not_for_sale"
    sold = await mongo.collection("purchases").count_documents({})
    assert sold == outcomes["done"] - 1  # the unlisting is the other one
    assert (await verify_ledger(mongo)).ok


async def test_a_decision_applies_to_exactly_what_was_reviewed(market: Market) -> None:
    carla = await market.person("carla", Role.SELLER)
    listing = await market.draft(carla, "Moved on")
    system = market.process.system.context(request_id="r", trusted=True)

    def apply(revision: int) -> ApplyDecision:
        return ApplyDecision(
            listing_id=listing.id,
            revision=revision,
            decision=Decision.APPROVE,
            moderator_id="usr_mona",
            reason_code="meets_guidelines",
            public_note="Because.",
        )

    assert await raised(system, apply(1)) == "listing_moved"  # nobody submitted it
    submitted = await carla.ask(SubmitListing(listing_id=listing.id))
    assert await raised(system, apply(submitted.revision - 1)) == "listing_moved"
    assert await raised(system, apply(submitted.revision)) == "done"


async def test_of_two_changes_of_one_revision_the_second_is_refused(market: Market, mongo: Mongo) -> None:
    carla = await market.person("carla", Role.SELLER)
    store = ListingStore(mongo)
    listing = await store.get((await market.draft(carla, "Twice")).id)
    act = Act(Move.EDIT, carla.user_id, carla.now())
    await store.change(listing, {"title": "First"}, act, carla)
    with pytest.raises(StaleRevision):
        await store.change(listing, {"title": "Second"}, act, carla)
    assert (await store.get(listing.id)).title == "First"
