"""Sample outputs of a listing: reviewed and checked like everything public, and told where one listing is read."""

from __future__ import annotations

import pytest

from promptforge.actors.marketplace.listings.messages import GetListingHistory, ListListings
from promptforge.actors.marketplace.messages import GetListing, PurchaseListing, SubmitListing, UpdateListing
from promptforge.actors.moderation.messages import GetCase
from promptforge.core.principal import Role
from tests.integration.marketplace.branches import Branches
from tests.support.market import judge, raised

pytestmark = pytest.mark.anyio

KEY = "sk-proj-aB3dE5fG7hJ9kL1mN2pQ4rS6tU8v"
SAMPLES = ("The council met.\nNobody objected.", "The fee rises by two per cent.")


async def test_samples_are_shown_to_everybody_once_the_listing_is_approved(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    anna, _ = await branches.person("anna")
    mona, _ = await branches.person("mona", Role.MODERATOR)
    draft = await branches.here.draft(carla, "With samples")
    assert draft.samples == ()
    edited = await carla.ask(UpdateListing(listing_id=draft.id, samples=SAMPLES))
    assert edited.samples == SAMPLES
    listing = await carla.ask(SubmitListing(listing_id=draft.id))
    case_id = await branches.here.case_of(mona, listing)
    assert (await mona.ask(GetCase(case_id=case_id))).listing.samples == SAMPLES
    assert await raised(anna, GetListing(listing_id=draft.id)) == "not_found"
    await judge(mona, case_id)
    assert (await anna.ask(GetListing(listing_id=draft.id))).samples == SAMPLES
    (listed,) = (await anna.ask(ListListings())).items
    assert (listed.id, listed.samples) == (draft.id, ()), "lists do without"


async def test_other_samples_of_what_is_on_offer_are_a_proposal_that_tells_both(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    listing = await branches.here.published(carla, "On the market")
    proposed = await carla.ask(UpdateListing(listing_id=listing.id, samples=SAMPLES))
    assert (proposed.samples, proposed.proposal is None) == ((), False)
    case_id = await branches.here.case_of(mona, proposed)
    seen = (await mona.ask(GetCase(case_id=case_id))).listing.proposal
    assert seen is not None
    assert [(one.field, one.before, one.after) for one in seen.changes] == [("samples", (), SAMPLES)]
    await judge(mona, case_id)
    assert (await carla.ask(GetListing(listing_id=listing.id))).samples == SAMPLES
    history = (await carla.ask(GetListingHistory(listing_id=listing.id))).items
    assert [change.after for change in history[0].changes if change.field == "samples"] == [SAMPLES]


async def test_samples_are_checked_each_with_its_place(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    draft = await branches.here.draft(carla, "Telling")
    await carla.ask(UpdateListing(listing_id=draft.id, samples=("Fine.", f"Sure:\n{KEY}")))
    listing = await carla.ask(SubmitListing(listing_id=draft.id))
    findings = (await mona.ask(GetCase(case_id=await branches.here.case_of(mona, listing)))).findings
    assert [(one.code, one.where) for one in findings] == [("openai_key", "sample 2, line 2, column 1")]


async def test_a_listing_from_before_there_were_samples_has_none_and_can_get_some(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    draft = await branches.here.draft(carla, "Old")
    await branches.mongo.collection("marketplace_listings").update_one({"_id": draft.id}, {"$unset": {"samples": ""}})
    assert (await carla.ask(GetListing(listing_id=draft.id))).samples == ()
    assert (await carla.ask(UpdateListing(listing_id=draft.id, samples=SAMPLES))).samples == SAMPLES


async def test_a_purchase_can_depend_on_the_listing_being_the_one_that_was_read(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    bruno, _ = await branches.person("bruno")
    listing = await branches.here.published(carla, "Moving", price="0")
    read = await bruno.ask(GetListing(listing_id=listing.id))
    wanted = PurchaseListing(listing_id=listing.id, expected_price="0", expected_revision=read.revision)
    await carla.ask(UpdateListing(listing_id=listing.id, title="Moving on"))
    assert await raised(bruno, wanted) == "stale_revision"
    read = await bruno.ask(GetListing(listing_id=listing.id))
    again = PurchaseListing(listing_id=listing.id, expected_price="0", expected_revision=read.revision)
    assert (await bruno.ask(again)).listing_id == listing.id
