"""What was decided about accounts, and why: `account_events`, to which rows are only ever added."""

from __future__ import annotations

from datetime import datetime

from promptforge.actors.users.staff.messages import AccountEvent, AccountEventView, AccountReason, SuspensionView
from promptforge.core.ids import new_id
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.pages import Cursor, Page, page_of
from promptforge.core.personal import Erased, Held, Subject, kept

EVENTS = "account_events"
INDEXES: dict[str, tuple[Index, ...]] = {EVENTS: (Index((("user_id", 1), ("created_at", -1), ("_id", -1))),)}
HELD = {
    EVENTS: Held(
        "What administrators decided about your account, and why, and what you said against it",
        (
            Subject(
                "user_id",
                {
                    "reason": kept(
                        "a decision's statement of reasons", years=6, since="created_at", then=Erased.REDACTED
                    )
                },
            ),
        ),
        plain=frozenset({"event", "by", "reason_code"}),
    )
}


class AccountHistory:
    """It has no method that changes or removes a row."""

    def __init__(self, mongo: Mongo) -> None:
        self._events = mongo.collection(EVENTS)

    async def add(
        self,
        user_id: str,
        event: AccountEvent,
        why: tuple[AccountReason, str],
        *,
        by: str,
        at: datetime,
        session: Session | None,
    ) -> None:
        code, words = why
        row = {"_id": new_id("aev"), "user_id": user_id, "event": event.value, "reason": words, "by": by}
        await self._events.insert_one({**row, "reason_code": code.value, "created_at": at}, session=session)

    async def take_up(self, user_id: str, suspension: SuspensionView, *, session: Session | None) -> None:
        """A suspension from before there was a history is in it before what comes after it.

        Only in a transaction that writes the account: of two at once one begins again.
        """
        there = {"user_id": user_id, "event": AccountEvent.SUSPENDED.value, "created_at": suspension.at}
        if await self._events.find_one(there, {"_id": 1}, session=session) is None:
            why, by = (suspension.reason_code, suspension.reason), suspension.by
            await self.add(user_id, AccountEvent.SUSPENDED, why, by=by, at=suspension.at, session=session)

    async def list_page(self, user_id: str, *, cursor: Cursor | None, limit: int) -> Page[AccountEventView]:
        """Newest first."""
        wanted: Document = {"user_id": user_id, **(cursor.after() if cursor else {})}
        rows = self._events.find(wanted).sort([("created_at", -1), ("_id", -1)]).limit(limit + 1)
        return page_of(await rows.to_list(limit + 1), limit, _event_from)


def _event_from(row: Document) -> AccountEventView:
    code = row.get("reason_code")
    return AccountEventView(
        event=AccountEvent(row["event"]),
        reason=row["reason"],
        reason_code=None if code is None else AccountReason(code),
        by=row["by"],
        at=row["created_at"],
    )
