"""Credits that were paid for, and how many of them a refund or a dispute of their charge takes back.

What is taken depends on which claims on the charge stand, never on their order: after every claim the credits taken are
ceil(credits × money claimed / money captured), and never more than were given. So a refund and a dispute of one charge
take nothing twice, and whatever order their events come in, the end is the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from promptforge.actors.billing.ledger.domain import Account, Fund, Journal, JournalKind, Leg, Owed, Platform
from promptforge.actors.billing.ledger.holdings import Holdings
from promptforge.core.amounts import from_millicredits

TOPPED_UP_BY = "topup:"
"""How the keys of the journals of checkout sessions begin."""
UNDOING = "undoing"
"""What else than a dispute freezes a payment's credits: sales that they paid for are still to be undone."""


class ClaimKind(StrEnum):
    REFUND = "refund"
    DISPUTE = "dispute"


@dataclass(frozen=True, slots=True)
class Claim:
    """A refund (`re_…`) or a dispute (`dp_…`) of a charge, in the minor units of the money that was captured.

    One that does not stand has failed, or was won: it takes nothing any more, also where it is heard of again.
    `undoes`: a dispute, or a refund for fraud. What the charge paid for was no honest sale then.
    """

    id: str
    kind: ClaimKind
    amount: int
    stands: bool = True
    undoes: bool = False

    @property
    def take_key(self) -> str:
        return f"refund:{self.id}" if self.kind is ClaimKind.REFUND else f"dispute:{self.id}:withdrawn"

    @property
    def give_key(self) -> str:
        return f"refund:{self.id}:failed" if self.kind is ClaimKind.REFUND else f"dispute:{self.id}:reinstated"


@dataclass(frozen=True, slots=True)
class Taken:
    """A piece of what was taken back, and where it came from: it returns there if it has to be given back."""

    account: Account
    amount: int
    lot: str | None = None


