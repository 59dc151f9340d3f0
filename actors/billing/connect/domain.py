"""A connected account: its key, stored before Stripe hears of it, what Stripe said of it last, and what that allows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from promptforge.actors.billing.connect.messages import BankPayoutView, ConnectState, ConnectView
from promptforge.actors.billing.errors import BankDetailsTooNew, NotOnboarded, PayoutsDisabled
from promptforge.actors.billing.stripe.connect import AccountFacts, AccountRequest
from promptforge.core.errors import PromptForgeError

KEY_LIVES = timedelta(hours=23)
"""Stripe keeps idempotency keys for at least 24 hours (docs.stripe.com/api/idempotent_requests)."""
DEFAULT_BANK_HOLD = timedelta(hours=72)


@dataclass(frozen=True, slots=True)
class ConnectAccount:
    """`account_id`: None until Stripe has made it. `bank_changed_at`: when the present bank details were first seen."""

    user_id: str
    country: str
    key_number: int
    key_stored_at: datetime
    account_id: str | None = None
    facts: AccountFacts | None = None
    bank_changed_at: datetime | None = None
    asked_at: datetime | None = None
    last_bank_payout: BankPayoutView | None = None

    @property
    def request(self) -> AccountRequest:
        return AccountRequest(self.user_id, self.country, f"connect:{self.user_id}:{self.key_number}")

    @property
    def state(self) -> ConnectState:
        if self.facts is None or not self.facts.details_submitted:
            return ConnectState.PENDING
        ready = self.facts.payouts_enabled and self.facts.transfers_enabled
        return ConnectState.ACTIVE if ready else ConnectState.RESTRICTED

    def told(self, facts: AccountFacts, *, asked_at: datetime) -> ConnectAccount:
        """Take in what Stripe answered to a question of `asked_at`; an older answer changes nothing."""
        if self.asked_at is not None and asked_at < self.asked_at:
            return self
        before = self.facts.bank if self.facts else None
        changed_at = self.bank_changed_at if facts.bank == before else asked_at
        return replace(self, facts=facts, bank_changed_at=changed_at, asked_at=asked_at)

    def payouts_from(self, hold: timedelta) -> datetime | None:
        return None if self.bank_changed_at is None else self.bank_changed_at + hold

    def obstacle(self, *, now: datetime, hold: timedelta) -> PromptForgeError | None:
        """Why nothing can be paid out to this account now."""
        if self.facts is None or self.state is ConnectState.PENDING:
            return NotOnboarded()
        if self.state is not ConnectState.ACTIVE:
            due = self.facts.requirements_due
            return PayoutsDisabled(extra={"requirements_due": list(due), "disabled_reason": self.facts.disabled_reason})
        ready = self.payouts_from(hold)
        if ready is None:
            return NotOnboarded("Stripe has no bank details of yours")
        if now < ready:
            return BankDetailsTooNew(f"Payouts are possible from {ready:%Y-%m-%d %H:%M} UTC on", extra=_when(ready))
        return None

    def view(self, *, hold: timedelta) -> ConnectView:
        facts = self.facts
        return ConnectView(
            state=self.state,
            country=facts.country if facts else self.country,
            currency=facts.currency if facts else None,
            charges_enabled=facts is not None and facts.charges_enabled,
            payouts_enabled=facts is not None and facts.payouts_enabled,
            requirements_due=facts.requirements_due if facts else (),
            disabled_reason=facts.disabled_reason if facts else None,
            bank_details_since=self.bank_changed_at,
            payouts_from=self.payouts_from(hold),
            last_bank_payout=self.last_bank_payout,
        )


NOT_STARTED = ConnectView(
    state=ConnectState.NOT_STARTED,
    country=None,
    currency=None,
    charges_enabled=False,
    payouts_enabled=False,
    requirements_due=(),
    disabled_reason=None,
    bank_details_since=None,
    payouts_from=None,
    last_bank_payout=None,
)


def _when(moment: datetime) -> dict[str, object]:
    return {"payouts_from": moment.isoformat()}
