"""Commissions after their sale: the terms they were earned in, what freezes a term, and how it ends.

A partner's time is divided into terms. Each sale is of the term that its transaction saw, and a suspension ends one: so
what a suspension freezes is exact, whichever commits first, and no sale has to be marked, or to wait.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from promptforge.actors.billing.errors import ForfeitAppealed, FreezeDecided, NothingForfeited
from promptforge.actors.billing.ledger.domain import Fund, Journal, JournalKind, Leg, PartnerAccount, Platform
from promptforge.actors.billing.ledger.sales.domain import OUT_OF_SALES, Sale, withheld_by
from promptforge.core.amounts import from_millicredits
from promptforge.core.appeals import expect_in_time

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
    """What becomes of a commission: the partner's, the platform's again (by itself, or because an administrator has
    decided so), not decided yet, or later, by itself.
    """

    PAID = "paid"
    FORGONE = "forgone"
    FORFEITED = "forfeited"
    FROZEN = "frozen"
    WAITS = "waits"


BACK_INTO_THE_FEE = frozenset({Fate.FORGONE, Fate.FORFEITED})


class FreezeState(StrEnum):
    """`frozen` until somebody decides; then what of it is not reversed goes to the partner, or into the fees.

    What is forfeited becomes released where an appeal is granted.
    """

    FROZEN = "frozen"
    RELEASED = "released"
    FORFEITED = "forfeited"


@dataclass(frozen=True, slots=True)
class Freeze:
    """The commissions of one term, which a suspension froze.

    What was forfeited can be appealed once, until `appeal_until`; without one it was decided before there were appeals.
    `moves` counts what the forfeiture has put back into the fee: each is a write, so that the answer to an appeal comes
    before or after it, and what that brings back is all that there is.
    """

    partner_id: str
    term: int
    frozen_at: datetime
    state: FreezeState = FreezeState.FROZEN
    reason: str | None = None
    reason_code: str | None = None
    decided_by: str | None = None
    decided_at: datetime | None = None
    appeal_until: datetime | None = None
    appeal: str | None = None
    appealed_at: datetime | None = None
    answer: str | None = None
    answer_code: str | None = None
    answered_by: str | None = None
    answered_at: datetime | None = None
    moves: int = 0

    @property
    def id(self) -> str:
        return freeze_id(self.partner_id, self.term)

    def decided(
        self, state: FreezeState, *, by: str, why: tuple[str, str], at: datetime, appeal_until: datetime | None = None
    ) -> Freeze:
        """`why`: words and a code. Raises `FreezeDecided` where somebody was faster, whatever they decided."""
        if self.state is not FreezeState.FROZEN:
            raise self._decided()
        reason, code = why
        until = appeal_until if state is FreezeState.FORFEITED else None
        return replace(
            self, state=state, reason=reason, reason_code=code, decided_by=by, decided_at=at, appeal_until=until
        )

    def appealed(self, words: str, *, at: datetime) -> Freeze:
        """Once. Raises `NothingForfeited`, `ForfeitAppealed` or `AppealTooLate`."""
        if self.answered_at is not None:
            raise NothingForfeited("It was appealed, and decided for good")
        if self.state is not FreezeState.FORFEITED:
            raise NothingForfeited(f"They are {self.state}, not forfeited")
        if self.appealed_at is not None:
            raise ForfeitAppealed
        if self.appeal_until is None:
            raise NothingForfeited("It was decided for good, before such decisions could be appealed")
        expect_in_time(self.appeal_until, at)
        return replace(self, appeal=words, appealed_at=at)

    @property
    def appeal_waits(self) -> bool:
        return self.appealed_at is not None and self.answered_at is None

    def answered(self, *, granted: bool, by: str, why: tuple[str, str], at: datetime) -> Freeze:
        """Once, and for good. Raises `FreezeDecided` where somebody was faster, or else `NothingForfeited`."""
        if self.answered_at is not None:
            raise self._decided()
        if self.appealed_at is None or self.state is not FreezeState.FORFEITED:
            raise NothingForfeited("Nobody has appealed")
        state = FreezeState.RELEASED if granted else self.state
        words, code = why
        return replace(self, state=state, answer=words, answer_code=code, answered_by=by, answered_at=at)

    def _decided(self) -> FreezeDecided:
        return FreezeDecided(f"They were {self.state} already", extra={"state": self.state.value})

    @property
    def fate(self) -> Fate:
        """Of the commissions of its term."""
        fates = {
            FreezeState.FROZEN: Fate.FROZEN,
            FreezeState.RELEASED: Fate.PAID,
            FreezeState.FORFEITED: Fate.FORFEITED,
        }
        return fates[self.state]


def freeze_id(partner_id: str, term: int) -> str:
    return f"{partner_id}:{term}"


def release_key(sale_id: str) -> str:
    return f"commission:{sale_id}:release"


def forfeit_key(sale_id: str, number: int = 1) -> str:
    """Once; and once more where what an appeal brought back turns out to be nobody's after all."""
    return f"commission:{sale_id}:forfeit" if number == 1 else f"commission:{sale_id}:forfeit:{number}"


def restore_key(sale_id: str) -> str:
    return f"commission:{sale_id}:restore"


def forfeited_by(restoring: str) -> str:
    """The key of what a journal brings back."""
    return f"{restoring.removesuffix(':restore')}:forfeit"


def moved(sale: Sale, fate: Fate, key: str, **why: str) -> tuple[Journal, Sale]:
    """What is pending of the commission goes to the partner, or back into the fee; and what is left of the sale."""
    forgone = fate in BACK_INTO_THE_FEE
    kind = JournalKind.COMMISSION_FORFEIT if forgone else JournalKind.COMMISSION_RELEASE
    partner_id = sale.partner_id or ""
    to = Platform.FEES if forgone else PartnerAccount(partner_id, settled=True)
    legs = (Leg(PartnerAccount(partner_id), -sale.commission, lot=sale.id), Leg(to, sale.commission))
    journal = Journal(key, kind, {"sale": sale.id, "partner_id": partner_id, **why}, legs)
    if not forgone:
        return journal, replace(sale, commission=0, released=sale.released + sale.commission)
    left = replace(sale, commission=0, forgone=sale.forgone + sale.commission)
    return journal, replace(left, forfeited=sale.commission) if fate is Fate.FORFEITED else left


def restored(sale: Sale) -> tuple[Journal, Sale]:
    """What was forfeited of the commission is pending again, out of the fee that it had gone into."""
    partner_id, amount = sale.partner_id or "", sale.forfeited
    legs = (Leg(Platform.FEES, -amount), Leg(PartnerAccount(partner_id), amount, lot=sale.id))
    refs = {"sale": sale.id, "partner_id": partner_id}
    key = restore_key(sale.id)
    journal = Journal(key, JournalKind.COMMISSION_RESTORE, refs, legs, reverses=forfeited_by(key))
    left = replace(sale, commission=sale.commission + amount, forgone=sale.forgone - amount, forfeited=0)
    return journal, left


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
    reverses = release_key(sale.id)
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
