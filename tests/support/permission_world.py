"""Who calls in the matrix of permissions, and what belongs to the owner; see `permission_cases`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pymongo import MongoClient

from promptforge.core.ids import new_id
from tests.support.planting import dead, put
from tests.support.running import LISTING, Person, eventually, published_listing
from tests.support.service import Service


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

    def ended_evaluation(self, **becomes: Any) -> dict[str, Any]:
        """Its job is over, which would say something else later; it is about rights here."""
        made = self.evaluation()
        over = {"_id": made["evaluation_id"], "finished_at": {"$ne": None}}
        eventually(lambda: self.database["evaluations"].find_one(over))
        self.database["evaluations"].update_one({"_id": made["evaluation_id"]}, {"$set": becomes})
        return made

    def cancellable_evaluation(self) -> dict[str, Any]:
        return self.ended_evaluation(status="running", finished_at=None)

    def finished_evaluation(self) -> dict[str, Any]:
        made = self.ended_evaluation(status="finished", finished_at=datetime.now(UTC))
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

    def notification(self) -> dict[str, Any]:
        def find() -> Any:
            return self.database["notifications"].find_one({"user_id": self.owner_id, "hidden": None})

        if find() is None:
            self.published()  # its seller hears of the decision
        return {"notification_id": eventually(find)["_id"]}

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


def somebody(world: World) -> dict[str, Any]:
    return {"user_id": world.owner_id}


@dataclass(frozen=True)
class Case:
    """How somebody who may send the message is served: what it needs, and a body."""

    setup: Setup = nothing
    body: Callable[[World], Any] | None = None
