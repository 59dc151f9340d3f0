"""Handles, exports and suspensions over HTTP, with a second process beside the first."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from promptforge.core.principal import Role
from tests.support.running import eventually
from tests.support.service import Service, assert_problem, serving


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("life")) as started:
        yield started


@pytest.fixture(scope="module")
def other(service: Service) -> Iterator[Service]:
    """Another process on the same database."""
    with serving(service.directory) as started:
        yield started


def test_an_old_handle_leads_to_the_new_one(service: Service) -> None:
    ada = service.person("ada")
    for handle in ("first-one", "second-one"):
        ada.call("PATCH", "/users/me", {"handle": handle}, expect=200)
    answer = ada.client.get("/users/FIRST-one")
    assert_problem(answer, 308, "handle_moved")
    followed = ada.client.get(answer.headers["location"] if answer.next_request is None else answer.next_request.url)
    assert (followed.status_code, followed.json()["handle"]) == (200, "second-one")


def test_ones_data_come_as_a_file_whole_and_by_range(service: Service) -> None:
    mia = service.person("mia")
    mia.call("PATCH", "/users/me", {"bio": "I keep bees"}, expect=200)
    assert mia.post("/users/me/export", {}, expect=202)["state"] == "queued"
    eventually(lambda: mia.get("/users/me/export")["state"] == "finished")
    whole = mia.client.get("/users/me/export/file")
    assert (whole.status_code, whole.headers["content-type"]) == (200, "application/zip")
    part = mia.client.get("/users/me/export/file", headers={"Range": "bytes=10-"})
    assert (part.status_code, part.content) == (206, whole.content[10:])
    with zipfile.ZipFile(io.BytesIO(whole.content)) as archive:
        assert "I keep bees" in archive.read("users.json").decode()
    assert_problem(service.person("noa").client.get("/users/me/export/file"), 404, "not_found")


def test_a_suspension_counts_in_every_process_for_tokens_and_keys(service: Service, other: Service) -> None:
    admin, eve = service.person("root", Role.ADMIN), other.person("eve")
    user_id = eve.get("/users/me")["id"]
    made = eve.post("/users/me/api-keys", {"name": "x", "scopes": ["profile:write"]}, expect=201)
    program = {"Authorization": f"Bearer {made['secret']}"}

    def edit(**headers: str) -> httpx.Response:
        return eve.client.patch("/users/me", json={"bio": "Hello"}, headers=headers)

    assert edit().status_code == edit(**program).status_code == 200
    admin.post(f"/ops/users/{user_id}/suspend", {"reason": "A test of suspensions"}, expect=200)
    assert_problem(_until(edit, 403), 403, "account_suspended")
    assert_problem(_until(lambda: edit(**program), 403), 403, "account_suspended")
    assert eve.get("/users/me")["suspended"] is True, "one may look at what is one's own"
    admin.post(f"/ops/users/{user_id}/reinstate", {"reason": "It was a mistake"}, expect=200)
    assert _until(edit, 200).status_code == 200


def test_of_administrators_one_stays_even_where_both_leave_at_once(tmp_path: Path) -> None:
    with serving(tmp_path) as here, serving(tmp_path) as there:
        ada, bob = here.person("ada", Role.ADMIN), there.person("bob")
        bob_id = bob.get("/users/me")["id"]
        refused = ada.client.delete("/users/me")
        assert_problem(refused, 409, "deletion_blocked")
        assert refused.json()["obstacles"] == ["last_administrator"]
        assert "PUT /api/v1/ops/users/{id}/roles" in refused.json()["detail"]
        roles = {"roles": ["admin"], "expected": ["user"], "reason": "Runs it from tomorrow on"}
        ada.call("PUT", f"/ops/users/{bob_id}/roles", roles, expect=200)
        for _ in range(5):
            with ThreadPoolExecutor(2) as pool:
                statuses = list(pool.map(lambda one: one.client.delete("/users/me").status_code, (ada, bob)))
            assert sorted(statuses) == [202, 409]
            leaving = (ada, bob)[statuses.index(202)]
            leaving.post("/users/me/deletion/cancel", {}, expect=200)


def _until(send: Any, status: int) -> httpx.Response:  # Any: a request
    answer: httpx.Response = eventually(lambda: found if (found := send()).status_code == status else None)
    return answer
