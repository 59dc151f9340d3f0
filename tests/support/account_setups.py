"""What the operations of accounts need before somebody who may can be served; see `test_permissions`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from promptforge.core.ids import new_id
from tests.support.permission_world import Case, World, somebody


def _exported(world: World) -> dict[str, Any]:
    """Everybody has an export with a file."""
    now, later = datetime.now(UTC), datetime.now(UTC) + timedelta(days=7)
    for caller, person in world.people.items():
        if caller == "anonymous":
            continue
        user_id = person.get("/users/me")["id"]
        file_id = f"file of {user_id}"
        file = {"filename": "x", "length": 1, "chunkSize": 255, "uploadDate": now, "metadata": {"sha256": "0" * 64}}
        world.database["files.files"].update_one({"_id": file_id}, {"$set": file}, upsert=True)
        chunk = {"files_id": file_id, "n": 0}
        world.database["files.chunks"].update_one(chunk, {"$set": {"data": b"x"}}, upsert=True)
        row = {"state": "finished", "requested_at": now, "finished_at": now, "expires_at": later, "size": 1}
        told = {**row, "sha256": "0" * 64, "file_id": file_id, "file_ids": [file_id], "writer": file_id}
        world.database["personal_exports"].update_one({"_id": user_id}, {"$set": told}, upsert=True)
    return {}


def _bystanding(world: World) -> dict[str, Any]:
    return {"user_id": world.service.person("nuisance").get("/users/me")["id"]}


def _newly_known(world: World) -> dict[str, Any]:
    """Somebody without a role, of whom nobody has decided anything."""
    return {"user_id": world.service.person(new_id("uid")).get("/users/me")["id"]}


def _suspended(world: World) -> dict[str, Any]:
    made = _bystanding(world)
    world.database["users"].update_one({"_id": made["user_id"]}, {"$set": {"suspended": True}})
    return made


def _told_why(world: World) -> dict[str, Any]:
    """Everybody, but they are let in as before."""
    told = {"reason": "A test of permissions", "by": "usr_another", "at": datetime.now(UTC)}
    for caller, person in world.people.items():
        if caller != "anonymous":
            mine = {"_id": person.get("/users/me")["id"]}
            world.database["users"].update_one(mine, {"$set": {"suspension": told}})
    return {}


def _appealed(world: World) -> dict[str, Any]:
    made = _suspended(world)
    now = datetime.now(UTC)
    told = {"reason": "A test", "by": "usr_another", "at": now, "appeal": "It is not so.", "appealed_at": now}
    world.database["users"].update_one({"_id": made["user_id"]}, {"$set": {"suspension": told}})
    return made


def _leaving(world: World) -> dict[str, Any]:
    """Everybody has asked to be deleted, and is heard when they ask again, whatever keeps them."""
    now = datetime.now(UTC)
    told = {"requested_at": now, "due_at": now + timedelta(days=30), "give_up_credits": True, "obstacles": []}
    for caller, person in world.people.items():
        if caller == "anonymous":
            continue
        mine = {"_id": person.get("/users/me")["id"]}
        row = {"$set": {"state": "scheduled", "uid": None, **told}}
        world.database["account_deletions"].update_one(mine, row, upsert=True)
    return {}


def _adjustment(world: World) -> dict[str, Any]:
    """Asked for by somebody who is no caller here, for nobody approves their own."""
    asked = {
        "_id": new_id("adj"),
        "kind": "grant",
        "state": "requested",
        "user_id": world.owner_id,
        "amount": 1000,
        "reason": "A test of permissions",
        "requested_by": "usr_another",
        "decided_by": None,
        "decision_reason": None,
        "created_at": datetime.now(UTC),
        "decided_at": None,
    }
    world.database["ledger_adjustments"].insert_one(asked)
    return {"adjustment_id": asked["_id"]}


def _asked_adjustment(world: World) -> dict[str, Any]:
    return {"kind": "grant", "user_id": world.owner_id, "amount": "1", "reason": "A test of permissions"}


def _key(world: World) -> dict[str, Any]:
    body = {"name": "to be revoked", "scopes": ["profile:read"]}
    return {"key_id": world.owner.post("/users/me/api-keys", body, expect=201)["key"]["id"]}


def cases() -> dict[str, Case]:
    return {
        "requestDeletion": Case(_leaving),
        "getDeletion": Case(_leaving),
        "cancelDeletion": Case(_leaving),
        "requestPersonalExport": Case(),
        "getPersonalExport": Case(_exported),
        "downloadPersonalExport": Case(_exported),
        "listAccounts": Case(),
        "getAccount": Case(somebody),
        "suspendAccount": Case(_bystanding, lambda _: {"reason": "A test of permissions"}),
        "getMySuspension": Case(_told_why),
        "appealMySuspension": Case(_told_why, lambda _: {"words": "The prompts are mine, as everybody can see."}),
        "upholdSuspension": Case(_appealed, lambda _: {"reason": "A test of permissions"}),
        "listAccountEvents": Case(_suspended),
        "getRoles": Case(somebody),
        "setRoles": Case(_newly_known, lambda _: {"roles": ["seller"], "expected": [], "reason": "A test"}),
        "listRoleChanges": Case(somebody),
        "reinstateAccount": Case(_suspended, lambda _: {"reason": "A test of permissions"}),
        "listApiKeys": Case(),
        "createApiKey": Case(body=lambda _: {"name": "x", "scopes": ["profile:read"]}),
        "revokeApiKey": Case(_key),
        "listAdjustments": Case(),
        "requestAdjustment": Case(body=_asked_adjustment),
        "approveAdjustment": Case(_adjustment),
        "rejectAdjustment": Case(_adjustment, lambda _: {"reason": "A test of permissions"}),
        "grantCredits": Case(somebody, lambda _: {"amount": "1", "reason": "A test of permissions"}),
    }
