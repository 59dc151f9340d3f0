"""Connected accounts and transfers as this feature needs them; `live_connect.py` asks Stripe, or a sandbox."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class AccountRequest:
    """A connected account to be made. The same `idempotency_key` always means the same account."""

    user_id: str
    country: str
    idempotency_key: str


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """How a connected account stands at Stripe. `bank`: names its bank accounts, and differs where they do.

    `instruments` names them by what is the same wherever one of them is used (`links/store.py`).
    """

    id: str
    country: str
    currency: str
    charges_enabled: bool
    payouts_enabled: bool
    transfers_enabled: bool
    details_submitted: bool
    requirements_due: tuple[str, ...]
    disabled_reason: str | None
    bank: str | None
    instruments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AccountLink:
    """Where the seller gives their details; good for one visit, and not for long."""

    url: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class BankPayout:
    """What Stripe sends from a connected account to its bank, by itself, of all that is there."""

    id: str
    status: str
    amount: int
    currency: str
    failure_code: str | None
    created: datetime


@dataclass(frozen=True, slots=True)
class TransferRequest:
    """`amount` in minor units. `group` is unique to the payout, so that a listing finds what was done for it."""

    amount: int
    currency: str
    destination: str
    group: str
    idempotency_key: str


@dataclass(frozen=True, slots=True)
class Transfer:
    """`created` by Stripe's clock, as those of bank payouts are."""

    id: str
    created: datetime
    amount: int
    amount_reversed: int
    currency: str
    destination: str
    group: str | None

    def fits(self, request: TransferRequest) -> bool:
        """Whether it is what was asked for."""
        wanted = (request.amount, request.currency, request.destination)
        return (self.amount, self.currency, self.destination) == wanted


class ConnectedAccounts(Protocol):
    """All raise `StripeUnavailable`, `StripeRefused` or `UnknownAtStripe`."""

    async def create(self, request: AccountRequest) -> str:
        """The account's id."""
        ...

    async def link(self, account_id: str) -> AccountLink: ...

    async def get(self, account_id: str) -> AccountFacts: ...

    async def get_bank_payout(self, account_id: str, payout_id: str) -> BankPayout: ...


class Transfers(Protocol):
    """All raise `StripeUnavailable`, `StripeRefused` or `UnknownAtStripe`."""

    async def create(self, request: TransferRequest) -> Transfer: ...

    async def list_group(self, group: str) -> tuple[Transfer, ...]: ...

    async def get(self, transfer_id: str) -> Transfer: ...
