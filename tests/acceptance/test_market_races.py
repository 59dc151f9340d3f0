"""The market over HTTP, many at once: sales and sealed runs beside what changes under them; each outcome is legal.

Nobody asks what came first: whoever got something has paid its price and has it, whoever was refused has paid nothing,
and the ledger is right.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import httpx
import pytest

from promptforge.core.principal import Role
from tests.support.running import (
    LISTING,
    PATIENCE_SECONDS,
    Person,
    eventually,
    jobs_wait,
    published_listing,
    verified_ledger,
)
from tests.support.service import Service, serving
from tests.support.troubled_model import troubled_model

MODEL = {"LLM_API_KEY": "sk-none", "LLM_MODEL": "troubled", "LLM_PRICES": "troubled=10000000/20000000"}
COST, SHARE, NET = Decimal("0.022"), Decimal(1), Decimal("0.85")
"""Of one sealed run: what the model costs, what its seller wants, and what of that is theirs."""
WORDS = {"words": "I have changed my mind about it."}
TEXT = "You keep a lighthouse, and count the ships before you answer this letter, kindly and in rhyme: {{letter}}"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with (
        troubled_model() as url,
        serving(tmp_path_factory.mktemp("market"), LLM_BASE_URL=url, ACCOUNT_DELETION_DAYS="0", **MODEL) as started,
    ):
        yield started
        assert "unexpected_error" not in started.log


@pytest.fixture(scope="module")
def moderator(service: Service) -> Person:
    return service.person("mona", Role.MODERATOR)


@pytest.fixture(autouse=True)
def ledger_is_right(service: Service) -> Iterator[None]:
    yield
    report = verified_ledger(service.person("otto", Role.OPERATOR))
    assert (report["ok"], report["violations"]) == (True, [])


def at_once(
    deeds: Sequence[Callable[[], httpx.Response]], *, then: Sequence[Callable[[], httpx.Response]] = ()
) -> list[httpx.Response]:
    """All in threads of their own. With `then`, half of the deeds begin at one moment, and once one of those is
    answered `then` in the middle of the others, so that some come before and some behind what they race.
    """
    first = len(deeds) // 2 if then else len(deeds)
    behind = first + (len(deeds) - first) // 2
    together, answered = threading.Barrier(first), threading.Event()

    def one(do: Callable[[], httpx.Response]) -> httpx.Response:
        together.wait(PATIENCE_SECONDS)
        answer = do()
        answered.set()
        return answer

    def later(do: Callable[[], httpx.Response]) -> httpx.Response:
        assert answered.wait(PATIENCE_SECONDS)
        return do()

    with ThreadPoolExecutor(len(deeds) + len(then)) as pool:
        begun = [pool.submit(one, do) for do in deeds[:first]]
        begun += [pool.submit(later, do) for do in (*deeds[first:behind], *then, *deeds[behind:])]
        answers = [one.result() for one in begun]
    return [*answers[:behind], *answers[behind + len(then) :], *answers[behind : behind + len(then)]]


def told(answer: httpx.Response) -> tuple[int, str | None]:
    return answer.status_code, answer.json().get("code") if answer.content else None


def available(person: Person) -> Decimal:
    return Decimal(person.get("/users/me/credits")["available"])


def click(window: Person, path: str, price: str = "10") -> Callable[[], httpx.Response]:
    return lambda: window.client.post(f"{path}/purchases", json={"expected_price": price})


def claimed(moderator: Person, path: str, kind: str) -> str:
    """The path of the listing's case of this kind, once the moderator has it."""

    def find() -> Any:
        cases = moderator.get("/moderation/cases?limit=100")["items"]
        return next((one for one in cases if path.endswith(one["listing_id"]) and one["kind"] == kind), None)

    case = f"/moderation/cases/{eventually(find)['id']}"
    moderator.post(f"{case}/claim")
    return case


