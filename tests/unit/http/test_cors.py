from __future__ import annotations

import pytest

from promptforge.core.errors import ConfigurationError
from promptforge.http.app import HttpSettings
from promptforge.http.cors import Cors
from tests.unit.http.sample import Parts, serving

pytestmark = pytest.mark.anyio

APP = "https://app.example.com"
ALLOWED = Parts(settings=HttpSettings(version="1", allowed_origins=(APP, "http://localhost:3000")))
PREFLIGHT = {"access-control-request-method": "PATCH", "access-control-request-headers": "authorization"}


@pytest.mark.parametrize("path", ["/api/v1/things/abc", "/api/v1/nothing", "/health"])
@pytest.mark.parametrize("origin", [APP, "http://localhost:3000"])
async def test_an_allowed_origin_may_read_every_answer_problems_too(path: str, origin: str) -> None:
    async with serving(ALLOWED) as service:
        headers = (await service.client.get(path, headers={"origin": origin})).headers
    assert headers["access-control-allow-origin"] == origin
    assert headers["access-control-allow-credentials"] == "true"
    assert "X-Request-ID" in headers["access-control-expose-headers"]
    assert headers["vary"] == "Origin"


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example.com.evil.net",
        "https://evil-app.example.com",
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://APP.example.com",
        "null",
        "*",
    ],
)
async def test_another_origin_gets_no_permission(origin: str) -> None:
    async with serving(ALLOWED) as service:
        read = await service.client.get("/api/v1/things/abc", headers={"origin": origin})
        asked = await service.client.options("/api/v1/things/abc", headers={"origin": origin, **PREFLIGHT})
    for response in (read, asked):
        assert not [name for name in response.headers if name.startswith("access-control")]
        assert response.headers["vary"] == "Origin"


async def test_a_preflight_is_answered_without_a_token_and_may_be_kept() -> None:
    async with serving(ALLOWED) as service:
        response = await service.client.options("/api/v1/things/abc", headers={"origin": APP, **PREFLIGHT})
        assert service.principals.resolved == []
    assert response.status_code == 204
    assert response.headers["access-control-allow-origin"] == APP
    assert "PATCH" in response.headers["access-control-allow-methods"]
    assert "Idempotency-Key" in response.headers["access-control-allow-headers"]
    assert int(response.headers["access-control-max-age"]) > 600


async def test_without_origins_nothing_is_said_about_them() -> None:
    async with serving() as service:
        response = await service.client.get("/api/v1/things/abc", headers={"origin": APP})
    assert "vary" not in response.headers
    assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize("origin", ["*", "app.example.com", "https://app.example.com/", "https://App.example.com", ""])
async def test_what_is_no_origin_stops_the_start(origin: str) -> None:
    with pytest.raises(ConfigurationError, match="ALLOWED_ORIGIN"):
        Cors([origin])
