"""What the operations of referrals need before somebody who may can be served; see `test_permissions`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from promptforge.core.alike import skeleton
from promptforge.core.ids import new_id
from tests.support.partner_setups import plant_partner

if TYPE_CHECKING:
    from tests.support.permission_world import World

CaseT = TypeVar("CaseT")
ANYBODYS = frozenset({"reviewEarnings", "decideFrozenEarnings", "decideForfeitAppeal"})
REASON = {"decision": "release", "reason": "It was looked into."}
ANSWER = {"decision": "uphold", "reason": "It was looked into again."}
APPEAL = {"words": "The clicks are from a talk: 300 people in one network."}


def plant_code(database: Any, partner_id: str, owner: str) -> str:
    """A code as it is stored."""
    code = new_id("c").replace("_", "-")
    row = {"code": code, "partner_id": partner_id, "owner": owner, "label": None, "deactivated_at": None}
    database["referral_codes"].insert_one({"_id": skeleton(code), **row, "created_at": datetime.now(UTC)})
    return code


def _partner(world: World) -> dict[str, Any]:
    """The owner's, who has a code, a freeze that nobody has decided about, and something to collect."""
    _nobody_came_by_anybody(world)
    partner_id = plant_partner(world.database, world.owner_id, "approved")
    world.database["ledger_partners"].insert_one({"_id": partner_id, "earned": 5_000, "term": 1})
    frozen = {"partner_id": partner_id, "term": 0, "state": "frozen", "frozen_at": datetime.now(UTC)}
    undecided = {"reason": None, "decided_by": None, "decided_at": None}
    world.database["ledger_freezes"].insert_one({"_id": f"{partner_id}:0", **frozen, **undecided})
    code = plant_code(world.database, partner_id, world.owner_id)
    return {"partner_id": partner_id, "code": code, "term": 0}


def _forfeited(world: World, **changes: Any) -> dict[str, Any]:
    """The same, and what was frozen was forfeited by somebody else."""
    made = _partner(world)
    now = datetime.now(UTC)
    told = {"state": "forfeited", "reason": "It was looked into.", "decided_by": new_id("usr"), "decided_at": now}
    freezes = world.database["ledger_freezes"]
    later = {"appeal_until": now + timedelta(days=1), **changes}
    freezes.update_one({"_id": f"{made['partner_id']}:0"}, {"$set": {**told, **later}})
    return {"partner_id": made["partner_id"], "term": 0}


def _appealed(world: World) -> dict[str, Any]:
    return _forfeited(world, appeal=APPEAL["words"], appealed_at=datetime.now(UTC), appeal_waits=True)


def _nobody_came_by_anybody(world: World) -> None:
    for name in ("partners", "referral_attributions"):
        world.database[name].delete_many({})


def _strangers_code(world: World) -> str:
    _nobody_came_by_anybody(world)
    stranger = str(world.people["bystander"].get("/users/me")["id"])
    return plant_code(world.database, plant_partner(world.database, stranger, "approved"), stranger)


def _claim(world: World) -> dict[str, Any]:
    touch = world.people["bystander"].post("/partnerships/clicks", {"code": _strangers_code(world)})
    return {"tokens": [touch["token"]]}


def _everybody_came_by_somebody(world: World) -> dict[str, Any]:
    code = _strangers_code(world)
    made = world.database["referral_codes"].find_one({"code": code})
    now = datetime.now(UTC)
    row = {"code": code, "partner_id": made["partner_id"], "referrer_id": made["owner"], "signed_up": True}
    for user in world.database["users"].find({}, {"_id": 1}):
        times = {"touched_at": now, "until": now + timedelta(days=30), "made_at": now}
        world.database["referral_attributions"].insert_one({"_id": user["_id"], **row, **times})
    return {}


def cases(case: Callable[..., CaseT]) -> dict[str, CaseT]:
    return {
        "createReferralCode": case(_partner, lambda _: {"label": "The letter"}),
        "listReferralCodes": case(_partner),
        "deactivateReferralCode": case(_partner),
        "followReferralLink": case(body=lambda world: {"code": _strangers_code(world)}),
        "claimReferral": case(body=_claim),
        "getReferral": case(_everybody_came_by_somebody),
        "getEarnings": case(_partner),
        "collectEarnings": case(_partner, lambda _: {"amount": "2"}),
        "getPartnerDashboard": case(_partner),
        "listFrozenEarnings": case(),
        "reviewEarnings": case(_partner),
        "decideFrozenEarnings": case(_partner, lambda _: REASON),
        "appealForfeiture": case(_forfeited, lambda _: APPEAL),
        "decideForfeitAppeal": case(_appealed, lambda _: ANSWER),
    }
