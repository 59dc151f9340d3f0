"""Jobs over a real socket: what operators see and steer, what owners see, the event stream, the metrics."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pymongo
import pytest

from promptforge.core.mongo import EmbeddedMongod
from promptforge.core.principal import Role
from tests.support.planting import Jobs, dead, put
from tests.support.running import Person, assert_ledger_whole, eventually
from tests.support.service import Service, assert_problem, serving
from tests.support.waiving import WAIVED


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("jobs"), METRICS_TOKEN="scrape-me") as running:
        yield running
        assert_ledger_whole(running)


@pytest.fixture(scope="module")
def jobs(service: Service) -> Iterator[Jobs]:
    """The collection itself, to put jobs there that no feature would make."""
    server = EmbeddedMongod.start(service.data_dir / "mongo")  # adopts the one that runs
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(server.url, tz_aware=True)
    yield client["promptforge"]["jobs"]
    client.close()
    server.stop()


@pytest.fixture(scope="module")
def operator(service: Service) -> Person:
    return service.person("otto", Role.OPERATOR)


@pytest.fixture(scope="module")
def owner(service: Service) -> Person:
    return service.person("olga")


def test_an_operator_sees_a_job_with_its_arguments_and_timeline(jobs: Jobs, operator: Person) -> None:
    job_id = dead(jobs)
    job = operator.get(f"/jobs/{job_id}")
    assert (job["state"], job["arguments"], job["sensitive"]) == ("dead", {"secret": "arguments"}, False)
    assert [entry["event"] for entry in job["timeline"]] == ["enqueued", "started", "failed", "dead"]
    assert job["errors"][0]["error"] == "unavailable"
    assert job_id in [item["id"] for item in operator.get("/jobs?state=dead&kind=tests.nothing")["items"]]


def test_an_owner_sees_their_own_job_without_its_arguments_and_nobody_elses(
    jobs: Jobs, owner: Person, operator: Person
) -> None:
    mine = put(jobs, owner_id=owner.get("/users/me")["id"])
    theirs = put(jobs)
    assert owner.get(f"/jobs/{mine}")["arguments"] is None
    assert [item["id"] for item in owner.get("/jobs")["items"]] == [mine]
    assert owner.get(f"/jobs?owner_id={operator.get('/users/me')['id']}")["items"][0]["id"] == mine
    assert_problem(owner.client.get(f"/jobs/{theirs}"), 404, "not_found")
    for path in (f"/jobs/{mine}/cancel", f"/jobs/{mine}/retry", f"/jobs/{mine}/discard", "/jobs/queues/default/pause"):
        assert_problem(owner.client.post(path), 403, "forbidden")
    assert_problem(owner.client.get("/jobs/queues"), 403, "forbidden")


def test_a_job_is_cancelled_retried_and_discarded_once_each(jobs: Jobs, operator: Person) -> None:
    job_id = put(jobs)
    assert operator.post(f"/jobs/{job_id}/cancel")["state"] == "cancelled"
    assert_problem(operator.client.post(f"/jobs/{job_id}/cancel"), 409, "conflict")
    assert_problem(operator.client.post(f"/jobs/{job_id}/discard"), 409, "conflict")
    assert operator.post(f"/jobs/{job_id}/retry")["attempt"] in (0, 1)
    assert operator.post(f"/jobs/{dead(jobs)}/discard")["state"] == "cancelled"
    assert_problem(operator.client.post("/jobs/job_nothing/retry"), 404, "not_found")


def test_many_jobs_are_changed_by_a_filter_and_never_all(jobs: Jobs, operator: Person) -> None:
    for _ in range(5):
        dead(jobs, kind="tests.many")
    put(jobs, kind="tests.many")
    outcome = operator.post("/jobs/bulk", {"action": "discard", "kind": "tests.many"})
    assert outcome == {"matched": 5, "changed": 5, "more": False}
    assert operator.post("/jobs/bulk", {"action": "discard", "kind": "tests.many"})["matched"] == 0
    assert_problem(operator.client.post("/jobs/bulk", json={"action": "retry"}), 422, "invalid_request")
    assert_problem(operator.client.post("/jobs/bulk", json={"action": "erase", "kind": "x"}), 422, "invalid_request")


def test_a_paused_queue_starts_nothing_and_a_resumed_one_goes_on(
    service: Service, operator: Person, owner: Person
) -> None:
    assert operator.post("/jobs/queues/stripe/pause")["paused"] is True
    pack = owner.get("/billing/packs")["packs"][0]
    checkout = owner.post("/billing/checkouts", {"pack_id": pack["id"], **WAIVED}, expect=201)
    assert service.pay(checkout).status_code == 200
    waiting = operator.get("/jobs?state=available&kind=billing.ProcessStripeEvent")["items"]
    assert waiting  # Stripe tells of the customer too, at a time of its own
    (queue,) = [queue for queue in operator.get("/jobs/queues")["items"] if queue["queue"] == "stripe"]
    assert queue["available"] >= 1
    operator.post("/jobs/queues/stripe/resume")
    eventually(lambda: operator.get(f"/jobs/{waiting[0]['id']}")["state"] == "completed")
    assert_problem(operator.client.post("/jobs/queues/nothing/pause"), 404, "not_found")


def test_a_queue_is_scaled_and_its_limits_are_taken_away_with_null(operator: Person) -> None:
    changed = operator.call(
        "PATCH",
        "/jobs/queues/default",
        {"concurrency": 8, "global_limit": 20, "rate": {"count": 100, "seconds": 1}},
        expect=200,
    )
    assert (changed["concurrency"], changed["global_limit"], changed["rate"]["count"]) == (8, 20, 100)
    back = {"concurrency": 32, "global_limit": None, "rate": None}
    changed = operator.call("PATCH", "/jobs/queues/default", back, expect=200)
    assert (changed["concurrency"], changed["global_limit"], changed["rate"]) == (32, None, None)
    for bad in ({"concurrency": 0}, {"rate": {"count": 0, "seconds": 1}}, {"speed": 1}):
        operator.call("PATCH", "/jobs/queues/default", bad, expect=422)


def test_the_stream_says_what_is_there_and_then_what_changes(jobs: Jobs, operator: Person, owner: Person) -> None:
    job_id = put(jobs, kind="tests.streamed")
    accepted = {"accept-encoding": "gzip"}  # each event is flushed all the same
    with operator.client.stream("GET", "/jobs/stream?kind=tests.streamed", headers=accepted) as response:
        assert response.headers["content-encoding"] == "gzip"
        assert response.headers["content-type"].startswith("text/event-stream")
        events = _events(response)
        name, first = next(events)
        assert [item["state"] for item in first["items"]] == ["scheduled"]
        operator.post(f"/jobs/{job_id}/cancel")
        name, second = next(events)
        assert [item["state"] for item in second["items"]] == ["cancelled"]
    jobs.update_one({"_id": job_id}, {"$set": {"progress": 50.0}})
    with operator.client.stream("GET", f"/jobs/{job_id}/stream", headers={"last-event-id": name}) as response:
        assert next(_events(response))[1]["progress"] == 50.0
    assert_problem(owner.client.get(f"/jobs/{job_id}/stream"), 404, "not_found")
    assert_problem(httpx.get(f"{operator.client.base_url}jobs/stream"), 401, "unauthenticated")
    assert operator.client.head("/jobs/stream").status_code == 200


def _events(response: httpx.Response) -> Iterator[tuple[str, Any]]:
    """(id, data) of each event."""
    fields: dict[str, str] = {}
    for line in response.iter_lines():
        if not line and "data" in fields:
            yield fields.get("id", ""), json.loads(fields["data"])
            fields = {}
        name, _, value = line.partition(": ")
        if name:
            fields[name] = value


def test_one_user_has_only_so_many_streams(service: Service) -> None:
    greedy = service.person("greta")
    streams = [greedy.client.stream("GET", "/jobs/stream") for _ in range(10)]
    for stream in streams:
        assert stream.__enter__().status_code == 200
    assert_problem(greedy.client.get("/jobs/stream"), 429, "rate_limited")
    for stream in streams:
        stream.__exit__(None, None, None)
    eventually(lambda: greedy.client.head("/jobs/stream").status_code == 200 and _opens(greedy))


def _opens(person: Person) -> bool:
    with person.client.stream("GET", "/jobs/stream") as response:
        return response.status_code == 200


def test_metrics_are_for_operators_and_the_scraper(service: Service, operator: Person, owner: Person) -> None:
    url = f"{service.base_url}/metrics"
    text = httpx.get(url, headers={"Authorization": "Bearer scrape-me"}).text
    for name in ("promptforge_job_attempts_total", "promptforge_jobs{", "promptforge_actor_running{"):
        assert name in text
    assert httpx.get(url, headers=dict(operator.client.headers)).status_code == 200
    assert_problem(httpx.get(url), 401, "unauthenticated")
    assert_problem(httpx.get(url, headers=dict(owner.client.headers)), 403, "forbidden")
    assert_problem(httpx.get(url, headers={"Authorization": "Bearer scrape-you"}), 401, "invalid_token")
