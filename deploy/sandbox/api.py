"""One call of the API, from its parameters to its answer: keys, faults, the operation, expansion."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from promptforge.deploy.sandbox import (
    accounts,
    books,
    customers,
    disputes,
    events,
    invoices,
    invoicing,
    payments,
    payouts,
    portal,
    prices,
    refunds,
    sessions,
    subscriptions,
    taxes,
    transfers,
)
from promptforge.deploy.sandbox.faults import REFUSALS, Fault, Faults
from promptforge.deploy.sandbox.forms import Params, parse
from promptforge.deploy.sandbox.idempotency import LONGEST, Asked, Keys, Reply
from promptforge.deploy.sandbox.lists import Included, expanded
from promptforge.deploy.sandbox.operations import Operation
from promptforge.deploy.sandbox.refusals import Object, Refused, invalid
from promptforge.deploy.sandbox.world import Call, Origin, World

ROOMS = (
    accounts,
    books,
    customers,
    disputes,
    events,
    invoicing,
    payments,
    payouts,
    portal,
    prices,
    refunds,
    sessions,
    subscriptions,
    taxes,
    transfers,
)
OPERATIONS: tuple[Operation, ...] = tuple(one for room in ROOMS for one in room.operations.declared)
INCLUDED: Mapping[tuple[str, str], Included] = {
    ("charge", "refunds"): refunds.of_charge,
    ("checkout.session", "line_items"): sessions.line_items,
    ("invoice", "payments"): invoices.payments_of,
}


@dataclass(frozen=True, slots=True)
class Asking:
    """A request as it came. `url` is its path; `sleep` waits for a time-out, and ends where the client goes."""

    url: str
    text: str
    ids: dict[str, str]
    sleep: Callable[[float], Awaitable[None]]
    account: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """None for a `reply`: hang up. `replayed`: it was given before."""

    reply: Reply | None
    replayed: bool = False


class Api:
    """The operations on a world, with the faults that are planned and the keys that were used."""

    def __init__(self, world: World, faults: Faults, keys: Keys) -> None:
        self._world = world
        self._faults = faults
        self._keys = keys

    async def call(self, operation: Operation, asking: Asking) -> Answer:
        """Never raises for what a client can do wrong."""
        request_id = self._world.new_id("req", 14)
        self._world.timeline.catch_up()
        key = asking.key if operation.method == "POST" else None
        try:
            if key is None:
                return await self._run(operation, asking, request_id)
            return await self._once(key, operation, asking, request_id)
        except Refused as refused:
            return Answer(_refusal(refused, request_id))
        except Lost:
            return Answer(None)

    async def _once(self, key: str, operation: Operation, asking: Asking, request_id: str) -> Answer:
        if len(key) > LONGEST:
            raise invalid(f"Idempotency keys are limited to {LONGEST} characters.")
        asked = Asked(asking.url, _sorted(asking.text))
        kept = self._keys.begin(key, asked, account=asking.account, now=self._world.now())
        if kept is not None:
            return Answer(kept, replayed=True)
        reply: Reply | None = None
        try:
            fault = await self._before(operation, asking)
            reply = self._perform(operation, asking, request_id)
            answer = await self._after(fault, asking, reply, request_id)
            if answer.reply is not None and answer.reply.status >= 500:  # Stripe keeps and replays these too
                reply = answer.reply
            return answer
        except Refused as refused:
            reply = _refusal(refused, request_id) if refused.stored else None
            raise
        finally:
            self._keys.end(key, reply, account=asking.account)

    async def _run(self, operation: Operation, asking: Asking, request_id: str) -> Answer:
        fault = await self._before(operation, asking)
        return await self._after(fault, asking, self._perform(operation, asking, request_id), request_id)

    async def _before(self, operation: Operation, asking: Asking) -> Fault | None:
        """The fault that comes after the effect; one that comes before it happens here. Raises `Refused`."""
        fault = self._faults.take(operation.name)
        if fault is None or fault.after:
            return fault
        if (refusal := REFUSALS.get(fault.kind)) is not None:
            raise refusal()
        if fault.kind == "timeout":
            await asking.sleep(fault.seconds)
        raise Lost

    async def _after(self, fault: Fault | None, asking: Asking, reply: Reply, request_id: str) -> Answer:
        if fault is None:
            return Answer(reply)
        if (refusal := REFUSALS.get(fault.kind)) is not None:
            return Answer(_refusal(refusal(), request_id))
        if fault.kind == "timeout":
            await asking.sleep(fault.seconds)
        return Answer(None)

    def _perform(self, operation: Operation, asking: Asking, request_id: str) -> Reply:
        """Raises `Refused` for what was not begun; every other refusal is a reply."""
        params = Params(parse(asking.text))
        params.check_known(operation.known)
        if asking.account is not None:
            self._world.get("account", asking.account, param="Stripe-Account")
        self._world.origin = Origin(request_id, asking.key)
        try:
            call = Call(self._world, params, asking.ids, asking.account, asking.url)
            body = expanded(self._world, operation.run(call), params.texts("expand"), INCLUDED)
            return Reply(200, body, request_id)
        except Refused as refused:
            if not refused.stored:
                raise
            return _refusal(refused, request_id)
        finally:
            self._world.origin = Origin()


class Lost(Exception):
    """The connection went before anything happened."""


def _refusal(refused: Refused, request_id: str) -> Reply:
    body: Object = refused.body(f"https://dashboard.stripe.com/test/logs/{request_id}")
    return Reply(refused.status, body, request_id, refused.should_retry)


def _sorted(text: str) -> str:
    """The parameters, whatever order they were sent in."""
    return json.dumps(sorted(text.split("&")))
