"""Analytics over HTTP: buckets and their edges in UTC wherever the server is, empty ones, refusals, and folded hours.

The runs are of 2025, put into the database as records of a service that had no sums: its start adds them up.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from promptforge.actors.ai.messages import CallerKind, RunOutcome, RunUsage, UsageRecord
from promptforge.actors.ai.models.store import usage_row
from promptforge.core.principal import Role
from tests.support.running import Person, eventually
from tests.support.service import Service, assert_problem, serving

EDGES = ["2025-10-25T23:59:59.999Z", "2025-10-26T00:00:00Z", "2025-10-26T00:59:59.999Z", "2025-10-26T01:00:00Z"]
"""The last and the first millisecond of a day and of an hour."""
DAY = datetime(2025, 10, 26, tzinfo=UTC)
"""When Berlin's clocks are put back, so that its day has 25 hours and an hour comes twice."""
EMPTY = {
    **dict.fromkeys(("runs", "failed", "cancelled", "input_tokens", "output_tokens", "cost_microusd"), 0),
    "credits": "0",
}
UNTOLD = {"latency_p50_ms": None, "latency_p95_ms": None}
AWAY = ({"TZ": "Europe/Berlin"}, {"TZ": "America/New_York"})


@pytest.fixture(scope="module", params=AWAY, ids=lambda settings: settings["TZ"])
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("analytics"), **request.param) as started:
        yield started


@pytest.fixture(scope="module")
def ada(service: Service) -> Person:
    return service.person("ada")


@pytest.fixture(scope="module")
def path(service: Service, ada: Person) -> str:
    """A prompt with a run at each of the edges, one in each hour of the day afterwards, and Ada's a day for a year."""
    prompt_id = ada.post("/prompts", {"name": "Ships"}, expect=201)["id"]
    user_id = ada.get("/users/me")["id"]
    edges = [datetime.fromisoformat(edge) for edge in EDGES]
    hours = [DAY + timedelta(days=1, hours=hour) for hour in range(24)]
    runs = [(moment, prompt_id, 1) for moment in edges] + [(moment, prompt_id, 2) for moment in hours]
    own = [(datetime(2024, 1, 1, 12, tzinfo=UTC) + timedelta(days=number), None, None) for number in range(366)]
    with service.database() as client:
        records = [record(number, user_id, *run) for number, run in enumerate([*runs, *own])]
        client["promptforge"]["usage"].insert_many(records)
        client["promptforge"]["migrations"].delete_one({"_id": 2})
    service.terminate()
    service.start()
    return f"/prompts/{prompt_id}"


def record(number: int, user_id: str, moment: datetime, prompt_id: str | None, version: int | None) -> dict[str, Any]:
    usage = RunUsage(10, 5, False, 200, "0.02", 1000, 300)
    person = CallerKind.PERSON
    return usage_row(
        UsageRecord(
            f"run_{number:04d}",
            user_id,
            moment,
            "test",
            person,
            RunOutcome.OK,
            None,
            "large",
            "openai",
            prompt_id,
            version,
            usage,
        )
    )


def divided(view: dict[str, Any]) -> list[tuple[str, int]]:
    return [(bucket["start"], bucket["totals"]["runs"]) for bucket in view["buckets"]]


def asked(person: Person, path: str, **query: Any) -> dict[str, Any]:
    response = person.client.get(path, params={name.rstrip("_"): value for name, value in query.items()})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_each_run_is_in_the_hour_that_it_ended_in_and_its_first_moment_belongs_to_it(ada: Person, path: str) -> None:
    view = asked(ada, f"{path}/analytics", bucket="hour", from_="2025-10-25T23:00:00Z", to="2025-10-26T02:00:00Z")
    assert divided(view) == [("2025-10-25T23:00:00Z", 1), ("2025-10-26T00:00:00Z", 2), ("2025-10-26T01:00:00Z", 1)]
    one = asked(ada, f"{path}/analytics", bucket="hour", from_="2025-10-26T00:00:00Z", to="2025-10-26T01:00:00Z")
    assert (one["start"], one["end"]) == ("2025-10-26T00:00:00Z", "2025-10-26T01:00:00Z")
    assert divided(one) == [("2025-10-26T00:00:00Z", 2)]
    wider = asked(ada, f"{path}/analytics", bucket="hour", from_="2025-10-26T00:59:59Z", to="2025-10-26T01:00:00.001Z")
    assert (wider["start"], wider["end"], wider["totals"]["runs"]) == (
        "2025-10-26T00:00:00Z",
        "2025-10-26T02:00:00Z",
        3,
    )


