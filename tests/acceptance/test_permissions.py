"""Every route as every kind of caller, generated from the tables and from what the messages declare.

What is refused is told by the declaration; whose an object is, is told here (`OWNED`, `SEEN_BY_OPERATORS`). A new route
fails here until `CASES` says how a caller who may is served.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from promptforge.actors.notifications.stream.messages import FollowNotifications
from promptforge.core.messages import Access, Command
from promptforge.core.principal import STAFF, Role
from promptforge.http.routing import Route
from promptforge.http.tables import routes
from tests.support import market_setups, referral_setups
from tests.support.faulty_models import faulty_models
from tests.support.permission_cases import CASES
from tests.support.permission_world import World
from tests.support.running import eventually, verified_ledger
from tests.support.service import serving

ROLES: dict[str, tuple[Role, ...]] = {
    "other": (),
    "owner": (Role.SELLER,),
    "seller": (Role.SELLER,),
    "partner": (Role.PARTNER,),
    "moderator": (Role.MODERATOR,),
    "operator": (Role.OPERATOR,),
    "admin": (Role.ADMIN,),
    "suspended": tuple(Role),
    "key without the scope": tuple(Role),
    "owner's key": (Role.SELLER,),
}
CALLERS = ("anonymous", *ROLES)
OWNERS = ("owner", "owner's key")
OWNED = frozenset(
    {
        "project_id",
        "prompt_id",
        "dataset_id",
        "evaluation_id",
        "export_id",
        "package_id",
        "install_id",
        "upload_id",
        "partner_id",
        "purchase_id",
        "checkout_id",
        "subscription_id",
        "receipt_id",
        "payout_id",
        "notification_id",
        "webhook_id",
        "delivery_id",
        "key_id",
        "job_id",
        "batch_id",
    }
)
"""Parameters that name private objects."""
SEEN_BY_OPERATORS = frozenset({"job_id", "batch_id", "payout_id"})
SEEN_BY_MODERATORS = frozenset({"getListingHistory"})
"""Of anybody."""
ANYBODYS = frozenset(
    {"revokePackageVersion", "reviewPartnership", "decidePartnership", "changeCommission", *referral_setups.ANYBODYS}
)
"""Done to what is somebody else's, by those who may."""
SELLERS_OWN = frozenset(
    {
        "createEvaluation",
        "createListing",
        "createPackageListing",
        "offerPackageVersion",
        "installPackage",
        "tryInstall",
        "getListing",
        "updateListing",
        "submitListing",
        "withdrawListing",
        "unlistListing",
        "relistListing",
        *market_setups.SELLERS_OWN,
    }
)
"""Of these the listing, or the prompt that becomes one or is evaluated, is the owner's alone."""

EARNERS_OWN = frozenset({"setSellerDetails", "beginConnectOnboarding", "requestPayout"})
"""For whoever has the role seller, or has earned something, whatever roles they have; of these callers no other has."""

SCOPES_TOGETHER: dict[str, tuple[str, ...]] = {
    "testPrompt": ("ai:run", "prompts:read"),
    "attachEvidence": ("evaluations:read", "listings:write"),
}
"""What asks another feature on the caller's behalf needs that one's scope as well."""

UNCHANGED = frozenset({"changeJobs"})
"""Privileged, and here with nothing to change: so there is nothing to tell the audit log."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with (
        faulty_models(tmp_path_factory.mktemp("models")) as models,
        serving(tmp_path_factory.mktemp("permissions"), **models.settings()) as service,
        service.database() as client,
    ):
        made = World(service, client)
        made.people["anonymous"] = service.person("")
        for caller, roles in ROLES.items():
            made.people[caller] = service.person(caller.replace(" ", "-").replace("'", ""), *roles)
        made.people["bystander"] = service.person("bystander")
        del made.people["owner's key"], made.people["key without the scope"]
        keyless = service.person("keyless", *Role)
        single = [(scope,) for scope in made.owner.get("/users/me/api-keys")["available_scopes"]]
        for scopes in (*single, *SCOPES_TOGETHER.values()):
            body = {"name": " ".join(scopes), "scopes": scopes}
            made.keys[" ".join(scopes)] = made.owner.post("/users/me/api-keys", body, expect=201)["secret"]
        for scope in ("profile:read", "profile:write"):
            body = {"name": scope, "scopes": [scope]}
            made.keys[f"only {scope}"] = keyless.post("/users/me/api-keys", body, expect=201)["secret"]
        suspended = made.people["suspended"].get("/users/me")["id"]
        made.database["users"].update_one({"_id": suspended}, {"$set": {"suspended": True}})
        eventually(lambda: made.people["suspended"].get("/users/me")["suspended"])
        verified_ledger(made.people["operator"])
        yield made


def refusal(route: Route, caller: str) -> tuple[int, str] | None:
    """What the declarations and the object's owner say; None where the caller is to be served."""
    return declared_refusal(route, caller) or earners_refusal(route, caller) or owners_refusal(route, caller)


