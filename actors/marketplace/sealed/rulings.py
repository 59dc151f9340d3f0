"""Every query on `sealed_rulings`: that somebody's runs were stopped for good, one document for each case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from promptforge.actors.marketplace.rulings.domain import Ruling
from promptforge.core.errors import NotFound
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.personal import Held, Subject, kept

RULINGS = "sealed_rulings"
INDEXES: dict[str, tuple[Index, ...]] = {
    RULINGS: (Index((("people", 1), ("listing_id", 1), ("created_at", -1))),),
}
_STATED = kept("a moderator's statement of reasons", years=6, since="created_at")
HELD = {
    RULINGS: Held(
        "Decisions of moderators about your runs of sealed prompts",
        (Subject("people", {"ruling": _STATED}),),
        plain=frozenset({"_id", "listing_id", "prompt_id", "subject"}),
        secret=frozenset({"people", "subject"}),
    ),
}


@dataclass(frozen=True, slots=True)
class RunsRuling:
    """`people`: those who were told of it, or have appealed it; `subject`: the account that the case named."""

    case_id: str
    listing_id: str
    prompt_id: str
    subject: str
    people: tuple[str, ...]
    ruling: Ruling


class RunsRulingStore:
    def __init__(self, mongo: Mongo) -> None:
        self._rulings = mongo.collection(RULINGS)

    async def insert(self, ruling: RunsRuling, *, now: datetime, session: Session | None) -> None:
        row = {
            "_id": ruling.case_id,
            "listing_id": ruling.listing_id,
            "prompt_id": ruling.prompt_id,
            "subject": ruling.subject,
            "people": list(ruling.people),
            "ruling": ruling.ruling,
            "created_at": now,
        }
        await self._rulings.insert_one(row, session=session)

    async def get(
        self, prompt_id: str, user_id: str, *, barred_by: Sequence[str], session: Session | None
    ) -> RunsRuling:
        """What bars somebody from a prompt's runs, or once did: of several the newest that can be appealed.

        `barred_by`: the cases that bar them now, told or not. Raises `NotFound`.
        """
        theirs = [{"_id": {"$in": list(barred_by)}}, {"people": user_id}]
        rows = self._rulings.find({"prompt_id": prompt_id, "$or": theirs}, session=session).sort([("created_at", -1)])
        found = [_ruling_from(row) for row in await rows.to_list(None)]  # a few moderators' decisions
        if not found:
            raise NotFound("Nobody has decided that your runs of this listing are stopped for good")
        return min(found, key=lambda one: (one.case_id not in barred_by, one.ruling["final"]))

    async def find(self, case_id: str, *, session: Session | None) -> RunsRuling | None:
        row = await self._rulings.find_one({"_id": case_id}, session=session)
        return None if row is None else _ruling_from(row)

    async def put(self, case_id: str, ruling: Ruling, *, session: Session | None) -> None:
        await self._rulings.update_one({"_id": case_id}, {"$set": {"ruling": ruling}}, session=session)

    async def appeal(self, case_id: str, ruling: Ruling, user_id: str, *, session: Session | None) -> None:
        """Whoever appeals hears what comes of it, also where they were not told of the ruling."""
        update = {"$set": {"ruling": ruling}, "$addToSet": {"people": user_id}}
        await self._rulings.update_one({"_id": case_id}, update, session=session)


def _ruling_from(row: Document) -> RunsRuling:
    return RunsRuling(
        row["_id"], row["listing_id"], row["prompt_id"], row["subject"], tuple(row["people"]), row["ruling"]
    )
