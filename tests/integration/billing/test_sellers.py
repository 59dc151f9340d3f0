"""Who sellers are, sealed; what buyers see of traders; and a quarter's totals, which are those of the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from promptforge.actors.billing.errors import ReportRebuilt
from promptforge.actors.billing.ledger.messages import CloseRun, ReserveRun, RunShare
from promptforge.actors.billing.messages import SaleCommission
from promptforge.actors.billing.sellers.messages import (
    BuildSellerReport,
    DownloadSellerReport,
    GetSellerDetails,
    GetTrader,
    ListSellerReport,
    SellerDetails,
    SellerKind,
    SellerTotalsView,
    SetSellerDetails,
)
from promptforge.actors.billing.sellers.store import quarter_of
from promptforge.core.amounts import to_millicredits
from promptforge.core.errors import Invalid
from promptforge.core.pages import Page
from promptforge.core.principal import Role
from tests.integration.billing.bank import Bank
from tests.support.processes import SteppedClock

pytestmark = pytest.mark.anyio

ADA = SellerDetails(
    kind=SellerKind.INDIVIDUAL,
    name="Ada Lovelace",
    street="Hauptstraße 1",
    postal_code="10115",
    city="Berlin",
    country="DE",
    tax_number="12 345 678 901",
    tax_country="DE",
    birth_date=date(1990, 2, 28),
)


@pytest.fixture
def bank(stepped_bank: Bank) -> Bank:
    return stepped_bank


async def report(bank: Bank, moment: datetime) -> dict[str, SellerTotalsView]:
    year, quarter = moment.year, (moment.month + 2) // 3
    await bank.context().ask(BuildSellerReport(year=year, quarter=quarter))
    found: dict[str, SellerTotalsView] = {}
    cursor: str | None = None
    while True:
        operator = bank.context("usr_operator", Role.OPERATOR)
        page = await operator.ask(ListSellerReport(year=year, quarter=quarter, limit=1, cursor=cursor))
        found |= {row.seller_id: row for row in page.items}
        cursor = page.next
        if cursor is None:
            return found


async def test_details_are_the_sellers_own_and_sealed(bank: Bank) -> None:
    seller = await bank.user()
    context = bank.context(seller, Role.SELLER)
    assert (await context.ask(GetSellerDetails())).details is None
    await context.ask(SetSellerDetails(details=ADA))
    assert (await context.ask(GetSellerDetails())).details == ADA
    stored = [
        row for name in ("seller_details", "audit_log") for row in await bank.collection(name).find({}).to_list(9)
    ]
    assert len(stored) == 2
    for secret in ("Ada", "Hauptstra", "12 345", "1990"):
        assert secret not in repr(stored)


async def test_details_from_before_a_rule_are_read_all_the_same(bank: Bank) -> None:
    context = bank.context(await bank.user(), Role.SELLER)
    company = replace(ADA, name="Ada\u202e", kind=SellerKind.COMPANY, birth_date=None, registration_number="HRB 1")
    for before in (replace(ADA, name="Ada\u202e"), company):
        await context.ask(SetSellerDetails(details=before))
        assert (await context.ask(GetSellerDetails())).details == before


async def test_what_the_law_wants_of_a_kind_of_seller_is_asked_for(bank: Bank) -> None:
    context = bank.context(await bank.user(), Role.SELLER)
    company = SellerDetails(
        kind=SellerKind.COMPANY, name="Engines Ltd", street="1", postal_code="1", city="London", country="GB",
        tax_number="1", tax_country="GB",
    )  # fmt: skip
    with pytest.raises(Invalid) as refused:
        await context.ask(SetSellerDetails(details=company, trader=True))
    assert [error.pointer for error in refused.value.errors] == [
        "/details/registration_number",
        "/details/trader_email",
    ]


SHOP = SellerDetails(
    kind=SellerKind.COMPANY, name="Engines Ltd", street="Lane 1", postal_code="N1", city="London", country="GB",
    tax_number="999", tax_country="GB", registration_number="HRB 1", trader_email="shop@example.com",
)  # fmt: skip


async def test_buyers_see_who_a_trader_is_and_nothing_of_anybody_else(bank: Bank) -> None:
    trader, private = await bank.user(), await bank.user()
    bank.shelf.sellers = {trader, private}
    await bank.context(trader, Role.SELLER).ask(SetSellerDetails(details=SHOP, trader=True))
    await bank.context(private, Role.SELLER).ask(SetSellerDetails(details=ADA))
    shown = await bank.context().ask(GetTrader(seller_id=trader))
    assert (shown.trader, shown.name, shown.city, shown.email) == (True, "Engines Ltd", "London", "shop@example.com")
    assert "999" not in repr(shown)
    for seller in (private, "usr_nobody"):
        hidden = await bank.context().ask(GetTrader(seller_id=seller))
        assert (hidden.trader, hidden.name, hidden.street) == (False, None, None)


async def test_a_trader_is_shown_once_something_of_theirs_is_on_offer_or_sold_and_a_partner_never(bank: Bank) -> None:
    offers, sold, partner, buyer = [await bank.user(purchased=100) for _ in range(4)]
    await bank.charge(buyer, sold, 10)
    await bank.charge(buyer, await bank.user(), 50, commission=SaleCommission("ptn_a", 500, partner, "code_a"))
    for user_id, roles in ((offers, (Role.SELLER,)), (sold, ()), (partner, ())):
        await bank.context(user_id, *roles).ask(SetSellerDetails(details=SHOP, trader=True))

    async def shown() -> set[str]:
        asked = {one: await bank.context().ask(GetTrader(seller_id=one)) for one in (offers, sold, partner)}
        assert all((view.name == "Engines Ltd") is view.trader for view in asked.values())
        return {one for one, view in asked.items() if view.trader}

    assert await shown() == {sold}
    bank.shelf.sellers = {offers}
    assert await shown() == {sold, offers}


async def test_a_quarters_totals_are_what_the_ledger_says(bank: Bank, clock: SteppedClock) -> None:
    buyer, one, other = await bank.user(granted=7, purchased=500), await bank.user(), await bank.user()
    start = clock.now()
    for price in (10, 25, 33):
        await bank.charge(buyer, one, price)
    await bank.charge(buyer, other, 5, "pur_other")
    await bank.refund("pur_other")
    await bank.context(one, Role.SELLER).ask(SetSellerDetails(details=ADA))
    totals = await report(bank, start)
    assert set(totals) == {one, other}
    assert (totals[one].details, totals[other].details) == (ADA, None)
    assert (totals[one].sales, totals[one].gross, totals[one].refunds) == (3, "68", 0)
    assert (totals[other].sales, totals[other].refunds, totals[other].refunded_gross) == (1, 1, "5")
    for seller, told in totals.items():
        assert seen_in_legs(await bank.collection("transactions").find({}).to_list(None), seller, buyer) == {
            "gross": to_millicredits(told.gross),
            "net": to_millicredits(told.net),
            "refunded_gross": to_millicredits(told.refunded_gross),
            "refunded_net": to_millicredits(told.refunded_net),
        }
        assert to_millicredits(told.fees) == to_millicredits(told.gross) - to_millicredits(told.net)


def seen_in_legs(legs: list[dict[str, object]], seller: str, buyer: str) -> Mapping[str, int]:
    """The same, added up leg by leg."""
    journals = {leg["journal_id"] for leg in legs if leg["user_id"] == seller}
    sums: Counter[str] = Counter({"gross": 0, "net": 0, "refunded_gross": 0, "refunded_net": 0})
    for leg in legs:
        key, amount = str(leg["journal_id"]), leg["amount"]
        assert isinstance(amount, int)
        if leg["journal_id"] not in journals or not key.startswith("purchase:"):
            continue
        back = key.endswith(":refund")
        if leg["user_id"] == buyer:
            sums["refunded_gross" if back else "gross"] += amount if back else -amount
        if leg["user_id"] == seller:
            sums["refunded_net" if back else "net"] += -amount if back else amount
    return dict(sums)


async def test_the_share_of_a_run_is_a_sale_of_that_share(bank: Bank, clock: SteppedClock) -> None:
    buyer, seller = await bank.user(purchased=10), await bank.user()
    for share in (RunShare(seller, 1000), None):
        run_id = f"run_{share is None}"
        await bank.context().ask(ReserveRun(run_id=run_id, user_id=buyer, amount_millicredits=2000))
        await bank.context().ask(CloseRun(run_id=run_id, charge_millicredits=300, share=share))
    told = (await report(bank, clock.now()))[seller]
    assert (told.sales, told.gross, told.net, told.fees, told.refunds) == (1, "1", "0.85", "0.15", 0)


async def test_a_sale_counts_in_its_own_quarter_and_a_refund_in_its_own(bank: Bank, clock: SteppedClock) -> None:
    buyer, seller = await bank.user(purchased=500), await bank.user()
    start = clock.now()
    await bank.charge(buyer, seller, 10, "pur_a")
    clock.advance(days=92)
    await bank.charge(buyer, seller, 20)
    await bank.refund("pur_a")
    first, second = (await report(bank, start))[seller], (await report(bank, clock.now()))[seller]
    assert (first.sales, first.gross, first.refunds) == (1, "10", 0)
    assert (second.sales, second.gross, second.refunds, second.refunded_gross) == (1, "20", 1, "10")
    assert (await report(bank, start))[seller] == first, "adding up again changes nothing"


async def a_page(bank: Bank, moment: datetime, cursor: str | None = None) -> Page[SellerTotalsView]:
    message = ListSellerReport(year=moment.year, quarter=(moment.month + 2) // 3, limit=1, cursor=cursor)
    return await bank.context("usr_operator", Role.OPERATOR).ask(message)


async def test_who_reads_a_report_while_it_is_added_up_anew_reads_one_and_the_same(
    bank: Bank, clock: SteppedClock
) -> None:
    buyer, one, other = await bank.user(purchased=500), await bank.user(), await bank.user()
    start = clock.now()
    for seller in (one, other):
        await bank.charge(buyer, seller, 10)
    await report(bank, start)
    first = await a_page(bank, start)
    clock.advance(minutes=1)
    for seller in (one, other):
        await bank.charge(buyer, seller, 20)
    again = await report(bank, start)
    second = await a_page(bank, start, first.next)
    assert {row.seller_id: row.gross for row in (*first.items, *second.items)} == {one: "10", other: "10"}
    assert len({row.added_up_at for row in (*first.items, *second.items)}) == 1
    assert {row.gross for row in again.values()} == {"30"}
    clock.advance(minutes=1)
    await report(bank, start)
    with pytest.raises(ReportRebuilt):
        await a_page(bank, start, first.next)
    assert await bank.collection("seller_totals").count_documents({}) == 4, "that and the one before are kept"


async def test_a_report_that_was_not_finished_is_not_seen(bank: Bank, clock: SteppedClock) -> None:
    buyer, seller = await bank.user(purchased=500), await bank.user()
    await bank.charge(buyer, seller, 10)
    before = await report(bank, clock.now())
    (row,) = await bank.collection("seller_totals").find({}).to_list(2)
    left = {**row, "_id": row["_id"].replace(row["build"], "rpt_zz"), "build": "rpt_zz", "gross": 1}
    await bank.collection("seller_totals").insert_one(left)
    page = await a_page(bank, clock.now())
    assert (page.items, page.next) == ((before[seller],), None)
    clock.advance(minutes=1)
    await report(bank, clock.now())
    assert await bank.collection("seller_totals").count_documents({"build": "rpt_zz"}) == 0


async def test_the_file_has_a_line_for_each_seller_and_currency(bank: Bank, clock: SteppedClock) -> None:
    buyer, one, other = await bank.user(purchased=500), await bank.user(), await bank.user()
    for seller in (one, other):
        await bank.charge(buyer, seller, 10)
    await bank.context(one, Role.SELLER).ask(SetSellerDetails(details=ADA))
    for number, currency in enumerate(("eur", "usd")):
        row = {"user_id": one, "state": "sent", "money": 850, "currency": currency, "transferred_at": clock.now()}
        await bank.collection("payouts").insert_one({"_id": f"pay_{number}", **row})
    await report(bank, clock.now())
    operator = bank.context("usr_operator", Role.OPERATOR)
    sheet = await operator.ask(DownloadSellerReport(year=clock.now().year, quarter=(clock.now().month + 2) // 3))
    lines = [dict(zip(sheet.columns, row, strict=True)) async for row in sheet.rows]
    told = {(line["seller_id"], line["paid_out_currency"]): line for line in lines}
    assert set(told) == {(one, "eur"), (one, "usd"), (other, None)}
    assert (told[one, "eur"]["name"], told[one, "eur"]["gross"], told[one, "usd"]["gross"]) == (ADA.name, "10", None)
    assert (told[other, None]["name"], told[other, None]["gross"]) == (None, "10")
    (entry,) = await bank.collection("audit_log").find({"action": "seller_report.downloaded"}).to_list(2)
    assert entry["actor"]["user_id"] == "usr_operator"


async def test_what_was_paid_out_is_told_in_money(bank: Bank, clock: SteppedClock) -> None:
    buyer, seller = await bank.user(purchased=500), await bank.user()
    await bank.charge(buyer, seller, 10)
    row = {"user_id": seller, "state": "sent", "money": 850, "currency": "usd", "transferred_at": clock.now()}
    await bank.collection("payouts").insert_one({"_id": "pay_1", **row})
    await bank.collection("payouts").insert_one({"_id": "pay_2", **row, "state": "returned"})
    await bank.collection("payouts").insert_one({"_id": "pay_3", **row, "reversed_money": 800})
    (told,) = (await report(bank, clock.now())).values()
    assert [(one.currency, one.amount, one.payouts) for one in told.paid_out] == [("usd", 900, 2)]


def test_quarters_touch_and_do_not_overlap() -> None:
    ends = [quarter_of(2026, quarter)[1] for quarter in (1, 2, 3, 4)]
    begins = [quarter_of(2026, quarter)[0] for quarter in (2, 3, 4)] + [quarter_of(2027, 1)[0]]
    assert ends == begins
    assert ends[-1] == datetime(2027, 1, 1, tzinfo=UTC)
