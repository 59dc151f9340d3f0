"""Asking Stripe how a connected account stands, and keeping the answer. Events only say that it is time to ask."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

from promptforge.actors.billing.connect.domain import ConnectAccount
from promptforge.actors.billing.connect.store import ConnectStore
from promptforge.actors.billing.ledger.transaction import session_of
from promptforge.actors.billing.links.learning import learn_instruments
from promptforge.actors.billing.links.store import LinkStore
from promptforge.actors.billing.notices import bank_details_changed
from promptforge.actors.billing.stripe.connect import AccountFacts, ConnectedAccounts
from promptforge.core.context import Context

Keep = Callable[[Context], Awaitable[ConnectAccount | None]]
"""Keeps what Stripe answered; None where no seller has this account."""


class ConnectRefresher:
    def __init__(self, store: ConnectStore, accounts: ConnectedAccounts, links: LinkStore) -> None:
        self._store = store
        self._accounts = accounts
        self._links = links

    async def ask(self, account_id: str, *, asked_at: datetime) -> Keep:
        """Ask, and answer what is to be done in a transaction. Raises what `ConnectedAccounts` does."""
        facts = await self._accounts.get(account_id)

        async def keep(tx: Context) -> ConnectAccount | None:
            account = await self._store.find_by_account(account_id, session=session_of(tx))
            if account is None:
                return None
            told = account.told(facts, asked_at=asked_at)
            if await self._store.has_left(account.user_id, session=session_of(tx)):
                return told  # nothing is kept any more of who has left
            if told is not account:
                await self._store.put_facts(told, session=session_of(tx))
                await learn_instruments(self._links, told.user_id, facts.instruments, tx)
                await _tell_of_changed_bank(account, facts, tx)
            return told

        return keep

    async def refresh(self, account_id: str, context: Context) -> ConnectAccount | None:
        """None where no seller has this account."""
        return await context.transaction(await self.ask(account_id, asked_at=context.now()))


async def _tell_of_changed_bank(before: ConnectAccount, facts: AccountFacts, tx: Context) -> None:
    """Whoever has taken over an account changes its bank details first: the owner hears of it."""
    known = before.facts.bank if before.facts else None
    if facts.bank == known:
        return
    await tx.audit("connect.bank_details", before.user_id, before={"bank": known}, after={"bank": facts.bank})
    if known is not None:
        await tx.enqueue(bank_details_changed(before.user_id, facts.bank or "none"))
