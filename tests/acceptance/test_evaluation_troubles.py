"""Evaluations with bad input and under bad luck, over HTTP: a clear problem, nothing reserved, nothing lost.

The model is a server on this machine that speaks OpenAI's chat completions.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from promptforge.core.principal import Role
from tests.support.running import Person, eventually, verified_ledger
from tests.support.service import Service, assert_problem, serving
from tests.support.troubled_model import troubled_model

CONTAINS = {"kind": "contains", "text": "two"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings = {"LLM_API_KEY": "sk-none", "LLM_MODEL": "troubled", "LLM_PRICES": "troubled=10000000/20000000"}
    with (
        troubled_model() as url,
        serving(tmp_path_factory.mktemp("evaluations"), LLM_BASE_URL=url, **settings) as started,
    ):
        yield started


@pytest.fixture
def ada(service: Service) -> Person:
    return service.funded(f"ada-{time.monotonic_ns()}", 1000)


def prompt(person: Person) -> str:
    body = {"name": f"Counting {time.monotonic_ns()}", "first_version": {"content": "Count to {{number}}"}}
    identifier: str = person.post("/prompts", body, expect=201)["id"]
    return identifier


def dataset(person: Person, items: int, *, slow_from: int | None = None) -> str:
    """The model takes a second for each item from there on, so that there is time to do something meanwhile."""
    slow = items if slow_from is None else slow_from
    identifier: str = person.post("/datasets", {"name": f"Numbers {time.monotonic_ns()}"}, expect=201)["id"]
    for begin in range(0, items, 500):
        numbers = range(begin, min(begin + 500, items))
        some = [{"variables": {"number": f"{number}{' slowly' if number >= slow else ''}"}} for number in numbers]
        person.post(f"/datasets/{identifier}/items", {"items": some})
    return identifier


def wanted(person: Person, *, items: int = 1, **changes: Any) -> dict[str, Any]:
    made = {"version": 1, "scorers": [CONTAINS], **changes}
    made["prompt_id"] = made.get("prompt_id") or prompt(person)
    made["dataset_id"] = made.get("dataset_id") or dataset(person, items)
    return made


def started(person: Person, **changes: Any) -> str:
    """The path of the evaluation."""
    return f"/evaluations/{person.post('/evaluations', wanted(person, **changes), expect=202)['id']}"


def has_done(person: Person, path: str, items: int) -> bool:
    done: int = person.get(path)["items_done"]
    return done >= items


def ended(person: Person, path: str) -> Any:
    """Once it is summed up; then nothing of it is reserved."""
    view = eventually(lambda: (told := person.get(path))["summary"] and told)
    assert person.get("/users/me/credits")["reserved"] == "0"
    return view


@pytest.mark.parametrize(
    ("scorer", "pointer"),
    [
        ({"kind": "json_schema", "json_schema": {"type": "nonsense"}}, "json_schema"),
        ({"kind": "json_schema", "json_schema": {"$ref": "http://localhost/schema"}}, "json_schema"),
        ({"kind": "json_schema", "json_schema": {"properties": {"a": {"pattern": "("}}}}, "json_schema"),
        ({"kind": "json_schema", "json_schema": {"enum": ["x" * 20_000]}}, "json_schema"),
        ({"kind": "json_schema"}, "json_schema"),
        ({"kind": "regex", "pattern": "("}, "pattern"),
        ({"kind": "regex", "pattern": r"(a+)\1"}, "pattern"),
        ({"kind": "regex", "pattern": "(((a{1000}){1000}){1000}){1000}"}, "pattern"),
        ({"kind": "llm_judge"}, "criteria"),
    ],
)
def test_a_scorer_that_cannot_be_used_is_refused_with_its_place(
    ada: Person, scorer: dict[str, Any], pointer: str
) -> None:
    body = wanted(ada, scorers=[CONTAINS, scorer])
    problem = assert_problem(ada.client.post("/evaluations", json=body), 422, "invalid_request")
    assert [error["pointer"] for error in problem["errors"]] == [f"/scorers/1/{pointer}"]
    assert ada.get("/evaluations")["items"] == []


def test_a_pattern_that_backtracks_for_years_elsewhere_takes_no_time(ada: Person) -> None:
    scorers = [
        {"kind": "regex", "pattern": r"^(([a-z ]+)+)+[A-Z]$", "name": "nested"},
        {"kind": "json_schema", "json_schema": {"pattern": r"^(a|a)*$"}},
    ]
    view = ended(ada, started(ada, items=5, scorers=scorers))
    assert (view["status"], view["summary"]["errors"], view["summary"]["passed"]) == ("finished", 0, 0)


def test_a_dataset_without_items_is_refused(ada: Person) -> None:
    problem = assert_problem(ada.client.post("/evaluations", json=wanted(ada, items=0)), 422, "invalid_request")
    assert [(error["pointer"], error["code"]) for error in problem["errors"]] == [("/dataset_id", "empty")]


def test_more_items_than_fit_are_refused_and_none_is_taken(ada: Person) -> None:
    path = f"/datasets/{dataset(ada, 9_900)}"
    one = {"variables": {"number": "1"}}
    assert_problem(ada.client.post(f"{path}/items", json={"items": [one] * 501}), 422, "invalid_request")
    assert_problem(ada.client.post(f"{path}/items", json={"items": [one] * 101}), 409, "dataset_full")
    assert ada.get(path)["item_count"] == 9_900
    assert ada.post(f"{path}/items", {"items": [one] * 100})["item_count"] == 10_000


def test_a_dataset_that_is_emptied_meanwhile_is_evaluated_as_it_was(ada: Person) -> None:
    dataset_id = dataset(ada, 60)
    path = started(ada, dataset_id=dataset_id)
    for item in list(ada.all(f"/datasets/{dataset_id}/items")):
        ada.call("DELETE", f"/datasets/{dataset_id}/items/{item['id']}", expect=204)
    assert ada.get(f"/datasets/{dataset_id}")["item_count"] == 0
    view = ended(ada, path)
    assert (view["status"], view["items_done"], view["summary"]["passed"]) == ("finished", 60, 60)


def test_a_dataset_that_is_deleted_meanwhile_ends_it_with_what_it_has(ada: Person) -> None:
    dataset_id = dataset(ada, 500, slow_from=100)  # a hundred are read at once
    path = started(ada, dataset_id=dataset_id)
    eventually(partial(has_done, ada, path, 3))
    ada.call("DELETE", f"/datasets/{dataset_id}", expect=204)
    view = ended(ada, path)
    assert (view["status"], view["failure"]["code"]) == ("failed", "not_found")
    assert 3 <= view["items_done"] == view["summary"]["items"] < 500
    assert len(list(ada.all(f"{path}/results"))) == view["items_done"]


def test_the_versions_of_an_archived_prompt_are_evaluated_as_they_were(ada: Person) -> None:
    prompt_id, dataset_id = prompt(ada), dataset(ada, 60)
    path = started(ada, prompt_id=prompt_id, dataset_id=dataset_id)
    ada.call("DELETE", f"/prompts/{prompt_id}", expect=200)
    view = ended(ada, path)
    assert (view["status"], view["summary"]["passed"]) == ("finished", 60)
    again = wanted(
        ada, prompt_id=prompt_id, dataset_id=dataset_id
    )  # versions never change: there is nothing against it
    assert ended(ada, f"/evaluations/{ada.post('/evaluations', again, expect=202)['id']}")["status"] == "finished"
    for none in ({"version": 2}, {"version": None}):  # there is one version, and nothing is in production
        assert_problem(ada.client.post("/evaluations", json={**again, **none}), 404, "not_found")


def test_what_belongs_to_others_is_not_there(service: Service, ada: Person) -> None:
    prompt_id, dataset_id = prompt(ada), dataset(ada, 2)
    path = started(ada, prompt_id=prompt_id, dataset_id=dataset_id)
    ended(ada, path)
    eve = service.funded(f"eve-{time.monotonic_ns()}", 10)
    hers = started(eve)
    ended(eve, hers)
    for asked in (path, f"{path}/results", f"{path}/comparison?with={hers.split('/')[-1]}", f"/datasets/{dataset_id}"):
        assert_problem(eve.client.get(asked), 404, "not_found")
    assert_problem(eve.client.get(f"{hers}/comparison?with={path.split('/')[-1]}"), 404, "not_found")
    assert_problem(eve.client.post(f"{path}/cancel"), 404, "not_found")
    others: tuple[dict[str, Any], ...] = ({"dataset_id": dataset_id}, {"prompt_id": prompt_id})
    for taken in others:
        assert_problem(eve.client.post("/evaluations", json=wanted(eve, **taken)), 404, "not_found")
    assert [one["id"] for one in eve.get("/evaluations")["items"]] == [hers.split("/")[-1]]


def test_it_is_cancelled_once_and_not_after_its_end(ada: Person) -> None:
    path = started(ada, dataset_id=dataset(ada, 500, slow_from=3))
    eventually(partial(has_done, ada, path, 3))
    assert ada.post(f"{path}/cancel")["status"] == "cancelled"
    view = ended(ada, path)
    assert (view["status"], view["failure"]) == ("cancelled", None)
    assert 3 <= view["items_done"] < 500
    assert_problem(ada.client.post(f"{path}/cancel"), 409, "evaluation_over")
    finished = started(ada)
    ended(ada, finished)
    assert_problem(ada.client.post(f"{finished}/cancel"), 409, "evaluation_over")
    with_cancelled = ada.client.get(f"{finished}/comparison?with={path.split('/')[-1]}")
    assert_problem(with_cancelled, 409, "different_datasets")


def test_an_operator_who_cancels_the_job_cancels_the_evaluation_and_its_owner_sees_why(
    service: Service, ada: Person
) -> None:
    operator = service.person("operator", Role.OPERATOR)
    path = started(ada, dataset_id=dataset(ada, 500, slow_from=3))
    eventually(partial(has_done, ada, path, 3))
    job = f"/jobs/{ada.get(path)['job_id']}"
    operator.post(f"{job}/cancel")
    eventually(lambda: operator.get(job)["state"] == "cancelled")
    operator.post("/jobs/schedules/sweep-evaluations/trigger", expect=202)
    view = ended(ada, path)
    assert (view["status"], view["failure"]["code"]) == ("cancelled", "job_cancelled")
    assert 3 <= view["items_done"] == view["summary"]["items"] < 500
    assert verified_ledger(operator)["ok"] is True
