"""Listings: drafted, submitted, decided upon, published, taken off the market."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import MISSING

from promptforge.actors.marketplace.errors import AlreadyAppealed, ListingMoved, NothingToAppeal, StaleRevision
from promptforge.actors.marketplace.listings.domain import APPEALABLE, MOVE_OF, Move, next_state
from promptforge.actors.marketplace.listings.store import Listing, ListingStore, no_listing
from promptforge.actors.marketplace.messages import (
    AppealListing,
    ApplyDecision,
    CreateListing,
    Decision,
    GetListing,
    GetListingForReview,
    ListingState,
    ListingView,
    ListListings,
    ListMyListings,
    RelistListing,
    ReviewNote,
    SubmitListing,
    UnlistListing,
    UpdateListing,
    WithdrawListing,
)
from promptforge.actors.moderation.messages import CaseKind, OpenCase
from promptforge.actors.prompts.messages import GetPromptVersionFor
from promptforge.core.amounts import to_millicredits
from promptforge.core.context import Context
from promptforge.core.ids import new_id
from promptforge.core.pages import Cursor, Page
from promptforge.core.principal import Principal
from promptforge.core.runtime import Actor, handles

_EDITABLE = ("title", "summary", "description", "category", "tags")


class ListingsActor(Actor):
    name = "marketplace"
    asks = ("prompts",)

    def __init__(self, store: ListingStore) -> None:
        self._store = store

    # Selling

    @handles(CreateListing, transactional=True)
    async def create(self, message: CreateListing, context: Context) -> ListingView:
        pinned = await context.ask(
            GetPromptVersionFor(prompt_id=message.prompt_id, version=message.version, owner_id=context.user_id)
        )
        now = context.now()
        listing = Listing(
            id=new_id("lst"),
            seller_id=context.user_id,
            state=ListingState.DRAFT,
            revision=1,
            prompt_id=pinned.prompt_id,
            version=pinned.version,
            content_hash=pinned.content_hash,
            title=message.title,
            summary=message.summary,
            description=message.description,
            category=message.category,
            tags=tuple(dict.fromkeys(message.tags)),
            price=to_millicredits(message.price),
            licence=message.licence,
            review=None,
            created_at=now,
            updated_at=now,
            published_at=None,
        )
        await self._store.insert(listing, session=context.session)
        return listing.view(for_seller=True)

    @handles(UpdateListing, key="listing_id", atomic=True)
    async def update(self, message: UpdateListing, context: Context) -> ListingView:
        session = context.session
        listing = await self._store.get_own(message.listing_id, context.user_id, session=session)
        next_state(listing.state, Move.EDIT)
        if message.revision is not None and message.revision != listing.revision:
            raise StaleRevision(
                f"The listing is at revision {listing.revision}, not {message.revision}",
                extra={"revision": listing.revision},
            )
        changes = _sent(message)
        if message.version is not MISSING:
            pinned = await context.ask(
                GetPromptVersionFor(prompt_id=listing.prompt_id, version=message.version, owner_id=context.user_id)
            )
            changes |= {"version": pinned.version, "content_hash": pinned.content_hash}
        if not changes:
            return listing.view(for_seller=True)
        return (await self._store.change(listing, changes, now=context.now(), session=session)).view(for_seller=True)

    @handles(SubmitListing, key="listing_id", atomic=True)
    async def submit(self, message: SubmitListing, context: Context) -> ListingView:
        """The moderator's case is enqueued in the same transaction: no listing waits for a case nobody opened."""
        listing = await self._moved(message.listing_id, Move.SUBMIT, context)
        await context.enqueue(_case_of(listing, CaseKind.REVIEW), unique=_case_key(listing))
        return listing.view(for_seller=True)

    @handles(WithdrawListing, key="listing_id", atomic=True)
    async def withdraw(self, message: WithdrawListing, context: Context) -> ListingView:
        return (await self._moved(message.listing_id, Move.WITHDRAW, context)).view(for_seller=True)

    @handles(UnlistListing, key="listing_id", atomic=True)
    async def unlist(self, message: UnlistListing, context: Context) -> ListingView:
        return (await self._moved(message.listing_id, Move.UNLIST, context)).view(for_seller=True)

    @handles(RelistListing, key="listing_id", atomic=True)
    async def relist(self, message: RelistListing, context: Context) -> ListingView:
        return (await self._moved(message.listing_id, Move.RELIST, context)).view(for_seller=True)

    @handles(AppealListing, key="listing_id", atomic=True)
    async def appeal(self, message: AppealListing, context: Context) -> ListingView:
        listing = await self._store.get_own(message.listing_id, context.user_id, session=context.session)
        next_state(listing.state, Move.APPEAL)
        changes = {"review": _as_stored(_appealed(listing, context.now()))}
        listing = await self._store.change(listing, changes, now=context.now(), session=context.session)
        await context.enqueue(_case_of(listing, CaseKind.APPEAL, reason=message.words), unique=_case_key(listing))
        return listing.view(for_seller=True)

    async def _moved(self, listing_id: str, move: Move, context: Context) -> Listing:
        """Make a seller's move."""
        listing = await self._store.get_own(listing_id, context.user_id, session=context.session)
        changes = {"state": next_state(listing.state, move).value}
        return await self._store.change(listing, changes, now=context.now(), session=context.session)

    @handles(ListMyListings)
    async def list_mine(self, message: ListMyListings, context: Context) -> Page[ListingView]:
        cursor = Cursor.decode_optional(message.cursor)
        return await self._store.list_own(context.user_id, state=message.state, cursor=cursor, limit=message.limit)

    # The market

    @handles(GetListing, transactional=True)
    async def get_listing(self, message: GetListing, context: Context) -> ListingView:
        listing = await self._store.get(message.listing_id, session=context.session)
        own = _is_sellers(listing, context.principal)
        if not own and listing.state is not ListingState.PUBLISHED:
            raise no_listing()
        return listing.view(for_seller=own)

    @handles(ListListings)
    async def browse(self, message: ListListings, context: Context) -> Page[ListingView]:
        return await self._store.list_published(
            category=message.category,
            tag=message.tag,
            sort=message.sort,
            cursor=message.cursor,
            limit=message.limit,
        )

    # Moderation

    @handles(GetListingForReview, transactional=True)
    async def get_for_review(self, message: GetListingForReview, context: Context) -> ListingView:
        return (await self._store.get(message.listing_id, session=context.session)).view(for_seller=True)

    @handles(ApplyDecision, key="listing_id", atomic=True)
    async def apply_decision(self, message: ApplyDecision, context: Context) -> ListingView:
        listing = await self._store.get(message.listing_id, session=context.session)
        _check_waiting(listing, message)
        now = context.now()
        state = next_state(listing.state, MOVE_OF[message.decision], before=listing.suspended_from)
        changes: dict[str, Any] = {  # Any: a MongoDB document
            "state": state.value,
            "review": _as_stored(_note_of(listing, message, now)),
        }
        if message.decision is Decision.APPROVE:
            changes["published_at"] = listing.published_at or now
        if state is ListingState.SUSPENDED:
            changes["suspended_from"] = (listing.suspended_from or listing.state).value
        if message.decision is Decision.LIFT:
            changes["suspended_from"] = None
        decided = await self._store.change(listing, changes, now=now, session=context.session)
        return decided.view(for_seller=True)


