"""Payouts: set aside from earned credits, then gone to the bank, or given back.

A payout ends one way. Whoever wants to send it first marks it as being sent, and whoever cancels it may do so only
before that: both write the same document on a condition, so one of them wins.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from promptforge.actors.billing.errors import PayoutNotOpen
from promptforge.actors.billing.ledger.domain import Fund, Journal, JournalKind, Leg, Owed, Platform
from promptforge.core.amounts import from_millicredits


class PayoutState(StrEnum):
    """`reserved` may be cancelled; `sending` may not; `sent`: the money is the seller's; `released`: given back."""

    RESERVED = "reserved"
    SENDING = "sending"
    SENT = "sent"
    RELEASED = "released"


@dataclass(frozen=True, slots=True)
class Payout:
    """What the ledger knows of a payout. `returned`: what parts of its transfer that were reversed brought back."""

    id: str
    user_id: str
    amount: int
    state: PayoutState
    returned: int = 0

    def sending(self) -> Payout:
        """Raises `PayoutNotOpen` where it was cancelled."""
        return self._moved(PayoutState.SENDING, {PayoutState.RESERVED})

    def sent(self) -> Payout:
        return self._moved(PayoutState.SENT, {PayoutState.SENDING})

    def cancelled(self) -> Payout:
        """Raises `PayoutNotOpen` once it is being sent."""
        return self._moved(PayoutState.RELEASED, {PayoutState.RESERVED})

    def taken_in(self) -> Payout:
        """The transfer was refused for good, or reversed."""
        return self._moved(PayoutState.RELEASED, {PayoutState.SENDING, PayoutState.SENT})

    def partly_returned(self, total: int) -> Payout:
        """`total` of a sent payout has been reversed by now. Raises `PayoutNotOpen` where it was not sent."""
        return replace(self._moved(PayoutState.SENT, {PayoutState.SENT}), returned=total)

    def _moved(self, state: PayoutState, allowed: set[PayoutState]) -> Payout:
        if self.state not in allowed:
            raise PayoutNotOpen(f"The payout is {self.state}", extra={"state": self.state.value})
        return replace(self, state=state)


def reserve_journal(payout: Payout) -> Journal:
    legs = (
        Leg(Fund.EARNED, -payout.amount, payout.user_id),
        Leg(Owed.RESERVED, payout.amount, payout.user_id, source=Fund.EARNED),
    )
    return _journal(payout, "reserve", JournalKind.PAYOUT_RESERVE, legs)


def final_journal(payout: Payout) -> Journal:
    """The transfer succeeded."""
    legs = (
        Leg(Owed.RESERVED, -payout.amount, payout.user_id, source=Fund.EARNED),
        Leg(Platform.PAYOUTS, payout.amount),
    )
    return _journal(payout, "final", JournalKind.PAYOUT_FINAL, legs)


def release_journal(payout: Payout) -> Journal:
    """Give the credits back: from the reserve, or from Stripe where `payout` was sent and its transfer reversed."""
    left = payout.amount - payout.returned
    back = Leg(Fund.EARNED, left, payout.user_id)
    if payout.state is PayoutState.SENT:
        return _journal(payout, "release", JournalKind.PAYOUT_RELEASE, (Leg(Platform.PAYOUTS, -left), back))
    held = Leg(Owed.RESERVED, -payout.amount, payout.user_id, source=Fund.EARNED)
    return _journal(payout, "release", JournalKind.PAYOUT_RELEASE, (held, back))


def part_journal(payout: Payout, total: int) -> Journal:
    """A part of the transfer was reversed, which makes it `total` so far."""
    part = total - payout.returned
    legs = (Leg(Platform.PAYOUTS, -part), Leg(Fund.EARNED, part, payout.user_id))
    return _journal(payout, f"returned:{total}", JournalKind.PAYOUT_RELEASE, legs)


def _journal(payout: Payout, step: str, kind: JournalKind, legs: tuple[Leg, ...]) -> Journal:
    refs = {"payout_id": payout.id, "amount": from_millicredits(payout.amount)}
    reverses = None if kind is JournalKind.PAYOUT_RESERVE else f"payout:{payout.id}:reserve"
    return Journal(f"payout:{payout.id}:{step}", kind, refs, legs, (payout.user_id,), reverses)
