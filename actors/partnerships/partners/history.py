"""What happened to partnerships: `partner_events`, to which rows are only ever added."""

from __future__ import annotations

from dataclasses import dataclass

from promptforge.actors.partnerships.messages import PartnershipEventView, PartnerState
from promptforge.actors.partnerships.partners.domain import Move, Partner
from promptforge.core.ids import new_id
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.personal import Held, Subject, kept

EVENTS = "partner_events"
SHOWN = 100
"""Of one partnership: more than anyone reads."""
INDEXES: dict[str, tuple[Index, ...]] = {EVENTS: (Index((("partner_id", 1), ("version", -1)), unique=True),)}
_STATED = kept("a decision's statement of reasons", years=6, since="created_at")
HELD = {
    EVENTS: Held(
        "What was decided about your partnerships, and when",
        (Subject("partner_id", {"note": _STATED, "internal_note": _STATED}, of="partners"),),
        plain=frozenset({"event", "from_state", "to_state", "reason_code", "by"}),
        secret=frozenset({"internal_note"}),
    )
}


@dataclass(frozen=True, slots=True)
class Step:
    """What was done, and what was said with it; `internal_note` is for administrators only."""

    move: Move
    reason_code: str | None = None
    note: str | None = None
    internal_note: str | None = None


class PartnerHistory:
    """It has no method that changes or removes a row. A version of a partnership has one, whoever comes together."""

    def __init__(self, mongo: Mongo) -> None:
        self._events = mongo.collection(EVENTS)

    async def add(self, step: Step, before: Partner, after: Partner, *, by: str, session: Session | None) -> None:
        await self._events.insert_one(
            {
                "_id": new_id("pev"),
                "partner_id": after.id,
                "version": after.version,
                "event": step.move.value,
                "from_state": before.state.value,
                "to_state": after.state.value,
                "commission_bp": after.commission_bp,
                "reason_code": step.reason_code,
                "note": step.note,
                "internal_note": step.internal_note,
                "by": by,
                "created_at": after.updated_at,
            },
            session=session,
        )

    async def find_suspender(self, partner_id: str, *, session: Session | None) -> str | None:
        """Who suspended it last."""
        wanted = {"partner_id": partner_id, "event": Move.SUSPEND.value}
        row = await self._events.find_one(wanted, {"by": 1}, sort=[("version", -1)], session=session)
        return None if row is None else str(row["by"])

    async def list_of(self, partner_id: str, *, session: Session | None = None) -> tuple[PartnershipEventView, ...]:
        """Newest first."""
        rows = self._events.find({"partner_id": partner_id}, session=session).sort([("version", -1)]).limit(SHOWN)
        return tuple(_event_from(row) for row in await rows.to_list(SHOWN))


def _event_from(row: Document) -> PartnershipEventView:
    return PartnershipEventView(
        event=row["event"],
        from_state=PartnerState(row["from_state"]),
        to_state=PartnerState(row["to_state"]),
        version=row["version"],
        commission_bp=row["commission_bp"],
        reason_code=row["reason_code"],
        note=row["note"],
        internal_note=row["internal_note"],
        by=row["by"],
        at=row["created_at"],
    )
