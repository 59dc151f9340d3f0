"""Whether this process lives, and whether it can serve: `/health/live`, `/health/ready`, `/health`.

Live says only that the event loop runs: a database that is away is no reason to restart anything. Ready and the full
report ask every probe, each within its own short time, and the actors. What the probes said is known for a second, and
who asks while they are being asked waits for the same answer: however many ask, the database is asked once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter
from typing import Any

import orjson
import structlog
from starlette.requests import Request
from starlette.responses import Response

from promptforge.core.runtime import System

log = structlog.get_logger(__name__)

PROBE_TIMEOUT_SECONDS = 2.0
KNOWN_SECONDS = 1.0

Probe = Callable[[], Awaitable[Mapping[str, object]]]
"""Answers with what is worth telling (JSON); raises where the thing cannot be used."""


class Health:
    """`probes`: name → probe, such as `mongodb` and `jobs`."""

    def __init__(
        self,
        system: System,
        *,
        version: str,
        probes: Mapping[str, Probe],
        timeout_seconds: float = PROBE_TIMEOUT_SECONDS,
    ) -> None:
        self._system = system
        self._version = version
        self._probes = dict(probes)
        self._timeout = timeout_seconds
        self._asking: asyncio.Task[dict[str, dict[str, object]]] | None = None
        self._known_until = 0.0

    async def live(self, request: Request) -> Response:
        return _json({"status": "ok"}, 200)

    async def ready(self, request: Request) -> Response:
        report = await self.report()
        return _json({"status": report["status"]}, 200 if report["status"] == "ok" else 503)

    async def full(self, request: Request) -> Response:
        report = await self.report()
        return _json(report, 200 if report["status"] == "ok" else 503)

    async def report(self) -> dict[str, Any]:  # Any: JSON
        """`status` is ok, stopping or unavailable; beside it one entry for each probe and one for the actors."""
        checks = await self._checks()
        actors = {snapshot.name: snapshot.state.value for snapshot in self._system.inspect()}
        if self._system.draining:
            status = "stopping"
        elif self._system.ready and all(check["ok"] for check in checks.values()):
            status = "ok"
        else:
            status = "unavailable"
        return {
            "status": status,
            "version": self._version,
            **checks,
            "actors": {"ok": self._system.ready, "states": actors},
        }

    async def _checks(self) -> dict[str, dict[str, object]]:
        asking = self._asking
        if asking is None or (asking.done() and (asking.cancelled() or perf_counter() >= self._known_until)):
            self._asking = asking = asyncio.create_task(self._ask_all())
        return await asyncio.shield(asking)  # one who leaves takes nothing from the others

    async def _ask_all(self) -> dict[str, dict[str, object]]:
        results = await asyncio.gather(*(self._ask(name, probe) for name, probe in self._probes.items()))
        self._known_until = perf_counter() + KNOWN_SECONDS
        return dict(zip(self._probes, results, strict=True))

    async def _ask(self, name: str, probe: Probe) -> dict[str, object]:
        started = perf_counter()
        try:
            async with asyncio.timeout(self._timeout):
                told = await probe()
        except Exception as error:  # noqa: BLE001  # whatever a probe raises means the same; what it says may name hosts
            log.warning("health.probe_failed", probe=name, error=type(error).__name__, detail=str(error))
            return {"ok": False}
        return {"ok": True, "latency_ms": round((perf_counter() - started) * 1000, 3), **told}


def _json(value: object, status: int) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")


_REPORT = {
    "type": "object",
    "required": ["status"],
    "properties": {
        "status": {"enum": ["ok", "stopping", "unavailable"]},
        "version": {"type": "string"},
    },
    "additionalProperties": {"type": "object", "required": ["ok"], "properties": {"ok": {"type": "boolean"}}},
}


def _described(operation: str, summary: str) -> dict[str, Any]:  # Any: JSON
    well = {"application/json": {"schema": _REPORT, "example": {"status": "ok", "version": "0.1.0"}}}
    unwell = {"application/json": {"schema": _REPORT, "example": {"status": "unavailable", "mongodb": {"ok": False}}}}
    return {
        "get": {
            "operationId": operation,
            "tags": ["system"],
            "summary": summary,
            "security": [],
            "responses": {
                "200": {"description": "Yes", "content": well},
                "503": {"description": "No", "content": unwell},
            },
        }
    }


PATHS: dict[str, Any] = {  # Any: JSON
    "/health": _described("getHealth", "Whether this process can serve, part by part"),
    "/health/live": _described("getLiveness", "Whether this process lives"),
    "/health/ready": _described("getReadiness", "Whether this process can serve"),
}
