"""Every query on the collections `moderation_cases` and `moderation_decisions`; the second is only ever added to."""

from __future__ import annotations

from datetime import datetime

from promptforge.actors.marketplace.messages import Decision
from promptforge.actors.moderation.errors import AlreadyDecided
from promptforge.actors.moderation.messages import CaseKind, CaseState, CaseView, DecideCase, OpenCase
from promptforge.core.errors import NotFound
from promptforge.core.ids import new_id
from promptforge.core.mongo import Document, DuplicateKey, Index, Mongo, Session
from promptforge.core.pages import Cursor, Page, page_of

CASES = "moderation_cases"
DECISIONS = "moderation_decisions"

INDEXES: dict[str, tuple[Index, ...]] = {
    CASES: (
        Index((("listing_id", 1), ("revision", 1), ("kind", 1), ("purchase_id", 1)), unique=True),
        Index((("state", 1), ("created_at", -1), ("_id", -1))),
    ),
    DECISIONS: (Index((("listing_id", 1), ("created_at", -1))),),
}


class CaseStore:
    def __init__(self, mongo: Mongo) -> None:
        self._cases = mongo.collection(CASES)
        self._decisions = mongo.collection(DECISIONS)

    async def open_once(self, message: OpenCase, *, now: datetime) -> bool:
        """False where this revision has a case already."""
        document: Document = {
            "_id": new_id("cas"),
            "state": CaseState.OPEN.value,
            "listing_id": message.listing_id,
            "revision": message.revision,
            "seller_id": message.seller_id,
            "title": message.title,
            "kind": message.kind.value,
            "reason": message.reason,
            "purchase_id": message.purchase_id,
            "created_at": now,
        }
        try:
            await self._cases.insert_one(document)
        except DuplicateKey:
            return False
        return True

    async def get(self, case_id: str, *, session: Session | None = None) -> CaseView:
        """Raises `NotFound`."""
        row = await self._cases.find_one({"_id": case_id}, session=session)
        if row is None:
            raise NotFound("There is no such case")
        return _case_from(row)

    async def list_page(self, state: CaseState, *, cursor: Cursor | None, limit: int) -> Page[CaseView]:
        wanted: Document = {"state": state.value, **(cursor.after() if cursor else {})}
        rows = self._cases.find(wanted).sort([("created_at", -1), ("_id", -1)]).limit(limit + 1)
        return page_of(await rows.to_list(limit + 1), limit, _case_from)

    async def decide(
        self, message: DecideCase, moderator_id: str, *, now: datetime, session: Session | None
    ) -> CaseView:
        """Open → decided, and a row in the history. Raises `AlreadyDecided` where the case is not open."""
        decided = {
            "decision": message.decision.value,
            "reason_code": message.reason_code,
            "public_note": message.public_note,
            "internal_note": message.internal_note,
            "decided_by": moderator_id,
            "decided_at": now,
        }
        case = await self._close(message.case_id, {**decided, "state": CaseState.DECIDED.value}, session)
        history = {"_id": new_id("dec"), "case_id": case.id, "listing_id": case.listing_id, "created_at": now}
        await self._decisions.insert_one({**history, **decided, "revision": case.revision}, session=session)
        return case

    async def close_obsolete(self, case: CaseView, *, session: Session | None) -> CaseView:
        """Open → obsolete; a case that is obsolete already stays as it is."""
        if case.state is CaseState.OBSOLETE:
            return case
        return await self._close(case.id, {"state": CaseState.OBSOLETE.value}, session)

    async def _close(self, case_id: str, changes: Document, session: Session | None) -> CaseView:
        row = await self._cases.find_one_and_update(
            {"_id": case_id, "state": CaseState.OPEN.value}, {"$set": changes}, session=session
        )
        if row is None:
            raise AlreadyDecided
        return _case_from(row)


def _case_from(row: Document) -> CaseView:
    decision = row.get("decision")
    return CaseView(
        id=row["_id"],
        state=CaseState(row["state"]),
        listing_id=row["listing_id"],
        revision=row["revision"],
        seller_id=row["seller_id"],
        title=row["title"],
        decision=None if decision is None else Decision(decision),
        reason_code=row.get("reason_code"),
        public_note=row.get("public_note"),
        internal_note=row.get("internal_note"),
        decided_by=row.get("decided_by"),
        decided_at=row.get("decided_at"),
        created_at=row["created_at"],
        kind=CaseKind(row.get("kind", CaseKind.REVIEW)),
        reason=row.get("reason"),
        purchase_id=row.get("purchase_id"),
    )
