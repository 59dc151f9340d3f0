"""Who is told of a revocation, and what is left of it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from promptforge.actors.accounts.messages import RequestDeletion
from promptforge.actors.marketplace.listings.messages import (
    GetListingHistory,
    ListListings,
    OfferPackageVersion,
    TakeRevokedOffMarket,
)
from promptforge.actors.marketplace.messages import (
    ApplyDecision,
    Decision,
    ListingView,
    PurchaseListing,
    RelistListing,
    SubmitListing,
    UnlistListing,
)
from promptforge.actors.moderation.messages import ClaimCase
from promptforge.actors.packages.errors import PackageRevoked
from promptforge.actors.packages.installing.messages import InstallPackage, UploadPackage
from promptforge.actors.packages.messages import (
    DiscardPackageVersion,
    DownloadPackage,
    RevokeFile,
    RevokePackageVersion,
    SweepPackages,
    VersionState,
)
from promptforge.core.mongo import Document, Files
from promptforge.core.principal import Role
from tests.integration.accounts.lives import erased
from tests.integration.marketplace.branches import Branches
from tests.integration.packages.kits import Kit, built, file_of, listed, offered
from tests.support.market import decision, judge, raised

pytestmark = pytest.mark.anyio
HARM = "It sends what it is given to a stranger"


async def test_a_sale_that_ends_after_the_revocation_began_before_it_is_told_of_too(
    branches: Branches, kit: Kit
) -> None:
    """The sale has seen a version that was not revoked, and commits when its buyers were looked for already."""
    await built(branches, kit)
    listing = await offered(branches, kit)
    moderator, _ = await branches.person("mia", Role.MODERATOR)
    bob, _ = await branches.person("bob")
    await branches.here.fund(bob, 30)

    async def revoked() -> None:
        await moderator.ask(RevokePackageVersion(package_id=kit.package_id, version="1.0.0", reason=HARM))
        await branches.here.jobs_done()

    branches.transactions.before_commit = revoked
    await bob.ask(PurchaseListing(listing_id=listing.id, expected_price="10"))
    told = {"kind": "package.revoked", "user_id": bob.user_id}
    assert await branches.count("notifications", **told) == 0
    jobs = branches.mongo.collection("jobs")
    waiting = {"kind": "packages.TellOfRevocation", "state": {"$nin": ["completed", "dead"]}}
    (job,) = await jobs.find(waiting).to_list(None)
    assert job["run_at"] - job["created_at"] >= timedelta(seconds=100)
    now = {"run_at": job["created_at"], "due_at": job["created_at"]}
    await jobs.update_one({"_id": job["_id"]}, {"$set": now})
    await branches.here.jobs_done()
    assert await branches.count("notifications", **told) == 1
    assert await branches.count("notifications", kind="package.revoked", user_id=kit.here.user_id) == 1


async def test_a_file_is_revoked_by_its_hash_when_its_publisher_is_gone(branches: Branches, kit: Kit) -> None:
    version = await built(branches, kit)
    data = await file_of(kit)
    moderator, _ = await branches.person("mia", Role.MODERATOR)
    bob, _ = await branches.person("bob")
    await kit.here.ask(RequestDeletion())
    await erased(branches, kit.here.user_id)
    assert await branches.count("package_versions") == 0
    message = RevokeFile(sha256=version.sha256 or "", reason=HARM)
    first = await moderator.ask(message)
    assert await moderator.ask(message) == first
    upload = await bob.ask(UploadPackage(data=data))
    assert await raised(bob, InstallPackage(upload_id=upload.id)) == "package_revoked"


async def test_a_file_of_a_version_that_is_known_is_revoked_with_it(branches: Branches, kit: Kit) -> None:
    version = await built(branches, kit)
    moderator, _ = await branches.person("mia", Role.MODERATOR)
    await moderator.ask(RevokeFile(sha256=version.sha256 or "", reason=HARM))
    assert (await kit.get()).revoked is not None
    assert await branches.count("revoked_files", _id=version.sha256) == 1
    assert await branches.count("audit_log", action="package.revoked") == 1


async def draft_again(branches: Branches, kit: Kit) -> str:
    """The hash of a file that is going to be built once more: the same contents are the same bytes."""
    version = await built(branches, kit)
    file_id = f"{kit.package_id}:1.0.0"
    fields: Document = {
        "state": "draft",
        "sha256": None,
        "size": None,
        "key_id": None,
        "published_at": None,
        "file_ids": [],
    }
    gone = {"file_id": "", "manifest": "", "number": ""}
    versions = branches.mongo.collection("package_versions")
    await versions.update_one({"_id": file_id}, {"$set": fields, "$unset": gone})
    for name in ("files.files", "files.chunks"):
        await branches.mongo.collection(name).delete_many({})
    assert version.sha256 is not None
    return version.sha256


async def test_a_file_that_was_revoked_before_it_was_published_never_is(branches: Branches, kit: Kit) -> None:
    sha256 = await draft_again(branches, kit)
    moderator, _ = await branches.person("mia", Role.MODERATOR)
    await moderator.ask(RevokeFile(sha256=sha256, reason=HARM))
    version = await built(branches, kit)
    assert version.state is VersionState.DRAFT
    assert version.failure is not None
    assert (version.failure.code, HARM in version.failure.detail) == ("package_revoked", True)
    assert await branches.count("files.files") == 0


async def test_one_that_was_revoked_while_it_was_published_is_neither_listed_sold_nor_had(
    branches: Branches, kit: Kit
) -> None:
    """Both have committed, and neither has seen the other; two minutes later the version is marked."""
    sha256 = await draft_again(branches, kit)
    _, moderator = await branches.person("mia", Role.MODERATOR)
    await kit.here.ask(kit.publish())

    async def when_it_is_published() -> None:
        branches.transactions.before_commit = revoke

    async def revoke() -> None:
        await moderator.ask(RevokeFile(sha256=sha256, reason=HARM))

    branches.transactions.before_commit = when_it_is_published  # of reading the prompts
    await branches.here.jobs_done()
    version = await kit.get()
    assert (version.state, version.sha256, version.revoked) == (VersionState.PUBLISHED, sha256, None)
    with pytest.raises(PackageRevoked):
        await offered(branches, kit)
    jobs = branches.mongo.collection("jobs")
    (job,) = await jobs.find({"kind": "packages.MarkRevokedFile"}).to_list(None)
    now = {"run_at": job["created_at"], "due_at": job["created_at"]}
    await jobs.update_one({"_id": job["_id"]}, {"$set": now})
    await branches.here.jobs_done()
    marked = await kit.get()
    assert marked.revoked is not None
    assert marked.revoked.reason == HARM


async def test_what_is_on_offer_and_was_bought_is_refused_by_its_hash_alone(branches: Branches, kit: Kit) -> None:
    """As in a database in which the hash was revoked before anybody looked for it there."""
    version = await built(branches, kit)
    listing = await offered(branches, kit)
    bob, _ = await branches.person("bob")
    eve, _ = await branches.person("eve")
    for person in (bob, eve):
        await branches.here.fund(person, 30)
    wanted = PurchaseListing(listing_id=listing.id, expected_price="10")
    await bob.ask(wanted)
    row = {"_id": version.sha256, "at": bob.now(), "reason": HARM}
    await branches.mongo.collection("revoked_files").insert_one(row)
    assert await raised(eve, wanted) == "package_revoked"
    assert await raised(bob, DownloadPackage(package_id=kit.package_id, version="1.0.0")) == "package_revoked"
    install = InstallPackage(package_id=kit.package_id, version="1.0.0")
    assert await raised(bob, install) == "package_revoked"
    assert await branches.ledger_is_right()


async def test_what_failed_builds_left_goes_with_the_draft_and_is_swept(branches: Branches, kit: Kit) -> None:
    """The process died after the version had become a draft again, before the files were removed."""
    files, versions = Files(branches.mongo), branches.mongo.collection("package_versions")
    await kit.draft("2.0.0")
    for number in ("1.0.0", "2.0.0"):
        left = f"{kit.package_id}:{number}:try_dead"
        await versions.update_one({"_id": f"{kit.package_id}:{number}"}, {"$push": {"file_ids": left}})
        writer = files.writer(left, "left.zip")
        await writer.write(b"x" * 600_000)
        await writer.close(now=kit.here.now())
    assert await branches.count("files.chunks") > 1
    await kit.here.ask(DiscardPackageVersion(package_id=kit.package_id, version="1.0.0"))
    await branches.here.jobs_done()
    assert await branches.count("files.chunks", files_id=f"{kit.package_id}:1.0.0:try_dead") == 0
    trusted = kit.here.derive()
    trusted.trusted = True
    assert await trusted.ask(SweepPackages()) == 1
    assert await branches.count("files.chunks") == 0
    assert await trusted.ask(SweepPackages()) == 0


async def test_the_audit_log_keeps_no_words_of_a_moderator(branches: Branches, kit: Kit) -> None:
    await built(branches, kit)
    moderator, _ = await branches.person("mia", Role.MODERATOR)
    await moderator.ask(RevokePackageVersion(package_id=kit.package_id, version="1.0.0", reason=HARM))
    (entry,) = await branches.mongo.collection("audit_log").find({"action": "package.revoked"}).to_list(None)
    assert entry["after"] == {"version": "1.0.0"}
    assert HARM not in repr(entry)


async def stands(branches: Branches, listing: ListingView) -> tuple[str, str | None, str | None]:
    """Its state, and the version that it sells and would sell."""
    row = await branches.mongo.collection("marketplace_listings").find_one({"_id": listing.id})
    assert row is not None
    proposed = (row.get("proposal") or {}).get("changes", {}).get("package") or {}
    return row["state"], row["package"]["version"], proposed.get("version")


async def on_show(branches: Branches, listing: ListingView) -> bool:
    visitor = branches.here.process.system.context(request_id="visitor", trusted=True)
    return listing.id in {one.id for one in (await visitor.ask(ListListings())).items}


async def test_what_sells_a_revoked_version_leaves_the_market_until_it_sells_another_one(
    branches: Branches, kit: Kit
) -> None:
    await built(branches, kit)
    await kit.draft("1.1.0")
    await built(branches, kit, "1.1.0")
    listing = await offered(branches, kit)
    assert await on_show(branches, listing)
    seller, _ = await branches.person("ada", Role.SELLER)
    mia, _ = await branches.person("mia", Role.MODERATOR)
    await mia.ask(RevokePackageVersion(package_id=kit.package_id, version="1.0.0", reason=HARM))
    await branches.here.jobs_done()
    assert await stands(branches, listing) == ("unlisted", "1.0.0", None)
    assert not await on_show(branches, listing)
    (told,) = [one for one in await branches.here.notices(seller) if one.kind == "listing.revoked"]
    assert HARM in told.body
    newest = (await seller.ask(GetListingHistory(listing_id=listing.id))).items[0]
    assert (newest.move, newest.by, newest.reason_code, newest.note) == ("unlist", None, "package_revoked", HARM)
    assert await raised(seller, RelistListing(listing_id=listing.id)) == "package_revoked"
    await seller.ask(OfferPackageVersion(listing_id=listing.id, version="1.1.0"))
    await judge(mia, await branches.here.case_of(mia, listing))
    assert await stands(branches, listing) == ("unlisted", "1.1.0", None)
    await seller.ask(RelistListing(listing_id=listing.id))
    assert await on_show(branches, listing)
    await mia.ask(RevokePackageVersion(package_id=kit.package_id, version="1.0.0", reason=HARM))
    await branches.here.jobs_done()
    assert await on_show(branches, listing), "another version's listing is left alone"


async def test_what_would_sell_a_revoked_version_leaves_review_and_is_approved_nowhere(
    branches: Branches, kit: Kit
) -> None:
    """A listing that is in review, one with a proposal, and one that is suspended."""
    await built(branches, kit)
    await kit.draft("1.1.0")
    await built(branches, kit, "1.1.0")
    seller, _ = await branches.person("ada", Role.SELLER)
    mia, _ = await branches.person("mia", Role.MODERATOR)
    proposing = await offered(branches, kit)
    await seller.ask(OfferPackageVersion(listing_id=proposing.id, version="1.1.0"))
    await branches.here.jobs_done()
    suspended = await offered(branches, kit, "1.1.0")
    await branches.here.process.context().ask(
        ApplyDecision(
            listing_id=suspended.id,
            revision=suspended.revision,
            decision=Decision.SUSPEND,
            moderator_id=mia.user_id,
            reason_code="misleading",
            public_note="To be looked into.",
        )
    )
    reviewed = await listed(branches, kit, "1.1.0")
    await seller.ask(SubmitListing(listing_id=reviewed.id))
    case_id = await branches.here.case_of(mia, reviewed)
    await mia.ask(ClaimCase(case_id=case_id))
    await mia.ask(RevokePackageVersion(package_id=kit.package_id, version="1.1.0", reason=HARM))
    assert await raised(mia, decision(case_id, Decision.APPROVE)) == "package_revoked", "before the job has come by"
    await branches.here.jobs_done()
    assert await stands(branches, proposing) == ("published", "1.0.0", None)
    assert await stands(branches, suspended) == ("suspended", "1.1.0", None)
    assert await stands(branches, reviewed) == ("draft", "1.1.0", None)
    assert await raised(seller, SubmitListing(listing_id=reviewed.id)) == "package_revoked"
    row = await branches.mongo.collection("marketplace_listings").find_one({"_id": suspended.id})
    assert row is not None
    assert row["suspended_from"] == "unlisted"
    told = [one.subject["listing_id"] for one in await branches.here.notices(seller) if one.kind == "listing.revoked"]
    assert sorted(told) == sorted(one.id for one in (proposing, suspended, reviewed))


async def test_a_listing_that_comes_back_beside_the_revocation_is_taken_off_two_minutes_later(
    branches: Branches, kit: Kit
) -> None:
    """It was relisted in a transaction that has not seen the revocation, and commits after the first look."""
    await built(branches, kit)
    listing = await offered(branches, kit)
    seller, _ = await branches.person("ada", Role.SELLER)
    _, mia = await branches.person("mia", Role.MODERATOR)
    await seller.ask(UnlistListing(listing_id=listing.id))

    async def revoked() -> None:
        await mia.ask(RevokePackageVersion(package_id=kit.package_id, version="1.0.0", reason=HARM))
        message = TakeRevokedOffMarket(package_id=kit.package_id, number=1, reason=HARM)
        assert await branches.there.process.context().ask(message) == 0

    branches.transactions.before_commit = revoked
    await seller.ask(RelistListing(listing_id=listing.id))
    assert await on_show(branches, listing)
    jobs = branches.mongo.collection("jobs")
    wanted = {"kind": {"$regex": "TakeRevokedOffMarket"}}
    found = await jobs.find(wanted).to_list(None)
    assert len(found) == 2
    now = {"run_at": found[0]["created_at"], "due_at": found[0]["created_at"]}
    later = max(found, key=lambda job: job["run_at"])
    first = min(found, key=lambda job: job["run_at"])
    assert later["run_at"] - later["created_at"] >= timedelta(seconds=100)
    await jobs.delete_one({"_id": first["_id"]})
    await jobs.update_one({"_id": later["_id"]}, {"$set": now})
    await branches.here.jobs_done()
    assert not await on_show(branches, listing)
