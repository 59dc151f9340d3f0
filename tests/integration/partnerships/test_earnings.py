"""What partners earn of whom they brought: with the sale, frozen at once by a suspension, collected, and shown."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import pairwise
from random import Random
from typing import Any

import anyio
import pytest

from promptforge.actors.billing.ledger.messages import SettleSales
from promptforge.actors.billing.links.learning import learn_instruments
from promptforge.actors.billing.links.store import LinkStore
from promptforge.actors.marketplace.messages import RefundPurchase
from promptforge.actors.partnerships.referrals.messages import (
    CollectEarnings,
    DecideFrozenEarnings,
    EarningsReason,
    FreezeDecision,
    GetEarnings,
    GetPartnerDashboard,
    PartnerDashboard,
    ReferralSums,
    ReviewEarnings,
)
from promptforge.core.amounts import to_millicredits
from promptforge.core.context import Context
from promptforge.core.errors import Invalid
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Role
from tests.integration.marketplace.branches import Branches, all_at_once, open_branches, write_conflict
from tests.integration.partnerships.referred import (
    Affiliate,
    a_month_passes,
    admin_of,
    affiliate,
    buyer_of,
    comes_by,
    lift,
    listing_of,
    suspend,
    touch,
)
from tests.support.market import raised, top_up
from tests.support.processes import SteppedClock

pytestmark = pytest.mark.anyio


async def administrator(branches: Branches) -> Context:
    return await admin_of(branches)


async def decide(branches: Branches, of: Affiliate, how: FreezeDecision, term: int = 0) -> str:
    admin = await administrator(branches)
    message = DecideFrozenEarnings(partner_id=of.partner_id, term=term, decision=how, reason="It was looked into.")
    outcome = await raised(admin, message)
    await branches.here.jobs_done()
    return outcome


async def test_a_sale_to_somebody_who_came_by_a_link_pays_the_partner_once_it_settles(
    branches: Branches, clock: SteppedClock
) -> None:
    pat, listing = await affiliate(branches, "pat"), await listing_of(branches)
    bruno = await buyer_of(branches, pat)
    await branches.here.buy(bruno, listing, "100")
    assert await pat.stand() == ("3", "0", "0")
    await a_month_passes(branches, clock)
    assert await pat.stand() == ("0", "0", "3")
    assert (await pat.context.ask(CollectEarnings(partner_id=pat.partner_id))).amount == "3"
    assert await pat.stand() == ("0", "0", "0")
    assert await raised(pat.context, CollectEarnings(partner_id=pat.partner_id)) == "insufficient_credits"
    assert await branches.ledger_is_right()


async def test_who_came_by_nobody_and_what_is_free_pays_nobody(branches: Branches) -> None:
    pat, listing = await affiliate(branches, "pat"), await listing_of(branches)
    stranger = await branches.here.person("stranger")
    await top_up(branches.mongo, stranger, 1000)
    await branches.here.buy(stranger, listing, "100")
    bruno = await buyer_of(branches, pat)
    await branches.here.buy(bruno, await listing_of(branches, "carlo", price="0"), "0")
    assert await pat.stand() == ("0", "0", "0")
    assert await branches.ledger_is_right()


async def test_a_refund_takes_the_commission_back(branches: Branches) -> None:
    pat, listing = await affiliate(branches, "pat"), await listing_of(branches)
    bruno = await buyer_of(branches, pat)
    bought = await branches.here.buy(bruno, listing, "100")
    await branches.here.process.context().ask(RefundPurchase(purchase_id=bought.id, reason="for the test"))
    assert await pat.stand() == ("0", "0", "0")
    assert await branches.ledger_is_right()


async def test_the_partners_own_listings_pay_them_no_commission(branches: Branches) -> None:
    pat = await affiliate(branches, "pat")
    bruno = await buyer_of(branches, pat)
    await branches.here.buy(bruno, await listing_of(branches, "pat"), "100")
    assert await pat.stand() == ("0", "0", "0")


@pytest.mark.parametrize("between", [0, 1, 2])
async def test_a_circle_that_is_learned_of_after_the_sale_puts_its_commission_back_into_the_fee(
    branches: Branches, clock: SteppedClock, between: int
) -> None:
    """Pat came by Quinn, or by somebody who did; Bruno, who came by Pat, turns out to have Quinn's card."""
    pat, quinn = await affiliate(branches, "pat"), await affiliate(branches, "quinn")
    chain = [quinn, *[await affiliate(branches, f"between{number}") for number in range(between)], pat]
    for above, below in pairwise(chain):
        await comes_by(branches, above, below.context)
    listing, other = await listing_of(branches), await listing_of(branches, "carlo")
    bruno = await buyer_of(branches, pat)
    await branches.here.buy(bruno, listing, "100")
    assert await pat.stand() == ("3", "0", "0")
    links = LinkStore(branches.mongo)
    for person in (quinn.context, bruno):
        await person.transaction(partial(learn_instruments, links, person.user_id, ["card:1"]))
    await branches.here.buy(bruno, other, "100")
    assert await pat.stand() == ("3", "0", "0"), "nothing of what is sold from then on"
    await a_month_passes(branches, clock)
    assert await pat.stand() == ("0", "0", "0")
    assert await branches.ledger_is_right()


