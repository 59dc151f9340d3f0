"""Commissions after their sale: the terms they were earned in, what freezes a term, and how it ends.

A partner's time is divided into terms. Each sale is of the term that its transaction saw, and a suspension ends one: so
what a suspension freezes is exact, whichever commits first, and no sale has to be marked, or to wait.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from promptforge.actors.billing.errors import FreezeDecided
from promptforge.actors.billing.ledger.domain import Fund, Journal, JournalKind, Leg, PartnerAccount
from promptforge.actors.billing.ledger.sales.domain import Fate, Sale, commission_legs
from promptforge.core.amounts import from_millicredits

COLLECTED_BY = "collect:"
"""How the keys of the journals begin by which commissions become their owner's."""


@dataclass(frozen=True, slots=True)
class PartnerBalance:
    """What a partner has earned and not collected, and the term that sales of now are of."""

    partner_id: str
    earned: int = 0
    term: int = 0


class FreezeState(StrEnum):
    """`frozen` until somebody decides; then what of it is not reversed goes to the partner, or into the fees."""

    FROZEN = "frozen"
    RELEASED = "released"
    FORFEITED = "forfeited"


@dataclass(frozen=True, slots=True)
class Freeze:
    """The commissions of one term, which a suspension froze. `waited` counts the sales that settled without theirs."""

    partner_id: str
    term: int
    frozen_at: datetime
    state: FreezeState = FreezeState.FROZEN
    reason: str | None = None
    decided_by: str | None = None
    decided_at: datetime | None = None
    waited: int = 0

    @property
    def id(self) -> str:
        return freeze_id(self.partner_id, self.term)

    def decided(self, state: FreezeState, *, by: str, reason: str, at: datetime) -> Freeze:
        """Raises `FreezeDecided` where somebody was faster, whatever they decided."""
        if self.state is not FreezeState.FROZEN:
            raise FreezeDecided(f"They were {self.state} already", extra={"state": self.state.value})
        return replace(self, state=state, reason=reason, decided_by=by, decided_at=at)

    @property
    def fate(self) -> Fate:
        """Of commissions of its term that settle now."""
        fates = {FreezeState.FROZEN: Fate.FROZEN, FreezeState.RELEASED: Fate.PAID, FreezeState.FORFEITED: Fate.FORGONE}
        return fates[self.state]

    def waited_for(self) -> Freeze:
        """A sale settles while it is not decided. That is written, so that a decision at the same time starts over."""
        return replace(self, waited=self.waited + 1)


def freeze_id(partner_id: str, term: int) -> str:
    return f"{partner_id}:{term}"


def decision_journal(sale: Sale, fate: Fate) -> Journal:
    """What was frozen of a sale goes to the partner, or back into the fee that it came out of."""
    forfeited = fate is Fate.FORGONE
    kind = JournalKind.COMMISSION_FORFEIT if forfeited else JournalKind.COMMISSION_RELEASE
    refs = {"sale": sale.id, "partner_id": sale.partner_id or ""}
    key = f"commission:{sale.id}:{'forfeit' if forfeited else 'release'}"
    return Journal(key, kind, refs, tuple(commission_legs(sale, fate)))


def collect_journal(collection_id: str, *, partner_id: str, owner_id: str, amount: int) -> Journal:
    """Settled commissions become earned credits of the partner's owner, which are spent or paid out like a seller's."""
    legs = (Leg(PartnerAccount(partner_id, settled=True), -amount), Leg(Fund.EARNED, amount, owner_id))
    refs = {"partner_id": partner_id, "amount": from_millicredits(amount)}
    return Journal(f"{COLLECTED_BY}{collection_id}", JournalKind.COMMISSION_COLLECT, refs, legs, (owner_id,))
