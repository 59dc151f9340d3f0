"""The control API, under `/_sandbox`: what at Stripe time, banks and accidents do, here on demand.

It takes JSON and wants the secret key, so that no page in a browser can use it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, Literal, TypeVar

from annotated_types import Interval, Len
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from promptforge.deploy.sandbox import (
    deliveries,
    faults,
)
from promptforge.deploy.sandbox.refusals import Object, invalid, no_such
from promptforge.deploy.sandbox.world import World, public

if TYPE_CHECKING:
    from promptforge.deploy.sandbox.sandbox import Sandbox

Times = Annotated[int, Interval(ge=1, le=1_000_000)]
Seconds = Annotated[float, Interval(ge=0, le=10 * 366 * 86_400)]
BodyT = TypeVar("BodyT")


@dataclass(frozen=True, slots=True)
class Order(Generic[BodyT]):
    """What is to be done, and to which object: `id` is the one that the path names."""

    sandbox: Sandbox
    id: str
    body: BodyT

    @property
    def world(self) -> World:
        return self.sandbox.world


Action = Callable[[Order[Any]], Object]  # Any: the body that the action declares


@dataclass(frozen=True, slots=True)
class Control:
    method: str
    path: str
    body: TypeAdapter[Any]  # Any: each action has its own
    run: Action


@dataclass(frozen=True, slots=True)
class Strict:
    """Bodies say only what is known."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")


class Controls:
    """The actions of one room."""

    def __init__(self) -> None:
        self.declared: list[Control] = []

    def _declare(self, method: str, path: str, body: type[object]) -> Callable[[Action], Action]:
        def declare(run: Action) -> Action:
            self.declared.append(Control(method, f"/_sandbox{path}", TypeAdapter(body), run))
            return run

        return declare

    def get(self, path: str) -> Callable[[Action], Action]:
        return self._declare("GET", path, Strict)

    def post(self, path: str, body: type[object] = Strict) -> Callable[[Action], Action]:
        return self._declare("POST", path, body)

    def put(self, path: str, body: type[object] = Strict) -> Callable[[Action], Action]:
        return self._declare("PUT", path, body)

    def delete(self, path: str) -> Callable[[Action], Action]:
        return self._declare("DELETE", path, Strict)


controls = Controls()


def perform(declared: Control, sandbox: Sandbox, identifier: str, content: bytes) -> Object:
    """Raises `Refused`."""
    sandbox.world.timeline.catch_up()
    try:
        body = declared.body.validate_json(content or b"{}")
    except ValidationError as error:
        problems = json.loads(error.json(include_url=False, include_context=False))
        said = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in problems)
        raise invalid(f"The body is not what this takes: {said}") from None
    return declared.run(Order(sandbox, identifier, body))


def anywhere(world: World, kind: str, identifier: str) -> Object:
    found = world.find(kind, identifier, account=world.owner(kind, identifier))
    if found is None:
        raise no_such(kind, identifier)
    return found


# Looking in, time, endpoints


@controls.get("")
def overview(order: Order[Strict]) -> Object:
    return {
        "now": order.world.now(),
        "objects": order.world.counts(),
        "faults": [asdict(fault) for fault in order.sandbox.faults.planned],
        "delivery_faults": [asdict(fault) for fault in order.sandbox.deliveries.faults],
        "undelivered": order.sandbox.deliveries.unfinished,
        "paused": order.sandbox.deliveries.paused,
    }


@dataclass(frozen=True, slots=True)
class Advance(Strict):
    seconds: Seconds


@controls.post("/clock", Advance)
def advance(order: Order[Advance]) -> Object:
    return {"now": order.world.timeline.advance(order.body.seconds)}


@dataclass(frozen=True, slots=True)
class EndpointGiven(Strict):
    url: Annotated[str, Field(pattern=r"^https?://[A-Za-z0-9.:\[\]-]+(/[\x21-\x7e]*)?$")]
    secret: str
    connect: bool = False
    types: tuple[str, ...] = ("*",)


@dataclass(frozen=True, slots=True)
class Endpoints(Strict):
    endpoints: Annotated[tuple[EndpointGiven, ...], Len(0, 16)]


@controls.put("/endpoints", Endpoints)
def set_endpoints(order: Order[Endpoints]) -> Object:
    order.sandbox.deliveries.endpoints = tuple(deliveries.Endpoint(**asdict(one)) for one in order.body.endpoints)
    return {"endpoints": len(order.body.endpoints)}


# Faults


@dataclass(frozen=True, slots=True)
class PlannedFault(Strict):
    operation: str
    kind: Literal["rate_limit", "conflict", "server_error", "timeout", "disconnect"]
    after: bool = False
    times: Times = 1
    seconds: Annotated[float, Interval(ge=0, le=600)] = 60.0


@controls.post("/faults", PlannedFault)
def plan_fault(order: Order[PlannedFault]) -> Object:
    order.sandbox.faults.plan(faults.Fault(**asdict(order.body)))
    return {"planned": len(order.sandbox.faults.planned)}


@controls.delete("/faults")
def clear_faults(order: Order[Strict]) -> Object:
    order.sandbox.faults.clear()
    order.sandbox.deliveries.clear()
    return {"planned": 0}


@dataclass(frozen=True, slots=True)
class PlannedDeliveryFault(Strict):
    kind: Literal["duplicate", "delay", "lose", "reorder"]
    type: str = "*"
    times: Times = 1
    copies: Annotated[int, Interval(ge=1, le=100)] = 1
    seconds: Annotated[float, Interval(ge=0, le=3600)] = 5.0


@controls.post("/deliveries/faults", PlannedDeliveryFault)
def plan_delivery_fault(order: Order[PlannedDeliveryFault]) -> Object:
    order.sandbox.deliveries.plan(deliveries.DeliveryFault(**asdict(order.body)))
    return {"planned": len(order.sandbox.deliveries.faults)}


@controls.get("/deliveries")
def list_deliveries(order: Order[Strict]) -> Object:
    return {"deliveries": [delivery.view() for delivery in order.sandbox.deliveries.kept]}


@controls.post("/deliveries/release")
def release(order: Order[Strict]) -> Object:
    order.sandbox.deliveries.release()
    return {}


@dataclass(frozen=True, slots=True)
class Pause(Strict):
    paused: bool


@controls.post("/deliveries", Pause)
def pause(order: Order[Pause]) -> Object:
    order.sandbox.deliveries.pause(paused=order.body.paused)
    return {"paused": order.body.paused}


@controls.post("/events/{id}/resend")
def resend(order: Order[Strict]) -> Object:
    return {"sent": order.sandbox.deliveries.resend(anywhere(order.world, "event", order.id))}


def answered(answer: Object) -> bytes:
    return json.dumps(public(answer)).encode()
