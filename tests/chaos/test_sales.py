"""Two hundred sales with a kill -9 in the middle: nothing lost, nothing twice, and the ledger adds up."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from promptforge.core.principal import Role
from tests.support.running import Person, eventually, fund, published_listing, verified_ledger
from tests.support.service import Service, serving

BUYERS = 50
LISTINGS = 4


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with serving(tmp_path) as service:
        yield service


@pytest.mark.timeout(600)
@pytest.mark.parametrize("victim", ["service", "mongod", "both"])
def test_two_hundred_purchases_survive_a_kill_in_the_middle(service: Service, victim: str) -> None:
    seller = service.person("seller", Role.SELLER)
    moderator = service.person("moderator", Role.MODERATOR)
    listings = [published_listing(service, seller, moderator, name=f"prompt {n}") for n in range(LISTINGS)]
    buyers = [service.person(f"buyer{number}") for number in range(BUYERS)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda buyer: fund(service, buyer), buyers))
        answered = Counter[int]()
        halfway = threading.Event()

        def buy(job: tuple[Person, str]) -> None:
            buyer, listing = job
            answered[_until_answered(buyer, listing)] += 1
            if sum(answered.values()) >= 60:
                halfway.set()

        jobs = [(buyer, listing) for listing in listings for buyer in buyers]
        sales = [pool.submit(buy, job) for job in jobs]
        assert halfway.wait(120)
        if victim in {"mongod", "both"}:
            service.signal_mongod(signal.SIGKILL)
        if victim in {"service", "both"}:
            service.kill()
            service.start()
        for sale in sales:
            sale.result(180)
    assert set(answered) <= {201, 409}
    assert sum(answered.values()) == BUYERS * LISTINGS
    assert service.running
    _check_everything(service, seller, buyers, listings)


def _until_answered(buyer: Person, listing: str) -> int:
    """Click until there is an answer, as a person would: an unanswered click may have bought or not."""
    path = f"/marketplace/listings/{listing}/purchases"

    def click() -> int | None:
        with contextlib.suppress(httpx.HTTPError):
            response = buyer.client.post(path, json={"expected_price": "10"})
            if response.status_code == 503:
                return None
            assert response.status_code in {201, 409}, response.text
            assert response.status_code == 201 or response.json()["code"] == "already_owned", response.text
            return response.status_code
        return None

    code: int = eventually(click, seconds=120)
    return code


def _check_everything(service: Service, seller: Person, buyers: list[Person], listings: list[str]) -> None:
    for buyer in buyers:
        owned = [purchase["listing_id"] for purchase in buyer.get("/marketplace/purchases?limit=100")["items"]]
        assert sorted(owned) == sorted(listings)
        assert buyer.get("/users/me/credits")["available"] == "460"
    operator = service.person("operator", Role.OPERATOR)

    def quiet() -> bool:
        waiting = [operator.get(f"/jobs?state={state}")["items"] for state in ("available", "running")]
        return waiting == [[], []]

    eventually(quiet, seconds=90)  # the leases of a killed process take 20 s
    assert operator.get("/jobs?state=dead")["items"] == []
    told = [one for one in seller.all("/notifications") if one["kind"] == "listing.sold"]
    sold = Counter(one["subject"]["purchase_id"] for one in told)
    assert (len(sold), set(sold.values())) == (BUYERS * LISTINGS, {1})
    assert seller.get("/users/me/credits")["pending"] == "1700"
    report = verified_ledger(operator)
    assert (report["ok"], report["violations"]) == (True, [])
    verified = service.command("ledger", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
