"""Applications and decisions: what each state allows, who is told, and what two who act at once get."""

from __future__ import annotations

from datetime import timedelta

import pytest

from promptforge.actors.partnerships.errors import ApplyLater
from promptforge.actors.partnerships.messages import (
    AppealSuspension,
    ChangeCommission,
    CommissionReason,
    GetPartnership,
    GetPartnerStanding,
    LeavePartnerships,
    ListMyPartnerships,
    ListPartnerships,
    PartnershipDecision,
    PartnershipReason,
    PartnerState,
    ReviewPartnership,
    WithdrawApplication,
)
from promptforge.actors.users.staff.messages import ReinstateAccount, SuspendAccount
from promptforge.core.audit import AuditFilter, AuditLog
from promptforge.core.context import Context
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Role
from tests.integration.marketplace.branches import Branches, all_at_once
from tests.integration.partnerships.partners import application, decide, decision, partner
from tests.support.market import raised
from tests.support.partner_setups import APPEAL, NOTE

pytestmark = pytest.mark.anyio
D = PartnershipDecision


async def people(branches: Branches) -> tuple[Context, Context]:
    """Pat, who wants to be a partner, and an administrator."""
    return await branches.here.person("pat"), await branches.here.person("admin", Role.ADMIN)


async def kinds(branches: Branches, person: Context) -> list[str]:
    return [one.kind for one in await branches.here.notices(person)]


async def test_an_application_is_approved_with_a_commission_and_everybody_concerned_is_told(
    branches: Branches, mongo: Mongo
) -> None:
    pat, admin = await people(branches)
    applied = await pat.ask(application())
    assert (applied.state, applied.version, applied.commission_bp) == (PartnerState.APPLIED, 1, None)
    assert await kinds(branches, admin) == ["partnership.applied"]
    seen = await admin.ask(ReviewPartnership(partner_id=applied.id))
    assert (seen.owner_id, seen.legal_decisions) == (pat.user_id, (D.APPROVE, D.REJECT))
    after = await decide(admin, applied.id, D.APPROVE, commission_bp=250, internal_note="Known to us")
    assert after.legal_decisions == (D.SUSPEND, D.END)
    mine = await pat.ask(GetPartnership(partner_id=applied.id))
    assert (mine.state, mine.version, mine.commission_bp) == (PartnerState.APPROVED, 2, 250)
    assert mine.decision is not None
    assert (mine.decision.note, mine.decision.next_step != "") == (NOTE, True)
    (told,) = await branches.here.notices(pat)
    assert (told.kind, "2.5 %" in told.body, NOTE in told.body) == ("partnership.approved", True, True)
    assert "Known to us" not in told.body
    (event,) = after.history
    assert (event.by, event.internal_note, event.version) == (admin.user_id, "Known to us", 2)
    deeds = [one.action for one in (await AuditLog(mongo).list_page(AuditFilter(target=applied.id), None, 9)).items]
    assert deeds == ["partnership.approve", "partnership.applied"]


async def test_what_a_state_does_not_allow_is_refused_and_told_what_it_does(branches: Branches) -> None:
    pat, admin = await people(branches)
    made = await pat.ask(application())
    assert await raised(admin, decision(made.id, D.LIFT, 1)) == "illegal_move"
    assert await raised(pat, AppealSuspension(partner_id=made.id, words=APPEAL)) == "illegal_move"
    assert await raised(admin, ChangeCommission(partner_id=made.id, version=1, commission_bp=1, note=NOTE)) == (
        "illegal_move"
    )
    await decide(admin, made.id, D.APPROVE)
    assert await raised(pat, WithdrawApplication(partner_id=made.id)) == "illegal_move"
    assert await raised(admin, decision(made.id, D.APPROVE, 1)) == "partnership_changed"
    await decide(admin, made.id, D.END)
    for kind in D:
        assert await raised(admin, decision(made.id, kind, 3)) == "illegal_move"
    assert (await admin.ask(ReviewPartnership(partner_id=made.id))).legal_decisions == ()


