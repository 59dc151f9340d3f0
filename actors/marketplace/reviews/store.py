"""Every query on the collection `reviews`. A review's id is made from its purchase's, so there is one of each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from promptforge.actors.marketplace.reviews.messages import OwnReplyView, OwnReviewView, ReviewView
from promptforge.actors.marketplace.rulings.domain import Ruling, ruling_view
from promptforge.core.errors import NotFound
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.pages import Cursor, Page, page_of
from promptforge.core.personal import CLEARED, REDACTED, Held, Subject, marks

REVIEWS = "reviews"
_SHOWN = {"removed_at": None}

INDEXES: dict[str, tuple[Index, ...]] = {
    REVIEWS: (
        Index((("listing_id", 1), ("created_at", -1), ("_id", -1))),
        Index((("listing_id", 1), ("stars", 1)), partial={"counted": True}),
        Index((("author_id", 1),)),
        Index((("seller_id", 1),)),
    )
}
HELD = {
    REVIEWS: Held(
        "Reviews that you wrote, and your replies to reviews",
        (
            Subject("author_id", {**marks(REDACTED, "text"), **marks(CLEARED, "removal")}, owned=True),
            Subject("seller_id", {**marks(REDACTED, "reply"), **marks(CLEARED, "reply_removal")}),
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class Rating:
    """How many stars a listing has, and from how many counted reviews."""

    count: int = 0
    stars: int = 0

    def minus(self, other: Rating) -> Rating:
        return Rating(self.count - other.count, self.stars - other.stars)


NONE = Rating()


@dataclass(frozen=True, slots=True)
class Review:
    """As stored. `counted`: its stars are in the listing's rating, in the same commit.

    `removal`: why a moderator has taken it away, which stays where it is back. `withdrawn_at`: its author has taken it
    back after that; what is left of it keeps another one from being written. `reply_removed_at` and `reply_removal` say
    the same of the seller's reply, whose text stays for an appeal.
    """

    id: str
    purchase_id: str
    listing_id: str
    seller_id: str
    author_id: str
    version: int
    stars: int
    text: str
    counted: bool
    reply: str | None
    replied_at: datetime | None
    created_at: datetime
    edited_at: datetime | None
    removed_at: datetime | None
    removal: Ruling | None = None
    withdrawn_at: datetime | None = None
    reply_removed_at: datetime | None = None
    reply_removal: Ruling | None = None

    @property
    def shows_reply(self) -> bool:
        return self.reply is not None and self.reply_removed_at is None

    @property
    def rating(self) -> Rating:
        """What it adds to the listing's."""
        return Rating(1, self.stars) if self.counted else NONE

    def view(self) -> ReviewView:
        return ReviewView(
            id=self.id,
            listing_id=self.listing_id,
            version=self.version,
            stars=self.stars,
            text=self.text,
            counted=self.counted,
            reply=self.reply if self.shows_reply else None,
            replied_at=self.replied_at if self.shows_reply else None,
            created_at=self.created_at,
            edited_at=self.edited_at,
        )

    def own_view(self) -> OwnReviewView:
        return OwnReviewView(self.view(), self.removed_at, self.withdrawn_at is not None, ruling_view(self.removal))

    def own_reply_view(self) -> OwnReplyView:
        return OwnReplyView(
            review_id=self.id,
            text=self.reply,
            replied_at=self.replied_at,
            removed_at=self.reply_removed_at,
            removal=ruling_view(self.reply_removal),
        )


def review_id(purchase_id: str) -> str:
    return f"rvw_{purchase_id.removeprefix('pur_')}"


class ReviewStore:
    def __init__(self, mongo: Mongo) -> None:
        self._reviews = mongo.collection(REVIEWS)

    async def find(self, identifier: str, *, session: Session | None) -> Review | None:
        row = await self._reviews.find_one({"_id": identifier}, session=session)
        return None if row is None else _review_from(row)

    async def get_shown(self, identifier: str, *, session: Session | None) -> Review:
        """Raises `NotFound`, also for what was removed."""
        review = await self.find(identifier, session=session)
        if review is None or review.removed_at is not None:
            raise no_review()
        return review

    async def put(self, review: Review, *, session: Session | None) -> Review:
        """As it is to be; a transaction that wrote it meanwhile conflicts."""
        row = {
            "purchase_id": review.purchase_id,
            "listing_id": review.listing_id,
            "seller_id": review.seller_id,
            "author_id": review.author_id,
            "version": review.version,
            "stars": review.stars,
            "text": review.text,
            "counted": review.counted,
            "reply": review.reply,
            "replied_at": review.replied_at,
            "created_at": review.created_at,
            "edited_at": review.edited_at,
            "removed_at": review.removed_at,
            "removal": review.removal,
            "withdrawn_at": review.withdrawn_at,
            "reply_removed_at": review.reply_removed_at,
            "reply_removal": review.reply_removal,
        }
        await self._reviews.update_one({"_id": review.id}, {"$set": row}, upsert=True, session=session)
        return review

    async def delete(self, review: Review, *, session: Session | None) -> None:
        await self._reviews.delete_one({"_id": review.id}, session=session)

    async def list_shown(self, listing_id: str, *, cursor: Cursor | None, limit: int) -> Page[ReviewView]:
        wanted: Document = {"listing_id": listing_id, **_SHOWN, **(cursor.after() if cursor else {})}
        rows = self._reviews.find(wanted).sort([("created_at", -1), ("_id", -1)]).limit(limit + 1)
        return page_of(await rows.to_list(limit + 1), limit, lambda row: _review_from(row).view())

    # For the check

    async def count_all(self) -> AsyncIterator[tuple[str, Rating]]:
        """Every listing with counted reviews, and what they add up to."""
        pipeline: list[Document] = [{"$match": {"counted": True}}, _SUM]
        async for row in self._reviews.aggregate(pipeline, allowDiskUse=True):
            yield row["_id"], Rating(row["count"], row["stars"])

    async def count_of(self, listing_id: str, *, session: Session | None) -> Rating:
        pipeline: list[Document] = [{"$match": {"listing_id": listing_id, "counted": True}}, _SUM]
        rows = await self._reviews.aggregate(pipeline, session=session).to_list(1)
        return Rating(rows[0]["count"], rows[0]["stars"]) if rows else NONE


_SUM: Document = {"$group": {"_id": "$listing_id", "count": {"$sum": 1}, "stars": {"$sum": "$stars"}}}


def no_review() -> NotFound:
    return NotFound("There is no such review")


def _review_from(row: Document) -> Review:
    return Review(
        id=row["_id"],
        purchase_id=row["purchase_id"],
        listing_id=row["listing_id"],
        seller_id=row["seller_id"],
        author_id=row["author_id"],
        version=row["version"],
        stars=row["stars"],
        text=row["text"],
        counted=row["counted"],
        reply=row["reply"],
        replied_at=row["replied_at"],
        created_at=row["created_at"],
        edited_at=row["edited_at"],
        removed_at=row["removed_at"],
        removal=row.get("removal"),
        withdrawn_at=row.get("withdrawn_at"),
        reply_removed_at=row.get("reply_removed_at"),
        reply_removal=row.get("reply_removal"),
    )
