"""Every query on the collection `marketplace_listings`. Each change is conditional on the revision that was read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from promptforge.actors.marketplace.errors import StaleRevision
from promptforge.actors.marketplace.listings import browsing, history
from promptforge.actors.marketplace.listings.evidence import evidence_view
from promptforge.actors.marketplace.listings.history import Act, HistoryStore
from promptforge.actors.marketplace.listings.messages import ListListings
from promptforge.actors.marketplace.listings.pages import MarketPages
from promptforge.actors.marketplace.listings.proposals import Proposal
from promptforge.actors.marketplace.listings.shown import STAMP, ShownListings
from promptforge.actors.marketplace.messages import (
    Category,
    Decision,
    EvidenceView,
    Licence,
    ListingState,
    ListingView,
    ProposalState,
    RatingView,
    ReviewNote,
)
from promptforge.actors.marketplace.packaged import find_offer
from promptforge.actors.marketplace.sealed.terms import find_terms
from promptforge.core.amounts import from_millicredits
from promptforge.core.context import Context
from promptforge.core.errors import NotFound
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.pages import Cursor, Page, page_of
from promptforge.core.personal import CLEARED, EMPTIED, REDACTED, REMOVED_TEXT, Held, Subject, kept, marks

LISTINGS = "marketplace_listings"

INDEXES: dict[str, tuple[Index, ...]] = {
    LISTINGS: (
        Index((("seller_id", 1), ("created_at", -1))),
        Index((("prompt_id", 1),)),
        Index((("evidence.dataset_id", 1),), partial={"evidence.dataset_id": {"$exists": True}}),
        *browsing.INDEXES,
    ),
    **history.INDEXES,
}
_LISTED: Document = {"samples": 0}
"""Samples are long, and a page has many listings."""
STATED = kept("a moderator's statement of reasons", years=6, since="updated_at")
HELD = {
    **history.HELD,
    LISTINGS: Held(
        "What you offer, or offered, on the market",
        (
            Subject(
                "seller_id",
                {
                    **marks(REDACTED, "title", "summary", "description"),
                    **marks(EMPTIED, "tags", "samples"),
                    **marks(CLEARED, "proposal", "evidence", "before_ledger", "appeal", "package"),
                    "review": STATED,
                },
                owned=True,
            ),
        ),
        plain=frozenset(
            {
                "runs.*",
                "state",
                "suspended_from",
                "content_hash",
                "category",
                "licence",
                "prompt_id",
                "ranks",
                "run_price",
                "offer",
            }
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class Listing:
    """A listing as stored. `price` in millicredits; `content_hash` is that of the version it sells."""

    id: str
    seller_id: str
    state: ListingState
    revision: int
    prompt_id: str
    version: int
    content_hash: str
    title: str
    summary: str
    description: str
    category: Category
    tags: tuple[str, ...]
    samples: tuple[str, ...]
    price: int
    licence: Licence
    review: ReviewNote | None
    created_at: datetime
    updated_at: datetime
    published_at: datetime | None
    suspended_from: ListingState | None = None
    """Where it was when it was suspended."""
    proposal: Proposal | None = None
    evidence: Document | None = None
    rating_count: int = 0
    rating_stars: int = 0
    runs: Document | None = None
    """As `terms_row` makes it."""
    package: Document | None = None
    """As `offer_row` makes it."""

    @property
    def values(self) -> Document:
        """What a seller can change, as stored."""
        return {
            "version": self.version,
            "content_hash": self.content_hash,
            "title": self.title,
            "summary": self.summary,
            "description": self.description,
            "category": self.category.value,
            "tags": list(self.tags),
            "samples": list(self.samples),
            "price": self.price,
            "licence": self.licence.value,
            "runs": self.runs,
            "package": self.package,
        }

    def view(self, *, for_seller: bool) -> ListingView:
        return ListingView(
            id=self.id,
            seller_id=self.seller_id,
            state=self.state,
            revision=self.revision,
            prompt_id=self.prompt_id,
            version=self.version,
            title=self.title,
            summary=self.summary,
            description=self.description,
            category=self.category,
            tags=self.tags,
            samples=self.samples,
            price=from_millicredits(self.price),
            licence=self.licence,
            review=self.review if for_seller else None,
            created_at=self.created_at,
            updated_at=self.updated_at,
            published_at=self.published_at,
            evidence=self._evidence(for_seller=for_seller),
            rating=rating_view(self.rating_count, self.rating_stars),
            proposal=self.proposal.view(self.values) if for_seller and self.proposal is not None else None,
            runs=find_terms(self.runs),
            package=find_offer(self.package),
        )

    def _evidence(self, *, for_seller: bool) -> EvidenceView | None:
        told = evidence_view(self.evidence, version=self.version, content_hash=self.content_hash)
        return told if told is None or for_seller else replace(told, dataset_name=None)


class ListingStore:
    def __init__(self, mongo: Mongo, pages: MarketPages | None = None) -> None:
        self._listings = mongo.collection(LISTINGS)
        self.pages = pages or MarketPages()
        self._shown = ShownListings()
        self.history = HistoryStore(mongo)

    async def insert(self, listing: Listing, act: Act, *, session: Session | None) -> None:
        row = {
            "_id": listing.id,
            "seller_id": listing.seller_id,
            "state": listing.state.value,
            "revision": listing.revision,
            "prompt_id": listing.prompt_id,
            **listing.values,
            "review": None,
            "proposal": None,
            "rating": {"count": 0, "stars": 0},
            "ranks": browsing.NO_RANKS,
            "created_at": listing.created_at,
            "updated_at": listing.updated_at,
            "published_at": None,
        }
        await self._listings.insert_one(row, session=session)
        await self.history.add(act, None, row, session=session)

    async def find(self, listing_id: str, *, session: Session | None = None) -> Listing | None:
        row = await self._listings.find_one({"_id": listing_id}, session=session)
        return None if row is None else _listing_from(row)

    async def get(self, listing_id: str, *, session: Session | None = None) -> Listing:
        """Raises `NotFound`."""
        listing = await self.find(listing_id, session=session)
        if listing is None:
            raise no_listing()
        return listing

    async def get_own(self, listing_id: str, seller_id: str, *, session: Session | None = None) -> Listing:
        """Raises `NotFound`, also for somebody else's."""
        listing = await self.get(listing_id, session=session)
        if listing.seller_id != seller_id:
            raise no_listing()
        return listing

    async def change(self, listing: Listing, changes: Document, act: Act, tx: Context) -> Listing:
        """Write `changes`, a new revision and its place in the history, in one transaction.

        Raises `StaleRevision` where somebody was faster.
        """
        self.pages.changing(tx)
        row = await self._listings.find_one_and_update(
            {"_id": listing.id, "revision": listing.revision},
            {"$set": {**changes, "updated_at": act.at}, "$inc": {"revision": 1}},
            session=tx.session,
        )
        if row is None:
            raise StaleRevision
        await self.history.add(act, listing.values, row, session=tx.session)
        return _listing_from(row)

    async def add_rating(self, listing_id: str, count: int, stars: int, tx: Context) -> None:
        """Counted reviews came or went. It is no change of the listing's: the revision stays."""
        change = {"$inc": {"rating.count": count, "rating.stars": stars}}
        self.pages.changing(tx)
        await self._listings.update_one({"_id": listing_id}, change, session=tx.session)

    async def lose_dataset(self, dataset_id: str, tx: Context) -> None:
        """Scorecards made with it are outdated. It is no change of the listings' either."""
        self.pages.changing(tx)
        wanted = {"evidence.dataset_id": dataset_id}
        await self._listings.update_many(wanted, {"$set": {"evidence.dataset_gone": True}}, session=tx.session)

    async def find_rating(self, listing_id: str, *, session: Session | None = None) -> tuple[int, int] | None:
        """How many counted reviews it shows, and their stars together."""
        row = await self._listings.find_one({"_id": listing_id}, {"rating": 1}, session=session)
        return None if row is None else _rating_from(row)

    async def list_rated(self) -> AsyncIterator[str]:
        """Every listing that shows a rating; of what has none there is none to compare."""
        async for row in self._listings.find({"rating.count": {"$nin": [0, None]}}, {"_id": 1}):
            yield row["_id"]

    async def current_versions(self, listing_ids: Sequence[str]) -> dict[str, int]:
        """What those of them sell that are on the market."""
        wanted = {"_id": {"$in": list(listing_ids)}, **browsing.PUBLISHED}
        rows = self._listings.find(wanted, {"version": 1})
        return {row["_id"]: row["version"] for row in await rows.to_list(len(listing_ids))}

    async def published(self, listing_ids: Sequence[str]) -> dict[str, ListingView]:
        """Those of them that are on the market."""
        views = self.pages.find_listings(listing_ids)
        missing = [one for one in listing_ids if one not in views]
        if missing:
            begun = self.pages.begin()
            known_before = sum(one in self._shown for one in missing)
            read = STAMP if 2 * known_before > len(missing) else _LISTED  # whole, where few are known
            wanted = {"_id": {"$in": missing}, **browsing.PUBLISHED}
            found = await self._views(await self._listings.find(wanted, read).to_list(len(missing)))
            self.pages.keep_listings(begun, found)
            views |= found
        return views

    async def browse(self, message: ListListings) -> Page[ListingView]:
        """Raises `Invalid` for a cursor that this list did not give out."""
        limit, sort = message.limit, browsing.sort_of(message)
        read = {**STAMP, browsing.SORTS[sort][0]: 1}
        found: list[Document] = []
        for stretch in browsing.stretches(message):
            missing = limit + 1 - len(found)
            if missing:
                rows = self._listings.find(stretch, read).sort(browsing.order(sort))
                if (index := browsing.index_for(message)) is not None:
                    rows = rows.hint(index)
                found += await rows.limit(missing).to_list(missing)
        views = await self._views(found[:limit])
        return Page(
            tuple(views[row["_id"]] for row in found[:limit] if row["_id"] in views),
            browsing.cursor_of(sort, found[limit - 1]) if len(found) > limit else None,
        )

    async def _views(self, rows: Sequence[Document]) -> dict[str, ListingView]:
        """The published listings of rows that have their `STAMP`, but for what has left the market just now."""
        views = {row["_id"]: view for row in rows if (view := self._shown.find(row)) is not None}
        whole = [row for row in rows if row["_id"] not in views and "title" in row]
        missing = [row["_id"] for row in rows if row["_id"] not in views and "title" not in row]
        if missing:
            wanted = {"_id": {"$in": missing}, **browsing.PUBLISHED}
            whole += await self._listings.find(wanted, _LISTED).to_list(len(missing))
        for row in whole:
            views[row["_id"]] = _listing_from(row).view(for_seller=False)
            self._shown.keep(row, views[row["_id"]])
        return views

    async def has_offered(self, seller_id: str) -> bool:
        """Whether anything of theirs is, or ever was, on the market."""
        published = {"$or": [browsing.PUBLISHED, {"published_at": {"$ne": None}}]}
        return await self._listings.find_one({"seller_id": seller_id, **published}, {"_id": 1}) is not None

    async def list_to_leave(self, seller_id: str) -> list[str]:
        """What of a seller's is on the market or may come back to it."""
        states = [ListingState.PUBLISHED.value, ListingState.IN_REVIEW.value, ListingState.SUSPENDED.value]
        appealed = {"state": ListingState.REJECTED.value, "review.appealed_at": {"$ne": None}}
        there = {"$or": [{"state": {"$in": states}}, {"proposal": {"$ne": None}}, appealed]}
        rows = self._listings.find({"seller_id": seller_id, **there}, {"_id": 1})
        return [row["_id"] for row in await rows.to_list(None)]  # one person's listings

    async def list_offered(self, prompt_ids: Sequence[str], *, but_by: str) -> list[tuple[str, int]]:
        """Prompt and number of the versions that listings of other sellers have, or would have, in any state.

        Whichever state that is: a draft may be on the market the next moment, without another look at its prompt. Not
        so where the seller was erased: nobody can offer that any more.
        """
        erased = dict.fromkeys(("title", "summary", "description"), REMOVED_TEXT)
        wanted = {"prompt_id": {"$in": list(prompt_ids)}, "seller_id": {"$ne": but_by}, "$nor": [erased]}
        rows = self._listings.find(wanted, {"prompt_id": 1, "version": 1, "proposal.changes.version": 1})
        found: set[tuple[str, int]] = set()
        for row in await rows.to_list(None):  # of one person's prompts
            numbers = {row["version"], ((row.get("proposal") or {}).get("changes") or {}).get("version")}
            found |= {(row["prompt_id"], number) for number in numbers if number is not None}
        return sorted(found)

    async def list_of_version(self, prompt_id: str, version: int) -> list[str]:
        """What sells, or would sell, this version of a prompt or package, in any state."""
        wanted = {"prompt_id": prompt_id, "$or": [{"version": version}, {"proposal.changes.version": version}]}
        return [row["_id"] for row in await self._listings.find(wanted, {"_id": 1}).to_list(None)]  # its publisher's

    async def list_own(
        self, seller_id: str, *, state: ListingState | None, cursor: Cursor | None, limit: int
    ) -> Page[ListingView]:
        wanted: Document = {"seller_id": seller_id, **(cursor.after() if cursor else {})}
        if state is not None:
            wanted["state"] = state.value
        rows = self._listings.find(wanted).sort([("created_at", -1), ("_id", -1)]).limit(limit + 1)
        return page_of(await rows.to_list(limit + 1), limit, lambda row: _listing_from(row).view(for_seller=True))


