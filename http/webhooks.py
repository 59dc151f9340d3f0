"""Stripe's webhook: what is genuine is recorded and answered at once, its effect is a job's business.

Genuine means signed with one of the configured secrets, over these very bytes, within five minutes of now in both
directions: the SDK takes any timestamp from the future, so that is checked here. A secret has a scope: events of
connected accounts are signed with the Connect endpoint's, ours with the platform's. Nothing that is not genuine, or
not an event, is stored.

Whatever ends without a good signature counts against its sender's address. Genuine events may come from that address
too (a proxy's), so nothing is refused for the count alone: beyond it less is read, and what is not genuine is 429.
"""

from __future__ import annotations

import importlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from starlette.types import Receive, Scope, Send

from promptforge.actors.billing.messages import RecordStripeEvent
from promptforge.core.errors import Malformed, PromptForgeError, Unavailable
from promptforge.core.runtime import System
from promptforge.http.body import BodyLimits, judge, parse_object
from promptforge.http.dispatch import refuse_method
from promptforge.http.errors import ClientGone
from promptforge.http.exchange import Exchange, exchange_of
from promptforge.http.intake import Intake
from promptforge.http.rates import RateClass, Rates

ValueT = TypeVar("ValueT")

TOLERANCE_SECONDS = 300
LIMITS = BodyLimits(max_bytes=512 * 1024)
LIMITS_OF_SUSPECTS = BodyLimits(max_bytes=64 * 1024, timeout_seconds=5.0)
"""For addresses that were refused too often lately; Stripe's usual events have a few KiB."""
PATH = "/api/v1/webhooks/stripe"
ALIAS = "/webhooks/stripe"
"""Where the replaced service had it; endpoints configured at Stripe keep working."""

_SIGNED_AT = re.compile(rb"(?:^|,)t=([0-9]{1,15})(?:,|$)")
_SIGNATURE = re.compile(rb"(?:^|,)v1=[0-9a-f]{64}(?:,|$)")
_RECEIVED = b'{"received":true}'


@dataclass(frozen=True, slots=True)
class WebhookSecrets:
    """Stripe's secrets by what they may sign. Of each any may have signed, so that one can be rotated."""

    platform: tuple[str, ...] = field(default=(), repr=False)
    connect: tuple[str, ...] = field(default=(), repr=False)

    def __bool__(self) -> bool:
        return bool(self.platform or self.connect)


class BadSignature(Malformed):
    code = "bad_signature"
    title = "The Stripe-Signature header does not fit the body"


class NotAnEvent(Malformed):
    code = "not_an_event"
    title = "The body is not a Stripe event"


class WebhooksNotConfigured(Unavailable):
    code = "webhooks_not_configured"
    title = "This service has no webhook secret, so it cannot tell genuine events from others"


class StripeWebhook:
    """ASGI endpoint."""

    def __init__(
        self, system: System, rates: Rates, *, secrets: WebhookSecrets, now: Callable[[], float] = time.time
    ) -> None:
        if secrets:
            importlib.import_module("stripe")  # 0.8 s: now, rather than while the first event waits
        self._system = system
        self._rates = rates
        self._intake = Intake()
        self._secrets = secrets
        self._now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = exchange_of(scope)
        if exchange.method != "POST":
            self._rates.count(exchange, RateClass.DEFAULT)
            await refuse_method(exchange.method, ("POST", "OPTIONS"), send)
            return
        if not self._secrets:
            raise WebhooksNotConfigured(retry_after_seconds=60)
        body, secret = await self._genuine(exchange, receive)
        message = event_from(body)
        judge_scope(message, secret, self._secrets)
        # The signature has authenticated the sender, and recording events is an internal operation.
        context = self._system.context(request_id=exchange.request_id, trace_id=exchange.trace_id, trusted=True)
        await context.ask(message)
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_RECEIVED))],
            }
        )
        await send({"type": "http.response.body", "body": _RECEIVED})

    async def _genuine(self, exchange: Exchange, receive: Receive) -> tuple[bytes, str]:
        """The body, once its signature was found good, and the secret that signed it.

        Raises what is wrong with it, or `TooManyRequests`.
        """
        signature = exchange.headers.get(b"stripe-signature")
        suspect = self._rates.spent(exchange, RateClass.WEBHOOK)
        try:
            judge_header(signature, now=self._now())
            body = await self._intake.read(exchange, receive, LIMITS_OF_SUSPECTS if suspect else LIMITS)
            secret = verify(body, signature, self._secrets, now=self._now())
        except ClientGone:
            self._rates.refused(exchange, RateClass.WEBHOOK)
            raise
        except PromptForgeError:
            self._rates.check(exchange, RateClass.WEBHOOK)
            self._rates.refused(exchange, RateClass.WEBHOOK)
            raise
        return body, secret


