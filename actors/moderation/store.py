"""Every query on the collection `moderation_cases`.

`open_key` says what an open case is about; it is unique and goes with the case's end, so that there is one open case of
each and any number of closed ones. A claim is part of the case: who takes, prolongs or decides writes that one document
on a condition, and of two at once MongoDB lets one through.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from pydantic import TypeAdapter

from promptforge.actors.moderation.checks.findings import findings_of, worst
from promptforge.actors.moderation.checks.messages import Finding
from promptforge.actors.moderation.domain import concerns, open_key, opens_once, shown_to_party
from promptforge.actors.moderation.duplicates.store import HELD as FINGERPRINT_HELD
from promptforge.actors.moderation.duplicates.store import INDEXES as FINGERPRINT_INDEXES
from promptforge.actors.moderation.errors import AlreadyDecided, CaseClaimed, CaseObsolete, NotClaimed
from promptforge.actors.moderation.history import HELD as HISTORY_HELD
from promptforge.actors.moderation.history import INDEXES as HISTORY_INDEXES
from promptforge.actors.moderation.messages import (
    CaseKind,
    CaseOrder,
    CaseState,
    CaseView,
    ClaimedBy,
    ClaimView,
    DecideCase,
    ListCases,
    OpenCase,
    RecommendationView,
    Verdict,
)
from promptforge.actors.moderation.people import HELD as PEOPLE_HELD
from promptforge.actors.moderation.people import CasePeople
from promptforge.actors.moderation.recommending.store import HELD as SPENDING_HELD
from promptforge.actors.moderation.recommending.store import INDEXES as SPENDING_INDEXES
from promptforge.core.errors import NotFound, PromptForgeError
from promptforge.core.ids import new_id
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.pages import Cursor, Page, page_of
from promptforge.core.personal import CLEARED, EMPTIED, REDACTED, Held, Subject, marks

CASES = "moderation_cases"

INDEXES: dict[str, tuple[Index, ...]] = {
    CASES: (
        Index((("open_key", 1),), unique=True, partial={"open_key": {"$exists": True}}),
        Index((("listing_id", 1), ("kind", 1), ("revision", 1))),
        Index((("state", 1), ("created_at", -1), ("_id", -1))),
        Index((("state", 1), ("kind", 1), ("created_at", -1), ("_id", -1))),
        Index((("decided_at", -1),), partial={"state": CaseState.DECIDED.value}),
        Index((("seller_id", 1),)),
        Index((("brought_by", 1),)),
        Index((("brought_by.0", 1),)),
        Index((("subject", 1),), partial={"subject": {"$exists": True}}),
    ),
    **HISTORY_INDEXES,
    **SPENDING_INDEXES,
    **FINGERPRINT_INDEXES,
}
_APPEALED = {"kind": {"$in": [CaseKind.APPEAL.value, CaseKind.SALE_APPEAL.value]}}
"""The words are the seller's own; in every other kind they are those of whoever brought it up first."""
HELD = {
    CASES: Held(
        "Cases of moderators about what you offered, bought or reported",
        (
            Subject("seller_id", marks(REDACTED, "title", "reason"), where=_APPEALED),
            Subject(
                "seller_id",
                {
                    **marks(REDACTED, "title"),
                    **marks(EMPTIED, "findings", "reported"),
                    **marks(CLEARED, "recommendation"),
                },
            ),
            Subject("seller_id", marks(REDACTED, "reason"), exported=False),  # what others say of them
            Subject("brought_by.0", marks(REDACTED, "reason")),
            Subject("brought_by"),  # those who came after the first, whose words are not in it
            Subject("subject", marks(EMPTIED, "reported"), of="reviews"),  # of theirs, which others reported
        ),
        plain=frozenset(
            {
                "_id",
                "listing_id",
                "subject",
                "open_key",
                "kind",
                "state",
                "claim.*",
                "decision",
                "reason_code",
                "public_note",
                "decided_by",
                "purchase_id",
                "against",
            }
        ),
        secret=frozenset({"internal_note", "claim", "findings", "recommendation", "brought_by"}),
    ),
    **HISTORY_HELD,
    **PEOPLE_HELD,
    **SPENDING_HELD,
    **FINGERPRINT_HELD,
}
MOST_PEOPLE = 1000
"""Who brought up one case; those who come later are counted and kept beside it."""
MOST_REPORTED = 20
"""Editions of what is reported; half as many for those who have reported it before."""

