"""Who may have earnings paid out: whoever sells, and whoever has earned, whatever roles they have by now."""

from __future__ import annotations

from promptforge.actors.billing.connect.store import ConnectStore
from promptforge.actors.billing.errors import NothingEarned
from promptforge.actors.billing.ledger.sales.store import SaleStore
from promptforge.actors.billing.ledger.store import LedgerStore
from promptforge.core.context import Context
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Role

_NOTHING = (
    "Payouts are for what was earned by sales of one's own, or by sales referred as a partner, and you have none yet. "
    "To sell something, ask an administrator for the role seller; to refer sales, apply for a partnership (POST "
    "/partnerships), and once it is approved share its links"
)


class Earners:
    """A role is given and taken by administrators; what was earned is its owner's, and needs none.

    A sale, a referred one and an account at Stripe stay known, so nobody loses this by what happens meanwhile. How much
    there is to pay out is for the ledger to say.
    """

    def __init__(self, mongo: Mongo) -> None:
        self._sales = SaleStore(mongo)
        self._entries = LedgerStore(mongo)
        self._accounts = ConnectStore(mongo)

    async def expect(self, context: Context) -> None:
        """That the caller is one. Raises `NothingEarned`."""
        if context.principal is not None and context.principal.has_role(Role.SELLER):
            return
        user_id, session = context.user_id, context.session
        if await self._accounts.find(user_id, session=session) is not None:
            return
        if await self._sales.has_brought(user_id, session=session):
            return
        if not (await self._entries.get_holdings(user_id, session=session)).earned:
            raise NothingEarned(_NOTHING)
