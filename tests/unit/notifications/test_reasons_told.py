"""Whatever is decided against somebody, or kept from them, is told with a reason's code and with what they can do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from promptforge.actors.billing import notices as of_billing
from promptforge.actors.billing.payouts.messages import HoldReason
from promptforge.actors.billing.payouts.reasons import WAITS
from promptforge.actors.marketplace.listings.messages import TakeRevokedOffMarket
from promptforge.actors.marketplace.listings.revoked import revocation_notice
from promptforge.actors.marketplace.listings.store import Listing
from promptforge.actors.marketplace.messages import Category, Licence, ListingState
from promptforge.actors.marketplace.purchases import notices as of_purchases
from promptforge.actors.marketplace.purchases.messages import (
    DecideSaleAppeal,
    GrantRefund,
    RefuseRefund,
    RunsOutcome,
    TellRunHolders,
)
from promptforge.actors.marketplace.purchases.store import Purchase
from promptforge.actors.marketplace.reviews import notices as of_reviews
from promptforge.actors.marketplace.reviews.messages import RemoveReply, RemoveReview
from promptforge.actors.marketplace.reviews.store import Review
from promptforge.actors.marketplace.sealed.grounds import Ground
from promptforge.actors.marketplace.sealed.messages import DecideSuspicion, RunGround
from promptforge.actors.marketplace.sealed.store import Account
from promptforge.actors.marketplace.sealed.telling import decided_notices, stopped_notice
from promptforge.actors.moderation.messages import CaseKind, CaseState, CaseView, ReasonCode, Verdict
from promptforge.actors.moderation.notices import Outcome, notices_of
from promptforge.actors.notifications.kinds import KINDS
from promptforge.actors.notifications.messages import NotifyUser
from promptforge.actors.partnerships.messages import ChangeCommission, CommissionReason, PartnerState
from promptforge.actors.partnerships.partners.domain import Partner
from promptforge.actors.partnerships.partners.domain import Verdict as PartnerVerdict
from promptforge.actors.partnerships.partners.notices import commission_notice, decision_notice
from promptforge.actors.partnerships.partners.reasons import REASONS as PARTNERSHIP_REASONS
from promptforge.actors.partnerships.referrals.messages import DecideForfeitAppeal, DecideFrozenEarnings
from promptforge.actors.partnerships.referrals.notices import answer_notice, earnings_notice
from promptforge.actors.partnerships.referrals.reasons import ANSWERS
from promptforge.actors.partnerships.referrals.reasons import REASONS as EARNINGS_REASONS
from promptforge.actors.users.roles.messages import RoleChangeView, RoleReason
from promptforge.actors.users.roles.notices import roles_notice
from promptforge.actors.users.staff.messages import AccountView, SuspensionView
from promptforge.actors.users.staff.notices import decision_notice as account_notice
from promptforge.actors.users.staff.reasons import REASONS as ACCOUNT_REASONS
from promptforge.core.principal import Role

NOW = datetime(2026, 11, 26, tzinfo=UTC)
WHY = "Why (misleading): it says something else.\n\nWhat you can do: say what it does."
STATED = {"reason_code": "misleading", "public_note": "A note."}
LISTING = Listing(
    id="lst_1",
    seller_id="usr_seller",
    state=ListingState.PUBLISHED,
    revision=3,
    prompt_id="prm_1",
    version=1,
    content_hash="0" * 64,
    title="A title",
    summary="A summary",
    description="A description",
    category=Category.OTHER,
    tags=(),
    samples=(),
    price=10_000,
    licence=Licence.RUNS,
    review=None,
    created_at=NOW,
    updated_at=NOW,
    published_at=NOW,
)
PURCHASE = Purchase(
    id="pur_1",
    listing_id="lst_1",
    seller_id="usr_seller",
    buyer_id="usr_buyer",
    title="A title",
    prompt_id="prm_1",
    version=1,
    content_hash="0" * 64,
    licence=Licence.RUNS,
    price=10_000,
    seller_share=8_500,
    fee=1_500,
    journal_id="jrn_1",
    refund_policy="of tests",
    used_at=None,
    created_at=NOW,
)
REVIEW = Review(
    id="rvw_1",
    purchase_id="pur_1",
    listing_id="lst_1",
    seller_id="usr_seller",
    author_id="usr_buyer",
    version=1,
    stars=1,
    text="A text",
    counted=True,
    reply="A reply",
    replied_at=NOW,
    created_at=NOW,
    edited_at=None,
    removed_at=None,
)


def case(kind: CaseKind, verdict: Verdict) -> CaseView:
    return CaseView(
        id="cas_1",
        kind=kind,
        state=CaseState.DECIDED,
        listing_id="lst_1",
        revision=3,
        seller_id="usr_seller",
        title="A title",
        reason=None,
        purchase_id=None,
        times=1,
        severity=None,
        claim=None,
        decision=verdict,
        reason_code=ReasonCode.MISLEADING,
        public_note="It says something else.",
        internal_note=None,
        decided_by="usr_moderator",
        decided_at=NOW,
        created_at=NOW,
    )


def of_listings() -> Iterator[NotifyUser]:
    for kind, verdict in (
        (CaseKind.REVIEW, Verdict.REJECT),
        (CaseKind.REVIEW, Verdict.REQUEST_CHANGES),
        (CaseKind.REPORT, Verdict.SUSPEND),
        (CaseKind.PROPOSED_CHANGE, Verdict.REJECT),
        (CaseKind.PROPOSED_CHANGE, Verdict.REQUEST_CHANGES),
    ):
        yield from notices_of(case(kind, verdict), Outcome(NOW, of_appeal=False), bringers=())
    revoked = TakeRevokedOffMarket(package_id="pkg_1", number=1, reason="It spies.")
    for sold in (True, False):
        yield revocation_notice(LISTING, revoked, sold=sold)


def of_sales() -> Iterator[NotifyUser]:
    for because in (of_purchases.WITHIN_POLICY, of_purchases.PAYMENT_DISPUTED, of_purchases.given_back("As asked.")):
        yield from of_purchases.refunded(PURCHASE, because, None)
    grant = GrantRefund(purchase_id="pur_1", case_id="cas_1", words="Words.", to_buyer=WHY, to_seller=WHY, **STATED)
    yield from of_purchases.refunded(PURCHASE, of_purchases.given_back("As granted."), grant)
    refusal = RefuseRefund(purchase_id="pur_1", explanation=WHY, **STATED)
    yield of_purchases.refused(PURCHASE, refusal, appeal_until=NOW)
    upheld = DecideSaleAppeal(
        purchase_id="pur_1", case_id="cas_1", granted=False, words="Words.", explanation=WHY, **STATED
    )
    yield of_purchases.sale_appeal_heard(PURCHASE, upheld, 0)[0]


def of_runs() -> Iterator[NotifyUser]:
    ground = Ground(RunGround.PURCHASE, LISTING, 1, "0" * 64, {}, "pur_1", ("usr_buyer",), Account())
    yield stopped_notice(ground, "usr_buyer", "run_1")
    for outcome in (RunsOutcome.STOPPED, RunsOutcome.STOPPED_FOR_GOOD):
        words = "Why (misleading): it says something else."
        told = TellRunHolders(
            listing_id="lst_1", decision="cas_1", outcome=outcome, words=words, reason_code="misleading"
        )
        yield of_purchases.runs_judged(PURCHASE, told)
    decided = DecideSuspicion(
        case_id="cas_1",
        listing_id="lst_1",
        subject="usr_buyer",
        upheld=True,
        words="Words.",
        explanation=WHY,
        to_seller=WHY,
        **STATED,
    )
    yield from decided_notices(decided, ["usr_buyer"], appeal_until=NOW)


def of_what_was_written() -> Iterator[NotifyUser]:
    yield of_reviews.removed(REVIEW, RemoveReview(review_id="rvw_1", case_id="cas_1", explanation=WHY, **STATED), NOW)
    yield of_reviews.reply_removed(
        REVIEW, RemoveReply(review_id="rvw_1", case_id="cas_1", explanation=WHY, **STATED), NOW
    )


def of_money() -> Iterator[NotifyUser]:
    for why in HoldReason:
        yield of_billing.payout_held("pay_1", "usr_seller", (why, "The bank says so."), moment=NOW)
    for code in WAITS:
        yield of_billing.payout_waits("pay_1", "usr_seller", code, "It is not there yet")
    yield of_billing.payout_returned("pay_1", "usr_seller", "50", "Stripe refused the transfer (account_closed)")
    yield of_billing.payout_reversed("pay_1", "usr_seller", "50", 5000)
    yield of_billing.bank_details_changed("usr_seller", "ba_2")
    yield of_billing.credits_frozen("top_1", "usr_buyer", 5000, "dp_1")
    for code in (of_billing.PAYMENT_REFUNDED, of_billing.PAYMENT_DISPUTED):
        yield of_billing.credits_taken_back("jrn_1", "usr_buyer", code, taken=5000, owed=100)
    for code in (of_billing.SALE_REFUNDED, of_billing.SALE_UNDONE):
        yield of_billing.credits_owed("jrn_1", "usr_seller", 100, code)


PARTNER = Partner(
    id="ptn_1",
    owner="usr_seller",
    name="A name",
    plan="A plan",
    website=None,
    state=PartnerState.APPROVED,
    version=3,
    commission_bp=500,
    verdict=None,
    appeal=None,
    appealed_at=None,
    appeal_used=False,
    created_at=NOW,
    updated_at=NOW,
)


def of_partnerships() -> Iterator[NotifyUser]:
    for code, reason in PARTNERSHIP_REASONS.items():
        for decision in reason.decisions:
            verdict = PartnerVerdict(decision, code, "A note.", NOW)
            yield decision_notice(replace(PARTNER, verdict=verdict))
    for why in CommissionReason:
        changed = ChangeCommission(partner_id="ptn_1", version=3, commission_bp=400, note="A note.", reason_code=why)
        yield commission_notice(PARTNER, replace(PARTNER, commission_bp=400), changed)
    for earned, of_earnings in EARNINGS_REASONS.items():
        for fate in of_earnings.decisions:
            decided = DecideFrozenEarnings(
                partner_id="ptn_1", term=0, decision=fate, reason="A note.", reason_code=earned
            )
            yield earnings_notice(PARTNER, decided, NOW)
    for answered, of_answers in ANSWERS.items():
        for answer in of_answers.decisions:
            heard = DecideForfeitAppeal(
                partner_id="ptn_1", term=0, decision=answer, reason="A note.", reason_code=answered
            )
            yield answer_notice(PARTNER, heard)


ACCOUNT = AccountView(
    id="usr_seller",
    email=None,
    handle=None,
    display_name=None,
    roles=(Role.USER,),
    suspended=True,
    suspension=SuspensionView("A note.", "usr_admin", NOW, appeal_until=NOW),
    closed_at=None,
    created_at=NOW,
)


def of_roles() -> Iterator[NotifyUser]:
    for code in RoleReason:
        for after in ((Role.USER,), (Role.USER, Role.SELLER)):
            yield roles_notice(RoleChangeView("rch_1", "usr_seller", (Role.USER,), after, None, "A note.", NOW, code))


def of_accounts() -> Iterator[NotifyUser]:
    for code, reason in ACCOUNT_REASONS.items():
        for event in reason.decisions:
            yield account_notice(ACCOUNT, event, (code, "A note."), at=NOW)


TOLD = [
    *of_listings(),
    *of_sales(),
    *of_runs(),
    *of_what_was_written(),
    *of_money(),
    *of_partnerships(),
    *of_accounts(),
    *of_roles(),
]
REASONED = {name for name, kind in KINDS.items() if kind.reasoned}


def test_each_kind_that_tells_of_a_decision_against_somebody_is_here() -> None:
    better = {"partnership.approved", "partnership.lifted", "partnership.earnings_restored", "account.reinstated"}
    assert {notice.kind for notice in TOLD} - better == REASONED


@pytest.mark.parametrize(
    "notice", [*of_money(), *of_partnerships(), *of_accounts(), *of_roles()], ids=lambda notice: notice.kind
)
def test_it_says_how_it_can_be_appealed_or_why_not(notice: NotifyUser) -> None:
    """What is told of listings has it in the moderators' reasons."""
    if notice.kind in REASONED and notice.subject.get("decision") != "release":
        assert "appeal" in notice.body or "apply again" in notice.body


@pytest.mark.parametrize("notice", TOLD, ids=lambda notice: f"{notice.kind}-{notice.subject.get('reason_code')}")
def test_it_has_a_reason_code_and_says_what_can_be_done(notice: NotifyUser) -> None:
    code = notice.subject.get("reason_code")
    assert code, "programs read the code"
    assert f"Why ({code}): " in notice.body, "and people the reason"
    assert "What you can do: " in notice.body or "nothing that you have to do" in notice.body
