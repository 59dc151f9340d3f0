"""The ledger's words: accounts, legs, and journals that cannot exist unbalanced.

An account is a pair: a user's internal id with one of the account names below, or no user with a name of the platform's
(`platform:fees`) or of a partner's (`partner:{id}:pending`). The internal id is the opaque account id: only the `users`
collection knows whose it is, so erasing a person there leaves every leg as it was. All amounts are millicredits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

LARGEST = 2**63 - 1
EXPIRES_AT = "expires_at"
"""The ref of a journal that says until when its credits can be spent (ISO 8601)."""


class Fund(StrEnum):
    """A user's spendable accounts, in the order in which they are spent."""

    GRANTED = "granted"
    PURCHASED = "purchased"
    EARNED = "earned"


class Owed(StrEnum):
    """A user's other accounts. The balance of `debt` is what is owed, as a number below zero."""

    PENDING = "pending"
    RESERVED = "reserved"
    DEBT = "debt"


class Platform(StrEnum):
    """Accounts that are nobody's: where credits come from and go to, and what the platform keeps or loses."""

    FEES = "platform:fees"
    GRANTS = "platform:grants"
    OPENING = "platform:opening"
    LLM = "platform:llm"
    CHECKS = "platform:checks"
    LOSSES = "platform:losses"
    COMPENSATIONS = "platform:compensations"
    TOPUPS = "stripe:topups"
    PAYOUTS = "stripe:payouts"


@dataclass(frozen=True, slots=True)
class PartnerAccount:
    """A partner's commissions, before settlement and after it."""

    partner_id: str
    settled: bool = False

    @property
    def value(self) -> str:
        return f"partner:{self.partner_id}:{'earned' if self.settled else 'pending'}"

    def __str__(self) -> str:
        return self.value


UserAccount = Fund | Owed
Account = UserAccount | Platform | PartnerAccount
_NAMED: Mapping[str, UserAccount | Platform] = {
    account.value: account for kind in (Fund, Owed, Platform) for account in kind
}
WITH_LOTS = frozenset({Fund.GRANTED, Fund.PURCHASED})
"""Credits of these accounts remember the journal that brought them: a lot can expire, be refunded or be frozen."""


def account_named(name: str) -> Account:
    """The account with a stored name. Raises `KeyError` for a name that no account has."""
    if name in _NAMED:
        return _NAMED[name]
    kind, _, rest = name.partition(":")
    partner_id, _, stage = rest.rpartition(":")
    if kind != "partner" or not partner_id or stage not in {"pending", "earned"}:
        raise KeyError(name)
    return PartnerAccount(partner_id, settled=stage == "earned")


class JournalKind(StrEnum):
    OPENING = "opening"
    TOPUP = "topup"
    INVOICE = "invoice"
    GRANT = "grant"
    EXPIRY = "expiry"
    WRITE_OFF = "write_off"
    PURCHASE = "purchase"
    PURCHASE_REFUND = "purchase_refund"
    COMPENSATION = "compensation"
    COMPENSATION_RETURN = "compensation_return"
    SETTLEMENT = "settlement"
    WITHHOLDING = "withholding"
    TOPUP_REFUND = "topup_refund"
    TOPUP_REFUND_FAILED = "topup_refund_failed"
    DISPUTE_WITHDRAWN = "dispute_withdrawn"
    DISPUTE_REINSTATED = "dispute_reinstated"
    PAYOUT_RESERVE = "payout_reserve"
    PAYOUT_FINAL = "payout_final"
    PAYOUT_RELEASE = "payout_release"
    RUN_RESERVE = "run_reserve"
    RUN_CLOSE = "run_close"
    RUN_REFUND = "run_refund"
    TRIAL_FUND = "trial_fund"
    TRIAL_RETURN = "trial_return"
    COMMISSION_RELEASE = "commission_release"
    COMMISSION_FORFEIT = "commission_forfeit"
    COMMISSION_RESTORE = "commission_restore"
    COMMISSION_COLLECT = "commission_collect"
    COMMISSION_WITHHOLDING = "commission_withholding"


MAY_BE_EMPTY = frozenset(
    {JournalKind.PURCHASE, JournalKind.PURCHASE_REFUND, JournalKind.RUN_RESERVE, JournalKind.RUN_CLOSE}
)
"""A free listing's: each purchase has exactly one journal, and each refund of one too. And those of trials, which hold
credits that are reserved already, and of runs that the platform pays, which holds nothing.
"""


class UnbalancedJournal(ValueError):
    """A mistake in this service's code, never in anybody's request."""


def is_amount(value: object) -> bool:
    """Whether a leg can have this amount: a whole number of 64 bits, and not zero."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < abs(value) <= LARGEST


@dataclass(frozen=True, slots=True)
class Leg:
    """A signed amount on one account. `lot`: the journal that brought the credits; `source`: what a sale was paid from.

    A leg on `pending` has a source, because the part of a sale that was paid with granted credits settles into the
    seller's granted credits, which can be spent and never paid out; and it has the sale for its lot. One on `reserved`
    has the source that it came from. One on `stripe:topups` has the top-up for its lot; without one it is money that
    went out for no credits.
    """

    account: Account
    amount: int
    user_id: str | None = None
    lot: str | None = None
    source: Fund | None = None

    def __post_init__(self) -> None:
        if not is_amount(self.amount):
            raise UnbalancedJournal(f"a leg of {self.amount!r} on {self.account}")
        if (self.user_id is None) != isinstance(self.account, Platform | PartnerAccount):
            raise UnbalancedJournal(f"{self.account} with the user {self.user_id}")
        if self.account is Platform.TOPUPS:
            return
        with_lot = self.account in WITH_LOTS or self.account is Owed.PENDING or self.account_is_commission
        if with_lot != (self.lot is not None):
            raise UnbalancedJournal(f"{self.account} with the lot {self.lot}")

    @property
    def account_is_commission(self) -> bool:
        """Whether it is a partner's pending commission, which has the sale for its lot like a seller's share."""
        return isinstance(self.account, PartnerAccount) and not self.account.settled

    @property
    def account_is_partners(self) -> bool:
        return isinstance(self.account, PartnerAccount)


@dataclass(frozen=True, slots=True)
class Journal:
    """One posting: its id is its business key. It cannot exist unless its legs sum to zero.

    `parties` are the users in whose history it shows. `reverses` names the journal that it takes back, all or part.
    """

    id: str
    kind: JournalKind
    refs: Mapping[str, str]
    legs: tuple[Leg, ...]
    parties: tuple[str, ...] = field(default=())
    reverses: str | None = None

    def __post_init__(self) -> None:
        total = sum(leg.amount for leg in self.legs)
        if total != 0:
            raise UnbalancedJournal(f"the legs of {self.id} sum to {total}")
        if not self.legs and self.kind not in MAY_BE_EMPTY:
            raise UnbalancedJournal(f"{self.id} has no legs")
        if missing := {leg.user_id for leg in self.legs if leg.user_id} - set(self.parties):
            raise UnbalancedJournal(f"{self.id} moves credits of {sorted(missing)}, who are no parties to it")

    @property
    def expires_at(self) -> datetime | None:
        """Until when the lot that it brings can be spent; None: for ever. It is among the facts that are sealed."""
        written = self.refs.get(EXPIRES_AT)
        return datetime.fromisoformat(written) if written else None

    def total(self, account: Account, *, user_id: str | None = None, source: Fund | None = None) -> int:
        """The sum of the legs on an account; those of one user or one source where that is given."""
        return sum(
            leg.amount
            for leg in self.legs
            if leg.account == account and user_id in (None, leg.user_id) and source in (None, leg.source)
        )