# Suspended


async def test_a_sale_that_starts_over_beside_a_suspension_earns_nothing(branches: Branches) -> None:
    """Its first attempt saw a partner who earned, and lost against another transaction; the next one asks again."""
    pat, listing = await affiliate(branches, "pat"), await listing_of(branches)
    bruno = await buyer_of(branches, pat)

    async def suspended_meanwhile() -> None:
        await suspend(branches, pat, there=True)
        raise write_conflict()

    branches.transactions.before_commit = suspended_meanwhile
    await branches.here.buy(bruno, listing, "100")
    assert await pat.stand() == ("0", "0", "0")
    assert await branches.ledger_is_right()


async def test_a_sale_that_began_before_the_suspension_is_frozen_though_it_commits_after_it(
    branches: Branches, clock: SteppedClock
) -> None:
    pat, listing = await affiliate(branches, "pat"), await listing_of(branches)
    bruno = await buyer_of(branches, pat)
    branches.transactions.before_commit = lambda: suspend(branches, pat, there=True)
    await branches.here.buy(bruno, listing, "100")
    assert await pat.stand() == ("0", "3", "0")
    await a_month_passes(branches, clock)
    assert await pat.stand() == ("0", "3", "0")
    assert await decide(branches, pat, FreezeDecision.FORFEIT) == "done"
    assert await pat.stand() == ("0", "0", "0")
    assert await branches.ledger_is_right()


async def test_purchases_beside_a_suspension_are_frozen_or_earn_nothing(branches: Branches) -> None:
    pat, listing = await affiliate(branches, "pat"), await listing_of(branches, price="10")
    buyers = [await buyer_of(branches, pat, f"buyer{number}") for number in range(20)]
    done: list[str] = []

    async def buy(person: Context) -> None:
        await branches.here.buy(person, listing)
        done.append(person.user_id)
        if len(done) == 5:
            await suspend(branches, pat, there=True)

    async with anyio.create_task_group() as tasks:
        for person in buyers:
            tasks.start_soon(buy, person)
    after = await buyer_of_suspended(branches, pat)
    await branches.here.buy(after, listing)
    found = await pat.earnings()
    assert (found.pending, found.earned) == ("0", "0")
    sales = await branches.mongo.collection("ledger_sales").find({"partner_id": pat.partner_id}).to_list(None)
    assert to_millicredits(found.frozen) == sum(sale["promised"] for sale in sales)
    assert len(sales) >= 5, "so many were made before it"
    assert {sale["promised"] for sale in sales} == {300}
    assert await branches.ledger_is_right()


async def buyer_of_suspended(branches: Branches, pat: Affiliate) -> Context:
    """Came by the link before, and buys now."""
    await lift(branches, pat)
    person = await buyer_of(branches, pat, "late")
    await suspend(branches, pat)
    return person


async def test_what_is_earned_after_a_suspension_was_lifted_is_not_frozen_and_the_rest_waits(
    branches: Branches, clock: SteppedClock
) -> None:
    pat, listing = await affiliate(branches, "pat"), await listing_of(branches)
    other = await listing_of(branches, "carlo")
    bruno = await buyer_of(branches, pat)
    await branches.here.buy(bruno, listing, "100")
    await suspend(branches, pat)
    await lift(branches, pat)
    await branches.here.buy(bruno, other, "100")
    assert await pat.stand() == ("3", "3", "0")
    await a_month_passes(branches, clock)
    assert await pat.stand() == ("0", "3", "3")
    assert await decide(branches, pat, FreezeDecision.RELEASE) == "done"
    assert await pat.stand() == ("0", "0", "6")
    (notice,) = [one for one in await branches.here.notices(pat.context) if one.kind == "partnership.earnings_decided"]
    assert "It was looked into." in notice.body
    assert notice.subject["reason_code"] == "other"