def declared_refusal(route: Route, caller: str) -> tuple[int, str] | None:
    requirement = route.message.requirement
    assert requirement is not None
    if requirement.access is Access.PUBLIC:
        return None
    if caller == "anonymous":
        return 401, "unauthenticated"
    held = {Role.USER, *ROLES[caller]}
    if caller == "suspended":
        held -= STAFF
    if not held & requirement.roles:
        return 403, "forbidden"
    if caller == "key without the scope" or (caller == "owner's key" and requirement.scope is None):
        return 403, "scope_missing"
    told_live = route.live or route.message is FollowNotifications
    changes = issubclass(route.message, Command) and not requirement.while_suspended
    return (403, "account_suspended") if caller == "suspended" and (changes or told_live) else None


def earners_refusal(route: Route, caller: str) -> tuple[int, str] | None:
    earns = route.operation not in EARNERS_OWN or Role.SELLER in ROLES[caller]
    return None if earns else (403, "nothing_earned")


def owners_refusal(route: Route, caller: str) -> tuple[int, str] | None:
    if caller in OWNERS:
        return (403, "own_listing") if route.operation == "purchaseListing" else None
    if not OWNED.intersection(route.parameters) and route.operation not in SELLERS_OWN:
        return None
    if route.operation in ANYBODYS:
        return None
    if route.operation in SEEN_BY_MODERATORS and caller == "moderator":
        return None
    oversees = caller != "suspended" and {Role.OPERATOR, Role.ADMIN}.intersection(ROLES.get(caller, ()))
    if oversees and SEEN_BY_OPERATORS.intersection(route.parameters):
        return None
    return 404, "not_found"


def send(world: World, route: Route, caller: str, parameters: dict[str, Any], body: Any) -> tuple[httpx.Response, Any]:
    """Answer and problem; of a stream only how it begins."""
    query = f"?{parameters['query']}" if "query" in parameters else ""
    path = route.path.format(**parameters) + query
    requirement = route.message.requirement
    scope = requirement.scope if requirement is not None else None
    if route.operation in SCOPES_TOGETHER:
        scope = " ".join(SCOPES_TOGETHER[route.operation])
    if route.operation == "getListing":
        scope = "listings:read"  # not asked for, as anyone may look; but of drafts a program needs it
    headers = {}
    if caller == "owner's key":
        headers["authorization"] = f"Bearer {world.keys[scope or 'profile:read']}"
    elif caller == "key without the scope":
        wrong = "profile:write" if scope == "profile:read" else "profile:read"
        headers["authorization"] = f"Bearer {world.keys[f'only {wrong}']}"
    client = world.people.get(caller, world.people["anonymous"]).client
    if isinstance(body, bytes):
        headers["content-type"] = "application/zip"
    sent = {"content": body} if isinstance(body, bytes) else {"json": body}
    with client.stream(route.method, path, headers=headers, **sent) as response:
        if response.headers.get("content-type", "").startswith(("text/event-stream", "text/csv")):
            return response, None
        response.read()
        json_told = "json" in response.headers.get("content-type", "")
        return response, response.json() if response.content and json_told else None


def test_every_route_is_in_the_matrix() -> None:
    assert {route.operation for route in routes} == set(CASES)


@pytest.mark.parametrize("route", routes, ids=lambda route: route.operation)
def test_every_kind_of_caller_is_served_or_refused_as_declared(world: World, route: Route) -> None:
    case = CASES[route.operation]
    shared = case.setup(world)
    for caller in sorted(CALLERS, key=lambda name: refusal(route, name) is None):  # those to be refused come first
        expected = refusal(route, caller)
        parameters = case.setup(world) if expected is None else shared
        body = case.body(world) if case.body is not None else ({} if route.takes_body else None)
        response, answer = send(world, route, caller, parameters, body)
        told = f"{caller}: {response.status_code} {answer}"
        if expected is None:
            assert 200 <= response.status_code < 300, told
            assert_told(world, route, response)
        else:
            assert (response.status_code, answer["code"]) == expected, told


def assert_told(world: World, route: Route, response: httpx.Response) -> None:
    """What only some roles may do is in the audit log."""
    requirement = route.message.requirement
    assert requirement is not None
    anybody = requirement.access is Access.PUBLIC
    if anybody or not issubclass(route.message, Command) or route.operation in UNCHANGED:
        return
    if requirement.roles.isdisjoint({Role.USER, Role.SELLER}):
        # A person's first request may also have been given its roles, by the system.
        wanted = {"request_id": response.headers["x-request-id"], "actor.user_id": {"$ne": None}}
        assert world.database["audit_log"].find_one(wanted) is not None, f"{route.operation} is not in the audit log"
