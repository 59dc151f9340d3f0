"""From a seller's onboarding to money at their bank, over HTTP, with a Stripe sandbox beside the service."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from promptforge.core.principal import Role
from tests.support.billing_setups import SELLER_DETAILS
from tests.support.running import PATIENCE_SECONDS, Person, eventually, published_listing, verified_ledger
from tests.support.service import Service, assert_problem
from tests.support.trade.beside import beside_stripe, control, onboarded
from tests.support.waiving import WAIVED


@dataclass
class Shop:
    service: Service
    stripe: httpx.Client
    moderator: Person
    operator: Person

    def control(self, path: str, body: dict[str, Any] | None = None) -> Any:
        return control(self.stripe, path, body)

    def seller(self, name: str) -> Person:
        """Somebody who has earned 85 credits, which have settled."""
        seller, buyer = self.service.person(name, Role.SELLER), self.service.person(f"buyer-of-{name}")
        listing = published_listing(self.service, seller, self.moderator, name=f"by {name}", price="100")
        checkout = buyer.post("/billing/checkouts", {"pack_id": "pack_500", **WAIVED}, expect=201)
        self.control(f"/checkout/{checkout['session_id']}/pay")
        eventually(lambda: buyer.get("/users/me/credits")["available"] == "500")
        buyer.post(f"/marketplace/listings/{listing}/purchases", {"expected_price": "100"}, expect=201)
        self.operator.post("/jobs/schedules/settle-sales/trigger", expect=202)
        eventually(lambda: seller.get("/users/me/credits")["earned"] == "85")
        return seller

    def ready(self, name: str) -> tuple[Person, str]:
        """With a bank too; and the connected account."""
        seller = self.seller(name)
        return seller, onboarded(self.service, self.stripe, seller)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    directory = tmp_path_factory.mktemp("payouts")
    with beside_stripe(directory, PAYOUT_MINIMUM_CREDITS="10") as (service, stripe):
        moderator, operator = service.person("moderator", Role.MODERATOR), service.person("operator", Role.OPERATOR)
        made = Shop(service, stripe, moderator, operator)
        made.control("/funds", {"amount": 1_000_000})
        yield made


def request(seller: Person, amount: str = "50", **headers: str) -> httpx.Response:
    return seller.client.post("/billing/payouts", json={"amount": amount}, headers=headers)


def in_state(seller: Person, payout: dict[str, Any], state: str) -> dict[str, Any]:
    found: dict[str, Any] = eventually(
        lambda: (now := seller.get(f"/billing/payouts/{payout['id']}"))["state"] == state and now
    )
    return found


def test_a_sale_becomes_money_at_the_bank(shop: Shop) -> None:
    seller = shop.seller("carla")
    assert seller.get("/billing/connect")["state"] == "not_started"
    assert_problem(request(seller), 409, "not_onboarded")
    link = seller.post("/billing/connect/onboarding", {"country": "US"})
    assert httpx.get(link["url"], timeout=PATIENCE_SECONDS).status_code == 200
    assert seller.get("/billing/connect")["state"] == "pending"
    assert_problem(request(seller), 409, "not_onboarded")
    account = onboarded(shop.service, shop.stripe, seller)
    response = request(seller)
    assert response.status_code == 201, response.text
    payout = response.json()
    assert response.headers["location"].endswith(f"/billing/payouts/{payout['id']}")
    sent = in_state(seller, payout, "sent")
    assert (sent["money"], sent["currency"], sent["amount"]) == (50, "usd", "50")
    credits = seller.get("/users/me/credits")
    assert (credits["earned"], credits["reserved"]) == ("35", "0")
    shop.control(f"/accounts/{account}/payout")
    eventually(lambda: seller.get(f"/billing/payouts/{payout['id']}")["bank_status"] == "paid")
    assert seller.get("/billing/connect")["last_bank_payout"]["status"] == "paid"
    assert [one["id"] for one in seller.get("/billing/payouts")["items"]] == [payout["id"]]
    told = eventually(lambda: [one for one in seller.all("/notifications") if one["kind"] == "payout.sent"])
    assert len(told) == 1
    assert verified_ledger(shop.operator)["ok"] is True


def test_a_quarters_report_is_a_file_that_is_safe_to_open(shop: Shop) -> None:
    seller = shop.seller("=HYPERLINK(1)")
    seller.call("PUT", "/billing/seller-details", {"details": {**SELLER_DETAILS, "name": "=1+1"}}, expect=200)
    now = datetime.now(UTC)
    quarter = f"year={now.year}&quarter={(now.month + 2) // 3}"
    assert_problem(shop.operator.client.get("/ops/sellers/reports.csv?year=2026"), 422, "invalid_request")
    job = shop.operator.post("/ops/sellers/reports", {"year": now.year, "quarter": (now.month + 2) // 3}, expect=202)
    eventually(lambda: shop.operator.get(f"/jobs/{job['job_id']}")["state"] == "completed")
    answer = shop.operator.client.get(f"/ops/sellers/reports.csv?{quarter}")
    assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, "text/csv")
    assert answer.headers["content-disposition"].startswith('attachment; filename="sellers-')
    assert answer.headers["x-content-type-options"] == "nosniff"
    rows = {row["seller_id"]: row for row in csv.DictReader(io.StringIO(answer.text, newline=""))}
    mine = rows[seller.get("/users/me")["id"]]
    assert (mine["name"], mine["sales"], mine["gross"], mine["net"]) == ("'=1+1", "1", "100", "85")
    assert shop.operator.client.head(f"/ops/sellers/reports.csv?{quarter}").content == b""
    assert_problem(seller.client.get(f"/ops/sellers/reports.csv?{quarter}"), 403, "forbidden")


def test_each_refusal_says_why(shop: Shop) -> None:
    seller, account = shop.ready("rita")
    assert_problem(request(seller, "9"), 422, "payout_too_small")
    problem = assert_problem(request(seller, "10.5"), 422, "payout_not_whole")
    assert problem["nearest_amount"] == "10"
    assert_problem(request(seller, "86"), 402, "insufficient_credits")
    shop.control(f"/accounts/{account}/require")
    eventually(lambda: seller.get("/billing/connect")["state"] == "restricted")
    problem = assert_problem(request(seller), 409, "payouts_disabled")
    assert problem["requirements_due"] == ["individual.verification.document"]
    assert seller.get("/users/me/credits")["earned"] == "85"


def test_no_program_and_no_mere_buyer_has_anything_paid_out(shop: Shop) -> None:
    seller, _ = shop.ready("programmer")
    body = {"name": "all", "scopes": seller.get("/users/me/api-keys")["available_scopes"]}
    key = seller.post("/users/me/api-keys", body, expect=201)["secret"]
    assert_problem(request(seller, authorization=f"Bearer {key}"), 403, "scope_missing")
    assert_problem(request(shop.service.person("mere-buyer")), 403, "nothing_earned")


def test_another_persons_payout_is_not_there(shop: Shop) -> None:
    seller, _ = shop.ready("private")
    payout = request(seller).json()
    stranger = shop.service.person("stranger", Role.SELLER)
    assert_problem(stranger.client.get(f"/billing/payouts/{payout['id']}"), 404, "not_found")
    assert_problem(stranger.client.post(f"/billing/payouts/{payout['id']}/cancel"), 404, "not_found")
    assert stranger.get("/billing/payouts")["items"] == []
    in_state(seller, payout, "sent")
    assert_problem(seller.client.post(f"/billing/payouts/{payout['id']}/cancel"), 409, "payout_not_open")


@pytest.mark.parametrize("with_key", [True, False])
def test_a_double_click_is_one_payout(shop: Shop, *, with_key: bool) -> None:
    seller, _ = shop.ready(f"double-{with_key}")
    headers = {"Idempotency-Key": "one-click-of-mine"} if with_key else {}
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: request(seller, "20", **headers), range(6)))
    assert {answer.status_code for answer in answers} <= {200, 201, 409}
    payouts = seller.get("/billing/payouts")["items"]
    if with_key:
        assert len(payouts) == 1
    for payout in payouts:
        in_state(seller, payout, "sent")
    credits = seller.get("/users/me/credits")
    assert float(credits["earned"]) == 85 - 20 * len(payouts)
    assert len({answer.json()["id"] for answer in answers if answer.status_code < 300}) == len(payouts)


def test_operators_hold_and_release_with_a_reason_that_is_kept(shop: Shop) -> None:
    seller, account = shop.ready("held")
    shop.control(f"/accounts/{account}/require")  # so that it waits
    eventually(lambda: seller.get("/billing/connect")["state"] == "restricted")
    shop.control(f"/accounts/{account}/onboard")
    eventually(lambda: seller.get("/billing/connect")["state"] == "active")
    shop.control("/faults", {"operation": "accounts.retrieve", "kind": "rate_limit", "times": 1_000_000})
    payout = request(seller).json()
    held = shop.operator.post(
        f"/ops/payouts/{payout['id']}/hold", {"reason": "Looks odd", "reason_code": "sales_under_review"}
    )
    assert [held[name] for name in ("state", "reason", "reason_code")] == ["held", "Looks odd", "sales_under_review"]
    eventually(lambda: "payout.held" in [one["kind"] for one in seller.get("/notifications")["items"]])
    (told,) = [one for one in seller.get("/notifications")["items"] if one["kind"] == "payout.held"]
    assert told["subject"]["reason_code"] == "sales_under_review"
    assert "Looks odd" in told["body"]
    wrong = {"reason": "Looks odd", "reason_code": "no_such_reason"}
    refused = shop.operator.client.post(f"/ops/payouts/{payout['id']}/hold", json=wrong)
    assert_problem(refused, 422, "invalid_request")
    listed = shop.operator.get("/ops/payouts?state=held")["items"]
    assert [one["id"] for one in listed] == [payout["id"]]
    assert_problem(request(seller, "20"), 409, "payout_under_way")
    shop.stripe.request("DELETE", "/_sandbox/faults", json={})
    released = shop.operator.post(f"/ops/payouts/{payout['id']}/release", {"reason": "It is in order"})
    assert [released[name] for name in ("state", "reason")] == ["requested", "It is in order"]
    in_state(seller, payout, "sent")
    decided = {"payout.held", "payout.released"}
    log = shop.operator.get("/ops/audit-log?limit=100")["items"]
    entries = [entry for entry in log if entry["target"] == payout["id"] and entry["action"] in decided]
    assert {entry["action"]: entry["after"]["state"] for entry in entries} == {
        "payout.held": "held",
        "payout.released": "requested",
    }


# What keeps credits from being paid out


def topped_up(shop: Shop, person: Person) -> str:
    """The charge of a pack that somebody has bought."""
    checkout = person.post("/billing/checkouts", {"pack_id": "pack_500", **WAIVED}, expect=201)
    session = checkout["session_id"]
    shop.control(f"/checkout/{session}/pay")
    eventually(lambda: person.get(f"/billing/checkouts/{checkout['id']}")["state"] == "paid")
    intent = shop.stripe.get(f"/v1/checkout/sessions/{session}").json()["payment_intent"]
    charge: str = shop.stripe.get(f"/v1/payment_intents/{intent}").json()["latest_charge"]
    return charge


def test_who_owes_is_paid_nothing_until_the_debt_is_paid(shop: Shop) -> None:
    seller, _ = shop.ready("indebted")
    charge = topped_up(shop, seller)
    other = shop.service.person("dear", Role.SELLER)
    dear = published_listing(shop.service, other, shop.moderator, name="dear", price="500")
    seller.post(f"/marketplace/listings/{dear}/purchases", {"expected_price": "500"}, expect=201)
    assert shop.stripe.post("/v1/refunds", data={"charge": charge}).status_code == 200
    eventually(lambda: seller.get("/users/me/credits")["debt"] == "415")  # after the 85 that were earned
    assert_problem(request(seller), 402, "debt_outstanding")
    topped_up(shop, seller)
    credits = seller.get("/users/me/credits")
    assert (credits["debt"], credits["purchased"], credits["earned"]) == ("0", "85", "0")
    assert_problem(request(seller), 402, "insufficient_credits")  # bought credits are never paid out
    assert seller.get("/billing/payouts")["items"] == []


def test_an_open_dispute_holds_payouts_and_one_that_is_won_lets_them_go(shop: Shop) -> None:
    seller, _ = shop.ready("disputed")
    charge = topped_up(shop, seller)
    dispute = shop.control("/disputes", {"charge": charge})["id"]
    eventually(lambda: seller.get("/users/me/credits")["purchased"] == "0")
    assert seller.get("/users/me/credits")["earned"] == "85"
    assert_problem(request(seller), 409, "payout_on_hold")
    shop.control(f"/disputes/{dispute}", {"outcome": "won"})
    eventually(lambda: seller.get("/users/me/credits")["purchased"] == "500")
    payout = eventually(lambda: (answer := request(seller)).status_code == 201 and answer.json())
    in_state(seller, payout, "sent")


def test_of_a_cancellation_and_the_transfer_one_wins(shop: Shop) -> None:
    seller, _ = shop.ready("undecided")
    ends = []
    with ThreadPoolExecutor(2) as pool:
        for turn in range(8):
            payout = request(seller, "10").json()
            cancelled = pool.submit(seller.client.post, f"/billing/payouts/{payout['id']}/cancel").result()
            now = seller.get(f"/billing/payouts/{payout['id']}")
            if cancelled.status_code == 200:
                assert now["state"] == "cancelled"
            else:
                assert_problem(cancelled, 409, "payout_not_open")
                in_state(seller, payout, "sent")
            transfers = shop.stripe.get("/v1/transfers", params={"transfer_group": f"payout:{payout['id']}"}).json()
            ends.append((turn, cancelled.status_code == 200, len(transfers["data"])))
    assert all(sent == (0 if cancelled else 1) for _, cancelled, sent in ends), ends
    gone = 10 * sum(sent for *_, sent in ends)
    credits = seller.get("/users/me/credits")
    assert (float(credits["earned"]), credits["reserved"]) == (85 - gone, "0")
    assert verified_ledger(shop.operator)["ok"] is True


def test_bank_details_that_have_just_changed_wait_for_three_days(shop: Shop) -> None:
    """The last of this file, for the service is started anew with the setting that it has everywhere else."""
    seller, account = shop.ready("moved")
    shop.service.terminate()
    shop.service.set(BANK_DETAILS_HOLD_HOURS="72")
    shop.service.start()
    problem = assert_problem(request(seller), 409, "bank_details_too_new")
    first = datetime.fromisoformat(problem["payouts_from"])
    assert timedelta(hours=71, minutes=50) < first - datetime.now(UTC) <= timedelta(hours=72)
    shop.control(f"/accounts/{account}/bank")
    changed = eventually(lambda: [one for one in seller.all("/notifications") if "bank" in one["kind"]])
    assert changed  # whoever has not changed them has three days to say so
    later = assert_problem(request(seller), 409, "bank_details_too_new")["payouts_from"]
    assert datetime.fromisoformat(later) > first
    assert seller.get("/users/me/credits")["earned"] == "85"
