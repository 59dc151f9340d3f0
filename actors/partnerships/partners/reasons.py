"""The reasons of decisions about partnerships: their words, and what the partner can do next."""

from __future__ import annotations

from promptforge.actors.partnerships.messages import (
    CommissionReason,
    PartnershipDecision,
    PartnershipReason,
    PartnershipReasonView,
)
from promptforge.core.reasons import Reason, Stated

_D = PartnershipDecision
_AGAIN = "You can apply again from the day that the partnership names (apply_again_at)."
_APPEAL = (
    "If you think that this is wrong, appeal, once and in your own words (POST /partnerships/{id}/appeal). "
    "What you have earned is kept until it is decided."
)
_APPEAL_OR_AGAIN = f"While it is suspended: {_APPEAL} Where it has ended: {_AGAIN}"
_NOTHING = "There is nothing that you have to do."


REASONS: dict[PartnershipReason, Reason[PartnershipDecision]] = {
    PartnershipReason.GOOD_FIT: Reason(
        (_D.APPROVE,),
        "What you do reaches people who have a use for prompts.",
        "Make a referral code and a link, and an app if a program of yours is to call the API.",
    ),
    PartnershipReason.SAYS_TOO_LITTLE: Reason(
        (_D.REJECT,),
        "The application does not say enough about whom you reach, and how.",
        f"{_AGAIN} Say who reads, watches or uses what you make, and where it can be seen.",
    ),
    PartnershipReason.NO_FIT: Reason(
        (_D.REJECT,), "The people whom you reach are not those who would buy here.", f"{_AGAIN} Say what has changed."
    ),
    PartnershipReason.MISLEADING: Reason(
        (_D.REJECT, _D.SUSPEND),
        "What you say of the service, or of yourself, is not so.",
        "Correct what the note names. Whoever was rejected can apply again from apply_again_at on; "
        "whoever is suspended can appeal (POST /partnerships/{id}/appeal).",
    ),
    PartnershipReason.BROKEN_TERMS: Reason(
        (_D.SUSPEND, _D.END), "The terms for partners were broken.", _APPEAL_OR_AGAIN
    ),
    PartnershipReason.SUSPICIOUS_TRAFFIC: Reason(
        (_D.SUSPEND,), "The clicks or sign-ups of your links do not look like people's.", _APPEAL
    ),
    PartnershipReason.UNDER_REVIEW: Reason(
        (_D.SUSPEND,), "Something is being looked into, and nothing is decided about it yet.", _APPEAL
    ),
    PartnershipReason.FRAUD: Reason(
        (_D.SUSPEND, _D.END), "Commissions were earned by deceit, or somebody tried to.", _APPEAL_OR_AGAIN
    ),
    PartnershipReason.RESOLVED: Reason((_D.LIFT,), "What was wrong has been put right.", _NOTHING),
    PartnershipReason.MISTAKEN: Reason((_D.LIFT,), "The decision before was mistaken.", f"{_NOTHING} We are sorry."),
    PartnershipReason.UNCHANGED: Reason(
        (_D.UPHOLD,),
        "Your appeal was read, and does not change the decision.",
        "There is no other appeal, until something changes; the note says what would.",
    ),
    PartnershipReason.PARTNER_ASKED: Reason((_D.END,), "You asked for it.", _AGAIN),
    PartnershipReason.INACTIVE: Reason((_D.END,), "Nobody has come through you for a long time.", _AGAIN),
}


_FROM_NOW_ON = (
    "It counts for sales from now on, and takes nothing that you have earned, so there is no appeal. If it is not "
    "worth it to you any more, you can ask for an end."
)
COMMISSIONS: dict[CommissionReason, Stated] = {
    CommissionReason.AGREED: Stated("It was agreed with you.", _FROM_NOW_ON),
    CommissionReason.MORE_SALES: Stated("More people buy who come through you.", _FROM_NOW_ON),
    CommissionReason.FEWER_SALES: Stated("Fewer people buy who come through you.", _FROM_NOW_ON),
    CommissionReason.NEW_TERMS: Stated("The terms for partners have changed.", _FROM_NOW_ON),
    CommissionReason.OTHER: Stated("The note says why.", _FROM_NOW_ON),
}


def views() -> tuple[PartnershipReasonView, ...]:
    """All of them."""
    return tuple(
        PartnershipReasonView(code, reason.decisions, reason.words, reason.next_step)
        for code, reason in REASONS.items()
    )
