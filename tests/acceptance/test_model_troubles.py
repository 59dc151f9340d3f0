"""A provider in trouble, over HTTP: a clear problem or an `error` event, everything reserved given back, nothing lost.

The provider is a server that fails as OpenAI does, also in the middle of a stream; the service is told a key by which
its logs are searched in the end.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from promptforge.core.principal import Role
from tests.acceptance.test_ai import EVENTS, credits, events, records
from tests.support.running import Person, verified_ledger
from tests.support.service import Service, assert_problem, serving
from tests.support.troubled_model import PIECES, SECRET, troubled_model

KEY = "sk-a-key-that-nobody-may-see"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    prices = "troubled=10000000/20000000,other=10000000/20000000"
    with (
        troubled_model() as url,
        serving(
            tmp_path_factory.mktemp("troubles"),
            LLM_BASE_URL=url,
            LLM_API_KEY=KEY,
            LLM_MODEL="troubled,other",
            LLM_PRICES=prices,
            LOG_LEVEL="info",
        ) as started,
    ):
        yield started


@pytest.fixture
def ada(service: Service) -> Person:
    """Somebody new with a hundred credits."""
    return service.funded(f"ada-{time.monotonic_ns()}", 100)


def prompt(person: Person) -> str:
    """The path of a prompt that says what it is told to."""
    made = person.post("/prompts", {"name": "Trouble", "first_version": {"content": "{{trouble}}"}}, expect=201)
    return f"/prompts/{made['id']}/test"


def asked(trouble: str, **more: Any) -> dict[str, Any]:
    return {"label": "latest", "variables": {"trouble": trouble}, **more}


@pytest.mark.parametrize(
    ("trouble", "status", "code", "retryable"),
    [
        ("wrong key", 502, "model_misconfigured", False),
        ("no such model", 502, "model_misconfigured", False),
        ("no money left", 429, "model_rate_limited", True),
        ("too long", 422, "context_too_long", False),
    ],
)
def test_what_the_provider_refuses_is_a_problem_and_costs_nothing(
    service: Service, ada: Person, trouble: str, status: int, code: str, *, retryable: bool
) -> None:
    path = prompt(ada)
    for headers in ({}, EVENTS):
        for target, body in ((path, asked(trouble)), ("/ai/explain", {"text": trouble})):
            answer = ada.client.post(target, json=body, headers=headers)
            problem = assert_problem(answer, status, code)
            assert problem["retryable"] is retryable
            assert SECRET not in answer.text
            assert KEY not in answer.text
            assert ("retry-after" in answer.headers) is retryable
    assert credits(ada) == (100, 0)
    kept = records(service, ada)
    assert {(record["outcome"], record["error_code"], record["millicredits"]) for record in kept} == {
        ("failed", code, 0)
    }
    assert len(kept) == 4, "each attempt has its record"


@pytest.mark.parametrize("trouble", ["it runs out", "it hangs up"])
def test_what_ends_a_stream_in_the_middle_is_an_error_event_and_costs_nothing(
    service: Service, ada: Person, trouble: str
) -> None:
    for target, body in ((prompt(ada), asked(trouble)), ("/ai/explain", {"text": trouble})):
        with ada.client.stream("POST", target, json=body, headers=EVENTS) as response:
            assert response.status_code == 200
            got = list(events(response))
        assert [name for name, _ in got] == ["delta"] * len(PIECES) + ["error"]
        assert "".join(data["text"] for name, data in got if name == "delta") == "".join(PIECES)
        problem = got[-1][1]
        assert (problem["status"], problem["code"], problem["retryable"]) == (502, "model_failed", True)
        assert SECRET not in str(problem)
        assert problem["request_id"] == response.headers["x-request-id"]
    assert credits(ada) == (100, 0)
    kept = [(record["outcome"], record["error_code"], record["millicredits"]) for record in records(service, ada)]
    assert kept == [("failed", "model_failed", 0)] * 2


def test_whoever_runs_out_of_tokens_gets_what_there_was_and_is_told(service: Service, ada: Person) -> None:
    path = prompt(ada)
    with ada.client.stream("POST", path, json=asked("cut off"), headers=EVENTS) as response:
        got = list(events(response))
    assert [name for name, _ in got] == ["delta"] * len(PIECES) + ["done"]
    done = got[-1][1]
    assert (done["finish_reason"], done["output"]) == ("length", "".join(PIECES))
    whole = ada.post(path, asked("cut off"))
    assert (whole["finish_reason"], whole["output"]) == ("length", "".join(PIECES))
    cost = 2 * (10 + 2 * 6) / 1000
    assert credits(ada) == pytest.approx((100 - cost, 0))
    assert [record["outcome"] for record in records(service, ada)] == ["ok", "ok"]


def test_a_model_that_is_not_configured_is_named_before_anything_is_reserved(service: Service, ada: Person) -> None:
    path = prompt(ada)
    for headers in ({}, EVENTS):
        answer = ada.client.post(path, json=asked("hello", model="gpt-17"), headers=headers)
        assert assert_problem(answer, 422, "unknown_model")["models"] == ["troubled", "other"]
    assert ada.post(path, asked("hello", model="other"))["model"] == "other"
    assert [record["model"] for record in records(service, ada)] == ["other"]


def test_after_all_this_nothing_is_reserved_and_no_key_or_text_is_in_the_log(service: Service) -> None:
    operator = service.person("operator", Role.OPERATOR)
    assert verified_ledger(operator)["ok"] is True
    with service.database() as client:
        assert client["promptforge"]["model_runs"].count_documents({}) == 0
    assert "model.misconfigured" in service.log
    for words in (KEY, SECRET, "cut off"):
        assert words not in service.log
