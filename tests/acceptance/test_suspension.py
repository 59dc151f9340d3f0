"""What is under way for an account stops when it is suspended: streams, runs, evaluations, webhooks; over HTTP.

What stops is told by what comes of it, and each has at most a minute for that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from threading import Thread

import httpx
import pytest
from anyio.from_thread import start_blocking_portal

from promptforge.core.principal import Role
from tests.acceptance.test_ai import EVENTS
from tests.support.events import events
from tests.support.partner_setups import approved
from tests.support.receiver import Receiver, receiving
from tests.support.running import PLAIN, Person, eventually, published_listing, verified_ledger
from tests.support.service import DATABASE, Service, assert_problem
from tests.support.troubled_model import troubled_model

HOST = "127.0.0.1"
MINUTE = 60.0
NOTIFICATIONS = "/notifications/stream"


@dataclass(frozen=True, slots=True)
class House:
    service: Service
    receiver: Receiver
    admin: Person

    def suspend(self, person: Person) -> None:
        user_id = person.get("/users/me")["id"]
        self.admin.post(f"/ops/users/{user_id}/suspend", {"reason": "A test of suspensions"}, expect=200)

    def reinstate(self, person: Person) -> None:
        user_id = person.get("/users/me")["id"]
        self.admin.post(f"/ops/users/{user_id}/reinstate", {"reason": "It was a mistake"}, expect=200)

    def tell(self, person: Person) -> None:
        """A grant of credits, of which its receiver hears."""
        user_id = person.get("/users/me")["id"]
        self.admin.post(f"/users/{user_id}/grants", {"amount": "1", "reason": "A test"}, expect=201)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with start_blocking_portal() as portal, ExitStack() as stack:
        receiver = stack.enter_context(portal.wrap_async_context_manager(receiving()))
        settings = {"LLM_API_KEY": "sk-none", "LLM_MODEL": "troubled", "LLM_PRICES": "troubled=10000000/20000000"}
        service = Service(
            tmp_path_factory.mktemp("house"),
            WEBHOOK_LOCAL_HOSTS=HOST,
            LLM_BASE_URL=stack.enter_context(troubled_model()),
            **settings,
        )
        service.start()
        stack.callback(service.stop)
        yield House(service, receiver, service.person("root", Role.ADMIN))


def token_of(person: Person) -> str:
    token: str = person.client.headers["authorization"]
    return token


def test_streams_end_and_none_can_be_opened(house: House) -> None:
    eve = house.service.person("eve")
    ticket = eve.post("/notifications/stream/tickets", expect=201)["ticket"]
    base = house.service.base_url
    with (
        events(base, NOTIFICATIONS, token=token_of(eve)) as by_token,
        events(base, f"{NOTIFICATIONS}?ticket={ticket}") as by_ticket,
        events(base, "/jobs/stream", token=token_of(eve)) as jobs,
    ):
        for reader in (by_token, by_ticket, jobs):
            reader.next()
        house.suspend(eve)
        for reader in (by_token, by_ticket, jobs):
            while (event := reader.next()).name != "end":
                assert event.name in {"notification", "reply"}
            assert event.data == {"code": "account_suspended"}
            with pytest.raises(AssertionError, match="over"):
                reader.next()
    for path in (NOTIFICATIONS, "/jobs/stream"):
        assert_problem(eve.client.get(path), 403, "account_suspended")
    # What one is told can be read all the same.
    eventually(lambda: "account.suspended" in [one["kind"] for one in eve.get("/notifications")["items"]])
    house.reinstate(eve)
    eventually(lambda: not eve.get("/users/me")["suspended"], seconds=MINUTE)
    with events(base, NOTIFICATIONS, token=token_of(eve)) as reader:
        assert reader.next().name == "ready"


def test_programs_get_nothing_any_more_not_even_what_they_only_read(house: House) -> None:
    ivan = house.service.person("ivan")
    prompt = ivan.post("/prompts", {"name": "Served", "first_version": {"content": "Hello"}}, expect=201)
    scopes = ["prompts:read", "profile:read"]
    secret = ivan.post("/users/me/api-keys", {"name": "x", "scopes": scopes}, expect=201)["secret"]
    headers = {"Authorization": f"Bearer {secret}"}
    paths = (f"/prompts/{prompt['id']}/compiled?version=1", "/users/me", "/prompts")
    for path in paths:
        assert ivan.client.get(path, headers=headers).status_code == 200, path
    house.suspend(ivan)
    eventually(lambda: ivan.client.get(paths[0], headers=headers).status_code != 200, seconds=MINUTE)
    for path in paths:
        assert_problem(ivan.client.get(path, headers=headers), 403, "account_suspended")
    assert ivan.get(paths[0])["content"] == "Hello", "one may look at what is one's own"


def test_who_is_suspended_reads_why_and_appeals_and_another_administrator_decides(house: House) -> None:
    zoe, second = house.service.person("zoe"), house.service.person("second", Role.ADMIN)
    user_id = zoe.get("/users/me")["id"]
    assert_problem(zoe.client.get("/users/me/suspension"), 404, "not_found")
    assert second.get("/users/me")["id"]
    body = {"reason": "The same listing, forty times", "reason_code": "spam"}
    house.admin.post(f"/ops/users/{user_id}/suspend", body, expect=200)
    eventually(lambda: zoe.get("/users/me")["suspended"], seconds=MINUTE)
    why = zoe.get("/users/me/suspension")
    assert (why["reason_code"], why["note"], why["final"]) == ("spam", body["reason"], False)
    assert_problem(zoe.client.post("/users/me/suspension/appeal", json={"words": "Too short"}), 422, "invalid_request")
    appeal = {"words": "They are forty languages, and each is wanted."}
    assert zoe.post("/users/me/suspension/appeal", appeal, expect=200)["appealed_at"]
    assert_problem(zoe.client.post("/users/me/suspension/appeal", json=appeal), 409, "already_appealed")
    assert [one["id"] for one in second.get("/ops/users?appealed=true")["items"]] == [user_id]
    upheld = f"/ops/users/{user_id}/suspension/uphold"
    assert_problem(house.admin.client.post(upheld, json={"reason": "No"}), 422, "invalid_request")
    assert_problem(house.admin.client.post(upheld, json={"reason": "It stays."}), 403, "own_suspension")
    assert_problem(zoe.client.post(upheld, json={"reason": "It stays."}), 403, "forbidden")
    second.post(upheld, {"reason": "Four of them are the same."}, expect=200)
    eventually(lambda: "account.upheld" in [one["kind"] for one in zoe.get("/notifications")["items"]])
    assert zoe.get("/users/me/suspension")["final"]
    house.reinstate(zoe)


def has_failed(person: Person, path: str) -> bool:
    return bool(person.get(path)["status"] == "failed")


def test_an_evaluation_that_runs_stops_and_one_that_waits_does_not_begin(house: House) -> None:
    ada = house.service.funded("ada", 1000)
    first_version = {"content": "Count slowly to {{number}}"}
    prompt_id = ada.post("/prompts", {"name": "Slow", "first_version": first_version}, expect=201)["id"]
    dataset_id = ada.post("/datasets", {"name": "Numbers"}, expect=201)["id"]
    items = [{"variables": {"number": str(number)}} for number in range(500)]
    ada.post(f"/datasets/{dataset_id}/items", {"items": items})
    wanted = {"prompt_id": prompt_id, "version": 1, "dataset_id": dataset_id}
    wanted["scorers"] = [{"kind": "contains", "text": "two"}]
    runs = ada.post("/evaluations", wanted, expect=202)
    eventually(lambda: ada.get(f"/evaluations/{runs['id']}")["items_done"] > 0)
    operator = house.service.person("olga", Role.OPERATOR)
    operator.post("/jobs/queues/evaluations/pause", {}, expect=200)
    waits = ada.post("/evaluations", wanted, expect=202)
    house.suspend(ada)
    for evaluation in (runs, waits):
        if evaluation is waits:
            operator.post("/jobs/queues/evaluations/resume", {}, expect=200)
        path = f"/evaluations/{evaluation['id']}"
        eventually(partial(has_failed, ada, path), seconds=MINUTE)
        ended = ada.get(path)
        assert ended["failure"]["code"] == "account_suspended"
    assert ada.get(f"/evaluations/{waits['id']}")["items_done"] == 0
    assert ada.get("/users/me/credits")["reserved"] == "0"


def test_nothing_is_sent_to_ones_webhooks(house: House) -> None:
    noa = house.service.person("noa")
    noa.post("/notifications/webhooks", {"url": house.receiver.url}, expect=201)
    house.tell(noa)
    eventually(lambda: house.receiver.received)
    number = len(house.receiver.received)
    house.suspend(noa)
    house.tell(noa)
    user_id = noa.get("/users/me")["id"]

    def skipped() -> bool:
        with house.service.database() as client:
            wanted = {"user_id": user_id, "reason": "account_suspended"}
            return bool(client[DATABASE]["notification_deliveries"].count_documents(wanted) >= 1)

    eventually(skipped, seconds=MINUTE)
    assert len(house.receiver.received) == number


def slow_prompt(person: Person) -> str:
    """The path of a prompt whose answer takes longer than anybody would wait."""
    version = {"content": "Count for ever"}
    made = person.post("/prompts", {"name": "For ever", "first_version": version}, expect=201)
    return f"/prompts/{made['id']}/test"


def has_paid_for_what_it_had(person: Person, credits: float) -> bool:
    """Nothing is reserved any more, and some of the credits are gone."""
    money = person.get("/users/me/credits")
    return bool(money["reserved"] == "0" and 0 < credits - float(money["available"]) < 1)


@pytest.mark.parametrize(("name", "headers"), [("sid", EVENTS), ("wim", {})], ids=["streamed", "whole"])
def test_a_model_that_is_running_stops_and_what_it_took_is_paid(
    house: House, name: str, headers: dict[str, str]
) -> None:
    person = house.service.funded(name, 50)
    path, answers = slow_prompt(person), list[str]()

    def ask() -> None:
        answer = person.client.post(path, json={"label": "latest"}, headers=headers, timeout=MINUTE)
        answers.append(answer.text)

    asking = Thread(target=ask)
    asking.start()
    eventually(lambda: float(person.get("/users/me/credits")["reserved"]) > 0)
    house.suspend(person)
    asking.join(MINUTE)
    assert not asking.is_alive(), "the run goes on"
    assert "account_suspended" in answers[0], answers[0][-500:]
    assert "one two three" not in answers[0] or headers, "a whole answer that was given up shows nothing"
    eventually(lambda: has_paid_for_what_it_had(person, 50))
    assert_problem(person.client.post(path, json={"label": "latest"}), 403, "account_suspended")
    assert verified_ledger(house.service.person("olga", Role.OPERATOR))["ok"]


def test_links_that_bring_people_bring_nobody(house: House) -> None:
    """The partnership is as it was: when the account is reinstated, they bring people again."""
    pat, visitor = house.service.person("pat"), house.service.person("vera")
    partner_id = approved(pat, house.admin)
    pat.post(f"/partnerships/{partner_id}/codes", {"code": "pats-notes"}, expect=201)
    token = visitor.post("/partnerships/clicks", {"code": "pats-notes"}, expect=200)["token"]
    house.suspend(pat)
    assert_problem(visitor.client.post("/partnerships/clicks", json={"code": "pats-notes"}), 404, "not_found")
    followed = httpx.get(f"{house.service.base_url}/r/pats-notes?to=/listings/x", follow_redirects=False, verify=PLAIN)
    assert (followed.status_code, followed.headers["location"]) == (302, "/listings/x"), "it leads on, to no credit"
    claimed = visitor.client.post("/partnerships/attribution", json={"tokens": [token]})
    assert_problem(claimed, 409, "referral_not_active")
    house.reinstate(pat)
    visitor.post("/partnerships/attribution", {"tokens": [token]}, expect=201)


def test_what_is_shared_with_others_is_theirs_and_what_is_shown_of_a_person_is_not_shown(house: House) -> None:
    """Who works in a project of somebody suspended goes on; the public page and the offers are gone."""
    uma, ned = house.service.person("uma", Role.SELLER), house.service.person("ned")
    uma.call("PATCH", "/users/me", {"handle": "uma-writes"}, expect=200)
    project = uma.post("/projects", {"name": "Shared"}, expect=201)
    ned.call("PATCH", "/users/me", {"handle": "ned-reads"}, expect=200)
    uma.post(f"/projects/{project['id']}/members", {"handle": "ned-reads", "roles": ["viewer"]}, expect=201)
    wanted = {"name": "Together", "project_id": project["id"], "first_version": {"content": "Hello"}}
    prompt = uma.post("/prompts", wanted, expect=201)
    listing = published_listing(house.service, uma, house.service.person("mona", Role.MODERATOR), name="Offered")
    house.suspend(uma)
    assert ned.get(f"/prompts/{prompt['id']}/compiled?version=1")["content"] == "Hello"
    assert_problem(ned.client.get("/users/uma-writes"), 404, "not_found")
    bought = ned.client.post(f"/marketplace/listings/{listing}/purchases", json={"expected_price": "10"})
    assert_problem(bought, 409, "not_for_sale")
