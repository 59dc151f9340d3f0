"""The people of a market, their clicks, and what they were told.

Every click is sent until it is answered, with one `Idempotency-Key`; what Stripe knows is read from Stripe in the end.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx
from pymongo import MongoClient

from promptforge.core.ids import new_id
from promptforge.core.principal import Role
from tests.support.running import LISTING, Person, eventually
from tests.support.service import DATABASE, Service
from tests.support.trade.beside import beside_stripe, control

PRICE = 10
CLICK_SECONDS = 600
BEHIND_SECONDS = 420
"""Stripe's clock lags by so much: comparisons with Stripe leave alone what has happened within five minutes."""


@dataclass(slots=True, eq=False)
class Trader:
    """A person with an id, and what is theirs: a connected account, listings, purchases."""

    person: Person
    id: str
    account: str = ""
    listings: list[str] = field(default_factory=list)
    bought: dict[str, str] = field(default_factory=dict)
    """Listing → purchase."""


@dataclass(slots=True)
class Told:
    """What people were told has happened."""

    purchases: set[str] = field(default_factory=set)
    refunded: set[str] = field(default_factory=set)
    """Purchases whose credits came back."""
    compensated: set[str] = field(default_factory=set)
    """Of these, those whose seller was made whole."""
    payouts: set[str] = field(default_factory=set)
    cancelled: set[str] = field(default_factory=set)
    """Payouts that their seller took back in time."""
    grants: Counter[str] = field(default_factory=Counter)
    """Credits that were given away, by user."""
    leaving: set[str] = field(default_factory=set)
    """Users whose account is to be deleted."""


