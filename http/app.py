"""The ASGI application: the tables' routes, the few endpoints written by hand, and the edge around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import orjson
from limits.aio.storage import Storage
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute
from starlette.types import ASGIApp
from starlette_compress import CompressMiddleware

from promptforge.actors.notifications.mail.messages import Unsubscribe
from promptforge.actors.partnerships.referrals.messages import FollowReferralLink
from promptforge.core.principal import Principal
from promptforge.core.runtime import System
from promptforge.core.sheets import Sheet
from promptforge.http import app_tokens, docs, health, oauth_metadata, referring, unsubscribing, webhooks
from promptforge.http.auth import Authenticator, Principals
from promptforge.http.bells import Bells
from promptforge.http.binding import binder_of
from promptforge.http.body import BodyLimits
from promptforge.http.cors import Cors
from promptforge.http.cursors import CursorKeys
from promptforge.http.disconnects import Disconnects
from promptforge.http.dispatch import Dispatcher
from promptforge.http.downloads import DownloadEndpoint
from promptforge.http.endpoint import Edge, Endpoint
from promptforge.http.errors import MethodNotAllowed, NoSuchPath
from promptforge.http.fixed import Fixed
from promptforge.http.following import FollowEndpoint, Following
from promptforge.http.health import Health, Probe
from promptforge.http.idempotency import Replies
from promptforge.http.live import LiveEndpoint, OpenStreams
from promptforge.http.metrics import PATH as METRICS_PATH
from promptforge.http.metrics import Metrics, Scraped
from promptforge.http.middleware import EdgeMiddleware, Translate, translate_nothing
from promptforge.http.openapi import document
from promptforge.http.problems import catalogue
from promptforge.http.rates import Rates
from promptforge.http.routing import API_PREFIX, Route, check
from promptforge.http.sheets import SheetEndpoint
from promptforge.http.streams import StreamEndpoint
from promptforge.http.uploads import UploadEndpoint

OPENAPI_PATH = API_PREFIX + "/openapi.json"
UNCOUNTED = frozenset({"/health/live", "/health/ready", METRICS_PATH})
"""Paths that are asked for by programs that must not be kept out because of a stranger at their address; `/metrics`
counts those whom it refuses."""


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """What an operator decides about the edge.

    `webhook_secrets` are Stripe's; without one, its events are refused. The first of `secrets` seals cursors, each of
    them opens; without one, cursors are good in this process only. `https_only`: browsers are told so. `base_url`:
    where clients find this service, without a slash at its end.
    """

    version: str
    allowed_origins: tuple[str, ...] = ()
    webhook_secrets: webhooks.WebhookSecrets = field(default_factory=webhooks.WebhookSecrets)
    body: BodyLimits = field(default_factory=BodyLimits)
    rate_limits: tuple[str, ...] = ()
    trusted_proxies: int = 0
    metrics_token: str | None = None
    secrets: tuple[str, ...] = ()
    https_only: bool = False
    base_url: str = ""


@dataclass(frozen=True, slots=True)
class Collaborators:
    """What the edge asks of the rest of the process.

    `principals` know tokens; `probes` (name → probe) feed `/health`; `translate` turns a database driver's error that
    reached the edge into one of ours; `metrics` are served at `/metrics`; `counters` are those of rates that processes
    share; `replies` keep those of requests with an Idempotency-Key; `following` wakes event streams of notifications.
    """

    principals: Principals
    probes: Mapping[str, Probe]
    translate: Translate = translate_nothing
    metrics: Scraped | None = None
    counters: Storage | None = None
    replies: Replies | None = None
    following: Following | None = None


def build_app(
    system: System, collaborators: Collaborators, *, settings: HttpSettings, routes: Sequence[Route]
) -> Starlette:
    """Compile the tables and put the application together.

    Raises `ConfigurationError` for a table that could not be served as written, and for an origin that is none.
    """
    check(routes, system.bindings)
    rates = Rates(settings.rate_limits, shared=collaborators.counters)
    edge = Edge(
        system,
        Authenticator(collaborators.principals, rates),
        settings.body,
        Disconnects(),
        rates,
        CursorKeys(settings.secrets),
        collaborators.replies,
    )
    endpoints = _endpoints(routes, edge, collaborators)
    webhook = webhooks.StripeWebhook(system, rates, secrets=settings.webhook_secrets)
    direct: dict[str, ASGIApp] = {
        webhooks.PATH: webhook,
        webhooks.ALIAS: webhook,
        app_tokens.PATH: app_tokens.token_endpoint(system, rates),
        app_tokens.REVOCATION_PATH: app_tokens.revocation_endpoint(system, rates),
        **_unsubscribing(system, rates),
        **_referring(system, rates),
    }
    app = Starlette(
        routes=[
            *_pages(settings.version, described(tuple(routes), settings.version)),
            StarletteRoute(oauth_metadata.PATH, oauth_metadata.page(settings.base_url, routes).respond),
            *_health(Health(system, version=settings.version, probes=collaborators.probes)),
            *_metrics(edge.authenticator, rates, collaborators.metrics, settings),
        ],
        middleware=[
            Middleware(
                EdgeMiddleware,
                cors=Cors(settings.allowed_origins),
                translate=collaborators.translate,
                trusted_proxies=settings.trusted_proxies,
                https_only=settings.https_only,
            ),
            Middleware(
                Dispatcher,
                endpoints=endpoints,
                rates=rates,
                uncounted=UNCOUNTED,
                direct=direct,
            ),
        ],
        exception_handlers={HTTPException: _not_served},
    )
    app.router.redirect_slashes = False
    return app


@lru_cache(maxsize=8)
def described(routes: tuple[Route, ...], version: str) -> bytes:
    """The OpenAPI document of these tables, as JSON. With all that it needs compiled, it is most of what a start costs,
    so a process makes it once, also for several applications.
    """
    extra_paths = {**health.PATHS, **webhooks.PATHS, **app_tokens.PATHS}
    table = [(route, binder_of(route)) for route in routes]
    return orjson.dumps(document(table, version=version, extra_paths=extra_paths))


def _endpoints(
    routes: Sequence[Route], edge: Edge, collaborators: Collaborators
) -> list[tuple[Route, LiveEndpoint | FollowEndpoint | Endpoint]]:
    readable = {route.shape: route for route in routes if route.method == "GET"}
    streams = OpenStreams()
    translate = collaborators.translate

    def endpoint_of(route: Route) -> LiveEndpoint | FollowEndpoint | Endpoint:
        if route.followed:
            return FollowEndpoint(route, edge, collaborators.following or Following(Bells(), _as_before))
        if route.live:
            return LiveEndpoint(route, edge, streams)
        if route.streamed:
            return StreamEndpoint(route, edge, readable, streams=streams, translate=translate)
        return _plain(route)(route, edge, readable)

    return [(route, endpoint_of(route)) for route in routes]


async def _as_before(principal: Principal) -> Principal:
    return principal


def _plain(route: Route) -> type[Endpoint]:
    """What serves a route that is answered once."""
    if route.file:
        return DownloadEndpoint
    if route.upload is not None:
        return UploadEndpoint
    return SheetEndpoint if route.reply is Sheet else Endpoint


def _pages(version: str, openapi: bytes) -> list[StarletteRoute]:
    kinds = catalogue()
    links = {"docs": "/docs", "openapi": OPENAPI_PATH, "health": "/health", "problems": "/problems"}
    welcome = Fixed(orjson.dumps({"name": "PromptForge", "version": version, "links": links}), "application/json")
    problems = Fixed(orjson.dumps({"problems": list(kinds.values())}), "application/json")
    by_code = {code: Fixed(orjson.dumps(kind), "application/json") for code, kind in kinds.items()}

    async def problem(request: Request) -> Response:
        found = by_code.get(request.path_params["code"])
        if found is None:
            raise NoSuchPath
        return await found.respond(request)

    return [
        StarletteRoute("/", welcome.respond),
        *(StarletteRoute(path, fixed.respond) for path, fixed in docs.pages(OPENAPI_PATH).items()),
        StarletteRoute(OPENAPI_PATH, Fixed(openapi, "application/json").respond),
        StarletteRoute("/problems", problems.respond),
        StarletteRoute("/problems/{code}", problem),
    ]


def _health(report: Health) -> list[StarletteRoute]:
    return [
        StarletteRoute("/health", report.full),
        StarletteRoute("/health/live", report.live),
        StarletteRoute("/health/ready", report.ready),
    ]


def _referring(system: System, rates: Rates) -> dict[str, ASGIApp]:
    """Where somebody handles it."""
    if FollowReferralLink not in system.bindings:
        return {}
    return {referring.BELOW: referring.ReferralLinks(system, rates)}


def _unsubscribing(system: System, rates: Rates) -> dict[str, ASGIApp]:
    """Where somebody handles it."""
    if Unsubscribe not in system.bindings:
        return {}
    return {unsubscribing.PATH: unsubscribing.UnsubscribeEndpoint(system, rates)}


def _metrics(
    authenticator: Authenticator, rates: Rates, scraped: Scraped | None, settings: HttpSettings
) -> list[StarletteRoute]:
    if scraped is None:
        return []
    endpoint = Metrics(authenticator, rates, scraped, token=settings.metrics_token)
    return [StarletteRoute(METRICS_PATH, CompressMiddleware(endpoint))]


async def _not_served(request: Request, error: Exception) -> Response:
    """Starlette's router found no route, or none with this method."""
    if isinstance(error, HTTPException) and error.status_code == 405:
        allowed = sorted((error.headers or {}).get("Allow", "").split(", "))
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"allow": ", ".join([*allowed, "OPTIONS"])})
        raise MethodNotAllowed((*allowed, "OPTIONS")) from None
    raise NoSuchPath from None