MOST_DECIDED = 5000
_recommendations = TypeAdapter(RecommendationView)


@dataclass(frozen=True, slots=True)
class Waiting:
    """The open cases of a kind."""

    open: int
    claimed: int
    oldest_at: datetime


class CaseStore:
    """`claim_for`: how long a claim counts that nobody prolongs."""

    def __init__(self, mongo: Mongo, *, claim_for: timedelta = timedelta(minutes=30)) -> None:
        self._cases = mongo.collection(CASES)
        self._people = CasePeople(mongo)
        self._claim_for = claim_for

    # Opening

    async def open(self, message: OpenCase, *, now: datetime, session: Session) -> str | None:
        """The new case's id; None where it is open already, or was and is not opened twice.

        Only in a transaction: what was found there is still so when it is written.
        """
        if opens_once(message.kind):
            passed = {"$gte": message.revision}  # its own, or a later one whose job came first
            there = {"listing_id": message.listing_id, "kind": message.kind.value, "revision": passed}
            if await self._cases.find_one(there, {"_id": 1}, session=session):
                return None
        key = {"open_key": open_key(message)}
        known = await self._cases.find_one(key, {"brought_by": 1, "reported": 1}, session=session)
        if known is not None and opens_once(message.kind):
            return None
        await self._add_reported(known, message, session)
        if known is not None and not await self._is_another(known, message, session):
            return None
        case_id = new_id("cas")
        update: Document = {"$setOnInsert": _opened(case_id, message, now), "$inc": {"times": 1}}
        if message.brought_by is not None and len(known["brought_by"] if known else ()) < MOST_PEOPLE:
            update["$push"] = {"brought_by": message.brought_by}
        elif known is None:
            update["$setOnInsert"]["brought_by"] = []
        row = await self._cases.find_one_and_upsert(key, update, session=session)
        if opens_once(message.kind):
            await self._close_older(message, now, session)
        return case_id if row["_id"] == case_id else None

    async def _add_reported(self, known: Document | None, message: OpenCase, session: Session) -> None:
        """Also where somebody reports it again: it was changed since. Half of the room is kept for others, or whoever
        changes it and reports each version would leave none for the one that matters.
        """
        if known is None or message.reported is None:
            return
        again = message.brought_by in known["brought_by"]
        if len(known.get("reported", ())) < (MOST_REPORTED // 2 if again else MOST_REPORTED):
            update = {"$addToSet": {"reported": message.reported}}
            await self._cases.update_one({"_id": known["_id"]}, update, session=session)

    async def _is_another(self, known: Document, message: OpenCase, session: Session) -> bool:
        """Whether somebody who brings it up is none of those who have already."""
        if message.brought_by is None:
            return True
        if message.brought_by in known["brought_by"]:
            return False
        full = len(known["brought_by"]) >= MOST_PEOPLE
        return not full or await self._people.add(known["_id"], message.brought_by, session=session)

    async def _close_older(self, message: OpenCase, now: datetime, session: Session) -> None:
        """Of an earlier revision there is nothing to decide; who has claimed one hears that when they decide it."""
        older = {
            "listing_id": message.listing_id,
            "kind": message.kind.value,
            "revision": {"$lt": message.revision},
            "state": CaseState.OPEN.value,
            "$or": [{"claim": None}, {"claim.until": {"$lte": now}}],
        }
        update = {"$set": {"state": CaseState.OBSOLETE.value, "claim": None}, "$unset": {"open_key": ""}}
        await self._cases.update_many(older, update, session=session)

    # Looking

    async def get(self, case_id: str, *, now: datetime, session: Session | None = None) -> CaseView:
        """Raises `NotFound`."""
        return _case_from(await self._row(case_id, session), now)

    async def list_bringers(self, case_id: str, *, session: Session | None) -> tuple[str, ...]:
        """Through whom the case came up, the first `MOST_PEOPLE` of them."""
        row = await self._cases.find_one({"_id": case_id}, {"brought_by": 1}, session=session)
        return tuple(row["brought_by"]) if row is not None else ()

    async def list_page(
        self, wanted: ListCases, moderator_id: str, *, people: Collection[str], now: datetime
    ) -> Page[CaseView]:
        """`people`: the moderator's accounts, who see less of what concerns them."""
        parts: list[Document] = [{"state": wanted.state.value}]
        if wanted.kind is not None:
            parts.append({"kind": wanted.kind.value})
        if wanted.claimed_by is not None:
            parts.append(_claimed(wanted.claimed_by, moderator_id, now))
        oldest_first = wanted.order is CaseOrder.OLDEST
        cursor = Cursor.decode_optional(wanted.cursor)
        if cursor is not None:
            parts.append(_before(cursor) if oldest_first else cursor.after())
        direction = 1 if oldest_first else -1
        rows = self._cases.find({"$and": parts}).sort([("created_at", direction), ("_id", direction)])
        found = await rows.limit(wanted.limit + 1).to_list(wanted.limit + 1)
        return page_of(found, wanted.limit, lambda row: _shown_to(people, row, now))

    async def list_waiting(self, *, now: datetime) -> dict[CaseKind, Waiting]:
        """The kinds of which there is an open case."""
        claimed = {"$cond": [{"$gt": ["$claim.until", now]}, 1, 0]}
        counted = {"open": {"$sum": 1}, "claimed": {"$sum": claimed}, "oldest_at": {"$min": "$created_at"}}
        stages: list[Document] = [{"$match": {"state": CaseState.OPEN.value}}, {"$group": {"_id": "$kind", **counted}}]
        rows = await self._cases.aggregate(stages).to_list(len(CaseKind))
        return {CaseKind(row["_id"]): Waiting(row["open"], row["claimed"], row["oldest_at"]) for row in rows}

    async def find_refuser(self, case: CaseView, *, session: Session | None) -> str | None:
        """Who refused the refund that an appeal is against."""
        refused = {
            "listing_id": case.listing_id,
            "kind": CaseKind.REFUND.value,
            "purchase_id": case.purchase_id,
            "decision": Verdict.DISMISS.value,
        }
        row = await self._cases.find_one(refused, {"decided_by": 1}, session=session)
        return None if row is None else row["decided_by"]

    async def find_decider(self, case_id: str, *, session: Session | None) -> str | None:
        row = await self._cases.find_one({"_id": case_id}, {"decided_by": 1}, session=session)
        return None if row is None else row.get("decided_by")

    async def find_decided_before(self, case: CaseView, *, session: Session | None) -> datetime:
        """When the last case about the same ended in a decision; long ago where there was none."""
        same = {"listing_id": case.listing_id, "kind": case.kind.value, "subject": case.subject}
        wanted = {**same, "_id": {"$ne": case.id}, "decided_at": {"$lte": case.created_at}}
        row = await self._cases.find_one(wanted, {"decided_at": 1}, sort=[("decided_at", -1)], session=session)
        return datetime.min.replace(tzinfo=UTC) if row is None else row["decided_at"]

    async def list_durations(self, *, since: datetime) -> dict[CaseKind, list[timedelta]]:
        """From opening to decision, of the newest `MOST_DECIDED` since then."""
        wanted = {"state": CaseState.DECIDED.value, "decided_at": {"$gte": since}}
        rows = self._cases.find(wanted, {"kind": 1, "created_at": 1, "decided_at": 1}).sort([("decided_at", -1)])
        took: dict[CaseKind, list[timedelta]] = {}
        for row in await rows.limit(MOST_DECIDED).to_list(MOST_DECIDED):
            took.setdefault(CaseKind(row["kind"]), []).append(row["decided_at"] - row["created_at"])
        return took

    # Findings

    async def list_findings(self, case_id: str, *, session: Session | None = None) -> tuple[Finding, ...]:
        """The worst first."""
        return findings_of(await self._row(case_id, session))

    async def keep_findings(
        self, case_id: str, source: str, findings: Sequence[Finding], *, session: Session | None
    ) -> None:
        """In the place of what the same source found before."""
        found = [asdict(finding) for finding in findings]
        await self._cases.update_one({"_id": case_id}, {"$set": {f"findings.{source}": found}}, session=session)

    async def add_findings(
        self, case_id: str, source: str, findings: Sequence[Finding], *, session: Session | None
    ) -> None:
        """Beside what the same source found before."""
        found = [asdict(finding) for finding in findings]
        changes = {"$push": {f"findings.{source}": {"$each": found}}}
        await self._cases.update_one({"_id": case_id}, changes, session=session)

    async def keep_checked(self, case_id: str, *, now: datetime, session: Session | None) -> None:
        await self._cases.update_one({"_id": case_id}, {"$set": {"checked_at": now}}, session=session)

    async def find_checked(self, case_id: str, *, session: Session | None) -> datetime:
        """When the checks have last run; where they have not, when the case was opened."""
        row = await self._row(case_id, session)
        checked_at: datetime = row.get("checked_at") or row["created_at"]
        return checked_at

    # What a model would decide

    async def find_recommendation(self, case_id: str, *, session: Session | None = None) -> RecommendationView | None:
        row = (await self._row(case_id, session)).get("recommendation")
        return None if row is None else _recommendations.validate_python(row)

    async def keep_recommendation(self, case_id: str, made: RecommendationView, *, session: Session | None) -> None:
        """Once: the first one stays."""
        none_yet = {"_id": case_id, "recommendation": None}
        row = _recommendations.dump_python(made, mode="python")
        row = {name: value.value if isinstance(value, StrEnum) else value for name, value in row.items()}
        await self._cases.update_one(none_yet, {"$set": {"recommendation": row}}, session=session)

    # Claims

    async def claim(self, case_id: str, moderator_id: str, *, now: datetime, session: Session | None) -> CaseView:
        """Take the case, or keep it for longer. Raises `CaseClaimed`, `AlreadyDecided` or `CaseObsolete`."""
        free = {"$or": [{"claim": None}, {"claim.until": {"$lte": now}}, {"claim.by": moderator_id}]}
        row = await self._cases.find_one_and_update(
            {"_id": case_id, "state": CaseState.OPEN.value, **free},
            [{"$set": {"claim": self._claim(moderator_id, now)}}],
            session=session,
        )
        if row is None:
            raise await self._why_not(case_id, now, session)
        return _case_from(row, now)

    async def prolong(self, case_id: str, moderator_id: str, *, now: datetime, session: Session | None) -> CaseView:
        """Raises `NotClaimed` where the claim is not theirs any more."""
        row = await self._cases.find_one_and_update(
            _held(case_id, moderator_id, now), {"$set": {"claim.until": now + self._claim_for}}, session=session
        )
        if row is None:
            await self._row(case_id, session)
            raise NotClaimed
        return _case_from(row, now)

    async def release(self, case_id: str, moderator_id: str, *, now: datetime, session: Session | None) -> CaseView:
        """Nothing changes where the claim is not theirs. Raises `NotFound`."""
        mine = {"_id": case_id, "claim.by": moderator_id}
        row = await self._cases.find_one_and_update(mine, {"$set": {"claim": None}}, session=session)
        return _case_from(row or await self._row(case_id, session), now)

    def _claim(self, moderator_id: str, now: datetime) -> Document:
        """Who prolongs their claim has had it since they took it."""
        mine = {"$and": [{"$eq": ["$claim.by", moderator_id]}, {"$gt": ["$claim.until", now]}]}
        return {
            "by": {"$literal": moderator_id},
            "at": {"$cond": [mine, "$claim.at", now]},
            "until": now + self._claim_for,
        }

    async def _why_not(self, case_id: str, now: datetime, session: Session | None) -> PromptForgeError:
        case = await self.get(case_id, now=now, session=session)
        if case.state is CaseState.DECIDED:
            return AlreadyDecided()
        if case.state is CaseState.OBSOLETE:
            return CaseObsolete()
        until = case.claim.claimed_until.isoformat() if case.claim is not None else None
        return CaseClaimed(extra={"claimed_until": until})

    # Ending

    async def decide(
        self, message: DecideCase, moderator_id: str, *, now: datetime, session: Session | None
    ) -> CaseView:
        """Open → decided. Raises `NotClaimed` where the claim is not theirs any more."""
        decided = {
            "state": CaseState.DECIDED.value,
            "decision": message.decision.value,
            "reason_code": message.reason_code,
            "public_note": message.public_note,
            "internal_note": message.internal_note,
            "decided_by": moderator_id,
            "decided_at": now,
        }
        row = await self._end(_held(message.case_id, moderator_id, now), decided, session)
        if row is None:
            raise NotClaimed
        return _case_from(row, now)

    async def close_obsolete(self, case: CaseView, *, session: Session | None) -> bool:
        """Open → obsolete; a case that has ended stays as it is. Answers whether it was open."""
        still = {"_id": case.id, "state": CaseState.OPEN.value}
        return await self._end(still, {"state": CaseState.OBSOLETE.value}, session) is not None

    async def _end(self, wanted: Document, changes: Document, session: Session | None) -> Document | None:
        update = {"$set": {**changes, "claim": None}, "$unset": {"open_key": ""}}
        return await self._cases.find_one_and_update(wanted, update, session=session)

    async def _row(self, case_id: str, session: Session | None) -> Document:
        row = await self._cases.find_one({"_id": case_id}, session=session)
        if row is None:
            raise NotFound("There is no such case")
        return row


def _opened(case_id: str, message: OpenCase, now: datetime) -> Document:
    return {
        "_id": case_id,
        "state": CaseState.OPEN.value,
        "kind": message.kind.value,
        "listing_id": message.listing_id,
        "revision": message.revision,
        "seller_id": message.seller_id,
        "title": message.title,
        "reason": message.reason,
        "purchase_id": message.purchase_id,
        "subject": message.subject,
        "against": message.against,
        "reported": [] if message.reported is None else [message.reported],
        "claim": None,
        "findings": {},
        "created_at": now,
    }


def _held(case_id: str, moderator_id: str, now: datetime) -> Document:
    return {
        "_id": case_id,
        "state": CaseState.OPEN.value,
        "claim.by": moderator_id,
        "claim.until": {"$gt": now},
    }


def _claimed(by: ClaimedBy, moderator_id: str, now: datetime) -> Document:
    match by:
        case ClaimedBy.NOBODY:
            return {"$or": [{"claim": None}, {"claim.until": {"$lte": now}}]}
        case ClaimedBy.ME:
            return {"claim.by": moderator_id, "claim.until": {"$gt": now}}
        case ClaimedBy.OTHERS:
            return {"claim.by": {"$ne": moderator_id}, "claim.until": {"$gt": now}}


def _before(cursor: Cursor) -> Document:
    """The rows that follow where the oldest come first."""
    at = cursor.created_at
    return {"$or": [{"created_at": {"$gt": at}}, {"created_at": at, "_id": {"$gt": cursor.id}}]}


def _case_from(row: Document, now: datetime) -> CaseView:
    decision = row.get("decision")
    return CaseView(
        id=row["_id"],
        kind=CaseKind(row["kind"]),
        state=CaseState(row["state"]),
        listing_id=row["listing_id"],
        revision=row["revision"],
        seller_id=row["seller_id"],
        title=row["title"],
        reason=row["reason"],
        purchase_id=row["purchase_id"],
        times=row["times"],
        severity=worst(findings_of(row)),
        claim=_claim_from(row["claim"], now),
        decision=None if decision is None else Verdict(decision),
        reason_code=row.get("reason_code"),
        public_note=row.get("public_note"),
        internal_note=row.get("internal_note"),
        decided_by=row.get("decided_by"),
        decided_at=row.get("decided_at"),
        created_at=row["created_at"],
        subject=row.get("subject"),
        against=row.get("against"),
        reported=tuple(row.get("reported", ())),
    )


def _shown_to(people: Collection[str], row: Document, now: datetime) -> CaseView:
    case = _case_from(row, now)
    return shown_to_party(case) if concerns(case, row["brought_by"], people) else case


def _claim_from(claim: Document | None, now: datetime) -> ClaimView | None:
    """None where it has ended."""
    if claim is None or claim["until"] <= now:
        return None
    return ClaimView(claim["by"], claim["at"], claim["until"])
