"""The automatic checks as jobs on a real MongoDB: what they find is with the case, and decides nothing."""

from __future__ import annotations

import pytest

from promptforge.actors.marketplace.listings.messages import AppealListing
from promptforge.actors.marketplace.messages import GetListing, ListingState, SubmitListing, UpdateListing
from promptforge.actors.moderation.checks.messages import Check, FingerprintPublished, Severity
from promptforge.actors.moderation.messages import (
    CaseDetailView,
    CaseKind,
    CaseState,
    ClaimCase,
    GetCase,
    ListCases,
    OpenCase,
    Verdict,
)
from promptforge.actors.prompts.messages import CreateVersion, Variable
from promptforge.core.context import Context
from promptforge.core.ids import new_id
from promptforge.core.principal import Role
from tests.integration.marketplace.branches import Branches, Interrupted, interrupt
from tests.support.market import judge

pytestmark = pytest.mark.anyio
KEY = "sk-proj-aB3dE5fG7hJ9kL1mN2pQ4rS6tU8v"


async def submitted_with(branches: Branches, seller: Context, content: str, **fields: str) -> CaseDetailView:
    """The case of a listing of this text, once the checks have run."""
    mona, _ = await branches.person("mona", Role.MODERATOR)
    draft = await branches.here.draft(seller, new_id("name"))
    await seller.ask(CreateVersion(prompt_id=draft.prompt_id, content=content))
    await seller.ask(UpdateListing(listing_id=draft.id, version=2, **fields))  # type: ignore[arg-type]  # any fields
    listing = await seller.ask(SubmitListing(listing_id=draft.id))
    return await mona.ask(GetCase(case_id=await branches.here.case_of(mona, listing)))