async def test_a_commission_is_given_by_an_approval_only_and_is_within_bounds(branches: Branches) -> None:
    pat, admin = await people(branches)
    made = await pat.ask(application())
    assert await raised(admin, decision(made.id, D.APPROVE, 1, commission_bp=None)) == "invalid_request"
    assert await raised(admin, decision(made.id, D.APPROVE, 1, commission_bp=501)) == "invalid_request"
    assert await raised(admin, decision(made.id, D.REJECT, 1, commission_bp=1)) == "invalid_request"
    await decide(admin, made.id, D.APPROVE, commission_bp=500)
    change = ChangeCommission(
        partner_id=made.id, version=2, commission_bp=100, note=NOTE, reason_code=CommissionReason.FEWER_SALES
    )
    after = await admin.ask(change)
    assert (after.partnership.commission_bp, after.partnership.version) == (100, 3)
    assert [(one.event, one.commission_bp) for one in after.history] == [("commission", 100), ("approve", 500)]
    assert after.history[0].reason_code == "fewer_sales"
    assert await raised(admin, change) == "partnership_changed"
    assert await kinds(branches, pat) == ["partnership.commission", "partnership.approved"]


async def test_who_was_rejected_waits_and_who_withdrew_does_not(branches: Branches, mongo: Mongo) -> None:
    pat, admin = await people(branches)
    first = await pat.ask(application())
    assert await raised(pat, application()) == "partnership_exists"
    assert (await pat.ask(WithdrawApplication(partner_id=first.id))).state is PartnerState.WITHDRAWN
    second = await pat.ask(application())
    after = await decide(admin, second.id, D.REJECT)
    again_at = after.partnership.apply_again_at
    assert again_at is not None
    assert await raised(pat, application()) == "apply_later"
    before = pat.now() - timedelta(days=30, seconds=1)
    await mongo.collection("partners").update_one({"_id": second.id}, {"$set": {"updated_at": before}})
    third = await pat.ask(application())
    mine = await pat.ask(ListMyPartnerships(limit=2))
    assert [one.id for one in mine.items] == [third.id, second.id]
    assert [one.id for one in (await pat.ask(ListMyPartnerships(cursor=mine.next))).items] == [first.id]


async def test_who_withdraws_again_waits_a_day_so_administrators_are_not_told_without_end(
    branches: Branches, mongo: Mongo
) -> None:
    pat, admin = await people(branches)
    first = await pat.ask(application())
    await pat.ask(WithdrawApplication(partner_id=first.id))
    second = await pat.ask(application())
    after = await pat.ask(WithdrawApplication(partner_id=second.id))
    assert after.apply_again_at == after.updated_at + timedelta(days=1)
    assert await raised(pat, application()) == "apply_later"
    assert await kinds(branches, admin) == ["partnership.applied"] * 2
    yesterday = pat.now() - timedelta(days=1, seconds=1)
    await mongo.collection("partners").update_many({}, {"$set": {"updated_at": yesterday}})
    third = await pat.ask(application())
    await pat.ask(WithdrawApplication(partner_id=third.id))
    assert await raised(pat, application()) == "done", "it was the first of this day"


async def test_accounts_that_share_a_card_wait_for_each_other_and_are_seen_together(
    branches: Branches, mongo: Mongo
) -> None:
    pat, admin = await people(branches)
    other, stranger = await branches.here.person("other"), await branches.here.person("stranger")
    await mongo.collection("account_links").insert_many(
        [{"_id": one.user_id, "group": "lnk_1"} for one in (pat, other)]
    )
    ended = await partner(pat, admin)
    await decide(admin, ended.id, D.END, reason_code=PartnershipReason.FRAUD)
    with pytest.raises(ApplyLater) as refused:
        await other.ask(application())
    assert set(refused.value.extra) == {"apply_again_at"}, "whose it is stays untold"
    assert (await stranger.ask(application())).state is PartnerState.APPLIED
    before = pat.now() - timedelta(days=180, seconds=1)
    await mongo.collection("partners").update_one({"_id": ended.id}, {"$set": {"updated_at": before}})
    made = await other.ask(application())
    seen = await admin.ask(ReviewPartnership(partner_id=made.id))
    assert [(one.id, one.owner_id, one.state) for one in seen.related] == [(ended.id, pat.user_id, PartnerState.ENDED)]


