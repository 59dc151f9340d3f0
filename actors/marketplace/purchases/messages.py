"""Refunds that buyers ask for, and what other features ask about purchases."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from annotated_types import Len

from promptforge.actors.marketplace.messages import ListingId, PurchaseId, PurchaseView, SaleView, Words
from promptforge.core.messages import Command, Query, internal, requires


class RunsOutcome(StrEnum):
    """What a decision about a listing means for runs of it."""

    STOPPED = "stopped"
    STOPPED_FOR_GOOD = "stopped_for_good"
    """The appeal against the suspension was heard."""
    GO_ON = "go_on"


@requires(scope="purchases:write", while_suspended=True, fresh=True)
class RequestRefund(Command[PurchaseView]):
    """Ask for your credits back.

    Within the refund policy, while the purchase is unused, they come at once. Otherwise a moderator decides, and you
    are told why: `refund` says how it stands. 409 `purchase_refunded`, `refund_pending`, `refund_refused`.
    """

    purchase_id: PurchaseId
    words: Words


@requires(scope="purchases:write", while_suspended=True, fresh=True)
class AppealRefund(Command[PurchaseView]):
    """Appeal the refusal of a refund, once: another moderator than the one who refused decides, and that is final.

    409 `nothing_to_appeal` where none was refused or the refusal is final, `already_appealed`, `purchase_refunded`, and
    `appeal_too_late` once the refusal's `appeal_until` has passed.
    """

    purchase_id: PurchaseId
    words: Words


@requires(scope="listings:write", while_suspended=True, fresh=True)
class AppealSaleRefund(Command[SaleView]):
    """Appeal a refund that a moderator granted of a sale of yours, once: another moderator decides, and that is final.

    The buyer keeps what they were given back. If the appeal is granted, the platform gives you what the refund took of
    your share, as payable as it was. 409 `nothing_to_appeal` where no moderator has granted one, it cost you nothing or
    was decided for good, `already_appealed`, and `appeal_too_late` once `ruling.appeal_until` has passed.
    """

    purchase_id: PurchaseId
    words: Words


@internal
class IsSaleAppealed(Query[bool]):
    """Whether an appeal of its seller against a refund is to be decided; not any more where their account is closed."""

    purchase_id: PurchaseId


@internal
class DecideSaleAppeal(Command[None]):
    """A moderator has heard a seller's appeal against a refund. If it is `granted`, the platform makes them whole.

    `words` are what the ledger keeps, `explanation` what the seller is told. Raises `NothingToAppeal` where there is
    nothing to decide.
    """

    purchase_id: PurchaseId
    case_id: Annotated[str, Len(1, 64)]
    granted: bool
    reason_code: Annotated[str, Len(1, 50)]
    public_note: Annotated[str, Len(1, 2000)]
    words: Annotated[str, Len(3, 500)]
    explanation: Annotated[str, Len(1, 3500)]


@internal
class GrantRefund(Command[PurchaseView]):
    """A moderator has granted a refund: the credits go back, and the purchase, where it was asked for, says why. Its
    seller can appeal it.

    `words` are what the ledger keeps; `to_buyer` and `to_seller` what they are told of the reason and of what to do.
    """

    purchase_id: PurchaseId
    case_id: Annotated[str, Len(1, 64)]
    reason_code: Annotated[str, Len(1, 50)]
    public_note: Annotated[str, Len(1, 2000)]
    words: Annotated[str, Len(3, 500)]
    to_buyer: Annotated[str, Len(1, 3500)]
    to_seller: Annotated[str, Len(1, 3500)]


@internal
class RefuseRefund(Command[PurchaseView]):
    """A moderator has refused what a buyer asked for, or appealed; the purchase says why.

    `explanation` is what the buyer is told of the reason and of what can be done. Raises `NoRefundRequested`.
    """

    purchase_id: PurchaseId
    reason_code: Annotated[str, Len(1, 50)]
    public_note: Annotated[str, Len(1, 2000)]
    explanation: Annotated[str, Len(1, 5000)]


@internal
class TellHolders(Command[int]):
    """Tell those who bought an earlier version of a listing that this one is sold by now, each once.

    A page of them behind the purchase `after`, and then the next one; answers how many were told. Nobody hears of what
    is off the market, or of a version that another one has followed.
    """

    listing_id: ListingId
    version: int
    after: str = ""


@internal
class TellRunHolders(Command[int]):
    """Tell those who hold runs of a listing that moderators have stopped them or let them go on, each once.

    A page of them behind the purchase `after`, and then the next one; answers how many were told. `outcome` names what
    was decided, `words` and `reason_code` say why, and `decision` is one of a kind for each decision.
    """

    listing_id: ListingId
    decision: Annotated[str, Len(1, 64)]
    outcome: RunsOutcome
    words: Annotated[str, Len(1, 500)]
    reason_code: str = ""
    after: str = ""


@internal
class HasBought(Query[bool]):
    """Whether one of these people has ever bought the listing, given back or not."""

    user_ids: tuple[str, ...]
    listing_id: ListingId


@internal
class IsRefundWaiting(Query[bool]):
    """Whether its buyer still waits for a decision: they have asked, or appealed, and the account is theirs.

    Not where the purchase was given back meanwhile, in another way: its payment was disputed, or the policy had it
    refunded at once.
    """

    purchase_id: PurchaseId


@internal
class GiveBackUse(Command[None]):
    """A run that was counted as a use of the purchase has ended without an answer: where none other goes on or has
    answered, it is unused again.

    Only in the transaction that ends the run, which is what makes it once for each.
    """

    purchase_id: PurchaseId


@internal
class ListPackageBuyers(Query[tuple[tuple[str, str], ...]]):
    """Purchase and buyer of those who have a package's version, by its number, behind a purchase, at most `limit`."""

    package_id: str
    number: int
    after: str = ""
    limit: int = 100


@internal
class ListSoldVersions(Query[tuple[tuple[str, int], ...]]):
    """The versions of a seller's prompts and packages, by number, that others have bought, given back or not."""

    seller_id: Annotated[str, Len(1, 64)]


@internal
class ListBoughtVersions(Query[tuple[tuple[str, int], ...]]):
    """The versions of these prompts that somebody has bought, given back or not, whoever sold them."""

    prompt_ids: tuple[str, ...]
