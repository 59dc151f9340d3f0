"""Somebody who has left a mark of theirs in every collection that takes people's words, and who looks for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import anyio

from promptforge.actors.accounts.exports.messages import RequestPersonalExport, WritePersonalExport
from promptforge.actors.accounts.messages import CloseDueAccounts
from promptforge.actors.analytics.events.messages import NewEvent, RecordEvents
from promptforge.actors.analytics.exports.messages import ExportFormat, ExportSource, RequestExport, RunExport
from promptforge.actors.datasets.messages import AddItems, CreateDataset, NewItem
from promptforge.actors.marketplace.favourites.messages import AddFavourite
from promptforge.actors.marketplace.listings.messages import CreatePackageListing
from promptforge.actors.marketplace.messages import Category, CreateListing, ListingView, PurchaseView, SubmitListing
from promptforge.actors.marketplace.purchases.messages import RequestRefund
from promptforge.actors.marketplace.reports.messages import ReportListing, ReportReason
from promptforge.actors.marketplace.reviews.messages import WriteReview
from promptforge.actors.packages.installing.messages import InstallPackage, UploadPackage
from promptforge.actors.packages.messages import (
    ChosenPrompt,
    CreatePackage,
    DownloadPackage,
    DraftPackageVersion,
    PublishPackageVersion,
    RevokePackageVersion,
    YankPackageVersion,
)
from promptforge.actors.partnerships.apps.messages import CreatePartnerApp, IssueAppToken
from promptforge.actors.partnerships.messages import AppealSuspension, ApplyForPartnership, PartnershipDecision
from promptforge.actors.partnerships.referrals.messages import CreateReferralCode, DecideFrozenEarnings, FreezeDecision
from promptforge.actors.projects.messages import AddMember, CreateProject, ProjectRole
from promptforge.actors.prompts.drafts.messages import SaveDraft
from promptforge.actors.prompts.labels.messages import MoveLabel
from promptforge.actors.prompts.messages import CreatePrompt, CreateVersion
from promptforge.actors.users.messages import CreateApiKey, UpdateProfile
from promptforge.actors.users.roles.messages import SetRoles
from promptforge.core.context import Context
from promptforge.core.ids import new_id
from promptforge.core.mongo import Mongo
from promptforge.core.personal import Erased
from promptforge.core.principal import Role
from promptforge.deploy.accounts import HELD
from tests.integration.marketplace.branches import Branches
from tests.integration.partnerships.partners import decide
from tests.integration.partnerships.referred import Affiliate, buyer_of
from tests.support.market import judge

MARK = "canaryoriole"
"""In whatever Ada writes, in any spelling that is kept."""
SOLD = f"Say {{{{word}}}} to the {MARK}."
UNSOLD = "canaryfinch"
"""In versions of what was sold that nobody has bought, and in a referral code that has brought no sale."""


@dataclass(frozen=True, slots=True)
class Life:
    ada: Context
    bob: Context
    listing: ListingView
    """Ada's, which Bob has bought."""
    bought: PurchaseView
    kit: PurchaseView
    """Of a package of hers."""


async def live(branches: Branches) -> Life:
    """Ada has a profile, prompts, data, a listing that Bob bought, and bought, reviewed and reported one of Bob's."""
    market = branches.here
    ada, bob = await market.person("ada", Role.SELLER), await market.person("bob", Role.SELLER)
    await market.fund(ada, 100)
    await market.fund(bob, 100)
    links = (f"https://{MARK}.example/me",)
    about = {"display_name": f"Ada {MARK}", "bio": f"I am {MARK}", "avatar_url": f"https://example.com/{MARK}"}
    await ada.ask(UpdateProfile(handle=MARK, links=links, **about))
    await ada.ask(CreateApiKey(name=f"key of {MARK}", scopes=("prompts:read",)))
    await _work(ada, (await ada.ask(CreateProject(name=f"Project {MARK}", description=MARK))).id)
    await _work(ada, None)
    theirs = await bob.ask(CreateProject(name="Bob's newsroom"))
    await bob.ask(AddMember(project_id=theirs.id, handle=MARK, roles=(ProjectRole.OWNER,)))
    await _work(ada, theirs.id)
    listing = await _sell(branches, ada)
    bought = await market.buy(bob, listing)
    await _shop(branches, ada, await market.published(bob, "Bob's listing"))
    kit = await _package(branches, ada, bob)
    await _take_away(branches, ada)
    await _bring_others(branches, ada, bob)
    await _decide_roles(branches, ada)
    await plant(branches.mongo, ada.user_id)
    await market.jobs_done()
    return Life(ada, bob, listing, bought, kit)


