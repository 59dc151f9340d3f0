"""Users of the service before: the fields that a user has here, an internal id, and an account in the ledger."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import structlog
from bson import ObjectId

from promptforge.actors.billing.ledger.opening.domain import MARK, Unreadable, opening_journal, read_credits
from promptforge.actors.billing.ledger.opening.store import OpeningStore, opened
from promptforge.actors.users.domain import first_display_name
from promptforge.actors.users.store import USERS
from promptforge.core.mongo import Document, Mongo, Session, patiently
from promptforge.core.principal import Role
from promptforge.deploy.upgrade.batches import in_batches, replace_all
from promptforge.deploy.upgrade.identity import internal_id

BATCH = 250
LEFT: Document = {
    MARK: {"$exists": False},
    "$or": [
        {"_id": {"$not": {"$regex": "^usr_"}}},
        {"$and": [{"credits": {"$exists": True}}, {"credits": {"$not": {"$type": "object"}}}]},
    ],
}
"""Users who are not this service's: its ids begin with `usr_`, and its credits are a document, or not there yet."""
_TAKEN_OVER = frozenset({"_id", "uid", "email", "display_name", "bio", "avatar_url", "suspended", "created_at"})
"""The fields whose values mean the same here; all others are kept under the mark."""

log = structlog.get_logger(__name__)


async def open_accounts(mongo: Mongo) -> None:
    """Every old user becomes one of this service, and begins with what they had, in one transaction."""
    users, openings = mongo.collection(USERS), OpeningStore(mongo)

    async def work(rows: Sequence[Document], session: Session) -> None:
        now = datetime.now(UTC)
        made = [_user(row, now) for row in rows]
        journals = [opening_journal(row["_id"], amount) for row, amount, _ in made]
        new = [{**row, "credits": opened(journal)} for (row, _, _), journal in zip(made, journals, strict=True)]
        await replace_all(users, rows, new, session=session)
        await openings.post([one for one in journals if one is not None], now=now, session=session)

    await in_batches(mongo, USERS, LEFT, work, size=BATCH)
    with patiently():
        done = await users.count_documents({MARK: {"$exists": True}})
        left = await users.count_documents({f"{MARK}.reason": {"$type": "string"}})
    if done:
        log.info("upgrade.users", taken_over=done, credits_not_read=left)
    if left:
        log.warning("upgrade.credits_not_read", users=left, see="users with before_ledger.reason")


def _user(row: Document, now: datetime) -> tuple[Document, int, Unreadable | None]:
    """The user as they are stored here, without credits; what they had, in millicredits; why that could not be read."""
    amount = read_credits(row.get("credits"))
    reason = amount if isinstance(amount, Unreadable) else None
    made_at = _made_at(row, now)
    kept = {name: value for name, value in row.items() if name not in _TAKEN_OVER}
    user = {
        "_id": internal_id("usr", row["_id"]),
        "uid": row["uid"],
        "email": _text(row.get("email")),
        "handle": None,
        "display_name": first_display_name(_text(row.get("display_name")) or _text(row.get("name"))),
        "bio": _text(row.get("bio")),
        "avatar_url": _text(row.get("avatar_url")),
        "links": [],
        "roles": [Role.USER.value],  # more of them come with the next sign-in, from whoever may say so
        "suspended": row.get("suspended") is True,
        "said_at": -math.inf,
        "created_at": made_at,
        "updated_at": now,
        MARK: {"id": row["_id"], "reason": reason.value if reason else None, "kept": kept},
    }
    return user, 0 if isinstance(amount, Unreadable) else amount, reason


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _made_at(row: Document, now: datetime) -> datetime:
    """When the user was made, as far as the document says it."""
    made: Any = row.get("created_at")  # Any: whatever was stored
    if isinstance(made, datetime):
        return made
    if isinstance(made, str):
        try:
            told = datetime.fromisoformat(made)
        except ValueError:
            told = None
        if told is not None:
            return told if told.tzinfo else told.replace(tzinfo=UTC)
    return row["_id"].generation_time if isinstance(row["_id"], ObjectId) else now
