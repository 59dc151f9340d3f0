"""What the operations of partnerships need before somebody who may can be served; see `test_permissions`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from promptforge.core.ids import new_id
from tests.support.running import Person

if TYPE_CHECKING:
    from tests.support.permission_world import World

CaseT = TypeVar("CaseT")
PLAN = "A weekly letter to 4,000 people who write prompts for newsrooms."
APPLICATION = {"name": "The Prompt Review", "plan": PLAN, "website": "https://review.example.com"}
APP = {"name": "Review site", "scopes": ["profile:read", "prompts:read"]}
NOTE = "A test of partnerships."
APPEAL = "The clicks are from a talk: 300 people in one network."


def applied(person: Person, **changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = person.post("/partnerships", {**APPLICATION, **changes}, expect=201)
    return made


def decide(
    admin: Person, partner_id: str, decision: str, reason_code: str, *, expect: int = 200, **changes: Any
) -> dict[str, Any]:
    """On what it is now, unless another version is named."""
    version = admin.get(f"/partnerships/{partner_id}/review")["partnership"]["version"]
    body = {"version": version, "decision": decision, "reason_code": reason_code, "note": NOTE, **changes}
    answer: dict[str, Any] = admin.post(f"/partnerships/{partner_id}/decision", body, expect=expect)
    return answer


def approved(person: Person, admin: Person, *, commission_bp: int = 300, **changes: Any) -> str:
    """The id of a partner who earns."""
    partner_id = str(applied(person, **changes)["id"])
    decide(admin, partner_id, "approve", "good_fit", commission_bp=commission_bp)
    return partner_id


def plant_partner(database: Any, owner: str, state: str, *, open_for: bool = True, **changes: Any) -> str:
    """A partnership as it is stored, without what led to it."""
    now, partner_id = datetime.now(UTC), new_id("ptn")
    row = {
        "_id": partner_id,
        "owner": owner,
        "state": state,
        "name": "The Prompt Review",
        "website": None,
        "plan": PLAN,
        "commission_bp": None if state in {"applied", "rejected", "withdrawn"} else 300,
        "version": 1,
        "verdict": None,
        "appeal": None,
        "appealed_at": None,
        "appeal_used": False,
        "created_at": now,
        "updated_at": now,
        **({"open_for": owner} if open_for else {}),
        **changes,
    }
    database["partners"].insert_one(row)
    return partner_id


def _free(world: World) -> dict[str, Any]:
    """Nobody has a partnership."""
    world.database["partners"].delete_many({})
    return {}


def _of(state: str) -> Callable[[World], dict[str, Any]]:
    def setup(world: World) -> dict[str, Any]:
        _free(world)
        return {"partner_id": plant_partner(world.database, world.owner_id, state)}

    return setup


def _app(world: World) -> dict[str, Any]:
    made = _of("approved")(world)
    path = f"/partnerships/{made['partner_id']}/apps"
    return {**made, "app_id": world.owner.post(path, APP, expect=201)["id"]}


def cases(case: Callable[..., CaseT]) -> dict[str, CaseT]:
    decision = {"version": 1, "decision": "reject", "reason_code": "no_fit", "note": NOTE}
    return {
        "listPartnershipReasons": case(),
        "listMyPartnerships": case(),
        "applyForPartnership": case(_free, lambda _: APPLICATION),
        "getPartnership": case(_of("approved")),
        "withdrawApplication": case(_of("applied")),
        "appealSuspension": case(_of("suspended"), lambda _: {"words": APPEAL}),
        "listPartnerships": case(),
        "reviewPartnership": case(_of("applied")),
        "decidePartnership": case(_of("applied"), lambda _: decision),
        "listPartnerApps": case(_of("approved")),
        "createPartnerApp": case(_of("approved"), lambda _: APP),
        "getPartnerApp": case(_app),
        "renamePartnerApp": case(_app, lambda _: {"name": "Another name"}),
        "deletePartnerApp": case(_app),
        "rotateAppSecret": case(_app, lambda _: {}),
        "changeCommission": case(_of("approved"), lambda _: {"version": 1, "commission_bp": 100, "note": NOTE}),
    }