def test_days_and_weeks_are_those_of_utc_wherever_server_and_client_are(ada: Person, path: str) -> None:
    week = {"from_": "2025-10-20T00:00:00Z", "to": "2025-11-03T00:00:00Z"}
    days = asked(ada, f"{path}/analytics", **week)
    assert divided(days) == [("2025-10-25T00:00:00Z", 1), ("2025-10-26T00:00:00Z", 3), ("2025-10-27T00:00:00Z", 24)]
    weeks = asked(ada, f"{path}/analytics", bucket="week", **week)
    assert divided(weeks) == [("2025-10-20T00:00:00Z", 4), ("2025-10-27T00:00:00Z", 24)]
    berlin = asked(ada, f"{path}/analytics", from_="2025-10-26T00:00:00+02:00", to="2025-10-27T00:00:00+01:00")
    assert (berlin["start"], berlin["end"]) == ("2025-10-25T00:00:00Z", "2025-10-27T00:00:00Z")
    assert (berlin["totals"]["runs"], len(berlin["buckets"])) == (4, 2)


@pytest.mark.parametrize("day", ["2025-03-09", "2025-03-30", "2025-10-26", "2025-11-02"])
def test_a_day_has_24_hours_also_where_clocks_are_changed(ada: Person, path: str, day: str) -> None:
    view = asked(ada, f"{path}/analytics", bucket="hour", from_=f"{day}T00:00:00Z", to=f"{day}T23:59:59Z")
    length = datetime.fromisoformat(view["end"]) - datetime.fromisoformat(view["start"])
    assert length == timedelta(days=1)
    full = asked(ada, f"{path}/analytics", bucket="hour", from_="2025-10-27T00:00:00Z", to="2025-10-28T00:00:00Z")
    assert divided(full) == [(f"2025-10-27T{hour:02}:00:00Z", 1) for hour in range(24)]


def test_versions_are_told_apart_and_of_one_that_is_not_there_is_nothing(ada: Person, path: str) -> None:
    whole = {"from_": "2025-10-01T00:00:00Z", "to": "2025-11-01T00:00:00Z"}
    view = asked(ada, f"{path}/analytics", by_version="true", **whole)
    assert [(one["version"], one["totals"]["runs"]) for one in view["versions"]] == [(1, 4), (2, 24)]
    second = asked(ada, f"{path}/analytics", version=2, **whole)
    assert (second["totals"]["runs"], divided(second)) == (24, [("2025-10-27T00:00:00Z", 24)])
    unknown = asked(ada, f"{path}/analytics", version=99, **whole)
    assert (unknown["totals"], unknown["versions"], unknown["buckets"]) == ({**EMPTY, **UNTOLD}, [], [])


def test_where_nothing_ran_there_are_noughts_and_no_percentiles(service: Service, ada: Person, path: str) -> None:
    untried = f"/prompts/{ada.post('/prompts', {'name': 'Untried'}, expect=201)['id']}/analytics"
    for bucket, days in (("hour", 7), ("day", 30), ("week", 26 * 7)):
        for view in (asked(ada, untried, bucket=bucket), asked(ada, f"{path}/analytics", bucket=bucket)):
            assert (view["totals"], view["versions"], view["buckets"]) == ({**EMPTY, **UNTOLD}, [], [])
            length = datetime.fromisoformat(view["end"]) - datetime.fromisoformat(view["start"])
            assert length == timedelta(days=days)
    newcomer = service.person("newcomer").get("/users/me/usage")
    assert (newcomer["totals"], newcomer["days"]) == (EMPTY, [])


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("from=2025-10-27T00:00:00Z&to=2025-10-26T00:00:00Z", "from"),
        ("from=2025-10-26T00:00:00Z&to=2025-10-26T00:00:00Z", "from"),
        ("bucket=hour&from=2025-01-01T00:00:00Z&to=2025-03-25T09:00:00Z", "from"),
        ("from=2019-01-01T00:00:00Z&to=2025-01-01T00:00:00Z", "from"),
        ("from=1999-12-31T00:00:00Z", "from"),
        ("to=9999-12-31T00:00:00Z", "to"),
        ("from=2025-10-26T00:00:00", "from"),
        ("from=yesterday", "from"),
        ("bucket=minute", "bucket"),
        ("version=0", "version"),
        ("version=one", "version"),
        ("by_version=perhaps", "by_version"),
    ],
)
def test_what_cannot_be_asked_is_a_problem_that_names_it(ada: Person, path: str, query: str, parameter: str) -> None:
    problem = assert_problem(ada.client.get(f"{path}/analytics?{query}"), 422, "invalid_request")
    assert [error["parameter"] for error in problem["errors"]] == [parameter]