async def test_a_decision_about_earnings_has_a_reason_that_fits_it_and_the_partner_reads_it(branches: Branches) -> None:
    pat, listing = await affiliate(branches, "pat"), await listing_of(branches)
    await branches.here.buy(await buyer_of(branches, pat), listing, "100")
    await suspend(branches, pat)
    admin = await administrator(branches)
    wanted: dict[str, Any] = {"partner_id": pat.partner_id, "term": 0, "reason": "It was looked into."}  # Any: fields
    forfeit = DecideFrozenEarnings(**wanted, decision=FreezeDecision.FORFEIT, reason_code=EarningsReason.MISTAKEN)
    with pytest.raises(Invalid) as refused:
        await admin.ask(forfeit)
    assert [(one.code, one.pointer) for one in refused.value.errors] == [("wrong_reason", "/reason_code")]
    await admin.ask(replace(forfeit, reason_code=EarningsReason.FRAUD))
    (decided,) = (await pat.context.ask(GetEarnings(partner_id=pat.partner_id))).freezes
    assert (decided.state, decided.reason_code) == ("forfeited", "fraud")
    (notice,) = [one for one in await branches.here.notices(pat.context) if one.kind == "partnership.earnings_decided"]
    assert notice.subject["reason_code"] == "fraud"


async def test_of_ten_administrators_who_decide_at_once_one_does(branches: Branches) -> None:
    pat, listing = await affiliate(branches, "pat"), await listing_of(branches)
    await branches.here.buy(await buyer_of(branches, pat), listing, "100")
    await suspend(branches, pat)
    asks = []
    for number in range(10):
        where = branches.here if number % 2 else branches.there
        admin = await where.person(f"admin{number}", Role.ADMIN)
        how = FreezeDecision.RELEASE if number % 3 else FreezeDecision.FORFEIT
        asks.append(
            (admin, DecideFrozenEarnings(partner_id=pat.partner_id, term=0, decision=how, reason="Looked into."))
        )
    assert await all_at_once(asks) == {"done": 1, "freeze_decided": 9}
    await branches.here.jobs_done()
    assert (await pat.stand())[1] == "0"
    assert await branches.ledger_is_right()


async def test_nobody_decides_about_their_own_and_only_what_was_frozen(branches: Branches) -> None:
    pat = await affiliate(branches, "pat")
    assert await decide(branches, pat, FreezeDecision.RELEASE) == "not_found"
    await suspend(branches, pat)
    own = await branches.here.person("pat", Role.ADMIN)
    message = DecideFrozenEarnings(
        partner_id=pat.partner_id, term=0, decision=FreezeDecision.RELEASE, reason="They are mine."
    )
    assert await raised(own, message) == "own_partnership"
    admin = await administrator(branches)
    assert [one.state for one in (await admin.ask(ReviewEarnings(partner_id=pat.partner_id))).freezes] == ["frozen"]


async def test_a_partners_earnings_are_nobody_elses_to_see_or_collect(branches: Branches) -> None:
    pat, quinn = await affiliate(branches, "pat"), await affiliate(branches, "quinn")
    for message in (
        GetEarnings(partner_id=pat.partner_id),
        GetPartnerDashboard(partner_id=pat.partner_id),
        CollectEarnings(partner_id=pat.partner_id),
    ):
        assert await raised(quinn.context, message) == "not_found"


# The dashboard


