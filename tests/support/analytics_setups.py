"""What the operations of analytics need before somebody who may can be served; see `test_permissions`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

CaseT = TypeVar("CaseT")


def event(external_id: str, **fields: object) -> dict[str, object]:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return {"external_id": external_id, "kind": "answer.accepted", "at": now, **fields}


def cases(case: Callable[..., CaseT]) -> dict[str, CaseT]:
    return {
        "recordEvents": case(body=lambda _: {"events": [event("one")]}),
        "getDashboard": case(),
        "queryAnalytics": case(body=lambda _: {"view": "events", "measures": ["events"]}),
    }