async def test_an_appeal_is_answered_by_another_administrator_where_there_is_one(
    branches: Branches, mongo: Mongo
) -> None:
    pat, admin = await people(branches)
    made = await partner(pat, admin)
    await decide(admin, made.id, D.SUSPEND)
    await decide(admin, made.id, D.UPHOLD, note="Before any appeal")
    await pat.ask(AppealSuspension(partner_id=made.id, words=APPEAL))
    second = await branches.here.person("second", Role.ADMIN)
    links = mongo.collection("account_links")
    await links.insert_many([{"_id": one.user_id, "group": "lnk_1"} for one in (pat, second)])
    version = (await admin.ask(ReviewPartnership(partner_id=made.id))).partnership.version
    assert await raised(second, decision(made.id, D.LIFT, version)) == "own_partnership"
    third = await branches.here.person("third", Role.ADMIN)
    for kind in (D.LIFT, D.UPHOLD, D.END):
        assert await raised(admin, decision(made.id, kind, version)) == "own_suspension"
    await links.insert_many([{"_id": one.user_id, "group": "lnk_2"} for one in (admin, third)])
    fourth = await branches.here.person("fourth", Role.ADMIN)
    assert await raised(third, decision(made.id, D.LIFT, version)) == "own_suspension", "a linked account is one's own"
    assert await raised(fourth, decision(made.id, D.LIFT, version)) == "done"


async def test_the_only_administrator_who_may_answers_an_appeal_against_themselves(
    branches: Branches, mongo: Mongo
) -> None:
    pat, admin = await people(branches)
    made = await partner(pat, admin)
    await decide(admin, made.id, D.SUSPEND)
    await pat.ask(AppealSuspension(partner_id=made.id, words=APPEAL))
    second = await branches.here.person("second", Role.ADMIN)
    await mongo.collection("account_links").insert_many(
        [{"_id": one.user_id, "group": "lnk_1"} for one in (pat, second)]
    )
    assert (await decide(admin, made.id, D.LIFT)).partnership.state is PartnerState.APPROVED


async def test_a_suspension_can_be_appealed_once_and_every_answer_is_a_decision(branches: Branches) -> None:
    pat, admin = await people(branches)
    made = await partner(pat, admin)
    await decide(admin, made.id, D.SUSPEND)
    appeal = AppealSuspension(partner_id=made.id, words=APPEAL)
    assert (await pat.ask(appeal)).appealed_at is not None
    assert await raised(pat, appeal) == "appealed_already"
    assert "partnership.appealed" in await kinds(branches, admin)
    waiting = await admin.ask(ListPartnerships(state=PartnerState.SUSPENDED, appealed=True))
    assert [one.id for one in waiting.items] == [made.id]
    assert (await admin.ask(ReviewPartnership(partner_id=made.id))).appeal == APPEAL
    upheld = await decide(admin, made.id, D.UPHOLD)
    assert (upheld.appeal, upheld.partnership.state) == (None, PartnerState.SUSPENDED)
    assert (await admin.ask(ListPartnerships(state=PartnerState.SUSPENDED, appealed=True))).items == ()
    assert await raised(pat, appeal) == "appealed_already"
    await decide(admin, made.id, D.LIFT)
    await decide(admin, made.id, D.SUSPEND)
    assert await raised(pat, appeal) == "done"


async def test_of_many_who_decide_at_once_in_two_processes_one_wins(branches: Branches) -> None:
    pat, _ = await people(branches)
    made = await pat.ask(application())
    here, there = await branches.person("admin", Role.ADMIN)
    wanted = [decision(made.id, kind, 1) for kind in (D.APPROVE, D.REJECT)]
    outcomes = await all_at_once([(who, message) for who in (here, there) for message in wanted * 4])
    assert outcomes == {"done": 1, "partnership_changed": 15}
    assert await branches.count("partner_events", partner_id=made.id) == 1
    await branches.here.jobs_done()
    assert len([kind for kind in await kinds(branches, pat) if kind.startswith("partnership.")]) == 1


async def test_of_many_applications_of_one_person_at_once_one_is_taken(branches: Branches) -> None:
    here, there = await branches.person("pat")
    outcomes = await all_at_once([(who, application(f"Name {n}")) for n in range(8) for who in (here, there)])
    assert outcomes == {"done": 1, "partnership_exists": 15}
    assert await branches.count("partners", owner=here.user_id) == 1


