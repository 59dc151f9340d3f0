"""What an event from Stripe means here: nothing, something to refuse, or a checkout session's payment."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from annotated_types import Len
from pydantic import StrictInt, TypeAdapter, ValidationError

from promptforge.actors.billing.messages import WebhookEventState, WebhookEventView

FINISHED = frozenset({WebhookEventState.PROCESSED, WebhookEventState.IGNORED, WebhookEventState.QUARANTINED})
SESSION_EVENTS = frozenset({"checkout.session.completed", "checkout.session.async_payment_succeeded"})
_API_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(\.[a-z][a-z_]*)?", re.ASCII)
"""`2026-10-28.endive`, and before 2024-09-30 the bare date (docs.stripe.com/sdks/versioning)."""


@dataclass(frozen=True, slots=True)
class StripeEvent:
    """An event as it was recorded; `attempts` have begun to apply it, and `reason` is why the last one failed."""

    event_id: str
    type: str
    api_version: str | None
    livemode: bool
    account: str | None
    created: int
    payload: dict[str, Any]  # Any: JSON
    state: WebhookEventState
    attempts: int
    reason: str | None
    received_at: datetime
    finished_at: datetime | None

    def view(self) -> WebhookEventView:
        return WebhookEventView(
            event_id=self.event_id,
            type=self.type,
            state=self.state,
            livemode=self.livemode,
            account=self.account,
            api_version=self.api_version,
            attempts=self.attempts,
            reason=self.reason,
            received_at=self.received_at,
            finished_at=self.finished_at,
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an event ends, and why where that is not obvious."""

    state: WebhookEventState
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class SessionFact:
    """What an event says of a checkout session in payment mode."""

    session_id: str
    paid: bool
    amount_subtotal: int | None
    currency: str | None


@dataclass(frozen=True, slots=True)
class _Session:
    id: Annotated[str, Len(1, 255)]
    object: Literal["checkout.session"]
    mode: str
    payment_status: str
    amount_subtotal: StrictInt | None
    currency: str | None


@dataclass(frozen=True, slots=True)
class _Data:
    object: _Session


@dataclass(frozen=True, slots=True)
class _Payload:
    data: _Data


_payloads = TypeAdapter(_Payload)


def ignored(reason: str) -> Outcome:
    return Outcome(WebhookEventState.IGNORED, reason)


def quarantined(reason: str) -> Outcome:
    return Outcome(WebhookEventState.QUARANTINED, reason)


def judge(event: StripeEvent, *, livemode: bool) -> Outcome | SessionFact:
    """Read an event without looking anything up.

    Events of the other mode, of a connected account, or in a version that cannot be told are refused: whoever sells
    through us could mint events of their own account. A `no_payment_required` session is unpaid: packs cost something.
    """
    if event.type not in SESSION_EVENTS:
        return ignored("nothing here depends on this type")
    if (reason := _refusal(event, livemode)) is not None:
        return quarantined(reason)
    try:
        session = _payloads.validate_python(event.payload).data.object
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, problem["loc"])) for problem in error.errors(include_input=False))
        return quarantined(f"the payload has another shape than a checkout session's: {fields}")
    if session.mode != "payment":
        return ignored(f"the session's mode is {session.mode}")
    return SessionFact(
        session_id=session.id,
        paid=session.payment_status == "paid",
        amount_subtotal=session.amount_subtotal,
        currency=session.currency,
    )


def _refusal(event: StripeEvent, livemode: bool) -> str | None:  # noqa: FBT001  # a value to compare with, no switch
    if event.livemode is not livemode:
        return f"livemode is {str(event.livemode).lower()}, and this service runs with the other one"
    if event.account is not None:
        return "it is an event of a connected account"
    if event.api_version is None or not _API_VERSION.fullmatch(event.api_version):
        return f"the API version is {event.api_version}"
    return None
