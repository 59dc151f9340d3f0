"""Adds up the ledger by day, and tells the figures up to this moment: what is added up, and what has come since."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import partial

from promptforge.actors.analytics.market.domain import DaySum, Span, by_day, together, told
from promptforge.actors.analytics.market.messages import (
    FoldMarket,
    GetMarketFigures,
    MarketDay,
    MarketView,
    ScanMarket,
)
from promptforge.actors.analytics.market.store import MarketStore
from promptforge.actors.billing.figures.messages import JournalFigures, ScanJournals
from promptforge.actors.marketplace.insights.messages import SumViews
from promptforge.core.context import Context
from promptforge.core.pages import Scan
from promptforge.core.runtime import Actor, handles


class MarketFiguresActor(Actor):
    name = "market_figures"
    asks = ("figures", "insights")
    workers = 2

    def __init__(self, store: MarketStore) -> None:
        self._store = store

    @handles(FoldMarket)
    async def fold(self, message: FoldMarket, context: Context) -> int:
        folded = 0
        while True:
            mark = await self._store.get_mark()
            piece = await context.ask(ScanJournals(after=mark, settled=True))
            if not piece.rows:
                return folded
            days, following = by_day(piece.rows), piece.rows[-1].place
            if await context.transaction(partial(self._add, days, mark, following)):
                folded += len(piece.rows)

    async def _add(self, days: dict[date, DaySum], mark: str | None, following: str, tx: Context) -> bool:
        return await self._store.add(days, mark=mark, following=following, session=tx.session)

    @handles(GetMarketFigures)
    async def get_figures(self, message: GetMarketFigures, context: Context) -> MarketView:
        return await self._told(message.days, context)

    @handles(ScanMarket)
    async def scan(self, message: ScanMarket, context: Context) -> Scan[MarketDay]:
        first = await self._store.first_day() or context.now().date()
        days = (await self._told((context.now().date() - first).days + 1, context)).days
        return Scan(days, None, len(days))

    async def _told(self, days: int, context: Context) -> MarketView:
        until = context.now().date() + timedelta(days=1)
        span = Span(until - timedelta(days=days), until)

        async def since(mark: str | None) -> dict[date, DaySum]:
            return by_day(await _journals_after(mark, context))

        folded = await self._store.read(span, since)
        recent, buyers = folded.recent, folded.buyers
        for buyer_id, known in folded.known.items():
            bought = {day for day, one in recent.items() if buyer_id in one.buyers}
            buyers = buyers.with_one(known, bought, span)
        sums = {
            day: together([one[day] for one in (folded.days, recent) if day in one]) for day in {*folded.days, *recent}
        }
        seen = await context.ask(SumViews(since=_start(span.since), until=_start(span.until)))
        return told(span, sums, buyers, {one.day: one.views for one in seen})


async def _journals_after(mark: str | None, context: Context) -> list[JournalFigures]:
    """All that the job has yet to add up: those of some minutes, where it runs as it should."""
    found: list[JournalFigures] = []
    after = mark
    while True:
        piece = await context.ask(ScanJournals(after=after))
        found += piece.rows
        if piece.next is None:
            return found
        after = piece.next


def _start(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
