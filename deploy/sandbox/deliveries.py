"""What is sent to which endpoint, when, and with what faults: the plan of deliveries, without a socket.

Stripe delivers at least once, in no particular order, and tries for days until it is answered 2xx. Here the waits are
shorter, and duplicates, delays, losses and other orders come when asked for.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from itertools import count

from promptforge.deploy.sandbox.refusals import Object

KINDS = ("duplicate", "delay", "lose", "reorder")
MOST_WAITING = 20_000
MOST_KEPT = 10_000
"""How many deliveries are remembered."""
MOST_FAULTS = 1_000


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`connect`: it gets the events of connected accounts, and only these; else those of the platform."""

    url: str
    secret: str
    connect: bool = False
    types: tuple[str, ...] = ("*",)

    def wants(self, event: Object) -> bool:
        if self.connect is not ("account" in event):
            return False
        return any(fnmatchcase(event["type"], pattern) for pattern in self.types)


@dataclass(frozen=True, slots=True)
class DeliveryFault:
    """For the next `times` events of `type` (with wildcards).

    duplicate: sent `copies` times more; delay: `seconds` later; lose: never sent, and seen only in the events list;
    reorder: held until there are `times` of them, then sent in another order (or after `seconds`, in any number).
    """

    kind: str
    type: str = "*"
    times: int = 1
    copies: int = 1
    seconds: float = 5.0


@dataclass(frozen=True, slots=True)
class Retries:
    """After the n-th failure the wait is first_seconds × 2ⁿ⁻¹, at most most_seconds; `tries` is the last."""

    first_seconds: float = 0.5
    most_seconds: float = 30.0
    tries: int = 16

    def wait_seconds(self, tried: int) -> float:
        return min(self.most_seconds, self.first_seconds * 2.0 ** min(tried - 1, 30))


@dataclass(slots=True, eq=False)
class Delivery:
    """One event to one endpoint. `statuses`: what each try was answered; 0 where there was no answer."""

    event: Object
    endpoint: Endpoint
    state: str = "waiting"
    statuses: list[int] = field(default_factory=list)

    def view(self) -> Object:
        return {
            "event": self.event["id"],
            "type": self.event["type"],
            "account": self.event.get("account"),
            "url": self.endpoint.url,
            "state": self.state,
            "statuses": list(self.statuses),
        }


class Deliveries:
    """`clock` is real, monotonic time: moving the sandbox's time does not hurry deliveries. `wake` tells the sender."""

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        endpoints: Sequence[Endpoint] = (),
        retries: Retries | None = None,
        seed: str | None = None,
    ) -> None:
        self.endpoints = tuple(endpoints)
        self.wake: Callable[[], None] = lambda: None
        self.kept: deque[Delivery] = deque(maxlen=MOST_KEPT)
        self.paused = False
        self._clock = clock
        self._retries = retries or Retries()
        self._random = random.Random(seed)  # noqa: S311  # the order of events is no secret
        self._faults: list[DeliveryFault] = []
        self._waiting: list[tuple[float, int, Delivery]] = []
        self._held: list[Delivery] = []
        self._release_at = 0.0
        self._numbers = count()

    @property
    def faults(self) -> tuple[DeliveryFault, ...]:
        return tuple(self._faults)

    def plan(self, fault: DeliveryFault) -> None:
        """Past a bound the oldest is forgotten."""
        self._faults = [*self._faults, fault][-MOST_FAULTS:]

    def clear(self) -> None:
        self._faults.clear()
        self.release()

    def take(self, event: Object) -> None:
        """Something has happened: plan to tell of it."""
        fault = self._fault_for(event)
        for endpoint in self.endpoints:
            if endpoint.wants(event):
                event["pending_webhooks"] += 1
                self._begin(Delivery(event, endpoint), fault)
        self.wake()

    def _fault_for(self, event: Object) -> DeliveryFault | None:
        if not any(endpoint.wants(event) for endpoint in self.endpoints):
            return None
        for number, fault in enumerate(self._faults):
            if fnmatchcase(event["type"], fault.type):
                left = [replace(fault, times=fault.times - 1)] if fault.times > 1 else []
                self._faults[number : number + 1] = left
                return fault
        return None

    def _begin(self, delivery: Delivery, fault: DeliveryFault | None) -> None:
        self.kept.append(delivery)
        kind = fault.kind if fault is not None else ""
        if fault is None:
            self._push(delivery, 0.0)
        elif kind == "lose":
            delivery.state = "lost"
        elif kind == "delay":
            self._push(delivery, fault.seconds)
        elif kind == "reorder":
            self._hold(delivery, fault)
        else:
            for _ in range(fault.copies + 1):
                self._push(delivery, 0.0)

    def _hold(self, delivery: Delivery, fault: DeliveryFault) -> None:
        self._held.append(delivery)
        self._release_at = self._clock() + fault.seconds
        if fault.times == 1:  # the last of those that were asked for
            self.release()

    def release(self) -> None:
        """Send what is held back, in another order than it came."""
        held, self._held = self._held, []
        ordered = list(held)
        if len(held) > 1:
            while ordered == held:
                self._random.shuffle(ordered)
        for number, delivery in enumerate(ordered):
            self._push(delivery, number * 0.02)
        self.wake()

    def _push(self, delivery: Delivery, seconds: float) -> None:
        if len(self._waiting) >= MOST_WAITING:
            delivery.state = "lost"
            return
        heapq.heappush(self._waiting, (self._clock() + seconds, next(self._numbers), delivery))

    def due(self) -> Delivery | None:
        """What is to be sent now."""
        if self._held and self._clock() >= self._release_at:
            self.release()
        if self.paused or not self._waiting or self._waiting[0][0] > self._clock():
            return None
        return heapq.heappop(self._waiting)[2]

    def wait_seconds(self) -> float | None:
        """How long nothing is due; None: until something happens."""
        times = [self._release_at] if self._held else []
        times += [self._waiting[0][0]] if self._waiting and not self.paused else []
        return max(0.0, min(times) - self._clock()) if times else None

    def ended(self, delivery: Delivery, status: int) -> None:
        """A try was answered with `status` (0: not at all)."""
        delivery.statuses.append(status)
        if 200 <= status < 300:
            if delivery.state != "delivered":
                delivery.event["pending_webhooks"] -= 1
            delivery.state = "delivered"
        elif delivery.state != "delivered":
            if len(delivery.statuses) >= self._retries.tries:
                delivery.state = "given up"
            else:
                self._push(delivery, self._retries.wait_seconds(len(delivery.statuses)))

    def pause(self, *, paused: bool) -> None:
        """While it is paused, nothing is sent."""
        self.paused = paused
        self.wake()

    @property
    def unfinished(self) -> int:
        return sum(one.state == "waiting" for one in self.kept)

    def resend(self, event: Object) -> int:
        """Send an event once more to whoever wants it; answers to how many."""
        wanting = [endpoint for endpoint in self.endpoints if endpoint.wants(event)]
        for endpoint in wanting:
            event["pending_webhooks"] += 1
            self._begin(Delivery(event, endpoint), None)
        self.wake()
        return len(wanting)
