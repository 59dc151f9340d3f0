"""A payout: how many credits for how much money, how far it is, and with which key Stripe is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import gcd

from promptforge.actors.billing.connect.domain import DEFAULT_BANK_HOLD, KEY_LIVES
from promptforge.actors.billing.currencies import CURRENCIES, Currency
from promptforge.actors.billing.errors import PayoutNotWhole, PayoutTooSmall, StripeDeclined
from promptforge.actors.billing.payouts.messages import PayoutProgress, PayoutView
from promptforge.actors.billing.stripe.connect import TransferRequest
from promptforge.core.amounts import MILLI, from_millicredits
from promptforge.core.errors import ConfigurationError

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 60, 6 * 3600
SOON_SECONDS = 10
OPEN = frozenset(
    {PayoutProgress.REQUESTED, PayoutProgress.HELD, PayoutProgress.SENDING, PayoutProgress.WAITING_FOR_FUNDS}
)
GOING_ON = OPEN - {PayoutProgress.HELD}
AT_STRIPE = frozenset({PayoutProgress.SENDING, PayoutProgress.WAITING_FOR_FUNDS})
CANCELLABLE = frozenset({PayoutProgress.REQUESTED, PayoutProgress.HELD})
ANSWERED_WITHIN = timedelta(hours=1)
"""By then whoever has asked Stripe has heard, or has given up: its client waits for minutes at most."""
_OUR_OWN_FAULT = frozenset({401, 403})
"""The key is wrong or may not do this: nothing that a seller should lose a payout for."""


@dataclass(frozen=True, slots=True)
class Rate:
    """`credits` credits are worth `minor_units` of the currency. Raises `ConfigurationError`."""

    currency: Currency
    minor_units: int
    credits: int

    def __post_init__(self) -> None:
        if self.minor_units <= 0 or self.credits <= 0:
            raise ConfigurationError(f"the payout rate of {self.currency.code} is not positive")

    def __str__(self) -> str:
        return f"{self.minor_units}/{self.credits}"

    def money_for(self, amount: int) -> int:
        """Whole minor units, in the currency's steps, for millicredits. Raises `PayoutNotWhole`."""
        steps, rest = divmod(amount * self.minor_units, self._step)
        if rest or not steps:
            raise self._not_whole(steps)
        return steps * self.currency.payout_multiple

    @property
    def _step(self) -> int:
        return MILLI * self.credits * self.currency.payout_multiple

    def _not_whole(self, steps: int) -> PayoutNotWhole:
        """With the largest amount below that comes out even, if there is one."""
        every = self.minor_units // gcd(self._step, self.minor_units)
        fewer = steps - steps % every
        if not fewer:
            return PayoutNotWhole()
        nearest = from_millicredits(fewer * self._step // self.minor_units)
        return PayoutNotWhole(f"The next lower amount is {nearest}", extra={"nearest_amount": nearest})


DEFAULT_RATES: Mapping[str, Rate] = {"usd": Rate(CURRENCIES["usd"], 1, 1)}
"""One credit pays out at one US cent."""


@dataclass(frozen=True, slots=True)
class PayoutRules:
    """`minimum` in millicredits; `rates` by currency: usd must be among them, for accounts in any other one."""

    minimum: int = 1000 * MILLI
    rates: Mapping[str, Rate] = field(default_factory=lambda: DEFAULT_RATES)
    bank_hold: timedelta = DEFAULT_BANK_HOLD

    def __post_init__(self) -> None:
        if "usd" not in self.rates:
            raise ConfigurationError("there is no payout rate for usd, which is for accounts in any other currency")

    def rate_for(self, currency: str) -> Rate:
        """Stripe changes money into the account's currency where it came in another one."""
        return self.rates.get(currency) or self.rates["usd"]

    def check_minimum(self, amount: int) -> None:
        if amount < self.minimum:
            raise PayoutTooSmall(f"The least payout is {from_millicredits(self.minimum)} credits")


@dataclass(frozen=True, slots=True)
class Payout:
    """`amount` in millicredits, `money` in minor units. `key_number`: 0 until Stripe is asked.

    `transferred_at` is Stripe's time. `look_first`: Stripe has answered the present key with an error, which it would
    repeat: whether there is a transfer is looked up before another key is used.
    """

    id: str
    user_id: str
    account_id: str
    amount: int
    money: int
    currency: str
    rate: str
    state: PayoutProgress
    created_at: datetime
    reason: str | None = None
    reason_code: str | None = None
    key_number: int = 0
    key_stored_at: datetime | None = None
    look_first: bool = False
    waits: int = 0
    transfer_id: str | None = None
    transferred_at: datetime | None = None
    reversed_money: int = 0
    bank_status: str | None = None
    sent_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def group(self) -> str:
        return f"payout:{self.id}"

    @property
    def request(self) -> TransferRequest:
        key = f"payout:{self.id}:{self.key_number}"
        return TransferRequest(self.money, self.currency, self.account_id, self.group, key)

    @property
    def shown_money(self) -> str:
        return CURRENCIES[self.currency].show(self.money)

    def is_waiting(self, now: datetime) -> bool:
        """Whether Stripe is asked nothing until another key is stored: it has answered the present one with an error,
        or that is so old that it may have been forgotten, and nobody waits any more for what it would say to it.
        """
        since = self.key_stored_at
        forgotten = since is not None and now - since > KEY_LIVES + ANSWERED_WITHIN
        return self.state in AT_STRIPE and (self.look_first or forgotten)

    def must_look(self, now: datetime) -> bool:
        """Whether the present key would only repeat an error, or may have been forgotten by Stripe."""
        return self.look_first or self.key_stored_at is None or now - self.key_stored_at > KEY_LIVES

    def wait_seconds(self, first: float) -> float:
        """Until Stripe is asked again: twice as long each time, up to a bound."""
        return min(first * 2.0 ** min(self.waits, 16), LONGEST_WAIT_SECONDS)

    def reversed_credits(self, money: int) -> int:
        """Millicredits that `money` taken back brings back, rounded down until it is all."""
        return self.amount * money // self.money

    def view(self) -> PayoutView:
        return PayoutView(
            id=self.id,
            user_id=self.user_id,
            state=self.state,
            amount=from_millicredits(self.amount),
            money=self.money,
            currency=self.currency,
            reason=self.reason,
            reason_code=self.reason_code,
            reversed_money=self.reversed_money,
            bank_status=self.bank_status,
            created_at=self.created_at,
            sent_at=self.sent_at,
            ended_at=self.ended_at,
        )


def is_short_of_funds(error: StripeDeclined) -> bool:
    return error.reason == "balance_insufficient"


def is_final(error: StripeDeclined) -> bool:
    """Whether Stripe would refuse this transfer whenever it is asked, for a reason of the seller's account.

    Not: its own failures, our key's, and a key that was used for something else.
    """
    ours = error.http_status >= 500 or error.http_status in _OUR_OWN_FAULT or "idempotency" in error.reason.lower()
    return not ours and not is_short_of_funds(error)
