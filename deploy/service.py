"""The process put together: database, actors, jobs, identity and the HTTP application, started and stopped in order."""

from __future__ import annotations

import importlib.metadata
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from promptforge.actors.billing.stripe.api import StripeApi
from promptforge.actors.partnerships.store import APPS, JUDGE_ANEW
from promptforge.actors.search.actor import SearchActor
from promptforge.core.audit import AuditLog
from promptforge.core.clock import Clock, SystemClock
from promptforge.core.identity import Principals
from promptforge.core.jobs import Codec, DocumentClock, JobRunner, MongoJobStore, Sealer, follow_jobs
from promptforge.core.mongo import (
    Change,
    ChangeFeed,
    Mongo,
    Pulse,
    Session,
    ensure_indexes,
    prepare_migrations,
    run_migrations,
    run_transaction,
    translate,
)
from promptforge.core.runtime import Actor, System
from promptforge.deploy.database import Database, open_database
from promptforge.deploy.features import (
    INDEXES,
    QUEUES,
    SCHEDULES,
    base_url,
    build_actors,
    job_messages,
    stripe_api,
)
from promptforge.deploy.following import memory_of
from promptforge.deploy.identity import judging_again, key_finder, make_verifier, principal_finder, provisioner
from promptforge.deploy.keys import secret_keys
from promptforge.deploy.metrics import ProcessMetrics
from promptforge.deploy.migrations import MIGRATIONS
from promptforge.deploy.notifying import bells_of
from promptforge.deploy.sandbox.guard import refuse_live_events
from promptforge.deploy.settings import Settings
from promptforge.deploy.wire import CLOSE
from promptforge.http.app import Collaborators, HttpSettings, build_app
from promptforge.http.bells import Bells
from promptforge.http.counters import SharedCounters
from promptforge.http.following import Following
from promptforge.http.idempotency import Replies
from promptforge.http.tables import routes
from promptforge.http.webhooks import WebhookSecrets

T = TypeVar("T")

PRINCIPAL_FIELDS = frozenset({"roles", "suspended", "closed_at"})
"""The fields of a user whose change makes a cached principal wrong; credits change with every sale and do not."""


class Service:
    """The running process as the server sees it."""

    def __init__(self, system: System, app: ASGIApp, version: str, *, bells: Bells) -> None:
        self.version = version
        self._bells = bells
        self._system = system
        self._app = app
        self._draining = False

    def begin_drain(self) -> None:
        """Readiness goes red and connections are asked to close; requests are still answered."""
        self._draining = True
        self._system.draining = True
        self._bells.ring_all()

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application; while draining, each response asks its connection to close (RFC 9112, 9.6).

        Also one whose request came before: its client would ask for the next thing on a connection that ends. Of an
        event stream, whose head is out long before, clients expect that.
        """
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def closing(message: Message) -> None:
            if self._draining and message["type"] == "http.response.start":
                headers = message.get("headers", ())
                message = message if CLOSE in headers else {**message, "headers": [*headers, CLOSE]}
            await send(message)

        await self._app(scope, receive, closing)


class _Transactions:
    """MongoDB's transactions as the runtime wants them."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo

    async def __call__(self, work: Callable[[Session], Awaitable[T]], *, deadline: float) -> T:
        return await run_transaction(self._mongo, work, deadline=deadline)


@asynccontextmanager
async def open_service(settings: Settings, *, clock: Clock | None = None) -> AsyncIterator[Service]:
    """Everything but the listening socket. Leaving it drains: jobs, then actors, then the feed, then MongoDB.

    `clock`: this machine's.
    """
    async with open_database(settings) as database, _stripe(settings) as stripe:
        mongo = database.mongo
        await prepare_migrations(mongo, MIGRATIONS)
        await ensure_indexes(mongo, INDEXES)
        await run_migrations(mongo, MIGRATIONS)
        if settings.stripe_api_base is not None:
            await refuse_live_events(mongo)
        secrets = secret_keys(settings)
        store = await _job_store(mongo, secrets, clock or SystemClock())
        feed = ChangeFeed(mongo)
        pulse = Pulse(mongo.ping, lambda: feed.healthy)
        memory = memory_of(feed, pulse)
        verifier = make_verifier(settings)
        actors = build_actors(mongo, store, settings, memory=memory, stripe=stripe, secrets=secrets, sign_ins=verifier)
        system = System(
            actors,
            clock=DocumentClock(store.clock),
            transactions=_Transactions(mongo),
            jobs=store,
            audit_log=AuditLog(mongo),
        )
        principals = Principals(
            verifier,
            provisioner(system),
            find_key=key_finder(system),
            fresh_enough=lambda: feed.healthy,
            reachable=pulse.check,
        )
        runner = JobRunner(store, system, find_principal=principal_finder(system))
        follow_jobs(feed, runner)
        _subscribe(feed, principals)
        bells = bells_of(feed)
        version = importlib.metadata.version("promptforge")
        app = build_app(
            system,
            Collaborators(
                principals=principals,
                probes=_probes(mongo, store, actors),
                translate=translate,
                metrics=ProcessMetrics(system, store),
                counters=SharedCounters(mongo),
                replies=Replies(mongo),
                following=Following(bells, judging_again(system, principals)),
            ),
            settings=_http_settings(settings, secrets, version),
            routes=routes,
        )
        async with anyio.create_task_group() as tasks:
            _start_watchers(tasks, database, feed, pulse)
            async with system.running(grace_seconds=settings.grace_seconds), _running(runner, settings.grace_seconds):
                yield Service(system, app, version, bells=bells)
            tasks.cancel_scope.cancel()


