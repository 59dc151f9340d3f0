"""Listings: drafted, submitted, decided upon, published, taken off the market."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import Any

from pydantic import MISSING

from promptforge.actors.datasets.messages import ReadDataset, TellDatasetIsGone
from promptforge.actors.evaluations.messages import GetEvaluation, GetScorecard
from promptforge.actors.marketplace.errors import NoProposal, StaleRevision
from promptforge.actors.marketplace.insights.views import ViewCounter
from promptforge.actors.marketplace.listings.decisions import appealed, appealed_proposal, decided
from promptforge.actors.marketplace.listings.domain import MOVE_OF, Move, next_state
from promptforge.actors.marketplace.listings.evidence import evidence_row
from promptforge.actors.marketplace.listings.finding import browse, remembered
from promptforge.actors.marketplace.listings.history import Act, versions_then
from promptforge.actors.marketplace.listings.leaving import leave_market
from promptforge.actors.marketplace.listings.messages import (
    AppealListing,
    AppealProposal,
    AttachEvidence,
    CreatePackageListing,
    GetListingHistory,
    GetVersionsThen,
    HistoryEntry,
    LeaveMarket,
    ListingsPage,
    ListListings,
    ListOfferedVersions,
    OfferPackageVersion,
    RemoveEvidence,
    TakeRevokedOffMarket,
    VersionsThen,
    WithdrawProposal,
)
from promptforge.actors.marketplace.listings.proposals import ON_OFFER, pending, proposed, split, without
from promptforge.actors.marketplace.listings.revoked import expect_unrevoked, take_off_market
from promptforge.actors.marketplace.listings.store import Listing, ListingStore, no_listing, proposal_row
from promptforge.actors.marketplace.messages import (
    ApplyDecision,
    CreateListing,
    Decision,
    GetListing,
    GetListingForReview,
    HasOffered,
    Licence,
    ListingState,
    ListingView,
    ListMyListings,
    ProposalState,
    RelistListing,
    SubmitListing,
    UnlistListing,
    UpdateListing,
    WithdrawListing,
)
from promptforge.actors.marketplace.packaged import PackageOffer, find_offer, offer_row
from promptforge.actors.marketplace.purchases.messages import TellHolders
from promptforge.actors.marketplace.sealed.offers import RUNNABLE, check_offer
from promptforge.actors.marketplace.sealed.terms import terms_row
from promptforge.actors.moderation.messages import CaseKind, OpenCase
from promptforge.actors.packages.messages import PinnedPackage, PinPackageVersion
from promptforge.actors.prompts.messages import GetPromptVersionFor
from promptforge.core.amounts import to_millicredits
from promptforge.core.context import Context
from promptforge.core.errors import FieldError, Invalid, NotFound
from promptforge.core.ids import new_id
from promptforge.core.pages import Cursor, Page
from promptforge.core.principal import Principal, Role
from promptforge.core.runtime import Actor, at_hand, handles

_EDITABLE = ("title", "summary", "description", "category", "tags", "samples", "licence")


class ListingsActor(Actor):
    """`appeal_for`: how long a decision can be appealed."""

    name = "marketplace"
    asks = ("prompts", "evaluations", "datasets", "rendering", "models", "search", "packages")

    def __init__(self, store: ListingStore, views: ViewCounter, *, appeal_for: timedelta) -> None:
        self._store = store
        self._views = views
        self._appeal_for = appeal_for

    # Selling

    @handles(CreateListing, atomic=True)
    async def create(self, message: CreateListing, context: Context) -> ListingView:
        pinned = await context.ask(
            GetPromptVersionFor(prompt_id=message.prompt_id, version=message.version, owner_id=context.user_id)
        )
        sold = _Sold(pinned.prompt_id, pinned.version, pinned.content_hash, message.licence)
        listing = replace(_drafted(message, sold, context), runs=terms_row(message.runs))
        await check_offer(listing.prompt_id, listing.values, context)
        await self._store.insert(listing, _by_seller(Move.CREATE, context), session=context.session)
        return listing.view(for_seller=True)

    @handles(CreatePackageListing, atomic=True)
    async def create_of_package(self, message: CreatePackageListing, context: Context) -> ListingView:
        pinned = await _pin_package(message.package_id, message.version, context)
        sold = _Sold(pinned.package_id, pinned.number, pinned.sha256, Licence.SOURCE)
        listing = replace(_drafted(message, sold, context), package=_offer_of(pinned))
        await self._store.insert(listing, _by_seller(Move.CREATE, context), session=context.session)
        return listing.view(for_seller=True)

    @handles(OfferPackageVersion, key="listing_id", atomic=True)
    async def offer_package_version(self, message: OfferPackageVersion, context: Context) -> ListingView:
        listing = await self._own(message.listing_id, Move.EDIT, context)
        offered = find_offer(listing.package)
        if offered is None:
            raise NotFound("The listing sells no package")
        pinned = await _pin_package(offered.package_id, message.version, context)
        sent = {"version": pinned.number, "content_hash": pinned.sha256, "package": _offer_of(pinned)}
        return (await self._edited(listing, sent, context)).view(for_seller=True)

    @handles(UpdateListing, key="listing_id", atomic=True)
    async def update(self, message: UpdateListing, context: Context) -> ListingView:
        listing = await self._own(message.listing_id, Move.EDIT, context)
        if message.revision is not None and message.revision != listing.revision:
            raise StaleRevision(
                f"The listing is at revision {listing.revision}, not {message.revision}",
                extra={"revision": listing.revision},
            )
        sent = _sent(message)
        if message.version is not MISSING:
            pinned = await context.ask(
                GetPromptVersionFor(prompt_id=listing.prompt_id, version=message.version, owner_id=context.user_id)
            )
            sent |= {"version": pinned.version, "content_hash": pinned.content_hash}
        if listing.package is not None and {"version", "licence", "runs"} & sent.keys():
            raise _only_with_source()
        if RUNNABLE & sent.keys():
            await check_offer(listing.prompt_id, {**listing.values, **pending(listing.proposal), **sent}, context)
        return (await self._edited(listing, sent, context)).view(for_seller=True)

    async def _edited(self, listing: Listing, sent: dict[str, Any], context: Context) -> Listing:
        if listing.state in ON_OFFER:
            return await self._propose(listing, sent, context)
        return await self._change(listing, sent, Move.EDIT, context) if sent else listing

    async def _propose(self, listing: Listing, sent: dict[str, Any], context: Context) -> Listing:
        """A lower price at once, the rest as a proposal with a case that a moderator decides."""
        there = listing.proposal
        at_once, later = split(listing.values, sent)
        if at_once:
            left = without(there, "price", revision=listing.revision + 1, now=context.now())
            listing = await self._change(listing, {**at_once, "proposal": proposal_row(left)}, Move.EDIT, context)
        if later:
            wanted = proposed(listing.proposal, later, listing.values, revision=listing.revision + 1, now=context.now())
            if wanted != listing.proposal:
                move = Move.WITHDRAW_PROPOSAL if wanted is None else Move.PROPOSE
                listing = await self._change(listing, {"proposal": proposal_row(wanted)}, move, context)
        waits = listing.proposal is not None and listing.proposal.state is ProposalState.IN_REVIEW
        if waits and listing.proposal != there:
            await context.enqueue(_case_of(listing, CaseKind.PROPOSED_CHANGE), unique=_case_key(listing))
        return listing

    @handles(WithdrawProposal, key="listing_id", atomic=True)
    async def withdraw_proposal(self, message: WithdrawProposal, context: Context) -> ListingView:
        listing = await self._own(message.listing_id, Move.WITHDRAW_PROPOSAL, context)
        if listing.proposal is None:
            raise NoProposal
        return (await self._change(listing, {"proposal": None}, Move.WITHDRAW_PROPOSAL, context)).view(for_seller=True)

    @handles(SubmitListing, key="listing_id", atomic=True)
    async def submit(self, message: SubmitListing, context: Context) -> ListingView:
        """The moderator's case is enqueued in the same transaction: no listing waits for a case nobody opened."""
        listing = await self._moved(message.listing_id, Move.SUBMIT, context)
        await expect_unrevoked(listing, context)
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
        listing = await self._moved(message.listing_id, Move.RELIST, context)
        await expect_unrevoked(listing, context)
        await _tell_holders(listing, context)
        return listing.view(for_seller=True)

    @handles(AppealListing, key="listing_id", atomic=True)
    async def appeal(self, message: AppealListing, context: Context) -> ListingView:
        listing = await self._own(message.listing_id, Move.APPEAL, context)
        listing = await self._change(listing, appealed(listing, context.now()), Move.APPEAL, context)
        await context.enqueue(_case_of(listing, CaseKind.APPEAL, reason=message.words), unique=_case_key(listing))
        return listing.view(for_seller=True)

    @handles(AppealProposal, key="listing_id", atomic=True)
    async def appeal_proposal(self, message: AppealProposal, context: Context) -> ListingView:
        listing = await self._own(message.listing_id, Move.APPEAL_PROPOSAL, context)
        changes = appealed_proposal(listing, context.now())
        listing = await self._change(listing, changes, Move.APPEAL_PROPOSAL, context)
        case = _case_of(listing, CaseKind.PROPOSED_CHANGE, reason=message.words)
        await context.enqueue(replace(case, brought_by=listing.seller_id), unique=_case_key(listing))
        return listing.view(for_seller=True)

    @handles(AttachEvidence, key="listing_id", atomic=True)
    async def attach_evidence(self, message: AttachEvidence, context: Context) -> ListingView:
        listing = await self._own(message.listing_id, Move.EVIDENCE, context)
        await context.ask(GetEvaluation(evaluation_id=message.evaluation_id))  # is it one that they may see?
        card = await context.ask(GetScorecard(evaluation_id=message.evaluation_id))
        await context.ask(ReadDataset(dataset_id=card.dataset_id))  # who deletes it now is told of this listing
        row = evidence_row(
            card,
            prompt_id=listing.prompt_id,
            version=listing.version,
            content_hash=listing.content_hash,
            now=context.now(),
        )
        return (await self._change(listing, {"evidence": row}, Move.EVIDENCE, context)).view(for_seller=True)

    @handles(TellDatasetIsGone, atomic=True)
    async def lose_dataset(self, message: TellDatasetIsGone, context: Context) -> None:
        await self._store.lose_dataset(message.dataset_id, context)

    @handles(RemoveEvidence, key="listing_id", atomic=True)
    async def remove_evidence(self, message: RemoveEvidence, context: Context) -> ListingView:
        listing = await self._own(message.listing_id, Move.EVIDENCE, context)
        if listing.evidence is not None:
            listing = await self._change(listing, {"evidence": None}, Move.EVIDENCE, context)
        return listing.view(for_seller=True)

    async def _own(self, listing_id: str, move: Move, context: Context) -> Listing:
        """A listing of the seller's that allows this move."""
        listing = await self._store.get_own(listing_id, context.user_id, session=context.session)
        next_state(listing.state, move)
        return listing

    async def _moved(self, listing_id: str, move: Move, context: Context) -> Listing:
        listing = await self._own(listing_id, move, context)
        return await self._change(listing, {"state": next_state(listing.state, move).value}, move, context)

    async def _change(self, listing: Listing, changes: dict[str, Any], move: Move, context: Context) -> Listing:
        return await self._store.change(listing, changes, _by_seller(move, context), context)

    @handles(ListMyListings)
    async def list_mine(self, message: ListMyListings, context: Context) -> Page[ListingView]:
        cursor = Cursor.decode_optional(message.cursor)
        return await self._store.list_own(context.user_id, state=message.state, cursor=cursor, limit=message.limit)

    @handles(GetListingHistory)
    async def get_history(self, message: GetListingHistory, context: Context) -> Page[HistoryEntry]:
        listing = await self._store.get(message.listing_id)
        moderates = context.principal is not None and context.principal.has_role(Role.MODERATOR)
        if listing.seller_id != context.user_id and not moderates:
            raise no_listing()
        return await self._store.history.list_page(
            listing.id,
            seller_id=None if listing.seller_id != context.user_id else listing.seller_id,
            cursor=Cursor.decode_optional(message.cursor),
            limit=message.limit,
        )

    # The market

    @handles(GetListing, transactional=True)
    async def get_listing(self, message: GetListing, context: Context) -> ListingView:
        listing = await self._store.get(message.listing_id, session=context.session)
        own = _is_sellers(listing, context.principal)
        viewer = None if context.principal is None else context.principal.user_id
        if not own and listing.state is not ListingState.PUBLISHED:
            raise no_listing()
        if listing.seller_id != viewer:
            self._views.add(listing.id, seller_id=listing.seller_id, viewer_id=viewer, now=context.now())
        return listing.view(for_seller=own)

    @at_hand(ListListings)
    def find_page(self, message: ListListings, context: Context) -> ListingsPage | None:
        return remembered(self._store.pages, message, context)

    @handles(ListListings)
    async def browse(self, message: ListListings, context: Context) -> ListingsPage:
        return await browse(self._store, message, context)

    # The end of an account

    @handles(LeaveMarket)
    async def leave(self, message: LeaveMarket, context: Context) -> int:
        return await leave_market(self._store, message.seller_id, context)

    @handles(HasOffered)
    async def has_offered(self, message: HasOffered, context: Context) -> bool:
        return await self._store.has_offered(message.seller_id)

    @handles(ListOfferedVersions)
    async def list_offered(self, message: ListOfferedVersions, context: Context) -> tuple[tuple[str, int], ...]:
        return tuple(await self._store.list_offered(message.prompt_ids, but_by=message.but_by))

    @handles(TakeRevokedOffMarket)
    async def take_revoked_off_market(self, message: TakeRevokedOffMarket, context: Context) -> int:
        return await take_off_market(self._store, message, context)

    # Moderation

    @handles(GetListingForReview, transactional=True)
    async def get_for_review(self, message: GetListingForReview, context: Context) -> ListingView:
        return (await self._store.get(message.listing_id, session=context.session)).view(for_seller=True)

    @handles(GetVersionsThen, transactional=True)
    async def get_versions_then(self, message: GetVersionsThen, context: Context) -> tuple[VersionsThen, ...]:
        listing = await self._store.get(message.listing_id, session=context.session)
        steps = await self._store.history.list_versions(listing.id, session=context.session)
        return tuple(versions_then(steps, listing.version, revision, at) for revision, at in message.moments)

    @handles(ApplyDecision, key="listing_id", atomic=True)
    async def apply_decision(self, message: ApplyDecision, context: Context) -> ListingView:
        listing = await self._store.get(message.listing_id, session=context.session)
        act = Act(
            MOVE_OF[message.decision], message.moderator_id, context.now(), message.reason_code, message.public_note
        )
        changes = decided(listing, message, now=act.at, appeal_until=act.at + self._appeal_for)
        decided_on = await self._store.change(listing, changes, act, context)
        goes_on_offer = decided_on.state is ListingState.PUBLISHED or decided_on.version != listing.version
        if message.decision is Decision.APPROVE and goes_on_offer:
            await expect_unrevoked(decided_on, context)
        before = (listing.state, listing.version)
        if listing.published_at is not None and before != (decided_on.state, decided_on.version):
            await _tell_holders(decided_on, context)
        return decided_on.view(for_seller=True)