def test_the_longest_time_is_answered(ada: Person, path: str) -> None:
    hours = {"from_": "2025-08-05T16:00:00Z", "to": "2025-10-28T00:00:00Z"}
    assert asked(ada, f"{path}/analytics", bucket="hour", **hours)["totals"]["runs"] == 28
    days = {"from_": "2021-01-01T00:00:00Z", "to": "2026-06-24T00:00:00Z"}
    assert asked(ada, f"{path}/analytics", **days)["totals"]["runs"] == 28


def test_for_others_there_is_no_such_prompt(service: Service, path: str) -> None:
    stranger = service.person("stranger")
    for wanted in (f"{path}/analytics", f"{path}/analytics?version=99", "/prompts/prm_nothere/analytics"):
        assert stranger.client.get(wanted).status_code == 404
    assert service.visitor.get(f"/api/v1{path}/analytics").status_code == 401
    assert service.visitor.get("/api/v1/users/me/usage").status_code == 401
    others = asked(stranger, "/users/me/usage", from_="2025-10-01T00:00:00Z", to="2025-11-01T00:00:00Z")
    assert others["totals"] == EMPTY


def test_ones_own_days_are_a_year_at_most(ada: Person, path: str) -> None:
    year = asked(ada, "/users/me/usage", from_="2024-01-01T00:00:00Z", to="2025-01-01T00:00:00Z")
    assert (year["totals"]["runs"], year["totals"]["credits"], len(year["days"])) == (366, "7.32", 366)
    assert [day["start"][:10] for day in year["days"]] == [
        f"{datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=number):%Y-%m-%d}" for number in range(366)
    ]
    edge = asked(ada, "/users/me/usage", from_="2025-10-25T23:59:59Z", to="2025-10-26T00:00:01Z")
    assert [(day["start"], day["totals"]["runs"]) for day in edge["days"]] == [
        ("2025-10-25T00:00:00Z", 1),
        ("2025-10-26T00:00:00Z", 3),
    ]
    for query in (
        "from=2024-01-01T00:00:00Z&to=2025-01-02T00:00:00Z",
        "from=2025-01-02T00:00:00Z&to=2025-01-01T00:00:00Z",
    ):
        problem = assert_problem(ada.client.get(f"/users/me/usage?{query}"), 422, "invalid_request")
        assert [error["parameter"] for error in problem["errors"]] == ["from"]


def test_after_the_job_has_folded_the_hours_everything_is_told_as_before(
    service: Service, ada: Person, path: str
) -> None:
    def told() -> list[dict[str, Any]]:
        whole = {"from_": "2025-10-01T00:00:00Z", "to": "2025-11-01T00:00:00Z"}
        year = {"from_": "2024-01-01T00:00:00Z", "to": "2025-01-01T00:00:00Z"}
        views = [
            asked(ada, f"{path}/analytics", bucket=bucket, by_version=divide, **whole)
            for bucket in ("hour", "day", "week")
            for divide in ("true", "false")
        ]
        return [*views, asked(ada, f"{path}/analytics", version=1, **whole), asked(ada, "/users/me/usage", **year)]

    before = told()
    operator = service.person("operator", Role.OPERATOR)
    operator.post("/jobs/schedules/fold-usage/trigger", expect=202)
    with service.database() as client:
        eventually(lambda: client["promptforge"]["usage_counters"].count_documents({}) == 0)
        assert client["promptforge"]["usage_rollups"].count_documents({}) > 12
    assert told() == before
