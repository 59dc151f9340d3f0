"""Production identity in the whole service, over a real socket: what callers are told, also during outages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import httpx
import pytest

from promptforge.core.identity.firebase import FirebaseVerifier
from promptforge.core.mongo import EmbeddedMongod, Mongo
from promptforge.deploy import server, service
from promptforge.deploy.payments import open_payments
from promptforge.deploy.settings import Settings
from tests.integration.identity.test_production import forged
from tests.support.google import PROJECT, Google, SigningKey
from tests.support.waiving import WAIVED

pytestmark = pytest.mark.anyio
ME = "/users/me"


@pytest.fixture
async def api(
    mongod: EmbeddedMongod, mongo: Mongo, verifier: FirebaseVerifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the service as it is served, whose verifier asks the loopback Google."""
    monkeypatch.setattr(service, "make_verifier", lambda settings: verifier)
    settings = Settings(
        mongo_url=mongod.url, mongo_db=mongo.name, firebase_project_id=PROJECT, data_dir=tmp_path, grace_seconds=1
    )
    stop = anyio.Event()
    listener = server.bind("127.0.0.1", 0)
    base_url = f"http://127.0.0.1:{listener.getsockname()[1]}/api/v1"
    async with (
        open_payments(settings, port=listener.getsockname()[1]) as complete,
        service.open_service(complete) as running,
        anyio.create_task_group() as tasks,
    ):

        async def serve() -> None:
            await server.serve(running.app, listener, shutdown=stop.wait, grace_seconds=1)

        tasks.start_soon(serve)
        async with httpx.AsyncClient(base_url=base_url, timeout=30) as client:
            yield client
        stop.set()
    listener.detach()  # Hypercorn has closed it


async def get(api: httpx.AsyncClient, token: str) -> httpx.Response:
    return await api.get(ME, headers={"authorization": f"Bearer {token}"})


async def buy(api: httpx.AsyncClient, token: str) -> httpx.Response:
    """The beginning of a purchase of credits: a route where money moves."""
    pack = (await api.get("/billing/packs")).json()["packs"][0]["id"]
    headers = {"authorization": f"Bearer {token}"}
    return await api.post("/billing/checkouts", json={"pack_id": pack, **WAIVED}, headers=headers)


def assert_refused(response: httpx.Response, status: int, code: str, *, retryable: bool = False) -> None:
    said = response.json()
    assert (response.status_code, said["code"], said["retryable"]) == (status, code, retryable)


async def test_a_good_token_is_let_in_and_forged_ones_are_not(api: httpx.AsyncClient, key: SigningKey) -> None:
    assert (await get(api, key.token())).json()["email"] == "carla@example.com"
    for token in (forged("none"), forged("HS256", key.certificate), key.token(aud="another"), key.token(key_id="x")):
        assert_refused(await get(api, token), 401, "invalid_token")
    assert_refused(await get(api, key.token(exp=1)), 401, "token_expired")


async def test_without_certificates_nothing_is_decided_and_callers_may_try_again(
    api: httpx.AsyncClient, key: SigningKey, source: Google
) -> None:
    source.down = True
    refused = await get(api, key.token())
    assert_refused(refused, 503, "identity_unavailable", retryable=True)
    assert int(refused.headers["retry-after"]) >= 1


async def test_while_accounts_cannot_be_asked_about_people_stay_signed_in_and_money_stays_where_it_is(
    api: httpx.AsyncClient, key: SigningKey, source: Google
) -> None:
    token = key.token()
    source.look_up_status = 403
    assert (await get(api, token)).status_code == 200
    assert_refused(await buy(api, token), 503, "identity_unavailable", retryable=True)
    source.look_up_status = 200
    assert (await buy(api, token)).status_code == 201


async def test_an_ordinary_route_asks_about_a_session_once_and_a_money_route_each_time(
    api: httpx.AsyncClient, key: SigningKey, source: Google
) -> None:
    token = key.token()
    for _ in range(3):
        assert (await get(api, token)).status_code == 200
    assert source.look_ups == ["carla"]
    for _ in range(2):
        assert (await buy(api, token)).status_code == 201
    assert source.look_ups == ["carla"] * 3
