"""Exports over HTTP: from asking to the file, whole and in parts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random

import duckdb
import httpx
import pandas as pd
import pytest

from tests.support.analytics_setups import EVENTS, plant_export, put_events
from tests.support.running import Person, eventually
from tests.support.service import DATABASE, Service, assert_problem, serving

CONTENT = Random(3).randbytes(700_000)
"""Three chunks."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("exports")) as started:
        yield started


@pytest.fixture(scope="module")
def ada(service: Service) -> Person:
    return service.person("ada")


@pytest.fixture(scope="module")
def planted(service: Service, ada: Person) -> str:
    """The path of a finished export's file."""
    with service.database() as client:
        return f"/analytics/exports/{plant_export(client[DATABASE], ada.get('/users/me')['id'], CONTENT)}/file"


def test_what_is_asked_for_is_downloaded_and_read_by_pandas_and_duckdb(
    service: Service, ada: Person, tmp_path: Path
) -> None:
    put_events(service, ada)
    asked = {form: ada.post("/analytics/exports", {"source": "events", "format": form}, expect=202) for form in FORMATS}
    for form, export in asked.items():
        path = f"/analytics/exports/{export['id']}"
        eventually(partial(is_finished, ada, path))
        ended = ada.get(path)
        assert (ended["rows"], ended["rows_expected"]) == (EVENTS, EVENTS)
        response = ada.client.get(f"{path}/file")
        assert response.headers["content-type"].startswith(FORMATS[form])
        assert response.headers["content-disposition"].startswith('attachment; filename="events-')
        assert response.headers["x-content-type-options"] == "nosniff"
        assert hashlib.sha256(response.content).hexdigest() == ended["sha256"]
        assert ada.client.get(f"/jobs/{export['job_id']}").json()["state"] == "completed"
        (tmp_path / f"events.{form}").write_bytes(response.content)
    assert pd.read_csv(tmp_path / "events.csv")["value"].sum() == sum(range(EVENTS))
    assert pd.read_parquet(tmp_path / "events.parquet")["value"].sum() == sum(range(EVENTS))
    with duckdb.connect() as database:
        for form in FORMATS:
            query = f"select count(*), count(distinct external_id), sum(value) from '{tmp_path}/events.{form}'"
            assert database.execute(query).fetchone() == (EVENTS, EVENTS, sum(range(EVENTS)))


def is_finished(person: Person, path: str) -> bool:
    return bool(person.get(path)["state"] == "finished")


FORMATS = {"csv": "text/csv", "jsonl": "application/x-ndjson", "parquet": "application/vnd.apache.parquet"}


def got(person: Person, path: str, **headers: str) -> httpx.Response:
    return person.client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})


def test_the_whole_file_and_every_part_are_its_bytes(ada: Person, planted: str) -> None:
    whole = got(ada, planted)
    assert (whole.status_code, whole.content, whole.headers["accept-ranges"]) == (200, CONTENT, "bytes")
    size = len(CONTENT)
    for header, start, end in [
        ("bytes=0-0", 0, 1),
        ("bytes=261119-261120", 261_119, 261_121),
        ("bytes=300000-", 300_000, size),
        ("bytes=-5", size - 5, size),
        ("bytes=699999-9999999", 699_999, size),
    ]:
        part = got(ada, planted, range=header, accept_encoding="gzip, br, zstd")
        assert (part.status_code, part.content) == (206, CONTENT[start:end]), header
        assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
        assert part.headers["content-length"] == str(end - start)
        assert part.headers["etag"] == whole.headers["etag"]
        assert "content-encoding" not in part.headers
    for header in ("bytes=0-1,5-6", "bytes=9-5", "bytes=x-", "items=0-5", "bytes"):
        assert got(ada, planted, range=header).content == CONTENT, header
    beyond = got(ada, planted, range=f"bytes={size}-")
    assert_problem(beyond, 416, "range_not_satisfiable")
    assert beyond.headers["content-range"] == f"bytes */{size}"


def test_what_broke_off_is_gone_on_with_if_it_is_still_the_same_file(ada: Person, planted: str) -> None:
    tag = got(ada, planted).headers["etag"]
    with ada.client.stream("GET", planted) as broken:
        first = next(broken.iter_raw(100_000))
    rest = got(ada, planted, range=f"bytes={len(first)}-", if_range=tag)
    assert (rest.status_code, first + rest.content) == (206, CONTENT)
    for other in ('"another"', f"W/{tag}", "Wed, 21 Oct 2026 07:28:00 GMT"):
        changed = got(ada, planted, range=f"bytes={len(first)}-", if_range=other)
        assert (changed.status_code, changed.content) == (200, CONTENT), other
    assert got(ada, planted, if_none_match=tag).status_code == 304
    head = ada.client.head(planted, headers={"range": "bytes=0-5"})
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(CONTENT)))


def test_a_file_is_its_owners_and_for_a_week(service: Service, ada: Person, planted: str) -> None:
    user_id, now = ada.get("/users/me")["id"], datetime.now(UTC)
    assert_problem(service.person("eve").client.get(planted), 404, "not_found")
    assert_problem(service.visitor.get(f"/api/v1{planted}"), 401, "unauthenticated")
    with service.database() as client:
        expired = plant_export(client[DATABASE], user_id, expires_at=now)
        running = plant_export(client[DATABASE], user_id, state="running", sweep_at=now + timedelta(hours=1))
    assert_problem(ada.client.get(f"/analytics/exports/{expired}/file"), 410, "export_expired")
    assert_problem(ada.client.get(f"/analytics/exports/{running}/file"), 409, "export_not_ready")
    assert_problem(ada.client.get("/analytics/exports/exp_none/file"), 404, "not_found")
    assert_problem(ada.client.get("/analytics/exports?cursor=%00"), 422, "invalid_request")
    assert_problem(ada.client.get("/analytics/exports?cursor=bm9uZQ"), 422, "invalid_request")
    for body in (
        {"source": "everything"},
        {"source": "events", "format": "xls"},
        {"source": "events", "from": "9999-01-01T00:00:00Z"},
    ):
        assert_problem(ada.client.post("/analytics/exports", json=body), 422, "invalid_request")
    ada.post(f"/analytics/exports/{running}/cancel", expect=200)
    assert_problem(ada.client.post(f"/analytics/exports/{running}/cancel", json={}), 409, "export_over")
