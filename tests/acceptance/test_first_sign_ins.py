"""Everybody who signs in for the first time, fifty times at once, over sockets to two processes, is one user."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from promptforge.core.identity import mint
from promptforge.core.principal import Role
from promptforge.deploy.settings import DEMO_PROJECT
from tests.support.running import PATIENCE_SECONDS, PLAIN
from tests.support.service import DATABASE, Service, serving

AT_ONCE = 50


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Service]]:
    with serving(tmp_path_factory.mktemp("newcomers")) as first:
        second = Service(first.directory)
        second.start()
        yield first, second
        second.terminate()


@pytest.mark.parametrize("role", [Role.USER, Role.SELLER])
def test_first_requests_at_once_make_one_user_with_one_project(processes: tuple[Service, Service], role: Role) -> None:
    """Whose role is in the audit log is made in a transaction, others are not."""
    together = threading.Barrier(AT_ONCE)
    uid = f"newcomer-{role.value}"

    def arrive(number: int) -> tuple[int, str]:
        token = mint(uid, project_id=DEMO_PROJECT, roles=(role,))  # each their own: no cache knows two of them
        headers = {"Authorization": f"Bearer {token}", "X-Request-ID": f"arrival-{number}"}
        with httpx.Client(
            base_url=processes[number % 2].base_url, verify=PLAIN, timeout=PATIENCE_SECONDS, headers=headers
        ) as client:
            together.wait()
            answer = client.get("/api/v1/users/me")
        return answer.status_code, answer.json().get("id")

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = set(pool.map(arrive, range(AT_ONCE)))
    ((status, user_id),) = answers
    assert status == 200
    with processes[0].database() as client:
        database = client[DATABASE]
        assert database["users"].count_documents({"uid": uid}) == 1
        assert database["projects"].count_documents({"personal_of": user_id}) == 1
        changed = database["audit_log"].count_documents({"action": "user.roles_changed", "target": user_id})
    assert changed == (0 if role is Role.USER else 1)
