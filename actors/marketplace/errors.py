"""What can be in the way of a sale."""

from __future__ import annotations

from typing import Self

from promptforge.core.errors import Conflict, Forbidden


class IllegalMove(Conflict):
    code = "illegal_move"
    title = "The listing is not in a state that allows this"


class StaleRevision(Conflict):
    code = "stale_revision"
    title = "The listing has changed since you read it"


class ListingMoved(Conflict):
    code = "listing_moved"
    title = "The listing is no longer what was reviewed"


class AlreadyAppealed(Conflict):
    code = "already_appealed"
    title = "This decision was appealed before, and each can be appealed once"


class NothingToAppeal(Conflict):
    code = "nothing_to_appeal"
    title = "There is no decision that could be appealed"


class NoProposal(Conflict):
    code = "no_proposal"
    title = "Nothing is proposed for this listing"


class EvidenceMismatch(Conflict):
    code = "evidence_mismatch"
    title = "The evaluation is not of the version that the listing sells"


class NotForSale(Conflict):
    code = "not_for_sale"
    title = "The listing is not for sale at present"


class PriceChanged(Conflict):
    code = "price_changed"
    title = "The price is not the expected one any more"


class LicenceChanged(Conflict):
    code = "licence_changed"
    title = "The listing is not sold under the expected licence any more"


class AlreadyOwned(Conflict):
    code = "already_owned"
    title = "You own this already"


class OwnListing(Forbidden):
    code = "own_listing"
    title = "You cannot buy what you sell yourself"


class NotRunnable(Conflict):
    code = "not_runnable"
    title = "This listing is not one that can be run"


class RunsNotBought(Forbidden):
    code = "runs_not_bought"
    title = "You have not bought runs of this listing, and it has no trials for you"


class ListingSuspended(Conflict):
    code = "listing_suspended"
    title = "A moderator has suspended the listing: it cannot be run at present"


class TrialsUsedUp(Conflict):
    code = "trials_used_up"
    title = "You have used up your trials of this listing"


class RunsStopped(Forbidden):
    code = "runs_stopped"
    title = "Outputs of several runs had the sealed text in them; a moderator is looking at that"


class RunsBarred(Forbidden):
    code = "runs_barred"
    title = "A moderator has found that your runs were after the sealed text: you can neither run nor buy runs of it"

    @classmethod
    def of(cls, listing_id: str) -> Self:
        """Also for who was linked to those people later, and was told nothing then."""
        where = f"/marketplace/listings/{listing_id}/runs/ruling"
        return cls(f"{cls.title}. GET {where} says why, and until when that can be appealed.")


class NoSuspicion(Conflict):
    code = "no_suspicion"
    title = "Nobody's runs of this listing are stopped"


class ReviewRemoved(Conflict):
    code = "review_removed"
    title = "A moderator has removed your review of this purchase"


class ReplyRemoved(Conflict):
    code = "reply_removed"
    title = "A moderator has removed your reply to this review"


class RefundPending(Conflict):
    code = "refund_pending"
    title = "A moderator is looking at your request for this refund"


class RefundRefused(Conflict):
    code = "refund_refused"
    title = "A moderator has refused this refund; the purchase says why"


class NoRefundRequested(Conflict):
    code = "no_refund_requested"
    title = "Nobody waits for a decision about a refund of this purchase"


class PurchaseRefunded(Conflict):
    code = "purchase_refunded"
    title = "This purchase was refunded: it is not yours any more"
