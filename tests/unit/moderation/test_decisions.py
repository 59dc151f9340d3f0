"""What the seller is told, what a decision must say, and when a case is still about its listing."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import TypeAdapter, ValidationError

from promptforge.actors.marketplace.messages import Category, Decision, Licence, ListingState, ListingView
from promptforge.actors.moderation.domain import notice_of, waits_for
from promptforge.actors.moderation.messages import CaseState, CaseView, DecideCase
from promptforge.actors.notifications.messages import NotifyUser

NOW = datetime(2026, 11, 23, tzinfo=UTC)
NOTICE: TypeAdapter[NotifyUser] = TypeAdapter(NotifyUser)
DECIDE: TypeAdapter[DecideCase] = TypeAdapter(DecideCase)
DECISION = {"case_id": "cas_1", "decision": "approve", "reason_code": "fine", "public_note": "Good."}


def case(title: str = "A title", *, revision: int = 2) -> CaseView:
    return CaseView(
        id="cas_1",
        state=CaseState.OPEN,
        listing_id="lst_1",
        revision=revision,
        seller_id="usr_seller",
        title=title,
        decision=None,
        reason_code=None,
        public_note=None,
        internal_note="only for moderators",
        decided_by=None,
        decided_at=None,
        created_at=NOW,
    )


def listing(state: ListingState, revision: int) -> ListingView:
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
        review=None,
        created_at=NOW,
        updated_at=NOW,
        published_at=None,
    )


@pytest.mark.parametrize("decision", Decision)
def test_every_decision_tells_the_seller_what_and_why(decision: Decision) -> None:
    notice = notice_of(case(), decision, reason_code="too_short", public_note="Say more.")
    assert notice.user_id == "usr_seller"
    assert notice.kind.startswith("listing.")
    assert "A title" in notice.title
    assert all(words in notice.body for words in ("A title", "too_short", "Say more."))
    assert notice.subject == {"case_id": "cas_1", "listing_id": "lst_1", "reason_code": "too_short"}
    assert "only for moderators" not in repr(notice)


def test_no_two_decisions_are_told_alike_and_one_case_is_told_once() -> None:
    notices = [notice_of(case(), decision, reason_code="why", public_note="Because.") for decision in Decision]
    assert len({notice.kind for notice in notices}) == len({notice.title for notice in notices}) == len(Decision)
    assert len({notice.dedupe_key for notice in notices}) == 1


def test_the_longest_texts_and_odd_titles_still_make_a_notice() -> None:
    title = "{0} {title} %s " + "t" * 105
    notice = notice_of(case(title), Decision.REJECT, reason_code="r" * 50, public_note="{note}" + "n" * 1994)
    assert title in notice.title
    assert NOTICE.validate_python(NOTICE.dump_python(notice)) == notice


@pytest.mark.parametrize("state", ListingState)
def test_a_case_is_about_exactly_the_revision_in_review(state: ListingState) -> None:
    assert waits_for(listing(state, 2), case(revision=2)) is (state is ListingState.IN_REVIEW)
    assert not waits_for(listing(state, 4), case(revision=2))


@pytest.mark.parametrize(
    "wrong",
    [
        {"decision": "burn"},
        {"reason_code": ""},
        {"reason_code": "Has Spaces"},
        {"reason_code": "r" * 51},
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
