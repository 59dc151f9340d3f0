"""What serving a compiled prompt costs, beside constant JSON of the same size behind the same middleware.

Two baselines: a bare Starlette route with fixed bytes behind the edge (no token is looked at, nothing is counted), and
an operation of a table whose handler answers a constant (token, rate and authorisation as everywhere).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.bench.load import CONNECTIONS, Contender, beside, compare
from tests.bench.table import Row, print_rows
from tests.support.running import Person, RunningService

CONTENT = "Summarise {{article}} for {{reader}}. " * 50

_CONSTANT = """
import json, logging, sys, anyio, structlog
from collections.abc import Mapping
from dataclasses import dataclass
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute
from promptforge.core.messages import Query, requires
from promptforge.core.principal import Principal
from promptforge.core.runtime import Actor, System, handles
from promptforge.deploy.server import bind, serve
from promptforge.http.app import Collaborators, HttpSettings, build_app
from promptforge.http.routing import get
from promptforge.http.rates import RateClass

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
BODY = sys.argv[2].encode()
VALUE = json.loads(BODY)

@dataclass(frozen=True, slots=True)
class ConstantView:
    '''A constant.'''
    value: dict

CONSTANT = ConstantView(VALUE)

@requires(scope="prompts:read")
class GetConstant(Query[ConstantView]):
    '''Read a constant.'''

class ConstantActor(Actor):
    name = "constant"
    @handles(GetConstant)
    async def get(self, message, context):
        return CONSTANT

class Known:
    def cached(self, token):
        return Principal("usr_1", "bench")
    async def resolve(self, token, *, fresh=False):
        return Principal("usr_1", "bench")

async def constant(request):
    return Response(BODY, media_type="application/json")

async def main():
    settings = HttpSettings(version="1", rate_limits=("serving=100000000/minute",))
    async with System([ConstantActor()]).running() as system:
        routes = [get("/constant", GetConstant, rate=RateClass.SERVING)]
        app = build_app(system, Collaborators(principals=Known(), probes={}), settings=settings, routes=routes)
        app.router.routes.insert(0, StarletteRoute("/bare", constant))
        await serve(app, bind("127.0.0.1", int(sys.argv[1])), shutdown=anyio.sleep_forever, grace_seconds=1)

anyio.run(main, backend_options={"use_uvloop": True})
"""


def _prepare(person: Person) -> str:
    prompt = person.post("/prompts", {"name": "Served", "first_version": {"content": CONTENT}}, expect=201)
    identifier: str = prompt["id"]
    person.call("PUT", f"/prompts/{identifier}/labels/production", {"version": 1}, expect=200)
    return identifier


def run() -> None:
    """Print rates and CPU of the compiled prompt and of both baselines."""
    with tempfile.TemporaryDirectory() as directory:
        service = RunningService(Path(directory), LOG_LEVEL="warning")
        service.start()
        try:
            person = service.person("bench")
            path = f"/prompts/{_prepare(person)}/compiled"
            body = person.client.get(path).text
            with beside(_CONSTANT, body) as (port, pid):
                headers = {"Authorization": person.client.headers["authorization"]}
                contenders: dict[str, Contender] = {
                    "bare constant": (pid, port, "/bare", headers),
                    "constant operation": (pid, port, "/api/v1/constant", headers),
                    "compiled prompt": (service.pid, service.port, f"/api/v1{path}", headers),
                }
                _print(contenders, len(body))
        finally:
            service.stop()


def _print(contenders: dict[str, Contender], size: int) -> None:
    rates, costs = compare(contenders)
    print_rows(
        f"CPU of the server per request ({size} bytes)",
        [
            Row("bare constant", costs["bare constant"], "µs"),
            Row("constant operation", costs["constant operation"], "µs", "bare constant"),
            Row("compiled prompt", costs["compiled prompt"], "µs", "constant operation", "≤ 1.11 ×"),
        ],
    )
    print_rows(
        f"Requests per second over {CONNECTIONS} connections",
        [
            Row("bare constant", rates["bare constant"], "/s"),
            Row("constant operation", rates["constant operation"], "/s", "bare constant"),
            Row("compiled prompt", rates["compiled prompt"], "/s", "constant operation", "≥ 0.90 ×"),
            Row("compiled prompt ", rates["compiled prompt"], "/s", "bare constant"),
        ],
    )
