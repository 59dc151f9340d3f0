"""The table of moves: what leads where, who may make it, and what is said where it is not possible."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import TypeAdapter

from promptforge.actors.notifications.kinds import KINDS
from promptforge.actors.notifications.messages import NotifyUser
from promptforge.actors.partnerships.errors import IllegalMove, PartnershipChanged
from promptforge.actors.partnerships.messages import (
    ChangeCommission,
    PartnershipDecision,
    PartnershipReason,
    PartnerState,
)
from promptforge.actors.partnerships.partners.domain import FINAL, MOVES, Move, Partner, Verdict, decided
from promptforge.actors.partnerships.partners.notices import commission_notice, decision_notice, waiting_notices
from promptforge.actors.partnerships.partners.reasons import REASONS

NOW = datetime(2026, 11, 26, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
NOTICE: TypeAdapter[NotifyUser] = TypeAdapter(NotifyUser)
LONGEST = "x" * 2000


def partner(state: PartnerState = PartnerState.APPLIED, name: str = "The Prompt Review") -> Partner:
    return Partner(
        id="ptn_1",
        owner="usr_1",
        state=state,
        name=name,
        website=None,
        plan="A weekly letter",
        commission_bp=300,
        version=7,
        verdict=None,
        appeal=None,
        appealed_at=None,
        appeal_used=False,
        created_at=NOW,
        updated_at=NOW,
    )


@pytest.mark.parametrize(("state", "move"), list(itertools.product(PartnerState, Move)))
def test_a_move_leads_where_the_table_says_or_is_refused_with_what_is_possible(state: PartnerState, move: Move) -> None:
    to = MOVES[state].get(move)
    if to is not None:
        after = partner(state).moved(move, now=LATER)
        assert (after.state, after.version, after.updated_at) == (to, 8, LATER)
        return
    with pytest.raises(IllegalMove) as refused:
        partner(state).moved(move, now=LATER)
    named = refused.value.extra["legal_moves"]
    assert isinstance(named, list)
    assert refused.value.extra["state"] == state
    assert all(one in MOVES[state] for one in named)
    assert Move.CLOSE not in named, "nobody asks for that"


def test_what_is_final_stays_so_and_what_is_not_can_always_end() -> None:
    assert {PartnerState.REJECTED, PartnerState.WITHDRAWN, PartnerState.ENDED} == FINAL
    for state in set(PartnerState) - FINAL:
        assert MOVES[state][Move.CLOSE] in FINAL


def test_every_state_can_be_reached_from_an_application() -> None:
    reached, before = {PartnerState.APPLIED}, set[PartnerState]()
    while reached != before:
        before = set(reached)
        reached |= {to for state in before for to in MOVES[state].values()}
    assert reached == set(PartnerState)


def test_every_decision_has_a_reason_and_every_reason_a_decision() -> None:
    assert set(REASONS) == set(PartnershipReason)
    assert {one for reason in REASONS.values() for one in reason.decisions} == set(PartnershipDecision)


def test_an_old_version_is_told_what_it_is_now() -> None:
    partner().expect(7)
    for version in (6, 8):
        with pytest.raises(PartnershipChanged) as refused:
            partner().expect(version)
        assert refused.value.extra == {"state": "applied", "version": 7, "legal_moves": ["approve", "reject"]}


@pytest.mark.parametrize(
    ("decision", "reason"), [(decision, code) for code, one in REASONS.items() for decision in one.decisions]
)
def test_partners_are_told_of_every_decision_with_words_that_fit(
    decision: PartnershipDecision, reason: PartnershipReason
) -> None:
    state = next(one for one in PartnerState if Move(decision.value) in MOVES[one])
    verdict = Verdict(decision, reason, LONGEST, LATER)
    appealed = replace(partner(state, name="y" * 80), appeal="Why?", appealed_at=NOW, appeal_used=True)
    commission_bp = 250 if decision is PartnershipDecision.APPROVE else None
    after = decided(appealed, verdict, commission_bp=commission_bp, appeal_for=timedelta(days=184))
    assert (after.appeal, after.appealed_at) == (None, None)
    assert after.commission_bp == (250 if decision is PartnershipDecision.APPROVE else 300)
    notice = decision_notice(after)
    NOTICE.validate_python(notice)
    assert KINDS[notice.kind].mandatory
    assert all(words in notice.body for words in (LONGEST, REASONS[reason].words, REASONS[reason].next_step))
    until = LATER + timedelta(days=184)
    can_appeal = decision is PartnershipDecision.SUSPEND
    assert after.view().appeal_until == (until if can_appeal else None)
    assert (f"You can appeal until {until:%Y-%m-%d}." in notice.body) is can_appeal


def test_administrators_are_told_of_others_applications_only() -> None:
    told = waiting_notices(partner(), "applied", 1, ["usr_1", "usr_2"])
    assert [one.user_id for one in told] == ["usr_2"]
    assert all(one.kind in KINDS for one in told)
    assert waiting_notices(partner(), "appealed", 3, ["usr_2"])[0].kind in KINDS


def test_a_commission_is_told_in_percent() -> None:
    changed = ChangeCommission(partner_id="ptn_1", version=1, commission_bp=1205, note="A good year")
    notice = commission_notice(partner(), replace(partner(), commission_bp=1205), changed)
    assert "got 3 % of sales and gets 12.05 %" in notice.body
    assert notice.kind in KINDS