async def test_the_dashboard_is_what_the_ledger_says_after_anything(mongo: Mongo) -> None:
    """Sales, refunds, settlement, suspensions, decisions and collections at random, days apart."""
    rng, clock = Random(20261126), SteppedClock()
    async with open_branches(mongo) as branches:
        branches.here.process.system.clock = branches.there.process.system.clock = clock
        pat = await affiliate(branches, "pat")
        listings = [await listing_of(branches, f"seller{number}", price=str(7 + number)) for number in range(6)]
        bought = []
        for round_ in range(8):
            bruno = await buyer_of(branches, pat, f"buyer{round_}")
            chosen = rng.sample(listings, 3)
            bought += [(await branches.here.buy(bruno, listing, listing.price)).id for listing in chosen]
            if round_ % 3 == 1:
                await suspend(branches, pat)
                await lift(branches, pat)
            clock.advance(days=rng.choice([1, 9, 31]))
            await branches.here.process.context().ask(SettleSales())
            await branches.here.jobs_done()
            for purchase_id in rng.sample(bought, 2):
                refund = RefundPurchase(purchase_id=purchase_id, reason="for the test")
                await raised(branches.here.process.context(), refund)
            if round_ == 5:
                await decide(branches, pat, FreezeDecision.FORFEIT, 0)
            if round_ == 6:
                await raised(pat.context, CollectEarnings(partner_id=pat.partner_id))
            await compare(branches, pat)
        totals = (await shown(pat)).totals
        for name in ("sales", "refunds", "pending", "earned", "forgone", "reversed"):
            assert getattr(totals, name) not in {0, "0"}, f"the walk brought no {name}, so it proves nothing of it"
        assert await branches.ledger_is_right()


async def shown(pat: Affiliate) -> PartnerDashboard:
    return await pat.context.ask(GetPartnerDashboard(partner_id=pat.partner_id, days=366))


async def compare(branches: Branches, pat: Affiliate) -> None:
    """The dashboard beside the legs themselves, read here without the service's own sums."""
    view = await shown(pat)
    legs = await branches.mongo.collection("transactions").find({"account": {"$regex": "^partner:"}}).to_list(None)
    kinds = {one["_id"]: one async for one in branches.mongo.collection("ledger_journals").find({})}
    sums: dict[str, int] = {}
    for leg in legs:
        journal = kinds[leg["journal_id"]]
        sums[journal["kind"]] = sums.get(journal["kind"], 0) + leg["amount"]
        sums[leg["account"].rpartition(":")[2]] = sums.get(leg["account"].rpartition(":")[2], 0) + leg["amount"]
    totals = view.totals
    assert to_millicredits(totals.promised) == sums.get("purchase", 0)
    assert to_millicredits(totals.pending) == sums.get("pending", 0)
    assert to_millicredits(totals.forgone) == -sums.get("commission_forfeit", 0)
    taken = sums.get("commission_collect", 0)
    owed = to_millicredits(totals.reversed) + sums.get("purchase_refund", 0)
    assert to_millicredits(totals.earned) == sums.get("earned", 0) - taken - owed
    assert totals.sales == sum(one["kind"] == "purchase" for one in kinds.values() if one["refs"].get("partner_id"))
    for parts in (view.days, view.codes):
        assert added(tuple(part.totals for part in parts)) == numbers(totals)


def numbers(sums: ReferralSums) -> dict[str, int]:
    values = {name: getattr(sums, name) for name in ReferralSums.__dataclass_fields__}
    return {name: to_millicredits(value) if isinstance(value, str) else value for name, value in values.items()}


def added(parts: tuple[ReferralSums, ...]) -> dict[str, int]:
    return {name: sum(numbers(part)[name] for part in parts) for name in ReferralSums.__dataclass_fields__}


async def test_clicks_and_sign_ups_are_shown_by_day_and_code(mongo: Mongo) -> None:
    clock = SteppedClock()
    async with open_branches(mongo) as branches:
        branches.here.process.system.clock = clock
        pat = await affiliate(branches, "pat")
        for _ in range(3):
            await touch(branches, pat)
        await comes_by(branches, pat, await branches.here.person("bruno"))
        clock.advance(days=1)
        await touch(branches, pat)
        today = clock.now().date()
    async with open_branches(mongo) as branches:
        branches.here.process.system.clock = clock
        person = await branches.here.person("pat")
        view = await person.ask(GetPartnerDashboard(partner_id=pat.partner_id, days=2))
    assert [(one.day, one.totals.clicks, one.totals.attributions) for one in view.days][-1] == (today, 1, 0)
    assert (view.totals.clicks, view.totals.attributions) == (5, 1)
    assert [(one.code, one.totals.clicks) for one in view.codes] == [(pat.code, 5)]
