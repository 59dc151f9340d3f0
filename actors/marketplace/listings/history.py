"""The history of listings, in the collection `listing_history`: one row per revision, only ever added to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from promptforge.actors.marketplace.listings.domain import Move
from promptforge.actors.marketplace.listings.messages import HistoryEntry, VersionsThen
from promptforge.actors.marketplace.listings.proposals import changes_between
from promptforge.actors.marketplace.messages import FieldChange, ListingState
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.pages import Cursor, Page, page_of
from promptforge.core.personal import EMPTIED, Held, Subject, marks

HISTORY = "listing_history"
INDEXES: dict[str, tuple[Index, ...]] = {
    HISTORY: (Index((("listing_id", 1), ("created_at", -1), ("_id", -1))),),
}
HELD = {
    HISTORY: Held(
        "The history of your listings",
        (Subject("listing_id", marks(EMPTIED, "changes"), of="marketplace_listings"),),
        plain=frozenset({"_id", "move", "by", "state", "reason_code", "note"}),
    ),
}
_TOLD = (
    *("version", "title", "summary", "description", "category", "tags", "samples", "price", "licence", "runs"),
    *("package", "evaluation_id"),
)
"""Fields whose changes are kept with their values; the rest is told by the move."""
MOST_READ = 2000


@dataclass(frozen=True, slots=True)
class Act:
    """Who did what to a listing, and when; `reason_code` and `note` where it was a decision.

    `by` is nobody where the service did it.
    """

    move: Move
    by: str | None
    at: datetime
    reason_code: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class VersionChange:
    """A step in a listing's life: `after` is the version that it sells, or proposes, from then on, if that changed."""

    revision: int
    at: datetime
    proposes: bool
    before: int | None
    after: int | None


def versions_then(steps: Sequence[VersionChange], now_sold: int, revision: int, moment: datetime) -> VersionsThen:
    """What was sold at `moment`, and proposed as of `revision`, by all that became of a listing."""
    proposals = [step for step in steps if step.proposes and step.revision <= revision]
    proposed = proposals[-1].after if proposals else None
    if not steps or moment < steps[0].at:
        return VersionsThen(None, proposed)
    sold = [step for step in steps if not step.proposes and step.after is not None]
    until = [step.after for step in sold if step.at <= moment]
    later = [step.before for step in sold if step.at > moment]
    return VersionsThen(until[-1] if until else later[0] if later else now_sold, proposed)


class HistoryStore:
    def __init__(self, mongo: Mongo) -> None:
        self._rows = mongo.collection(HISTORY)

    async def add(self, act: Act, before: Document | None, after: Document, *, session: Session | None) -> None:
        """Keep what an act made of a listing, in the act's transaction."""
        fields = {name: after[name] for name in _TOLD if name in after}
        if act.move is Move.PROPOSE:
            fields |= after["proposal"]["changes"]
        changes = changes_between(before or {}, fields)
        await self._rows.insert_one(
            {
                "_id": f"{after['_id']}:{after['revision']:08d}",
                "listing_id": after["_id"],
                "revision": after["revision"],
                "move": act.move.value,
                "by": act.by,
                "state": after["state"],
                "changes": [[change.field, change.before, change.after] for change in changes],
                "reason_code": act.reason_code,
                "note": act.note,
                "created_at": act.at,
            },
            session=session,
        )

    async def list_versions(self, listing_id: str, *, session: Session | None) -> list[VersionChange]:
        """What became of its versions, in order: the last `MOST_READ` steps, of which the first says since when."""
        fields = {"revision": 1, "move": 1, "changes": 1, "created_at": 1}
        rows = self._rows.find({"listing_id": listing_id}, fields, session=session)
        newest = await rows.sort([("created_at", -1), ("_id", -1)]).limit(MOST_READ).to_list(MOST_READ)
        found = []
        for row in reversed(newest):
            numbers = [(before, after) for name, before, after in row["changes"] if name == "version"]
            before, after = numbers[0] if numbers else (None, None)
            proposes = row["move"] == Move.PROPOSE.value
            found.append(VersionChange(row["revision"], row["created_at"], proposes, before, after))
        return found

    async def list_page(
        self, listing_id: str, *, seller_id: str | None, cursor: Cursor | None, limit: int
    ) -> Page[HistoryEntry]:
        """The newest first. For the seller (`seller_id`), who else did something is not told."""
        wanted: Document = {"listing_id": listing_id, **(cursor.after() if cursor else {})}
        rows = self._rows.find(wanted).sort([("created_at", -1), ("_id", -1)]).limit(limit + 1)
        return page_of(await rows.to_list(limit + 1), limit, lambda row: _entry_from(row, seller_id))


def _entry_from(row: Document, seller_id: str | None) -> HistoryEntry:
    by = row["by"]
    return HistoryEntry(
        revision=row["revision"],
        move=row["move"],
        by=by if seller_id in {None, by} else None,
        state=ListingState(row["state"]),
        changes=tuple(FieldChange(name, _value(before), _value(after)) for name, before, after in row["changes"]),
        reason_code=row["reason_code"],
        note=row["note"],
        created_at=row["created_at"],
    )


def _value(value: Any) -> str | int | tuple[str, ...] | None:  # Any: as stored
    told: str | int | tuple[str, ...] | None = tuple(value) if isinstance(value, list) else value
    return told