def rating_view(count: int, stars: int) -> RatingView:
    return RatingView(count, round(stars / count, 2) if count else None)


def _rating_from(row: Document) -> tuple[int, int]:
    """Listings from before there were reviews have none."""
    rating = row.get("rating") or {}
    return rating.get("count", 0), rating.get("stars", 0)


def no_listing() -> NotFound:
    return NotFound("There is no such listing, or it is not published")


def _listing_from(row: Document) -> Listing:
    suspended_from = row.get("suspended_from")
    rating_count, rating_stars = _rating_from(row)
    return Listing(
        id=row["_id"],
        seller_id=row["seller_id"],
        state=ListingState(row["state"]),
        revision=row["revision"],
        prompt_id=row["prompt_id"],
        version=row["version"],
        content_hash=row["content_hash"],
        title=row["title"],
        summary=row["summary"],
        description=row["description"],
        category=Category(row["category"]),
        tags=tuple(row["tags"]),
        samples=tuple(row.get("samples", ())),
        price=row["price"],
        licence=Licence(row["licence"]),
        review=_review_from(row["review"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        published_at=row["published_at"],
        suspended_from=None if suspended_from is None else ListingState(suspended_from),
        proposal=_proposal_from(row.get("proposal")),
        evidence=row.get("evidence"),
        rating_count=rating_count,
        rating_stars=rating_stars,
        runs=row.get("runs"),
        package=row.get("package"),
    )


def proposal_row(proposal: Proposal | None) -> Document | None:
    if proposal is None:
        return None
    return {
        "revision": proposal.revision,
        "state": proposal.state.value,
        "changes": dict(proposal.changes),
        "proposed_at": proposal.proposed_at,
        "review": note_row(proposal.review),
    }


def note_row(note: ReviewNote | None) -> Document | None:
    return None if note is None else {**asdict(note), "decision": note.decision.value}


def _proposal_from(row: Document | None) -> Proposal | None:
    if row is None:
        return None
    known = {**row, "state": ProposalState(row["state"]), "review": _review_from(row["review"])}
    return Proposal(**known)


def _review_from(row: Document | None) -> ReviewNote | None:
    return None if row is None else ReviewNote(**{**row, "decision": Decision(row["decision"])})
