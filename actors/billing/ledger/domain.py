"""The ledger's arithmetic: accounts, legs, journals that cannot exist unbalanced, and who gets what of a sale.

An account is a pair: a user's internal id with one of the account names below, or no user with a name of the platform's
(`platform:fees`). The internal id is the opaque account id: only the `users` collection knows whose it is, so erasing a
person there leaves every leg as it was. All amounts are millicredits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from promptforge.actors.billing.errors import DebtOutstanding, InsufficientCredits
from promptforge.core.amounts import from_millicredits

Lots = tuple["Lot", ...]
BASIS_POINTS = 10_000
LARGEST = 2**63 - 1


class Fund(StrEnum):
    """A user's spendable accounts, in the order in which they are spent."""

    GRANTED = "granted"
    PURCHASED = "purchased"
    EARNED = "earned"


class Owed(StrEnum):
    """A user's other accounts."""

    PENDING = "pending"
    RESERVED = "reserved"
    DEBT = "debt"


class Platform(StrEnum):
    """Accounts that are nobody's: where credits come from, and what the platform keeps."""

    FEES = "platform:fees"
    GRANTS = "platform:grants"
    LLM = "platform:llm"
    TOPUPS = "stripe:topups"


UserAccount = Fund | Owed
ACCOUNTS: Mapping[str, UserAccount | Platform] = {
    account.value: account for kind in (Fund, Owed, Platform) for account in kind
}
WITH_LOTS = frozenset({Fund.GRANTED, Fund.PURCHASED})
"""Credits of these accounts remember the journal that brought them: a lot can expire, be refunded or be frozen."""


class JournalKind(StrEnum):
    TOPUP = "topup"
    GRANT = "grant"
    PURCHASE = "purchase"
    RUN_RESERVE = "run_reserve"
    RUN_CLOSE = "run_close"


class UnbalancedJournal(ValueError):
    """A mistake in this service's code, never in anybody's request."""