async def test_a_submission_is_checked_and_the_findings_are_with_its_case(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    detail = await submitted_with(
        branches, carla, f"Say {{{{word}}}}.\nkey: {KEY}", description="Write to ada@mailbox.org about fake reviews."
    )
    found = {(finding.check, finding.code): finding for finding in detail.findings}
    assert found.keys() == {
        (Check.SECRETS, "openai_key"),
        (Check.PERSONAL_DATA, "email"),
        (Check.BANNED_TERMS, "fraud"),
    }
    assert found[Check.SECRETS, "openai_key"].where == "content, line 2, column 6"
    assert found[Check.PERSONAL_DATA, "email"].where == "description, line 1, column 10"
    assert detail.findings[0].severity is Severity.HIGH, "the worst comes first"
    assert detail.case.severity is Severity.HIGH
    for shown in (detail, (await mona.ask(ListCases())).items):
        assert KEY not in repr(shown)
        assert "sk-proj" not in repr(shown)
    jobs = await branches.mongo.collection("jobs").find({}).to_list(None)
    assert KEY not in repr(jobs)


async def test_what_stands_beside_the_content_is_checked_and_compared_too(branches: Branches) -> None:
    """The schema goes to the model and to who forks it, as everything else does."""
    carla, _ = await branches.person("carla", Role.SELLER)
    eve, _ = await branches.person("eve", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    schema = {"description": f"child porn, {KEY}", "properties": {"a": {"description": LONG}}}
    cases = []
    for seller in (carla, eve):
        prompt = await branches.here.prompt(seller, new_id("name"), new_id("Content"))
        await seller.ask(
            CreateVersion(
                prompt_id=prompt.id,
                content=f"Say {{{{word}}}} {prompt.id}.",
                variables=(Variable("word", default="Write to ada@mailbox.org"),),
                response_schema=schema,
            )
        )
        draft = await branches.here.drafted(seller, prompt, new_id("title"))
        await seller.ask(UpdateListing(listing_id=draft.id, version=2))
        listing = await seller.ask(SubmitListing(listing_id=draft.id))
        cases.append(await mona.ask(GetCase(case_id=await branches.here.case_of(mona, listing))))
        if seller is carla:
            await judge(mona, cases[0].case.id)
    first, copy = cases
    assert {(one.code, one.where) for one in first.findings} == {
        ("openai_key", "response schema, at /description"),
        ("abuse-of-children", "response schema, at /description"),
        ("email", "default of the variable word, line 1, column 10"),
    }
    assert ("same_passages", first.listing.id) in {(one.code, one.listing_id) for one in copy.findings}


async def test_the_worst_findings_decide_nothing(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    detail = await submitted_with(branches, carla, f"{KEY} and child porn")
    assert detail.case.severity is Severity.HIGH
    assert detail.case.state is CaseState.OPEN
    seen = await carla.ask(GetListing(listing_id=detail.listing.id))
    assert (seen.state, seen.review) == (ListingState.IN_REVIEW, None)
    assert await branches.here.notices(carla) == []
    await judge(mona, detail.case.id)
    assert (await carla.ask(GetListing(listing_id=detail.listing.id))).state is ListingState.PUBLISHED


async def test_what_is_fine_has_no_findings(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    detail = await submitted_with(branches, carla, "Summarise {{article}} in five lines.")
    assert (detail.findings, detail.case.severity) == ((), None)


async def test_the_case_and_the_job_that_checks_it_come_together(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    draft = await branches.here.draft(carla, "Together")
    branches.transactions.before_commit = interrupt
    message = OpenCase(listing_id=draft.id, revision=2, seller_id=carla.user_id, title="Together")
    with pytest.raises(Interrupted):
        await branches.here.process.context().ask(message)
    assert await branches.count("moderation_cases") == 0
    assert await branches.count("jobs", kind="moderation.CheckCase") == 0
    await branches.here.process.context().ask(message)
    assert await branches.count("moderation_cases") == await branches.count("jobs", kind="moderation.CheckCase") == 1


LONG = (
    "Summarise {{article}} in five lines for people in a hurry. Name the one thing that is worth reading in full. "
    "Write plainly, without adjectives, and never invent facts. Where the article has no news, say so."
)


async def test_a_copy_of_an_approved_text_is_named_to_the_moderator_and_to_nobody_else(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    eve, _ = await branches.person("eve", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    original = await submitted_with(branches, carla, LONG)
    assert original.findings == ()
    early = await submitted_with(branches, eve, LONG.upper().replace("{{ARTICLE}}", "{{x}}"))
    assert early.findings == (), "neither is approved yet"
    await judge(mona, original.case.id)
    copy = await submitted_with(branches, eve, "You like cats. " + LONG.replace("{{article}}", "{{text}}"))
    (finding,) = copy.findings
    assert (finding.check, finding.code, finding.severity) == (Check.NEAR_DUPLICATE, "same_passages", Severity.HIGH)
    assert finding.listing_id == original.listing.id
    assert finding.score is not None
    assert finding.score > 0.9
    assert "Summarise" not in repr(finding)
    assert original.listing.id not in repr(await eve.ask(GetListing(listing_id=copy.listing.id)))
    again = await submitted_with(branches, carla, LONG)
    assert [(one.severity, one.listing_id) for one in again.findings] == [(Severity.LOW, original.listing.id)]


async def test_no_included_text_hides_another_from_the_checks(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    eve, _ = await branches.person("eve", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    original = await submitted_with(branches, carla, LONG)
    await judge(mona, original.case.id)
    for name in ("A", "B", "C"):
        await branches.here.prompt(eve, name, " ".join(f"{name}{number}" for number in range(26_000)))
    await branches.here.prompt(eve, "Core", f"{LONG}\n{KEY}, child porn, ada@mailbox.org")
    copy = await submitted_with(branches, eve, "{{> A@1}} {{> B@1}} {{> C@1}} {{> Core@1}}")
    assert {(one.check, one.code) for one in copy.findings} == {
        (Check.SECRETS, "openai_key"),
        (Check.BANNED_TERMS, "abuse-of-children"),
        (Check.PERSONAL_DATA, "email"),
        (Check.NEAR_DUPLICATE, "same_passages"),
    }
    assert original.listing.id in {one.listing_id for one in copy.findings}


async def test_what_was_approved_since_is_found_once_the_copy_is_claimed(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    eve, _ = await branches.person("eve", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    max_, _ = await branches.person("max", Role.MODERATOR)
    copy = await submitted_with(branches, eve, LONG)
    original = await submitted_with(branches, carla, LONG)
    await judge(mona, original.case.id)
    assert (await max_.ask(GetCase(case_id=copy.case.id))).findings == ()
    await max_.ask(ClaimCase(case_id=copy.case.id))
    await branches.here.jobs_done()
    (finding,) = (await max_.ask(GetCase(case_id=copy.case.id))).findings
    assert (finding.code, finding.severity, finding.listing_id) == (
        "same_passages",
        Severity.HIGH,
        original.listing.id,
    )


@pytest.mark.parametrize("checked", [True, False])
async def test_what_was_rejected_is_recognised_when_it_comes_back(branches: Branches, *, checked: bool) -> None:
    """Whoever offers it again, its first seller too, and also where it was rejected before it was checked."""
    carla, _ = await branches.person("carla", Role.SELLER)
    eve, _ = await branches.person("eve", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    max_, _ = await branches.person("max", Role.MODERATOR)
    first = await submitted_with(branches, carla, LONG)
    if not checked:
        await branches.mongo.collection("moderation_fingerprints").delete_many({})
    await judge(mona, first.case.id, Verdict.REJECT)
    await branches.here.jobs_done()
    for seller in (carla, eve):
        again = await submitted_with(branches, seller, LONG.upper())
        (finding,) = again.findings
        assert (finding.severity, finding.listing_id) == (Severity.HIGH, first.listing.id)
        assert "rejected or suspended (misleading)" in finding.detail
    await carla.ask(AppealListing(listing_id=first.listing.id, words="It is not misleading at all."))
    await branches.here.jobs_done()
    (appeal,) = (await max_.ask(ListCases(kind=CaseKind.APPEAL))).items
    await judge(max_, appeal.id)
    (finding,) = (await submitted_with(branches, carla, LONG)).findings
    assert (finding.severity, "rejected" in finding.detail) == (Severity.LOW, False)


async def test_another_process_hears_of_what_was_approved_here(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    _, eve_there = await branches.person("eve", Role.SELLER)
    mona, mona_there = await branches.person("mona", Role.MODERATOR)
    original = await submitted_with(branches, carla, LONG)
    await judge(mona, original.case.id)
    draft = await branches.there.draft(eve_there, "Copied")
    await eve_there.ask(CreateVersion(prompt_id=draft.prompt_id, content=LONG))
    await eve_there.ask(UpdateListing(listing_id=draft.id, version=2))
    listing = await eve_there.ask(SubmitListing(listing_id=draft.id))
    await branches.there.jobs_done()
    detail = await mona_there.ask(GetCase(case_id=await branches.there.case_of(mona_there, listing)))
    assert [finding.listing_id for finding in detail.findings] == [original.listing.id]


async def test_what_is_approved_before_it_was_checked_is_known_once_it_is(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    draft = await branches.here.draft(carla, "Quick")
    listing = await carla.ask(SubmitListing(listing_id=draft.id))
    opening = OpenCase(listing_id=listing.id, revision=listing.revision, seller_id=carla.user_id, title="Quick")
    await branches.here.process.context().ask(opening)
    (case,) = (await mona.ask(ListCases())).items
    await judge(mona, case.id)
    assert await branches.count("moderation_fingerprints", approved=True, code={"$exists": False}) == 1
    await branches.here.jobs_done()
    assert await branches.count("moderation_fingerprints", approved=True, code={"$exists": True}) == 1


async def test_listings_from_before_there_were_fingerprints_are_found_too(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    eve, _ = await branches.person("eve", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    original = await submitted_with(branches, carla, LONG)
    await judge(mona, original.case.id)
    await branches.mongo.collection("moderation_fingerprints").delete_many({})
    unsellable = await branches.here.published(carla, "From the service before")
    await branches.mongo.collection("moderation_fingerprints").delete_many({"listing_id": unsellable.id})
    await branches.mongo.collection("marketplace_listings").update_one({"_id": unsellable.id}, {"$set": {"version": 9}})
    root = branches.here.process.context()
    assert await root.ask(FingerprintPublished()) == 2
    assert await root.ask(FingerprintPublished()) == 1, "one has no text, and stays without"
    copy = await submitted_with(branches, eve, LONG)
    assert [finding.listing_id for finding in copy.findings] == [original.listing.id]
