"""What people are told, what a decision must say, which decisions there are, and when a case has become moot."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest
from pydantic import TypeAdapter, ValidationError

from promptforge.actors.marketplace.messages import Category, Decision, Licence, ListingState, ListingView, ReviewNote
from promptforge.actors.moderation.domain import GRANTED, LEGAL, check_legal, legal_decisions, waits_for
from promptforge.actors.moderation.errors import IllegalDecision
from promptforge.actors.moderation.messages import CaseKind, CaseState, CaseView, DecideCase, ReasonCode, Verdict
from promptforge.actors.moderation.notices import Outcome, notices_of
from promptforge.actors.moderation.reasons import REASONS
from promptforge.actors.notifications.messages import NotifyUser
from promptforge.core.errors import Invalid
from promptforge.core.reasons import check_reason

NOW = datetime(2026, 11, 23, tzinfo=UTC)
NOTICE: TypeAdapter[NotifyUser] = TypeAdapter(NotifyUser)
DECIDE: TypeAdapter[DecideCase] = TypeAdapter(DecideCase)
DECISION = {"case_id": "cas_1", "decision": "approve", "reason_code": "meets_guidelines", "public_note": "Good."}
POSSIBLE = sorted(
    {(kind, verdict) for kind, states in LEGAL.items() for verdicts in states.values() for verdict in verdicts}
)


def case(
    title: str = "A title",
    *,
    kind: CaseKind = CaseKind.REVIEW,
    revision: int = 2,
    decision: Verdict | None = None,
    reason: ReasonCode = ReasonCode.MISLEADING,
    note: str = "Say more.",
) -> CaseView:
    return CaseView(
        id="cas_1",
        kind=kind,
        state=CaseState.OPEN if decision is None else CaseState.DECIDED,
        listing_id="lst_1",
        revision=revision,
        seller_id="usr_seller",
        title=title,
        reason=None,
        purchase_id="pur_1" if kind in {CaseKind.REFUND, CaseKind.EXTRACTION} else None,
        times=1,
        severity=None,
        claim=None,
        decision=decision,
        reason_code=reason,
        public_note=note,
        internal_note="only for moderators",
        decided_by="usr_moderator",
        decided_at=NOW,
        created_at=NOW,
    )


def listing(state: ListingState, revision: int = 2, *, appealed: bool = False) -> ListingView:
    review = ReviewNote(Decision.REJECT, "misleading", "No.", NOW, appealed_at=NOW if appealed else None)
    return ListingView(
        id="lst_1",
        seller_id="usr_seller",
        state=state,
        revision=revision,
        prompt_id="prm_1",
        version=1,
        title="A title",
        summary="A summary",
        description="A description",
        category=Category.OTHER,
        tags=(),
        price="1",
        licence=Licence.SOURCE,
        review=review,
        created_at=NOW,
        updated_at=NOW,
        published_at=None,
    )


def told(one: CaseView, *, appeal_until: datetime | None = None) -> list[NotifyUser]:
    outcome = Outcome(appeal_until, of_appeal=one.kind is CaseKind.APPEAL)
    return notices_of(one, outcome, bringers=["usr_reporter", "usr_another"])


def fitting(verdict: Verdict) -> ReasonCode:
    return next(code for code, reason in REASONS.items() if verdict in reason.decisions)


@pytest.mark.parametrize(("kind", "verdict"), POSSIBLE)
def test_every_decision_tells_those_whom_it_concerns_why(kind: CaseKind, verdict: Verdict) -> None:
    reason = fitting(verdict)
    notices = told(case(kind=kind, decision=verdict, reason=reason))
    concerned = {notice.user_id for notice in notices}
    if verdict not in {Verdict.DISMISS, Verdict.REFUND, Verdict.REMOVE, Verdict.REMOVE_REPLY, *GRANTED}:
        assert "usr_seller" in concerned, "it changes their listing"
    if kind in {CaseKind.REPORT, CaseKind.REVIEW_REPORT}:
        assert {"usr_reporter", "usr_another"} < concerned | {""}
    for notice in notices:
        assert "A title" in notice.title
        assert REASONS[reason].words in notice.body
        assert notice.subject["reason_code"] == reason
        assert "only for moderators" not in repr(notice)
        assert "usr_moderator" not in repr(notice), "who decided is not for them"
        assert NOTICE.validate_python(NOTICE.dump_python(notice)) == notice


@pytest.mark.parametrize("verdict", [Verdict.REQUEST_CHANGES, Verdict.REJECT])
def test_the_seller_reads_what_to_do_and_the_note(verdict: Verdict) -> None:
    (notice,) = told(case(decision=verdict))
    assert "Say more." in notice.body
    assert REASONS[ReasonCode.MISLEADING].next_step in notice.body


@pytest.mark.parametrize(
    ("kind", "verdict", "may_appeal"),
    [
        (CaseKind.REVIEW, Verdict.REJECT, True),
        (CaseKind.REPORT, Verdict.SUSPEND, True),
        (CaseKind.REVIEW, Verdict.REQUEST_CHANGES, False),
        (CaseKind.APPEAL, Verdict.REJECT, False),
        (CaseKind.APPEAL, Verdict.SUSPEND, False),
    ],
)
def test_who_may_appeal_reads_how_and_who_may_not_reads_that_it_is_final(
    kind: CaseKind, verdict: Verdict, *, may_appeal: bool
) -> None:
    notice = told(
        case(kind=kind, decision=verdict), appeal_until=datetime(2027, 5, 29, tzinfo=UTC) if may_appeal else None
    )[0]
    assert notice.user_id == "usr_seller"
    assert ("appeal until 2027-05-29" in notice.body) is may_appeal
    assert ("POST /marketplace/listings/lst_1/appeal" in notice.body) is may_appeal
    assert ("That is final" in notice.body) is (kind is CaseKind.APPEAL)


def test_a_reporter_hears_the_outcome_and_not_what_was_noted_for_the_seller() -> None:
    _, first, second = told(case(kind=CaseKind.REPORT, decision=Verdict.SUSPEND, note="Only for Carla."))
    assert (first.user_id, second.user_id) == ("usr_reporter", "usr_another")
    assert "off the market" in first.body
    assert "Only for Carla." not in first.body
    dismissed = told(case(kind=CaseKind.REPORT, decision=Verdict.DISMISS, reason=ReasonCode.UNFOUNDED))
    assert [notice.user_id for notice in dismissed] == ["usr_reporter", "usr_another"], "nothing happened to the seller"


def test_no_two_decisions_are_told_alike_and_each_person_is_told_once() -> None:
    reviewed = LEGAL[CaseKind.REVIEW][ListingState.IN_REVIEW]
    notices = [told(case(decision=verdict, reason=fitting(verdict)))[0] for verdict in reviewed]
    assert len({notice.kind for notice in notices}) == len({notice.title for notice in notices}) == len(reviewed)
    assert len({notice.dedupe_key for notice in notices}) == 1
    reported = told(case(kind=CaseKind.REPORT, decision=Verdict.SUSPEND))
    assert len({notice.dedupe_key for notice in reported}) == len(reported) == 3


def test_the_longest_texts_and_odd_titles_still_make_a_notice() -> None:
    title = "{0} {title} %s " + "t" * 105
    longest = max((code for code in ReasonCode if Verdict.REJECT in REASONS[code].decisions), key=_length)
    (notice,) = told(case(title, decision=Verdict.REJECT, reason=longest, note="{note}" + "n" * 1994))
    assert title in notice.title
    assert NOTICE.validate_python(NOTICE.dump_python(notice)) == notice


def _length(code: ReasonCode) -> int:
    return len(REASONS[code].words) + len(REASONS[code].next_step)


def test_every_reason_has_words_and_every_decision_a_reason() -> None:
    assert set(REASONS) == set(ReasonCode)
    assert {verdict for reason in REASONS.values() for verdict in reason.decisions} == set(Verdict)
    assert all(reason.words.endswith(".") and reason.next_step.endswith(".") for reason in REASONS.values())
    assert len({reason.words for reason in REASONS.values()}) == len(REASONS)


@pytest.mark.parametrize(("code", "verdict"), [*itertools.product(ReasonCode, Verdict)])
def test_a_reason_is_for_the_decisions_that_it_says(code: ReasonCode, verdict: Verdict) -> None:
    if verdict in REASONS[code].decisions:
        check_reason(REASONS, code, verdict)
        return
    with pytest.raises(Invalid) as refused:
        check_reason(REASONS, code, verdict)
    (error,) = refused.value.errors
    assert error.pointer == "/reason_code"
    assert fitting(verdict) in error.detail


@pytest.mark.parametrize(("kind", "state"), [*itertools.product(CaseKind, ListingState)])
def test_an_illegal_decision_is_refused_and_the_legal_ones_are_named(kind: CaseKind, state: ListingState) -> None:
    legal = legal_decisions(kind, state)
    for verdict in Verdict:
        if verdict in legal:
            check_legal(kind, state, verdict)
            continue
        with pytest.raises(IllegalDecision) as refused:
            check_legal(kind, state, verdict)
        assert refused.value.extra["legal_decisions"] == [one.value for one in legal]


def test_nothing_but_a_review_or_an_appeal_puts_a_new_listing_on_the_market() -> None:
    approving = {kind for kind, verdict in POSSIBLE if verdict is Verdict.APPROVE}
    assert approving == {CaseKind.REVIEW, CaseKind.PROPOSED_CHANGE, CaseKind.APPEAL}
    assert legal_decisions(CaseKind.REPORT, ListingState.DRAFT) == ()


@pytest.mark.parametrize("state", ListingState)
def test_a_review_is_about_exactly_the_revision_in_review(state: ListingState) -> None:
    assert waits_for(listing(state), case(revision=2)) is (state is ListingState.IN_REVIEW)
    assert not waits_for(listing(state, 4), case(revision=2))


@pytest.mark.parametrize("state", ListingState)
def test_an_appeal_waits_while_it_is_the_last_word(state: ListingState) -> None:
    against = state in {ListingState.REJECTED, ListingState.SUSPENDED}
    assert waits_for(listing(state, appealed=True), case(kind=CaseKind.APPEAL)) is against
    assert not waits_for(listing(state), case(kind=CaseKind.APPEAL)), "nobody has appealed"


@pytest.mark.parametrize("state", ListingState)
def test_a_report_waits_while_the_listing_could_be_seen_or_come_back(state: ListingState) -> None:
    seen = state in {ListingState.PUBLISHED, ListingState.UNLISTED, ListingState.SUSPENDED}
    assert waits_for(listing(state, 9), case(kind=CaseKind.REPORT)) is seen
    assert waits_for(listing(state, 9), case(kind=CaseKind.REFUND)), "a purchase outlives the listing"


@pytest.mark.parametrize(
    "wrong",
    [
        {"decision": "burn"},
        {"reason_code": ""},
        {"reason_code": "because"},
        {"public_note": ""},
        {"public_note": "  \n "},
        {"public_note": "n" * 2001},
        {"public_note": "a\u202eb"},
        {"public_note": None},
        {"internal_note": ""},
    ],
)
def test_a_decision_has_a_reason_and_words(wrong: dict[str, object]) -> None:
    DECIDE.validate_python(DECISION)
    with pytest.raises(ValidationError):
        DECIDE.validate_python({**DECISION, **wrong})
