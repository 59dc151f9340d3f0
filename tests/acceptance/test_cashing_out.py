"""Who has earned is paid out, whatever roles they have; over HTTP, with a Stripe sandbox beside the service."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from promptforge.core.principal import Role
from tests.support.billing_setups import SELLER_DETAILS
from tests.support.partner_setups import approved, decide
from tests.support.running import PATIENCE_SECONDS, Person, eventually, published_listing, verified_ledger
from tests.support.service import Service, assert_problem
from tests.support.trade.beside import beside_stripe, control, onboarded
from tests.support.waiving import WAIVED

DETAILS, ONBOARDING, PAYOUTS = "/billing/seller-details", "/billing/connect/onboarding", "/billing/payouts"


@dataclass
class Market:
    """Carla has sold something for 500 credits to Bruno, who came by a link of Pat, a partner with no role at all."""

    service: Service
    stripe: httpx.Client
    admin: Person
    operator: Person
    carla: Person
    pat: Person
    partner_id: str

    @property
    def accounts(self) -> set[str]:
        """Whom Stripe knows."""
        listed = self.stripe.get("/v1/accounts", params={"limit": 100}).json()["data"]
        return {account["metadata"]["user_id"] for account in listed}

    def sells(self, seller: Person, partner: Person, partner_id: str, *, buyer: str) -> None:
        """Something for 500 credits, to a buyer who came by the partner's link: 15 of them are the partner's then."""
        mona, bruno = self.service.person("mona", Role.MODERATOR), self.service.person(buyer)
        listing = published_listing(self.service, seller, mona, name=f"For {buyer}", price="500")
        code = f"for-{buyer}"
        partner.post(f"/partnerships/{partner_id}/codes", {"code": code}, expect=201)
        visited = httpx.get(f"{self.service.base_url}/r/{code}", follow_redirects=False)
        (token,) = parse_qs(urlsplit(visited.headers["location"]).query)["referral"]
        bruno.post("/partnerships/attribution", {"tokens": [token]}, expect=201)
        checkout = bruno.post("/billing/checkouts", {"pack_id": "pack_500", **WAIVED}, expect=201)
        control(self.stripe, f"/checkout/{checkout['session_id']}/pay")
        eventually(lambda: bruno.get("/users/me/credits")["available"] == "500")
        bruno.post(f"/marketplace/listings/{listing}/purchases", {"expected_price": "500"}, expect=201)
        self.operator.post("/jobs/schedules/settle-sales/trigger", expect=202)
        eventually(lambda: partner.get(f"/partnerships/{partner_id}/earnings")["earned"] == "15")

    def in_state(self, person: Person, payout: dict[str, Any], state: str) -> None:
        eventually(lambda: person.get(f"{PAYOUTS}/{payout['id']}")["state"] == state)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    with beside_stripe(tmp_path_factory.mktemp("cashing-out"), PAYOUT_MINIMUM_CREDITS="10") as (service, stripe):
        admin, operator = service.person("admin", Role.ADMIN), service.person("operator", Role.OPERATOR)
        carla, pat = service.person("carla", Role.SELLER), service.person("pat")
        made = Market(service, stripe, admin, operator, carla, pat, approved(pat, admin))
        made.sells(carla, pat, made.partner_id, buyer="bruno")
        control(stripe, "/funds", {"amount": 1_000_000})
        yield made


def asked(person: Person, **headers: str) -> list[httpx.Response]:
    """What stands between earnings and a bank."""
    client = person.client
    return [
        client.put(DETAILS, json={"details": SELLER_DETAILS}, headers=headers),
        client.post(ONBOARDING, json={"country": "US"}, headers=headers),
        client.post(PAYOUTS, json={"amount": "10"}, headers=headers),
    ]


def test_who_has_earned_nothing_is_told_so_and_has_no_account_at_stripe(market: Market) -> None:
    hopeful, starter = market.service.person("hopeful"), market.service.person("starter")
    approved(starter, market.admin)  # and has brought nobody
    for person in (hopeful, starter, market.service.person("bruno"), market.operator):
        for response in asked(person):
            problem = assert_problem(response, 403, "nothing_earned")
            assert "administrator" in problem["detail"]
            assert "/partnerships" in problem["detail"]
        assert person.get("/billing/connect")["state"] == "not_started"
        assert person.get(DETAILS)["details"] is None
        assert person.get("/users/me")["id"] not in market.accounts
    with market.service.database() as client:
        assert client["promptforge"]["connect_accounts"].count_documents({"country": {"$exists": True}}) == 0


def test_no_program_cashes_out_for_a_partner(market: Market) -> None:
    body = {"name": "all", "scopes": market.pat.get("/users/me/api-keys")["available_scopes"]}
    key = market.pat.post("/users/me/api-keys", body, expect=201)["secret"]
    for response in asked(market.pat, authorization=f"Bearer {key}"):
        assert_problem(response, 403, "scope_missing")
    assert market.pat.get("/users/me")["id"] not in market.accounts


def test_a_partner_without_a_role_cashes_out(market: Market) -> None:
    pat = market.pat
    assert pat.get("/users/me")["roles"] == ["user"]
    assert pat.post(f"/partnerships/{market.partner_id}/earnings/collect", {})["amount"] == "15"
    assert_problem(pat.client.post(PAYOUTS, json={"amount": "10"}), 409, "not_onboarded")
    pat.call("PUT", DETAILS, {"details": SELLER_DETAILS}, expect=200)
    assert pat.get(DETAILS)["details"]["name"] == SELLER_DETAILS["name"]
    onboarded(market.service, market.stripe, pat)
    assert_problem(pat.client.post(PAYOUTS, json={"amount": "9"}), 422, "payout_too_small")
    assert_problem(pat.client.post(PAYOUTS, json={"amount": "16"}), 402, "insufficient_credits")
    payout = pat.post(PAYOUTS, {"amount": "15"}, expect=201)
    market.in_state(pat, payout, "sent")
    credits = pat.get("/users/me/credits")
    assert (credits["earned"], credits["reserved"]) == ("0", "0")
    assert verified_ledger(market.operator)["ok"] is True


def test_whose_role_is_taken_meanwhile_cashes_out_all_the_same(market: Market) -> None:
    carla = market.carla
    onboarded(market.service, market.stripe, carla)
    path = f"/ops/users/{carla.get('/users/me')['id']}/roles"
    taken = {"roles": [], "expected": ["seller"], "reason": "A test of roles", "reason_code": "task_ends"}
    with ThreadPoolExecutor(2) as pool:
        taking = pool.submit(market.admin.client.put, path, json=taken)
        first = pool.submit(carla.client.post, PAYOUTS, json={"amount": "100"}, timeout=PATIENCE_SECONDS)
        assert (taking.result().status_code, first.result().status_code) == (200, 201)
    eventually(lambda: carla.get("/users/me")["roles"] == ["user"])
    market.in_state(carla, first.result().json(), "sent")
    told = eventually(lambda: [one for one in carla.get("/notifications")["items"] if "roles" in one["kind"]])
    assert "Payouts need no role" in told[0]["body"]
    carla.call("PUT", DETAILS, {"details": SELLER_DETAILS}, expect=200)
    carla.post(ONBOARDING, {"country": "US"})
    payout = carla.post(PAYOUTS, {"amount": "325"}, expect=201)
    market.in_state(carla, payout, "sent")
    assert carla.get("/users/me/credits")["earned"] == "0"
    assert verified_ledger(market.operator)["ok"] is True


def test_what_had_settled_before_a_partnership_was_suspended_is_collected_and_paid_out(market: Market) -> None:
    paula, sven = market.service.person("paula"), market.service.person("sven", Role.SELLER)
    partner_id = approved(paula, market.admin)
    market.sells(sven, paula, partner_id, buyer="dora")
    decide(market.admin, partner_id, "suspend", "suspicious_traffic")
    assert paula.get(f"/partnerships/{partner_id}")["state"] == "suspended"
    assert paula.post(f"/partnerships/{partner_id}/earnings/collect", {})["amount"] == "15"
    onboarded(market.service, market.stripe, paula)
    payout = paula.post(PAYOUTS, {"amount": "15"}, expect=201)
    market.in_state(paula, payout, "sent")
    assert verified_ledger(market.operator)["ok"] is True


def test_a_traders_address_is_shown_beside_what_they_offer_and_no_mere_partners(market: Market) -> None:
    hopeful = market.service.person("shop", Role.SELLER)
    trader = {"details": {**SELLER_DETAILS, "trader_email": "shop@example.com"}, "trader": True}
    for person in (market.pat, hopeful, market.carla):
        person.call("PUT", DETAILS, trader, expect=200)

    def shown(person: Person) -> tuple[bool, str | None]:
        told = market.service.person("").get(f"/marketplace/sellers/{person.get('/users/me')['id']}/trader")
        return told["trader"], told["street"]

    address = (True, SELLER_DETAILS["street"])
    assert [shown(person) for person in (market.pat, hopeful, market.carla)] == [(False, None), (False, None), address]
    published_listing(market.service, hopeful, market.service.person("mona", Role.MODERATOR), name="The first")
    assert shown(hopeful) == address


def test_who_is_suspended_is_paid_nothing_whatever_they_have_earned(market: Market) -> None:
    """The last of this file, for Pat is suspended in it."""
    user_id = market.pat.get("/users/me")["id"]
    market.admin.post(f"/ops/users/{user_id}/suspend", {"reason": "A test of suspensions"}, expect=200)
    for response in asked(market.pat):
        assert_problem(response, 403, "account_suspended")