def decision(moderator: Person, case: str, kind: str, code: str) -> Callable[[], httpx.Response]:
    body = {"decision": kind, "reason_code": code, "public_note": "Looked at."}
    return lambda: moderator.client.post(f"{case}/decision", json=body)


def closing(service: Service) -> Callable[[], httpx.Response]:
    """Whoever has asked for the end of their account gets it now."""
    operator = service.person("otto", Role.OPERATOR)
    return lambda: operator.client.post("/jobs/schedules/close-accounts/trigger", json={})


def reported(service: Service, moderator: Person, path: str) -> str:
    service.person("rita").post(
        f"{path}/reports", {"reason": "copied", "words": "It is mine, in large parts."}, expect=201
    )
    return claimed(moderator, path, "report")


def funded(service: Service, prefix: str, number: int, credits: int = 10) -> list[Person]:
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda turn: service.funded(f"{prefix}-{turn}", credits), range(number)))


# Sales


def test_sales_beside_a_suspension_a_lower_price_a_refund_and_a_deletion(service: Service, moderator: Person) -> None:
    seller = service.person("carla", Role.SELLER)
    path = f"/marketplace/listings/{published_listing(service, seller, moderator, name='Contested')}"
    buyers = funded(service, "contested", 18)
    first, leaving, *others = buyers
    bought = click(first, path)().json()["id"]
    case = reported(service, moderator, path)
    leaving.call("DELETE", "/users/me?give_up_credits=true", None, expect=202)
    answers = at_once(
        [click(buyer, path) for buyer in (*others, leaving)],
        then=[
            closing(service),
            lambda: seller.client.patch(path, json={"price": "9"}),
            decision(moderator, case, "suspend", "copied"),
            lambda: first.client.post(f"/marketplace/purchases/{bought}/refund", json=WORDS),
            click(first, path),
        ],
    )
    clicks, (by_leaving, left, changed, suspended, refunded, again) = answers[: len(others)], answers[len(others) :]
    legal = {(201, None), (409, "not_for_sale"), (409, "price_changed")}
    assert {told(one) for one in clicks} <= legal
    assert told(again) in {*legal, (409, "already_owned"), (402, "insufficient_credits")}
    assert told(by_leaving) in {*legal, (403, "account_closed")}
    eventually(lambda: told(leaving.client.get("/users/me")) == (403, "account_closed"))
    assert (left.status_code, suspended.status_code, refunded.status_code) == (202, 200, 200)
    assert changed.status_code in {200, 409}, "a suspended listing's price can be lowered, too"
    for buyer, answer in zip(others, clicks, strict=True):
        assert available(buyer) == (0 if answer.status_code == 201 else 10), told(answer)
        assert len(buyer.get("/marketplace/purchases")["items"]) == (answer.status_code == 201)
    assert available(first) == (0 if again.status_code == 201 else 10)
    sold = sum(one.status_code == 201 for one in (*clicks, by_leaving, again))
    pending = Decimal(seller.get("/users/me/credits")["pending"])
    assert pending == Decimal("8.5") * sold
    assert told(click(others[0], path, "9")()) in {(409, "not_for_sale"), (409, "already_owned")}


