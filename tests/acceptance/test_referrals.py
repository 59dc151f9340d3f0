"""From a link to a partner's collected earnings, over HTTP, as a frontend and a partner would."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from promptforge.core.principal import Role
from tests.support.partner_setups import approved, decide
from tests.support.running import (
    PATIENCE_SECONDS,
    Person,
    eventually,
    fund,
    jobs_wait,
    published_listing,
    verified_ledger,
)
from tests.support.service import Service, serving

AT_ONCE = 50
SETTLED_AT_ONCE = {"SETTLEMENT_DAYS": "0", "SETTLEMENT_DAYS_NEW_SELLER": "0"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("referrals"), **SETTLED_AT_ONCE) as started:
        yield started


@pytest.fixture(scope="module")
def admin(service: Service) -> Person:
    return service.person("admin", Role.ADMIN)


def partner(service: Service, admin: Person, name: str, code: str) -> tuple[Person, str]:
    person = service.person(name)
    partner_id = approved(person, admin)
    person.post(f"/partnerships/{partner_id}/codes", {"code": code}, expect=201)
    return person, partner_id


def visit(service: Service, path: str, *, method: str = "GET") -> httpx.Response:
    """Follow a link as a browser does, up to where it leads."""
    return httpx.request(method, service.base_url + path, follow_redirects=False)


def token_of(response: httpx.Response) -> str | None:
    assert response.status_code == 302
    return parse_qs(urlsplit(response.headers["location"]).query).get("referral", [None])[0]


def buy(service: Service, buyer: Person, listing: str, price: str) -> None:
    fund(service, buyer)
    buyer.post(f"/marketplace/listings/{listing}/purchases", {"expected_price": price}, expect=201)


def test_from_a_link_to_earnings_that_are_collected(service: Service, admin: Person) -> None:
    pat, partner_id = partner(service, admin, "pat", "prompt-review")
    listing = published_listing(
        service, service.person("carla", Role.SELLER), service.person("mona", Role.MODERATOR), name="Sold", price="100"
    )
    visited = visit(service, f"/r/prompt-review?to=/listings/{listing}?tab=reviews")
    assert visited.headers["location"].startswith(f"/listings/{listing}?tab=reviews&referral=")
    assert (visited.headers["cache-control"], visited.headers.get("set-cookie")) == ("no-store", None)
    token = token_of(visited)
    bruno = service.person("bruno")
    claimed = bruno.post("/partnerships/attribution", {"tokens": [token]}, expect=201)
    assert (claimed["partner_name"], claimed["code"], claimed["signed_up"]) == (
        "The Prompt Review",
        "prompt-review",
        True,
    )
    operator, earnings = service.person("operator", Role.OPERATOR), f"/partnerships/{partner_id}/earnings"
    with jobs_wait(operator):
        buy(service, bruno, listing, "100")
        assert (pat.get(earnings)["pending"], pat.get(earnings)["earned"]) == ("3", "0")
    operator.post("/jobs/schedules/settle-sales/trigger", expect=202)
    eventually(lambda: pat.get(earnings)["earned"] == "3")
    assert pat.post(f"{earnings}/collect", {"amount": "2.5"})["amount"] == "2.5"
    assert pat.get("/users/me/credits")["earned"] == "2.5"
    assert pat.post(f"{earnings}/collect", {"amount": "1"}, expect=402)["code"] == "insufficient_credits"
    shown = eventually(lambda: _with_a_click(pat, partner_id))
    totals = shown["totals"]
    assert (totals["attributions"], totals["sign_ups"], totals["sales"], totals["earned"]) == (1, 1, 1, "3")
    assert verified_ledger(operator)["ok"]


def _with_a_click(pat: Person, partner_id: str) -> dict[str, dict[str, object]] | None:
    """Written within five seconds."""
    shown: dict[str, dict[str, object]] = pat.get(f"/partnerships/{partner_id}/dashboard?days=1")
    return shown if shown["totals"]["clicks"] == 1 else None


def test_the_same_claim_fifty_times_at_once_is_made_once(service: Service, admin: Person) -> None:
    partner(service, admin, "quinn", "quinns-list")
    tokens = [token_of(visit(service, "/r/quinns-list"))]
    person = service.person("claims-often")
    person.get("/users/me")

    def claim(_: int) -> int:
        headers = dict(person.client.headers)
        url = f"{service.base_url}/api/v1/partnerships/attribution"
        return httpx.post(url, json={"tokens": tokens}, headers=headers, timeout=PATIENCE_SECONDS).status_code

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = sorted(pool.map(claim, range(AT_ONCE)))
    assert answers == [200] * (AT_ONCE - 1) + [201]


@pytest.fixture(scope="module")
def code(service: Service, admin: Person) -> str:
    """A good one."""
    partner(service, admin, "uma", "umas-notes")
    return "umas-notes"


@pytest.mark.parametrize(
    "to", ["//evil.example", "/\\evil.example", "https://evil.example", "\\\\evil", "/%0d%0aset-cookie:a=b", "/ä", "x"]
)
def test_a_link_leads_to_no_other_site(service: Service, code: str, to: str) -> None:
    location = visit(service, f"/r/{code}?to={to}").headers["location"]
    assert location.startswith("/?referral=")


def test_a_link_of_somebody_suspended_leads_there_and_brings_them_nothing(service: Service, admin: Person) -> None:
    pat, partner_id = partner(service, admin, "rita", "ritas-links")
    token = token_of(visit(service, "/r/ritas-links"))
    assert token is not None
    assert token_of(visit(service, "/r/ritas-links", method="HEAD")) is None, "a program that looks is no click"
    decide(admin, partner_id, "suspend", "under_review")
    assert token_of(visit(service, "/r/ritas-links")) is None
    visitor = service.person("visitor")
    assert visitor.post("/partnerships/clicks", {"code": "ritas-links"}, expect=404)["code"] == "not_found"
    refused = visitor.post("/partnerships/attribution", {"tokens": [token]}, expect=409)
    assert refused["code"] == "referral_not_active"
    assert [one["state"] for one in pat.get(f"/partnerships/{partner_id}/earnings")["freezes"]] == ["frozen"]
    decision = {"decision": "forfeit", "reason": "The clicks are a program's."}
    decided = admin.post(f"/partnerships/{partner_id}/earnings/freezes/0/decision", decision)
    assert decided["freezes"][0]["state"] == "forfeited"
    assert admin.post(f"/partnerships/{partner_id}/earnings/freezes/0/decision", decision) == decided, "a second click"
    decision = {**decision, "reason": "They are all a program's."}
    again = admin.post(f"/partnerships/{partner_id}/earnings/freezes/0/decision", decision, expect=409)
    assert (again["code"], again["state"]) == ("freeze_decided", "forfeited")


def test_why_somebody_is_nobodys_referral_is_told_apart(service: Service, admin: Person) -> None:
    sam, _ = partner(service, admin, "sam", "sams-picks")
    tess, _ = partner(service, admin, "tess", "tess-picks")
    sams, tesss = (token_of(visit(service, f"/r/{code}")) for code in ("sams-picks", "tess-picks"))

    def refused(person: Person, token: str | None, expect: int) -> str:
        told = person.post("/partnerships/attribution", {"tokens": [token]}, expect=expect)
        return str(told["code"])

    assert refused(sam, sams, 409) == "self_referral"
    assert refused(sam, "made.up", 422) == "not_a_referral"
    tess.post("/partnerships/attribution", {"tokens": [sams]}, expect=201)
    assert refused(sam, tesss, 409) == "circular_referral"
