"""The endpoints that no table has, as the same kinds of caller as those of the tables (test_permissions.py)."""

from __future__ import annotations

import pytest

from promptforge.http import docs, health, webhooks
from promptforge.http.app import OPENAPI_PATH
from promptforge.http.metrics import PATH as METRICS
from promptforge.http.metrics import SCOPE
from tests.acceptance.test_permissions import CALLERS, world
from tests.support.permission_world import World

__all__ = ["world"]

PUBLIC = ["/", docs.PATH, *docs.pages(OPENAPI_PATH), *health.PATHS, OPENAPI_PATH, "/problems", "/problems/not_found"]
REFUSED_METRICS = {
    "anonymous": (401, "unauthenticated"),
    **dict.fromkeys(
        ("other", "owner", "owner's key", "seller", "partner", "moderator", "suspended"), (403, "forbidden")
    ),
    "key without the scope": (403, "scope_missing"),
    "operator": None,
    "admin": None,
}


def headers_of(world: World, caller: str) -> dict[str, str]:
    if caller == "owner's key":
        return {"authorization": f"Bearer {world.keys[SCOPE]}"}
    if caller == "key without the scope":
        return {"authorization": f"Bearer {world.keys['only profile:read']}"}
    return {}


def ask(world: World, caller: str, method: str, path: str) -> tuple[int, str | None]:
    client = world.people.get(caller, world.people["anonymous"]).client
    base = f"http://127.0.0.1:{world.service.port}"
    response = client.request(method, base + path, headers=headers_of(world, caller))
    refused = response.headers.get("content-type") == "application/problem+json"
    return response.status_code, response.json()["code"] if refused else None


@pytest.mark.parametrize("caller", CALLERS)
def test_metrics_are_for_operators_and_their_programs(world: World, caller: str) -> None:
    expected = REFUSED_METRICS[caller] or (200, None)
    assert ask(world, caller, "GET", METRICS) == expected


@pytest.mark.parametrize("caller", CALLERS)
def test_pages_and_health_are_for_everybody_and_change_nothing(world: World, caller: str) -> None:
    for path in PUBLIC:
        assert ask(world, caller, "GET", path) == (200, None), path
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            assert ask(world, caller, method, path) == (405, "method_not_allowed"), path


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("path", [webhooks.PATH, webhooks.ALIAS])
def test_no_right_of_a_caller_takes_the_place_of_a_signature(world: World, caller: str, path: str) -> None:
    assert ask(world, caller, "POST", path) == (400, "bad_signature")
    assert ask(world, caller, "GET", path) == (405, "method_not_allowed")
