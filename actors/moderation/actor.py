"""The moderators' queue. A decision is one transaction: case, history, listing and the notice to the seller."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from statistics import median

from anyio import to_thread

from promptforge.actors.billing.messages import GetAccountGroup
from promptforge.actors.marketplace.messages import (
    ApplyDecision,
    Decision,
    GetListingForReview,
    ListingView,
)
from promptforge.actors.marketplace.purchases.messages import IsRefundWaiting, RefuseRefund
from promptforge.actors.marketplace.reviews.messages import (
    FindRemovedReply,
    FindRemovedReview,
    FindReview,
    RemoveReply,
    RemoveReview,
    ReviewView,
)
from promptforge.actors.moderation import appeals
from promptforge.actors.moderation.checks.findings import DUPLICATES
from promptforge.actors.moderation.checks.messages import CheckCase, Finding
from promptforge.actors.moderation.contents import sold_by, unified, versions_of
from promptforge.actors.moderation.domain import (
    APPEALABLE,
    CHECKED,
    FOR_THE_SELLER,
    OF_REVIEWS,
    OF_RULINGS,
    REFUNDS,
    TO_THE_LISTING,
    answers_appeal,
    check_legal,
    concerns,
    decision_shown_to_party,
    is_answered,
    legal_decisions,
    shown_to_party,
    waits_for,
)
from promptforge.actors.moderation.duplicates.rechecking import Rechecks
from promptforge.actors.moderation.duplicates.store import FingerprintStore
from promptforge.actors.moderation.errors import AlreadyDecided, CaseObsolete, CopyDecided, NotClaimed
from promptforge.actors.moderation.history import DecisionLog
from promptforge.actors.moderation.interests import Records, refuse_interested
from promptforge.actors.moderation.messages import (
    CaseContentView,
    CaseDetailView,
    CaseKind,
    CaseQueueView,
    CaseState,
    CaseView,
    ClaimCase,
    DecideCase,
    GetCase,
    GetQueue,
    KindOfCases,
    ListCases,
    ListReasons,
    OpenCase,
    ReadCaseContent,
    ReasonsView,
    ReleaseCase,
    Verdict,
)
from promptforge.actors.moderation.notices import (
    Outcome,
    grant_of,
    suspicion_of,
    why,
)
from promptforge.actors.moderation.reasons import REASONS, REFUSED_NEXT, REPLIERS_NEXT, views
from promptforge.actors.moderation.store import CaseStore, Waiting
from promptforge.actors.moderation.telling import tell_decision, tell_obsolete, tell_run_holders
from promptforge.actors.users.messages import IsAccountClosed
from promptforge.core.context import Context
from promptforge.core.failpoints import reach
from promptforge.core.pages import Page
from promptforge.core.reasons import check_reason
from promptforge.core.runtime import Actor, handles

MEASURED = timedelta(days=30)


class ModerationActor(Actor):
    name = "moderation"
    asks = (
        "billing",
        "marketplace",
        "package_files",
        "purchases",
        "prompts",
        "replies",
        "reports",
        "reviews",
        "sale_appeals",
        "sealed",
        "sealed_appeals",
        "users",
    )

    def __init__(self, store: CaseStore, history: DecisionLog, fingerprints: FingerprintStore) -> None:
        self._store = store
        self._history = history
        self._fingerprints = fingerprints
        self._rechecks = Rechecks(fingerprints)

    @handles(OpenCase, key="listing_id", atomic=True)
    async def open_case(self, message: OpenCase, context: Context) -> None:
        if context.session is None:
            raise RuntimeError("an atomic handler runs in a transaction")
        case_id = await self._store.open(message, now=context.now(), session=context.session)
        if case_id is not None and message.kind in CHECKED:
            await context.enqueue(CheckCase(case_id=case_id), unique=f"moderation.check:{case_id}")

    # The queue

    @handles(ListCases)
    async def list_cases(self, message: ListCases, context: Context) -> Page[CaseView]:
        people = await context.ask(GetAccountGroup(user_id=context.user_id))
        return await self._store.list_page(message, context.user_id, people=people, now=context.now())

    @handles(GetCase)
    async def get_case(self, message: GetCase, context: Context) -> CaseDetailView:
        case = await self._store.get(message.case_id, now=context.now())
        listing = await context.ask(GetListingForReview(listing_id=case.listing_id))
        history = await self._history.list_of(case.listing_id)
        review = await self._find_review(case, context)
        advice = await self._store.find_recommendation(case.id)
        waits = await self._waits(case, listing, review, context)
        possible = legal_decisions(case.kind, listing.state, review) if waits else ()
        detail = CaseDetailView(
            case=case,
            listing=listing,
            findings=await self._store.list_findings(case.id),
            legal_decisions=possible if case.state is CaseState.OPEN else (),
            history=history,
            review=review,
            recommendation=None if advice is None else replace(advice, words=None),
        )
        people = await context.ask(GetAccountGroup(user_id=context.user_id))
        bringers = await self._store.list_bringers(case.id, session=None)
        return _shown_to_party(detail) if concerns(case, bringers, people) else detail

    async def _find_review(self, case: CaseView, context: Context) -> ReviewView | None:
        if case.kind is CaseKind.REVIEW_REPORT and case.subject is not None:
            return await context.ask(FindReview(review_id=case.subject))
        if case.kind is CaseKind.REVIEW_APPEAL and case.subject is not None:
            return await context.ask(FindRemovedReview(review_id=case.subject))
        if case.kind is CaseKind.REPLY_APPEAL and case.subject is not None:
            return await context.ask(FindRemovedReply(review_id=case.subject))
        return None

    async def _waits(self, case: CaseView, listing: ListingView, review: ReviewView | None, context: Context) -> bool:
        if not waits_for(listing, case) or _has_lost_its_review(case, review):
            return False
        if case.kind in OF_RULINGS:
            return await appeals.is_waiting(case, context)
        if case.kind in FOR_THE_SELLER:
            return not await context.ask(IsAccountClosed(user_id=case.seller_id))
        if case.kind not in REFUNDS or case.purchase_id is None:
            return True
        return await context.ask(IsRefundWaiting(purchase_id=case.purchase_id))

    @handles(GetQueue)
    async def get_queue(self, message: GetQueue, context: Context) -> CaseQueueView:
        now = context.now()
        waiting = await self._store.list_waiting(now=now)
        took = await self._store.list_durations(since=now - MEASURED)
        return CaseQueueView(tuple(_kind_of_cases(kind, waiting.get(kind), took.get(kind, [])) for kind in CaseKind))

    @handles(ListReasons)
    async def list_reasons(self, message: ListReasons, context: Context) -> ReasonsView:
        return ReasonsView(views())

    # Claims

    @handles(ClaimCase, key="case_id")
    async def claim(self, message: ClaimCase, context: Context) -> CaseView:
        return await self._unless_obsolete(message.case_id, lambda tx: self._claim(message, tx), context)

    async def _claim(self, message: ClaimCase, tx: Context) -> CaseView:
        await self._to_be_judged(message.case_id, tx)
        case = await self._store.claim(message.case_id, tx.user_id, now=tx.now(), session=tx.session)
        if case.kind in CHECKED and case.claim is not None:
            # What it is a copy of may have been approved since it was submitted.
            again = f"moderation.check:{case.id}:{case.claim.claimed_at.isoformat()}"
            await tx.enqueue(CheckCase(case_id=case.id), unique=again)
        await tx.audit("case.claimed", case.id, after={"listing_id": case.listing_id})
        return case

    @handles(ReleaseCase, key="case_id", transactional=True)
    async def release(self, message: ReleaseCase, context: Context) -> CaseView:
        return await context.transaction(lambda tx: self._release(message, tx))

    async def _release(self, message: ReleaseCase, tx: Context) -> CaseView:
        case = await self._store.release(message.case_id, tx.user_id, now=tx.now(), session=tx.session)
        await tx.audit("case.released", case.id, after={"listing_id": case.listing_id})
        people = await tx.ask(GetAccountGroup(user_id=tx.user_id))
        bringers = await self._store.list_bringers(case.id, session=tx.session)
        return shown_to_party(case) if concerns(case, bringers, people) else case

    @handles(ReadCaseContent, key="case_id", transactional=True)
    async def read_content(self, message: ReadCaseContent, context: Context) -> CaseContentView:
        return await context.transaction(lambda tx: self._read_content(message, tx))

    async def _read_content(self, message: ReadCaseContent, tx: Context) -> CaseContentView:
        """The claim, the entry in the audit log and the text are of one moment: nothing is shown that is not told."""
        case = await self._store.prolong(message.case_id, tx.user_id, now=tx.now(), session=tx.session)
        if case.claim is None:
            raise NotClaimed
        listing = await tx.ask(GetListingForReview(listing_id=case.listing_id))
        number, published = versions_of(case, listing)
        version = await tx.ask(sold_by(listing, number))
        difference = None
        if published is not None:
            before = await tx.ask(sold_by(listing, published))
            difference = await to_thread.run_sync(unified, before, version)
        shown = {"listing_id": listing.id, "prompt_id": listing.prompt_id, "version": number}
        await tx.audit("case.content_read", case.id, after=shown)
        return CaseContentView(
            case_id=case.id,
            listing_id=listing.id,
            prompt_id=listing.prompt_id,
            version=number,
            kind=version.kind,
            content=version.content,
            settings=version.settings,
            variables=version.variables,
            tools=version.tools,
            response_schema=version.response_schema,
            published_version=published,
            unified=difference,
            claimed_until=case.claim.claimed_until,
            recommendation=await self._store.find_recommendation(case.id, session=tx.session),
        )

    # Decisions

    @handles(DecideCase, key="case_id")
    async def decide(self, message: DecideCase, context: Context) -> CaseView:
        try:
            decided = await self._unless_obsolete(message.case_id, lambda tx: self._decide(message, tx), context)
        except CopyDecided:
            await context.transaction(lambda tx: self._keep_copies(message.case_id, tx))
            raise
        reach("decision.after_commit")
        return decided

    async def _keep_copies(self, case_id: str, tx: Context) -> None:
        """What held an approval is with the case, so that whoever decides has seen it."""
        case = await self._store.get(case_id, now=tx.now(), session=tx.session)
        listing = await tx.ask(GetListingForReview(listing_id=case.listing_id))
        unseen = await self._unseen_copies(case, listing, tx)
        await self._store.add_findings(case.id, DUPLICATES, unseen, session=tx.session)

    async def _unseen_copies(self, case: CaseView, listing: ListingView, tx: Context) -> list[Finding]:
        return await self._rechecks.find_unseen(
            listing.id,
            versions_of(case, listing)[0],
            seller_id=listing.seller_id,
            seen=await self._store.list_findings(case.id, session=tx.session),
            checked_at=await self._store.find_checked(case.id, session=tx.session),
            session=tx.session,
        )

    async def _unless_obsolete(
        self, case_id: str, work: Callable[[Context], Awaitable[CaseView]], context: Context
    ) -> CaseView:
        """A case that is closed as obsolete is committed, and so is no error within its transaction."""
        try:
            return await context.transaction(work, completes=True)
        except CaseObsolete:
            await context.transaction(lambda tx: self._close(case_id, tx))
            raise

    async def _close(self, case_id: str, tx: Context) -> None:
        case = await self._store.get(case_id, now=tx.now(), session=tx.session)
        listing = await tx.ask(GetListingForReview(listing_id=case.listing_id))
        if await self._waits(case, listing, await self._find_review(case, tx), tx):
            return
        if await self._store.close_obsolete(case, session=tx.session):
            await tell_obsolete(self._store, case, tx)

    async def _to_be_judged(self, case_id: str, tx: Context) -> tuple[CaseView, ListingView]:
        """The case and its listing, where it may be judged by this moderator and there is something to judge."""
        case = await self._store.get(case_id, now=tx.now(), session=tx.session)
        listing = await tx.ask(GetListingForReview(listing_id=case.listing_id))
        await refuse_interested(case, listing, Records(self._store, self._history), tx)
        if case.state is CaseState.DECIDED:
            raise AlreadyDecided
        if not await self._waits(case, listing, await self._find_review(case, tx), tx):
            raise CaseObsolete
        return case, listing

    async def _decide(self, message: DecideCase, tx: Context) -> CaseView:
        there = await self._store.get(message.case_id, now=tx.now(), session=tx.session)
        if is_answered(there, message, tx.user_id):
            return there
        case, listing = await self._to_be_judged(message.case_id, tx)
        check_legal(case.kind, listing.state, message.decision, await self._find_review(case, tx))
        check_reason(REASONS, message.reason_code, message.decision)
        if message.decision is Verdict.APPROVE:
            await self._fingerprints.take_turn(session=tx.session)
            if await self._unseen_copies(case, listing, tx):
                raise CopyDecided
        decided = await self._store.decide(message, tx.user_id, now=tx.now(), session=tx.session)
        await self._history.add(decided, now=tx.now(), session=tx.session)
        appeal_until = await self._carry_out(message, decided, tx)
        await self._decide_suspicion(decided, tx)
        await tell_run_holders(decided, message, listing.state, tx)
        await self._remember(message, case, listing, tx)
        outcome = Outcome(appeal_until, of_appeal=answers_appeal(case, listing))
        await tell_decision(self._store, decided, outcome, tx)
        verdict = {
            "listing_id": decided.listing_id,
            "revision": decided.revision,
            "decision": message.decision.value,
            "reason_code": message.reason_code.value,
        }
        await tx.audit("case.decided", decided.id, before={"state": case.state.value}, after=verdict)
        return decided

    async def _carry_out(self, message: DecideCase, case: CaseView, tx: Context) -> datetime | None:
        """Until when the seller can appeal what became of the listing, if they can."""
        if case.kind in OF_RULINGS:
            await appeals.carry_out(case, message, tx)
            return None
        if message.decision in TO_THE_LISTING:
            listing = await tx.ask(
                ApplyDecision(
                    listing_id=case.listing_id,
                    revision=case.revision,
                    decision=Decision(message.decision),
                    moderator_id=tx.user_id,
                    reason_code=message.reason_code,
                    public_note=message.public_note,
                )
            )
            note = listing.review
            if case.kind is CaseKind.PROPOSED_CHANGE:
                note = None if listing.proposal is None else listing.proposal.review
            return None if note is None else note.appeal_until
        if message.decision is Verdict.REMOVE and case.subject is not None:
            await tx.ask(
                RemoveReview(
                    review_id=case.subject,
                    case_id=case.id,
                    reason_code=message.reason_code.value,
                    public_note=message.public_note,
                    explanation="\n\n".join(why(message.reason_code, message.public_note)),
                )
            )
        elif message.decision is Verdict.REMOVE_REPLY and case.subject is not None:
            await tx.ask(
                RemoveReply(
                    review_id=case.subject,
                    case_id=case.id,
                    reason_code=message.reason_code.value,
                    public_note=message.public_note,
                    explanation="\n\n".join(why(message.reason_code, message.public_note, REPLIERS_NEXT)),
                )
            )
        elif message.decision is Verdict.REFUND and case.purchase_id is not None:
            await tx.ask(grant_of(case, case.purchase_id, message))
        elif case.kind in REFUNDS and case.purchase_id is not None:
            await tx.ask(
                RefuseRefund(
                    purchase_id=case.purchase_id,
                    reason_code=message.reason_code,
                    public_note=message.public_note,
                    explanation="\n\n".join(why(message.reason_code, message.public_note, REFUSED_NEXT)),
                )
            )
        return None

    async def _remember(self, message: DecideCase, case: CaseView, listing: ListingView, tx: Context) -> None:
        """Later submissions are compared with what was approved, and with what was refused.

        Whoever rejects a change of something else than the text says nothing about the text, which is on offer.
        """
        version, published = versions_of(case, listing)
        if message.decision in {Verdict.APPROVE, Verdict.LIFT}:
            await self._fingerprints.approve(listing.id, version, now=tx.now(), session=tx.session)
        elif message.decision in APPEALABLE and (case.kind is not CaseKind.PROPOSED_CHANGE or published is not None):
            await self._fingerprints.refuse(
                listing.id, version, message.reason_code.value, now=tx.now(), session=tx.session
            )

    async def _decide_suspicion(self, case: CaseView, tx: Context) -> None:
        """Whose runs were stopped may go on, whichever way it was decided; what they bought may be theirs no more."""
        if case.kind is CaseKind.EXTRACTION and case.subject is not None:
            await tx.ask(suspicion_of(case))


def _shown_to_party(detail: CaseDetailView) -> CaseDetailView:
    """Of what is theirs moderators see neither what the checks found nor what a model recommends."""
    return replace(
        detail,
        case=shown_to_party(detail.case),
        findings=(),
        history=tuple(decision_shown_to_party(one) for one in detail.history),
        recommendation=None,
    )


def _has_lost_its_review(case: CaseView, review: ReviewView | None) -> bool:
    """Its author has taken it back, or another moderator has removed it, or decided about it."""
    return case.kind in OF_REVIEWS and review is None


def _kind_of_cases(kind: CaseKind, waiting: Waiting | None, took: list[timedelta]) -> KindOfCases:
    hours = round(median(span.total_seconds() for span in took) / 3600, 2) if took else None
    if waiting is None:
        return KindOfCases(kind, 0, 0, None, len(took), hours)
    return KindOfCases(kind, waiting.open, waiting.claimed, waiting.oldest_at, len(took), hours)