@dataclass(frozen=True, slots=True)
class _Sold:
    """What a new listing sells."""

    id: str
    number: int
    content_hash: str
    licence: Licence


def _drafted(message: CreateListing | CreatePackageListing, sold: _Sold, context: Context) -> Listing:
    now = context.now()
    return Listing(
        id=new_id("lst"),
        seller_id=context.user_id,
        state=ListingState.DRAFT,
        revision=1,
        prompt_id=sold.id,
        version=sold.number,
        content_hash=sold.content_hash,
        title=message.title,
        summary=message.summary,
        description=message.description,
        category=message.category,
        tags=tuple(dict.fromkeys(message.tags)),
        samples=message.samples,
        price=to_millicredits(message.price),
        licence=sold.licence,
        review=None,
        created_at=now,
        updated_at=now,
        published_at=None,
    )


async def _pin_package(package_id: str, version: str, context: Context) -> PinnedPackage:
    return await context.ask(PinPackageVersion(package_id=package_id, version=version, publisher_id=context.user_id))


def _offer_of(pinned: PinnedPackage) -> dict[str, Any]:  # Any: a MongoDB document
    return offer_row(PackageOffer(pinned.package_id, pinned.name, pinned.version))


def _only_with_source() -> Invalid:
    detail = "A package is sold with its source, and its version is changed by PUT …/package"
    return Invalid(detail, errors=(FieldError(detail, "package", pointer="/licence"),))


async def _tell_holders(listing: Listing, tx: Context) -> None:
    """What is on the market (again) may have buyers of an earlier version."""
    if listing.state is ListingState.PUBLISHED:
        message = TellHolders(listing_id=listing.id, version=listing.version)
        await tx.enqueue(message, unique=f"tell-holders:{listing.id}:{listing.revision}")


def _by_seller(move: Move, context: Context) -> Act:
    return Act(move, context.user_id, context.now())


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
    if "samples" in changes:
        changes["samples"] = list(changes["samples"])
    if message.price is not MISSING:
        changes["price"] = to_millicredits(message.price)
    if message.runs is not MISSING:
        changes["runs"] = terms_row(message.runs)
    return changes
