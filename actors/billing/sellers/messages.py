"""Who sells, for tax authorities and for buyers, and each quarter's totals."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated

from annotated_types import Ge, Le, Len
from pydantic import Field

from promptforge.core.jobs import job
from promptforge.core.messages import Command, Query, internal, public, requires
from promptforge.core.pages import DEFAULT_LIMIT, CursorToken, Limit, Page
from promptforge.core.principal import Role
from promptforge.core.sheets import Sheet
from promptforge.core.text import LINE

Country = Annotated[str, Field(pattern="^[A-Z]{2}$", examples=["DE"], description="ISO 3166-1, two letters")]
Line = Annotated[str, Len(1, 200), LINE]
Number = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ./-]{0,49}$", examples=["DE123456789"])]
Year = Annotated[int, Ge(2020), Le(2100)]
Quarter = Annotated[int, Ge(1), Le(4)]


class SellerKind(StrEnum):
    INDIVIDUAL = "individual"
    COMPANY = "company"


@dataclass(frozen=True, slots=True)
class SellerDetails:
    """Who a seller is, as EU platforms have to know and report it (Directive (EU) 2021/514, DAC7, annex V, section II).

    An individual needs a `birth_date`, and a company a `registration_number`. `tax_number` is that of `tax_country`.
    """

    kind: SellerKind
    name: Annotated[Line, Field(examples=["Ada Lovelace"])]
    street: Line
    postal_code: Annotated[str, Len(1, 20), LINE]
    city: Line
    country: Country
    tax_number: Number
    tax_country: Country
    vat_number: Number | None = None
    birth_date: date | None = None
    registration_number: Number | None = None
    trader_email: (
        Annotated[str, LINE, Field(pattern=r"^[^@\s]{1,64}@[^@\s]{1,180}$", examples=["shop@example.com"])] | None
    ) = None


@dataclass(frozen=True, slots=True)
class SellerDetailsView:
    """`details` are null until they were given. `trader`: buyers are shown who it is."""

    details: SellerDetails | None
    trader: bool
    updated_at: datetime | None


@requires(fresh=True)
class GetSellerDetails(Query[SellerDetailsView]):
    """Read what you have said of yourself for tax authorities. No API key may do this."""


@requires(fresh=True)
class SetSellerDetails(Command[SellerDetailsView]):
    """Say who you are, for tax authorities, if you sell or have earned something.

    It is kept encrypted, and shown to nobody but operators who report it. `trader`: you sell in the course of a
    business, so buyers in the EU are shown your name, address, e-mail and number of registration, once something of
    yours has been on offer. No API key may do this.
    """

    details: SellerDetails
    trader: bool = False


@internal
class ReadSellerDetails(Query[SellerDetailsView]):
    """What somebody has said of themselves for tax authorities, for whoever shows it to them."""

    user_id: str


@dataclass(frozen=True, slots=True)
class TraderView:
    """Who it is that one buys from: traders have to say it (Regulation (EU) 2022/2065, article 30 (7)).

    `trader` false: a private person, to whom the rights of consumers do not apply, or somebody who has never offered
    anything; the rest is null then.
    """

    trader: bool
    name: str | None
    street: str | None
    postal_code: str | None
    city: str | None
    country: str | None
    email: str | None
    registration_number: str | None
    vat_number: str | None


@public
class GetTrader(Query[TraderView]):
    """Read who a seller is, if they sell in the course of a business: to be shown with their listings."""

    seller_id: Annotated[str, Len(1, 64)]


@dataclass(frozen=True, slots=True)
class PaidOutView:
    """What was paid out in a quarter, in minor units of `currency`, less what was taken back of it since."""

    currency: str
    amount: int
    payouts: int


@dataclass(frozen=True, slots=True)
class SellerTotalsView:
    """What somebody sold in a quarter (UTC), in credits: `gross` = `fees` + `net`, and what refunds took back of each.

    A sale counts in the quarter in which it was made, a refund in that in which it was given. `compensated` is what the
    platform gave them in it for refunds that turned out to be mistakes. `details` are null where
    the seller has not given them. `added_up_at` is the same in all of a report.
    """

    seller_id: str
    details: SellerDetails | None
    sales: int
    gross: str
    fees: str
    net: str
    refunds: int
    refunded_gross: str
    refunded_fees: str
    refunded_net: str
    paid_out: tuple[PaidOutView, ...]
    added_up_at: datetime
    compensated: str = "0"


@dataclass(frozen=True, slots=True)
class SellerReportStarted:
    """The job that adds up the quarter; its result says how many sellers there are."""

    job_id: str


@requires(Role.OPERATOR, Role.ADMIN)
class RequestSellerReport(Command[SellerReportStarted]):
    """Add up what each seller sold in a quarter, from the ledger, for reports to tax authorities (DAC7, 1099-K)."""

    year: Year
    quarter: Quarter


@internal
@job(timeout_seconds=3600, max_attempts=5)
class BuildSellerReport(Command[int]):
    """What `RequestSellerReport` asks for; answers how many sellers there are."""

    year: Year
    quarter: Quarter


@requires(Role.OPERATOR, Role.ADMIN)
class ListSellerReport(Query[Page[SellerTotalsView]]):
    """List each seller's totals of a quarter as they were last added up, with who they are. No API key may do this."""

    year: Year
    quarter: Quarter
    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@requires(Role.OPERATOR, Role.ADMIN, fresh=True)
class DownloadSellerReport(Query[Sheet]):
    """Download each seller's totals of a quarter, with who they are, as a CSV file. It is in the audit log.

    A line for each seller and currency of their payouts; no API key may do this.
    """

    year: Year
    quarter: Quarter
