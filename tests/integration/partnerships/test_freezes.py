"""What is frozen: by whom, who finds it, and what is recorded of the decision."""

from __future__ import annotations

import pytest

from promptforge.actors.partnerships.messages import (
    AppealSuspension,
    PartnershipDecision,
    PartnershipReason,
    ReviewPartnership,
)
from promptforge.actors.partnerships.referrals.messages import (
    DecideFrozenEarnings,
    EarningsReason,
    FreezeDecision,
    FrozenTermView,
    ListFrozenEarnings,
)
from promptforge.actors.users.staff.messages import ReinstateAccount, SuspendAccount
from promptforge.core.audit import AuditFilter, AuditLog
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Role
from tests.integration.marketplace.branches import Branches
from tests.integration.partnerships.partners import decide
from tests.integration.partnerships.referred import (
    Affiliate,
    a_month_passes,
    admin_of,
    affiliate,
    buyer_of,
    lift,
    listing_of,
    suspend,
)
from tests.support.market import raised
from tests.support.processes import SteppedClock

pytestmark = pytest.mark.anyio


@pytest.fixture
async def pat(branches: Branches, clock: SteppedClock) -> Affiliate:
    """With one sale that has not settled."""
    made = await affiliate(branches, "pat")
    await branches.here.buy(await buyer_of(branches, made), await listing_of(branches), "100")
    return made


async def undecided(branches: Branches) -> list[tuple[str, int, str]]:
    found = await (await admin_of(branches)).ask(ListFrozenEarnings())
    return [(one.partner_id, one.term, one.pending) for one in found.items]


@pytest.mark.parametrize("reason", [PartnershipReason.FRAUD, PartnershipReason.BROKEN_TERMS])
async def test_an_end_for_cause_freezes_what_has_not_settled(
    branches: Branches, pat: Affiliate, clock: SteppedClock, reason: PartnershipReason
) -> None:
    admin = await admin_of(branches)
    await decide(admin, pat.partner_id, PartnershipDecision.END, reason_code=reason)
    assert await pat.stand() == ("0", "3", "0")
    await a_month_passes(branches, clock)
    assert await pat.stand() == ("0", "3", "0")
    assert await undecided(branches) == [(pat.partner_id, 0, "3")]
    (told,) = [one for one in await branches.here.notices(pat.context) if one.kind == "partnership.ended"]
    assert "is frozen until" in told.body


async def test_any_other_end_freezes_nothing(branches: Branches, pat: Affiliate, clock: SteppedClock) -> None:
    await decide(await admin_of(branches), pat.partner_id, PartnershipDecision.END)
    await a_month_passes(branches, clock)
    assert await pat.stand() == ("0", "0", "3")
    assert await undecided(branches) == []


@pytest.mark.parametrize("how", [PartnershipDecision.LIFT, PartnershipDecision.END])
async def test_what_a_decision_leaves_undecided_is_told_and_found(
    branches: Branches, pat: Affiliate, how: PartnershipDecision
) -> None:
    admin = await admin_of(branches)
    await suspend(branches, pat)
    assert "partnership.undecided" not in [one.kind for one in await branches.here.notices(admin)]
    after = await decide(admin, pat.partner_id, how)
    assert after.undecided_terms == (0,)
    await branches.here.jobs_done()
    told = await branches.here.notices(admin)
    assert told[0].kind == "partnership.undecided"
    message = DecideFrozenEarnings(
        partner_id=pat.partner_id, term=0, decision=FreezeDecision.RELEASE, reason="It was looked into."
    )
    await admin.ask(message)
    assert await undecided(branches) == []
    assert (await admin.ask(ReviewPartnership(partner_id=pat.partner_id))).undecided_terms == ()


