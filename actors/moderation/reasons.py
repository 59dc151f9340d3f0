"""The reasons of decisions: which decisions each is for, its words, and what the people concerned can do next."""

from __future__ import annotations

from promptforge.actors.moderation.messages import ReasonCode, ReasonView, Verdict
from promptforge.core.reasons import Reason

_CHANGES, _REJECT, _SUSPEND = Verdict.REQUEST_CHANGES, Verdict.REJECT, Verdict.SUSPEND
_AGAINST = (_CHANGES, _REJECT, _SUSPEND)
_REMOVED = (Verdict.REMOVE, Verdict.REMOVE_REPLY)

_REVIEWER = "The purchase stays yours. Another review of it cannot be written."


REASONS: dict[ReasonCode, Reason[Verdict]] = {
    ReasonCode.MEETS_GUIDELINES: Reason(
        (Verdict.APPROVE,), "It meets the guidelines.", "There is nothing that you have to do."
    ),
    ReasonCode.TOO_VAGUE: Reason(
        (_CHANGES,),
        "The description does not say what the prompt is for, or what comes out of it.",
        "Say what goes in and what comes out, best with an example, and submit it again.",
    ),
    ReasonCode.WRONG_DETAILS: Reason(
        (_CHANGES,),
        "Title, category, tags or price do not fit what is offered.",
        "Correct what the note names and submit it again.",
    ),
    ReasonCode.POOR_QUALITY: Reason(
        (_CHANGES, _REJECT),
        "The prompt does not do reliably what it is offered for.",
        "Improve and test it; an evaluation of the version that you sell is the best evidence.",
    ),
    ReasonCode.MISLEADING: Reason(
        _AGAINST,
        "What the listing says is not what the buyer gets.",
        "Make the description say what the prompt does, no more.",
    ),
    ReasonCode.PERSONAL_DATA: Reason(
        _AGAINST,
        "The prompt or the listing holds personal data.",
        "Remove names, addresses and numbers of real people, or put variables in their places.",
    ),
    ReasonCode.SECRETS: Reason(
        _AGAINST,
        "The prompt or the listing holds a key, a password or another secret.",
        "Revoke the secret where it is from, because others have seen it, and put a variable in its place.",
    ),
    ReasonCode.COPIED: Reason(
        (_REJECT, _SUSPEND),
        "It is, in large parts, somebody else's listing.",
        "Offer what you wrote yourself. Where you are its author, appeal and say how that can be seen.",
    ),
    ReasonCode.INFRINGES_RIGHTS: Reason(
        (_REJECT, _SUSPEND),
        "It uses a name, a work or a trade mark without the right to do so.",
        "Remove what belongs to others, or appeal with the permission that you have.",
    ),
    ReasonCode.HARMFUL: Reason(
        (_REJECT, _SUSPEND),
        "It is made to harm, deceive or harass people, or to get around safeguards.",
        "It cannot be offered here.",
    ),
    ReasonCode.ILLEGAL: Reason(
        (_REJECT, _SUSPEND), "What it offers or helps with is against the law.", "It cannot be offered here."
    ),
    ReasonCode.SPAM: Reason(
        (_REJECT, _SUSPEND),
        "It is advertising, empty, or one of many listings of the same.",
        "Offer one listing for what can be used, without advertising.",
    ),
    ReasonCode.MISTAKEN: Reason(
        (Verdict.APPROVE, Verdict.LIFT, Verdict.RESTORE, Verdict.COMPENSATE),
        "The decision before was mistaken.",
        "There is nothing that you have to do. We are sorry.",
    ),
    ReasonCode.RESOLVED: Reason(
        (Verdict.APPROVE, Verdict.LIFT), "What was wrong has been put right.", "There is nothing that you have to do."
    ),
    ReasonCode.UNFOUNDED: Reason(
        (Verdict.DISMISS,),
        "What was said was looked into, and nothing against the rules was found.",
        "What is changed later can be reported again.",
    ),
    ReasonCode.OUTSIDE_POLICY: Reason(
        (Verdict.DISMISS,),
        "The refund policy of the purchase does not cover this.",
        "The policy is on the purchase. You can write a review of what you bought.",
    ),
    ReasonCode.NOT_AS_DESCRIBED: Reason(
        (Verdict.REFUND,),
        "What was bought is not what the listing said.",
        "The credits are back; the purchase is no longer in the library.",
    ),
    ReasonCode.DOES_NOT_WORK: Reason(
        (Verdict.REFUND,),
        "What was bought does not do what it was bought for.",
        "The credits are back; the purchase is no longer in the library.",
    ),
    ReasonCode.EXTRACTION: Reason(
        (Verdict.REFUND,),
        "Runs of the sealed prompt were made to get at its text.",
        "The credits are back; the listing can no longer be run with this purchase.",
    ),
    ReasonCode.ABUSIVE: Reason(_REMOVED, "It insults, threatens or harasses people.", _REVIEWER),
    ReasonCode.OFF_TOPIC: Reason(_REMOVED, "It is not about what was bought, or is advertising.", _REVIEWER),
    ReasonCode.TELLS_SECRETS: Reason(
        _REMOVED, "It gives away personal data, or the text of what was bought.", _REVIEWER
    ),
}

_MEND = "Mend what the note names, so that the next buyers get what they pay for."
SELLERS_NEXT = {
    ReasonCode.NOT_AS_DESCRIBED: _MEND,
    ReasonCode.DOES_NOT_WORK: _MEND,
    ReasonCode.EXTRACTION: "There is nothing that you have to do.",
}
"""Of refunds: what the seller can do next. The reasons themselves speak to the buyer."""
_REPLIER = "The review stays. Another reply to it cannot be written."
REPLIERS_NEXT = dict.fromkeys((ReasonCode.ABUSIVE, ReasonCode.OFF_TOPIC, ReasonCode.TELLS_SECRETS), _REPLIER)
"""Of replies to reviews: what the seller can do next. The reasons themselves speak to the review's author."""
REFUSED_NEXT = {
    ReasonCode.UNFOUNDED: "The purchase stays yours, and you can write a review of what you bought.",
}
"""Of refunds that are refused: what the buyer can do next. The reasons themselves speak to who reported."""


def views() -> tuple[ReasonView, ...]:
    """All of them."""
    return tuple(ReasonView(code, reason.decisions, reason.words, reason.next_step) for code, reason in REASONS.items())
