"""What was taken in another edition is taken anew in the background, and nothing else is touched."""

from __future__ import annotations

from typing import Any

import pytest

from promptforge.actors.marketplace.listings.messages import GetVersionsThen, VersionsThen
from promptforge.actors.marketplace.messages import UpdateListing
from promptforge.actors.moderation.checks import renewing
from promptforge.actors.moderation.checks.messages import RenewFingerprints, Severity
from promptforge.actors.moderation.contents import STRETCH
from promptforge.actors.moderation.duplicates.fingerprints import EDITION
from promptforge.actors.moderation.duplicates.store import FINGERPRINTS, FingerprintStore
from promptforge.actors.moderation.messages import CaseDetailView, CaseKind, ListCases, OpenCase, Verdict
from promptforge.actors.prompts.messages import CreateVersion
from promptforge.core.context import Context
from promptforge.core.errors import Invalid
from promptforge.core.principal import Role
from tests.integration.marketplace.branches import Branches, Interrupted, interrupt
from tests.integration.moderation.test_checks import LONG, submitted_with
from tests.support.market import judge

pytestmark = pytest.mark.anyio
PADDING = "".join(f"On day {number} the sea was {number % 7} and the wind {number % 11}. " for number in range(2000))
OTHERS = ("Count the words of {{text}} and say how many there are.", "Translate {{letter}} into plain French.")


async def renew(branches: Branches) -> int:
    return await branches.here.process.context().ask(RenewFingerprints())


async def aged(branches: Branches, **changes: Any) -> None:
    """As they were before there were editions: of a prompt there was one text."""
    known = branches.mongo.collection(FINGERPRINTS)
    await known.delete_many({"_id": {"$regex": "^[^:]+:[^:]+:"}})
    await known.update_many({"listing_id": {"$exists": True}}, {"$unset": {"edition": ""}})
    if changes:
        await known.update_many({"listing_id": {"$exists": True}}, {"$set": changes})


async def fingerprint_of(branches: Branches, case: CaseDetailView, version: int = 2) -> dict[str, Any]:
    row = await branches.mongo.collection(FINGERPRINTS).find_one({"_id": f"{case.listing.id}:{version}"})
    assert row is not None
    return row


async def changed(branches: Branches, seller: Context, case: CaseDetailView, verdict: Verdict, **fields: Any) -> None:
    """A change of the listing, about which a moderator decides."""
    mona, _ = await branches.person("mona", Role.MODERATOR)
    await seller.ask(UpdateListing(listing_id=case.listing.id, **fields))
    await branches.here.jobs_done()
    (change,) = (await mona.ask(ListCases(kind=CaseKind.PROPOSED_CHANGE))).items
    await judge(mona, change.id, verdict)


async def reported(branches: Branches, case: CaseDetailView) -> str:
    """The case of a report of the listing, checked."""
    mona, _ = await branches.person("mona", Role.MODERATOR)
    report = OpenCase(
        listing_id=case.listing.id,
        revision=case.listing.revision,
        seller_id=case.listing.seller_id,
        title=case.listing.title,
        kind=CaseKind.REPORT,
        reason="It is spam",
        brought_by="usr_reporter",
    )
    await branches.here.process.context().ask(report)
    await branches.here.jobs_done()
    (opened,) = (await mona.ask(ListCases(kind=CaseKind.REPORT))).items
    return opened.id