async def test_undecided_freezes_are_listed_in_pages_the_newest_first(
    branches: Branches, pat: Affiliate, clock: SteppedClock
) -> None:
    for _ in range(3):
        await suspend(branches, pat)
        await lift(branches, pat)
        clock.advance(minutes=1)
    admin, found, cursor = await admin_of(branches), list[FrozenTermView](), None
    for left in (2, 1, 0):
        page = await admin.ask(ListFrozenEarnings(limit=1, cursor=cursor))
        found += page.items
        cursor = page.next
        assert (cursor is None) == (left == 0)
    assert [(one.term, one.pending, one.state) for one in found] == [
        (2, "0", "approved"),
        (1, "0", "approved"),
        (0, "3", "approved"),
    ]
    assert {(one.partner_id, one.owner_id) for one in found} == {(pat.partner_id, pat.context.user_id)}


async def test_the_audit_log_says_why_it_was_decided_and_how_much_it_was(branches: Branches, pat: Affiliate) -> None:
    await suspend(branches, pat)
    admin = await admin_of(branches)
    message = DecideFrozenEarnings(
        partner_id=pat.partner_id,
        term=0,
        decision=FreezeDecision.FORFEIT,
        reason="They bought it themselves.",
        reason_code=EarningsReason.FRAUD,
    )
    await admin.ask(message)
    page = await AuditLog(branches.mongo).list_page(AuditFilter(target=pat.partner_id), None, 10)
    (entry,) = [one for one in page.items if one.action == "commissions.forfeited"]
    assert entry.before == {"state": "frozen", "term": 0, "pending": "3"}
    assert entry.after == {"state": "forfeited", "term": 0, "reason_code": "fraud"}


async def test_a_suspended_account_is_paid_nothing_until_it_is_open_again(
    branches: Branches, pat: Affiliate, clock: SteppedClock
) -> None:
    root = await branches.here.person("root", Role.ADMIN)
    await root.ask(SuspendAccount(user_id=pat.context.user_id, reason="Sells what others wrote"))
    await a_month_passes(branches, clock)
    sales = branches.mongo.collection("ledger_sales")
    assert [row["commission"] for row in await sales.find({"state": "settled"}).to_list(None)] == [3000]
    await root.ask(ReinstateAccount(user_id=pat.context.user_id, reason="It was a mistake"))
    await a_month_passes(branches, clock)
    assert await pat.stand() == ("0", "0", "3")


async def test_while_an_appeal_waits_who_suspended_decides_nothing_of_what_that_froze(
    branches: Branches, pat: Affiliate, clock: SteppedClock, mongo: Mongo
) -> None:
    """Otherwise the earnings could be gone before another administrator lifts the suspension."""
    admin = await admin_of(branches)
    await suspend(branches, pat)
    await pat.context.ask(AppealSuspension(partner_id=pat.partner_id, words="I have told nobody a lie"))
    asked = {
        kind: DecideFrozenEarnings(partner_id=pat.partner_id, term=0, decision=kind, reason="Caught red-handed")
        for kind in FreezeDecision
    }
    linked = await branches.here.person("linked", Role.ADMIN)
    links = mongo.collection("account_links")
    await links.insert_many([{"_id": one.user_id, "group": "lnk_1"} for one in (admin, linked)])
    another = await branches.here.person("another", Role.ADMIN)
    for one in (admin, linked):
        for message in asked.values():
            assert await raised(one, message) == "own_suspension"
    assert await undecided(branches) == [(pat.partner_id, 0, "3")]
    assert await raised(another, asked[FreezeDecision.RELEASE]) == "done"


async def test_the_only_administrator_decides_what_is_frozen_all_the_same(
    branches: Branches, pat: Affiliate, clock: SteppedClock
) -> None:
    await suspend(branches, pat)
    await pat.context.ask(AppealSuspension(partner_id=pat.partner_id, words="I have told nobody a lie"))
    message = DecideFrozenEarnings(
        partner_id=pat.partner_id, term=0, decision=FreezeDecision.FORFEIT, reason="Caught red-handed"
    )
    assert await raised(await admin_of(branches), message) == "done"
