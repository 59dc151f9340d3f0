"""Reviews and ratings on a real MongoDB: one of each purchase, counted while it stands, and sums that never drift."""

from __future__ import annotations

import random
from functools import partial

import anyio
import pytest
from structlog.testing import capture_logs

from promptforge.actors.billing.links.learning import learn_instruments
from promptforge.actors.billing.links.store import LinkStore
from promptforge.actors.marketplace.listings.store import LISTINGS
from promptforge.actors.marketplace.messages import (
    GetListing,
    ListingView,
    PurchaseView,
    RefundPurchase,
    UnlistListing,
)
from promptforge.actors.marketplace.reviews.messages import (
    AppealRemoval,
    CheckRatings,
    DecideRemovalAppeal,
    DeleteReply,
    DeleteReview,
    ListReviews,
    RemoveReview,
    ReplyToReview,
    ReviewView,
    WriteReview,
)
from promptforge.actors.marketplace.reviews.store import REVIEWS
from promptforge.actors.marketplace.reviews.store import review_id as of_purchase
from promptforge.core.context import Context
from promptforge.core.messages import Message
from promptforge.core.principal import Role
from tests.integration.marketplace.branches import Branches, Interrupted, all_at_once, interrupt
from tests.support.market import raised, top_up

pytestmark = pytest.mark.anyio


async def sold(branches: Branches, *names: str) -> tuple[Context, ListingView, list[tuple[Context, PurchaseView]]]:
    """The seller, a listing, and who has bought it with credits of their own."""
    carla, _ = await branches.person("carla", Role.SELLER)
    listing = await branches.here.published(carla, "Reviewed")
    bought = []
    for name in names:
        buyer, _ = await branches.person(name)
        await top_up(branches.mongo, buyer, 100)
        bought.append((buyer, await branches.here.buy(buyer, listing)))
    return carla, listing, bought


def said(purchase: PurchaseView, stars: int, text: str = "As described.") -> WriteReview:
    return WriteReview(purchase_id=purchase.id, stars=stars, text=text)


def removal(purchase: PurchaseView, review_id: str) -> RemoveReview:
    return RemoveReview(
        review_id=review_id,
        case_id=f"cas_{purchase.id}",
        reason_code="off_topic",
        public_note="Looked at.",
        explanation="It advertises something else.",
    )


def appeal_decision(purchase: PurchaseView, review_id: str, *, granted: bool) -> DecideRemovalAppeal:
    return DecideRemovalAppeal(
        review_id=review_id,
        case_id=f"cas_appeal_{purchase.id}",
        granted=granted,
        reason_code="mistaken",
        public_note="Looked at again.",
        explanation="It was a mistake.",
    )


async def rating(branches: Branches, listing: ListingView) -> tuple[int, float | None]:
    shown = (await branches.here.process.system.context(request_id="x").ask(GetListing(listing_id=listing.id))).rating
    return shown.count, shown.average


async def reviews(person: Context, listing: ListingView) -> list[ReviewView]:
    return list((await person.ask(ListReviews(listing_id=listing.id))).items)


async def drifted(branches: Branches) -> int:
    return await branches.here.process.context().ask(CheckRatings())


async def test_a_purchase_has_one_review_which_its_buyer_changes_and_takes_back(branches: Branches) -> None:
    carla, listing, [(bruno, purchase), (eve, other)] = await sold(branches, "bruno", "eve")
    first = await bruno.ask(said(purchase, 2))
    assert (first.counted, first.version, first.edited_at) == (True, 1, None)
    await eve.ask(said(other, 5))
    assert await rating(branches, listing) == (2, 3.5)
    edited = await bruno.ask(said(purchase, 4, "Better than I thought."))
    assert (edited.id, edited.created_at, edited.edited_at is None) == (first.id, first.created_at, False)
    assert await rating(branches, listing) == (2, 4.5)
    assert [one.stars for one in await reviews(carla, listing)] == [5, 4]
    await bruno.ask(DeleteReview(purchase_id=purchase.id))
    assert await rating(branches, listing) == (1, 5.0)
    assert await raised(bruno, DeleteReview(purchase_id=purchase.id)) == "not_found"
    await bruno.ask(said(purchase, 1))
    assert await rating(branches, listing) == (2, 3.0)
    assert await drifted(branches) == 0
    told = [one.kind for one in await branches.here.notices(carla)].count("listing.reviewed")
    assert told == 3, "once for each new review, also of who had taken one back, and not for an edit"
    for shown in await reviews(eve, listing):
        assert bruno.user_id not in repr(shown), "who wrote it is not told"


