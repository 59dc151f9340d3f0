"""Takes what is left of gifts that have expired, and tells their owners before."""

from __future__ import annotations

from promptforge.actors.billing.ledger.adjustments.commands import MOST_LOTS, expire
from promptforge.actors.billing.ledger.messages import ExpireCredits, ExpireLots, WarnOfExpiry
from promptforge.actors.billing.ledger.transaction import Ledger
from promptforge.actors.billing.notices import credits_expired, credits_expiring
from promptforge.core.context import Context
from promptforge.core.failpoints import reach
from promptforge.core.runtime import Actor, handles

USERS_AT_ONCE = 500


class GiftExpiryActor(Actor):
    """Each user's is a job of its own, as with settlement; twice at once takes nothing twice."""

    name = "gift_expiry"

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @handles(ExpireLots)
    async def expire_lots(self, message: ExpireLots, context: Context) -> int:
        found, after = 0, ""
        while users := await self._ledger.entries.list_with_expired(context.now(), after=after, limit=USERS_AT_ONCE):
            for user_id in users:
                await context.enqueue(ExpireCredits(user_id=user_id), unique=f"expire:{user_id}")
            found, after = found + len(users), users[-1]
        return found

    @handles(ExpireCredits, key="user_id")
    async def expire_credits(self, message: ExpireCredits, context: Context) -> int:
        """In transactions of a bounded size."""
        expired = 0
        while True:
            lots = await context.transaction(lambda tx: self._expire(message.user_id, tx))
            expired += lots
            if lots < MOST_LOTS:
                return expired

    async def _expire(self, user_id: str, tx: Context) -> int:
        posted = await expire(self._ledger.open(tx), user_id)
        for journal in posted:
            await tx.enqueue(credits_expired(journal.id, user_id, journal.refs["expired"]))
            await tx.audit("credits.expired", user_id, after={"journal_id": journal.id, **journal.refs})
        reach("expiry.before_commit")
        return len(posted)

    @handles(WarnOfExpiry, atomic=True)
    async def warn(self, message: WarnOfExpiry, context: Context) -> None:
        """Nothing is said where all of it was spent."""
        holdings = await self._ledger.entries.get_holdings(message.user_id, session=context.session)
        for lot in holdings.lots:
            if lot.id == message.lot and lot.expires_at is not None:
                await context.enqueue(credits_expiring(lot.id, message.user_id, lot.remaining, lot.expires_at))
