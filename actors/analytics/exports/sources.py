"""Where rows come from: each source is read piece by piece through its own feature's messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from promptforge.actors.ai.messages import ScanUsage, UsageRecord
from promptforge.actors.analytics.events.messages import ScanEvents, StoredEvent
from promptforge.actors.analytics.exports.columns import Column, Kind, Row, columns
from promptforge.actors.analytics.exports.messages import ExportSource
from promptforge.actors.analytics.market.messages import MarketDay, ScanMarket
from promptforge.actors.billing.figures.messages import LegView, ScanLegs, ScanTransactions
from promptforge.actors.billing.messages import TransactionView
from promptforge.actors.marketplace.insights.messages import ScanPurchases, ScanSales
from promptforge.actors.marketplace.messages import PurchaseView, SaleView
from promptforge.core.messages import Query
from promptforge.core.pages import Scan
from promptforge.core.principal import Role

AT_ONCE = 1000
"""Rows of one piece."""
Ask = Callable[[str, str | None], Query[Scan[Any]]]
"""From a user's id and where to go on; the rows are of the source's own class."""


@dataclass(frozen=True, slots=True)
class Source:
    """`when` is the moment that a time's bounds are about. `newest_first`: what is older than asked for ends it."""

    columns: tuple[Column, ...]
    ask: Ask
    row: Callable[[Any], Row]  # Any: the source's own class
    when: Callable[[Any], datetime]
    newest_first: bool = False
    role: Role | None = None
    """Who may have it, where it is not everybody their own."""


_TEXT, _INTEGER, _MOMENT, _CREDITS = Kind.TEXT, Kind.INTEGER, Kind.MOMENT, Kind.CREDITS


def _usage_row(run: UsageRecord) -> Row:
    usage = run.usage
    return (
        *(run.run_id, run.timestamp, run.purpose, run.caller.value, run.outcome.value, run.error_code),
        *(run.model, run.provider, run.prompt_id, run.prompt_version),
        *(usage.input_tokens, usage.output_tokens, usage.estimated, usage.cost_microusd, usage.credits),
        *(usage.latency_ms, usage.first_token_ms),
    )


def _event_row(event: StoredEvent) -> Row:
    return (
        *(event.external_id, event.kind, event.at, event.value, event.prompt_id, event.prompt_version),
        *(event.variant, event.properties, event.received_at),
    )


def _sale_row(sale: SaleView) -> Row:
    return (
        *(sale.id, sale.created_at, sale.listing_id, sale.title),
        *(sale.price, sale.fee, sale.net, sale.refunded_at),
    )


def _purchase_row(bought: PurchaseView) -> Row:
    return (
        *(bought.id, bought.created_at, bought.listing_id, bought.title, bought.version, bought.licence.value),
        *(bought.price, bought.used_at, bought.refunded_at, bought.refund_policy),
    )


def _transaction_row(entry: TransactionView) -> Row:
    parts = " ".join(f"{part.account}:{part.amount}" for part in entry.parts)
    return (entry.id, entry.created_at, entry.kind, entry.amount, parts)


def _market_row(day: MarketDay) -> Row:
    one = day.figures
    return (
        *(_start(day.day), day.active_buyers, one.purchases, one.runs_sold, one.gmv, one.refunds, one.refunded),
        *(one.take, one.model_income, one.losses, one.views),
    )


def _start(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _leg_row(leg: LegView) -> Row:
    return (
        *(leg.id, leg.created_at, leg.journal_id, leg.kind, leg.account),
        *(leg.user_id, leg.amount, leg.lot, leg.source),
    )


SOURCES: Mapping[ExportSource, Source] = {
    ExportSource.USAGE: Source(
        columns(
            run_id=_TEXT,
            timestamp=_MOMENT,
            **dict.fromkeys(("purpose", "caller", "outcome", "error_code", "model", "provider", "prompt_id"), _TEXT),
            **dict.fromkeys(("prompt_version", "input_tokens", "output_tokens"), _INTEGER),
            estimated=Kind.BOOLEAN,
            cost_microusd=_INTEGER,
            credits=_CREDITS,
            **dict.fromkeys(("latency_ms", "first_token_ms"), _INTEGER),
        ),
        lambda user_id, after: ScanUsage(user_id=user_id, after=after, limit=AT_ONCE),
        _usage_row,
        lambda run: run.timestamp,
    ),
    ExportSource.EVENTS: Source(
        columns(
            external_id=_TEXT,
            kind=_TEXT,
            at=_MOMENT,
            value=Kind.NUMBER,
            prompt_id=_TEXT,
            prompt_version=_INTEGER,
            variant=_TEXT,
            properties=_TEXT,
            received_at=_MOMENT,
        ),
        lambda user_id, after: ScanEvents(user_id=user_id, after=after, limit=AT_ONCE),
        _event_row,
        lambda event: event.at,
    ),
    ExportSource.SALES: Source(
        columns(
            id=_TEXT,
            created_at=_MOMENT,
            listing_id=_TEXT,
            title=_TEXT,
            price=_CREDITS,
            fee=_CREDITS,
            net=_CREDITS,
            refunded_at=_MOMENT,
        ),
        lambda user_id, after: ScanSales(seller_id=user_id, after=after, limit=AT_ONCE),
        _sale_row,
        lambda sale: sale.created_at,
        newest_first=True,
    ),
    ExportSource.PURCHASES: Source(
        columns(
            id=_TEXT,
            created_at=_MOMENT,
            listing_id=_TEXT,
            title=_TEXT,
            version=_INTEGER,
            licence=_TEXT,
            price=_CREDITS,
            used_at=_MOMENT,
            refunded_at=_MOMENT,
            refund_policy=_TEXT,
        ),
        lambda user_id, after: ScanPurchases(buyer_id=user_id, after=after, limit=AT_ONCE),
        _purchase_row,
        lambda bought: bought.created_at,
        newest_first=True,
    ),
    ExportSource.TRANSACTIONS: Source(
        columns(id=_TEXT, created_at=_MOMENT, kind=_TEXT, amount=_CREDITS, parts=_TEXT),
        lambda user_id, after: ScanTransactions(user_id=user_id, after=after, limit=AT_ONCE),
        _transaction_row,
        lambda entry: entry.created_at,
        newest_first=True,
    ),
    ExportSource.MARKET: Source(
        columns(
            day=_MOMENT,
            active_buyers=_INTEGER,
            purchases=_INTEGER,
            runs_sold=_INTEGER,
            gmv=_CREDITS,
            refunds=_INTEGER,
            refunded=_CREDITS,
            take=_CREDITS,
            model_income=_CREDITS,
            losses=_CREDITS,
            views=_INTEGER,
        ),
        lambda _, _after: ScanMarket(),  # all of it is one piece
        _market_row,
        lambda day: _start(day.day),
        role=Role.ADMIN,
    ),
    ExportSource.LEDGER: Source(
        columns(
            id=_TEXT,
            created_at=_MOMENT,
            journal_id=_TEXT,
            kind=_TEXT,
            account=_TEXT,
            user_id=_TEXT,
            amount=_CREDITS,
            lot=_TEXT,
            source=_TEXT,
        ),
        lambda _, after: ScanLegs(after=after, limit=AT_ONCE),
        _leg_row,
        lambda leg: leg.created_at,
        role=Role.ADMIN,
    ),
}
