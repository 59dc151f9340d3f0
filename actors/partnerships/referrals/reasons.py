"""The reasons of decisions about frozen earnings: their words, and what the partner can do next."""

from __future__ import annotations

from promptforge.actors.partnerships.referrals.messages import EarningsReason, FreezeDecision
from promptforge.core.reasons import Reason

_RELEASE, _FORFEIT = FreezeDecision.RELEASE, FreezeDecision.FORFEIT
_NOTHING = "There is nothing that you have to do: what has settled can be collected."
_FINAL = (
    "This is decided once and for good, so it cannot be appealed itself: the credits are in the fee again that they "
    "came out of. While your partnership is suspended, you can appeal that (POST /partnerships/{id}/appeal)."
)

REASONS: dict[EarningsReason, Reason[FreezeDecision]] = {
    EarningsReason.EARNED: Reason((_RELEASE,), "It was looked into, and they were earned as they should be.", _NOTHING),
    EarningsReason.MISTAKEN: Reason((_RELEASE,), "They should not have been frozen.", f"{_NOTHING} We are sorry."),
    EarningsReason.SUSPICIOUS_TRAFFIC: Reason(
        (_FORFEIT,), "The clicks or sign-ups that they came from do not look like people's.", _FINAL
    ),
    EarningsReason.BROKEN_TERMS: Reason((_FORFEIT,), "They were earned by breaking the terms for partners.", _FINAL),
    EarningsReason.FRAUD: Reason((_FORFEIT,), "They were earned by deceit.", _FINAL),
    EarningsReason.OTHER: Reason((_RELEASE, _FORFEIT), "The note says why.", _FINAL),
}


def next_step(code: EarningsReason, decision: FreezeDecision) -> str:
    """What is released needs nothing, whatever the reason."""
    return _NOTHING if code is EarningsReason.OTHER and decision is _RELEASE else REASONS[code].next_step
