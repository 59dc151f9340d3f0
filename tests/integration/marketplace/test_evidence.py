"""A scorecard is outdated once nobody can repeat it, whoever was first: the attaching or the end of the dataset."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from promptforge.actors.datasets.messages import CreateDataset, DeleteDataset
from promptforge.actors.evaluations.messages import EvaluationSummary, ScorerKind
from promptforge.actors.evaluations.messages import Scorecard as Card
from promptforge.actors.marketplace.listings.evidence import evidence_row
from promptforge.actors.marketplace.messages import EvidenceState, GetListing, ListingView
from promptforge.core.principal import Role
from tests.integration.marketplace.branches import Branches

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 26, tzinfo=UTC)
SUMMARY = EvaluationSummary(
    items=1,
    errors=0,
    passed=1,
    pass_rate=1.0,
    mean_score=1.0,
    scorers=(),
    input_tokens=1,
    output_tokens=1,
    cost_microusd=1,
    credits="0",
    latency_p50_ms=1,
    latency_p95_ms=1,
)


async def attach(branches: Branches, listing: ListingView, dataset_id: str) -> None:
    """As a transaction does that has still seen the dataset."""
    listings = branches.mongo.collection("marketplace_listings")
    row = await listings.find_one({"_id": listing.id})
    assert row is not None
    card = Card(
        evaluation_id="evl_1",
        project_id="prj_1",
        prompt_id=row["prompt_id"],
        version=row["version"],
        content_hash=row["content_hash"],
        dataset_id=dataset_id,
        dataset_name="Articles",
        dataset_revision=1,
        model="scripted-1",
        tiny_model=False,
        scorers=(ScorerKind.EXACT,),
        summary=SUMMARY,
        finished_at=NOW,
    )
    made = evidence_row(card, prompt_id=card.prompt_id, version=card.version, content_hash=card.content_hash, now=NOW)
    await listings.update_one({"_id": listing.id}, {"$set": {"evidence": made}})


async def test_a_scorecard_that_is_attached_as_its_dataset_goes_is_outdated_too(branches: Branches) -> None:
    """Sellers' listings are told twice: the second time no transaction can have seen the dataset any more."""
    carla, _ = await branches.person("carla", Role.SELLER)
    dataset = await carla.ask(CreateDataset(name="Articles"))
    listings = [await branches.here.draft(carla, f"Listing {number}") for number in range(3)]

    async def states() -> list[EvidenceState | None]:
        seen = [(await carla.ask(GetListing(listing_id=one.id))).evidence for one in listings]
        return [None if one is None else one.state for one in seen]

    await attach(branches, listings[0], dataset.id)
    await carla.ask(DeleteDataset(dataset_id=dataset.id))
    await branches.here.jobs_done()
    await attach(branches, listings[1], dataset.id)
    assert await states() == [EvidenceState.OUTDATED, EvidenceState.CURRENT, None]
    jobs = branches.mongo.collection("jobs")
    (job,) = await jobs.find(
        {"kind": {"$regex": "(?i)dataset_?is_?gone"}, "due_at": {"$gt": NOW}, "state": {"$ne": "done"}}
    ).to_list(None)
    assert job["due_at"] - job["created_at"] >= timedelta(seconds=60), "longer than any transaction lasts"
    await jobs.update_one({"_id": job["_id"]}, {"$set": {"due_at": job["created_at"]}})
    await branches.here.jobs_done()
    assert await states() == [EvidenceState.OUTDATED, EvidenceState.OUTDATED, None]
