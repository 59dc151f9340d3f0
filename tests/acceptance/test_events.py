"""Events over HTTP: told of, added up by the schedule's job, asked for; and what nobody should send."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from promptforge.core.principal import Role
from tests.support.analytics_setups import event
from tests.support.running import Person, eventually
from tests.support.service import Service, assert_problem, serving


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("events")) as started:
        yield started


@pytest.fixture(scope="module")
def ada(service: Service) -> Person:
    return service.person("ada")


def test_what_is_told_of_is_in_the_dashboard_soon(service: Service, ada: Person) -> None:
    body = {"events": [event("one", value=2.5), event("two", kind="answer.refused"), event("one", value=2.5)]}
    assert ada.post("/analytics/events", body) == {"inserted": 2, "duplicates": 1}
    assert ada.post("/analytics/events", body) == {"inserted": 0, "duplicates": 3}
    service.person("operator", Role.OPERATOR).post("/jobs/schedules/fold-events/trigger", expect=202)
    shown = eventually(lambda: (one := ada.get("/analytics/dashboard?days=2"))["totals"]["events"] and one)
    assert (len(shown["days"]), shown["totals"]["events"]) == (2, 2)
    assert {one["kind"]: one["events"] for one in shown["kinds"]} == {"answer.accepted": 1, "answer.refused": 1}
    question = {"view": "events", "measures": ["events", "value"], "dimensions": ["kind"]}
    rows = ada.post("/analytics/query", question)["rows"]
    assert [row["measures"] for row in rows] == [{"events": 1, "value": 2.5}, {"events": 1, "value": 0.0}]
    assert service.person("eve").get("/analytics/dashboard")["totals"]["events"] == 0


def at(**away: float) -> str:
    return (datetime.now(UTC) + timedelta(**away)).isoformat(timespec="milliseconds")


BAD: list[tuple[dict[str, Any], str]] = [
    ({"at": partial(at, hours=1)}, "/events/0/at"),
    ({"at": partial(at, days=-500)}, "/events/0/at"),
    ({"at": "0001-01-01T00:00:00+14:00"}, "/events/0/at"),
    ({"at": "2026-11-20"}, "/events/0/at"),
    ({"at": 1763623800}, "/events/0/at"),
    ({"kind": "Answer accepted"}, "/events/0/kind"),
    ({"kind": "answer\n"}, "/events/0/kind"),
    ({"prompt_id": ""}, "/events/0/prompt_id"),
    ({"variant": "x" * 41}, "/events/0/variant"),
    ({"value": 1e300}, "/events/0/value"),
    ({"value": "5"}, "/events/0/value"),
    ({"prompt_version": 0}, "/events/0/prompt_version"),
    ({"properties": {"$where": 1}}, "/events/0/properties/$where"),
    ({"properties": {"a.b": 1}}, "/events/0/properties/a.b"),
    ({"properties": {"__proto__": 1}}, "/events/0/properties/__proto__"),
    ({"properties": {"note": "x" * 100_000}}, "/events/0/properties/note"),
    ({"properties": {f"p{number}": 1 for number in range(21)}}, "/events/0/properties"),
    ({"properties": {"nested": {"a": {"b": 1}}}}, "/events/0/properties/nested"),
    ({"properties": {"list": [1]}}, "/events/0/properties/list"),
    ({"properties": {"email": "hidden"}}, "/events/0/properties/email"),
    ({"properties": {"note": "from ada@example.com"}}, "/events/0/properties/note"),
    ({"user": "ada"}, "/events/0/user"),
]


@pytest.mark.parametrize(("fields", "pointer"), BAD, ids=range(len(BAD)))
def test_an_event_that_is_not_right_is_a_problem_that_points_to_it(
    ada: Person, fields: dict[str, Any], pointer: str
) -> None:
    given = {name: value() if callable(value) else value for name, value in fields.items()}  # when it is asked
    response = ada.client.post("/analytics/events", json={"events": [event("bad", **given)]})
    errors = assert_problem(response, 422, "invalid_request")["errors"]
    assert any(error["pointer"].startswith(pointer) for error in errors), errors


def test_batches_have_bounds(ada: Person) -> None:
    for events in ([], [event(f"e{number}") for number in range(501)]):
        assert_problem(ada.client.post("/analytics/events", json={"events": events}), 422, "invalid_request")
    full = [event(f"full-{number}") for number in range(500)]
    assert ada.post("/analytics/events", {"events": full})["inserted"] == 500


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999", "[" * 70 + "]" * 70, '{"a":' * 70 + "1" + "}" * 70])
def test_what_is_no_json_or_too_deep_is_malformed_or_invalid(ada: Person, value: str) -> None:
    told = json.dumps({"events": [event("odd", properties={"odd": "here"})]}).replace('"here"', value)
    headers = {"Content-Type": "application/json"}
    response = ada.client.post("/analytics/events", content=told, headers=headers)
    assert response.status_code in {400, 422}, response.text


@pytest.mark.parametrize(
    "fields",
    [
        {"from": "2026-11-20T00:00:00Z", "to": "2026-11-01T00:00:00Z"},
        {"from": "1999-01-01T00:00:00Z"},
        {"to": "9999-12-31T23:59:59Z"},
        {"from": "2024-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"},
        {"bucket": "hour", "from": "2026-01-01T00:00:00Z", "to": "2026-06-01T00:00:00Z"},
        {"measures": []},
        {"dimensions": ["kind", "variant", "prompt_id", "prompt_version"]},
        {"filters": [{"dimension": "kind", "values": []}]},
        {"filters": [{"dimension": "kind", "values": [{"$gt": ""}]}]},
        {"filters": [{"dimension": "$where", "values": ["1"]}]},
        {"view": "secrets"},
    ],
    ids=str,
)
def test_questions_that_cannot_be_asked_are_problems(ada: Person, fields: dict[str, Any]) -> None:
    question = {"view": "events", "measures": ["events"], **fields}
    assert_problem(ada.client.post("/analytics/query", json=question), 422, "invalid_request")