def is_amount(value: object) -> bool:
    """Whether a leg can have this amount: a whole number of 64 bits, and not zero."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < abs(value) <= LARGEST


@dataclass(frozen=True, slots=True)
class Leg:
    """A signed amount on one account. `lot`: the journal that brought the credits; `source`: what a sale was paid from.

    A leg on `pending` has a source, because the part of a sale that was paid with granted credits settles into the
    seller's granted credits, which can be spent and never paid out. One on `reserved` has the source that it came from.
    """

    account: UserAccount | Platform
    amount: int
    user_id: str | None = None
    lot: str | None = None
    source: Fund | None = None

    def __post_init__(self) -> None:
        if not is_amount(self.amount):
            raise UnbalancedJournal(f"a leg of {self.amount!r} on {self.account}")
        if (self.user_id is None) != isinstance(self.account, Platform):
            raise UnbalancedJournal(f"{self.account} with the user {self.user_id}")
        if (self.account in WITH_LOTS) != (self.lot is not None):
            raise UnbalancedJournal(f"{self.account} with the lot {self.lot}")


@dataclass(frozen=True, slots=True)
class Journal:
    """One posting: its id is its business key. It cannot exist unless its legs sum to zero.

    Only a purchase may have no legs: that of a free listing, so that each purchase has exactly one journal. `parties`
    are the users in whose history it shows.
    """

    id: str
    kind: JournalKind
    refs: Mapping[str, str]
    legs: tuple[Leg, ...]
    parties: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        total = sum(leg.amount for leg in self.legs)
        if total != 0:
            raise UnbalancedJournal(f"the legs of {self.id} sum to {total}")
        if not self.legs and self.kind is not JournalKind.PURCHASE:
            raise UnbalancedJournal(f"{self.id} has no legs")
        if missing := {leg.user_id for leg in self.legs if leg.user_id} - set(self.parties):
            raise UnbalancedJournal(f"{self.id} moves credits of {sorted(missing)}, who are no parties to it")


@dataclass(frozen=True, slots=True)
class Lot:
    """What is left of the credits that one journal brought."""

    id: str
    fund: Fund
    remaining: int


@dataclass(frozen=True, slots=True)
class Holdings:
    """A user's stored balances. Lots are in the order in which they came, which is the order in which they are spent.

    `pending` is what the settlement job has folded: the sum of the pending legs up to and including `pending_through`.
    Later ones are added when the balance is read, so that a sale writes no document of its seller's.
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
    def available(self) -> int:
        return self.granted + self.purchased + self.earned

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


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a payment, from one lot of one fund."""

    fund: Fund
    amount: int
    lot: str | None


@dataclass(frozen=True, slots=True)
class Share:
    """How a price is divided: `seller` = floor(price × (10000 − fee) / 10000), the platform keeps the rest."""

    seller: int
    fee: int


def share_of(price: int, fee_bp: int) -> Share:
    """`fee_bp` in basis points, 0 to 10,000."""
    seller = price * (BASIS_POINTS - fee_bp) // BASIS_POINTS
    return Share(seller, price - seller)


def plan_payment(holdings: Holdings, price: int) -> tuple[Part, ...]:
    """Which credits pay `price`: granted, then purchased, then earned, and the oldest lots first.

    Raises `DebtOutstanding` for whoever owes something, and `InsufficientCredits`.
    """
    if holdings.debt > 0:
        owed = from_millicredits(holdings.debt)
        raise DebtOutstanding(f"You owe {owed} credits, and can spend again once they are paid")
    if holdings.available < price:
        has = from_millicredits(holdings.available)
        raise InsufficientCredits(f"This costs {from_millicredits(price)} credits, and you have {has}")
    parts: list[Part] = []
    missing = price
    for lot in sorted(holdings.lots, key=lambda lot: lot.fund is not Fund.GRANTED):  # stable: the oldest stay first
        if missing and lot.remaining:
            parts.append(Part(lot.fund, min(missing, lot.remaining), lot.id))
            missing -= parts[-1].amount
    if missing:
        parts.append(Part(Fund.EARNED, missing, None))
    return tuple(parts)


def purchase_journal(purchase_id: str, *, buyer_id: str, seller_id: str, parts: Sequence[Part], fee_bp: int) -> Journal:
    """The legs of a sale that `parts` pay for.

    The seller's share is pending, in up to two legs: what was paid with purchased or earned credits, rounded down, and
    the rest, which was paid with granted ones. Rounding thus never makes a granted credit payable.
    """
    price = sum(part.amount for part in parts)
    payable = sum(part.amount for part in parts if part.fund is not Fund.GRANTED)
    share = share_of(price, fee_bp)
    payable_share = share_of(payable, fee_bp).seller
    legs = [Leg(part.fund, -part.amount, buyer_id, part.lot) for part in parts]
    income = ((payable_share, Fund.PURCHASED), (share.seller - payable_share, Fund.GRANTED))
    legs += [Leg(Owed.PENDING, amount, seller_id, source=source) for amount, source in income if amount]
    if share.fee:
        legs.append(Leg(Platform.FEES, share.fee))
    refs = _purchase_refs(purchase_id, buyer_id, seller_id, price)
    return Journal(purchase_key(purchase_id), JournalKind.PURCHASE, refs, tuple(legs), (buyer_id, seller_id))


def purchase_key(purchase_id: str) -> str:
    return f"purchase:{purchase_id}"


def _purchase_refs(purchase_id: str, buyer_id: str, seller_id: str, price: int) -> dict[str, str]:
    return {
        "purchase_id": purchase_id,
        "buyer_id": buyer_id,
        "seller_id": seller_id,
        "price": from_millicredits(price),
    }


def is_charge_for(journal: Journal, purchase_id: str, *, buyer_id: str, seller_id: str, price: int) -> bool:
    """Whether a posted journal is the charge for exactly this purchase."""
    return dict(journal.refs) == _purchase_refs(purchase_id, buyer_id, seller_id, price)


def topup_journal(session_id: str, *, user_id: str, amount: int, refs: Mapping[str, str]) -> Journal:
    """Credits bought in one checkout session: one lot, its bonus included."""
    key = f"topup:{session_id}"
    legs = (Leg(Platform.TOPUPS, -amount), Leg(Fund.PURCHASED, amount, user_id, lot=key))
    return Journal(key, JournalKind.TOPUP, refs, legs, (user_id,))


def grant_journal(grant_id: str, *, user_id: str, amount: int, refs: Mapping[str, str]) -> Journal:
    """Credits given away."""
    key = f"grant:{grant_id}"
    legs = (Leg(Platform.GRANTS, -amount), Leg(Fund.GRANTED, amount, user_id, lot=key))
    return Journal(key, JournalKind.GRANT, refs, legs, (user_id,))


def stored_changes(journal: Journal) -> dict[str, dict[UserAccount, int]]:
    """What a journal adds to stored balances: user → account → millicredits. Nobody who posts folds pending legs."""
    changes: dict[str, dict[UserAccount, int]] = {}
    for leg in journal.legs:
        if leg.user_id is None or isinstance(leg.account, Platform) or leg.account is Owed.PENDING:
            continue
        mine = changes.setdefault(leg.user_id, defaultdict(int))
        mine[leg.account] += leg.amount
    return changes


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
