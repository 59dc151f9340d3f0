"""Cases from before there were kinds, keys and claims are claimed and decided like any other."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from promptforge.actors.moderation.messages import CaseKind, CaseState, GetCase, OpenCase
from promptforge.core.mongo import Index, Mongo, compare_indexes, ensure_indexes, run_migrations
from promptforge.core.principal import Role
from promptforge.deploy.features import INDEXES
from promptforge.deploy.migrations import MIGRATIONS
from tests.integration.marketplace.branches import open_branches
from tests.support.market import judge

pytestmark = [pytest.mark.anyio, pytest.mark.unused_database]


async def test_old_cases_get_what_new_ones_have_however_often_it_runs(mongo: Mongo) -> None:
    old = {"moderation_cases": (Index((("listing_id", 1), ("revision", 1)), unique=True),)}
    await ensure_indexes(mongo, old)
    cases = mongo.collection("moderation_cases")
    await ensure_indexes(mongo, INDEXES)
    async with open_branches(mongo) as branches:
        carla, _ = await branches.person("carla", Role.SELLER)
        mona, _ = await branches.person("mona", Role.MODERATOR)
        drafts = [await branches.here.draft(carla, f"Old {number}") for number in range(2)]
        listings = mongo.collection("marketplace_listings")
        for number, draft in enumerate(drafts):
            await listings.update_one({"_id": draft.id}, {"$set": {"state": "in_review", "revision": 2}})
            row = {"listing_id": draft.id, "revision": 2, "seller_id": carla.user_id, "title": draft.title}
            state = {"state": "open" if number == 0 else "obsolete", "created_at": datetime(2026, 11, 1, tzinfo=UTC)}
            await cases.insert_one({"_id": f"cas_{number}", **row, **state})
        await run_migrations(mongo, MIGRATIONS)
        migration = next(one for one in MIGRATIONS if one.name == "open cases have keys")
        await migration.apply(mongo)
        assert [one for one in await compare_indexes(mongo, INDEXES) if one.collection == "moderation_cases"] == []
        kept = (await mona.ask(GetCase(case_id="cas_1"))).case
        assert (kept.kind, kept.state, kept.times) == (CaseKind.REVIEW, CaseState.OBSOLETE, 1)
        assert await cases.count_documents({"open_key": {"$exists": True}}) == 1
        again = OpenCase(listing_id=drafts[0].id, revision=2, seller_id=carla.user_id, title="Old 0")
        await branches.here.process.context().ask(again)
        assert await cases.count_documents({}) == 2, "it is open already"
        assert (await judge(mona, "cas_0")).state is CaseState.DECIDED
