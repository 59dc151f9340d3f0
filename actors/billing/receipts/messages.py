"""Receipts, as their buyer sees them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from annotated_types import Len

from promptforge.core.jobs import job
from promptforge.core.messages import Command, Query, internal, requires
from promptforge.core.pages import DEFAULT_LIMIT, CursorToken, Limit, Page
from promptforge.core.principal import Role

ReceiptId = Annotated[str, Len(1, 64)]


class ReceiptKind(StrEnum):
    """`pack` was paid once; `subscription` is one month of a plan."""

    PACK = "pack"
    SUBSCRIPTION = "subscription"


@dataclass(frozen=True, slots=True)
class TaxView:
    """A tax on a payment: `rate` in percent, `amount` in minor units, `country` whose tax it is."""

    rate: str
    amount: int
    country: str | None


@dataclass(frozen=True, slots=True)
class ReceiptView:
    """A payment. Money is in minor units of `currency`; `subtotal` is net, and `total` is what was paid.

    `tax`, `total`, `number`, `country` and the pages are null for the moment that it takes to ask Stripe for them.
    `refunded` and `charged_back` say how much of it was given back so far, by refunds and by disputes. `invoice_url`
    and `receipt_url` are Stripe's pages; `country` is where the buyer is taken to be. `withdrawal_waiver` is the
    version of the text that they agreed to, at `waived_at`.
    """

    id: str
    kind: ReceiptKind
    title: str
    credits: str
    currency: str
    subtotal: int
    tax: int | None
    taxes: tuple[TaxView, ...]
    total: int | None
    refunded: int
    charged_back: int
    number: str | None
    invoice_url: str | None
    receipt_url: str | None
    country: str | None
    withdrawal_waiver: str | None
    waived_at: datetime | None
    paid_at: datetime


@requires(scope="billing:read")
class ListReceipts(Query[Page[ReceiptView]]):
    """List what you have paid for, newest first: credit packs, and the months of subscriptions."""

    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@requires(scope="billing:read")
class GetReceipt(Query[ReceiptView]):
    """Read one of your own receipts."""

    receipt_id: ReceiptId


@dataclass(frozen=True, slots=True)
class CountryConflictView:
    """A payment whose two pieces of evidence contradict each other: the address that the buyer gave is in
    `billing_country`, and the card or the bank account in `card_country`.

    `country` is where the buyer is taken to be, and `taxed_in` whose taxes were paid. Money is in minor units.
    """

    receipt_id: str
    user_id: str
    kind: ReceiptKind
    country: str
    billing_country: str
    card_country: str
    taxed_in: tuple[str, ...]
    currency: str
    tax: int
    total: int
    number: str | None
    paid_at: datetime


@requires(Role.OPERATOR, Role.ADMIN, scope="billing:read")
class ListCountryConflicts(Query[Page[CountryConflictView]]):
    """List the payments of which it is not clear where their buyer is, newest first: more evidence is wanted.

    EU law decides by it whose tax is due (Implementing Regulation 282/2011, articles 24b and 24f).
    """

    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@internal
@job(queue="stripe", max_attempts=20, keep_dead=None)
class ReadReceipt(Command[None]):
    """Ask Stripe for what it knows of a payment, and learn what it was paid with."""

    receipt_id: ReceiptId
