"""What each operation needs to be served: somebody's things, and a body. For the matrix of permissions."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from pymongo import MongoClient

from promptforge.core.ids import new_id
from tests.support import (
    analytics_setups,
    market_setups,
    moderation_setups,
    notification_setups,
    package_setups,
    partner_setups,
    referral_setups,
)
from tests.support.planting import dead, make_payable, plant_payout, plant_receipt, put
from tests.support.running import LISTING, Person, eventually, published_listing
from tests.support.service import Service
from tests.support.waiving import WAIVED


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

    def exported(self) -> dict[str, Any]:
        """Everybody has an export with a file."""
        now, later = datetime.now(UTC), datetime.now(UTC) + timedelta(days=7)
        for caller, person in self.people.items():
            if caller == "anonymous":
                continue
            user_id = person.get("/users/me")["id"]
            file_id = f"file of {user_id}"
            file = {"filename": "x", "length": 1, "chunkSize": 255, "uploadDate": now, "metadata": {"sha256": "0" * 64}}
            self.database["files.files"].update_one({"_id": file_id}, {"$set": file}, upsert=True)
            chunk = {"files_id": file_id, "n": 0}
            self.database["files.chunks"].update_one(chunk, {"$set": {"data": b"x"}}, upsert=True)
            row = {"state": "finished", "requested_at": now, "finished_at": now, "expires_at": later, "size": 1}
            told = {**row, "sha256": "0" * 64, "file_id": file_id, "file_ids": [file_id], "writer": file_id}
            self.database["personal_exports"].update_one({"_id": user_id}, {"$set": told}, upsert=True)
        return {}

    def bystanding(self) -> dict[str, Any]:
        return {"user_id": self.service.person("nuisance").get("/users/me")["id"]}

    def newly_known(self) -> dict[str, Any]:
        """Somebody without a role, of whom nobody has decided anything."""
        return {"user_id": self.service.person(new_id("uid")).get("/users/me")["id"]}

    def suspended(self) -> dict[str, Any]:
        made = self.bystanding()
        self.database["users"].update_one({"_id": made["user_id"]}, {"$set": {"suspended": True}})
        return made

    def leaving(self) -> dict[str, Any]:
        """Everybody has asked to be deleted, and is heard when they ask again, whatever keeps them."""
        now = datetime.now(UTC)
        told = {"requested_at": now, "due_at": now + timedelta(days=30), "give_up_credits": True, "obstacles": []}
        for caller, person in self.people.items():
            if caller == "anonymous":
                continue
            mine = {"_id": person.get("/users/me")["id"]}
            row = {"$set": {"state": "scheduled", "uid": None, **told}}
            self.database["account_deletions"].update_one(mine, row, upsert=True)
        return {}

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
        over = {"_id": made["evaluation_id"], "finished_at": {"$ne": None}}
        eventually(lambda: self.database["evaluations"].find_one(over))  # its job would say something else later
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
        return {"checkout_id": self.owner.post("/billing/checkouts", {"pack_id": pack, **WAIVED}, expect=201)["id"]}

    def receipt(self) -> dict[str, Any]:
        return {"receipt_id": plant_receipt(self.database, self.owner_id)}

    def unconnected(self) -> dict[str, Any]:
        """Without the accounts of other cases, which Stripe does not know."""
        self.database["connect_accounts"].delete_many({})
        return {}

    def unsubscribed(self) -> dict[str, Any]:
        """One subscribes once at a time."""
        self.database["subscriptions"].update_many({}, {"$set": {"state": "canceled"}, "$unset": {"slot": ""}})
        return {}

    def subscription(self) -> dict[str, Any]:
        self.unsubscribed()
        path = "/billing/subscriptions"
        return {"subscription_id": self.owner.post(path, {"plan_id": "monthly_1000", **WAIVED}, expect=201)["id"]}

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
            return self.database["notifications"].find_one({"user_id": self.owner_id, "hidden": None})

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


SELLER_DETAILS = {
    "kind": "individual",
    "name": "Sam Seller",
    "street": "Main Street 1",
    "postal_code": "10115",
    "city": "Berlin",
    "country": "DE",
    "tax_number": "12 345 678 901",
    "tax_country": "DE",
    "birth_date": "1990-02-28",
}
IMPORT = {"format": "langfuse", "items": [{"name": "Imported", "version": 1, "prompt": "Hello {{name}}"}]}
DECISION = {"decision": "reject", "reason_code": "misleading", "public_note": "Not as described."}
CASES: dict[str, Case] = {
    "getMe": Case(),
    "updateProfile": Case(body=lambda _: {"bio": "Hello"}),
    "requestDeletion": Case(World.leaving),
    "getDeletion": Case(World.leaving),
    "cancelDeletion": Case(World.leaving),
    "requestPersonalExport": Case(),
    "getPersonalExport": Case(World.exported),
    "downloadPersonalExport": Case(World.exported),
    "listAccounts": Case(),
    "getAccount": Case(somebody),
    "suspendAccount": Case(World.bystanding, lambda _: {"reason": "A test of permissions"}),
    "listAccountEvents": Case(World.suspended),
    "getRoles": Case(somebody),
    "setRoles": Case(World.newly_known, lambda _: {"roles": ["seller"], "expected": [], "reason": "A test"}),
    "listRoleChanges": Case(somebody),
    "reinstateAccount": Case(World.suspended, lambda _: {"reason": "A test of permissions"}),
    "getCredits": Case(),
    "listCreditLots": Case(),
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
    **package_setups.cases(Case),
    **partner_setups.cases(Case),
    **referral_setups.cases(Case),
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
    **market_setups.sealed(Case),
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
    "appealProposal": Case(market_setups.rejected_change, lambda _: {"words": "It does what it says."}),
    "purchaseListing": Case(World.published, lambda _: {"expected_price": "0"}),
    "listPurchases": Case(),
    "getPurchase": Case(World.purchase),
    "requestRefund": Case(World.purchase, lambda _: {"words": "It is not what I need."}),
    "appealRefund": Case(market_setups.refused_refund, lambda _: {"words": "It is not what it says."}),
    "listSales": Case(),
    **market_setups.cases(Case),
    **moderation_setups.cases(Case, World.case, DECISION),
    "listCreditPacks": Case(),
    "getWithdrawalWaiver": Case(),
    "createCheckout": Case(
        body=lambda world: {
            "pack_id": world.owner.get("/billing/packs")["packs"][0]["id"],
            **WAIVED,
        }
    ),
    "getCheckout": Case(World.checkout),
    "listReceipts": Case(),
    "getReceipt": Case(World.receipt),
    "getSellerDetails": Case(),
    "setSellerDetails": Case(body=lambda _: {"details": SELLER_DETAILS}),
    "getTrader": Case(lambda world: {"seller_id": world.owner_id}),
    "requestSellerReport": Case(body=lambda _: {"year": 2026, "quarter": 4}),
    "listSellerReport": Case(lambda _: {"query": "year=2026&quarter=4"}),
    "downloadSellerReport": Case(lambda _: {"query": "year=2026&quarter=4"}),
    "listCountryConflicts": Case(),
    "listPlans": Case(),
    "createSubscription": Case(World.unsubscribed, lambda _: {"plan_id": "monthly_1000", **WAIVED}),
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
    "beginConnectOnboarding": Case(World.unconnected, lambda _: {"country": "US"}),
    "listPayouts": Case(),
    "requestPayout": Case(World.payable, lambda _: {"amount": "1000"}),
    "getPayout": Case(World.payout),
    "withdrawPayout": Case(World.payout),
    "listAllPayouts": Case(),
    "holdPayout": Case(World.payout, lambda _: {"reason": "A test of permissions"}),
    "releasePayout": Case(World.held_payout, lambda _: {"reason": "A test of permissions"}),
    "getLedgerReport": Case(),
    "search": Case(),
    "suggestTitles": Case(lambda _: {"query": "q=summar"}),
    "getSearchIndex": Case(),
    "listNotifications": Case(),
    "countUnreadNotifications": Case(),
    "markAllNotificationsRead": Case(),
    "markNotificationRead": Case(World.notification),
    "deleteNotification": Case(World.notification),
    **notification_setups.cases(Case),
    "getSettings": Case(),
    "updateSettings": Case(body=lambda _: {"notifications": {"listing.sold": {"email": False}}}),
    **analytics_setups.cases(Case),
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
