"""Two copies that were checked before either was approved: one of them is held until a moderator has seen the other."""

from __future__ import annotations

import threading

import anyio
import pytest

from promptforge.actors.marketplace.messages import GetListing, ListingState, UpdateListing
from promptforge.actors.moderation.checks.messages import Check, Severity
from promptforge.actors.moderation.duplicates import rechecking
from promptforge.actors.moderation.duplicates import store as fingerprints_store
from promptforge.actors.moderation.duplicates.fingerprints import Fingerprint, Likeness, likeness
from promptforge.actors.moderation.messages import CaseDetailView, CaseKind, ClaimCase, GetCase, ListCases, Verdict
from promptforge.actors.prompts.messages import CreateVersion
from promptforge.core.context import Context
from promptforge.core.principal import Role
from tests.integration.marketplace.branches import Branches, all_at_once
from tests.integration.moderation.test_checks import LONG, submitted_with
from tests.support.market import decision, judge, raised

pytestmark = pytest.mark.anyio


class Copies:
    """Carla's and Eve's listings of one text, both checked and claimed; Mona works here, Max in the other process."""

    def __init__(self, branches: Branches) -> None:
        self.branches = branches

    async def begin(self, second: str = LONG) -> Copies:
        self.carla, _ = await self.branches.person("carla", Role.SELLER)
        self.eve, _ = await self.branches.person("eve", Role.SELLER)
        self.mona, _ = await self.branches.person("mona", Role.MODERATOR)
        self.max_here, self.max = await self.branches.person("max", Role.MODERATOR)
        self.first = await submitted_with(self.branches, self.carla, LONG)
        self.second = await submitted_with(self.branches, self.eve, second)
        assert (self.first.findings, self.second.findings) == ((), ())
        await self.mona.ask(ClaimCase(case_id=self.first.case.id))
        await self.max.ask(ClaimCase(case_id=self.second.case.id))
        return self

    async def states(self) -> list[ListingState]:
        found = []
        for seller, case in ((self.carla, self.first), (self.eve, self.second)):
            found.append((await seller.ask(GetListing(listing_id=case.listing.id))).state)
        return found

    async def expect_named(self, held: CaseDetailView, moderator: Context, other: CaseDetailView) -> None:
        (finding,) = (await moderator.ask(GetCase(case_id=held.case.id))).findings
        assert (finding.check, finding.severity) == (Check.NEAR_DUPLICATE, Severity.HIGH)
        assert finding.listing_id == other.listing.id


async def test_of_two_copies_that_are_approved_one_after_the_other_the_second_is_held(branches: Branches) -> None:
    here = await Copies(branches).begin()
    assert await raised(here.mona, decision(here.first.case.id)) == "done"
    assert await raised(here.max, decision(here.second.case.id)) == "copy_decided"
    assert await here.states() == [ListingState.PUBLISHED, ListingState.IN_REVIEW]
    await here.expect_named(here.second, here.max, here.first)
    assert await raised(here.max, decision(here.second.case.id)) == "done", "whoever has seen it decides"


async def test_of_two_copies_that_are_approved_at_the_same_moment_one_is_held(branches: Branches) -> None:
    """Mona's approval is about to commit when Max's begins: without taking turns neither would see the other."""
    here = await Copies(branches).begin()
    outcomes: list[str] = []

    async def other() -> None:
        outcomes.append(await raised(here.max, decision(here.second.case.id)))

    async with anyio.create_task_group() as tasks:

        async def meanwhile() -> None:
            tasks.start_soon(other)
            await anyio.sleep(0.5)

        branches.transactions.before_commit = meanwhile
        outcomes.append(await raised(here.mona, decision(here.first.case.id)))
    assert sorted(outcomes) == ["copy_decided", "done"]
    assert sorted(await here.states()) == [ListingState.IN_REVIEW, ListingState.PUBLISHED]


