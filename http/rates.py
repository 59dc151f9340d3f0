"""How often somebody may ask: budgets by class of route, counted per user, or per address for who is not signed in.

Counting is a sliding window in memory, and thus per process, or, for what is expensive wherever it runs, a fixed window
in MongoDB that all processes share. What is left is told in the RateLimit fields
(draft-ietf-httpapi-ratelimit-headers-10).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from limits import RateLimitItem, parse
from limits.aio.storage import Storage
from limits.aio.strategies import FixedWindowRateLimiter

from promptforge.core.errors import ConfigurationError
from promptforge.http.clients import subscriber
from promptforge.http.counters import Count, ProcessCounters
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
    name: str  # of its class, as plain text: an enum's hash and format are calls into Python
    item: RateLimitItem
    policy: tuple[bytes, bytes]


class Rates:
    """`changed`: budgets that an operator set, as `class=amount/unit`. Raises `ConfigurationError`."""

    def __init__(self, changed: Iterable[str] = (), *, shared: Storage | None = None) -> None:
        self._counters = ProcessCounters()
        self._shared = FixedWindowRateLimiter(shared) if shared is not None else None
        self._budgets = {
            name: _Budget(
                name.value, item, (b"ratelimit-policy", f'"{name}";q={item.amount};w={item.get_expiry()}'.encode())
            )
            for name, item in _items(changed).items()
        }

    def shares(self, name: RateClass) -> bool:
        """Whether `count_shared` is the one to call."""
        return name in SHARED and self._shared is not None

    def count(self, exchange: Exchange, name: RateClass, *, asker: str | None = None) -> None:
        """One more request of whoever sent this one, or of `asker`. Raises `TooManyRequests`; the response tells."""
        budget = self._budgets[name]
        counted = self._counters.hit((budget.name, asker or _asker(exchange)), budget.item)
        _tell(exchange, budget, counted)

    async def count_shared(self, exchange: Exchange, name: RateClass) -> None:
        """The same for all processes. Raises `DatabaseUnavailable` too."""
        if self._shared is None:
            raise RuntimeError("there are no shared counters")
        budget, asker = self._budgets[name], _asker(exchange)
        allowed = await self._shared.hit(budget.item, budget.name, asker)
        left = await self._shared.get_window_stats(budget.item, budget.name, asker)
        _tell(exchange, budget, Count(allowed, left.remaining, left.reset_time - time.time()))

    def spent(self, exchange: Exchange, name: RateClass) -> bool:
        """Whether `check` would raise."""
        budget = self._budgets[name]
        return not self._counters.test((budget.name, _address(exchange)), budget.item).allowed

    def check(self, exchange: Exchange, name: RateClass) -> None:
        """Raises `TooManyRequests` where this address was refused too often lately; counts nothing."""
        budget = self._budgets[name]
        count = self._counters.test((budget.name, _address(exchange)), budget.item)
        if not count.allowed:
            _tell(exchange, budget, count)

    def refused(self, exchange: Exchange, name: RateClass) -> None:
        """One more that had to be refused, of this address."""
        budget = self._budgets[name]
        self._counters.hit((budget.name, _address(exchange)), budget.item)


def _tell(exchange: Exchange, budget: _Budget, count: Count) -> None:
    """Put it into the response. Raises `TooManyRequests` where it is too many."""
    seconds = max(math.ceil(count.seconds), 1)
    exchange.rate = (budget.policy, (b"ratelimit", f'"{budget.name}";r={count.remaining};t={seconds}'.encode()))
    if not count.allowed:
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