async def _job_store(mongo: Mongo, secrets: Sequence[str], clock: Clock) -> MongoJobStore:
    """It knows the server's time, before anything is stamped with it."""
    codec = Codec(job_messages(), sealer=Sealer(secrets))
    store = MongoJobStore(mongo, codec, clock, queues=QUEUES, schedules=SCHEDULES)
    await store.processes.register()
    return store


@asynccontextmanager
async def _stripe(settings: Settings) -> AsyncIterator[StripeApi]:
    """The one client, closed once nobody calls it any more."""
    api = stripe_api(settings)
    try:
        yield api
    finally:
        with anyio.CancelScope(shield=True):
            await api.close()


def _http_settings(settings: Settings, secrets: tuple[str, ...], version: str) -> HttpSettings:
    return HttpSettings(
        version=version,
        allowed_origins=settings.allowed_origin,
        rate_limits=settings.rate_limits,
        secrets=secrets,
        trusted_proxies=settings.trusted_proxies,
        https_only=settings.production,
        metrics_token=settings.metrics_token.get_secret_value() if settings.metrics_token else None,
        webhook_secrets=_webhook_secrets(settings),
        base_url=base_url(settings),
    )


def _webhook_secrets(settings: Settings) -> WebhookSecrets:
    return WebhookSecrets(
        platform=tuple(secret.get_secret_value() for secret in settings.stripe_webhook_secret),
        connect=tuple(secret.get_secret_value() for secret in settings.stripe_connect_webhook_secret),
    )


def _start_watchers(tasks: anyio.abc.TaskGroup, database: Database, feed: ChangeFeed, pulse: Pulse) -> None:
    tasks.start_soon(feed.run)
    tasks.start_soon(pulse.run)
    if database.embedded is not None:
        tasks.start_soon(database.embedded.watch)


@asynccontextmanager
async def _running(runner: JobRunner, grace_seconds: float) -> AsyncIterator[None]:
    """Run jobs meanwhile; in the end finish those under way and hand back the rest."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(runner.run)
        try:
            yield
        finally:
            with anyio.CancelScope(shield=True):
                await runner.stop(grace_seconds)
            tasks.cancel_scope.cancel()


def _subscribe(feed: ChangeFeed, principals: Principals) -> None:
    def user_changed(change: Change) -> None:
        if change.operation != "update" or not change.updated.isdisjoint(PRINCIPAL_FIELDS):
            principals.evict(change.document_id)

    def key_changed(change: Change) -> None:
        if change.operation != "update" or "revoked_at" in change.updated:
            principals.evict(change.document_id)

    def app_changed(change: Change) -> None:
        if change.operation != "update" or JUDGE_ANEW in change.updated:
            principals.evict(change.document_id)

    feed.subscribe("users", user_changed)
    feed.subscribe(APPS, app_changed)
    feed.subscribe("api_keys", key_changed)
    feed.on_gap(principals.clear)


def _probes(
    mongo: Mongo, store: MongoJobStore, actors: Sequence[Actor]
) -> Mapping[str, Callable[[], Awaitable[Mapping[str, object]]]]:
    async def database() -> Mapping[str, object]:
        await mongo.ping()
        return {}

    async def jobs() -> Mapping[str, object]:
        return {"lag_seconds": round(await store.lag_seconds(), 3)}

    searching = next(actor for actor in actors if isinstance(actor, SearchActor))

    async def search() -> Mapping[str, object]:
        """A warming index is told and makes nobody unready: what is there of it answers."""
        index = searching.index()
        return {
            "state": index.state,
            "documents": sum(index.documents.values()),
            "generation": index.generation,
            "waiting": index.waiting,
            "oldest_seconds": index.oldest_seconds,
            "lag_seconds": index.lag_seconds,
        }

    return {"mongodb": database, "jobs": jobs, "search": search}