async def test_of_two_clicks_and_two_copies_one_copy_is_published(branches: Branches) -> None:
    here = await Copies(branches).begin()
    asks = [(here.mona, decision(here.first.case.id)), (here.max, decision(here.second.case.id))]
    assert await all_at_once(asks) == {"done": 1, "copy_decided": 1}
    assert sorted(await here.states()) == [ListingState.IN_REVIEW, ListingState.PUBLISHED]


async def test_a_copy_of_what_was_rejected_since_the_check_is_held_too_and_others_are_not(branches: Branches) -> None:
    here = await Copies(branches).begin()
    await judge(here.mona, here.first.case.id, Verdict.REJECT)
    assert await raised(here.max, decision(here.second.case.id)) == "copy_decided"
    assert await raised(here.max, decision(here.second.case.id, Verdict.REJECT)) == "done", "only an approval waits"


async def test_what_is_no_copy_is_not_held(branches: Branches) -> None:
    here = await Copies(branches).begin(
        "Translate {{letter}} into plain French, line by line, and keep its paragraphs."
    )
    assert await raised(here.mona, decision(here.first.case.id)) == "done"
    assert await raised(here.max, decision(here.second.case.id)) == "done"


async def test_what_was_decided_since_is_compared_off_the_event_loop(
    branches: Branches, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = await Copies(branches).begin()
    await judge(here.mona, here.first.case.id)
    threads = []

    def watched(one: Fingerprint, other: Fingerprint) -> Likeness:
        threads.append(threading.current_thread())
        return likeness(one, other)

    monkeypatch.setattr(rechecking, "likeness", watched)
    assert await raised(here.max, decision(here.second.case.id)) == "copy_decided"
    assert threads
    assert threading.main_thread() not in threads


async def test_where_too_much_was_decided_since_the_moderator_is_told(
    branches: Branches, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (rechecking, fingerprints_store):
        monkeypatch.setattr(module, "MOST_DECIDED", 1)
    here = await Copies(branches).begin(
        "Translate {{letter}} into plain French, line by line, and keep its paragraphs."
    )
    other = await submitted_with(branches, here.carla, "Count the words of {{text}} and say how many there are.")
    for case in (here.first, other):
        await judge(here.mona, case.case.id)
    assert await raised(here.max, decision(here.second.case.id)) == "copy_decided"
    (finding,) = (await here.max.ask(GetCase(case_id=here.second.case.id))).findings
    assert (finding.check, finding.code) == (Check.COVERAGE, "not_all_compared")
    assert await raised(here.max, decision(here.second.case.id)) == "done", "whoever has seen it decides"


async def test_a_rejected_change_of_the_title_says_nothing_about_the_text(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    original = await submitted_with(branches, carla, LONG)
    await judge(mona, original.case.id)
    await carla.ask(UpdateListing(listing_id=original.listing.id, title="The best of all"))
    await branches.here.jobs_done()
    (change,) = (await mona.ask(ListCases(kind=CaseKind.PROPOSED_CHANGE))).items
    await judge(mona, change.id, Verdict.REJECT)
    assert await branches.count("moderation_fingerprints", refused={"$exists": True}) == 0
    again = await submitted_with(branches, carla, LONG)
    assert [(one.severity, one.listing_id) for one in again.findings] == [(Severity.LOW, original.listing.id)]


async def test_a_rejected_change_of_the_text_is_remembered_as_refused(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    original = await submitted_with(branches, carla, "Count the words of {{text}} and say how many there are.")
    await judge(mona, original.case.id)
    await carla.ask(CreateVersion(prompt_id=original.listing.prompt_id, content=LONG))
    await carla.ask(UpdateListing(listing_id=original.listing.id, version=3))
    await branches.here.jobs_done()
    (change,) = (await mona.ask(ListCases(kind=CaseKind.PROPOSED_CHANGE))).items
    await judge(mona, change.id, Verdict.REJECT)
    again = await submitted_with(branches, carla, LONG)
    assert [one.severity for one in again.findings] == [Severity.HIGH]
    assert await branches.count("moderation_fingerprints", refused={"$exists": True}) == 1