@dataclass(frozen=True, slots=True)
class Topup:
    """Credits that one payment brought, and the claims on its charge. `id` is the key of the payment's journal.

    `pieces` are what was taken back so far, in order. `frozen_by` names the open disputes, and is `UNDOING` as well
    until the last sale is undone that has to be: while there is one, the lot is not spent and what it paid for does not
    settle. `absorbed`: what undone sales brought back to the lot, and a debt took at once.
    """

    id: str
    user_id: str
    credits: int
    captured: int = 0
    claims: tuple[Claim, ...] = ()
    pieces: tuple[Taken, ...] = ()
    frozen_by: tuple[str, ...] = ()
    absorbed: int = 0

    @property
    def taken(self) -> int:
        return sum(piece.amount for piece in self.pieces)

    @property
    def due(self) -> int:
        """How many credits the claims that stand take, all in all."""
        return min(self._claimed, self.credits)

    @property
    def undone_for(self) -> int:
        """How many credits the disputes and the frauds among them take, whatever else is claimed: so many have to be
        there unspent, or sales that the lot paid for are undone.
        """
        return min(
            self._credits_for(sum(claim.amount for claim in self.claims if claim.stands and claim.undoes)), self.credits
        )

    @property
    def taken_from_lot(self) -> int:
        return sum(piece.amount for piece in self.pieces if piece.account is Fund.PURCHASED and piece.lot == self.id)

    @property
    def excess(self) -> int:
        """What they would take beyond what was given: amounts moved by exchange rates. It is the platform's loss."""
        return max(0, self._claimed - self.credits)

    @property
    def undoing(self) -> bool:
        return UNDOING in self.frozen_by

    @property
    def lost(self) -> bool:
        """To a dispute that is decided, or to fraud."""
        return not self.frozen_by and any(claim.stands and claim.undoes for claim in self.claims)

    @property
    def _claimed(self) -> int:
        return self._credits_for(sum(claim.amount for claim in self.claims if claim.stands))

    def _credits_for(self, money: int) -> int:
        return -(-self.credits * money // self.captured) if money and self.captured else 0

    def claim(self, claim_id: str) -> Claim | None:
        return next((claim for claim in self.claims if claim.id == claim_id), None)

    def frozen(self, by: str, *, frozen: bool) -> Topup:
        """By this too, or by this no more."""
        others = tuple(other for other in self.frozen_by if other != by)
        return replace(self, frozen_by=(*others, by) if frozen else others)

    def with_claim(self, claim: Claim) -> Topup:
        """With this claim new, or in its new state."""
        others = tuple(other for other in self.claims if other.id != claim.id)
        return replace(self, claims=(*others, claim))


def topup_journal(session_id: str, *, user_id: str, amount: int, refs: Mapping[str, str]) -> Journal:
    """Credits bought in one checkout session: one lot, its bonus included."""
    return _bought(f"{TOPPED_UP_BY}{session_id}", JournalKind.TOPUP, user_id=user_id, amount=amount, refs=refs)


def invoice_journal(invoice_id: str, *, user_id: str, amount: int, refs: Mapping[str, str]) -> Journal:
    """Credits that came with one paid invoice of a subscription: one lot."""
    return _bought(f"invoice:{invoice_id}", JournalKind.INVOICE, user_id=user_id, amount=amount, refs=refs)


def _bought(key: str, kind: JournalKind, *, user_id: str, amount: int, refs: Mapping[str, str]) -> Journal:
    legs = (Leg(Platform.TOPUPS, -amount, lot=key), Leg(Fund.PURCHASED, amount, user_id, lot=key))
    return Journal(key, kind, refs, legs, (user_id,))


def topup_of(journal: Journal) -> Topup | None:
    """A payment without claims; None where the journal is no payment's."""
    if journal.kind not in {JournalKind.TOPUP, JournalKind.INVOICE}:
        return None
    return Topup(journal.id, journal.parties[0], -journal.total(Platform.TOPUPS))


def take_journal(topup: Topup, claim: Claim, legs: Sequence[Leg], excess: int) -> Journal | None:
    """Take `legs` of the user back, and `excess` as a loss. None where there is nothing to take."""
    taken = -sum(leg.amount for leg in legs)
    moved = [*legs, *_money(topup, taken), *_loss(excess)]
    if not moved:
        return None
    kind = JournalKind.TOPUP_REFUND if claim.kind is ClaimKind.REFUND else JournalKind.DISPUTE_WITHDRAWN
    refs = {"topup": topup.id, "claim": claim.id, "taken": from_millicredits(taken)}
    return Journal(claim.take_key, kind, refs, tuple(moved), (topup.user_id,), reverses=topup.id)


def give_journal(topup: Topup, claim: Claim, legs: Sequence[Leg], excess: int) -> Journal | None:
    """Give `legs` back, and `excess` of a loss. None where there is nothing to give."""
    given = sum(leg.amount for leg in legs)
    moved = [*legs, *_money(topup, -given), *_loss(-excess)]
    if not moved:
        return None
    kind = JournalKind.TOPUP_REFUND_FAILED if claim.kind is ClaimKind.REFUND else JournalKind.DISPUTE_REINSTATED
    refs = {"topup": topup.id, "claim": claim.id, "given_back": from_millicredits(given)}
    return Journal(claim.give_key, kind, refs, tuple(moved), (topup.user_id,), reverses=claim.take_key)


def _money(topup: Topup, amount: int) -> list[Leg]:
    return [Leg(Platform.TOPUPS, amount, lot=topup.id)] if amount else []


def _loss(amount: int) -> list[Leg]:
    """Money that went out for no credits: the leg at Stripe has no lot, for it is not taken back for the charge."""
    return [Leg(Platform.TOPUPS, amount), Leg(Platform.LOSSES, -amount)] if amount else []


def pieces_of(legs: Sequence[Leg]) -> tuple[Taken, ...]:
    return tuple(Taken(leg.account, -leg.amount, leg.lot) for leg in legs)


def given_back(topup: Topup, amount: int, holdings: Holdings) -> tuple[list[Leg], tuple[Taken, ...]]:
    """Undo `amount` of what was taken, the last first; the legs, and the pieces that stay taken.

    A debt that is paid by now, and what was pending of a sale, return as bought credits of this payment's own lot.
    """
    legs: list[Leg] = []
    pieces = list(topup.pieces)
    owed = holdings.owes
    while amount:
        piece = pieces.pop()
        back = min(piece.amount, amount)
        amount -= back
        if piece.amount > back:
            pieces.append(replace(piece, amount=piece.amount - back))
        if piece.account is Owed.DEBT:
            released = min(owed, back)
            owed -= released
            legs += [Leg(Owed.DEBT, released, topup.user_id)] if released else []
            back -= released
        if back:
            legs.append(_returned(piece, back, topup))
    return legs, tuple(pieces)


def _returned(piece: Taken, amount: int, topup: Topup) -> Leg:
    if piece.account is Fund.EARNED:
        return Leg(Fund.EARNED, amount, topup.user_id)
    lot = piece.lot if piece.account is Fund.PURCHASED and piece.lot else topup.id
    return Leg(Fund.PURCHASED, amount, topup.user_id, lot)
