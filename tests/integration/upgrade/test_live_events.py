"""Whether a database holds live events is known without reading all of them."""

from __future__ import annotations

import pytest

from promptforge.core.errors import ConfigurationError
from promptforge.core.mongo import Mongo, ensure_indexes
from promptforge.deploy.features import INDEXES
from promptforge.deploy.sandbox.guard import refuse_live_events

pytestmark = pytest.mark.anyio


async def test_the_guard_of_the_sandbox_reads_an_index_of_live_events_only(mongo: Mongo) -> None:
    await ensure_indexes(mongo, {"webhook_events": INDEXES["webhook_events"]})
    rows = [{"event_id": f"evt_{number}", "livemode": False} for number in range(50)]
    await mongo.collection("webhook_events").insert_many(rows)
    await refuse_live_events(mongo)
    plan = await mongo.raw["webhook_events"].find({"livemode": True}).limit(1).explain()
    assert plan["executionStats"]["totalDocsExamined"] == plan["executionStats"]["totalKeysExamined"] == 0
    assert "livemode_1" in str(plan["queryPlanner"]["winningPlan"])
    await mongo.collection("webhook_events").insert_one({"event_id": "evt_live", "livemode": True})
    with pytest.raises(ConfigurationError):
        await refuse_live_events(mongo)
