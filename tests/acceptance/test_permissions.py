"""Every route as every kind of caller, generated from the tables and from what the messages declare.

What is refused is told by the declaration; whose an object is, is told here (`OWNED`, `SEEN_BY_OPERATORS`). A new route
fails here until `CASES` says how a caller who may is served.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from pymongo import MongoClient

from promptforge.core.ids import new_id
from promptforge.core.messages import Access, Command
from promptforge.core.principal import STAFF, Role
from promptforge.http.routing import Route
from promptforge.http.tables import routes
from tests.acceptance import market_setups, moderation_setups
from tests.support.faulty_models import faulty_models
from tests.support.planting import dead, make_payable, plant_payout, put
from tests.support.running import LISTING, Person, eventually, published_listing, verified_ledger
from tests.support.service import Service, serving

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
        "purchase_id",
        "checkout_id",
        "subscription_id",
        "payout_id",
        "notification_id",
        "key_id",
        "job_id",
        "batch_id",
    }
)
"""Parameters that name private objects."""
SEEN_BY_OPERATORS = frozenset({"job_id", "batch_id", "payout_id"})
SEEN_BY_MODERATORS = frozenset({"getListingHistory"})
"""Of anybody."""
SELLERS_OWN = frozenset(
    {
        "createEvaluation",
        "createListing",
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

SCOPES_TOGETHER: dict[str, tuple[str, ...]] = {
    "testPrompt": ("ai:run", "prompts:read"),
    "attachEvidence": ("evaluations:read", "listings:write"),
}
"""What asks another feature on the caller's behalf needs that one's scope as well."""


@dataclass
class World:
    """The people, and what belongs to the owner."""

    service: Service
    client: MongoClient[dict[str, Any]]
    people: dict[str, Person] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)

    @property
    def database(self) -> Any:
        return self.client["promptforge"]

    @property
    def owner(self) -> Person:
        return self.people["owner"]

    @property
    def owner_id(self) -> str:
        identifier: str = self.owner.get("/users/me")["id"]
        return identifier

    def prompt(self) -> dict[str, Any]:
        prompt = self.owner.post("/prompts", {"name": new_id("name")}, expect=201)
        self.owner.post(f"/prompts/{prompt['id']}/versions", {"content": "Say {{word}}"}, expect=201)
        return {"prompt_id": prompt["id"], "version": 1}

    def project(self) -> dict[str, Any]:
        return {"project_id": self.owner.post("/projects", {"name": new_id("name")}, expect=201)["id"]}

    def member(self) -> dict[str, Any]:
        made = self.project()
        body = {"handle": self.handle_of("bystander"), "roles": ["viewer"]}
        added = self.owner.post(f"/projects/{made['project_id']}/members", body, expect=201)
        return {**made, "user_id": added["user_id"]}

    def newcomer(self) -> dict[str, Any]:
        return {"handle": self.handle_of("bystander"), "roles": ["viewer"]}

    def handle_of(self, caller: str) -> str:
        person = self.people[caller]
        return str(person.call("PATCH", "/users/me", {"handle": f"the-{caller}"}, expect=200)["handle"])

    def dataset(self) -> dict[str, Any]:
        dataset_id = self.owner.post("/datasets", {"name": new_id("name")}, expect=201)["id"]
        items = {"items": [{"variables": {"word": "hello"}}]}
        added = self.owner.post(f"/datasets/{dataset_id}/items", items)
        return {"dataset_id": dataset_id, "item_id": added["item_ids"][0]}

    def to_be_evaluated(self) -> dict[str, Any]:
        dataset_id = self.dataset()["dataset_id"]
        return {**self.prompt(), "dataset_id": dataset_id, "scorers": [{"kind": "contains", "text": "hello"}]}

    def evaluation(self) -> dict[str, Any]:
        return {"evaluation_id": self.owner.post("/evaluations", self.to_be_evaluated(), expect=202)["id"]}

    def cancellable_evaluation(self) -> dict[str, Any]:
        made = self.evaluation()
        running = {"status": "running"}  # it may have ended already: it is about rights here
        self.database["evaluations"].update_one({"_id": made["evaluation_id"]}, {"$set": running})
        return made

    def finished_evaluation(self) -> dict[str, Any]:
        made = self.evaluation()
        ended = {"status": "finished", "finished_at": datetime.now(UTC)}
        self.database["evaluations"].update_one({"_id": made["evaluation_id"]}, {"$set": ended})
        return {**made, "query": f"with={made['evaluation_id']}"}

    def compared(self) -> dict[str, Any]:
        made = self.prompt()
        return {**made, "query": "from=1&to=1"}

    def labelled(self) -> dict[str, Any]:
        made = self.prompt()
        self.owner.call("PUT", f"/prompts/{made['prompt_id']}/labels/production", {"version": 1}, expect=200)
        return {**made, "label": "production"}

    def drafted(self) -> dict[str, Any]:
        made = self.prompt()
        self.owner.call("PUT", f"/prompts/{made['prompt_id']}/draft", {"content": "Say {{it}}"}, expect=200)
        return made

    def archived_prompt(self) -> dict[str, Any]:
        made = self.prompt()
        self.owner.call("DELETE", f"/prompts/{made['prompt_id']}", expect=200)
        return made

    def draft(self) -> dict[str, Any]:
        body = {**LISTING, "price": "0", "prompt_id": self.prompt()["prompt_id"]}
        return {"listing_id": self.owner.post("/marketplace/listings", body, expect=201)["id"]}

    def submitted(self) -> dict[str, Any]:
        made = self.draft()
        self.owner.post(f"/marketplace/listings/{made['listing_id']}/submit")
        return made

    def published(self) -> dict[str, Any]:
        identifier = published_listing(
            self.service, self.owner, self.people["moderator"], name=new_id("name"), price="0"
        )
        return {"listing_id": identifier}

    def unlisted(self) -> dict[str, Any]:
        made = self.published()
        self.owner.post(f"/marketplace/listings/{made['listing_id']}/unlist")
        return made

    def case(self) -> dict[str, Any]:
        listing_id = self.submitted()["listing_id"]
        found = eventually(lambda: self.database["moderation_cases"].find_one({"listing_id": listing_id}))
        return {"case_id": found["_id"]}

    def purchase(self) -> dict[str, Any]:
        listing_id = published_listing(
            self.service, self.people["seller"], self.people["moderator"], name=new_id("name"), price="0"
        )
        bought = self.owner.post(f"/marketplace/listings/{listing_id}/purchases", {"expected_price": "0"}, expect=201)
        return {"purchase_id": bought["id"]}

    def checkout(self) -> dict[str, Any]:
        pack = self.owner.get("/billing/packs")["packs"][0]["id"]
        return {"checkout_id": self.owner.post("/billing/checkouts", {"pack_id": pack}, expect=201)["id"]}

    def unsubscribed(self) -> dict[str, Any]:
        """One subscribes once at a time."""
        self.database["subscriptions"].update_many({}, {"$set": {"state": "canceled"}})
        return {}

    def subscription(self) -> dict[str, Any]:
        self.unsubscribed()
        path = "/billing/subscriptions"
        return {"subscription_id": self.owner.post(path, {"plan_id": "monthly_1000"}, expect=201)["id"]}

    def going_on(self) -> dict[str, Any]:
        made = self.subscription()
        path = f"/billing/subscriptions/{made['subscription_id']}"
        assert httpx.post(self.owner.get(path)["url"], data={"action": "pay"}, timeout=30).status_code == 303
        eventually(lambda: self.owner.get(path)["state"] == "active")
        return made

    def webhook_event(self) -> dict[str, Any]:
        event_id = new_id("evt")
        told = {"id": event_id, "object": "event", "type": "x.y", "created": 1, "livemode": False, "data": {}}
        assert self.service.send_event(json.dumps(told)).status_code == 200
        return {"event_id": event_id}

    def payable(self) -> dict[str, Any]:
        """Whoever is to be served has earned credits, and a bank at Stripe."""
        for caller in ("owner", "seller"):
            make_payable(self.database, self.people[caller].get("/users/me")["id"])
        return {}

    def payout(self) -> dict[str, Any]:
        """With no job that sends it: it is about rights here."""
        return {"payout_id": plant_payout(self.database, self.owner_id, state="requested")}

    def held_payout(self) -> dict[str, Any]:
        return {"payout_id": plant_payout(self.database, self.owner_id, state="held")}

    def adjustment(self) -> dict[str, Any]:
        """Asked for by somebody who is no caller here, for nobody approves their own."""
        asked = {
            "_id": new_id("adj"),
            "kind": "grant",
            "state": "requested",
            "user_id": self.owner_id,
            "amount": 1000,
            "reason": "A test of permissions",
            "requested_by": "usr_another",
            "decided_by": None,
            "decision_reason": None,
            "created_at": datetime.now(UTC),
            "decided_at": None,
        }
        self.database["ledger_adjustments"].insert_one(asked)
        return {"adjustment_id": asked["_id"]}

    def asked_adjustment(self) -> dict[str, Any]:
        return {"kind": "grant", "user_id": self.owner_id, "amount": "1", "reason": "A test of permissions"}

    def notification(self) -> dict[str, Any]:
        def find() -> Any:
            return self.database["notifications"].find_one({"user_id": self.owner_id})

        if find() is None:
            self.published()  # its seller hears of the decision
        return {"notification_id": eventually(find)["_id"]}

    def key(self) -> dict[str, Any]:
        body = {"name": "to be revoked", "scopes": ["profile:read"]}
        return {"key_id": self.owner.post("/users/me/api-keys", body, expect=201)["key"]["id"]}

    def waiting_job(self) -> dict[str, Any]:
        return {"job_id": put(self.database["jobs"], owner_id=self.owner_id)}

    def dead_job(self) -> dict[str, Any]:
        return {"job_id": dead(self.database["jobs"], owner_id=self.owner_id)}

    def batch(self) -> dict[str, Any]:
        identifier, now = new_id("bat"), datetime.now(UTC)
        row = {"_id": identifier, "owner_id": self.owner_id, "total": 1, "state": "done", "created_at": now}
        self.database["job_batches"].insert_one(row)
        return {"batch_id": identifier}


Setup = Callable[[World], dict[str, Any]]


def nothing(_: World) -> dict[str, Any]:
    return {}


def queue(_: World) -> dict[str, Any]:
    return {"queue": "default"}


def schedule(_: World) -> dict[str, Any]:
    return {"name": "seal-audit-log"}


def handle(world: World) -> dict[str, Any]:
    world.owner.call("PATCH", "/users/me", {"handle": "the-owner"}, expect=200)
    return {"handle": "the-owner"}


def somebody(world: World) -> dict[str, Any]:
    return {"user_id": world.owner_id}


@dataclass(frozen=True)
class Case:
    """How somebody who may send the message is served: what it needs, and a body."""

    setup: Setup = nothing
    body: Callable[[World], Any] | None = None


def _listing_body(world: World) -> Any:
    return {**LISTING, "prompt_id": world.prompt()["prompt_id"]}


IMPORT = {"format": "langfuse", "items": [{"name": "Imported", "version": 1, "prompt": "Hello {{name}}"}]}
DECISION = {"decision": "reject", "reason_code": "misleading", "public_note": "Not as described."}
CASES: dict[str, Case] = {
    "getMe": Case(),
    "updateProfile": Case(body=lambda _: {"bio": "Hello"}),
    "getCredits": Case(),
    "listTransactions": Case(),
    "listApiKeys": Case(),
    "createApiKey": Case(body=lambda _: {"name": "x", "scopes": ["profile:read"]}),
    "revokeApiKey": Case(World.key),
    "getPublicProfile": Case(handle),
    "listAdjustments": Case(),
    "requestAdjustment": Case(body=World.asked_adjustment),
    "approveAdjustment": Case(World.adjustment),
    "rejectAdjustment": Case(World.adjustment, lambda _: {"reason": "A test of permissions"}),
    "grantCredits": Case(somebody, lambda _: {"amount": "1", "reason": "A test of permissions"}),
    "listProjects": Case(),
    "createProject": Case(body=lambda _: {"name": "Newsroom"}),
    "getProject": Case(World.project),
    "updateProject": Case(World.project, lambda _: {"description": "x"}),
    "archiveProject": Case(World.project),
    "restoreProject": Case(World.project),
    "listProjectMembers": Case(World.project),
    "addProjectMember": Case(World.project, World.newcomer),
    "setProjectMemberRoles": Case(World.member, lambda _: {"roles": ["editor"]}),
    "removeProjectMember": Case(World.member),
    "listPrompts": Case(),
    "getPromptIndex": Case(World.project),
    "exportPrompts": Case(World.project),
    "importPrompts": Case(body=lambda _: IMPORT),
    "listDependants": Case(World.prompt),
    "compareVersions": Case(World.compared),
    "forkPrompt": Case(World.prompt, lambda _: {"name": new_id("name")}),
    "listPromptLabels": Case(World.labelled),
    "getPromptLabel": Case(World.labelled),
    "movePromptLabel": Case(World.labelled, lambda _: {"version": 1}),
    "removePromptLabel": Case(World.labelled),
    "listPromptLabelMoves": Case(World.labelled),
    "getPromptDraft": Case(World.drafted),
    "savePromptDraft": Case(World.prompt, lambda _: {"content": "Say {{it}}"}),
    "discardPromptDraft": Case(World.drafted),
    "publishPromptDraft": Case(World.drafted, lambda _: {}),
    "renderPrompt": Case(World.labelled, lambda _: {"variables": {"word": "hello"}}),
    "getCompiledPrompt": Case(World.labelled),
    "createPrompt": Case(body=lambda _: {"name": new_id("name")}),
    "getPrompt": Case(World.prompt),
    "updatePrompt": Case(World.prompt, lambda _: {"description": "x"}),
    "archivePrompt": Case(World.prompt),
    "restorePrompt": Case(World.archived_prompt),
    "listPromptVersions": Case(World.prompt),
    "createPromptVersion": Case(World.prompt, lambda _: {"content": "Another {{word}}"}),
    "getPromptVersion": Case(World.prompt),
    "listDatasets": Case(),
    "createDataset": Case(body=lambda _: {"name": new_id("name")}),
    "getDataset": Case(World.dataset),
    "updateDataset": Case(World.dataset, lambda _: {"description": "x"}),
    "deleteDataset": Case(World.dataset),
    "listDatasetItems": Case(World.dataset),
    "addDatasetItems": Case(World.dataset, lambda _: {"items": [{"variables": {"word": "hello"}}]}),
    "replaceDatasetItem": Case(World.dataset, lambda _: {"variables": {"word": "goodbye"}}),
    "deleteDatasetItem": Case(World.dataset),
    "listEvaluations": Case(),
    "createEvaluation": Case(body=World.to_be_evaluated),
    "getEvaluation": Case(World.evaluation),
    "cancelEvaluation": Case(World.cancellable_evaluation),
    "listEvaluationResults": Case(World.evaluation),
    "compareEvaluations": Case(World.finished_evaluation),
    "listModels": Case(),
    "improveText": Case(body=lambda _: {"text": "Say hello"}),
    "generateText": Case(body=lambda _: {"task": "Say hello"}),
    "critiqueText": Case(body=lambda _: {"text": "judge this"}),
    "explainText": Case(body=lambda _: {"text": "Say hello"}),
    "suggestListing": Case(body=lambda _: {"text": "describe this"}),
    "testPrompt": Case(World.labelled, lambda _: {"variables": {"word": "hello"}}),
    "getPromptAnalytics": Case(World.prompt),
    "getMyUsage": Case(),
    "listListings": Case(),
    "createListing": Case(body=_listing_body),
    "listMyListings": Case(),
    "getListing": Case(World.draft),
    "updateListing": Case(World.draft, lambda _: {"title": "Another title"}),
    "submitListing": Case(World.draft),
    "withdrawListing": Case(World.submitted),
    "unlistListing": Case(World.published),
    "relistListing": Case(World.unlisted),
    "getListingHistory": Case(World.draft),
    "withdrawProposal": Case(market_setups.proposed),
    "appealListing": Case(market_setups.rejected, lambda _: {"words": "It does what it says."}),
    "purchaseListing": Case(World.published, lambda _: {"expected_price": "0"}),
    "listPurchases": Case(),
    "getPurchase": Case(World.purchase),
    "requestRefund": Case(World.purchase, lambda _: {"words": "It is not what I need."}),
    "listSales": Case(),
    **market_setups.cases(Case),
    **moderation_setups.cases(Case, World.case, DECISION),
    "listCreditPacks": Case(),
    "createCheckout": Case(body=lambda world: {"pack_id": world.owner.get("/billing/packs")["packs"][0]["id"]}),
    "getCheckout": Case(World.checkout),
    "listPlans": Case(),
    "createSubscription": Case(World.unsubscribed, lambda _: {"plan_id": "monthly_1000"}),
    "listSubscriptions": Case(),
    "getSubscription": Case(World.subscription),
    "cancelSubscription": Case(World.going_on),
    "openBillingPortal": Case(),
    "listWebhookEvents": Case(),
    "getWebhookEvent": Case(World.webhook_event),
    "replayWebhookEvent": Case(World.webhook_event),
    "requestReconciliation": Case(),
    "requestVerification": Case(),
    "getConnectAccount": Case(),
    "beginConnectOnboarding": Case(body=lambda _: {"country": "US"}),
    "listPayouts": Case(),
    "requestPayout": Case(World.payable, lambda _: {"amount": "1000"}),
    "getPayout": Case(World.payout),
    "withdrawPayout": Case(World.payout),
    "listAllPayouts": Case(),
    "holdPayout": Case(World.payout, lambda _: {"reason": "A test of permissions"}),
    "releasePayout": Case(World.held_payout, lambda _: {"reason": "A test of permissions"}),
    "getLedgerReport": Case(),
    "listNotifications": Case(),
    "countUnreadNotifications": Case(),
    "markAllNotificationsRead": Case(),
    "markNotificationRead": Case(World.notification),
    "listJobs": Case(),
    "streamJobs": Case(),
    "changeJobs": Case(body=lambda _: {"action": "cancel", "kind": "tests.none"}),
    "listQueues": Case(),
    "streamQueues": Case(),
    "changeQueue": Case(queue, lambda _: {"concurrency": 50}),
    "pauseQueue": Case(queue),
    "resumeQueue": Case(queue),
    "listSchedules": Case(),
    "triggerSchedule": Case(schedule),
    "getBatch": Case(World.batch),
    "getJob": Case(World.waiting_job),
    "streamJob": Case(World.waiting_job),
    "retryJob": Case(World.dead_job),
    "cancelJob": Case(World.waiting_job),
    "discardJob": Case(World.dead_job),
    "listActors": Case(),
    "listDeadLetters": Case(),
    "listAuditLog": Case(),
    "verifyAuditLog": Case(),
}
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
    return declared_refusal(route, caller) or owners_refusal(route, caller)


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
    if caller == "suspended" and issubclass(route.message, Command) and not requirement.while_suspended:
        return 403, "account_suspended"
    return None


def owners_refusal(route: Route, caller: str) -> tuple[int, str] | None:
    if caller in OWNERS:
        return (403, "own_listing") if route.operation == "purchaseListing" else None
    if not OWNED.intersection(route.parameters) and route.operation not in SELLERS_OWN:
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
    with client.stream(route.method, path, json=body, headers=headers) as response:
        if response.headers.get("content-type", "").startswith("text/event-stream"):
            return response, None
        response.read()
        return response, response.json() if response.content else None


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
    if not issubclass(route.message, Command) or route.operation in UNCHANGED:
        return
    if requirement.roles.isdisjoint({Role.USER, Role.SELLER}):
        told = world.database["audit_log"].find_one({"request_id": response.headers["x-request-id"]})
        assert told is not None, f"{route.operation} is not in the audit log"
        assert told["actor"]["user_id"]
