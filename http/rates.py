"""How often somebody may ask: budgets by class of route, counted per user, or per address for who is not signed in.

The counting is `limits`': a sliding window in memory and thus per process, or, for what is expensive wherever it runs,
a fixed window in MongoDB that all processes share. What is left is told in the RateLimit fields
(draft-ietf-httpapi-ratelimit-headers-10).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from limits import RateLimitItem, WindowStats, parse
from limits.aio.storage import Storage
from limits.aio.strategies import FixedWindowRateLimiter
from limits.strategies import SlidingWindowCounterRateLimiter

from promptforge.core.errors import ConfigurationError
from promptforge.http.clients import subscriber
from promptforge.http.counters import ProcessCounters
from promptforge.http.errors import TooManyRequests
from promptforge.http.exchange import Exchange


class RateClass(StrEnum):
    """What a request costs us. `sign-in` and `webhook` count only what was refused."""

    DEFAULT = "default"
    EXPENSIVE = "expensive"
    SERVING = "serving"
    INGEST = "ingest"
    WEBHOOK = "webhook"
    SIGN_IN = "sign-in"


BUDGETS: Mapping[RateClass, str] = {
    RateClass.DEFAULT: "100/minute",
    RateClass.EXPENSIVE: "20/minute",
    RateClass.SERVING: "6000/minute",
    RateClass.INGEST: "3000/minute",
    RateClass.WEBHOOK: "60/minute",
    RateClass.SIGN_IN: "30/minute",
}

SHARED = frozenset({RateClass.EXPENSIVE})
"""Counted for all processes together, where they have a database."""


@dataclass(frozen=True, slots=True)
class _Budget:
    item: RateLimitItem
    policy: tuple[bytes, bytes]


class Rates:
    """`changed`: budgets that an operator set, as `class=amount/unit`. Raises `ConfigurationError`."""

    def __init__(self, changed: Iterable[str] = (), *, shared: Storage | None = None) -> None:
        self._limiter = SlidingWindowCounterRateLimiter(ProcessCounters())
        self._shared = FixedWindowRateLimiter(shared) if shared is not None else None
        self._budgets = {
            name: _Budget(item, (b"ratelimit-policy", f'"{name}";q={item.amount};w={item.get_expiry()}'.encode()))
            for name, item in _items(changed).items()
        }

    def shares(self, name: RateClass) -> bool:
        """Whether `count_shared` is the one to call."""
        return self._shared is not None and name in SHARED

    def count(self, exchange: Exchange, name: RateClass) -> None:
        """One more request of whoever sent this one. Raises `TooManyRequests`; either way the response tells."""
        item, asker = self._budgets[name].item, _asker(exchange)
        allowed = self._limiter.hit(item, name, asker)
        self._tell(exchange, name, self._limiter.get_window_stats(item, name, asker), refuse=not allowed)

    async def count_shared(self, exchange: Exchange, name: RateClass) -> None:
        """The same for all processes. Raises `DatabaseUnavailable` too."""
        if self._shared is None:
            raise RuntimeError("there are no shared counters")
        item, asker = self._budgets[name].item, _asker(exchange)
        allowed = await self._shared.hit(item, name, asker)
        self._tell(exchange, name, await self._shared.get_window_stats(item, name, asker), refuse=not allowed)

    def check(self, exchange: Exchange, name: RateClass) -> None:
        """Raises `TooManyRequests` where this address was refused too often lately; counts nothing."""
        item, address = self._budgets[name].item, _address(exchange)
        if not self._limiter.test(item, name, address):
            self._tell(exchange, name, self._limiter.get_window_stats(item, name, address), refuse=True)

    def refused(self, exchange: Exchange, name: RateClass) -> None:
        """One more that had to be refused, of this address."""
        self._limiter.hit(self._budgets[name].item, name, _address(exchange))

    def _tell(self, exchange: Exchange, name: RateClass, left: WindowStats, *, refuse: bool) -> None:
        budget = self._budgets[name]
        seconds = max(math.ceil(left.reset_time - time.time()), 1)
        exchange.rate = (budget.policy, (b"ratelimit", f'"{name}";r={left.remaining};t={seconds}'.encode()))
        if refuse:
            raise TooManyRequests(
                f"That was more than {budget.item.amount} in {budget.item.get_expiry()} seconds: wait {seconds} s",
                retry_after_seconds=seconds,
            )


def _asker(exchange: Exchange) -> str:
    principal = exchange.principal
    return principal.user_id if principal is not None else _address(exchange)


def _address(exchange: Exchange) -> str:
    return subscriber(exchange.client or "")


def _items(changed: Iterable[str]) -> dict[RateClass, RateLimitItem]:
    budgets = dict(BUDGETS)
    for entry in changed:
        name, _, budget = entry.partition("=")
        if name not in {known.value for known in RateClass}:
            raise ConfigurationError(f"RATE_LIMITS: {entry!r} is not one of {', '.join(RateClass)} with =100/minute")
        budgets[RateClass(name)] = budget
    items = {}
    for known, budget in budgets.items():
        try:
            items[known] = parse(budget)
        except ValueError:
            raise ConfigurationError(f"RATE_LIMITS: {budget!r} is not a budget such as 100/minute") from None
    return items
