from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any
from unittest.mock import patch

import pytest
from cachetools import LRUCache
from hypothesis import given, settings
from hypothesis import strategies as st
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from promptforge.core.errors import ConfigurationError
from promptforge.http.app import HttpSettings
from promptforge.http.clients import client_address, subscriber
from promptforge.http.counters import ProcessCounters
from promptforge.http.rates import RateClass, Rates
from tests.unit.http.sample import ALICE, OPERATOR, NoMetrics, Parts, serving

PUBLIC = "/api/v1/things/abc"
LIMITED = ("default=3/minute", "sign-in=2/minute")


def limited(*, trusted_proxies: int = 0) -> Parts:
    return Parts(settings=HttpSettings(version="1", rate_limits=LIMITED, trusted_proxies=trusted_proxies))


async def statuses(client: Any, number: int, headers: dict[str, str]) -> list[int]:
    return [(await client.get(PUBLIC, headers=headers)).status_code for _ in range(number)]


@pytest.mark.anyio
async def test_a_budget_is_told_in_every_response_and_then_refused() -> None:
    async with serving(limited()) as service:
        responses = [await service.client.get(PUBLIC, headers=ALICE) for _ in range(4)]
    assert [response.status_code for response in responses] == [200, 200, 200, 429]
    assert [response.headers["ratelimit"].split(";")[1] for response in responses] == ["r=2", "r=1", "r=0", "r=0"]
    assert {response.headers["ratelimit-policy"] for response in responses} == {'"default";q=3;w=60'}
    problem = responses[-1].json()
    assert (problem["code"], problem["retryable"]) == ("rate_limited", True)
    seconds = int(responses[-1].headers["retry-after"])
    assert 1 <= seconds <= 120
    assert f"t={seconds}" in responses[-1].headers["ratelimit"]


@pytest.mark.anyio
async def test_users_have_budgets_of_their_own_wherever_they_come_from() -> None:
    async with serving(limited()) as service:
        assert await statuses(service.client, 4, ALICE) == [200, 200, 200, 429]
        assert await statuses(service.client, 1, OPERATOR) == [200]
        assert await statuses(service.client, 1, {}) == [200]


@pytest.mark.anyio
async def test_the_others_are_told_apart_by_the_address_that_the_proxies_wrote() -> None:
    def via(forwarded: str) -> dict[str, str]:
        return {"x-forwarded-for": forwarded}

    async with serving(limited(trusted_proxies=1)) as service:
        assert await statuses(service.client, 4, via("192.0.2.1")) == [200, 200, 200, 429]
        assert await statuses(service.client, 1, via("192.0.2.2")) == [200]
        assert await statuses(service.client, 1, via("made up, 192.0.2.1")) == [429]
    async with serving(limited()) as service:  # nobody is trusted: the header is anybody's
        assert [await statuses(service.client, 1, via(f"192.0.2.{n}")) for n in range(4)] == [[200]] * 3 + [[429]]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/health", 200),
        ("GET", "/docs", 200),
        ("GET", "/docs/start.js", 200),
        ("GET", "/problems", 200),
        ("GET", "/problems/not_found", 200),
        ("GET", "/problems/nonsense", 404),
        ("GET", "/api/v1/openapi.json", 200),
        ("GET", "/nothing", 404),
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api/v1/things/" + "a" * 300, 404),
        ("GET", "/api/v1/things/%", 400),
        ("PUT", PUBLIC, 405),
        ("OPTIONS", PUBLIC, 204),
        ("GET", "/metrics", 401),
        ("OPTIONS", "/metrics", 204),
        ("GET", "/webhooks/stripe", 405),
    ],
)
async def test_what_no_table_serves_is_counted_by_address(method: str, path: str, status: int) -> None:
    settings = HttpSettings(version="1", rate_limits=LIMITED, metrics_token="secret")
    async with serving(Parts(settings=settings, metrics=NoMetrics())) as service:
        got = [(await service.client.request(method, path)).status_code for _ in range(4)]
        assert got == [status] * 3 + [429]
        for uncounted in ("/health/live", "/health/ready"):
            response = await service.client.get(uncounted)
            assert response.status_code == 200
            assert "ratelimit" not in response.headers
        scraped = await service.client.get("/metrics", headers={"authorization": "Bearer secret"})
        assert scraped.status_code == 200


