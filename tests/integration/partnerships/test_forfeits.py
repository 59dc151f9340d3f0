"""Who answers an appeal against a forfeiture, and what is recorded of it, with two processes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from promptforge.actors.partnerships.messages import AppealSuspension
from promptforge.actors.partnerships.referrals.messages import (
    AppealDecision,
    AppealForfeiture,
    AppealReason,
    DecideForfeitAppeal,
    DecideFrozenEarnings,
    EarningsReason,
    FreezeDecision,
    FrozenTermView,
    ListFrozenEarnings,
    ReviewEarnings,
)
from promptforge.core.audit import AuditFilter, AuditLog
from promptforge.core.context import Context
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Role
from tests.integration.marketplace.branches import Branches, all_at_once
from tests.integration.partnerships.partners import partner
from tests.integration.partnerships.referred import (
    Affiliate,
    a_month_passes,
    admin_of,
    affiliate,
    buyer_of,
    listing_of,
    suspend,
)
from tests.support.market import raised
from tests.support.processes import SteppedClock

pytestmark = pytest.mark.anyio
WORDS = "The clicks are from a talk: 300 people, one network."


@pytest.fixture
async def pat(branches: Branches, clock: SteppedClock) -> Affiliate:
    """Whose commission of one settled sale the administrator has forfeited."""
    made = await affiliate(branches, "pat")
    await branches.here.buy(await buyer_of(branches, made), await listing_of(branches), "100")
    await suspend(branches, made)
    await a_month_passes(branches, clock)
    await forfeit(await admin_of(branches), made)
    await branches.here.jobs_done()
    return made


async def forfeit(admin: Context, of: Affiliate) -> None:
    await admin.ask(
        DecideFrozenEarnings(
            partner_id=of.partner_id,
            term=0,
            decision=FreezeDecision.FORFEIT,
            reason="They bought it themselves.",
            reason_code=EarningsReason.FRAUD,
        )
    )


def answer(of: Affiliate, decision: AppealDecision = AppealDecision.REVERSE) -> DecideForfeitAppeal:
    reverses = decision is AppealDecision.REVERSE
    return DecideForfeitAppeal(
        partner_id=of.partner_id,
        term=0,
        decision=decision,
        reason="It was looked into again.",
        reason_code=AppealReason.MISTAKEN if reverses else AppealReason.UNCHANGED,
    )


async def appeal(of: Affiliate) -> None:
    await of.context.ask(AppealForfeiture(partner_id=of.partner_id, term=0, words=WORDS))


async def linked(mongo: Mongo, *people: Context) -> None:
    links = mongo.collection("account_links")
    await links.insert_many([{"_id": one.user_id, "group": f"lnk_{people[0].user_id}"} for one in people])


async def test_who_forfeited_and_whoever_is_linked_to_them_does_not_answer(
    branches: Branches, pat: Affiliate, mongo: Mongo
) -> None:
    admin, friend = await admin_of(branches), await branches.here.person("linked", Role.ADMIN)
    another = await branches.here.person("another", Role.ADMIN)
    await linked(mongo, admin, friend)
    await appeal(pat)
    for decision in AppealDecision:
        for one in (admin, friend):
            assert await raised(one, answer(pat, decision)) == "own_decision"
    assert await raised(another, answer(pat)) == "done"
    await branches.here.jobs_done()
    assert await pat.stand() == ("0", "0", "3")
    assert await branches.ledger_is_right()


async def test_nobody_answers_their_own_or_that_of_an_account_that_is_linked_to_theirs(
    branches: Branches, pat: Affiliate, mongo: Mongo
) -> None:
    second = await branches.here.person("second", Role.ADMIN)
    await appeal(pat)
    await linked(mongo, pat.context, second)
    assert await raised(second, answer(pat)) == "own_partnership"
    assert await raised(await admin_of(branches), answer(pat)) == "done", "there is nobody else who could"


async def test_the_only_administrator_answers_all_the_same(branches: Branches, pat: Affiliate) -> None:
    await appeal(pat)
    assert await raised(await admin_of(branches), answer(pat, AppealDecision.UPHOLD)) == "done"


async def test_while_an_appeal_against_the_suspension_waits_who_suspended_does_not_answer(
    branches: Branches, pat: Affiliate
) -> None:
    suspender, another = await admin_of(branches), await branches.here.person("another", Role.ADMIN)
    await branches.mongo.collection("ledger_freezes").update_one({}, {"$set": {"decided_by": another.user_id}})
    await appeal(pat)
    await pat.context.ask(AppealSuspension(partner_id=pat.partner_id, words=WORDS))
    assert await raised(suspender, answer(pat)) == "own_suspension"


async def test_of_administrators_in_two_processes_one_answers(branches: Branches, pat: Affiliate) -> None:
    await appeal(pat)
    first, first_there = await branches.person("first", Role.ADMIN)
    second, second_there = await branches.person("second", Role.ADMIN)
    asks = [(one, answer(pat)) for one in (first, first_there)] * 4
    asks += [(one, answer(pat, AppealDecision.UPHOLD)) for one in (second, second_there)] * 4
    assert await all_at_once(asks) == {"done": 8, "freeze_decided": 8}
    await branches.here.jobs_done()
    (freeze,) = (await pat.earnings()).freezes
    assert await pat.stand() == ("0", "0", "3" if freeze.state == "released" else "0")
    assert (
        await branches.count("audit_log", action="commissions.restored")
        + await branches.count("audit_log", action="commissions.upheld")
        == 1
    )
    assert await branches.ledger_is_right()


async def test_another_answer_of_the_same_administrator_is_refused(branches: Branches, pat: Affiliate) -> None:
    await appeal(pat)
    another = await branches.here.person("another", Role.ADMIN)
    wanted = answer(pat, AppealDecision.UPHOLD)
    await another.ask(wanted)
    for other in (
        answer(pat),
        replace(wanted, reason="Something else"),
        replace(wanted, reason_code=AppealReason.OTHER),
    ):
        assert await raised(another, other) == "freeze_decided"


async def test_the_audit_log_says_what_was_appealed_and_answered_and_how_much_it_was(
    branches: Branches, pat: Affiliate
) -> None:
    await appeal(pat)
    another = await branches.here.person("another", Role.ADMIN)
    await another.ask(answer(pat))
    page = await AuditLog(branches.mongo).list_page(AuditFilter(target=pat.partner_id), None, 20)
    entries = {one.action: one for one in page.items}
    assert entries["commissions.appealed"].actor.user_id == pat.context.user_id
    restored = entries["commissions.restored"]
    assert (restored.actor.user_id, restored.before) == (
        another.user_id,
        {"state": "forfeited", "term": 0, "forfeited": "3"},
    )
    assert restored.after == {"state": "released", "term": 0, "reason_code": "mistaken"}
    review = await another.ask(ReviewEarnings(partner_id=pat.partner_id))
    assert (review.freezes[0].appeal, review.freezes[0].answer) == (WORDS, "It was looked into again.")


async def test_appeals_that_wait_are_listed_in_pages_the_last_one_first(
    branches: Branches, pat: Affiliate, clock: SteppedClock
) -> None:
    others = []
    for number in range(2):
        person = await branches.here.person(f"partner{number}")
        one = Affiliate(person, (await partner(person, await admin_of(branches))).id, "")
        await suspend(branches, one)
        await forfeit(await admin_of(branches), one)
        others.append(one)
    waiting = [pat, *others]
    for one in waiting:
        await appeal(one)
        clock.advance(minutes=1)
    admin, found, cursor = await admin_of(branches), list[FrozenTermView](), None
    for left in (2, 1, 0):
        page = await admin.ask(ListFrozenEarnings(appealed=True, limit=1, cursor=cursor))
        found += page.items
        cursor = page.next
        assert (cursor is None) == (left == 0)
    assert [(one.partner_id, one.forfeited) for one in found] == [
        (others[1].partner_id, "0"),
        (others[0].partner_id, "0"),
        (pat.partner_id, "3"),
    ]
    assert (await admin.ask(ListFrozenEarnings())).items == ()
