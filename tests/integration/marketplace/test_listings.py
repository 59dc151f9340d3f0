"""Listings on a real MongoDB: who sees what, what may be listed, and lists that an index serves."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from promptforge.actors.marketplace.errors import IllegalMove, StaleRevision
from promptforge.actors.marketplace.listings.messages import ListingSort, ListListings
from promptforge.actors.marketplace.listings.store import LISTINGS
from promptforge.actors.marketplace.messages import (
    ApplyDecision,
    Category,
    CreateListing,
    Decision,
    GetListing,
    GetListingForReview,
    HasOffered,
    ListingState,
    ListingView,
    ListMyListings,
    RelistListing,
    SubmitListing,
    UnlistListing,
    UpdateListing,
    WithdrawListing,
)
from promptforge.actors.prompts.messages import ArchivePrompt, CreateVersion
from promptforge.core.context import Context
from promptforge.core.errors import Invalid
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Principal, Role
from tests.integration.marketplace.branches import Branches, Interrupted, all_at_once, interrupt
from tests.support.market import judge, raised
from tests.support.processes import UNHURRIED_SECONDS

pytestmark = pytest.mark.anyio


def offer(prompt_id: str, version: int = 1, **changes: Any) -> CreateListing:  # Any: fields of the message
    fields: dict[str, Any] = {
        "title": "A title",
        "summary": "A summary",
        "description": "A description",
        "category": Category.WRITING,
        "price": "10",
    }
    return CreateListing(prompt_id=prompt_id, version=version, **{**fields, **changes})


async def titles(person: Context, limit: int = 100, **wanted: Any) -> list[str]:  # Any: fields of the message
    """Every page of the market."""
    found: list[str] = []
    cursor = None
    while True:
        page = await person.ask(ListListings(limit=limit, cursor=cursor, **wanted))
        found += [listing.title for listing in page.items]
        cursor = page.next
        if cursor is None:
            return found


def anonymous(branches: Branches) -> Context:
    return branches.here.process.system.context(request_id="anonymous", timeout_seconds=UNHURRIED_SECONDS)


async def test_only_ones_own_living_versions_can_be_listed(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    eve, _ = await branches.person("eve", Role.SELLER)
    prompt = await branches.here.prompt(carla, "Mine")
    assert await raised(eve, offer(prompt.id)) == "not_found"
    assert await raised(carla, offer(prompt.id, version=2)) == "not_found"
    assert await raised(carla, offer("prm_nowhere")) == "not_found"
    bruno, _ = await branches.person("bruno")
    assert await raised(bruno, offer(prompt.id)) == "forbidden", "one has to be a seller"
    listing = await carla.ask(offer(prompt.id))
    assert (listing.state, listing.revision, listing.price) == (ListingState.DRAFT, 1, "10")
    assert await raised(carla, UpdateListing(listing_id=listing.id, version=2)) == "not_found"
    await carla.ask(CreateVersion(prompt_id=prompt.id, content="better"))
    assert (await carla.ask(UpdateListing(listing_id=listing.id, version=2))).version == 2
    await carla.ask(ArchivePrompt(prompt_id=prompt.id))
    assert await raised(carla, offer(prompt.id)) == "not_found"
    assert await branches.count(LISTINGS) == 1


async def test_only_what_was_sent_of_an_edit_changes(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    prompt = await branches.here.prompt(carla, "Mine")
    listing = await carla.ask(offer(prompt.id, tags=("a", "b", "a")))
    assert listing.tags == ("a", "b")
    edited = await carla.ask(UpdateListing(listing_id=listing.id, category=Category.CODING, tags=(), price="0.5"))
    assert (edited.category, edited.tags, edited.price, edited.revision) == (Category.CODING, (), "0.5", 2)
    assert (edited.title, edited.summary, edited.description) == ("A title", "A summary", "A description")
    assert await carla.ask(UpdateListing(listing_id=listing.id, revision=2)) == edited, "nothing sent, nothing changed"
    with pytest.raises(StaleRevision) as refused:
        await carla.ask(UpdateListing(listing_id=listing.id, revision=1, title="Lost"))
    assert refused.value.extra == {"revision": 2}


async def test_of_two_processes_edits_of_one_revision_one_is_kept(branches: Branches) -> None:
    here, there = await branches.person("carla", Role.SELLER)
    listing = await branches.here.draft(here, "Edited")
    edits = [UpdateListing(listing_id=listing.id, revision=1, title=f"Title {number}") for number in range(6)]
    outcomes = await all_at_once([(here if number % 2 else there, edit) for number, edit in enumerate(edits)])
    assert outcomes == {"done": 1, "stale_revision": 5}
    assert (await here.ask(GetListing(listing_id=listing.id))).revision == 2


async def test_only_the_published_shows_and_only_the_seller_sees_the_rest(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    others = [anonymous(branches), (await branches.person("eve", Role.SELLER, Role.MODERATOR))[0]]
    listing = await branches.here.draft(carla, "Life")
    see, mona = GetListing(listing_id=listing.id), (await branches.person("mona", Role.MODERATOR))[0]

    async def check(state: ListingState) -> None:
        assert (await carla.ask(see)).state is state
        assert [one.state for one in (await carla.ask(ListMyListings())).items] == [state]
        shown = state is ListingState.PUBLISHED
        for other in others:
            assert await raised(other, see) == ("done" if shown else "not_found")
            assert await titles(other) == (["Life"] if shown else [])
        ever = state in {ListingState.PUBLISHED, ListingState.UNLISTED}
        assert await branches.here.process.context().ask(HasOffered(seller_id=listing.seller_id)) is ever
        assert (await others[1].ask(ListMyListings())).items == ()

    await check(ListingState.DRAFT)
    await carla.ask(SubmitListing(listing_id=listing.id))
    await check(ListingState.IN_REVIEW)
    await judge(mona, await branches.here.case_of(mona, listing), Decision.REQUEST_CHANGES)
    await check(ListingState.CHANGES_REQUESTED)
    await carla.ask(SubmitListing(listing_id=listing.id))
    await carla.ask(WithdrawListing(listing_id=listing.id))
    await check(ListingState.DRAFT)
    submitted = await carla.ask(SubmitListing(listing_id=listing.id))
    await branches.here.jobs_done()
    row = await branches.mongo.collection("moderation_cases").find_one(
        {"listing_id": listing.id, "revision": submitted.revision}
    )
    assert row is not None
    await judge(mona, row["_id"])
    await check(ListingState.PUBLISHED)
    published = (await others[0].ask(see)).published_at
    await carla.ask(UnlistListing(listing_id=listing.id))
    await check(ListingState.UNLISTED)
    await carla.ask(RelistListing(listing_id=listing.id))
    await check(ListingState.PUBLISHED)
    assert (await others[0].ask(see)).published_at == published, "a listing does not become new by leaving"


async def test_a_preview_has_nothing_of_the_content(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    prompt = await branches.here.prompt(carla, "Sealed", "the secret words")
    listing = await carla.ask(offer(prompt.id))
    rows = branches.mongo.collection(LISTINGS)
    await rows.update_one({"_id": listing.id}, {"$set": {"state": "published"}})
    seen = await anonymous(branches).ask(GetListing(listing_id=listing.id))
    assert "secret" not in repr(seen)
    row = await rows.find_one({"_id": listing.id})
    assert "secret" not in repr(row)


async def test_a_program_sees_its_owners_drafts_only_with_the_scope(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    listing = await branches.here.draft(carla, "Draft")
    system = branches.here.process.system
    for scopes, seen in ((frozenset({"listings:read"}), "done"), (frozenset({"credits:read"}), "not_found")):
        key = Principal(carla.user_id, "carla", frozenset({Role.USER, Role.SELLER}), scopes=scopes)
        program = system.context(request_id="program", principal=key)
        assert await raised(program, GetListing(listing_id=listing.id)) == seen


async def test_a_refused_move_names_the_legal_ones(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    listing = await branches.here.published(carla, "Public")
    for message in (
        SubmitListing(listing_id=listing.id),
        WithdrawListing(listing_id=listing.id),
        RelistListing(listing_id=listing.id),
    ):
        with pytest.raises(IllegalMove) as refused:
            await carla.ask(message)
        assert refused.value.extra == {
            "state": "published",
            "legal_moves": ["edit", "evidence", "withdraw_proposal", "appeal_proposal", "unlist"],
        }


async def test_a_submission_and_its_case_are_one(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    listing = await branches.here.draft(carla, "Submitted")
    branches.transactions.before_commit = interrupt
    with pytest.raises(Interrupted):
        await carla.ask(SubmitListing(listing_id=listing.id))
    assert (await carla.ask(GetListing(listing_id=listing.id))).state is ListingState.DRAFT
    assert await branches.count("jobs") == 0
    await carla.ask(SubmitListing(listing_id=listing.id))
    assert await branches.count("jobs", kind="moderation.OpenCase") == 1


async def test_two_submissions_at_once_are_one(branches: Branches) -> None:
    here, there = await branches.person("carla", Role.SELLER)
    listing = await branches.here.draft(here, "Submitted")
    submit = SubmitListing(listing_id=listing.id)
    outcomes = await all_at_once([(here if number % 2 else there, submit) for number in range(6)])
    assert outcomes == {"done": 1, "illegal_move": 5}
    assert await branches.count("jobs", kind="moderation.OpenCase") == 1


async def test_a_decision_applies_to_what_was_reviewed_only(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    listing = await branches.here.draft(carla, "Reviewed")
    submitted = await carla.ask(SubmitListing(listing_id=listing.id))
    service = branches.here.process.context()

    def approve(revision: int) -> ApplyDecision:
        return ApplyDecision(
            listing_id=listing.id,
            revision=revision,
            decision=Decision.APPROVE,
            moderator_id="usr_m",
            reason_code="fine",
            public_note="Good.",
        )

    assert await raised(service, approve(submitted.revision - 1)) == "listing_moved"
    await carla.ask(WithdrawListing(listing_id=listing.id))
    await carla.ask(UpdateListing(listing_id=listing.id, title="Something else"))
    again = await carla.ask(SubmitListing(listing_id=listing.id))
    assert await raised(service, approve(submitted.revision)) == "listing_moved"
    assert (await service.ask(approve(again.revision))).state is ListingState.PUBLISHED
    assert await raised(service, approve(again.revision)) == "listing_moved"
    for message in (approve(1), GetListingForReview(listing_id=listing.id)):
        assert await raised(carla, message) == "forbidden", "these are the service's own"


async def _fill(branches: Branches, mongo: Mongo, count: int) -> list[ListingView]:
    """Many listings made from one that went the whole way; answers the published ones."""
    carla, _ = await branches.person("carla", Role.SELLER)
    model = await branches.here.published(carla, "Listing 0")
    row = await mongo.collection(LISTINGS).find_one({"_id": model.id})
    assert row is not None
    states = ("published", "unlisted", "draft", "published")
    rows = [
        {
            **row,
            "_id": f"lst_{number:04d}",
            "title": f"Listing {number}",
            "state": states[number % 4],
            "category": ("writing", "coding")[number % 2],
            "tags": [("even", "odd")[number % 2], f"tag{number % 5}"],
            "price": number // 10 * 3 % 10 * 1000,
            "published_at": row["published_at"] + timedelta(seconds=number // 3),
            "ranks": {"trending": number * 7 % 11, "sales": number // 4, "rated": number * 3 % 5, "average": 0},
        }
        for number in range(1, count)
    ]
    await mongo.collection(LISTINGS).insert_many(rows)
    published = [model.id, *(one["_id"] for one in rows if one["state"] == "published")]
    return [await carla.ask(GetListing(listing_id=one)) for one in published]


FILTERS: list[dict[str, Any]] = [  # Any: fields of the message
    {},
    {"category": Category.CODING},
    {"tag": "tag3"},
    {"category": Category.WRITING, "tag": "even"},
]


@pytest.mark.parametrize("sort", ListingSort)
async def test_the_market_is_filtered_and_sorted_page_by_page(
    branches: Branches, mongo: Mongo, sort: ListingSort
) -> None:
    made = await _fill(branches, mongo, 60)
    if sort is ListingSort.PRICE:
        made.sort(key=lambda one: (Decimal(one.price), one.id))
    elif sort is ListingSort.NEW:
        made.sort(key=lambda one: (str(one.published_at), one.id), reverse=True)
    else:
        rows = await mongo.collection(LISTINGS).find({}).to_list(100)
        name = {"top_rated": "rated", "best_selling": "sales", "trending": "trending"}[sort]
        ranks = {row["_id"]: row["ranks"][name] for row in rows}
        made.sort(key=lambda one: (ranks[one.id], one.id), reverse=True)
    for filters in FILTERS:
        category, tag = filters.get("category"), filters.get("tag")
        wanted = [one.title for one in made if category in {None, one.category} and (tag is None or tag in one.tags)]
        assert wanted
        assert await titles(anonymous(branches), limit=3, sort=sort, **filters) == wanted
    assert await titles(anonymous(branches), sort=sort, tag="$exists") == []


@pytest.mark.parametrize("sort", ListingSort)
async def test_a_page_of_the_market_reads_no_more_than_it_shows_however_deep_it_is(
    branches: Branches, mongo: Mongo, sort: ListingSort
) -> None:
    await _fill(branches, mongo, 400)
    first, known = await _reads(branches, mongo, sort), await _reads(branches, mongo, sort)
    for (pages, read), most in ((first, 3), (known, 2)):  # which ones a page has; what is not known of them
        assert pages >= 24
        assert pages <= len(read) < most * pages
        assert not any("hasSortStage" in one for one in read), "sorted in memory"
        assert max(one["docsExamined"] for one in read) <= 6
        assert max(one["keysExamined"] for one in read) <= 10  # by ids: each of five, and the one behind it


async def _reads(branches: Branches, mongo: Mongo, sort: ListingSort) -> tuple[int, list[dict[str, Any]]]:
    """How many pages there are, and what MongoDB was asked for them."""
    pages = 0
    await mongo.raw.command("profile", 2)
    try:
        for filters in FILTERS[:3]:
            cursor, begins = None, True
            while begins or cursor is not None:
                page = await anonymous(branches).ask(ListListings(limit=5, sort=sort, cursor=cursor, **filters))
                cursor, begins = page.next, False
                pages += 1
    finally:
        await mongo.raw.command("profile", 0)
    read = await mongo.collection("system.profile").find({"op": "query"}).to_list(None)
    await mongo.raw["system.profile"].drop()
    return pages, read


async def test_pages_hold_still_while_listings_leave_and_arrive(branches: Branches, mongo: Mongo) -> None:
    await _fill(branches, mongo, 40)
    person = anonymous(branches)
    for sort in ListingSort:
        whole = await titles(person, sort=sort)
        first = await person.ask(ListListings(limit=4, sort=sort))
        gone = first.items[-1]
        await mongo.collection(LISTINGS).update_one({"_id": gone.id}, {"$set": {"state": "unlisted"}})
        rest = await person.ask(ListListings(limit=100, sort=sort, cursor=first.next))
        assert [one.title for one in (*first.items, *rest.items)] == whole
        await mongo.collection(LISTINGS).update_one({"_id": gone.id}, {"$set": {"state": "published"}})


async def test_a_cursor_nobody_gave_out_is_refused(branches: Branches) -> None:
    for cursor in ("x", "1.", ".lst_1", "-1.lst_1", "1e5.lst_1", "9" * 19 + ".lst_1", "\u0661.lst_1"):
        for sort in ListingSort:
            with pytest.raises(Invalid) as refused:
                await anonymous(branches).ask(ListListings(sort=sort, cursor=cursor))
            assert refused.value.errors[0].parameter == "cursor"


async def test_other_peoples_listings_do_not_exist(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    eve, _ = await branches.person("eve", Role.SELLER)
    listing = await branches.here.published(carla, "Mine")
    for message in (
        UpdateListing(listing_id=listing.id, title="Stolen"),
        SubmitListing(listing_id=listing.id),
        WithdrawListing(listing_id=listing.id),
        UnlistListing(listing_id=listing.id),
        RelistListing(listing_id=listing.id),
        GetListing(listing_id="lst_nowhere"),
    ):
        assert await raised(eve, message) == "not_found"
    assert (await carla.ask(GetListing(listing_id=listing.id))).state is ListingState.PUBLISHED
