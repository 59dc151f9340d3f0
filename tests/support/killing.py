"""A market under load whose process is killed again and again, and what must be true in the end.

The Stripe sandbox runs in the test's own process, so it survives, as Stripe would: events that nobody took come again.
Every click of a person is sent until it is answered, with one `Idempotency-Key`.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from anyio.from_thread import start_blocking_portal

from promptforge.core.ids import new_id
from promptforge.core.principal import Role
from promptforge.deploy.sandbox.deliveries import Endpoint, Retries
from promptforge.deploy.sandbox.sandbox import SandboxSettings, open_sandbox
from tests.support.running import PLAIN, Person, eventually, published_listing, verified_ledger
from tests.support.service import Service
from tests.support.waiving import WAIVED

API_KEY = "sk_test_of_the_tests"
SECRET, CONNECT_SECRET = "whsec_platform", "whsec_connect"
POINTS = (
    "checkout.before_call",
    "checkout.after_call",
    "event.recorded_before_job",
    "event.recorded",
    "event.applied_before_finish",
    "sale.charged",
    "settlement.before_commit",
    "settlement.before_fold",
    "payout.requested.before_commit",
    "payout.requested.after_commit",
    "payout.before_call",
    "payout.after_call",
    "payout.finalise.before_commit",
    "payout.finalise.after_commit",
)
"""Where the product can be told to end itself (`core.failpoints`)."""
POINT_SECONDS = 15.0
"""A point that nobody comes by is given up after so long, and the process is killed where it happens to be."""
PRICE = 10
Kill = str | float
"""A point, or so many seconds."""


@dataclass(slots=True)
class Market:
    """Buyers, a seller with a bank, and the service that is killed."""

    service: Service
    stripe: httpx.Client
    seller: Person
    operator: Person
    buyers: list[Person]
    listings: list[str]
    rng: random.Random
    paid: list[str] = field(default_factory=list)
    """Sessions that were paid for."""
    refunded: dict[str, int] = field(default_factory=dict)
    bought: set[tuple[int, str]] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)
    till: threading.Lock = field(default_factory=threading.Lock)
    stop: threading.Event = field(default_factory=threading.Event)

    # Clicks

    def click(self, person: Person, path: str, body: dict[str, Any]) -> httpx.Response:
        """Until there is an answer; a process that is being started gives none."""
        headers = {"Idempotency-Key": new_id("key")}
        until = time.monotonic() + 240
        while time.monotonic() < until:
            with contextlib.suppress(httpx.HTTPError):
                response = person.client.post(path, json=body, headers=headers)
                busy = response.status_code == 409 and response.json()["code"] == "request_still_running"
                if response.status_code < 500 and not busy:
                    return response
            time.sleep(0.1)
        raise AssertionError(f"no answer to POST {path}")

    def control(self, path: str, body: dict[str, Any] | None = None) -> Any:
        return control(self.stripe, path, body)

    def top_up(self, buyer: Person) -> None:
        checkout = self.click(buyer, "/billing/checkouts", {"pack_id": "pack_500", **WAIVED})
        assert checkout.status_code == 201, checkout.text
        session = checkout.json()["session_id"]
        with self.till:  # two clicks of one buyer may have been given one page
            if session not in self.paid:
                self.control(f"/checkout/{session}/pay")
                self.paid.append(session)

    def refund(self) -> None:
        """One dollar of a payment."""
        session = self.rng.choice(self.paid)
        intent = self.stripe.get(f"/v1/checkout/sessions/{session}").json()["payment_intent"]
        answer = self.stripe.post("/v1/refunds", data={"payment_intent": intent, "amount": 100})
        if answer.status_code == 200:
            self.refunded[session] = self.refunded.get(session, 0) + 100

    def buy(self, number: int, listing: str) -> None:
        path = f"/marketplace/listings/{listing}/purchases"
        response = self.click(self.buyers[number], path, {"expected_price": str(PRICE)})
        if response.status_code == 201:
            self.bought.add((number, listing))
        else:
            assert response.status_code in {402, 409}, response.text

    def pay_out(self) -> None:
        response = self.click(self.seller, "/billing/payouts", {"amount": str(self.rng.randint(1, 8))})
        assert response.status_code in {200, 201, 402, 409}, response.text

    def settle(self) -> None:
        """May be lost with the process: the next one comes."""
        with contextlib.suppress(httpx.HTTPError):
            self.operator.client.post("/jobs/schedules/settle-sales/trigger")

    # Load

    def one_thing(self) -> None:
        kind = self.rng.random()
        number = self.rng.randrange(len(self.buyers))
        if kind < 0.15:
            self.top_up(self.buyers[number])
        elif kind < 0.2 and self.paid:
            self.refund()
        elif kind < 0.6:
            self.buy(number, self.rng.choice(self.listings))
        elif kind < 0.85:
            self.pay_out()
        else:
            self.settle()

    def load(self) -> None:
        while not self.stop.is_set():
            try:
                self.one_thing()
            except Exception as error:  # noqa: BLE001  # told at the end, by the thread that waits
                self.failures.append(repr(error))
                return
            time.sleep(0.02)

    @contextlib.contextmanager
    def under_load(self, threads: int = 4) -> Iterator[None]:
        with ThreadPoolExecutor(threads) as pool:
            working = [pool.submit(self.load) for _ in range(threads)]
            try:
                yield
            finally:
                self.stop.set()
            for work in working:
                work.result(300)
        assert self.failures == [], self.failures

    # Kills

    def die(self, kill: Kill) -> bool:
        """End the service, at the point or after the time, and start it again; whether it was there."""
        seconds = POINT_SECONDS if isinstance(kill, str) else kill
        until = time.monotonic() + seconds
        while self.service.running and time.monotonic() < until:
            time.sleep(0.02)
        there = not self.service.running
        self.service.kill()
        return there

    def round(self, kills: Sequence[Kill]) -> set[str]:
        """Kill it so many times; the points at which it ended."""
        reached = set()
        for kill in kills:
            self.service.kill()
            self.service.set(FAILPOINTS=f"{kill}:{self.rng.randrange(3)}" if isinstance(kill, str) else "")
            self._start()
            if self.die(kill) and isinstance(kill, str):
                reached.add(kill)
        self.service.set(FAILPOINTS="")
        self._start()
        return reached

    def _start(self) -> None:
        """A point may be passed before it is ready: then that was the kill."""
        with contextlib.suppress(AssertionError):
            self.service.start()

    # The end

    def quiet(self) -> None:
        """Everything has been delivered, and every job has ended."""
        eventually(lambda: self.stripe.get("/_sandbox").json()["undelivered"] == 0, seconds=180)

        def done() -> bool:
            return not any(
                self.operator.get(f"/jobs?state={state}&limit=100")["items"] for state in ("available", "running")
            )

        eventually(done, seconds=240)
        if self.revive():
            eventually(done, seconds=240)

    def revive(self) -> int:
        """Retry, as operators would, the jobs that lost their process so often that they count as poison."""
        dead = self.operator.get("/jobs?state=dead")["items"]
        for job in dead:
            errors = self.operator.get(f"/jobs/{job['id']}")["errors"]
            assert errors[-1]["error"] == "poison", errors
            self.operator.post(f"/jobs/{job['id']}/retry")
        return len(dead)

    def check(self) -> None:
        assert self.operator.get("/jobs?state=dead")["items"] == []
        report = verified_ledger(self.operator)
        assert (report["ok"], report["violations"]) == (True, [])
        with self.service.database() as client:
            database = client["promptforge"]
            self._check_money_in(database)
            self._check_money_out(database)
            owned = {(row["buyer_id"], row["listing_id"]) for row in database["purchases"].find()}
            assert database["purchases"].count_documents({}) == len(owned)
        buyers = {number: person.get("/users/me")["id"] for number, person in enumerate(self.buyers)}
        assert {(buyers[number], listing) for number, listing in self.bought} == owned
        verified = self.service.command("ledger", "verify")
        assert verified.returncode == 0, verified.stdout + verified.stderr

    def _check_money_in(self, database: Any) -> None:
        """Each session that was paid has brought its credits once, less what was refunded: a cent is a credit."""
        journals = {row["_id"] for row in database["ledger_journals"].find({"kind": "topup"})}
        assert journals == {f"topup:{session}" for session in self.paid}
        wanted = (500 * len(self.paid) - sum(self.refunded.values())) * 1000
        assert -_sum(database, "stripe:topups") == wanted

    def _check_money_out(self, database: Any) -> None:
        """Each payout that was sent is one transfer at Stripe, and there is no other one."""
        transfers = self._transfers()
        payouts = {f"payout:{row['_id']}": row for row in database["payouts"].find()}
        assert {row["state"] for row in payouts.values()} <= {"sent"}
        assert sorted(one["transfer_group"] for one in transfers) == sorted(payouts)
        assert all(payouts[one["transfer_group"]]["money"] == one["amount"] for one in transfers)
        assert _sum(database, "stripe:payouts") == 1000 * sum(one["amount"] for one in transfers)

    def _transfers(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            after = {"starting_after": found[-1]["id"]} if found else {}
            page = self.stripe.get("/v1/transfers", params={"limit": 100, **after}).json()
            found += page["data"]
            if not page["has_more"]:
                return found


def control(stripe: httpx.Client, path: str, body: dict[str, Any] | None = None) -> Any:
    """What at Stripe people and banks do."""
    response = stripe.post(f"/_sandbox{path}", json=body or {})
    assert response.status_code == 200, response.text
    return response.json()


def _sum(database: Any, account: str) -> int:
    legs = database["transactions"].aggregate(
        [{"$match": {"account": account}}, {"$group": {"_id": None, "sum": {"$sum": "$amount"}}}]
    )
    return next((row["sum"] for row in legs), 0)


@contextlib.contextmanager
def beside_stripe(directory: Path, **settings: str) -> Iterator[tuple[Service, httpx.Client]]:
    """A started service, and a client of the sandbox, which outlives it; settlement and bank details need no time."""
    service = Service(directory)
    hook = f"{service.base_url}/api/v1/webhooks/stripe"
    endpoints = (Endpoint(hook, SECRET), Endpoint(hook, CONNECT_SECRET, connect=True))
    retries = Retries(first_seconds=0.2, most_seconds=2, tries=200)
    made = SandboxSettings(api_key=API_KEY, endpoints=endpoints, pending_seconds=0, retries=retries)
    authorization = {"Authorization": f"Bearer {API_KEY}"}
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(open_sandbox(made)) as sandbox,
        httpx.Client(base_url=sandbox.url, headers=authorization, timeout=30, verify=PLAIN) as stripe,
    ):
        service.set(
            STRIPE_API_BASE=sandbox.url,
            STRIPE_SECRET_KEY=API_KEY,
            STRIPE_WEBHOOK_SECRET=SECRET,
            STRIPE_CONNECT_WEBHOOK_SECRET=CONNECT_SECRET,
            SETTLEMENT_DAYS="0",
            SETTLEMENT_DAYS_NEW_SELLER="0",
            BANK_DETAILS_HOLD_HOURS="0",
            **settings,
        )
        try:
            service.start()
            yield service, stripe
        finally:
            service.set(FAILPOINTS="")
            service.stop()


@contextlib.contextmanager
def open_market(directory: Path, *, seed: int, buyers: int = 6, listings: int = 12) -> Iterator[Market]:
    with beside_stripe(directory, PAYOUT_MINIMUM_CREDITS="1") as (service, stripe):
        yield _opened(service, stripe, random.Random(seed), buyers=buyers, listings=listings)


def _opened(service: Service, stripe: httpx.Client, rng: random.Random, *, buyers: int, listings: int) -> Market:
    seller, moderator = service.person("seller", Role.SELLER), service.person("moderator", Role.MODERATOR)
    market = Market(
        service=service,
        stripe=stripe,
        seller=seller,
        operator=service.person("operator", Role.OPERATOR),
        buyers=[service.person(f"buyer{number}") for number in range(buyers)],
        listings=[published_listing(service, seller, moderator, name=f"prompt {n}") for n in range(listings)],
        rng=rng,
    )
    onboarded(service, stripe, seller)
    market.control("/funds", {"amount": 10_000_000})
    for buyer in market.buyers:
        market.top_up(buyer)
    return market


def onboarded(service: Service, stripe: httpx.Client, seller: Person) -> str:
    """A seller who has given Stripe all details; answers the connected account."""
    seller.post("/billing/connect/onboarding", {"country": "US"})
    with service.database() as client:
        user_id = seller.get("/users/me")["id"]
        stored = client["promptforge"]["connect_accounts"].find_one({"_id": user_id})
    assert stored is not None
    account: str = stored["account_id"]
    control(stripe, f"/accounts/{account}/onboard")
    eventually(lambda: seller.get("/billing/connect")["state"] == "active")
    return account