def judge_header(header: bytes | None, *, now: float) -> None:
    """Raise `BadSignature` for what no body can make good: then none is read."""
    if header is None:
        raise BadSignature("There is no Stripe-Signature header")
    match = _SIGNED_AT.search(header)
    if match is None or not _SIGNATURE.search(header):
        raise BadSignature
    if abs(now - int(match[1])) > TOLERANCE_SECONDS:
        raise BadSignature("The signature is more than five minutes away from this service's time")


def verify(body: bytes, header: bytes | None, secrets: WebhookSecrets, *, now: float) -> str:
    """The secret that has signed the body. Raises `BadSignature` unless one has, at about this time."""
    import stripe  # noqa: PLC0415  # only where webhooks are configured

    if header is None:
        raise BadSignature("There is no Stripe-Signature header")
    try:
        text = body.decode("utf-8")
        signature = header.decode("ascii")
    except UnicodeDecodeError:
        raise BadSignature from None
    for secret in (*secrets.platform, *secrets.connect):
        if not secret:  # everybody knows it
            continue
        try:
            stripe.WebhookSignature.verify_header(text, signature, secret, tolerance=None)
        except stripe.SignatureVerificationError:
            continue
        if abs(now - signed_at(signature)) > TOLERANCE_SECONDS:
            raise BadSignature("The signature is more than five minutes away from this service's time")
        return secret
    raise BadSignature


def judge_scope(event: RecordStripeEvent, secret: str, secrets: WebhookSecrets) -> None:
    """Raise `BadSignature` where a connected account's event is signed with the platform's secret, or vice versa."""
    if secret not in (secrets.platform if event.account is None else secrets.connect):
        raise BadSignature("The secret that signed this is not for events of this kind of account")


def signed_at(signature: str) -> int:
    """The timestamp that the SDK has read from a header which it found good."""
    parts = [part.split("=", 2) for part in signature.split(",")]
    return int(next(part[1] for part in parts if part[0] == "t"))


def event_from(body: bytes) -> RecordStripeEvent:
    """The message for a genuine body. Raises `NotAnEvent` for anything but a snapshot event that can be stored."""
    try:
        event = parse_object(body)
        unstorable = judge(event, body)
    except Malformed as error:
        raise NotAnEvent(error.detail) from None
    if event.get("object") != "event":
        raise NotAnEvent("Only snapshot events are taken: `object` must be `event`")
    if unstorable:
        raise NotAnEvent(f"{unstorable[0].pointer}: {unstorable[0].detail}")
    return RecordStripeEvent(
        event_id=_text(event, "id"),
        type=_text(event, "type"),
        api_version=_optional_text(event, "api_version"),
        livemode=_expected(event, "livemode", bool),
        account=_optional_text(event, "account"),
        created=_expected(event, "created", int),
        payload=event,
        size=len(body),
    )


def _text(event: dict[str, Any], name: str) -> str:  # Any: JSON
    value = event.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= 255:
        raise NotAnEvent(f"`{name}` is not a text of 1 to 255 characters")
    return value


def _optional_text(event: dict[str, Any], name: str) -> str | None:  # Any: JSON
    return None if event.get(name) is None else _text(event, name)


def _expected(event: dict[str, Any], name: str, kind: type[ValueT]) -> ValueT:  # Any: JSON
    value = event.get(name)
    if type(value) is not kind:  # not isinstance: true is no time
        raise NotAnEvent(f"`{name}` is not of the type {kind.__name__}")
    return value


def _responses() -> dict[str, Any]:  # Any: JSON
    received = {"type": "object", "required": ["received"], "properties": {"received": {"const": True}}}
    refusals = {
        "400": "Malformed",
        "408": "BodyTooSlow",
        "413": "BodyTooLarge",
        "429": "TooManyRequests",
        "503": "Unavailable",
    }
    content = {"application/json": {"schema": received, "example": {"received": True}}}
    return {
        "200": {"description": "Recorded, now or before", "content": content},
        **{status: {"$ref": f"#/components/responses/{name}"} for status, name in refusals.items()},
    }


_EVENT = {
    "schema": {"type": "object"},
    "example": {"id": "evt_1SZb2kJ4d8Q0aB3cXyZ01234", "type": "checkout.session.completed", "data": {"object": {}}},
}
PATHS: dict[str, Any] = {  # Any: JSON
    PATH: {
        "post": {
            "operationId": "receiveStripeEvent",
            "tags": ["billing"],
            "summary": "Receive a Stripe event",
            "description": f"For Stripe only. Also served at `{ALIAS}`.",
            "security": [],
            "parameters": [
                {"name": "Stripe-Signature", "in": "header", "required": True, "schema": {"type": "string"}}
            ],
            "requestBody": {"required": True, "content": {"application/json": _EVENT}},
            "responses": _responses(),
        }
    }
}
