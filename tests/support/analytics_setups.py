"""What the operations of analytics need before somebody who may can be served; see `test_permissions`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from promptforge.core.ids import new_id
from tests.support.running import Person
from tests.support.service import DATABASE, Service

if TYPE_CHECKING:
    from tests.support.permission_world import World

CaseT = TypeVar("CaseT")
EVENTS = 20_000
TEXT = b"id,amount\r\n1,5\r\n"


def event(external_id: str, **fields: object) -> dict[str, object]:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return {"external_id": external_id, "kind": "answer.accepted", "at": now, **fields}


def plant_export(database: Any, user_id: str, content: bytes = TEXT, **fields: object) -> str:
    """A finished export of sales, with its file; other fields may make it another one."""
    export_id, now = new_id("exp"), datetime.now(UTC)
    file_id, sha256 = f"{export_id}:try", hashlib.sha256(content).hexdigest()
    size = 255 * 1024
    chunks = [
        {"files_id": file_id, "n": number, "data": content[number * size : (number + 1) * size]}
        for number in range(-(-len(content) // size))
    ]
    if chunks:
        database["files.chunks"].insert_many(chunks)
    file = {"_id": file_id, "filename": "sales.csv", "length": len(content), "chunkSize": size, "uploadDate": now}
    database["files.files"].insert_one({**file, "metadata": {"sha256": sha256}})
    export = {
        "_id": export_id,
        "user_id": user_id,
        "source": "sales",
        "format": "csv",
        "since": None,
        "until": now,
        "state": "finished",
        "job_id": "job_none",
        "file_ids": [file_id],
        "file_id": file_id,
        "sha256": sha256,
        "rows": 1,
        "size": len(content),
        "created_at": now,
        "finished_at": now,
        "expires_at": now + timedelta(days=7),
        "sweep_at": now + timedelta(days=7),
    }
    database["exports"].insert_one({**export, **fields})
    return export_id


def put_events(service: Service, owner: Person, number: int = EVENTS) -> None:
    """As if they had been told of, and added up."""
    user_id, now = owner.get("/users/me")["id"], datetime.now(UTC)
    facts = {"owner": user_id, "kind": "seen", "at": now, "received_at": now, "expire_at": now + timedelta(days=1)}
    rows = [{"_id": f"{user_id}:e{n:06}", "value": float(n), "batch": "bch_none", **facts} for n in range(number)]
    with service.database() as client:
        client[DATABASE]["events"].insert_many(rows)


def finished(world: World) -> dict[str, Any]:
    return {"export_id": plant_export(world.database, world.owner_id)}


def running(world: World) -> dict[str, Any]:
    return {"export_id": plant_export(world.database, world.owner_id, state="running")}


def with_room(world: World) -> dict[str, Any]:
    """Nobody has too many of them."""
    world.database["exports"].update_many({"state": {"$in": ["queued", "running"]}}, {"$set": {"state": "cancelled"}})
    return {}


def cases(case: Callable[..., CaseT]) -> dict[str, CaseT]:
    return {
        "recordEvents": case(body=lambda _: {"events": [event("one")]}),
        "getDashboard": case(),
        "queryAnalytics": case(body=lambda _: {"view": "events", "measures": ["events"]}),
        "getMarketFigures": case(),
        "listExports": case(),
        "requestExport": case(with_room, lambda _: {"source": "sales"}),
        "getExport": case(finished),
        "cancelExport": case(running),
        "downloadExport": case(finished),
    }
