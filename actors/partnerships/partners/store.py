"""Every query on the collection `partners`.

`open_for` is the owner's id while a partnership is not final; it is unique, so that there is one at a time, whoever
applies twice at once. A change is written on the condition of the version before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict

from promptforge.actors.partnerships.messages import (
    ListPartnerships,
    PartnershipDecision,
    PartnershipReason,
    PartnerState,
)
from promptforge.actors.partnerships.partners.domain import FINAL, Partner, Verdict
from promptforge.core.errors import NotFound
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.pages import Cursor, Page, page_of
from promptforge.core.personal import CLEARED, REDACTED, Held, Subject, kept, marks

PARTNERS = "partners"
MOST_SHOWN = 50

INDEXES: dict[str, tuple[Index, ...]] = {
    PARTNERS: (
        Index((("open_for", 1),), unique=True, partial={"open_for": {"$exists": True}}),
        Index((("owner", 1), ("created_at", -1), ("_id", -1))),
        Index((("state", 1), ("created_at", -1), ("_id", -1))),
    )
}
HELD = {
    PARTNERS: Held(
        "Your applications to become a partner, and what became of them",
        (
            Subject(
                "owner",
                {
                    **marks(REDACTED, "name", "plan"),
                    **marks(CLEARED, "website", "appeal"),
                    "verdict": kept("a decision's statement of reasons", years=6, since="updated_at"),
                },
                owned=True,
            ),
        ),
        plain=frozenset({"state", "open_for"}),
    )
}
_NOT_THERE = "There is no such partnership, or it is not yours"


class PartnerStore:
    def __init__(self, mongo: Mongo) -> None:
        self._partners = mongo.collection(PARTNERS)

    async def insert(self, partner: Partner, *, session: Session | None) -> bool:
        """False where its owner has one that is not final."""
        fields = _document(partner)
        del fields["_id"], fields["open_for"]
        row = await self._partners.find_one_and_upsert(
            {"open_for": partner.owner}, {"$setOnInsert": {"_id": partner.id, **fields}}, session=session
        )
        return bool(row["_id"] == partner.id)

    async def find(self, partner_id: str, *, session: Session | None = None) -> Partner | None:
        row = await self._partners.find_one({"_id": partner_id}, session=session)
        return None if row is None else _partner_from(row)

    async def get(self, partner_id: str, *, session: Session | None = None) -> Partner:
        """Whoever asks. Raises `NotFound`."""
        partner = await self.find(partner_id, session=session)
        if partner is None:
            raise NotFound(_NOT_THERE)
        return partner

    async def get_own(self, partner_id: str, owner: str, *, session: Session | None = None) -> Partner:
        """Raises `NotFound`, also for somebody else's."""
        partner = await self.find(partner_id, session=session)
        if partner is None or partner.owner != owner:
            raise NotFound(_NOT_THERE)
        return partner

    async def find_open(self, owner: str, *, session: Session | None = None) -> Partner | None:
        """The one that is not final."""
        row = await self._partners.find_one({"open_for": owner}, session=session)
        return None if row is None else _partner_from(row)

    async def list_ids(self, owner: str, *, session: Session | None = None) -> list[str]:
        """Of those that were approved once; all of them."""
        rows = self._partners.find({"owner": owner, "commission_bp": {"$ne": None}}, {"_id": 1}, session=session)
        return [row["_id"] for row in await rows.to_list(None)]

    async def find_last(self, owner: str, *, session: Session | None = None) -> Partner | None:
        row = await self._partners.find_one({"owner": owner}, sort=[("created_at", -1), ("_id", -1)], session=session)
        return None if row is None else _partner_from(row)

    async def list_these(self, partner_ids: Sequence[str]) -> dict[str, Partner]:
        rows = await self._partners.find({"_id": {"$in": list(partner_ids)}}).to_list(len(partner_ids) or 1)
        return {row["_id"]: _partner_from(row) for row in rows}

    async def list_of_owners(
        self, owners: Sequence[str], *, states: Iterable[PartnerState], session: Session | None
    ) -> list[Partner]:
        """The newest first, and so many that nobody reads more."""
        wanted = {"owner": {"$in": list(owners)}, "state": {"$in": [state.value for state in states]}}
        rows = self._partners.find(wanted, session=session).sort([("created_at", -1), ("_id", -1)]).limit(MOST_SHOWN)
        return [_partner_from(row) for row in await rows.to_list(MOST_SHOWN)]

    async def list_own(self, owner: str, *, cursor: Cursor | None, limit: int) -> Page[Partner]:
        wanted = {"owner": owner, **(cursor.after() if cursor else {})}
        rows = self._partners.find(wanted).sort([("created_at", -1), ("_id", -1)]).limit(limit + 1)
        return page_of(await rows.to_list(limit + 1), limit, _partner_from)

    async def list_page(self, wanted: ListPartnerships) -> Page[Partner]:
        cursor = Cursor.decode_optional(wanted.cursor)
        parts: list[Document] = [{"state": wanted.state.value}]
        if wanted.appealed is not None:
            parts.append({"appealed_at": {"$ne": None} if wanted.appealed else None})
        if cursor is not None:
            parts.append(cursor.after())
        rows = self._partners.find({"$and": parts}).sort([("created_at", -1), ("_id", -1)]).limit(wanted.limit + 1)
        return page_of(await rows.to_list(wanted.limit + 1), wanted.limit, _partner_from)

    async def replace(self, before: Partner, after: Partner, *, session: Session | None) -> None:
        """Only in a transaction: a version that is another one by now is a conflict, and the transaction begins again.

        Raises `NotFound` where that cannot be.
        """
        fields = _document(after)
        del fields["_id"]
        update: Document = {"$set": fields}
        if after.state in FINAL:
            del fields["open_for"]
            update["$unset"] = {"open_for": ""}
        wanted = {"_id": before.id, "version": before.version}
        if await self._partners.find_one_and_update(wanted, update, session=session) is None:
            raise NotFound(_NOT_THERE)


def _document(partner: Partner) -> Document:
    verdict = partner.verdict
    told = None if verdict is None else {**asdict(verdict), "decision": verdict.decision.value}
    fields = asdict(partner)
    del fields["id"]
    return {
        **fields,
        "_id": partner.id,
        "state": partner.state.value,
        "verdict": None if told is None else {**told, "reason_code": str(told["reason_code"])},
        "open_for": partner.owner,
    }


def _partner_from(row: Document) -> Partner:
    verdict = row["verdict"]
    return Partner(
        id=row["_id"],
        owner=row["owner"],
        state=PartnerState(row["state"]),
        name=row["name"],
        website=row["website"],
        plan=row["plan"],
        commission_bp=row["commission_bp"],
        version=row["version"],
        verdict=None if verdict is None else _verdict_from(verdict),
        appeal=row["appeal"],
        appealed_at=row["appealed_at"],
        appeal_used=row["appeal_used"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        rethought=row.get("rethought", False),  # those from before it was counted have none
        appeal_until=row.get("appeal_until"),
    )


def _verdict_from(row: Document) -> Verdict:
    return Verdict(PartnershipDecision(row["decision"]), PartnershipReason(row["reason_code"]), row["note"], row["at"])
