"""The moderators' queue. A decision is one transaction: case, history, listing and the notice to the seller."""

from __future__ import annotations

from promptforge.actors.marketplace.messages import ApplyDecision, GetListingForReview
from promptforge.actors.moderation.domain import notice_of, waits_for
from promptforge.actors.moderation.errors import AlreadyDecided, CaseObsolete, OwnCase
from promptforge.actors.moderation.messages import (
    CaseDetailView,
    CaseState,
    CaseView,
    DecideCase,
    GetCase,
    ListCases,
    OpenCase,
)
from promptforge.actors.moderation.store import CaseStore
from promptforge.core.context import Context
from promptforge.core.pages import Cursor, Page
from promptforge.core.runtime import Actor, handles


class ModerationActor(Actor):
    name = "moderation"
    asks = ("marketplace",)

    def __init__(self, store: CaseStore) -> None:
        self._store = store

    @handles(OpenCase, key="listing_id")
    async def open_case(self, message: OpenCase, context: Context) -> None:
        await self._store.open_once(message, now=context.now())

    @handles(ListCases)
    async def list_cases(self, message: ListCases, context: Context) -> Page[CaseView]:
        cursor = Cursor.decode_optional(message.cursor)
        return await self._store.list_page(message.state, cursor=cursor, limit=message.limit)

    @handles(GetCase)
    async def get_case(self, message: GetCase, context: Context) -> CaseDetailView:
        case = await self._store.get(message.case_id)
        listing = await context.ask(GetListingForReview(listing_id=case.listing_id))
        return CaseDetailView(case, listing)

    @handles(DecideCase, key="case_id")
    async def decide(self, message: DecideCase, context: Context) -> CaseView:
        """A case that is closed as obsolete is committed, and so is no error within its transaction."""
        try:
            return await context.transaction(lambda tx: self._decide(message, tx), completes=True)
        except CaseObsolete:
            await context.transaction(lambda tx: self._close(message.case_id, tx))
            raise

    async def _close(self, case_id: str, tx: Context) -> None:
        case = await self._store.get(case_id, session=tx.session)
        listing = await tx.ask(GetListingForReview(listing_id=case.listing_id))
        if case.state is not CaseState.DECIDED and not waits_for(listing, case):
            await self._store.close_obsolete(case, session=tx.session)

    async def _decide(self, message: DecideCase, tx: Context) -> CaseView:
        case = await self._store.get(message.case_id, session=tx.session)
        if case.seller_id == tx.user_id:
            raise OwnCase
        if case.state is CaseState.DECIDED:
            raise AlreadyDecided
        listing = await tx.ask(GetListingForReview(listing_id=case.listing_id))
        if not waits_for(listing, case):
            raise CaseObsolete
        decided = await self._store.decide(message, tx.user_id, now=tx.now(), session=tx.session)
        await tx.ask(
            ApplyDecision(
                listing_id=decided.listing_id,
                revision=decided.revision,
                decision=message.decision,
                moderator_id=tx.user_id,
                reason_code=message.reason_code,
                public_note=message.public_note,
            )
        )
        notice = notice_of(decided, message.decision, reason_code=message.reason_code, public_note=message.public_note)
        await tx.enqueue(notice, owner_id=notice.user_id)
        verdict = {
            "listing_id": decided.listing_id,
            "revision": decided.revision,
            "decision": message.decision.value,
            "reason_code": message.reason_code,
        }
        await tx.audit("case.decided", decided.id, before={"state": case.state.value}, after=verdict)
        return decided