def _case_of(listing: Listing, kind: CaseKind, *, reason: str | None = None) -> OpenCase:
    return OpenCase(
        listing_id=listing.id,
        revision=listing.revision,
        seller_id=listing.seller_id,
        title=listing.title,
        kind=kind,
        reason=reason,
    )


def _case_key(listing: Listing) -> str:
    return f"moderation.case:{listing.id}:{listing.revision}"


def _appealed(listing: Listing, now: datetime) -> ReviewNote:
    """The decision with the appeal against it. A listing of the service before has no version to sell."""
    note = listing.review
    if note is None or note.decision not in APPEALABLE or note.final or not listing.content_hash:
        raise NothingToAppeal
    if note.appealed_at is not None:
        raise AlreadyAppealed
    return replace(note, appealed_at=now)


def _note_of(listing: Listing, message: ApplyDecision, now: datetime) -> ReviewNote:
    upheld = _waits_for_appeal(listing) and message.decision in APPEALABLE
    return ReviewNote(message.decision, message.reason_code, message.public_note, now, final=upheld)


def _waits_for_appeal(listing: Listing) -> bool:
    return listing.review is not None and listing.review.appealed_at is not None


def _check_waiting(listing: Listing, message: ApplyDecision) -> None:
    """That the decision is about what is there; see `ApplyDecision`."""
    on_offer = listing.state in {ListingState.PUBLISHED, ListingState.UNLISTED}
    if message.decision is Decision.LIFT or (message.decision is Decision.SUSPEND and on_offer):
        return
    waits = listing.state is ListingState.IN_REVIEW or _waits_for_appeal(listing)
    if listing.revision != message.revision or not waits:
        raise ListingMoved(f"The listing is {listing.state} at revision {listing.revision}")


def _as_stored(note: ReviewNote) -> dict[str, Any]:  # Any: a MongoDB document
    return {**asdict(note), "decision": note.decision.value}


def _is_sellers(listing: Listing, principal: Principal | None) -> bool:
    """Anyone may send a public query, so a program's right to its owner's drafts is looked at here."""
    if principal is None or principal.user_id != listing.seller_id:
        return False
    return principal.scopes is None or "listings:read" in principal.scopes


def _sent(message: UpdateListing) -> dict[str, Any]:  # Any: a MongoDB document
    """The changes that were sent, as stored."""
    changes: dict[str, Any] = {}
    for name in _EDITABLE:
        value = getattr(message, name)
        if value is not MISSING:
            changes[name] = value.value if isinstance(value, StrEnum) else value
    if "tags" in changes:
        changes["tags"] = list(dict.fromkeys(changes["tags"]))
    if message.price is not MISSING:
        changes["price"] = to_millicredits(message.price)
    return changes
