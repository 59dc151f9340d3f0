"""Time that is moved, periods, and that nothing in the sandbox grows without bound."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import pytest

from promptforge.core.errors import ConfigurationError
from promptforge.deploy.sandbox import deliveries as deliveries_module
from promptforge.deploy.sandbox import timeline as timeline_module
from promptforge.deploy.sandbox.guard import is_local, refuse_other_hosts, refuse_production
from promptforge.deploy.sandbox.idempotency import LIFETIME_SECONDS, Asked, Keys, Reply
from promptforge.deploy.sandbox.periods import period_end
from promptforge.deploy.sandbox.refusals import Refused
from promptforge.deploy.sandbox.timeline import Timeline
from promptforge.deploy.sandbox.world import World


def test_what_is_due_on_the_way_happens_at_its_own_time() -> None:
    timeline = Timeline(lambda: 1000.0)
    seen: list[tuple[str, int]] = []

    def again() -> None:
        seen.append(("again", timeline.now()))
        if len(seen) < 4:
            timeline.plan(timeline.now() + 10, again)

    timeline.plan(1030, lambda: seen.append(("once", timeline.now())))
    timeline.plan(1010, again)
    timeline.catch_up()
    assert seen == []
    assert timeline.advance(35) == 1035
    assert seen == [("again", 1010), ("again", 1020), ("once", 1030), ("again", 1030)]


def test_a_plan_about_something_forgotten_stops_nothing() -> None:
    world = World(seed="s", timeline=Timeline(lambda: 0.0))
    done: list[int] = []
    world.timeline.plan(1, lambda: done.append(len(world.get("refund", "re_forgotten"))))
    world.timeline.plan(2, lambda: done.append(2))
    world.timeline.advance(3)
    assert done == [2]


def test_plans_past_the_bound_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline_module, "MOST_PLANNED", 3)
    timeline = Timeline(lambda: 0.0)
    done: list[int] = []
    for number in range(5):
        timeline.plan(1, lambda number=number: done.append(number))  # type: ignore[misc]  # a default binds it
    timeline.advance(2)
    assert done == [0, 1, 2]


@pytest.mark.parametrize(
    ("start", "interval", "count", "end"),
    [
        ("2027-01-31", "month", 1, "2027-02-28"),
        ("2028-01-31", "month", 1, "2028-02-29"),
        ("2027-12-15", "month", 1, "2028-01-15"),
        ("2027-11-30", "month", 3, "2028-02-29"),
        ("2028-02-29", "year", 1, "2029-02-28"),
        ("2027-03-28", "day", 1, "2027-03-29"),
        ("2027-03-28", "week", 2, "2027-04-11"),
    ],
)
def test_a_period_ends_on_the_same_day_or_the_last_of_a_shorter_month(
    start: str, interval: str, count: int, end: str
) -> None:
    begins = datetime.fromisoformat(start).replace(tzinfo=UTC)
    found = datetime.fromtimestamp(period_end(int(begins.timestamp()), interval, count), UTC)
    assert found.date().isoformat() == end


def test_a_kind_keeps_its_newest_objects() -> None:
    world = World(seed="s", most=3)
    for number in range(5):
        world.emit("customer.created", {"id": f"cus_{number}", "object": "customer"})
    assert world.counts() == {"event": 3}
    assert [event["data"]["object"]["id"] for event in world.newest_first("event")] == ["cus_4", "cus_3", "cus_2"]


def test_a_seed_repeats_ids_and_without_one_they_are_new() -> None:
    assert World(seed="a").new_id("pi") == World(seed="a").new_id("pi")
    assert World(seed="a").new_id("pi") != World(seed="b").new_id("pi")
    assert World().new_id("pi") != World().new_id("pi")


def test_keys_are_kept_for_a_day_and_within_bounds() -> None:
    keys = Keys(most=2)
    asked = Asked("/v1/customers", "[]")

    def use(key: str, now: int) -> Reply | None:
        kept = keys.begin(key, asked, account=None, now=now)
        if kept is None:
            keys.end(key, Reply(200, {}, f"req_{now}"), account=None)
        return kept

    assert use("a", 0) is None
    assert use("a", LIFETIME_SECONDS - 1) is not None
    assert use("a", LIFETIME_SECONDS) is None
    assert [use(key, LIFETIME_SECONDS) for key in ("b", "c")] == [None, None]
    assert use("a", LIFETIME_SECONDS) is None  # the oldest had to go


def test_keys_of_different_accounts_are_different_keys() -> None:
    keys = Keys()
    assert keys.begin("k", Asked("/v1/a", ""), account=None, now=0) is None
    assert keys.begin("k", Asked("/v1/b", ""), account="acct_1", now=0) is None
    with pytest.raises(Refused):
        keys.begin("k", Asked("/v1/b", ""), account=None, now=0)


def test_the_same_event_to_two_endpoints_can_be_held_and_released() -> None:
    endpoint = deliveries_module.Endpoint("http://127.0.0.1:1/", "whsec_1")
    planned = deliveries_module.Deliveries(lambda: 0.0, endpoints=[endpoint, endpoint])
    planned.plan(deliveries_module.DeliveryFault("reorder", times=2))
    planned.take({"id": "evt_1", "type": "a", "pending_webhooks": 0})
    assert planned.due() is None
    planned.release()
    assert planned.due() is not None


def test_deliveries_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries_module, "MOST_WAITING", 2)
    endpoint = deliveries_module.Endpoint("http://127.0.0.1:1/", "whsec_1")
    planned = deliveries_module.Deliveries(lambda: 0.0, endpoints=[endpoint])
    for number in range(4):
        planned.take({"id": f"evt_{number}", "type": "a", "pending_webhooks": 0})
    assert [one.state for one in planned.kept] == ["waiting", "waiting", "lost", "lost"]


def test_retries_wait_longer_each_time_up_to_a_bound() -> None:
    retries = deliveries_module.Retries(first_seconds=1, most_seconds=10)
    assert [retries.wait_seconds(tried) for tried in (1, 2, 3, 4, 5, 500)] == [1, 2, 4, 8, 10, 10]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.com", ""])
def test_another_address_than_loopback_is_refused(host: str) -> None:
    with pytest.raises(ConfigurationError):
        refuse_other_hosts(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_loopback_is_taken(host: str) -> None:
    refuse_other_hosts(host)


def test_production_is_refused() -> None:
    refuse_production(production=False)
    with pytest.raises(ConfigurationError):
        refuse_production(production=True)


def test_a_process_with_a_key_loads_neither_the_sandbox_nor_the_sdk() -> None:
    code = (
        "import sys, promptforge.deploy.serve; "
        "print(*(name for name in sys.modules if name.startswith(('promptforge.deploy.sandbox.', 'stripe'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["promptforge.deploy.sandbox.guard"]


@pytest.mark.parametrize(
    ("header", "local"),
    [
        ("127.0.0.1:8000", True),
        ("localhost", True),
        ("LOCALHOST:1", True),
        ("[::1]:8000", True),
        ("[::1]", True),
        ("evil.example:80", False),
        ("127.0.0.1.evil.example", False),
        ("", False),
    ],
)
def test_only_the_names_of_this_machine_are_local(header: str, *, local: bool) -> None:
    assert is_local(header) is local