async def test_a_long_text_from_before_has_its_stretches_and_they_are_approved_as_it_is(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    long = await submitted_with(branches, carla, f"{PADDING}{LONG}")
    assert len(PADDING) > 2 * STRETCH
    await judge(mona, long.case.id)
    whole = await branches.count(FINGERPRINTS, approved=True)
    await aged(branches)
    assert await branches.count(FINGERPRINTS, approved=True) == 1 < whole
    assert await renew(branches) == 1
    assert await branches.count(FINGERPRINTS, approved=True, edition=EDITION) == whole


async def test_what_is_more_than_its_texts_by_now_goes(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    case = await submitted_with(branches, carla, LONG)
    row = await fingerprint_of(branches, case)
    known = branches.mongo.collection(FINGERPRINTS)
    await known.insert_one({**row, "_id": f"{row['_id']}:1", "edition": 1})
    other = f"{case.listing.id}:22"  # begins alike
    await known.insert_one({**row, "_id": other})
    assert await renew(branches) == 1
    assert await branches.count(FINGERPRINTS, listing_id=case.listing.id) == 2
    assert await known.find_one({"_id": other}) is not None


async def test_what_is_of_the_present_edition_is_not_touched(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    case = await submitted_with(branches, carla, LONG)
    known = branches.mongo.collection(FINGERPRINTS)
    await known.update_one({"_id": f"{case.listing.id}:2"}, {"$set": {"refused": "spam", "passages": b"not anew"}})
    before = await fingerprint_of(branches, case)
    assert await renew(branches) == 0
    assert await fingerprint_of(branches, case) == before


async def test_a_text_that_was_refused_by_a_change_of_the_title_is_so_no_more(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    case = await submitted_with(branches, carla, LONG)
    await judge(mona, case.case.id)
    await changed(branches, carla, case, Verdict.REJECT, title="The best of all")
    await aged(branches, refused="misleading")
    assert await renew(branches) == 1
    row = await fingerprint_of(branches, case)
    assert (row.get("refused"), row["approved"]) == (None, True)
    again = await submitted_with(branches, carla, LONG)
    assert [one.severity for one in again.findings] == [Severity.LOW]


async def test_so_is_one_that_its_listing_sells_no_more(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    case = await submitted_with(branches, carla, LONG)
    await judge(mona, case.case.id)
    await changed(branches, carla, case, Verdict.REJECT, title="The best of all")
    await carla.ask(CreateVersion(prompt_id=case.listing.prompt_id, content=OTHERS[0]))
    await changed(branches, carla, case, Verdict.APPROVE, version=3)
    await aged(branches, refused="misleading")
    assert await renew(branches) == 2
    for version in (2, 3):
        assert "refused" not in await fingerprint_of(branches, case, version)


async def test_what_was_refused_rightly_stays_so_with_the_reason_of_that(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    rejected = await submitted_with(branches, carla, OTHERS[0])
    await judge(mona, rejected.case.id, Verdict.REJECT)
    of_text = await submitted_with(branches, carla, LONG)
    await judge(mona, of_text.case.id)
    await carla.ask(CreateVersion(prompt_id=of_text.listing.prompt_id, content=OTHERS[1]))
    await changed(branches, carla, of_text, Verdict.REJECT, version=3)
    reason = (await fingerprint_of(branches, rejected))["refused"]
    await changed(branches, carla, of_text, Verdict.REJECT, title="The best of all")
    await judge(mona, await reported(branches, of_text), Verdict.SUSPEND)
    await changed(branches, carla, of_text, Verdict.REJECT, title="The very best of all")
    of_suspension = (await fingerprint_of(branches, of_text))["refused"]
    await aged(branches, refused="harmful")
    assert await renew(branches) == 3
    assert (await fingerprint_of(branches, rejected))["refused"] == reason
    assert (await fingerprint_of(branches, of_text, 3))["refused"] == reason
    assert (await fingerprint_of(branches, of_text))["refused"] == of_suspension


async def test_what_nobody_knows_of_any_more_stays_as_it_is(branches: Branches) -> None:
    """A listing whose history began later, one that is gone, and a text that cannot be read."""
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    early, gone, unread = [await submitted_with(branches, carla, text) for text in (LONG, *OTHERS)]
    for case in (early, gone, unread):
        await judge(mona, case.case.id, Verdict.REJECT)
    await aged(branches, refused="harmful")
    await branches.mongo.collection("listing_history").delete_many({"listing_id": early.listing.id})
    await branches.mongo.collection("marketplace_listings").delete_one({"_id": gone.listing.id})
    await branches.mongo.collection("prompt_versions").delete_many({"prompt_id": unread.listing.prompt_id})
    before = {case.listing.id: await fingerprint_of(branches, case) for case in (early, gone, unread)}
    assert await renew(branches) == 3
    for case in (early, gone):
        assert {**await fingerprint_of(branches, case), "edition": 0} == {**before[case.listing.id], "edition": 0}
    assert (await fingerprint_of(branches, unread))["refused"] != "harmful", "what was decided is known without it"
    assert await renew(branches) == 0


async def test_it_goes_on_where_it_was_cut_short_some_at_a_time(
    branches: Branches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewing, "AT_ONCE", 2)
    carla, _ = await branches.person("carla", Role.SELLER)
    for text in (LONG, *OTHERS):
        await submitted_with(branches, carla, text)
    await aged(branches)
    branches.transactions.before_commit = interrupt
    with pytest.raises(Interrupted):
        await renew(branches)
    assert await branches.count(FINGERPRINTS, edition=None, listing_id={"$exists": True}) == 3
    assert [await renew(branches) for _ in range(3)] == [2, 1, 0]


async def test_what_cannot_be_taken_stands_in_nobodys_way(branches: Branches, monkeypatch: pytest.MonkeyPatch) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    first, _ = [await submitted_with(branches, carla, text) for text in OTHERS]
    await aged(branches)
    taken_of = renewing.taken_of

    async def broken(listing: Any, version: int, context: Context) -> Any:
        if listing.id == first.listing.id:
            raise Invalid("Whatever it is")
        return await taken_of(listing, version, context)

    monkeypatch.setattr(renewing, "taken_of", broken)
    assert [await renew(branches) for _ in range(2)] == [2, 0]


async def test_whoever_decides_at_the_same_moment_is_not_overruled(
    branches: Branches, monkeypatch: pytest.MonkeyPatch
) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, there = await branches.person("mona", Role.MODERATOR)
    case = await submitted_with(branches, carla, LONG)
    await judge(mona, case.case.id)
    await changed(branches, carla, case, Verdict.REJECT, title="The best of all")
    report = await reported(branches, case)
    await aged(branches, refused="misleading")
    keep, tries = FingerprintStore.keep, 0

    async def suspended_meanwhile(self: FingerprintStore, *args: Any, session: Any) -> None:
        """The transaction has its snapshot, from before the suspension that commits now."""
        nonlocal tries
        tries += 1
        await self.find_refusal(case.listing.id, 2, session=session)
        if tries == 1:
            await judge(there, report, Verdict.SUSPEND)
        await keep(self, *args, session=session)

    monkeypatch.setattr(FingerprintStore, "keep", suspended_meanwhile)
    assert await renew(branches) == 1
    assert tries == 2
    row = await fingerprint_of(branches, case)
    assert row.get("refused") not in {None, "misleading"}


async def test_which_versions_were_sold_and_proposed_when(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    case = await submitted_with(branches, carla, LONG)
    await judge(mona, case.case.id)
    await carla.ask(CreateVersion(prompt_id=case.listing.prompt_id, content=OTHERS[0]))
    await changed(branches, carla, case, Verdict.APPROVE, version=3)
    rows = branches.mongo.collection("listing_history").find({"listing_id": case.listing.id}).sort([("revision", 1)])
    steps = await rows.to_list(100)
    moments = tuple((row["revision"], row["created_at"]) for row in steps)
    asked = GetVersionsThen(listing_id=case.listing.id, moments=moments)
    then = dict(zip([row["move"] for row in steps], await branches.here.process.context().ask(asked), strict=True))
    assert then["create"] == VersionsThen(1, None)
    assert then["submit"] == VersionsThen(2, None)
    assert then["propose"] == VersionsThen(2, 3)
    assert then["approve"] == VersionsThen(3, 3)
