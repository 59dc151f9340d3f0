from __future__ import annotations

import pytest

from promptforge.core.identity import IdentityUnavailable
from promptforge.core.identity.tokens import ExpiredToken
from tests.unit.http.sample import ALICE, OPERATOR, serving

pytestmark = pytest.mark.anyio

PUBLIC = "/api/v1/things/abc"


async def test_without_a_header_public_operations_work_and_others_ask_to_sign_in() -> None:
    async with serving() as service:
        assert (await service.client.get(PUBLIC)).status_code == 200
        refused = await service.client.patch(PUBLIC, json={})
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
    assert refused.headers["www-authenticate"] == 'Bearer realm="promptforge"'


async def test_a_wrong_token_is_refused_on_public_operations_too() -> None:
    async with serving() as service:
        refused = await service.client.get(PUBLIC, headers={"authorization": "Bearer mallory"})
        assert service.things.received == []
    assert (refused.status_code, refused.json()["code"]) == (401, "invalid_token")
    assert refused.headers["www-authenticate"] == 'Bearer realm="promptforge", error="invalid_token"'


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer ", "Basic YTpi", "alice", "Bearer a b", "Bearer a,b", "Bearer =a"]
)
async def test_a_malformed_header_is_refused_and_nobody_is_asked_about_it(header: str) -> None:
    async with serving() as service:
        refused = await service.client.get(PUBLIC, headers={"authorization": header})
        assert service.principals.resolved == []
    assert (refused.status_code, refused.json()["code"]) == (401, "malformed_authorization")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_schemes_case_does_not_matter(scheme: str) -> None:
    async with serving() as service:
        response = await service.client.patch(PUBLIC, json={}, headers={"authorization": f"{scheme} alice"})
    assert response.status_code == 200


async def test_a_known_token_is_not_verified_again() -> None:
    async with serving() as service:
        for _ in range(3):
            await service.client.patch(PUBLIC, json={}, headers=ALICE)
        assert service.principals.resolved == [("alice", False)]


async def test_a_fresh_operation_verifies_the_token_each_time() -> None:
    async with serving() as service:
        for _ in range(2):
            assert (await service.client.delete(PUBLIC, headers=OPERATOR)).status_code == 204
        assert service.principals.resolved == [("operator", True)] * 2


async def test_an_expired_token_and_an_identity_provider_that_is_away_are_told_apart() -> None:
    async with serving() as service:
        service.principals.error = ExpiredToken()
        expired = await service.client.get(PUBLIC, headers=ALICE)
        service.principals.error = IdentityUnavailable()
        away = await service.client.get(PUBLIC, headers=ALICE)
    assert (expired.status_code, expired.json()["code"]) == (401, "token_expired")
    assert (away.status_code, away.json()["code"], away.json()["retryable"]) == (503, "identity_unavailable", True)


@pytest.mark.parametrize(
    ("token", "code"), [("suspended", "account_suspended"), ("program", "scope_missing"), ("alice", "forbidden")]
)
async def test_who_may_not_is_told_why(token: str, code: str) -> None:
    async with serving() as service:
        method = "DELETE" if token == "alice" else "PATCH"
        response = await service.client.request(method, PUBLIC, headers={"authorization": f"Bearer {token}"})
    assert (response.status_code, response.json()["code"]) == (403, code)