async def _decide_roles(branches: Branches, ada: Context) -> None:
    admin = await branches.here.person("admin", Role.ADMIN)
    seen = (Role.SELLER,)
    await admin.ask(SetRoles(user_id=ada.user_id, roles=(*seen, Role.PARTNER), expected=seen, reason=f"Trusts {MARK}"))


async def _work(ada: Context, project_id: str | None) -> None:
    made = CreatePrompt(name=f"Unsold {MARK}", project_id=project_id, description=MARK, tags=(MARK,), folder=MARK)
    prompt = await ada.ask(made)
    await ada.ask(CreateVersion(prompt_id=prompt.id, content=f"Unsold words of {MARK}", message=MARK))
    await ada.ask(SaveDraft(prompt_id=prompt.id, content=f"Draft of {MARK}"))
    await ada.ask(MoveLabel(prompt_id=prompt.id, label="staging", version=1, reason=f"Because of {MARK}"))
    dataset = await ada.ask(CreateDataset(name=f"Data {MARK}", description=MARK, project_id=project_id))
    await ada.ask(AddItems(dataset_id=dataset.id, items=(NewItem(variables={"word": MARK}, expected=MARK),)))
    at = datetime.now(UTC)
    event = NewEvent(external_id=f"event-{MARK}-{project_id}", kind="answer.accepted", at=at, properties={"word": MARK})
    await ada.ask(RecordEvents(events=(event,)))


async def _sell(branches: Branches, ada: Context) -> ListingView:
    prompt = await ada.ask(CreatePrompt(name=f"Sold {MARK}", description=MARK, tags=(MARK,)))
    await ada.ask(CreateVersion(prompt_id=prompt.id, content=SOLD, message=MARK))
    await ada.ask(CreateVersion(prompt_id=prompt.id, content=f"Later words of {UNSOLD}"))
    listing = await ada.ask(
        CreateListing(
            prompt_id=prompt.id,
            version=1,
            title=f"Title {MARK}",
            summary=f"Summary {MARK}",
            description=f"Description {MARK}",
            category=Category.WRITING,
            tags=(MARK,),
            price="10",
        )
    )
    listing = await ada.ask(SubmitListing(listing_id=listing.id))
    moderator = await branches.here.person("moderator", Role.MODERATOR)
    await judge(moderator, await branches.here.case_of(moderator, listing))
    return listing


