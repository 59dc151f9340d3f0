"""Refunds and disputes as they stand at Stripe now, and which payment of ours they are about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import StrictInt, TypeAdapter, ValidationError

from promptforge.actors.billing.errors import UnknownPayment, UnreadableAnswer
from promptforge.actors.billing.stripe.api import Answer, StripeApi

T = TypeVar("T")

PAGE = 100
MOST_PAGES = 10
"""Nobody refunds one charge a thousand times."""


_CAME_TO_NOTHING = frozenset({"warning_closed", "prevented"})
"""How an inquiry ends, or what was kept from becoming a dispute."""


@dataclass(frozen=True, slots=True)
class Refund:
    """`amount` in the charge's minor units. `charge` is None for what was never charged."""

    id: str
    amount: StrictInt
    status: str | None
    reason: str | None
    charge: str | None

    @property
    def failed(self) -> bool:
        """Whether the money has come back; a pending refund has left."""
        return self.status in {"failed", "canceled"}

    @property
    def is_for_fraud(self) -> bool:
        return self.reason == "fraudulent"


@dataclass(frozen=True, slots=True)
class _Movement:
    amount: StrictInt


@dataclass(frozen=True, slots=True)
class Dispute:
    """`balance_transactions` are what it has moved so far: taken at first, and given back where it was won."""

    id: str
    amount: StrictInt
    status: str
    charge: str
    balance_transactions: tuple[_Movement, ...] = ()

    @property
    def is_inquiry(self) -> bool:
        """A warning, or one that was prevented: no money moves (docs.stripe.com/disputes/how-disputes-work)."""
        return (self.status.startswith("warning_") or self.status == "prevented") and not self.withdrawn

    @property
    def closed(self) -> bool:
        return self.status in {"won", "lost", *_CAME_TO_NOTHING}

    @property
    def won(self) -> bool:
        """Or ended with no money gone."""
        return self.status == "won" or (self.status in _CAME_TO_NOTHING and not self.withdrawn)

    @property
    def stands(self) -> bool:
        """Whether it has taken money, and keeps it so far."""
        return self.withdrawn and not self.won

    @property
    def withdrawn(self) -> bool:
        """Whether the money is gone: some banks take it only once the dispute is lost."""
        return self.status == "lost" or sum(movement.amount for movement in self.balance_transactions) < 0

    def matters(self, *, open_here: bool) -> bool:
        """Whether the ledger is told of it: of an inquiry nothing but the end of what was a dispute before."""
        return not self.is_inquiry or (self.closed and open_here)


@dataclass(frozen=True, slots=True)
class Payment:
    """The charge of a payment, and the journal that it has brought."""

    topup_id: str
    captured: int


@dataclass(frozen=True, slots=True)
class _Charge:
    amount_captured: StrictInt
    payment_intent: str | None


@dataclass(frozen=True, slots=True)
class _Session:
    id: str


@dataclass(frozen=True, slots=True)
class _InvoicePayment:
    invoice: str


_refunds, _disputes, _charges = TypeAdapter(Refund), TypeAdapter(Dispute), TypeAdapter(_Charge)
_sessions, _invoice_payments = TypeAdapter(tuple[_Session, ...]), TypeAdapter(tuple[_InvoicePayment, ...])
_refund_pages = TypeAdapter(tuple[Refund, ...])


class StripeClaims:
    def __init__(self, api: StripeApi) -> None:
        self._api = api

    async def refund(self, refund_id: str) -> Refund:
        answer = await self._api.read(lambda client: client.v1.refunds.retrieve_async(refund_id), about=refund_id)
        return read(_refunds, answer)

    async def refunds_of(self, charge_id: str) -> tuple[Refund, ...]:
        """All of a charge, failed ones included."""
        found: list[Refund] = []
        for _ in range(MOST_PAGES):
            after: Any = {"starting_after": found[-1].id} if found else {}  # Any: the SDK's parameters
            page = await self._api.read(
                lambda client, after=after: client.v1.refunds.list_async({"charge": charge_id, "limit": PAGE, **after}),  # type: ignore[misc]  # of a lambda's default mypy knows nothing
                about=charge_id,
            )
            refunds: tuple[Refund, ...] = read(_refund_pages, page.get("data"))
            found += refunds
            if not page.get("has_more"):
                break
        return tuple(found)

    async def dispute(self, dispute_id: str) -> Dispute:
        answer = await self._api.read(lambda client: client.v1.disputes.retrieve_async(dispute_id), about=dispute_id)
        return read(_disputes, answer)

    async def payment(self, charge_id: str) -> Payment:
        """Which top-up or invoice a charge has paid. Raises `UnknownPayment` where it is none of ours."""
        answer = await self._api.read(lambda client: client.v1.charges.retrieve_async(charge_id), about=charge_id)
        charge = read(_charges, answer)
        topup_id = await self._paid_for(charge.payment_intent) if charge.payment_intent else None
        if topup_id is None:
            raise UnknownPayment(f"The charge {charge_id} has paid for nothing that is sold here")
        return Payment(topup_id, charge.amount_captured)

    async def _paid_for(self, intent_id: str) -> str | None:
        sessions = await self._api.read(
            lambda client: client.v1.checkout.sessions.list_async({"payment_intent": intent_id, "limit": 1}),
            about=intent_id,
        )
        for session in read(_sessions, sessions.get("data")):
            return f"topup:{session.id}"
        paid = await self._api.read(
            lambda client: client.v1.invoice_payments.list_async(
                {"payment": {"type": "payment_intent", "payment_intent": intent_id}, "limit": 1}
            ),
            about=intent_id,
        )
        for payment in read(_invoice_payments, paid.get("data")):
            return f"invoice:{payment.invoice}"
        return None


def read(adapter: TypeAdapter[T], answer: Answer | Any) -> T:  # Any: JSON
    """Raises `UnreadableAnswer` for another shape than the API has."""
    try:
        return adapter.validate_python(answer)
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, problem["loc"])) for problem in error.errors(include_input=False))
        raise UnreadableAnswer(f"Stripe's answer has another shape than expected: {fields}") from None


def object_id(payload: Mapping[str, Any], kind: str) -> str | None:  # Any: JSON
    """The id of the object that an event is about; None where it is of another kind."""
    match payload:
        case {"data": {"object": {"object": str(found), "id": str(identifier)}}} if found == kind and identifier:
            return identifier
    return None
