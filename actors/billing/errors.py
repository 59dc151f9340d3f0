"""What can go wrong with credits and payments."""

from __future__ import annotations

from promptforge.core.errors import Conflict, Forbidden, PromptForgeError, Unavailable


class InsufficientCredits(PromptForgeError):
    code = "insufficient_credits"
    status = 402
    title = "You do not have enough credits"


class DebtOutstanding(PromptForgeError):
    """Spending is blocked until what was taken back from spent credits is paid."""

    code = "debt_outstanding"
    status = 402
    title = "You owe credits; pay them first"


class BudgetSpent(Conflict):
    """Nobody's credits are left to pay for another trial with."""

    code = "trial_budget_spent"
    title = "The seller's budget for trials of this listing is used up at present"


class FreezeDecided(Conflict):
    """`extra` has the state. Of two who decide at once one wins, and the other hears this."""

    code = "freeze_decided"
    title = "Somebody has decided about these earnings already"


class ForfeitAppealed(Conflict):
    code = "appealed_already"
    title = "You have appealed against this decision already"


class NothingForfeited(Conflict):
    code = "nothing_to_appeal"
    title = "There is no decision about these earnings that could be appealed, or no appeal that could be decided"


class SelfPurchase(Conflict):
    code = "self_purchase"
    title = "Nobody buys from themselves"


class JournalMismatch(Conflict):
    """A business key came back with other facts: the same purchase with another price, say. Nothing was posted."""

    code = "journal_mismatch"
    title = "This was posted before, and differently"


class MoneyMismatch(Conflict):
    """A balance transaction of Stripe's came again with other amounts, which Stripe says never happens."""

    code = "money_mismatch"
    title = "This movement of money was posted before, and differently"


class UnreadableMoney(PromptForgeError):
    """Stripe told of money in a way that this version does not understand; nothing of that page was posted."""

    code = "unreadable_money"
    status = 502
    title = "What the payment provider tells of money is not understood"


class NothingOwed(Conflict):
    code = "nothing_owed"
    title = "They do not owe that much"


class PayoutNotOpen(Conflict):
    """It is being sent, was sent, or was given back: of two who end a payout differently, one is too late."""

    code = "payout_not_open"
    title = "The payout has moved on"


class PayoutOnHold(Conflict):
    code = "payout_on_hold"
    title = "Payouts are on hold for this account"


class PaymentLost(Conflict):
    code = "payment_lost"
    title = "The payment behind this sale was lost to a dispute or to fraud: nobody is made whole for it"


class LinkedSales(PayoutOnHold):
    """Something that linked accounts have brought is not withheld yet."""


class OwnAdjustment(Forbidden):
    code = "own_adjustment"
    title = "Another operator decides this: nobody approves their own request, or one for themselves"


class AdjustmentDecided(Conflict):
    code = "adjustment_decided"
    title = "This was decided already"


class RecipientClosed(Conflict):
    code = "recipient_closed"
    title = "The account is closed, or about to be erased: nobody could spend these credits"


class GrantTooLarge(PromptForgeError):
    code = "grant_too_large"
    status = 422
    title = "That is more than one grant may give"


class UnknownCheckout(PromptForgeError):
    """Stripe tells of a session that no checkout here has. It may be ours and not stored yet, so it is tried again."""

    code = "unknown_checkout"
    status = 404
    title = "No checkout has this session"
    retryable = True


class ReportRebuilt(Conflict):
    code = "report_rebuilt"
    title = "The report was added up twice since you began to read it: begin again"


class EventApplied(Conflict):
    code = "event_applied"
    title = "This event has been applied; there is nothing to replay"


class WaiverOutdated(Conflict):
    """Nobody can have agreed to a text that they were not shown; `version` is the present one's."""

    code = "waiver_outdated"
    title = "The withdrawal waiver has another version by now"


class AlreadySubscribed(Conflict):
    code = "already_subscribed"
    title = "You have a subscription already; it can be changed in the billing portal"


class NotSubscribed(Conflict):
    code = "not_subscribed"
    title = "This subscription is not going on"


class UnknownSubscription(PromptForgeError):
    """Stripe tells of a subscription that is not ours, or not yet: it is tried again."""

    code = "unknown_subscription"
    status = 404
    title = "Nothing here has this subscription"
    retryable = True


class UnknownPayment(PromptForgeError):
    """Stripe tells of a payment whose credits were never granted here. They may be yet, so it is tried again."""

    code = "unknown_payment"
    status = 404
    title = "No credits were granted for this payment"
    retryable = True


class UnknownAtStripe(PromptForgeError):
    """An object that an event or a document here names, and Stripe has not got (any more)."""

    code = "unknown_at_stripe"
    status = 502
    title = "The payment provider does not know this"
    retryable = True


class CustomerGone(UnknownAtStripe):
    """The customer of whoever buys was deleted at Stripe: another one has to be made."""


class UnreadableAnswer(PromptForgeError):
    """Stripe's answer has another shape than its API has."""

    code = "unreadable_answer"
    status = 502
    title = "The payment provider's answer cannot be read"


class StripeUnavailable(Unavailable):
    """Stripe did not answer, or is too busy: whether it did what was asked is not known. The same key is sent again."""

    code = "stripe_unavailable"
    title = "The payment provider does not answer just now"


class StripeRefused(PromptForgeError):
    """Stripe answered with an error, and would answer the same to the same idempotency key."""

    code = "stripe_refused"
    status = 502
    title = "The payment provider refused this"


class StripeDeclined(StripeRefused):
    """Stripe answered with an error that it replays to the same key. `reason` is its code, or its type without one."""

    def __init__(self, reason: str, http_status: int) -> None:
        super().__init__(f"The payment provider refused this: {reason}")
        self.reason = reason
        self.http_status = http_status


class NothingEarned(Forbidden):
    """Payouts are for whoever sells, and for whoever has sold or brought a sale, whatever roles they have by now."""

    code = "nothing_earned"
    title = "You have earned nothing that could be paid out"


class NotOnboarded(Conflict):
    code = "not_onboarded"
    title = "Say first where the money goes: your onboarding at Stripe is not finished"


class PayoutsDisabled(Conflict):
    """Stripe wants more details of the seller; `requirements_due` names them."""

    code = "payouts_disabled"
    title = "Stripe does not pay out to your account at present"


class BankDetailsTooNew(Conflict):
    """Whoever took over an account changes its bank details first: so new ones have to wait."""

    code = "bank_details_too_new"
    title = "Your bank details have changed lately; payouts wait until they are older"


class PayoutTooSmall(PromptForgeError):
    code = "payout_too_small"
    status = 422
    title = "That is less than the least payout"


class PayoutNotWhole(PromptForgeError):
    """Banks take whole minor units only, of some currencies in steps; `nearest_amount` is the next lower that fits."""

    code = "payout_not_whole"
    status = 422
    title = "That is no amount that can be paid out in your currency"


class PayoutUnderWay(Conflict):
    code = "payout_under_way"
    title = "Another payout of yours is under way"