@pytest.mark.anyio
async def test_guessing_tokens_is_slowed_down_and_known_tokens_go_on() -> None:
    async with serving(limited()) as service:
        assert await statuses(service.client, 1, ALICE) == [200]
        guesses = [{"authorization": f"Bearer guess{n}"} for n in range(3)]
        assert [await statuses(service.client, 1, guess) for guess in guesses] == [[401], [401], [429]]
        assert [token for token, _ in service.principals.resolved] == ["alice", "guess0", "guess1"]
        assert await statuses(service.client, 1, ALICE) == [200]
        assert await statuses(service.client, 1, OPERATOR) == [429]


@pytest.mark.anyio
async def test_bad_tokens_of_a_neighbour_keep_nobody_from_where_sessions_are_judged_anew() -> None:
    async with serving(limited()) as service:
        assert await statuses(service.client, 1, OPERATOR) == [200]
        guesses = [{"authorization": f"Bearer guess{n}"} for n in range(3)]
        assert [await statuses(service.client, 1, guess) for guess in guesses] == [[401], [401], [429]]
        assert (await service.client.delete("/api/v1/things/abc", headers=OPERATOR)).status_code == 204
        assert service.principals.resolved[-1] == ("operator", True)


def headers(*entries: str) -> list[tuple[bytes, bytes]]:
    return [(b"x-forwarded-for", entry.encode()) for entry in entries]


@pytest.mark.parametrize(
    ("entries", "proxies", "address"),
    [
        ((), 0, "10.0.0.9"),
        (("192.0.2.1",), 0, "10.0.0.9"),
        ((), 1, "10.0.0.9"),
        (("192.0.2.1",), 1, "192.0.2.1"),
        (("evil, 192.0.2.1",), 1, "192.0.2.1"),
        (("192.0.2.1, 10.0.0.1",), 2, "192.0.2.1"),
        (("192.0.2.1", "10.0.0.1"), 2, "192.0.2.1"),
        (("192.0.2.1",), 2, "10.0.0.9"),
        (("not an address",), 1, "10.0.0.9"),
        (("192.0.2.1:4711",), 1, "192.0.2.1"),
        (("[2001:db8::1]:4711",), 1, "2001:db8::1"),
        (("2001:DB8::1",), 1, "2001:db8::1"),
    ],
)
def test_an_address_is_what_the_last_trusted_proxy_saw(entries: Sequence[str], proxies: int, address: str) -> None:
    scope = {"client": ("10.0.0.9", 4711), "headers": headers(*entries)}
    assert client_address(scope, proxies) == address


@pytest.mark.parametrize(
    ("address", "one"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("", ""),
        ("unix", "unix"),
    ],
)
def test_an_ipv6_network_is_one_subscriber(address: str, one: str) -> None:
    assert subscriber(address) == one


@pytest.mark.parametrize("budget", ["default", "default=often", "every=3/minute", "default=", "=3/minute"])
def test_a_budget_that_is_none_is_refused_at_the_start(budget: str) -> None:
    with pytest.raises(ConfigurationError, match="RATE_LIMITS"):
        Rates((budget,))


def test_every_class_has_a_budget() -> None:
    Rates(tuple(f"{name}=1/second" for name in RateClass))


BUDGET = parse("5/minute")


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.01, 70.0), min_size=1, max_size=60))
def test_the_window_slides_as_that_of_limits_does(pauses: list[float]) -> None:
    clock = Clock()
    ours, theirs = ProcessCounters(clock), SlidingWindowCounterRateLimiter(MemoryStorage())
    with patch("time.time", clock), patch("limits.storage.memory.time.time", clock):
        for pause in pauses:
            clock.now += pause
            allowed = ours.test(("a", "b"), BUDGET).allowed
            count = ours.hit(("a", "b"), BUDGET)
            assert count.allowed == allowed == theirs.hit(BUDGET, "a", "b")
            assert count.remaining == theirs.get_window_stats(BUDGET, "a", "b").remaining


@given(st.lists(st.floats(0.01, 30.0), min_size=1, max_size=40))
def test_who_waits_as_long_as_told_is_let_in(pauses: list[float]) -> None:
    clock = Clock()
    counters = ProcessCounters(clock)
    for pause in pauses:
        clock.now += pause
        count = counters.hit(("a", "b"), BUDGET)
        if not count.allowed:
            clock.now += math.ceil(count.seconds)
            assert counters.hit(("a", "b"), BUDGET).allowed


def test_counters_are_bounded() -> None:
    counters = ProcessCounters()
    with patch.object(counters, "_counters", LRUCache(3)):
        for number in range(10):
            assert counters.hit(("a", str(number)), BUDGET).remaining == 4
        assert counters.hit(("a", "9"), BUDGET).remaining == 3
        assert counters.hit(("a", "0"), BUDGET).remaining == 4  # forgotten
