"""The sandbox as an ASGI application: Stripe's API, the control API and the pages for people."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import anyio
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from promptforge.deploy.sandbox import control, outside, pages
from promptforge.deploy.sandbox.api import OPERATIONS, Answer, Asking
from promptforge.deploy.sandbox.guard import is_local
from promptforge.deploy.sandbox.operations import Operation
from promptforge.deploy.sandbox.refusals import Refused, bad_key, invalid
from promptforge.deploy.sandbox.world import API_VERSION

if TYPE_CHECKING:
    from promptforge.deploy.sandbox.sandbox import Sandbox

CONTROLS = (*control.controls.declared, *outside.controls.declared)
MOST_BYTES = 1024 * 1024
Endpoint = Callable[[Request], Awaitable[Response]]


def build_app(sandbox: Sandbox) -> ASGIApp:
    routes = [Route(one.path, _operation(sandbox, one), methods=[one.method]) for one in OPERATIONS]
    routes += [Route(one.path, _control(sandbox, one), methods=[one.method]) for one in CONTROLS]
    routes += [Route(path, _page(sandbox, show), methods=["GET", "POST"]) for path, show in pages.PAGES.items()]
    routes.append(Route("/{path:path}", _unknown(sandbox), methods=["GET", "POST", "PUT", "DELETE", "PATCH"]))
    return LocalOnly(Starlette(routes=routes))


class LocalOnly:
    """Refuses requests to another name than this machine's own: pages of strangers could make them in a browser."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            host = next((value for name, value in scope["headers"] if name == b"host"), b"")
            if not is_local(host.decode("latin-1")):
                await Response("The sandbox is for this machine only.", 421)(scope, receive, send)
                return
        await self._app(scope, receive, send)


class HangUp(Response):
    """Begins an answer that never comes, so that the connection breaks."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"{", "more_body": True})


def check_key(request: Request, api_key: str) -> None:
    """Raises `Refused`. The key is a bearer token or, as with curl's `-u`, the user of Basic."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(given, validate=True).decode("utf-8").partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            given = ""
    if not given:
        raise bad_key(None)
    if given.strip() != api_key:
        raise bad_key(given.strip())


def check_version(request: Request) -> None:
    """Raises `Refused`: objects have other shapes in other versions, and the sandbox knows one."""
    version = request.headers.get("stripe-version", API_VERSION)
    if version != API_VERSION:
        raise invalid(f"Invalid Stripe API version: {version[:50]}. The sandbox speaks {API_VERSION}.")


async def read_body(request: Request) -> bytes:
    """Raises `Refused` for a body that is too long."""
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > MOST_BYTES:
            raise Refused(413, "invalid_request_error", "The request is too large.")
    return content


def _refusal(refused: Refused) -> Response:
    return JSONResponse(refused.body(""), refused.status, headers={"Stripe-Version": API_VERSION})


def _operation(sandbox: Sandbox, operation: Operation) -> Endpoint:
    async def answer(request: Request) -> Response:
        try:
            check_key(request, sandbox.settings.api_key)
            check_version(request)
            text = (await read_body(request)).decode("utf-8") if operation.method == "POST" else request.url.query
        except Refused as refused:
            return _refusal(refused)
        except (UnicodeDecodeError, ClientDisconnect):
            return Response(status_code=400)
        key = request.headers.get("idempotency-key")
        asking = Asking(
            url=request.url.path,
            text=text or "",
            ids=dict(request.path_params),
            sleep=_sleep_until_gone(request),
            account=request.headers.get("stripe-account"),
            key=key,
        )
        return _answered(await sandbox.api.call(operation, asking), key)

    return answer


def _sleep_until_gone(request: Request) -> Callable[[float], Awaitable[None]]:
    async def sleep(seconds: float) -> None:
        with anyio.move_on_after(seconds):
            while (await request.receive())["type"] != "http.disconnect":
                pass

    return sleep


def _answered(answer: Answer, key: str | None) -> Response:
    if answer.reply is None:
        return HangUp()
    headers = {"Request-Id": answer.reply.request_id, "Stripe-Version": API_VERSION}
    if key is not None:
        headers["Idempotency-Key"] = key
    if answer.replayed:
        headers |= {"Idempotent-Replayed": "true", "Original-Request": answer.reply.request_id}
    if answer.reply.should_retry is not None:
        headers["Stripe-Should-Retry"] = str(answer.reply.should_retry).lower()
    return Response(
        json.dumps(answer.reply.body, indent=2), answer.reply.status, headers=headers, media_type="application/json"
    )


def _control(sandbox: Sandbox, declared: control.Control) -> Endpoint:
    async def answer(request: Request) -> Response:
        try:
            check_key(request, sandbox.settings.api_key)
            body = await read_body(request)
            found = control.perform(declared, sandbox, request.path_params.get("id", ""), body)
        except Refused as refused:
            return _refusal(refused)
        except ClientDisconnect:
            return Response(status_code=400)
        return Response(control.answered(found), media_type="application/json")

    return answer


def _page(sandbox: Sandbox, show: pages.Show) -> Endpoint:
    async def answer(request: Request) -> Response:
        sandbox.world.timeline.catch_up()
        try:
            body = await read_body(request)
        except (Refused, ClientDisconnect):
            return Response(status_code=400)
        return pages.respond(show, sandbox.world, request.path_params["id"], body if request.method == "POST" else None)

    return answer


def _unknown(sandbox: Sandbox) -> Endpoint:
    async def answer(request: Request) -> Response:
        try:
            check_key(request, sandbox.settings.api_key)
        except Refused as refused:
            return _refusal(refused)
        message = f"Unrecognized request URL ({request.method}: {request.url.path}). The sandbox does not know it."
        return _refusal(Refused(404, "invalid_request_error", message))

    return answer
