"""Why payouts wait, are held or come back: the reasons' words, and what sellers can do."""

from __future__ import annotations

from collections.abc import Mapping

from promptforge.actors.billing.payouts.messages import HoldReason
from promptforge.core.reasons import Stated

REFUSED = "refused_by_stripe"
SHORT_OF_FUNDS = "platform_short_of_funds"
STRIPE_SILENT = "stripe_unavailable"
RELEASED = "released"

_DRAW_BACK = "You can cancel the payout (POST /billing/payouts/{id}/cancel): the credits are yours again."
_NO_APPEAL = (
    "A hold takes nothing from you and decides nothing, so there is nothing to appeal: an operator releases the "
    f"payout, or tells you what is missing. {_DRAW_BACK}"
)
_ITSELF = "It goes on by itself, without a decision that could be appealed."

HOLDS: Mapping[HoldReason, Stated] = {
    HoldReason.BANK_ACCOUNT_IN_DOUBT: Stated(
        "It is not certain that the bank account is yours.",
        "Check your bank details (POST /billing/connect/onboarding), and have a statement of your bank at hand. "
        f"{_NO_APPEAL}",
    ),
    HoldReason.IDENTITY_IN_DOUBT: Stated(
        "It is not certain who the account belongs to.",
        f"Give what Stripe wants to know (GET /billing/connect, requirements_due). {_NO_APPEAL}",
    ),
    HoldReason.SALES_UNDER_REVIEW: Stated(
        "Sales that the credits come from are being looked at.", f"There is nothing that you have to do. {_NO_APPEAL}"
    ),
    HoldReason.LEGAL_ORDER: Stated(
        "A court or an authority has ordered it.",
        "Turn to whoever ordered it: nobody here can lift it, so there is no appeal here. The credits stay yours.",
    ),
    HoldReason.OTHER: Stated("It is looked at before it is sent.", f"Read what the operator says here. {_NO_APPEAL}"),
}

WAITS: Mapping[str, str] = {
    "not_onboarded": f"Give Stripe your details (POST /billing/connect/onboarding). {_DRAW_BACK} {_ITSELF}",
    "payouts_disabled": (
        f"Give Stripe what it wants to know (GET /billing/connect, requirements_due). {_DRAW_BACK} {_ITSELF}"
    ),
    "bank_details_too_new": (
        "If you have not changed your bank details, secure your account here and at Stripe, and cancel the payout. "
        f"{_DRAW_BACK} {_ITSELF}"
    ),
    "debt_outstanding": f"Pay what you owe: by buying credits, by selling, or by cancelling. {_DRAW_BACK} {_ITSELF}",
    "payout_on_hold": (
        "Wait until the dispute is decided, or until what linked accounts have brought is looked through. "
        f"{_DRAW_BACK} {_ITSELF}"
    ),
    "account_suspended": "What you were told of the suspension says how to appeal. It goes on once that has ended.",
}
"""By the codes of what is in a payout's way; `payout.reason` says which details are meant."""

RETURNED = (
    "Correct your details (POST /billing/connect/onboarding) and ask for another payout. Stripe has decided this, so "
    "it cannot be appealed here."
)
REVERSED = (
    "Stripe has decided this, so it cannot be appealed here. Look at your account there, and ask for another payout."
)
