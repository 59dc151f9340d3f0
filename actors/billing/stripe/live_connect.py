"""Connected accounts and transfers at Stripe. What it answers is checked here, once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

import structlog
from annotated_types import Len
from pydantic import StrictBool, StrictInt, TypeAdapter, ValidationError

from promptforge.actors.billing.errors import StripeDeclined, StripeUnavailable, UnknownAtStripe
from promptforge.actors.billing.stripe.api import StripeApi
from promptforge.actors.billing.stripe.connect import (
    AccountFacts,
    AccountLink,
    AccountRequest,
    BankPayout,
    Transfer,
    TransferRequest,
)

StripeId = Annotated[str, Len(1, 255)]
Shape = TypeAdapter[Any]  # Any: of what the adapter is made for

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Requirements:
    currently_due: tuple[str, ...] | None = ()
    disabled_reason: str | None = None


@dataclass(frozen=True, slots=True)
class _Bank:
    """A bank account, or a debit card that is paid out to."""

    id: StripeId
    object: str = "bank_account"
    fingerprint: str | None = None

    @property
    def instrument(self) -> str | None:
        return f"{'card' if self.object == 'card' else 'bank'}:{self.fingerprint}" if self.fingerprint else None


@dataclass(frozen=True, slots=True)
class _Banks:
    data: tuple[_Bank, ...] = ()


@dataclass(frozen=True, slots=True)
class _Account:
    id: StripeId
    country: str
    default_currency: str
    charges_enabled: StrictBool
    payouts_enabled: StrictBool
    details_submitted: StrictBool
    capabilities: dict[str, str] = field(default_factory=dict)
    requirements: _Requirements | None = None
    external_accounts: _Banks | None = None


@dataclass(frozen=True, slots=True)
class _Link:
    url: str
    expires_at: StrictInt


@dataclass(frozen=True, slots=True)
class _Payout:
    id: StripeId
    status: str
    amount: StrictInt
    currency: str
    created: StrictInt
    failure_code: str | None = None


@dataclass(frozen=True, slots=True)
class _Transfer:
    id: StripeId
    created: StrictInt
    amount: StrictInt
    amount_reversed: StrictInt
    currency: str
    destination: StripeId
    transfer_group: str | None = None


@dataclass(frozen=True, slots=True)
class _Transfers:
    data: tuple[_Transfer, ...]
    has_more: StrictBool


@dataclass(frozen=True, slots=True)
class _Made:
    id: StripeId


_accounts, _made, _links = TypeAdapter(_Account), TypeAdapter(_Made), TypeAdapter(_Link)
_payouts, _transfers, _transfer_lists = TypeAdapter(_Payout), TypeAdapter(_Transfer), TypeAdapter(_Transfers)


class StripeConnectedAccounts:
    """`base`: this service's address, to which Stripe sends the seller's browser back."""

    def __init__(self, api: StripeApi, *, base: str) -> None:
        self._api = api
        self._base = base

    async def create(self, request: AccountRequest) -> str:
        made = await self._api.write(
            lambda client: client.v1.accounts.create_async(
                {
                    "type": "express",
                    "country": request.country,
                    "capabilities": {"transfers": {"requested": True}},
                    "metadata": {"user_id": request.user_id},
                },
                {"idempotency_key": request.idempotency_key},
            ),
            about=f"the connected account of {request.user_id}",
        )
        account: _Made = _read(_made, made, "account")
        return account.id

    async def link(self, account_id: str) -> AccountLink:
        made = await self._api.read(  # it changes nothing that counts, and needs no key
            lambda client: client.v1.account_links.create_async(
                {
                    "account": account_id,
                    "type": "account_onboarding",
                    "refresh_url": f"{self._base}/payouts/onboarding",
                    "return_url": f"{self._base}/payouts",
                }
            ),
            about=account_id,
        )
        link: _Link = _read(_links, made, "account link")
        return AccountLink(link.url, datetime.fromtimestamp(link.expires_at, UTC))

    async def get(self, account_id: str) -> AccountFacts:
        found = await self._api.read(lambda client: client.v1.accounts.retrieve_async(account_id), about=account_id)
        return _facts(_read(_accounts, found, "account"))

    async def get_bank_payout(self, account_id: str, payout_id: str) -> BankPayout:
        found = await self._api.read(
            lambda client: client.v1.payouts.retrieve_async(payout_id, None, {"stripe_account": account_id}),
            about=payout_id,
        )
        payout: _Payout = _read(_payouts, found, "payout")
        created = datetime.fromtimestamp(payout.created, UTC)
        return BankPayout(payout.id, payout.status, payout.amount, payout.currency, payout.failure_code, created)


class StripeTransfers:
    def __init__(self, api: StripeApi) -> None:
        self._api = api

    async def create(self, request: TransferRequest) -> Transfer:
        try:
            made = await self._api.write(
                lambda client: client.v1.transfers.create_async(
                    {
                        "amount": request.amount,
                        "currency": request.currency,
                        "destination": request.destination,
                        "transfer_group": request.group,
                    },
                    {"idempotency_key": request.idempotency_key},
                ),
                about=request.group,
            )
        except UnknownAtStripe as error:  # the account that it should go to is gone
            raise StripeDeclined("resource_missing", 404) from error
        return _transfer(_read(_transfers, made, "transfer"))

    async def list_group(self, group: str) -> tuple[Transfer, ...]:
        found = await self._api.read(
            lambda client: client.v1.transfers.list_async({"transfer_group": group, "limit": 100}), about=group
        )
        listed: _Transfers = _read(_transfer_lists, found, "list of transfers")
        return tuple(_transfer(one) for one in listed.data)

    async def get(self, transfer_id: str) -> Transfer:
        found = await self._api.read(lambda client: client.v1.transfers.retrieve_async(transfer_id), about=transfer_id)
        return _transfer(_read(_transfers, found, "transfer"))


def _read(shape: Shape, answer: Mapping[str, Any], name: str) -> Any:  # Any: what the shape is of; JSON
    """What cannot be read may have been done: it is like no answer."""
    try:
        return shape.validate_python(answer)
    except ValidationError as error:
        fields = sorted({".".join(map(str, one["loc"])) for one in error.errors(include_input=False)})
        log.exception("stripe.unreadable", object=name, fields=fields)
        raise StripeUnavailable(retry_after_seconds=60) from None


def _transfer(found: _Transfer) -> Transfer:
    return Transfer(
        id=found.id,
        created=datetime.fromtimestamp(found.created, UTC),
        amount=found.amount,
        amount_reversed=found.amount_reversed,
        currency=found.currency,
        destination=found.destination,
        group=found.transfer_group,
    )


def _facts(found: _Account) -> AccountFacts:
    requirements = found.requirements or _Requirements()
    banks = found.external_accounts.data if found.external_accounts else ()
    named = ",".join(sorted(f"{bank.id}:{bank.fingerprint}" for bank in banks))
    return AccountFacts(
        id=found.id,
        country=found.country,
        currency=found.default_currency,
        charges_enabled=found.charges_enabled,
        payouts_enabled=found.payouts_enabled,
        transfers_enabled=found.capabilities.get("transfers") == "active",
        details_submitted=found.details_submitted,
        requirements_due=requirements.currently_due or (),
        disabled_reason=requirements.disabled_reason,
        bank=hashlib.sha256(named.encode()).hexdigest()[:32] if banks else None,
        instruments=tuple(bank.instrument for bank in banks if bank.instrument),
    )
