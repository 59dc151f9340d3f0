"""Commissions after their sale: the terms they were earned in, what freezes a term, and how it ends.

A partner's time is divided into terms. Each sale is of the term that its transaction saw, and a suspension ends one: so
what a suspension freezes is exact, whichever commits first, and no sale has to be marked, or to wait.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from promptforge.actors.billing.errors import FreezeDecided
from promptforge.actors.billing.ledger.domain import Fund, Journal, JournalKind, Leg, PartnerAccount, Platform
from promptforge.actors.billing.ledger.sales.domain import OUT_OF_SALES, Sale, withheld_by
from promptforge.core.amounts import from_millicredits

COLLECTED_BY = "collect:"
"""How the keys of the journals begin by which commissions become their owner's."""
GIVEN_UP_BY = "given_up:"
"""And of those by which they go back into the fees, because the account that could have collected them is closed."""

CLOSED = "the account is closed"


@dataclass(frozen=True, slots=True)
class PartnerBalance:
    """What a partner has earned and not collected, and the term that sales of now are of. Closed with the account."""

    partner_id: str
    earned: int = 0
    term: int = 0
    closed: bool = False


class Fate(StrEnum):
    """What becomes of a commission: the partner's, the platform's again, not decided yet, or later, by itself."""

    PAID = "paid"
    FORGONE = "forgone"
    FROZEN = "frozen"
    WAITS = "waits"


class FreezeState(StrEnum):
    """`frozen` until somebody decides; then what of it is not reversed goes to the partner, or into the fees."""

    FROZEN = "frozen"
    RELEASED = "released"
    FORFEITED = "forfeited"


@dataclass(frozen=True, slots=True)
class Freeze:
    """The commissions of one term, which a suspension froze."""

    partner_id: str
    term: int
    frozen_at: datetime
    state: FreezeState = FreezeState.FROZEN
    reason: str | None = None
    reason_code: str | None = None
    decided_by: str | None = None
    decided_at: datetime | None = None

    @property
    def id(self) -> str:
        return freeze_id(self.partner_id, self.term)

    def decided(self, state: FreezeState, *, by: str, why: tuple[str, str], at: datetime) -> Freeze:
        """`why`: words and a code. Raises `FreezeDecided` where somebody was faster, whatever they decided."""
        if self.state is not FreezeState.FROZEN:
            raise FreezeDecided(f"They were {self.state} already", extra={"state": self.state.value})
        reason, code = why
        return replace(self, state=state, reason=reason, reason_code=code, decided_by=by, decided_at=at)

    @property
    def fate(self) -> Fate:
        """Of the commissions of its term."""
        fates = {FreezeState.FROZEN: Fate.FROZEN, FreezeState.RELEASED: Fate.PAID, FreezeState.FORFEITED: Fate.FORGONE}
        return fates[self.state]


def freeze_id(partner_id: str, term: int) -> str:
    return f"{partner_id}:{term}"


def moved(sale: Sale, fate: Fate, **why: str) -> tuple[Journal, Sale]:
    """What is pending of the commission goes to the partner, or back into the fee; and what is left of the sale."""
    forgone = fate is Fate.FORGONE
    kind = JournalKind.COMMISSION_FORFEIT if forgone else JournalKind.COMMISSION_RELEASE
    partner_id = sale.partner_id or ""
    to = Platform.FEES if forgone else PartnerAccount(partner_id, settled=True)
    legs = (Leg(PartnerAccount(partner_id), -sale.commission, lot=sale.id), Leg(to, sale.commission))
    key = f"commission:{sale.id}:{'forfeit' if forgone else 'release'}"
    journal = Journal(key, kind, {"sale": sale.id, "partner_id": partner_id, **why}, legs)
    if forgone:
        return journal, replace(sale, commission=0, forgone=sale.forgone + sale.commission)
    return journal, replace(sale, commission=0, released=sale.released + sale.commission)


def commission_withheld_by(sale_id: str, number: int = 1) -> str:
    return withheld_by(f"commission:{sale_id}", number)


def withheld_commission(sale: Sale, *, uncollected: int, collected: int, key: str) -> tuple[Journal, Sale]:
    """Of a commission that was released, what is not collected goes back into the fee, and as many earned credits of
    the referrer's as were collected become ones that are never paid out.
    """
    partner_id = sale.partner_id or ""
    legs: list[Leg] = []
    if uncollected:
        legs += [Leg(PartnerAccount(partner_id, settled=True), -uncollected), Leg(Platform.FEES, uncollected)]
    if collected:
        legs.append(Leg(Fund.EARNED, -collected, sale.referrer_id))
        legs.append(Leg(Fund.GRANTED, collected, sale.referrer_id, OUT_OF_SALES))
    refs = {"sale": sale.id, "partner_id": partner_id}
    reverses = f"commission:{sale.id}:release"
    journal = Journal(
        key, JournalKind.COMMISSION_WITHHOLDING, refs, tuple(legs), (sale.referrer_id,), reverses=reverses
    )
    left = sale.released - uncollected - collected
    return journal, replace(sale, forgone=sale.forgone + uncollected, released=left)


def given_up_journal(giving_up_id: str, *, partner_id: str, amount: int) -> Journal:
    """What has settled, and nobody can collect any more, goes back into the fees."""
    legs = (Leg(PartnerAccount(partner_id, settled=True), -amount), Leg(Platform.FEES, amount))
    refs = {"partner_id": partner_id, "reason": CLOSED}
    return Journal(f"{GIVEN_UP_BY}{giving_up_id}", JournalKind.COMMISSION_FORFEIT, refs, legs)


def collect_journal(collection_id: str, *, partner_id: str, owner_id: str, amount: int) -> Journal:
    """Settled commissions become earned credits of the partner's owner, which are spent or paid out like a seller's."""
    legs = (Leg(PartnerAccount(partner_id, settled=True), -amount), Leg(Fund.EARNED, amount, owner_id))
    refs = {"partner_id": partner_id, "amount": from_millicredits(amount)}
    return Journal(f"{COLLECTED_BY}{collection_id}", JournalKind.COMMISSION_COLLECT, refs, legs, (owner_id,))
