"""Keeps who sellers are, shows buyers who traders are, and adds up quarters for whoever has to report them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import fields

from promptforge.actors.billing.connect.earners import Earners
from promptforge.actors.billing.ledger.sales.store import SaleStore
from promptforge.actors.billing.sellers.messages import (
    BuildSellerReport,
    DownloadSellerReport,
    GetSellerDetails,
    GetTrader,
    ListSellerReport,
    PaidOutView,
    ReadSellerDetails,
    RequestSellerReport,
    SellerDetails,
    SellerDetailsView,
    SellerKind,
    SellerReportStarted,
    SellerTotalsView,
    SetSellerDetails,
    TraderView,
)
from promptforge.actors.billing.sellers.sheet import COLUMNS, lines_of
from promptforge.actors.billing.sellers.store import SellerStore, period_of
from promptforge.actors.marketplace.messages import HasOffered
from promptforge.core.amounts import from_millicredits
from promptforge.core.context import Context
from promptforge.core.errors import FieldError, Invalid
from promptforge.core.mongo import Document
from promptforge.core.pages import Cursor, Page
from promptforge.core.runtime import Actor, handles
from promptforge.core.sheets import Sheet, Value

LINES_AT_ONCE = 500
_SHOWN = [field.name for field in fields(TraderView) if field.name != "trader"]


class SellersActor(Actor):
    name = "sellers"
    asks = ("marketplace",)

    def __init__(self, sellers: SellerStore, sales: SaleStore, earners: Earners) -> None:
        self._sellers = sellers
        self._sales = sales
        self._earners = earners

    @handles(GetSellerDetails, transactional=True)
    async def get(self, message: GetSellerDetails, context: Context) -> SellerDetailsView:
        return await self._sellers.find(context.user_id, session=context.session)

    @handles(ReadSellerDetails)
    async def read(self, message: ReadSellerDetails, context: Context) -> SellerDetailsView:
        return await self._sellers.find(message.user_id)

    @handles(SetSellerDetails, transactional=True)
    async def set(self, message: SetSellerDetails, context: Context) -> SellerDetailsView:
        if not await self._sellers.has(context.user_id, session=context.session):  # what is there can be corrected
            await self._earners.expect(context)
        _check(message.details, trader=message.trader)

        async def work(tx: Context) -> SellerDetailsView:
            await self._sellers.put(
                tx.user_id, message.details, trader=message.trader, now=tx.now(), session=tx.session
            )
            await tx.audit("seller.details_set", tx.user_id, after={"trader": message.trader})
            return await self._sellers.find(tx.user_id, session=tx.session)

        return await context.transaction(work, completes=True)

    @handles(GetTrader)
    async def get_trader(self, message: GetTrader, context: Context) -> TraderView:
        """Who has said nothing, and who has never offered anything, is like a private person: no trader."""
        seller_id = message.seller_id
        shown = await self._sellers.find_trader(seller_id)
        if shown is not None and not (
            await self._sales.has_sold(seller_id) or await context.ask(HasOffered(seller_id=seller_id))
        ):
            shown = None  # a partner, say, who gave it to be paid out
        return TraderView(trader=shown is not None, **{name: (shown or {}).get(name) for name in _SHOWN})

    @handles(RequestSellerReport, transactional=True)
    async def request_report(self, message: RequestSellerReport, context: Context) -> SellerReportStarted:
        period = period_of(message.year, message.quarter)

        async def work(tx: Context) -> SellerReportStarted:
            build = BuildSellerReport(year=message.year, quarter=message.quarter)
            job_id = await tx.enqueue(build, unique=f"seller-report:{period}")
            await tx.audit("seller_report.requested", period)
            return SellerReportStarted(job_id)

        return await context.transaction(work, completes=True)

    @handles(BuildSellerReport)
    async def build_report(self, message: BuildSellerReport, context: Context) -> int:
        return await self._sellers.build(message.year, message.quarter, now=context.now())

    @handles(ListSellerReport)
    async def list_report(self, message: ListSellerReport, context: Context) -> Page[SellerTotalsView]:
        cursor = Cursor.decode_optional(message.cursor)
        page = await self._sellers.list_totals(message.year, message.quarter, cursor=cursor, limit=message.limit)
        details = await self._sellers.find_many([row["seller_id"] for row in page.items])
        return Page(tuple(_totals(row, details.get(row["seller_id"])) for row in page.items), page.next)

    @handles(DownloadSellerReport)
    async def download_report(self, message: DownloadSellerReport, context: Context) -> Sheet:
        period = period_of(message.year, message.quarter)

        async def work(tx: Context) -> None:
            await tx.audit("seller_report.downloaded", period)

        await context.transaction(work)
        return Sheet(f"sellers-{period}", COLUMNS, self._lines(message))

    async def _lines(self, message: DownloadSellerReport) -> AsyncIterator[Sequence[Value]]:
        cursor: Cursor | None = None
        while True:
            page = await self._sellers.list_totals(message.year, message.quarter, cursor=cursor, limit=LINES_AT_ONCE)
            details = await self._sellers.find_many([row["seller_id"] for row in page.items])
            for row in page.items:
                for line in lines_of(_totals(row, details.get(row["seller_id"]))):
                    yield line
            if page.next is None:
                return
            cursor = Cursor.decode(page.next)


def _check(details: SellerDetails, *, trader: bool) -> None:
    """What the law wants of this kind of seller. Raises `Invalid`."""
    missing = []
    if details.kind is SellerKind.INDIVIDUAL and details.birth_date is None:
        missing.append("birth_date")
    if details.kind is SellerKind.COMPANY and details.registration_number is None:
        missing.append("registration_number")
    if trader and details.trader_email is None:
        missing.append("trader_email")
    if missing:
        errors = tuple(FieldError("It is needed", "missing", pointer=f"/details/{name}") for name in missing)
        raise Invalid("Something that the law wants is missing", errors=errors)


def _totals(row: Document, details: SellerDetails | None) -> SellerTotalsView:
    return SellerTotalsView(
        seller_id=row["seller_id"],
        details=details,
        sales=row["sales"],
        gross=from_millicredits(row["gross"]),
        fees=from_millicredits(row["gross"] - row["net"]),
        net=from_millicredits(row["net"]),
        refunds=row["refunds"],
        refunded_gross=from_millicredits(row["refunded_gross"]),
        refunded_fees=from_millicredits(row["refunded_gross"] - row["refunded_net"]),
        refunded_net=from_millicredits(row["refunded_net"]),
        paid_out=tuple(PaidOutView(one["currency"], one["amount"], one["payouts"]) for one in row["paid_out"]),
        added_up_at=row["created_at"],
        compensated=from_millicredits(row.get("compensated", 0)),  # added up before there were any
    )
