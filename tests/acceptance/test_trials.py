"""Test runs of prompts over HTTP with the model that comes with the service: streamed, whole, refused, given up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from promptforge.actors.ai.providers.local import MAX_TOKENS
from promptforge.core.principal import Role
from tests.acceptance.test_ai import EVENTS, credits, events, records
from tests.support.running import Person, eventually, verified_ledger
from tests.support.service import Service, assert_problem, serving

CONTENT = "Tell me about {{thing}}."
ASKED = {"variables": {"thing": "ships"}, "settings": {"max_tokens": 40}}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("trials"), LLM_PRICES="smollm2-135m=10000000/20000000") as started:
        yield started


@pytest.fixture
def ada(service: Service) -> Person:
    """Somebody new with a hundred credits."""
    return service.funded(f"ada-{time.monotonic_ns()}", 100)


def prompt(person: Person, **version: Any) -> str:
    """The path of a prompt with one version, which is in production."""
    body = {"name": "Ships", "first_version": {"content": CONTENT, **version}}
    path = f"/prompts/{person.post('/prompts', body, expect=201)['id']}"
    person.call("PUT", f"{path}/labels/production", {"version": 1}, expect=200)
    return path


def test_the_first_piece_comes_before_the_last_and_the_whole_is_what_the_pieces_say(
    service: Service, ada: Person
) -> None:
    """That they come while the model speaks is told by who goes away in the middle; see below."""
    path = prompt(ada)
    with ada.client.stream("POST", f"{path}/test", json=ASKED, headers=EVENTS) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        got = list(events(response))
    assert [name for name, _ in got] == ["delta"] * (len(got) - 1) + ["done"]
    assert len(got) > 5
    done = got[-1][1]
    assert "".join(data["text"] for _, data in got[:-1]) == done["output"]
    assert (done["version"], done["label"], done["model"], done["tiny"]) == (1, "production", "smollm2-135m", True)
    usage = done["usage"]
    assert 0 < usage["first_token_ms"] < usage["latency_ms"]
    assert usage["output_tokens"] <= 40
    cost = (usage["input_tokens"] + 2 * usage["output_tokens"]) / 1000
    assert float(usage["credits"]) == pytest.approx(cost)
    assert credits(ada) == pytest.approx((100 - cost, 0))
    (record,) = records(service, ada)
    assert (record["_id"], record["purpose"], record["caller"]) == (done["run_id"], "test", "person")
    assert (f"/prompts/{record['prompt_id']}", record["prompt_version"]) == (path, 1)


def test_without_events_the_same_comes_whole_and_its_key_is_charged_once(ada: Person) -> None:
    path = prompt(ada)
    first = ada.client.post(f"{path}/test", json=ASKED, headers={"idempotency-key": "one"})
    assert first.status_code == 200
    assert first.json()["output"]
    left = credits(ada)
    assert left[0] < 100
    again = ada.client.post(f"{path}/test", json=ASKED, headers={"idempotency-key": "one"})
    assert (again.json(), again.headers["idempotency-replayed"]) == (first.json(), "true")
    assert credits(ada) == left


def test_what_is_wrong_is_a_problem_and_no_stream(service: Service, ada: Person) -> None:
    path = prompt(ada, tools=[{"name": "look_up"}])
    for headers in ({}, EVENTS):

        def refused(body: Any, code: str, headers: dict[str, str] = headers) -> Any:
            return assert_problem(ada.client.post(f"{path}/test", json=body, headers=headers), 422, code)

        wrong = refused({**ASKED, "variables": {"things": 1}}, "invalid_request")
        assert [error["pointer"] for error in wrong["errors"]] == ["/variables/thing", "/variables/things"]
        refused(ASKED, "has_tools")
        allowed = {**ASKED, "ignore_tools": True}
        assert refused({**allowed, "model": "gpt-17"}, "unknown_model")["models"] == ["smollm2-135m"]
        refused({**allowed, "max_credits": "0.001"}, "over_budget")
        refused({**allowed, "variables": {"thing": "word " * 10_000}}, "context_too_long")
        refused({**allowed, "settings": {"temperature": 3}}, "invalid_request")
        both = refused({**allowed, "version": 1, "label": "production"}, "invalid_request")
        assert [error["pointer"] for error in both["errors"]] == ["/label"]
        missing = ada.client.post(f"{path}/test", json={**allowed, "label": "staging"}, headers=headers)
        assert_problem(missing, 404, "not_found")
    assert credits(ada) == (100, 0)
    failed = [record["error_code"] for record in records(service, ada)]
    assert failed == ["context_too_long"] * 2  # only the model knew that


def test_a_viewer_tests_at_their_own_cost_and_for_others_there_is_no_such_prompt(service: Service, ada: Person) -> None:
    project = ada.post("/projects", {"name": "Harbour"}, expect=201)["id"]
    body = {"name": "Ships", "project_id": project, "first_version": {"content": CONTENT}}
    path = f"/prompts/{ada.post('/prompts', body, expect=201)['id']}"
    viewer = service.person(f"viewer-{time.monotonic_ns()}")
    handle = f"viewer-{time.monotonic_ns()}"
    viewer.call("PATCH", "/users/me", {"handle": handle}, expect=200)
    asked = {**ASKED, "label": "latest"}
    for headers in ({}, EVENTS):
        assert_problem(viewer.client.post(f"{path}/test", json=asked, headers=headers), 404, "not_found")
    ada.post(f"/projects/{project}/members", {"handle": handle, "roles": ["viewer"]}, expect=201)
    for headers in ({}, EVENTS):
        answer = viewer.client.post(f"{path}/test", json=asked, headers=headers)
        assert_problem(answer, 402, "insufficient_credits")
    assert credits(ada) == (100, 0)


def test_a_client_that_goes_away_stops_the_model_and_pays_for_what_it_said(service: Service, ada: Person) -> None:
    path = prompt(ada)
    asked = {**ASKED, "settings": {"max_tokens": 1000}}
    with ada.client.stream("POST", f"{path}/test", json=asked, headers=EVENTS) as response:
        stream = events(response)
        next(stream)
        next(stream)
        assert credits(ada)[1] > 0
    (record,) = eventually(lambda: records(service, ada))
    assert (record["outcome"], record["purpose"]) == ("cancelled", "test")
    assert record["output_tokens"] < MAX_TOKENS
    assert credits(ada) == pytest.approx((100 - record["millicredits"] / 1000, 0))


def test_a_test_run_is_in_the_prompts_analytics_and_in_ones_own_usage(service: Service, ada: Person) -> None:
    path = prompt(ada)
    usage = ada.post(f"{path}/test", ASKED)["usage"]
    for bucket in ("hour", "day", "week"):
        view = ada.get(f"{path}/analytics?bucket={bucket}&by_version=true")
        (found,) = view["buckets"]
        assert (found["version"], found["totals"]) == (1, view["totals"])
        assert (view["totals"]["runs"], view["totals"]["output_tokens"]) == (1, usage["output_tokens"])
        assert view["totals"]["credits"] == usage["credits"]
        assert usage["latency_ms"] / 1.5 < view["totals"]["latency_p95_ms"] < usage["latency_ms"] * 1.5
    mine = ada.get("/users/me/usage")
    assert (mine["totals"]["runs"], mine["totals"]["credits"], len(mine["days"])) == (1, usage["credits"], 1)
    wrong = ada.client.get(f"{path}/analytics?bucket=hour&from=2020-01-01T00:00:00Z&to=2021-01-01T00:00:00Z")
    assert assert_problem(wrong, 422, "invalid_request")["errors"][0]["parameter"] == "from"
    stranger = service.person("stranger")
    assert_problem(stranger.client.get(f"{path}/analytics"), 404, "not_found")


def test_the_ledger_is_right_after_all_this(service: Service) -> None:
    operator = service.person("operator", Role.OPERATOR)
    assert verified_ledger(operator)["ok"] is True
