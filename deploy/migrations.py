"""Changes of what is stored, numbered; see `core.mongo.migrations`. They know the stores of several features."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

from promptforge.actors.ai.models.store import RunStore
from promptforge.actors.ai.usage.store import RollupStore
from promptforge.actors.billing.ledger.sealing import LedgerSeals
from promptforge.actors.marketplace.listings.browsing import NO_RANKS
from promptforge.actors.moderation.store import CASES
from promptforge.actors.packages.format.names import name_key
from promptforge.actors.packages.registry.store import PACKAGES
from promptforge.actors.partnerships.referrals.store import CodeStore
from promptforge.actors.projects.store import ProjectStore
from promptforge.actors.users.handles.store import HandleStore
from promptforge.core.mongo import Document, DuplicateKey, Migration, Mongo, Session, drop_index, run_transaction
from promptforge.deploy.features import INDEXES
from promptforge.deploy.upgrade.early_ledgers import complete_early_ledgers
from promptforge.deploy.upgrade.earned_sales import tell_what_is_earned
from promptforge.deploy.upgrade.event_sums import make_coarse_sums
from promptforge.deploy.upgrade.evidence import name_datasets
from promptforge.deploy.upgrade.leftovers import (
    drop_old_index_of_reports,
    drop_old_index_of_views,
    drop_old_indexes_of_sales,
    empty_late_events,
    give_apps_their_slots,
)
from promptforge.deploy.upgrade.people import open_accounts
from promptforge.deploy.upgrade.preparation import prepare
from promptforge.deploy.upgrade.released_commissions import tell_what_is_released
from promptforge.deploy.upgrade.rows import close_events, mark_history, reject_listings
from promptforge.deploy.upgrade.sealed_accounts import count_by_prompt
from promptforge.deploy.upgrade.uses_of_runs import give_back_uses

_BATCH = 500


async def _prompts_into_projects(mongo: Mongo) -> None:
    """Prompts belonged to a person; now they live in a project: those that there are, in their owner's personal one.

    The versions come first: a prompt without a project says that its work is not done.
    """
    prompts, versions = mongo.collection("prompts"), mongo.collection("prompt_versions")
    projects = ProjectStore(mongo)
    for old in ("owner_id_1_name_1", "owner_id_1_archived_1_created_at_-1__id_-1"):
        await drop_index(mongo, "prompts", old)
    homeless: Document = {"project_id": {"$exists": False}, "owner_id": {"$type": "string"}}
    while rows := await prompts.find(homeless, {"owner_id": 1}).limit(_BATCH).to_list(_BATCH):
        for row in rows:
            project_id, _ = await projects.ensure_personal(row["owner_id"], now=datetime.now(UTC), session=None)
            moved: list[Document] = [
                {"$set": {"project_id": project_id, "created_by": row["owner_id"]}},
                {"$unset": "owner_id"},
            ]
            await versions.update_many({"prompt_id": row["_id"], "project_id": {"$exists": False}}, moved)
            await prompts.update_one({"_id": row["_id"], "project_id": {"$exists": False}}, moved)


async def _usage_into_sums(mongo: Mongo) -> None:
    """Runs from before there were sums are added to them, and those whose sums were of another form once more.

    A record is marked in the transaction that adds it: cut short, or done by two at once, each still counts once.
    """
    rollups = RollupStore(mongo)
    await rollups.forget_old_forms()
    runs, after = RunStore(mongo, rollups), ""
    while ids := await runs.list_uncounted(after, _BATCH):

        async def count(session: Session, ids: Sequence[str] = ids) -> int:
            return await runs.count(ids, session=session)

        await run_transaction(mongo, count)
        after = ids[-1]


async def _prepare_old_database(mongo: Mongo) -> None:
    await prepare(mongo, INDEXES)


async def _old_database(mongo: Mongo) -> None:
    """A database of the service before becomes one of this service; see `deploy.upgrade`. Users come first, for the
    others refer to them.
    """
    await open_accounts(mongo)
    await mark_history(mongo)
    await reject_listings(mongo)
    await close_events(mongo)


async def _early_databases(mongo: Mongo) -> None:
    """Databases of this service's first days: results of evaluations had another index, and seals had no head."""
    await drop_index(mongo, "evaluation_results", "evaluation_id_1_item_id_1")
    await LedgerSeals(mongo).adopt()


