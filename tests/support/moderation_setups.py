"""What the operations of moderation need before somebody who may can be served; see `test_permissions`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from tests.support.permission_world import World

CaseT = TypeVar("CaseT")


def claimed(world: World) -> dict[str, Any]:
    made = world.case()
    world.people["moderator"].post(f"/moderation/cases/{made['case_id']}/claim")
    return made


def cases(
    case: Callable[..., CaseT], opened: Callable[[World], dict[str, Any]], decision: dict[str, str]
) -> dict[str, CaseT]:
    return {
        "listReasons": case(),
        "listCases": case(),
        "getQueue": case(),
        "getCase": case(opened),
        "claimCase": case(opened),
        "releaseCase": case(claimed),
        "readCaseContent": case(claimed),
        "decideCase": case(claimed, lambda _: decision),
    }