async def test_a_withdrawal_against_a_decision_leaves_one_of_them(branches: Branches) -> None:
    pat, _ = await people(branches)
    _, there = await branches.person("admin", Role.ADMIN)
    made = await pat.ask(application())
    outcomes = await all_at_once(
        [(pat, WithdrawApplication(partner_id=made.id)), (there, decision(made.id, D.APPROVE, 1))]
    )
    assert outcomes["done"] == 1
    assert outcomes["illegal_move"] + outcomes["partnership_changed"] == 1


async def test_nobody_decides_about_their_own_or_a_linked_accounts(branches: Branches, mongo: Mongo) -> None:
    pat, admin = await people(branches)
    own = await admin.ask(application())
    assert await raised(admin, decision(own.id, D.APPROVE, 1)) == "own_partnership"
    made = await pat.ask(application())
    links = mongo.collection("account_links")
    await links.insert_many([{"_id": one.user_id, "group": "lnk_1"} for one in (pat, admin)])
    assert await raised(admin, decision(made.id, D.APPROVE, 1)) == "own_partnership"
    assert await raised(pat, decision(made.id, D.APPROVE, 1)) == "forbidden"
    assert await raised(pat, GetPartnership(partner_id=own.id)) == "not_found"
    assert await raised(pat, WithdrawApplication(partner_id=own.id)) == "not_found"


async def test_a_partner_earns_while_approved_and_their_account_open(branches: Branches) -> None:
    pat, admin = await people(branches)
    here = branches.here.process.system.context(request_id="test", trusted=True)
    made = await pat.ask(application())
    assert await here.ask(GetPartnerStanding(partner_id=made.id)) is None
    await decide(admin, made.id, D.APPROVE)
    found = await here.ask(GetPartnerStanding(partner_id=made.id))
    assert found is not None
    assert (found.partner_id, found.owner_id, found.commission_bp, found.earns) == (made.id, pat.user_id, 300, True)

    async def earns() -> bool:
        standing = await here.ask(GetPartnerStanding(partner_id=made.id))
        return standing is not None and standing.earns

    await admin.ask(SuspendAccount(user_id=pat.user_id, reason=NOTE))
    assert not await earns()
    await admin.ask(ReinstateAccount(user_id=pat.user_id, reason=NOTE))
    assert await earns()
    await decide(admin, made.id, D.SUSPEND)
    assert not await earns()
    await decide(admin, made.id, D.LIFT)
    assert await earns()
    await here.ask(LeavePartnerships(user_id=pat.user_id))
    assert not await earns()
    after = await admin.ask(ReviewPartnership(partner_id=made.id))
    assert (after.partnership.state, after.history[0].event) == (PartnerState.ENDED, "close")
    assert after.history[0].by == pat.user_id


async def test_administrators_read_what_waits_by_pages_newest_first(branches: Branches) -> None:
    admin = await branches.here.person("admin", Role.ADMIN)
    made = [await (await branches.here.person(f"pat-{n}")).ask(application()) for n in range(3)]
    first = await admin.ask(ListPartnerships(limit=2))
    second = await admin.ask(ListPartnerships(limit=2, cursor=first.next))
    assert [one.id for one in (*first.items, *second.items)] == [one.id for one in reversed(made)]
    assert second.next is None
    assert (await admin.ask(ListPartnerships(state=PartnerState.APPROVED))).items == ()


async def test_what_is_shown_is_what_is_paid_where_partners_get_less_than_they_did(branches: Branches) -> None:
    """It was approved when partners got 9 % at most; by now it is 5 %."""
    pat, admin = await people(branches)
    made = await partner(pat, admin)
    await branches.mongo.collection("partners").update_one({"_id": made.id}, {"$set": {"commission_bp": 900}})
    standing = await branches.here.process.context().ask(GetPartnerStanding(partner_id=made.id))
    (row,) = (await admin.ask(ListPartnerships(state=PartnerState.APPROVED))).items
    shown = [
        (await pat.ask(GetPartnership(partner_id=made.id))).commission_bp,
        (await pat.ask(ListMyPartnerships())).items[0].commission_bp,
        (await admin.ask(ReviewPartnership(partner_id=made.id))).partnership.commission_bp,
        row.commission_bp,
        standing.commission_bp if standing is not None else None,
    ]
    assert shown == [500] * 5