async def _package(branches: Branches, ada: Context, bob: Context) -> PurchaseView:
    """Bob buys the first version; there are another one, a draft, and a package that nobody has bought.

    Another package of hers he buys and installs, and it is revoked.
    """
    bought = await _sold_package(branches, ada, bob, f"kit-{MARK}")
    await _publish(branches, ada, bought.prompt_id, "1.1.0", UNSOLD)
    await ada.ask(DraftPackageVersion(package_id=bought.prompt_id, version="2.0.0", description=UNSOLD, readme=UNSOLD))
    recalled = (await _sold_package(branches, ada, bob, f"recalled-{MARK}")).prompt_id
    await bob.ask(InstallPackage(package_id=recalled, version="1.0.0"))
    moderator = await branches.here.person("moderator", Role.MODERATOR)
    await moderator.ask(RevokePackageVersion(package_id=recalled, version="1.0.0", reason="It does harm"))
    await branches.here.jobs_done()
    other = await ada.ask(CreatePackage(name=f"other-{UNSOLD}"))
    await _publish(branches, ada, other.id, "1.0.0", UNSOLD)
    await ada.ask(YankPackageVersion(package_id=other.id, version="1.0.0", reason=f"Because of {UNSOLD}"))
    file = await ada.ask(DownloadPackage(package_id=other.id, version="1.0.0"))
    data = b"".join([piece async for piece in file.read(0, file.size)])
    upload = await ada.ask(UploadPackage(data=data))
    project = await ada.ask(CreateProject(name="Installed"))
    await ada.ask(InstallPackage(upload_id=upload.id, project_id=project.id))
    return bought


async def _sold_package(branches: Branches, ada: Context, bob: Context, name: str) -> PurchaseView:
    sold = await ada.ask(CreatePackage(name=name))
    await _publish(branches, ada, sold.id, "1.0.0", MARK)
    listing = await ada.ask(
        CreatePackageListing(
            package_id=sold.id,
            version="1.0.0",
            title=f"{name} {MARK}",
            summary=f"Summary {MARK}",
            description=f"Description {MARK}",
            category=Category.WRITING,
            price="10",
        )
    )
    await branches.here.approved(ada, listing)
    return await branches.here.buy(bob, listing)


async def _publish(branches: Branches, ada: Context, package_id: str, version: str, mark: str) -> None:
    prompt = await ada.ask(CreatePrompt(name=f"Packed {version} {mark} {package_id}"))
    await ada.ask(CreateVersion(prompt_id=prompt.id, content=f"Packed words of {mark}"))
    dataset = await ada.ask(CreateDataset(name=f"Data {version} {mark}", description=mark))
    await ada.ask(AddItems(dataset_id=dataset.id, items=(NewItem(variables={"word": mark}, expected=mark),)))
    await ada.ask(
        DraftPackageVersion(
            package_id=package_id,
            version=version,
            description=f"Description {mark}",
            readme=f"# Of {mark}",
            prompts=(ChosenPrompt(prompt.id, 1),),
            dataset_ids=(dataset.id,),
        )
    )
    await ada.ask(PublishPackageVersion(package_id=package_id, version=version))
    await branches.here.jobs_done()


async def _take_away(branches: Branches, ada: Context) -> None:
    """Files of hers: everything that is held of her, and an export that is compressed."""
    await ada.ask(RequestPersonalExport())
    await branches.here.process.context(ada.principal).ask(WritePersonalExport(user_id=ada.user_id))
    export = await ada.ask(RequestExport(source=ExportSource.EVENTS, format=ExportFormat.PARQUET))
    await branches.here.process.context(ada.principal).ask(RunExport(export_id=export.id))


async def _shop(branches: Branches, ada: Context, offer: ListingView) -> None:
    await ada.ask(AddFavourite(listing_id=offer.id))
    bought = await branches.here.buy(ada, offer)
    await ada.ask(WriteReview(purchase_id=bought.id, stars=4, text=f"Review of {MARK}"))
    await ada.ask(ReportListing(listing_id=offer.id, reason=ReportReason.COPIED, words=f"Report of {MARK}"))
    await ada.ask(RequestRefund(purchase_id=bought.id, words=f"Refund for {MARK}"))