async def _kinds_and_ranks(mongo: Mongo) -> None:
    """A revision of a listing may have a case of each kind now, so the index that allowed one is dropped.

    And every listing has ranks, for what has none would be left out of the pages after the first.
    """
    await drop_index(mongo, "moderation_cases", "listing_id_1_revision_1")
    await mongo.collection("marketplace_listings").update_many(
        {"ranks": {"$exists": False}, "state": {"$exists": True}},
        {"$set": {"ranks": NO_RANKS, "rating": {"count": 0, "stars": 0}}},
    )


async def _cases_have_keys(mongo: Mongo) -> None:
    """Every case was a review; now open ones have a key of their own, and a claim."""
    cases = mongo.collection(CASES)
    unkind: Document = {"kind": {"$exists": False}}
    added: Document = {"kind": "review", "reason": None, "purchase_id": None, "times": 1, "brought_by": []}
    added |= {"claim": None, "findings": {"$literal": {}}}
    key = {"$concat": ["review:", "$listing_id", ":", {"$toString": "$revision"}]}
    await cases.update_many({**unkind, "state": "open"}, [{"$set": {**added, "open_key": key}}])
    await cases.update_many(unkind, [{"$set": added}])


async def _handles_have_skeletons(mongo: Mongo) -> None:
    """Handles that were taken before those that look alike counted as one; who came first keeps the place."""
    handles = HandleStore(mongo)
    rows = mongo.collection("users").find({"handle": {"$type": "string"}}, {"handle": 1}).sort([("_id", 1)])
    async for row in rows:
        await handles.adopt(row["handle"], row["_id"])


async def _skeletons_are_written_out(mongo: Mongo) -> None:
    """Names were alike by what pairs of letters were drawn together to, which depended on where one began."""
    await HandleStore(mongo).written_out()
    await CodeStore(mongo).written_out()
    packages = mongo.collection(PACKAGES)
    async for row in packages.find({"name_key": {"$regex": "[mw]"}}, {"name": 1}):
        with suppress(DuplicateKey):  # a publisher's two packages that look alike keep their names
            await packages.update_one({"_id": row["_id"]}, {"$set": {"name_key": name_key(row["name"])}})


MIGRATIONS: tuple[Migration, ...] = (
    Migration(1, "prompts live in projects", _prompts_into_projects),
    Migration(2, "runs are in sums", _usage_into_sums),
    Migration(3, "accounts of the service before are opened", _old_database, prepare=_prepare_old_database),
    Migration(4, "early ledgers are completed", complete_early_ledgers),
    Migration(5, "an index too many is gone, and the seals have a head", _early_databases),
    Migration(7, "cases have kinds and listings have ranks", _kinds_and_ranks),
    Migration(8, "open cases have keys", _cases_have_keys),
    Migration(9, "handles that look alike are one", _handles_have_skeletons),
    Migration(10, "what was copied of a sealed prompt counts for all its listings", count_by_prompt),
    Migration(11, "webhooks of apps have slots of their own", give_apps_their_slots),
    Migration(12, "superseded indexes of sales are gone", drop_old_indexes_of_sales),
    Migration(13, "late events of people who have gone are empty", empty_late_events),
    Migration(14, "names that look alike are so both ways", _skeletons_are_written_out),
    Migration(15, "scorecards name their datasets", name_datasets),
    Migration(16, "sales say what of them is earned", tell_what_is_earned),
    Migration(17, "sales say what of their commissions is released", tell_what_is_released),
    Migration(18, "events have coarse sums", make_coarse_sums),
    Migration(19, "a superseded index of views is gone", drop_old_index_of_views),
    Migration(20, "a superseded index of reports is gone", drop_old_index_of_reports),
    Migration(21, "uses of runs that answered nothing are given back", give_back_uses),
)