@pytest.mark.parametrize(
    ("price", "give_up"),
    [
        pytest.param("0", False, id="nothing earned"),
        pytest.param("10", True, id="earnings given up"),
        pytest.param("10", False, id="earnings make it wait"),
    ],
)
def test_sales_beside_the_end_of_their_sellers_account(
    service: Service, moderator: Person, price: str, *, give_up: bool
) -> None:
    """One sale before the end, ten beside it, one behind it: what was bought stays, and then nothing can be."""
    name = f"leaver-{price}-{give_up}".lower()
    seller = service.person(name, Role.SELLER)
    path = f"/marketplace/listings/{published_listing(service, seller, moderator, name=f'Left by {name}', price=price)}"
    buyers = funded(service, name, 12)
    first, *beside, last = buyers
    with jobs_wait(service.person("otto", Role.OPERATOR)):
        seller.call("DELETE", f"/users/me?give_up_credits={give_up}".lower(), None, expect=202)
        before = click(first, path, price)()
        assert told(before) == (201, None), "nothing has come for the account yet"
    answers = at_once([click(buyer, path, price) for buyer in beside], then=[closing(service)])
    assert answers.pop().status_code == 202
    gone = {(409, "not_for_sale"), (404, "not_found")}
    assert {told(one) for one in answers} <= {(201, None), *gone}
    if price == "0" or give_up:
        eventually(lambda: told(seller.client.get("/users/me")) == (403, "account_closed"))
        behind = click(last, path, price)()
        assert told(behind) in gone
    else:
        eventually(lambda: seller.get("/users/me/deletion")["obstacles"] == ["credits_left"])
        behind = click(last, path, price)()
        assert told(behind) == (201, None)
        sold = sum(one.status_code == 201 for one in (before, *answers, behind))
        assert Decimal(seller.get("/users/me/credits")["pending"]) == Decimal("8.5") * sold
    for buyer, answer in zip(buyers, (before, *answers, behind), strict=True):
        assert available(buyer) == (10 - int(price) if answer.status_code == 201 else 10), told(answer)
        bought = buyer.get("/marketplace/purchases")["items"]
        assert len(bought) == (answer.status_code == 201)
        for one in bought:
            assert buyer.get(f"/marketplace/purchases/{one['id']}")["content"]


def test_of_fifty_clicks_on_the_source_of_what_one_may_run_one_buys_it(service: Service, moderator: Person) -> None:
    seller = service.person("carla", Role.SELLER)
    path = sealed_listing(service, seller, moderator, "Runs, then source", trials=0)
    buyer = service.funded("upgrading", 100)
    runs = click(buyer, path, "0")().json()
    assert runs["licence"] == "runs"
    seller.call("PATCH", path, {"licence": "source", "runs": None, "price": "10"}, expect=200)
    decision(moderator, claimed(moderator, path, "proposed_change"), "approve", "meets_guidelines")()
    windows = [service.person("upgrading") for _ in range(10)]
    body = {"expected_price": "10", "expected_licence": "source"}
    answers = at_once([lambda one=one: one.client.post(f"{path}/purchases", json=body) for one in windows * 5])  # type: ignore[misc]  # each its own
    assert Counter(told(one) for one in answers) == {(201, None): 1, (409, "already_owned"): 49}
    assert available(buyer) == 90
    (source,) = (one.json() for one in answers if one.status_code == 201)
    for purchase in (source, runs):
        buyer.post(f"/marketplace/purchases/{purchase['id']}/refund", WORDS)
    assert available(buyer) == 100


# Sealed runs


def sealed_listing(service: Service, seller: Person, moderator: Person, name: str, *, trials: int) -> str:
    prompt = seller.post("/prompts", {"name": name, "first_version": {"content": f"{name}. {TEXT}"}}, expect=201)
    terms = {"model": "troubled", "share": "1", "max_tokens": 100, "trials_per_person": trials}
    body = {**LISTING, "price": "0", "prompt_id": prompt["id"], "licence": "runs", "runs": terms}
    path = f"/marketplace/listings/{seller.post('/marketplace/listings', body, expect=201)['id']}"
    seller.post(f"{path}/submit")
    decision(moderator, claimed(moderator, path, "review"), "approve", "meets_guidelines")()
    return path


def run(window: Person, path: str) -> Callable[[], httpx.Response]:
    return lambda: window.client.post(f"{path}/runs", json={"variables": {"letter": "Dear keeper"}})


def income(seller: Person) -> tuple[Decimal, Decimal]:
    """What is pending, and what the dashboard says that runs brought."""
    pending = Decimal(seller.get("/users/me/credits")["pending"])
    return pending, Decimal(seller.get("/marketplace/dashboard")["runs"]["net"])


