from __future__ import annotations

from collections.abc import Mapping

import anyio
import pytest

from promptforge.core.errors import DatabaseUnavailable
from promptforge.http.health import KNOWN_SECONDS, Health
from tests.unit.http.sample import Parts, serving

pytestmark = pytest.mark.anyio


async def good() -> Mapping[str, object]:
    return {"lag_seconds": 0.5}


async def bad() -> Mapping[str, object]:
    raise DatabaseUnavailable("mongo-7.internal is away")


async def hanging() -> Mapping[str, object]:
    await anyio.sleep_forever()
    return {}


async def test_the_report_tells_version_probes_and_actors() -> None:
    async with serving(Parts(probes={"mongodb": good, "jobs": good})) as service:
        response = await service.client.get("/health")
    report = response.json()
    assert response.status_code == 200
    assert (report["status"], report["version"]) == ("ok", "1.2.3")
    assert report["mongodb"]["ok"] is True
    assert report["mongodb"]["latency_ms"] >= 0
    assert report["jobs"]["lag_seconds"] == 0.5
    assert report["actors"] == {"ok": True, "states": {"things": "running"}}


async def test_a_failing_probe_makes_it_503_and_says_nothing_about_hosts() -> None:
    async with serving(Parts(probes={"mongodb": bad, "jobs": good})) as service:
        full = await service.client.get("/health")
        ready = await service.client.get("/health/ready")
        live = await service.client.get("/health/live")
    assert (full.status_code, ready.status_code, live.status_code) == (503, 503, 200)
    assert full.json()["mongodb"] == {"ok": False}
    assert full.json()["jobs"]["ok"] is True
    assert ready.json() == {"status": "unavailable"}
    assert "internal" not in full.text


async def test_a_probe_that_hangs_is_given_up_in_its_own_time() -> None:
    async with serving() as service:
        health = Health(service.system, version="1", probes={"mongodb": hanging, "jobs": good}, timeout_seconds=0.05)
        with anyio.fail_after(60):
            report = await health.report()
    assert (report["status"], report["mongodb"]["ok"], report["jobs"]["ok"]) == ("unavailable", False, True)


async def test_probes_are_asked_once_however_many_want_to_know(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, now = 0, 100.0
    monkeypatch.setattr("promptforge.http.health.perf_counter", lambda: now)
    answer = anyio.Event()

    async def slow() -> Mapping[str, object]:
        nonlocal asked
        asked += 1
        await answer.wait()
        return {}

    async with serving(Parts(probes={"mongodb": slow})) as service:
        statuses: list[int] = []

        async def get(path: str) -> None:
            statuses.append((await service.client.get(path)).status_code)

        async with anyio.create_task_group() as tasks:
            with anyio.move_on_after(0.05):
                await service.client.get("/health")  # who leaves takes nothing from the others
            for _ in range(5):
                tasks.start_soon(get, "/health")
                tasks.start_soon(get, "/health/ready")
            await anyio.sleep(0.05)
            answer.set()
        await get("/health")
        assert (statuses, asked) == ([200] * 11, 1)
        service.system.draining = True  # known without asking
        assert (await service.client.get("/health/ready")).json() == {"status": "stopping"}
        service.system.draining = False
        assert asked == 1
        now += KNOWN_SECONDS
        await get("/health")
        assert asked == 2


async def test_a_draining_process_is_not_ready_and_lives() -> None:
    async with serving(Parts(probes={"mongodb": good})) as service:
        service.system.draining = True
        assert (await service.client.get("/health/ready")).json() == {"status": "stopping"}
        assert (await service.client.get("/health/ready")).status_code == 503
        assert (await service.client.get("/health/live")).status_code == 200
        service.system.draining = False


async def test_the_welcome_names_the_service_and_its_pages() -> None:
    async with serving() as service:
        welcome = (await service.client.get("/")).json()
        assert (welcome["name"], welcome["version"]) == ("PromptForge", "1.2.3")
        for link in welcome["links"].values():
            assert (await service.client.get(link)).status_code == 200