async def _bring_others(branches: Branches, ada: Context, bob: Context) -> None:
    admin = await branches.here.person("admin", Role.ADMIN)
    wanted = ApplyForPartnership(name=f"Partner {MARK}", plan=f"I bring the {MARK}", website=f"https://{MARK}.example")
    made = await ada.ask(wanted)
    await decide(admin, made.id, PartnershipDecision.APPROVE)
    app = CreatePartnerApp(partner_id=made.id, name=f"App {MARK}", scopes=("prompts:read",))
    created = await ada.ask(app)
    trusted = branches.here.process.system.context(request_id="token", trusted=True)
    await trusted.ask(IssueAppToken(client_id=created.id, secret=created.secret or ""))
    for code in (MARK, UNSOLD):
        await ada.ask(CreateReferralCode(partner_id=made.id, code=code, label=f"Letter of {code}"))
        click = {"_id": f"{code}:2026-01-01", "code": code, "partner_id": made.id, "clicks": 1}
        await branches.mongo.collection("referral_clicks").insert_one(
            {**click, "day": datetime(2026, 1, 1, tzinfo=UTC)}
        )
    await buyer_of(branches, Affiliate(ada, made.id, UNSOLD), "dora")
    carl = await buyer_of(branches, Affiliate(ada, made.id, MARK), "carl")
    await branches.here.buy(carl, await branches.here.published(bob, "Brought by Ada", price="100"), "100")
    with anyio.fail_after(60):  # clicks are written every few seconds; the erasure is days later, but not in a test
        while await branches.count("referral_clicks", partner_id=made.id) < 4:
            await anyio.sleep(0.1)
    await decide(admin, made.id, PartnershipDecision.SUSPEND)
    release, reason = FreezeDecision.RELEASE, f"It was no {MARK}"
    await admin.ask(DecideFrozenEarnings(partner_id=made.id, term=0, decision=release, reason=reason))
    await ada.ask(AppealSuspension(partner_id=made.id, words=f"Without the {MARK} there is no partner"))


async def plant(mongo: Mongo, user_id: str) -> None:
    """What comes from outside of these processes, as it is stored."""
    now = datetime.now(UTC)
    await mongo.collection("users").update_one(
        {"_id": user_id}, {"$set": {"email": f"{MARK}@example.com", "settings": {"default_model": MARK}}}
    )
    customer = {"_id": user_id, "idempotency_key": f"customer:{user_id}", "customer_id": "cus_ada", "created_at": now}
    await mongo.collection("stripe_customers").insert_one(customer)
    about = {"id": "pi_1", "object": "payment_intent", "customer": "cus_ada", "receipt_email": f"{MARK}@example.com"}
    event = {
        "_id": new_id("whe"),
        "event_id": "evt_1",
        "type": "payment_intent.succeeded",
        "api_version": "2026-10-28.endive",
        "account": None,
        "payload": {"id": "evt_1", "data": {"object": about}},
        "state": "processed",
        "reason": None,
        "created_at": now,
    }
    await mongo.collection("webhook_events").insert_one(event)
    trader = {"name": f"Ada {MARK}", "city": MARK}
    details = {"_id": user_id, "sealed": "0a1b", "trader": trader, "updated_at": now}
    await mongo.collection("seller_details").insert_one(details)
    reply = {"_id": "key", "owner_id": user_id, "body": MARK.encode(), "expires_at": now + timedelta(days=1)}
    await mongo.collection("idempotency_keys").insert_one(reply)


async def time_has_come(branches: Branches, user_id: str) -> None:
    """The grace is over, and the schedule's job has come by."""
    past = datetime.now(UTC) - timedelta(minutes=1)
    await branches.mongo.collection("account_deletions").update_one({"_id": user_id}, {"$set": {"due_at": past}})
    await branches.here.process.context().enqueue(CloseDueAccounts())
    await branches.here.jobs_done()


async def erased(branches: Branches, user_id: str) -> None:
    """It is closed, and what was under way then has ended."""
    await time_has_come(branches, user_id)
    await time_has_come(branches, user_id)


def kept_fields() -> Iterator[tuple[str, str]]:
    """What the declarations say is kept."""
    for name, held in HELD.items():
        for subject in held.subjects:
            for field, mark in subject.fields.items():
                if mark.erased is Erased.KEPT:
                    yield name, field
