"""Every query on `sealed_accounts`: what somebody, with those whose cards they share, has done with a sealed prompt.

There is one document for each prompt and group of linked accounts, whatever listings offer it, named for the group's
head; every trial and every output that gave something away writes it: of two at the same moment one starts over and
sees the other. Groups that are joined later have several; they are read together, and written at the new head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from promptforge.actors.marketplace.sealed.matching import joined
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.personal import nobody

ACCOUNTS = "sealed_accounts"
INDEXES: dict[str, tuple[Index, ...]] = {ACCOUNTS: (Index((("prompt_id", 1), ("head", 1))),)}
HELD = {
    ACCOUNTS: nobody("How much of a sealed prompt has come out, by internal ids"),
}


@dataclass(frozen=True, slots=True)
class Account:
    """`matches` since a moderator last looked; `copied`: by version, the blocks that outputs have ever shown.

    `barred`: a moderator has found that they were after the text. It is for good, unless an appeal is granted.
    """

    trials: int = 0
    matches: int = 0
    copied: tuple[tuple[int, bytes], ...] = ()
    stopped_at: datetime | None = None
    barred: bool = False
    barred_by: tuple[str, ...] = ()
    """The cases that it is for; none where it is from before they were named."""
    people: tuple[str, ...] = ()
    """Those whose outputs gave something away, since then."""

    def copied_by_version(self) -> dict[int, bytes]:
        found: dict[int, bytes] = {}
        for version, blocks in self.copied:
            found[version] = joined(found.get(version, b""), blocks)
        return found


class AccountStore:
    def __init__(self, mongo: Mongo) -> None:
        self._accounts = mongo.collection(ACCOUNTS)

    async def get(self, prompt_id: str, group: Sequence[str], *, session: Session | None = None) -> Account:
        """Those of all members together; zeros where there are none."""
        wanted = {"_id": {"$in": [_key(prompt_id, member) for member in group]}}
        rows = await self._accounts.find(wanted, session=session).to_list(None)
        return Account(
            trials=sum(row["trials"] for row in rows),
            matches=sum(row["matches"] for row in rows),
            copied=tuple((int(one), bytes(blocks)) for row in rows for one, blocks in row["copied"].items()),
            stopped_at=min((row["stopped_at"] for row in rows if row["stopped_at"] is not None), default=None),
            barred=any(row["barred"] or row.get("barred_by") for row in rows),
            barred_by=tuple(dict.fromkeys(case_id for row in rows for case_id in row.get("barred_by", ()))),
            people=tuple(dict.fromkeys(person for row in rows for person in row["people"])),
        )

    async def add_trial(self, prompt_id: str, head: str, *, session: Session | None) -> None:
        await self._write(prompt_id, head, {"$inc": {"trials": 1}}, session)

    async def add_shown(
        self, prompt_id: str, head: str, version: int, copied: bytes, *, session: Session | None
    ) -> None:
        """`copied`: all blocks that were shown of this version by now."""
        await self._write(prompt_id, head, {"$set": {f"copied.{version}": copied}}, session)

    async def add_match(self, prompt_id: str, head: str, user_id: str, *, session: Session | None) -> None:
        """Whose output was withheld, or had a trace."""
        await self._write(prompt_id, head, {"$inc": {"matches": 1}, "$addToSet": {"people": user_id}}, session)

    async def stop(self, prompt_id: str, head: str, *, now: datetime, session: Session | None) -> None:
        await self._write(prompt_id, head, {"$set": {"stopped_at": now}}, session)

    async def let_go(
        self, prompt_id: str, group: Sequence[str], *, barred_by: str | None, session: Session | None
    ) -> None:
        """Matches are counted from zero again, for those who may go on. What was shown stays shown.

        `barred_by`: the case that they may not go on for. Bars from before they named their case are plain `barred`.
        """
        wanted = {"_id": {"$in": [_key(prompt_id, member) for member in group]}}
        update: Document = {"$set": _UNCOUNTED}
        if barred_by is not None:
            update["$addToSet"] = {"barred_by": barred_by}
        await self._accounts.update_many(wanted, update, session=session)

    async def lift(self, prompt_id: str, case_id: str, *, session: Session | None) -> None:
        """Whom this case has barred may go on, unless another one has barred them too."""
        wanted = {"prompt_id": prompt_id, "barred_by": case_id}
        update: Document = {"$pull": {"barred_by": case_id}, "$set": _UNCOUNTED}
        await self._accounts.update_many(wanted, update, session=session)

    async def _write(self, prompt_id: str, head: str, change: Document, session: Session | None) -> None:
        new: Document = {"prompt_id": prompt_id, "head": head, **NEW}
        for fields in change.values():
            for name in fields:
                new.pop(name.split(".")[0], None)
        await self._accounts.find_one_and_upsert(
            {"_id": _key(prompt_id, head)}, {**change, "$setOnInsert": new}, session=session
        )


_UNCOUNTED: Document = {"matches": 0, "people": [], "stopped_at": None}
NEW: Document = {"trials": 0, "matches": 0, "copied": {}, "stopped_at": None, "barred": False, "people": []}


def _key(prompt_id: str, member: str) -> str:
    return f"{prompt_id}:{member}"
