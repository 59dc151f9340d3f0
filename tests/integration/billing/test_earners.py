"""Who may have earnings paid out: by what the ledger knows of them, by the role, or by an account at Stripe."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import pytest

from promptforge.actors.billing.connect.messages import BeginConnectOnboarding
from promptforge.actors.billing.errors import InsufficientCredits, NothingEarned, NotOnboarded
from promptforge.actors.billing.payouts.messages import RequestPayout
from promptforge.actors.billing.sellers.messages import GetSellerDetails, SetSellerDetails
from promptforge.core.context import Context
from promptforge.core.messages import Command
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Role
from tests.integration.billing.payroll import Payroll, open_payroll
from tests.integration.billing.test_sellers import ADA
from tests.integration.billing.trade import Trade

pytestmark = pytest.mark.anyio

ASKED: tuple[Command[object], ...] = (
    SetSellerDetails(details=ADA),
    BeginConnectOnboarding(country="US"),
    RequestPayout(amount="10"),
)


@pytest.fixture
async def payroll(mongo: Mongo) -> AsyncIterator[Payroll]:
    async with open_payroll(mongo) as opened:
        yield opened


async def expect_refused(context: Context) -> None:
    for message in ASKED:
        with pytest.raises(NothingEarned):
            await context.ask(message)


async def expect_served(context: Context) -> None:
    """As far as what they have earned goes."""
    await context.ask(SetSellerDetails(details=ADA))
    with pytest.raises(NotOnboarded):
        await context.ask(RequestPayout(amount="10"))
    await context.ask(BeginConnectOnboarding(country="US"))


async def test_nobody_without_earnings_and_nothing_is_kept_of_them(payroll: Payroll) -> None:
    buyer = await payroll.bank.user(purchased=100)
    await payroll.bank.charge(buyer, payroll.seller, 10)
    for stranger in (buyer, await payroll.bank.user()):
        await expect_refused(payroll.bank.context(stranger))
    for staff in (Role.PARTNER, Role.MODERATOR, Role.OPERATOR, Role.ADMIN):
        await expect_refused(payroll.bank.context(buyer, staff))
    for name in ("connect_accounts", "seller_details", "payouts"):
        assert await payroll.bank.collection(name).count_documents({}) == 0
    assert (await payroll.till.client.v1.accounts.list_async()).data == []
    assert (await payroll.bank.context(buyer).ask(GetSellerDetails())).details is None


async def test_who_has_the_role_before_anything_is_sold(payroll: Payroll) -> None:
    await expect_served(payroll.bank.context(await payroll.bank.user(), Role.SELLER))


async def test_who_has_sold_and_is_no_seller_any_more(payroll: Payroll) -> None:
    await expect_served(payroll.bank.context(payroll.seller))


async def test_whose_sale_has_not_settled(payroll: Payroll) -> None:
    seller = await payroll.bank.user()
    context = payroll.bank.context(seller)
    await expect_refused(context)
    await payroll.bank.charge(await payroll.bank.user(purchased=10), seller, 10)
    await expect_served(context)


async def test_a_partner_whose_commissions_are_pending_frozen_or_not_collected(payroll: Payroll) -> None:
    pat = await payroll.bank.user()
    trade = Trade(payroll.bank, payroll.clock, payroll.seller, pat)
    context = payroll.bank.context(pat)
    await expect_refused(context)
    await trade.sells("pur_of_pat", 1000)
    await trade.freeze()
    await expect_served(context)
    await trade.decide(0, release=True)
    await trade.a_month_passes()
    assert await trade.collect() == 50
    await payroll.till.control(f"/accounts/{await payroll.account_id(pat)}/onboard")
    await payroll.hear()
    payroll.clock.advance(hours=73)
    payout = (await context.ask(RequestPayout(amount="50"))).value
    assert (payout.user_id, payout.amount) == (pat, "50")
    assert await payroll.ended_well()


async def test_whose_only_sale_was_refunded_is_asked_for_earnings_and_not_for_a_role(payroll: Payroll) -> None:
    seller = await payroll.bank.user()
    await payroll.bank.charge(await payroll.bank.user(purchased=10), seller, 10, "pur_back")
    await payroll.bank.refund("pur_back")
    payroll.seller = seller
    await payroll.onboard()
    with pytest.raises(InsufficientCredits):
        await payroll.bank.context(seller).ask(RequestPayout(amount="10"))


async def test_who_began_as_a_seller_goes_on_without_having_sold(payroll: Payroll) -> None:
    user = await payroll.bank.user()
    await payroll.bank.context(user, Role.SELLER).ask(SetSellerDetails(details=ADA))
    context = payroll.bank.context(user)
    await context.ask(SetSellerDetails(details=ADA))  # what is kept of somebody they may correct
    with pytest.raises(NothingEarned):
        await context.ask(BeginConnectOnboarding(country="US"))
    await payroll.bank.context(user, Role.SELLER).ask(BeginConnectOnboarding(country="US"))
    await context.ask(BeginConnectOnboarding(country="US"))
    with pytest.raises(NotOnboarded):
        await context.ask(RequestPayout(amount="10"))


async def test_another_clicks_beside_the_first_sale_make_one_account_at_most(payroll: Payroll) -> None:
    """Whoever comes before the sale is refused, and whoever comes after it is not: nothing is left half made."""
    seller, buyer = await payroll.bank.user(), await payroll.bank.user(purchased=10)
    context = payroll.bank.context(seller)

    async def click() -> None:
        try:
            await context.ask(BeginConnectOnboarding(country="US"))
        except NothingEarned:
            return

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(click)
        tasks.start_soon(payroll.bank.charge, buyer, seller, 10)
    await context.ask(BeginConnectOnboarding(country="US"))
    assert len((await payroll.till.client.v1.accounts.list_async()).data) == 1
