"""The assistant over HTTP with the model that comes with the service: streamed, whole, given up, kept, and paid for."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from promptforge.actors.ai.providers.local import MAX_TOKENS
from promptforge.core.principal import Role
from tests.support.running import Person, eventually, verified_ledger
from tests.support.service import Service, assert_problem, serving

EVENTS = {"accept": "text/event-stream"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("ai"), LLM_PRICES="smollm2-135m=10000000/20000000") as started:
        yield started


@pytest.fixture
def ada(service: Service) -> Person:
    """Somebody new with a hundred credits."""
    return service.funded(f"ada-{time.monotonic_ns()}", 100)


def credits(person: Person) -> tuple[float, float]:
    view = person.get("/users/me/credits")
    return float(view["available"]), float(view["reserved"])


def events(response: httpx.Response) -> Iterator[tuple[str, Any]]:
    """Name and data, as they come."""
    name = ""
    for line in response.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def records(service: Service, person: Person) -> list[Any]:
    identifier = person.get("/users/me")["id"]
    with service.database() as client:
        return list(client["promptforge"]["usage"].find({"user_id": identifier}))


def test_the_local_model_is_there_and_says_that_it_is_tiny(service: Service, ada: Person) -> None:
    (model,) = ada.get("/ai/models")["models"]
    assert (model["name"], model["provider"], model["tiny"], model["default"]) == ("smollm2-135m", "local", True, True)


def test_a_text_is_streamed_as_the_model_says_it_and_charged_by_its_tokens(service: Service, ada: Person) -> None:
    with ada.client.stream("POST", "/ai/explain", json={"text": "Say hello"}, headers=EVENTS) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        got = list(events(response))
    names = [name for name, _ in got]
    assert names == ["delta"] * (len(got) - 1) + ["done"]
    assert len(got) > 2
    done = got[-1][1]
    assert "".join(data["text"] for _, data in got[:-1]).strip().startswith(done["text"][:20])
    usage = done["answered_by"]["usage"]
    cost = (usage["input_tokens"] + 2 * usage["output_tokens"]) / 1000
    assert float(usage["credits"]) == pytest.approx(cost)
    available, reserved = credits(ada)
    assert available == pytest.approx(100 - cost)
    assert reserved == 0
    (record,) = records(service, ada)
    assert (record["outcome"], record["output_tokens"]) == ("ok", usage["output_tokens"])


def test_a_client_that_goes_away_stops_the_model_and_pays_for_what_it_said(service: Service, ada: Person) -> None:
    asked = {"task": "Write the longest story about a ship that you can."}
    with ada.client.stream("POST", "/ai/generate", json=asked, headers=EVENTS) as response:
        stream = events(response)
        next(stream)
        next(stream)
        assert credits(ada)[1] > 0
    (record,) = eventually(lambda: records(service, ada))
    assert record["outcome"] == "cancelled"
    assert record["output_tokens"] < MAX_TOKENS
    available, reserved = credits(ada)
    assert reserved == 0
    assert available == pytest.approx(100 - record["millicredits"] / 1000)


def test_without_credits_and_for_unknown_models_it_is_a_problem_and_no_stream(service: Service, ada: Person) -> None:
    poor = service.person("poor")
    poor.get("/users/me")
    for headers in ({}, EVENTS):
        answer = poor.client.post("/ai/improve", json={"text": "Say hello"}, headers=headers)
        assert_problem(answer, 402, "insufficient_credits")
        answer = ada.client.post("/ai/improve", json={"text": "Say hello", "model": "gpt-17"}, headers=headers)
        assert assert_problem(answer, 422, "unknown_model")["models"] == ["smollm2-135m"]
        answer = ada.client.post("/ai/explain", json={"text": "word " * 10_000}, headers=headers)
        assert_problem(answer, 422, "context_too_long")
    assert credits(ada) == (100, 0)


def test_somebody_elses_prompt_is_not_there(service: Service, ada: Person) -> None:
    other = service.person("other")
    prompt = other.post("/prompts", {"name": "secret", "first_version": {"content": "A secret"}}, expect=201)
    answer = ada.client.post("/ai/critique", json={"prompt_id": prompt["id"]})
    assert_problem(answer, 404, "not_found")


def test_sent_again_with_its_key_it_is_answered_from_what_was_kept_and_charged_once(ada: Person) -> None:
    asked, key = {"text": "Say hello"}, {"idempotency-key": "one"}
    first = ada.client.post("/ai/explain", json=asked, headers=key)
    assert first.status_code == 200
    left = credits(ada)
    again = ada.client.post("/ai/explain", json=asked, headers=key)
    assert (again.json(), again.headers["idempotency-replayed"]) == (first.json(), "true")
    with ada.client.stream("POST", "/ai/explain", json=asked, headers={**key, **EVENTS}) as response:
        assert response.headers["idempotency-replayed"] == "true"
        assert list(events(response)) == [("done", first.json())]
    assert credits(ada) == left


def test_a_tiny_model_answers_a_form_or_says_sensibly_that_it_cannot(service: Service, ada: Person) -> None:
    answer = ada.client.post("/ai/suggest", json={"text": "Summarise {{article}} in five lines."}, timeout=120)
    if answer.status_code == 200:
        assert {"title", "summary", "tags", "category", "answered_by"} == answer.json().keys()
        assert answer.json()["answered_by"]["tiny"] is True
        assert credits(ada)[0] < 100
    else:
        assert "tiny" in assert_problem(answer, 502, "answer_unusable")["detail"]
        assert credits(ada)[0] == 100
    assert credits(ada)[1] == 0


def test_the_ledger_is_right_after_all_this(service: Service) -> None:
    operator = service.person("operator", Role.OPERATOR)
    assert verified_ledger(operator)["ok"] is True
