"""Reads the ledger for others."""

from __future__ import annotations

from promptforge.actors.billing.figures.messages import (
    JournalFigures,
    LegView,
    RunIncome,
    ScanJournals,
    ScanLegs,
    ScanTransactions,
    SumRunIncome,
)
from promptforge.actors.billing.figures.store import FigureStore, settled_until
from promptforge.actors.billing.ledger.transaction import Ledger
from promptforge.actors.billing.ledger.views import transaction_view
from promptforge.actors.billing.messages import TransactionView
from promptforge.core.context import Context
from promptforge.core.pages import Cursor, Scan
from promptforge.core.runtime import Actor, handles


class FiguresActor(Actor):
    name = "figures"

    def __init__(self, store: FigureStore, ledger: Ledger) -> None:
        self._store = store
        self._ledger = ledger

    @handles(ScanTransactions)
    async def scan_transactions(self, message: ScanTransactions, context: Context) -> Scan[TransactionView]:
        cursor = Cursor.decode_optional(message.after)
        page = await self._ledger.entries.list_entries(message.user_id, cursor, message.limit)
        total = await self._store.count_entries(message.user_id) if cursor is None else None
        return Scan(tuple(transaction_view(entry) for entry in page.items), page.next, total)

    @handles(ScanJournals)
    async def scan_journals(self, message: ScanJournals, context: Context) -> Scan[JournalFigures]:
        until = settled_until(context.now()) if message.settled else None
        found = await self._store.scan_journals(message.after, message.limit, until=until)
        return Scan(tuple(found), found[-1].place if len(found) == message.limit else None)

    @handles(ScanLegs)
    async def scan_legs(self, message: ScanLegs, context: Context) -> Scan[LegView]:
        found = await self._store.scan_legs(message.after or "", message.limit)
        total = await self._store.count_legs() if message.after is None else None
        return Scan(tuple(found), found[-1].id if len(found) == message.limit else None, total)

    @handles(SumRunIncome)
    async def sum_run_income(self, message: SumRunIncome, context: Context) -> tuple[RunIncome, ...]:
        found = await self._store.run_income(message.seller_id, since=message.since, until=message.until)
        return tuple(found)