def test_sealed_runs_beside_a_suspension_are_whole_or_refused(service: Service, moderator: Person) -> None:
    seller = service.person("keeper-one", Role.SELLER)
    path = sealed_listing(service, seller, moderator, "Suspended while it runs", trials=0)
    buyers = funded(service, "running", 6, 50)
    for buyer in buyers:
        click(buyer, path, "0")()
    case = reported(service, moderator, path)
    runs = [run(buyer, path) for buyer in buyers for _ in range(4)]
    *ran, suspended = at_once(runs, then=[decision(moderator, case, "suspend", "copied")])
    assert suspended.status_code == 200
    assert {told(one) for one in ran} <= {(200, None), (409, "listing_suspended")}
    assert told(run(buyers[0], path)()) == (409, "listing_suspended")
    for number, buyer in enumerate(buyers):
        done = sum(one.status_code == 200 for one in ran[4 * number : 4 * number + 4])
        assert available(buyer) == 50 - done * (COST + SHARE)
    whole = sum(one.status_code == 200 for one in ran)
    assert income(seller) == (NET * whole, NET * whole)


def test_sealed_runs_beside_a_change_of_their_terms_cost_what_was_bought(service: Service, moderator: Person) -> None:
    """Who buys while it changes has the one terms or the other, and pays by those that the purchase says."""
    seller = service.person("keeper-two", Role.SELLER)
    path = sealed_listing(service, seller, moderator, "Dearer while it runs", trials=0)
    old, new = funded(service, "old-terms", 5, 50), funded(service, "new-terms", 5, 50)
    for buyer in old:
        click(buyer, path, "0")()
    terms = {"model": "troubled", "share": "3", "max_tokens": 100, "trials_per_person": 0}
    seller.call("PATCH", path, {"runs": terms}, expect=200)
    case = claimed(moderator, path, "proposed_change")

    def buy_and_run(buyer: Person) -> httpx.Response:
        assert click(buyer, path, "0")().status_code == 201
        return run(buyer, path)()

    deeds = [run(buyer, path) for buyer in old for _ in range(3)]
    deeds += [lambda buyer=buyer: buy_and_run(buyer) for buyer in new]  # type: ignore[misc]  # each its own
    answers = at_once(deeds, then=[decision(moderator, case, "approve", "meets_guidelines")])
    assert {one.status_code for one in answers} == {200}
    for buyer in old:
        assert available(buyer) == 50 - 3 * (COST + SHARE)
    shares = []
    for buyer in new:
        (purchase,) = buyer.get("/marketplace/purchases")["items"]
        shares.append(Decimal(purchase["runs"]["share"]))
        assert available(buyer) == 50 - COST - shares[-1]
    assert set(shares) <= {Decimal(1), Decimal(3)}
    earned = NET * (15 + sum(shares))
    assert income(seller) == (earned, earned)


def test_trials_beside_a_suspension_and_a_budget_that_is_withdrawn(service: Service, moderator: Person) -> None:
    seller = service.funded("keeper-three", 20)
    seller = service.person("keeper-three", Role.SELLER)
    path = sealed_listing(service, seller, moderator, "Tried while it ends", trials=2)
    seller.post(f"{path}/trial-budget", {"credits": "5"})
    people = [service.person(f"trying-{number}") for number in range(6)]
    case = reported(service, moderator, path)
    answers = at_once(
        [run(person, path) for person in people for _ in range(2)],
        then=[
            lambda: seller.client.delete(f"{path}/trial-budget"),
            decision(moderator, case, "suspend", "copied"),
        ],
    )
    *tried, withdrawn, suspended = answers
    assert (withdrawn.status_code, suspended.status_code) == (200, 200)
    gone = {(409, "trial_budget_spent"), (404, "not_found"), (409, "listing_suspended")}
    assert {told(one) for one in tried} <= {(200, None), *gone}
    assert told(run(people[0], path)()) in gone
    done = sum(one.status_code == 200 for one in tried)
    eventually(lambda: seller.get("/users/me/credits")["reserved"] == "0")
    assert available(seller) == 20 - done * COST
    assert income(seller) == (Decimal(0), Decimal(0))


