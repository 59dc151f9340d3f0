"""What the edge costs: CPU per request of the whole service, beside bare Starlette routes on Hypercorn as it comes.

The service is as in production: ids, sign-in from the cache, rates, headers, access log. Each contender is a process of
its own, measured by its own CPU time and by the rate a client gets over keep-alive connections. Rounds alternate, so
that a noisy machine is noisy for all of them.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from promptforge.core.mongo import EmbeddedMongod
from promptforge.core.principal import Role
from tests.bench.load import CONNECTIONS, Contender, beside, compare
from tests.bench.table import Row, print_rows
from tests.support.running import Person, RunningService

_BARE = """
import sys, uvloop
from hypercorn.asyncio import serve
from hypercorn.config import Config
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from motor.motor_asyncio import AsyncIOMotorClient

async def hello(request):
    return JSONResponse({"id": request.path_params["id"], "name": "Name", "kind": "text", "tags": []})

async def find(request):
    row = await versions.find_one({"_id": request.path_params["id"]})
    row["created_at"] = row["created_at"].isoformat()
    return JSONResponse(row)

async def main():
    global versions
    versions = AsyncIOMotorClient(sys.argv[2])["promptforge"]["prompt_versions"]
    routes = [Route("/hello/{id}", hello), Route("/find/{id}", find)]
    config = Config()
    config.bind = [f"127.0.0.1:{sys.argv[1]}"]
    config.accesslog = config.errorlog = None
    await serve(Starlette(routes=routes), config)

uvloop.run(main())
"""


def _prepare(person: Person) -> str:
    prompt = person.post("/prompts", {"name": "Benchmarked"}, expect=201)
    person.post(f"/prompts/{prompt['id']}/versions", {"content": "Say {{word}}. " * 100}, expect=201)
    identifier: str = prompt["id"]
    return identifier


def run() -> None:
    """Print rates and CPU of the routes and of their baselines."""
    with tempfile.TemporaryDirectory() as directory:
        service = RunningService(Path(directory), LOG_LEVEL="info")
        service.start()
        try:
            person = service.person("bench", Role.OPERATOR)
            prompt = _prepare(person)
            server = EmbeddedMongod.start(service.data_dir / "mongo")
            with beside(_BARE, server.url) as (port, pid):
                _compare(service, person, prompt, bare=(port, pid))
            server.stop()
        finally:
            service.stop()


def _compare(service: RunningService, person: Person, prompt: str, *, bare: tuple[int, int]) -> None:
    headers = {"Authorization": person.client.headers["authorization"]}
    bare_port, bare_pid = bare
    contenders: dict[str, Contender] = {
        "bare route": (bare_pid, bare_port, "/hello/x", {}),
        "routed, signed in, actor": (service.pid, service.port, "/api/v1/ops/dead-letters", headers),
        "bare Motor find_one": (bare_pid, bare_port, f"/find/{prompt}:0000001", {}),
        "one prompt version": (service.pid, service.port, f"/api/v1/prompts/{prompt}/versions/1", headers),
    }
    rates, costs = compare(contenders)
    pairs = zip(costs["routed, signed in, actor"], costs["bare route"], strict=True)
    more = [stack - bare for stack, bare in pairs]
    print_rows(
        "CPU of the server per request",
        [
            Row("bare route", costs["bare route"], "µs"),
            Row("routed, signed in, actor", costs["routed, signed in, actor"], "µs", "bare route"),
            Row("how much more that is", more, "µs", None, "≤ 150 µs"),
            Row("bare Motor find_one", costs["bare Motor find_one"], "µs", "bare route"),
            Row("one prompt version", costs["one prompt version"], "µs", "bare Motor find_one"),
        ],
    )
    print_rows(
        f"Requests per second over {CONNECTIONS} connections",
        [
            Row("bare Motor find_one", rates["bare Motor find_one"], "/s"),
            Row("one prompt version", rates["one prompt version"], "/s", "bare Motor find_one", "≥ 0.70 ×"),
        ],
    )
