"""Many at once over HTTP: one event, one payment and the page that waits for it, one credit, one click, one seller."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import httpx
import pytest

from promptforge.core.principal import Role
from tests.support.running import PATIENCE_SECONDS, Person, eventually, published_listing, verified_ledger
from tests.support.service import Service, serving
from tests.support.waiving import WAIVED

AT_ONCE = 50
T = TypeVar("T")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("races")) as started:
        yield started
        assert "unexpected_error" not in started.log


@pytest.fixture(scope="module")
def operator(service: Service) -> Person:
    return service.person("operator", Role.OPERATOR)


@pytest.fixture(scope="module")
def seller(service: Service) -> Person:
    return service.person("seller", Role.SELLER)


@pytest.fixture
def publish(service: Service, seller: Person) -> Callable[[str], str]:
    moderator = service.person("moderator", Role.MODERATOR)
    return lambda name: published_listing(service, seller, moderator, name=name)


@pytest.fixture(autouse=True)
def ledger_is_right(operator: Person) -> Iterator[None]:
    yield
    report = verified_ledger(operator)
    assert (report["ok"], report["violations"]) == (True, [])


def at_once(number: int, do: Callable[[int], T]) -> list[T]:
    """As many threads that begin in the same moment; what each has answered, in order."""
    together = threading.Barrier(number)

    def one(turn: int) -> T:
        together.wait(PATIENCE_SECONDS)
        return do(turn)

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(one, range(number)))


def checkout_of(buyer: Person) -> dict[str, Any]:
    made: dict[str, Any] = buyer.post("/billing/checkouts", {"pack_id": "pack_500", **WAIVED}, expect=201)
    return made


def topups(buyer: Person) -> list[str]:
    return [one["amount"] for one in buyer.all("/users/me/transactions") if one["kind"] == "topup"]


def settled(operator: Person, buyer: Person) -> None:
    """The credits are there, and no job is left that could bring them again."""
    eventually(lambda: buyer.get("/users/me/credits")["purchased"] == "500")
    eventually(lambda: not any(operator.get(f"/jobs?state={state}")["items"] for state in ("available", "running")))


# Events


@pytest.mark.parametrize("all_at_once", [False, True])
def test_one_event_fifty_times_is_taken_each_time_and_grants_once(
    service: Service, operator: Person, *, all_at_once: bool
) -> None:
    buyer = service.person(f"told-often-{all_at_once}")
    checkout = checkout_of(buyer)
    if all_at_once:
        answers = at_once(AT_ONCE, lambda _: service.pay(checkout))
    else:
        answers = [service.pay(checkout) for _ in range(AT_ONCE)]
    assert Counter(answer.status_code for answer in answers) == {200: AT_ONCE}
    settled(operator, buyer)
    assert topups(buyer) == ["500"]
    events = [row["event_id"] for row in operator.all("/billing/webhook-events")]
    assert events.count(f"evt_{checkout['id']}") == 1


def test_fifty_events_that_tell_one_fact_at_once_grant_once(service: Service, operator: Person) -> None:
    buyer = service.person("told-by-many")
    checkout = checkout_of(buyer)
    answers = at_once(AT_ONCE, lambda turn: service.pay(checkout, event_id=f"evt_of_many_{turn}"))
    assert Counter(answer.status_code for answer in answers) == {200: AT_ONCE}
    settled(operator, buyer)
    assert topups(buyer) == ["500"]
    rows = [row for row in operator.all("/billing/webhook-events") if row["event_id"].startswith("evt_of_many_")]
    assert Counter(row["state"] for row in rows) == {"processed": AT_ONCE}


def test_the_page_that_the_buyer_returns_to_races_the_event_and_there_is_one_grant(
    service: Service, operator: Person
) -> None:
    """Eight windows ask how the checkout stands while its event arrives, twice: none ever sees it half done."""
    buyer = service.person("returning")
    checkout = checkout_of(buyer)
    stop = threading.Event()

    def watch(window: Person) -> list[tuple[str, str]]:
        """Until it is over, and once more."""
        seen, over = [], False
        while not over:
            over = stop.is_set()
            state = window.get(f"/billing/checkouts/{checkout['id']}")["state"]
            seen.append((state, window.get("/users/me/credits")["purchased"]))
        return seen

    with ThreadPoolExecutor(10) as pool:
        watching = [pool.submit(watch, service.person("returning")) for _ in range(8)]
        try:
            told = [pool.submit(service.pay, checkout, event_id=f"evt_race_{turn}") for turn in range(2)]
            assert [one.result().status_code for one in told] == [200, 200]
            settled(operator, buyer)
        finally:
            stop.set()
        seen = [one.result() for one in watching]
    for one in seen:
        states = [state for state, _ in one]
        assert states == sorted(states, key=["open", "paid"].index), "what was paid is open again"
        assert {credits for state, credits in one if state == "paid"} == {"500"}
        assert {credits for _, credits in one} <= {"0", "500"}
    assert topups(buyer) == ["500"]


# Purchases


def buy(window: Person, listing: str, **headers: str) -> httpx.Response:
    path = f"/marketplace/listings/{listing}/purchases"
    return window.client.post(path, json={"expected_price": "10"}, headers=headers)


def test_of_many_purchases_with_the_last_credits_one_wins(service: Service, publish: Callable[[str], str]) -> None:
    listings = [publish(f"last credit {number}") for number in range(8)]
    buyer = service.funded("nearly-broke", 10)
    windows = [service.person("nearly-broke") for _ in listings]
    answers = at_once(len(listings), lambda turn: buy(windows[turn], listings[turn]))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 402: len(listings) - 1}
    assert {answer.json()["code"] for answer in answers if answer.status_code == 402} == {"insufficient_credits"}
    assert len(buyer.get("/marketplace/purchases")["items"]) == 1
    assert buyer.get("/users/me/credits")["available"] == "0"


@pytest.mark.parametrize("with_key", [True, False])
def test_a_double_click_buys_once(service: Service, publish: Callable[[str], str], *, with_key: bool) -> None:
    listing = publish(f"clicked {with_key}")
    buyer = service.funded(f"clicker-{with_key}", 100)
    windows = [service.person(f"clicker-{with_key}") for _ in range(8)]
    headers = {"Idempotency-Key": "one-click-on-this-listing"} if with_key else {}
    answers = at_once(8, lambda turn: buy(windows[turn], listing, **headers))
    bought = [answer.json() for answer in answers if answer.status_code == 201]
    refused = {answer.json()["code"] for answer in answers if answer.status_code != 201}
    assert len({purchase["id"] for purchase in bought}) == 1
    assert refused <= ({"request_still_running"} if with_key else {"already_owned"})
    assert with_key or len(bought) == 1
    assert [one["listing_id"] for one in buyer.get("/marketplace/purchases")["items"]] == [listing]
    assert buyer.get("/users/me/credits")["available"] == "90"


def test_64_sales_of_one_seller_at_once_all_succeed(
    service: Service, seller: Person, publish: Callable[[str], str]
) -> None:
    listing = publish("wanted by all")
    before = float(seller.get("/users/me/credits")["pending"])
    with ThreadPoolExecutor(8) as pool:
        buyers = list(pool.map(lambda number: service.funded(f"one-of-64-{number}", 10), range(64)))
    answers = at_once(64, lambda turn: buy(buyers[turn], listing))
    assert Counter(answer.status_code for answer in answers) == {201: 64}, {
        json.dumps(answer.json()) for answer in answers if answer.status_code != 201
    }
    assert float(seller.get("/users/me/credits")["pending"]) - before == 64 * 8.5
    assert {buyer.get("/users/me/credits")["available"] for buyer in buyers} == {"0"}