# By hand, as somebody who means no good


def test_nobody_reviews_refunds_or_appeals_what_another_has_bought(service: Service, moderator: Person) -> None:
    seller = service.person("carla", Role.SELLER)
    path = f"/marketplace/listings/{published_listing(service, seller, moderator, name='Not yours')}"
    buyer, eve = funded(service, "owner", 2)
    bought = f"/marketplace/purchases/{click(buyer, path)().json()['id']}"
    review = {"stars": 1, "text": "I never bought it."}
    for person in (eve, seller, moderator):
        assert person.call("PUT", f"{bought}/review", review, expect=404)["code"] == "not_found"
        for deed in ("refund", "refund/appeal"):
            assert person.post(f"{bought}/{deed}", WORDS, expect=404)["code"] == "not_found"
        person.get(bought, expect=404)
    assert buyer.post(f"{bought}/refund/appeal", WORDS, expect=409)["code"] == "nothing_to_appeal"
    assert eve.get(f"{path}/reviews")["items"] == []
    assert click(seller, path)().json()["code"] == "own_listing"
    body = {"expected_price": "10", "expected_licence": "runs"}
    assert eve.post(f"{path}/purchases", body, expect=409)["code"] == "licence_changed"
    for licence in ("", "SOURCE", "all", 1, ["source"], {"$ne": "runs"}):
        eve.post(f"{path}/purchases", {**body, "expected_licence": licence}, expect=422)
    assert available(eve) == 10


def test_a_refused_refund_is_appealed_over_http_once_of_many_clicks(service: Service, moderator: Person) -> None:
    seller = service.person("carla", Role.SELLER)
    path = f"/marketplace/listings/{published_listing(service, seller, moderator, name='Appealed')}"
    (buyer,) = funded(service, "appealing", 1)
    bought = f"/marketplace/purchases/{click(buyer, path)().json()['id']}"
    buyer.get(bought)
    buyer.post(f"{bought}/refund", WORDS)
    decision(moderator, claimed(moderator, path, "refund"), "dismiss", "outside_policy")()
    windows = [service.person("appealing-0") for _ in range(8)]
    answers = at_once([lambda one=one: one.client.post(f"{bought}/refund/appeal", json=WORDS) for one in windows])  # type: ignore[misc]  # each its own
    assert Counter(told(one) for one in answers) == {(200, None): 1, (409, "already_appealed"): 7}

    def appeals() -> list[Any]:
        found: list[Any] = moderator.get("/moderation/cases?kind=refund_appeal")["items"]
        return found

    (case,) = eventually(appeals)
    claim = f"/moderation/cases/{case['id']}/claim"
    assert moderator.post(claim, expect=403)["code"] == "own_decision"
    other = service.person("max", Role.MODERATOR)
    other.post(claim)
    assert decision(other, f"/moderation/cases/{case['id']}", "refund", "does_not_work")().status_code == 200
    assert available(buyer) == 10
    for words in ("", "short", "x" * 2001, 7, None, "It\u0000is broken, really."):
        buyer.post(f"{bought}/refund/appeal", {"words": words}, expect=422)


def test_markup_is_text_that_no_browser_takes_for_a_page(service: Service, moderator: Person) -> None:
    seller = service.person("carla", Role.SELLER)
    path = f"/marketplace/listings/{published_listing(service, seller, moderator, name='Marked up')}"
    markup = '<script>alert(1)</script><img src=x onerror="alert(2)">'
    seller.call("PATCH", path, {"title": markup, "description": markup}, expect=200)
    decision(moderator, claimed(moderator, path, "proposed_change"), "approve", "meets_guidelines")()
    answer = service.person("").client.get(path)
    assert (answer.json()["title"], answer.json()["description"]) == (markup, markup)
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["x-content-type-options"] == "nosniff"
