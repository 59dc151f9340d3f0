"""The history of decisions: `moderation_decisions`, to which rows are only ever added."""

from __future__ import annotations

from datetime import datetime

from promptforge.actors.moderation.domain import APPEALABLE, JUDGING
from promptforge.actors.moderation.messages import CaseKind, CaseView, DecisionView, Verdict
from promptforge.core.ids import new_id
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.personal import Erased, Held, Subject, kept

DECISIONS = "moderation_decisions"
MOST_JUDGED = 1000
SHOWN = 50
"""Decisions about one listing: more than anyone reads."""

INDEXES: dict[str, tuple[Index, ...]] = {
    DECISIONS: (Index((("listing_id", 1), ("created_at", -1))),),
}
_STATED = kept("a moderator's statement of reasons", years=6, since="created_at", then=Erased.REDACTED)
HELD = {
    DECISIONS: Held(
        "Decisions of moderators about what you offered",
        (
            Subject(
                "listing_id",
                {"public_note": _STATED, "internal_note": _STATED},
                of="marketplace_listings",
            ),
        ),
        plain=frozenset({"case_id", "kind", "decision", "reason_code", "decided_by", "subject"}),
        secret=frozenset({"internal_note"}),
    ),
}


class DecisionLog:
    """It has no method that changes or removes a row, and a test holds that nothing else touches the collection."""

    def __init__(self, mongo: Mongo) -> None:
        self._decisions = mongo.collection(DECISIONS)

    async def add(self, case: CaseView, *, now: datetime, session: Session | None) -> None:
        """Keep the decision of a case that is decided."""
        if case.decision is None:
            raise ValueError("the case is not decided")
        await self._decisions.insert_one(
            {
                "_id": new_id("dec"),
                "case_id": case.id,
                "kind": case.kind.value,
                "listing_id": case.listing_id,
                "revision": case.revision,
                "decision": case.decision.value,
                "reason_code": case.reason_code,
                "public_note": case.public_note,
                "internal_note": case.internal_note,
                "decided_by": case.decided_by,
                "decided_at": case.decided_at,
                "created_at": now,
            },
            session=session,
        )

    async def list_of(self, listing_id: str, *, session: Session | None = None) -> tuple[DecisionView, ...]:
        """The decisions about a listing, newest first."""
        rows = self._decisions.find({"listing_id": listing_id}, session=session)
        found = await rows.sort([("created_at", -1), ("_id", -1)]).limit(SHOWN).to_list(SHOWN)
        return tuple(_decision_from(row) for row in found)

    async def list_judgements(self, listing_id: str, *, session: Session | None) -> tuple[DecisionView, ...]:
        """What was decided for or against what a listing offers, newest first, at most `MOST_JUDGED`."""
        wanted = {"listing_id": listing_id, "decision": {"$in": [verdict.value for verdict in JUDGING]}}
        rows = self._decisions.find(wanted, session=session).sort([("created_at", -1), ("_id", -1)]).limit(MOST_JUDGED)
        return tuple(_decision_from(row) for row in await rows.to_list(MOST_JUDGED))

    async def find_appealed(
        self, listing_id: str, *, of_change: bool = False, session: Session | None = None
    ) -> str | None:
        """Who decided what an appeal is against: the newest rejection or suspension of the listing, however long ago.

        `of_change`: the newest rejection of a proposed change, which is another matter than the listing's own.
        """
        change = CaseKind.PROPOSED_CHANGE.value
        wanted = {
            "listing_id": listing_id,
            "decision": {"$in": [verdict.value for verdict in APPEALABLE]},
            "kind": change if of_change else {"$ne": change},  # those from before there were kinds are reviews
        }
        newest = [("created_at", -1), ("_id", -1)]
        row = await self._decisions.find_one(wanted, {"decided_by": 1}, sort=newest, session=session)
        return None if row is None else row["decided_by"]


def _decision_from(row: Document) -> DecisionView:
    return DecisionView(
        id=row["_id"],
        case_id=row["case_id"],
        kind=CaseKind(row.get("kind", CaseKind.REVIEW)),  # those from before there were kinds
        revision=row["revision"],
        decision=Verdict(row["decision"]),
        reason_code=row["reason_code"],
        public_note=row["public_note"],
        internal_note=row.get("internal_note"),
        decided_by=row["decided_by"],
        decided_at=row["created_at"],
    )