async def test_nobody_reviews_what_they_have_not_bought(branches: Branches) -> None:
    carla, _, [(bruno, purchase)] = await sold(branches, "bruno")
    eve, _ = await branches.person("eve")
    for person in (carla, eve):
        assert await raised(person, said(purchase, 1)) == "not_found"
    await bruno.ask(said(purchase, 5))
    assert await raised(eve, DeleteReview(purchase_id=purchase.id)) == "not_found"


async def test_what_was_free_or_a_gift_is_shown_and_does_not_count(branches: Branches) -> None:
    carla, listing, [(bruno, purchase)] = await sold(branches, "bruno")
    await bruno.ask(said(purchase, 1))
    eve, _ = await branches.person("eve")
    await branches.here.fund(eve, 4)
    await top_up(branches.mongo, eve, 6)
    partly = await branches.here.buy(eve, listing)
    assert not (await eve.ask(said(partly, 5))).counted, "a part of it was a gift"
    free = await branches.here.published(carla, "Free", price="0")
    assert not (await eve.ask(said(await branches.here.buy(eve, free, "0"), 5))).counted
    assert await rating(branches, listing) == (1, 1.0)
    assert await rating(branches, free) == (0, None)
    assert [one.counted for one in await reviews(eve, listing)] == [False, True]
    await eve.ask(said(partly, 2))
    assert await rating(branches, listing) == (1, 1.0)
    assert await drifted(branches) == 0


async def test_a_review_counts_only_while_its_purchase_stands(branches: Branches) -> None:
    carla, listing, [(bruno, purchase), (eve, other)] = await sold(branches, "bruno", "eve")
    await bruno.ask(said(purchase, 1))
    await eve.ask(said(other, 5))
    await branches.here.process.context().ask(RefundPurchase(purchase_id=purchase.id, reason="As asked for"))
    assert await rating(branches, listing) == (1, 5.0)
    assert [one.counted for one in await reviews(carla, listing)] == [True, False]
    assert await raised(bruno, said(purchase, 2)) == "purchase_refunded"
    again = await branches.here.buy(bruno, listing)
    await bruno.ask(said(again, 3))
    assert await rating(branches, listing) == (2, 4.0)
    await bruno.ask(DeleteReview(purchase_id=purchase.id))
    assert await rating(branches, listing) == (2, 4.0)
    assert await drifted(branches) == 0


async def test_a_review_and_the_rating_are_one_commit(branches: Branches) -> None:
    _, listing, [(bruno, purchase)] = await sold(branches, "bruno")
    branches.transactions.before_commit = interrupt
    with pytest.raises(Interrupted):
        await bruno.ask(said(purchase, 1))
    assert await rating(branches, listing) == (0, None)
    assert await branches.count(REVIEWS) == 0
    await bruno.ask(said(purchase, 5))
    assert await rating(branches, listing) == (1, 5.0)


async def test_the_seller_replies_and_nobody_else(branches: Branches) -> None:
    carla, listing, [(bruno, purchase)] = await sold(branches, "bruno")
    review = await bruno.ask(said(purchase, 3))
    reply = ReplyToReview(review_id=review.id, text="Thank you: it is shorter now.")
    eve, _ = await branches.person("eve", Role.SELLER)
    assert await raised(eve, reply) == "not_found"
    assert await raised(bruno, reply) == "forbidden"
    assert (await carla.ask(reply)).reply == "Thank you: it is shorter now."
    edited = await bruno.ask(said(purchase, 5, "Shorter."))
    assert (edited.reply, edited.stars) == ("Thank you: it is shorter now.", 5)
    assert (await carla.ask(DeleteReply(review_id=review.id))).replied_at is None
    assert await rating(branches, listing) == (1, 5.0)


async def test_what_a_moderator_removes_is_out_of_the_rating_and_does_not_come_back(branches: Branches) -> None:
    carla, listing, [(bruno, purchase)] = await sold(branches, "bruno")
    mona, _ = await branches.person("mona", Role.MODERATOR)
    review = await bruno.ask(said(purchase, 1, "Buy mine instead."))
    remove = removal(purchase, review.id)
    assert await raised(mona, remove) == "forbidden", "not without a case, in which nobody decides about their own"
    service = branches.here.process.context()
    await service.ask(remove)
    assert (await reviews(carla, listing), await rating(branches, listing)) == ([], (0, None))
    assert await raised(bruno, said(purchase, 1)) == "review_removed"
    assert await raised(service, remove) == "not_found"
    told = [one.body for one in await branches.here.notices(bruno) if one.kind == "review.removed"]
    assert ["It advertises something else." in body for body in told] == [True]
    assert await raised(bruno, DeleteReview(purchase_id=purchase.id)) == "done", "what is left can be taken back"
    assert await raised(bruno, DeleteReview(purchase_id=purchase.id)) == "not_found"
    assert await raised(bruno, said(purchase, 1)) == "review_removed", "and another one cannot be written"
    assert await branches.count("audit_log", action="review.removed") == 1