@dataclass(slots=True)
class Market:
    """`sellers` sell and cash out. `gina` sells only to people who have nothing but gifts, and tries to cash out all
    the same. `fanny` sells to relatives, who turn out to share a card with her after her sales have settled. `rita` is
    paid out just when Stripe wants more details of her.
    """

    service: Service
    stripe: httpx.Client
    mongo: MongoClient[dict[str, Any]]
    """Of the service's own mongod, which stays while this is open."""
    rng: random.Random
    operator: Person
    moderator: Person
    second: Person
    """Another moderator, who hears appeals."""
    admin: Person
    sellers: list[Trader] = field(default_factory=list)
    gina: Trader = field(init=False)
    fanny: Trader = field(init=False)
    rita: Trader = field(init=False)
    buyers: list[Trader] = field(default_factory=list)
    gifted: list[Trader] = field(default_factory=list)
    """Gina's buyers."""
    charges: list[str] = field(default_factory=list)
    """Charges at Stripe that were paid."""
    late: list[str] = field(default_factory=list)
    """Sessions whose money is under way."""
    subscriptions: list[str] = field(default_factory=list)
    """Stripe's ids."""
    told: Told = field(default_factory=Told)
    done: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    till: threading.Lock = field(default_factory=threading.Lock)
    bench: threading.Lock = field(default_factory=threading.Lock)
    """One moderator decides at a time."""
    stop: threading.Event = field(default_factory=threading.Event)
    _numbers: Iterator[int] = field(default_factory=count)

    # People

    @property
    def database(self) -> Any:  # Any: rows are JSON
        return self.mongo[DATABASE]

    @property
    def cashiers(self) -> list[Trader]:
        """Whoever has a connected account."""
        return [*self.sellers, self.gina, self.fanny, self.rita]

    def trader(self, name: str, *roles: Role) -> Trader:
        person = self.service.person(f"{name}{next(self._numbers)}", *roles)
        return Trader(person, self.get(person, "/users/me")["id"])

    def seller(self, name: str, listings: int) -> Trader:
        """With a bank, and something to sell."""
        seller = self.trader(name, Role.SELLER)
        self.must(seller.person, "/billing/connect/onboarding", {"country": "US"})
        seller.account = self.database["connect_accounts"].find_one({"_id": seller.id})["account_id"]
        self.control(f"/accounts/{seller.account}/onboard")
        eventually(lambda: self.get(seller.person, "/billing/connect")["state"] == "active", seconds=CLICK_SECONDS)
        for _ in range(listings):
            self.list_one(seller)
        return seller

    def list_one(self, seller: Trader) -> None:
        """A listing that goes the whole way, however often the service ends meanwhile."""
        name, person = f"prompt {next(self._numbers)}", seller.person
        prompt = self.must(person, "/prompts", {"name": name})["id"]
        self.must(person, f"/prompts/{prompt}/versions", {"content": f"The text of {name}: {{{{article}}}}"})
        listing: str = self.must(person, "/marketplace/listings", {**LISTING, "prompt_id": prompt})["id"]
        self.must(person, f"/marketplace/listings/{listing}/submit")
        case = f"/moderation/cases/{self._case_of(listing)}"
        with self.bench:
            self.must(self.moderator, f"{case}/claim")
            decision = {"decision": "approve", "reason_code": "meets_guidelines", "public_note": "Good."}
            self.must(self.moderator, f"{case}/decision", decision)
        seller.listings.append(listing)

    def _case_of(self, listing: str) -> str:
        def find() -> str | None:
            cases = self.get(self.moderator, "/moderation/cases?limit=100")["items"]
            return next((case["id"] for case in cases if case["listing_id"] == listing), None)

        found: str = eventually(find, seconds=CLICK_SECONDS)
        return found

    # Clicks

    def click(self, person: Person, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        """Until there is an answer; a process that is being started gives none, nor does a Stripe in trouble."""
        headers = {"Idempotency-Key": new_id("key")}
        return self._answered(lambda: person.client.post(path, json=body, headers=headers), f"POST {path}")

    def must(self, person: Person, path: str, body: dict[str, Any] | None = None) -> Any:
        response = self.click(person, path, body)
        assert response.status_code < 300, f"POST {path}: {response.text}"
        return response.json()

    def request(self, person: Person, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        """Of what may be sent again without a key."""
        return self._answered(lambda: person.client.request(method, path, json=body), f"{method} {path}")

    def get(self, person: Person, path: str) -> Any:
        response = self.request(person, "GET", path)
        assert response.status_code == 200, f"GET {path}: {response.text}"
        return response.json()

    def _answered(self, send: Any, what: str) -> httpx.Response:
        until = time.monotonic() + CLICK_SECONDS
        last = "nothing"
        while time.monotonic() < until:
            with contextlib.suppress(httpx.HTTPError):
                response: httpx.Response = send()
                last = response.text
                busy = response.status_code == 409 and response.json()["code"] == "request_still_running"
                if response.status_code < 500 and not busy:
                    return response
            time.sleep(0.1)
        raise AssertionError(f"no answer to {what}: {last}")

    def trigger(self, schedule: str) -> None:
        """May be lost with the process: the next one comes."""
        with contextlib.suppress(httpx.HTTPError):
            self.operator.client.post(f"/jobs/schedules/{schedule}/trigger")

    # Stripe

    def control(self, path: str, body: dict[str, Any] | None = None) -> Any:
        return control(self.stripe, path, body)

    def at_stripe(self, path: str) -> Any:
        """An object as Stripe has it; faults are planned for everybody, so it is asked until there is an answer."""
        return eventually(lambda: self._look(path))

    def _look(self, path: str) -> Any:
        with contextlib.suppress(httpx.HTTPError):
            response = self.stripe.get(f"/v1{path}")
            return response.json() if response.status_code == 200 else None
        return None

    def newest_at_stripe(self, path: str, **wanted: str) -> list[dict[str, Any]]:
        """The newest twenty; none where Stripe is in trouble."""
        with contextlib.suppress(httpx.HTTPError):
            page = self.stripe.get(f"/v1{path}", params={"limit": "20", **wanted})
            if page.status_code == 200:
                found: list[dict[str, Any]] = page.json()["data"]
                return found
        return []

    def all_at_stripe(self, path: str, **wanted: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        more = True
        while more:
            after = {"starting_after": found[-1]["id"]} if found else {}
            page = self.stripe.get(f"/v1{path}", params={"limit": "100", **wanted, **after})
            assert page.status_code == 200, page.text
            found += page.json()["data"]
            more = page.json()["has_more"]
        return found

    def charge_of(self, session_id: str) -> str:
        """What a session in payment mode was paid with."""
        intent = self.at_stripe(f"/checkout/sessions/{session_id}")["payment_intent"]
        charge: str = self.at_stripe(f"/payment_intents/{intent}")["latest_charge"]
        return charge

    def one_of(self, things: Sequence[Any]) -> Any:
        """One at random, of the newest forty: what was just done is what something is likely to be done to."""
        some = things[-40:]
        return self.rng.choice(some) if some else None


@contextlib.contextmanager
def open_market(
    directory: Path, *, seed: int, sellers: int = 2, buyers: int = 4, listings: int = 4, **settings: str
) -> Iterator[Market]:
    """Everybody is there, has a bank where one is needed, and nothing has been bought yet."""
    given = {"PAYOUT_MINIMUM_CREDITS": "1", "ACCOUNT_DELETION_DAYS": "0", **settings}
    with (
        beside_stripe(directory, behind_seconds=BEHIND_SECONDS, most_objects=500_000, **given) as (service, stripe),
        service.database() as mongo,
    ):
        market = Market(
            service=service,
            stripe=stripe,
            mongo=mongo,
            rng=random.Random(seed),
            operator=service.person("operator", Role.OPERATOR),
            moderator=service.person("moderator", Role.MODERATOR),
            second=service.person("second", Role.MODERATOR),
            admin=service.person("admin", Role.ADMIN),
        )
        market.sellers = [market.seller("seller", listings) for _ in range(sellers)]
        market.gina, market.fanny, market.rita = (market.seller(name, 1) for name in ("gina", "fanny", "rita"))
        market.buyers = [market.trader("buyer") for _ in range(buyers)]
        market.gifted = [market.trader("gifted") for _ in range(2)]
        market.control("/funds", {"amount": 10_000_000})
        yield market
