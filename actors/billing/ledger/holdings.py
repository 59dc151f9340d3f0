"""What a user has: balances and lots, what pays a price, what pays a debt, and what a reversal may take.

Two kinds of credits never mix: those that were bought or earned, and those that were given away. A gift pays for no
debt, and nothing that was bought is taken back out of gifts, because either would turn gifts into money.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from promptforge.actors.billing.errors import DebtOutstanding, InsufficientCredits
from promptforge.actors.billing.ledger.domain import Fund, Journal, Leg, Owed, UserAccount
from promptforge.core.amounts import from_millicredits

Lots = tuple["Lot", ...]
_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Lot:
    """What is left of the credits that one journal brought. A frozen lot is not spent: its charge is disputed.

    Gifts have `expires_at`: from then on a job takes what is left; until it comes by, that can be spent.
    """

    id: str
    fund: Fund
    remaining: int
    frozen: bool = False
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Holdings:
    """A user's stored balances. Lots are in the order in which they came, which is the order in which they are spent.

    `pending` is what settlement has folded: the sum of the pending legs up to and including `pending_through`. Later
    ones are added when the balance is read, so that a sale writes no document of its seller's.
    """

    granted: int = 0
    purchased: int = 0
    earned: int = 0
    pending: int = 0
    reserved: int = 0
    debt: int = 0
    pending_through: datetime | None = None
    lots: Lots = ()

    @property
    def frozen(self) -> int:
        return sum(lot.remaining for lot in self.lots if lot.frozen)

    @property
    def available(self) -> int:
        return self.granted + self.purchased + self.earned - self.frozen

    @property
    def owes(self) -> int:
        """The debt, as a number above zero."""
        return -self.debt

    def balance(self, account: UserAccount) -> int:
        """What is stored for one account."""
        balances = {
            Fund.GRANTED: self.granted,
            Fund.PURCHASED: self.purchased,
            Fund.EARNED: self.earned,
            Owed.PENDING: self.pending,
            Owed.RESERVED: self.reserved,
            Owed.DEBT: self.debt,
        }
        return balances[account]

    def after(self, legs: Iterable[Leg]) -> Holdings:
        """Once `legs` (of this one user) are posted. Pending legs are not folded.

        Raises `InsufficientCredits` where a balance or a lot would go below zero, or a debt above it.
        """
        mine = [leg for leg in legs if leg.account is not Owed.PENDING]
        changes = changes_of(mine)
        for account, amount in changes.items():
            balance = self.balance(account) + amount
            if balance > 0 if account is Owed.DEBT else balance < 0:
                raise InsufficientCredits
        balances = {account.value: self.balance(account) + amount for account, amount in changes.items()}
        return replace(self, **balances, lots=lots_after(self.lots, mine))  # type: ignore[arg-type]  # amounts by name


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a payment, from one lot of one fund."""

    fund: Fund
    amount: int
    lot: str | None


def plan_payment(holdings: Holdings, price: int) -> tuple[Part, ...]:
    """Which credits pay `price`: granted, then purchased, then earned; of gifts those that expire first, and then the
    oldest lots first.

    Raises `DebtOutstanding` for whoever owes something, and `InsufficientCredits`.
    """
    if holdings.owes:
        owed = from_millicredits(holdings.owes)
        raise DebtOutstanding(f"You owe {owed} credits, and can spend again once they are paid")
    if holdings.available < price:
        has = from_millicredits(holdings.available)
        raise InsufficientCredits(f"This costs {from_millicredits(price)} credits, and you have {has}")
    parts: list[Part] = []
    missing = price
    for lot in sorted(holdings.lots, key=_turn):  # stable: the oldest stay first
        if missing and lot.remaining and not lot.frozen:
            parts.append(Part(lot.fund, min(missing, lot.remaining), lot.id))
            missing -= parts[-1].amount
    if missing:
        parts.append(Part(Fund.EARNED, missing, None))
    return tuple(parts)


def parts_before(parts: Sequence[Part], amount: int) -> list[Part]:
    """The first `amount` of them."""
    taken: list[Part] = []
    for part in parts:
        if amount:
            taken.append(replace(part, amount=min(amount, part.amount)))
            amount -= taken[-1].amount
    return taken


def parts_after(parts: Sequence[Part], amount: int) -> list[Part]:
    """What is left of them behind the first `amount`."""
    left: list[Part] = []
    for part in parts:
        gone = min(amount, part.amount)
        amount -= gone
        if part.amount > gone:
            left.append(replace(part, amount=part.amount - gone))
    return left


def sums_by_fund(parts: Sequence[Part]) -> list[tuple[Fund, int]]:
    sums: dict[Fund, int] = {}
    for part in parts:
        sums[part.fund] = sums.get(part.fund, 0) + part.amount
    return list(sums.items())


def _turn(lot: Lot) -> tuple[bool, datetime]:
    return lot.fund is not Fund.GRANTED, lot.expires_at or _NEVER


