"""The reasons of decisions about frozen earnings, and of the answers to appeals: their words, and what the partner can
do next.
"""

from __future__ import annotations

from promptforge.actors.partnerships.referrals.messages import (
    AppealDecision,
    AppealReason,
    EarningsReason,
    FreezeDecision,
)
from promptforge.core.reasons import Reason

_RELEASE, _FORFEIT = FreezeDecision.RELEASE, FreezeDecision.FORFEIT
_NOTHING = "There is nothing that you have to do: what has settled can be collected."
_APPEAL = (
    "The credits are in the fee again that they came out of. If you think that this is wrong, appeal, once and in your "
    "own words: another administrator decides, and what was not refunded since comes back where they agree with you"
)

REASONS: dict[EarningsReason, Reason[FreezeDecision]] = {
    EarningsReason.EARNED: Reason((_RELEASE,), "It was looked into, and they were earned as they should be.", _NOTHING),
    EarningsReason.MISTAKEN: Reason((_RELEASE,), "They should not have been frozen.", f"{_NOTHING} We are sorry."),
    EarningsReason.SUSPICIOUS_TRAFFIC: Reason(
        (_FORFEIT,), "The clicks or sign-ups that they came from do not look like people's.", _APPEAL
    ),
    EarningsReason.BROKEN_TERMS: Reason((_FORFEIT,), "They were earned by breaking the terms for partners.", _APPEAL),
    EarningsReason.FRAUD: Reason((_FORFEIT,), "They were earned by deceit.", _APPEAL),
    EarningsReason.OTHER: Reason((_RELEASE, _FORFEIT), "The note says why.", _APPEAL),
}


_REVERSE, _UPHOLD = AppealDecision.REVERSE, AppealDecision.UPHOLD
_BACK = (
    "There is nothing that you have to do: what has settled can be collected, and the rest settles with its sales. "
    "What was refunded meanwhile does not come back."
)
_STAYS = "There is no other appeal. What you had earned before, and what you earn from now on, is not touched by it."

ANSWERS: dict[AppealReason, Reason[AppealDecision]] = {
    AppealReason.EARNED: Reason(
        (_REVERSE,), "It was looked into again, and they were earned as they should be.", _BACK
    ),
    AppealReason.MISTAKEN: Reason((_REVERSE,), "They should not have been forfeited.", f"{_BACK} We are sorry."),
    AppealReason.UNCHANGED: Reason((_UPHOLD,), "Your appeal was read, and does not change the decision.", _STAYS),
    AppealReason.OTHER: Reason((_REVERSE, _UPHOLD), "The note says why.", _STAYS),
}


def next_answer(code: AppealReason, decision: AppealDecision) -> str:
    """`other` is for both, and what comes next is as for the others."""
    return _BACK if code is AppealReason.OTHER and decision is _REVERSE else ANSWERS[code].next_step


def next_step(code: EarningsReason, decision: FreezeDecision) -> str:
    """What is released needs nothing, whatever the reason."""
    return _NOTHING if code is EarningsReason.OTHER and decision is _RELEASE else REASONS[code].next_step
