"""A quarter's report as lines of a file, of which an authority's form is made: one for each seller and currency."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields

from promptforge.actors.billing.sellers.messages import SellerDetails, SellerTotalsView
from promptforge.core.sheets import Value

_WHO = tuple(field.name for field in fields(SellerDetails) if field.name != "trader_email")
_SUMS = (
    *("sales", "gross", "fees", "net"),
    *("refunds", "refunded_gross", "refunded_fees", "refunded_net", "compensated"),
)
COLUMNS = (
    "seller_id",
    *_WHO,
    *_SUMS,
    "paid_out_currency",
    "paid_out_minor_units",
    "payouts",
    "added_up_at",
)
"""Sums are credits; they stand in a seller's first line only, so that a column can be added up."""


def lines_of(totals: SellerTotalsView) -> Iterator[Sequence[Value]]:
    """One line, and another one for each further currency in which they were paid out."""
    who: list[Value] = [getattr(totals.details, name, None) for name in _WHO]
    sums: list[Value] = [getattr(totals, name) for name in _SUMS]
    none: list[Value] = [None] * len(sums)
    paid: list[list[Value]] = [[one.currency, one.amount, one.payouts] for one in totals.paid_out]
    if not paid:
        paid.append([None, None, None])
    for number, money in enumerate(paid):
        yield [totals.seller_id, *who, *(none if number else sums), *money, totals.added_up_at]