def changes_of(legs: Iterable[Leg]) -> dict[UserAccount, int]:
    """Account → millicredits, of one user's legs."""
    changes: dict[UserAccount, int] = defaultdict(int)
    for leg in legs:
        if isinstance(leg.account, Fund | Owed):
            changes[leg.account] += leg.amount
    return {account: amount for account, amount in changes.items() if amount}


def stored_legs(journal: Journal) -> dict[str, list[Leg]]:
    """User → the legs that change stored balances: all but pending ones, which nobody who posts folds."""
    legs: dict[str, list[Leg]] = {}
    for leg in journal.legs:
        if leg.user_id is not None and leg.account is not Owed.PENDING:
            legs.setdefault(leg.user_id, []).append(leg)
    return legs


def came_back(before: Lots, after: Lots, journal_id: str) -> bool:
    """Whether a lot that was spent to the last is there again; the one that the journal itself brings is a new one."""
    return not {lot.id for lot in after} - {journal_id} <= {lot.id for lot in before}


def lots_after(lots: Lots, legs: Iterable[Leg]) -> Lots:
    """The lots once `legs` (of one user) are posted: new ones at the end, empty ones gone.

    Raises `InsufficientCredits` where a lot does not hold what is taken from it.
    """
    remaining = {lot.id: lot for lot in lots}
    for leg in legs:
        if leg.lot is None or not isinstance(leg.account, Fund):
            continue
        lot = remaining.get(leg.lot) or Lot(leg.lot, leg.account, 0)
        remaining[leg.lot] = replace(lot, remaining=lot.remaining + leg.amount)
    if any(lot.remaining < 0 for lot in remaining.values()):
        raise InsufficientCredits
    return tuple(lot for lot in remaining.values() if lot.remaining)


def brought_by(journal: Journal, lots: Lots) -> Lots:
    """`lots` after the journal, which says of the lot that it brings when it expires."""
    until = journal.expires_at
    return tuple(replace(lot, expires_at=until) if until and lot.id == journal.id else lot for lot in lots)


def with_debts_paid(journal: Journal, holdings: Mapping[str, Holdings]) -> Journal:
    """The journal as it is posted: of bought or earned credits that come to somebody who owes, the debt is paid first.

    Granted credits pay no debt: what is owed was money, and gifts never become money.
    """
    legs: list[Leg] = []
    owed = {user_id: _owed_after(journal, user_id, has) for user_id, has in holdings.items()}
    for leg in journal.legs:
        payable = leg.account in {Fund.PURCHASED, Fund.EARNED} and leg.amount > 0
        paid = min(owed.get(leg.user_id or "", 0), leg.amount) if payable else 0
        if leg.user_id is None or paid == 0:
            legs.append(leg)
            continue
        owed[leg.user_id] -= paid
        if leg.amount > paid:
            legs.append(replace(leg, amount=leg.amount - paid))
        legs.append(Leg(Owed.DEBT, paid, leg.user_id))
    return replace(journal, legs=tuple(legs))


def _owed_after(journal: Journal, user_id: str, holdings: Holdings) -> int:
    return max(0, holdings.owes - journal.total(Owed.DEBT, user_id=user_id))


def taken_from_lot(holdings: Holdings, user_id: str, lot_id: str, amount: int) -> list[Leg]:
    """At most `amount` out of one lot, frozen or not."""
    return [
        Leg(lot.fund, -min(lot.remaining, amount), user_id, lot.id)
        for lot in holdings.lots
        if lot.id == lot_id and min(lot.remaining, amount)
    ]


def taken_from_grants(holdings: Holdings, user_id: str, amount: int) -> list[Leg]:
    """At most `amount` of granted credits, the oldest first."""
    lots = [lot for lot in holdings.lots if lot.fund is Fund.GRANTED]
    return _out_of(lots, user_id, amount)


def taken_from_payable(holdings: Holdings, user_id: str, amount: int) -> list[Leg]:
    """All of `amount`: from earned, then purchased credits; what is missing becomes a debt.

    Frozen lots are left alone: they answer for their own charge.
    """
    legs: list[Leg] = []
    earned = min(holdings.earned, amount)
    if earned:
        legs.append(Leg(Fund.EARNED, -earned, user_id))
    lots = [lot for lot in holdings.lots if lot.fund is Fund.PURCHASED and not lot.frozen]
    legs += _out_of(lots, user_id, amount - earned)
    missing = amount + sum(leg.amount for leg in legs)
    if missing:
        legs.append(Leg(Owed.DEBT, -missing, user_id))
    return legs


def _out_of(lots: Sequence[Lot], user_id: str, amount: int) -> list[Leg]:
    legs: list[Leg] = []
    for lot in lots:
        taken = min(lot.remaining, amount)
        if taken:
            legs.append(Leg(lot.fund, -taken, user_id, lot.id))
            amount -= taken
    return legs


def total_of(legs: Iterable[Leg]) -> int:
    """How much `legs` take, as a number above zero."""
    return -sum(leg.amount for leg in legs)
