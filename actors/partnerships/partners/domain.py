"""The states of a partnership and the moves between them: this table is all there is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from promptforge.actors.partnerships.errors import IllegalMove, PartnershipChanged
from promptforge.actors.partnerships.messages import (
    PartnershipDecision,
    PartnershipDecisionView,
    PartnershipReason,
    PartnershipRowView,
    PartnershipView,
    PartnerState,
)
from promptforge.actors.partnerships.partners.reasons import REASONS
from promptforge.core.errors import FieldError, Invalid

_S = PartnerState


class Move(StrEnum):
    """What can happen to a partnership: decisions, what its owner does, and its end with the owner's account."""

    APPROVE = PartnershipDecision.APPROVE.value
    REJECT = PartnershipDecision.REJECT.value
    SUSPEND = PartnershipDecision.SUSPEND.value
    LIFT = PartnershipDecision.LIFT.value
    UPHOLD = PartnershipDecision.UPHOLD.value
    END = PartnershipDecision.END.value
    COMMISSION = "commission"
    WITHDRAW = "withdraw"
    APPEAL = "appeal"
    CLOSE = "close"


MOVES: dict[PartnerState, dict[Move, PartnerState]] = {
    _S.APPLIED: {
        Move.APPROVE: _S.APPROVED,
        Move.REJECT: _S.REJECTED,
        Move.WITHDRAW: _S.WITHDRAWN,
        Move.CLOSE: _S.WITHDRAWN,
    },
    _S.APPROVED: {
        Move.SUSPEND: _S.SUSPENDED,
        Move.END: _S.ENDED,
        Move.COMMISSION: _S.APPROVED,
        Move.CLOSE: _S.ENDED,
    },
    _S.SUSPENDED: {
        Move.LIFT: _S.APPROVED,
        Move.UPHOLD: _S.SUSPENDED,
        Move.END: _S.ENDED,
        Move.COMMISSION: _S.SUSPENDED,
        Move.APPEAL: _S.SUSPENDED,
        Move.CLOSE: _S.ENDED,
    },
    _S.REJECTED: {},
    _S.WITHDRAWN: {},
    _S.ENDED: {},
}
FINAL = frozenset(state for state, moves in MOVES.items() if not moves)
FOR_CAUSE = frozenset({PartnershipReason.FRAUD, PartnershipReason.BROKEN_TERMS})
"""An end for these freezes what has not settled, as a suspension does."""
JUDGED = frozenset(_S) - {_S.WITHDRAWN}
"""What says something of an applicant; what was withdrawn could hide it."""
WAITING_DAYS = {_S.REJECTED: 30, _S.ENDED: 180}
"""Until one can apply again, after the decision; accounts that share a card or a bank account wait for each other."""
RETHINKING = timedelta(days=1)
"""Whoever withdrew may apply again at once, but who withdraws that as well waits: administrators are told of each."""
_OWNERS = frozenset({Move.WITHDRAW, Move.APPEAL})
_DECISIONS = frozenset(Move(decision.value) for decision in PartnershipDecision)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The last decision about a partnership, as it is kept in its document."""

    decision: PartnershipDecision
    reason_code: PartnershipReason
    note: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Partner:
    """A partnership as stored. Every change makes `version` greater by one, and is on the condition of the one before.

    `appeal` and `appealed_at` are there while an appeal waits; `appeal_used` until the next suspension, which can be
    appealed until `appeal_until`.
    `rethought`: its owner had withdrawn another application less than a day before it.
    """

    id: str
    owner: str
    state: PartnerState
    name: str
    website: str | None
    plan: str
    commission_bp: int | None
    version: int
    verdict: Verdict | None
    appeal: str | None
    appealed_at: datetime | None
    appeal_used: bool
    created_at: datetime
    updated_at: datetime
    rethought: bool = False
    appeal_until: datetime | None = None

    def view(self) -> PartnershipView:
        return PartnershipView(
            id=self.id,
            state=self.state,
            name=self.name,
            website=self.website,
            plan=self.plan,
            commission_bp=self.commission_bp,
            version=self.version,
            decision=None if self.verdict is None else _decision_view(self.verdict),
            appealed_at=self.appealed_at,
            appeal_until=self.appeal_until if self.can_appeal else None,
            apply_again_at=self.apply_again_at,
            created_at=self.created_at,
            updated_at=self.updated_at,
        )

    def row(self) -> PartnershipRowView:
        return PartnershipRowView(
            id=self.id,
            owner_id=self.owner,
            state=self.state,
            name=self.name,
            commission_bp=self.commission_bp,
            version=self.version,
            appealed_at=self.appealed_at,
            created_at=self.created_at,
            updated_at=self.updated_at,
        )

    @property
    def can_appeal(self) -> bool:
        """But for the time that it has."""
        return Move.APPEAL in MOVES[self.state] and not self.appeal_used

    @property
    def apply_again_at(self) -> datetime | None:
        """None where it goes on."""
        if self.state not in FINAL:
            return None
        if self.state is _S.WITHDRAWN:
            return self.updated_at + (RETHINKING if self.rethought else timedelta())
        return self.updated_at + timedelta(days=WAITING_DAYS[self.state])

    def is_rethought(self, now: datetime) -> bool:
        """Whether applying anew now is going back on a withdrawal."""
        return self.state is _S.WITHDRAWN and now < self.updated_at + RETHINKING

    @property
    def legal_decisions(self) -> tuple[PartnershipDecision, ...]:
        return tuple(PartnershipDecision(move.value) for move in MOVES[self.state] if move in _DECISIONS)

    @property
    def ended_for_cause(self) -> bool:
        """By a decision that what it has earned may not be paid after."""
        verdict = self.verdict
        if self.state is not PartnerState.ENDED or verdict is None:
            return False
        return verdict.decision is PartnershipDecision.END and verdict.reason_code in FOR_CAUSE

    def expect(self, version: int) -> None:
        """Raises `PartnershipChanged`."""
        if version != self.version:
            raise PartnershipChanged(
                f"It is {self.state} now, in version {self.version}, and you have read version {version}",
                extra={"state": self.state.value, "version": self.version, **self._possible(_DECISIONS)},
            )

    def moved(self, move: Move, *, now: datetime) -> Partner:
        """It after the move, with the next version. Raises `IllegalMove`, which names those that are legal."""
        to = MOVES[self.state].get(move)
        if to is None:
            whose = _OWNERS if move in _OWNERS else _DECISIONS | {Move.COMMISSION}
            possible = self._possible(whose)
            named = ", ".join(possible["legal_moves"]) or "nothing"
            raise IllegalMove(
                f"A partnership that is {self.state} knows no {move}; possible now: {named}",
                extra={"state": self.state.value, **possible},
            )
        return replace(self, state=to, version=self.version + 1, updated_at=now)

    def _possible(self, whose: frozenset[Move]) -> dict[str, list[str]]:
        return {"legal_moves": [move.value for move in MOVES[self.state] if move in whose]}


def decided(partner: Partner, verdict: Verdict, *, commission_bp: int | None, appeal_for: timedelta) -> Partner:
    """After a decision. An appeal is answered by every one of them; a new suspension can be appealed against anew."""
    moved = partner.moved(Move(verdict.decision.value), now=verdict.at)
    suspended = verdict.decision is PartnershipDecision.SUSPEND
    return replace(
        moved,
        verdict=verdict,
        commission_bp=moved.commission_bp if commission_bp is None else commission_bp,
        appeal=None,
        appealed_at=None,
        appeal_used=moved.appeal_used and not suspended,
        appeal_until=verdict.at + appeal_for if suspended else moved.appeal_until,
    )


def check_commission(commission_bp: int | None, decision: PartnershipDecision | None, most: int) -> None:
    """Raises `Invalid`. Without a decision it is a change of the commission alone."""
    wanted = decision is None or decision is PartnershipDecision.APPROVE
    if wanted and commission_bp is None:
        raise _invalid("An approval says what the partner gets", "missing")
    if not wanted and commission_bp is not None:
        raise _invalid("Only an approval has a commission", "unexpected_commission")
    if commission_bp is not None and commission_bp > most:
        raise _invalid(f"A partner gets {most} basis points at most", "commission_too_high")


def _invalid(detail: str, code: str) -> Invalid:
    return Invalid("The commission is not valid", errors=(FieldError(detail, code, pointer="/commission_bp"),))


def _decision_view(verdict: Verdict) -> PartnershipDecisionView:
    reason = REASONS[verdict.reason_code]
    return PartnershipDecisionView(
        decision=verdict.decision,
        reason_code=verdict.reason_code,
        words=reason.words,
        next_step=reason.next_step,
        note=verdict.note,
        decided_at=verdict.at,
    )