async def test_reviews_are_seen_where_their_listing_is(branches: Branches) -> None:
    carla, listing, [(bruno, purchase)] = await sold(branches, "bruno")
    await bruno.ask(said(purchase, 3))
    await carla.ask(UnlistListing(listing_id=listing.id))
    assert await raised(bruno, ListReviews(listing_id=listing.id)) == "not_found"
    assert len(await reviews(carla, listing)) == 1


def about_removal(
    purchase: PurchaseView, author: Context, service: Context, chance: random.Random
) -> list[tuple[Context, Message[object]]]:
    """A review is removed, the removal is appealed, and that is decided, in whatever order they come."""
    review_id, appeal = of_purchase(purchase.id), AppealRemoval(purchase_id=purchase.id, words="It is what I found.")
    asks: list[tuple[Context, Message[object]]] = [(service, removal(purchase, review_id)), (author, appeal)]
    asks += [(service, appeal_decision(purchase, review_id, granted=chance.random() < 0.8)) for _ in range(2)]
    return asks


@pytest.mark.parametrize("seed", range(3))
async def test_ratings_never_drift_whatever_happens_at_once(branches: Branches, seed: int) -> None:
    chance = random.Random(seed)
    _, listing, bought = await sold(branches, *(f"buyer{number}" for number in range(5)))
    there = [(await branches.person(f"buyer{number}"))[1] for number in range(5)]
    services = [branches.here.process.context(), branches.there.process.context()]
    for _ in range(3):
        asks: list[tuple[Context, Message[object]]] = []
        for number, (here, purchase) in enumerate(bought):
            for _ in range(3):
                person = chance.choice([here, there[number]])
                asks.append((person, said(purchase, chance.randint(1, 5))))
            if chance.random() < 0.5:
                asks.append((here, DeleteReview(purchase_id=purchase.id)))
            if chance.random() < 0.5:
                asks += about_removal(purchase, here, chance.choice(services), chance)
            if chance.random() < 0.2:
                asks.append((chance.choice(services), RefundPurchase(purchase_id=purchase.id, reason="As asked for")))
        chance.shuffle(asks)
        outcomes = await all_at_once(asks)
        appealed = {"review_removed", "nothing_to_appeal", "already_appealed"}
        assert set(outcomes) <= {"done", "not_found", "purchase_refunded", *appealed}
        rows = await branches.mongo.collection(REVIEWS).find({"counted": True}).to_list(100)
        stars = [row["stars"] for row in rows]
        average = round(sum(stars) / len(stars), 2) if stars else None
        assert await rating(branches, listing) == (len(stars), average)
        assert await drifted(branches) == 0
    assert await branches.ledger_is_right()


async def test_the_check_finds_what_was_changed_behind_its_back(branches: Branches) -> None:
    carla, listing, [(bruno, purchase)] = await sold(branches, "bruno")
    other = await branches.here.published(carla, "Never reviewed")
    await bruno.ask(said(purchase, 3))
    listings = branches.mongo.collection(LISTINGS)
    with capture_logs() as logs:
        await listings.update_one({"_id": listing.id}, {"$inc": {"rating.stars": 2}})
        await listings.update_one({"_id": other.id}, {"$set": {"rating": {"count": 1, "stars": 5}}})
        assert await drifted(branches) == 2
    names = {log["listing_id"] for log in logs if log["event"] == "ratings.drifted"}
    assert names == {listing.id, other.id}


async def test_the_check_is_not_misled_by_reviews_that_come_meanwhile(branches: Branches) -> None:
    _, _, bought = await sold(branches, "bruno", "eve")
    stop = anyio.Event()

    async def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            person, purchase = bought[number % 2]
            await person.ask(said(purchase, number % 5 + 1))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(write)
        for _ in range(10):
            assert await drifted(branches) == 0
        stop.set()


async def test_between_those_who_turn_out_to_be_linked_nothing_counts_any_more(branches: Branches) -> None:
    carla, listing, ((bob, bobs), (dora, doras)) = await sold(branches, "bob", "dora")
    await bob.ask(said(bobs, 5))
    await dora.ask(said(doras, 2))
    assert await rating(branches, listing) == (2, 3.5)
    learn = partial(learn_instruments, LinkStore(branches.mongo))
    for person in (carla, bob):
        await branches.here.process.context().transaction(partial(learn, person.user_id, ["card:one"]))
    await branches.here.jobs_done()
    assert await rating(branches, listing) == (1, 2.0)
    await bob.ask(said(bobs, 4, "As good as ever."))
    assert await rating(branches, listing) == (1, 2.0)
    assert await branches.here.process.context().ask(CheckRatings()) == 0
