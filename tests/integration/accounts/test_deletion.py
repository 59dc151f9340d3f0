"""The end of an account: what it waits for, what it leaves, and what others keep."""

from __future__ import annotations

from datetime import timedelta

import pytest

from promptforge.actors.accounts.messages import (
    CancelDeletion,
    CloseDueAccounts,
    DeletionState,
    GetDeletion,
    Obstacle,
    RequestDeletion,
)
from promptforge.actors.billing.links.learning import learn_instruments
from promptforge.actors.billing.links.store import LinkStore
from promptforge.actors.billing.messages import WebhookEventState
from promptforge.actors.marketplace.messages import GetPurchase
from promptforge.actors.packages.messages import DownloadPackage
from promptforge.actors.partnerships.referrals.messages import CreateReferralCode
from promptforge.actors.projects.messages import AddMember, CreateProject, ListMembers, ProjectRole, SetMemberRoles
from promptforge.actors.prompts.messages import CreateVersion
from promptforge.actors.users.messages import GetNames, GetPublicProfile, UpdateProfile
from promptforge.actors.users.staff.messages import SuspendAccount
from promptforge.core.context import Context
from promptforge.core.errors import AccountClosed, PromptForgeError
from promptforge.core.ids import new_id
from promptforge.core.messages import Message
from promptforge.core.mongo import Document
from promptforge.core.principal import Role
from promptforge.deploy.accounts import HELD
from tests.integration.accounts.lives import MARK, SOLD, UNSOLD, erased, kept_fields, live, time_has_come
from tests.integration.marketplace.branches import Branches
from tests.integration.partnerships.referred import affiliate
from tests.support.market import raised
from tests.support.traces import traces

pytestmark = pytest.mark.anyio


async def state_of(branches: Branches, user_id: str) -> str:
    row = await branches.mongo.collection("account_deletions").find_one({"_id": user_id})
    assert row is not None
    return str(row["state"])


async def problem(person: Context, message: Message[object]) -> dict[str, object]:
    with pytest.raises(PromptForgeError) as caught:
        await person.ask(message)
    return {"code": caught.value.code, **caught.value.extra}


async def test_nothing_personal_remains_but_what_is_declared_and_buyers_keep_what_they_bought(
    branches: Branches,
) -> None:
    life = await live(branches)
    marked = await traces(branches.mongo, MARK)
    assert len({collection for collection, _ in marked}) >= 20, "Ada has left marks"
    deletion = await life.ada.ask(RequestDeletion(give_up_credits=True))
    assert deletion.state is DeletionState.SCHEDULED
    await erased(branches, life.ada.user_id)
    assert await state_of(branches, life.ada.user_id) == "erased"
    left = await traces(branches.mongo, MARK)
    bought_file = {
        *(("files", f"{kit}-{MARK}-1.0.0.zip") for kit in ("kit", "recalled")),
        ("files.files", "filename"),
        ("files.chunks", "data"),
    }
    assert bought_file <= left
    left -= bought_file
    assert left <= set(kept_fields()), "where something of Ada's is left that is not kept for a reason"
    assert left == {
        ("ledger_freezes", "reason"),
        ("ledger_journals", "refs"),
        ("ledger_sales", "code"),
        ("referral_codes", "code"),
        *(("referral_clicks", field) for field in ("_id", "code")),
        ("referral_attributions", "code"),
        ("packages", "name"),
        *(("package_installs", field) for field in ("name", "prompts", "datasets")),
        *(("package_versions", field) for field in ("name", "description", "readme", "manifest")),
        ("prompt_versions", "content"),
        ("prompt_drafts", "content"),
        *(("prompts", field) for field in ("name", "description", "folder", "tags")),
        *(("datasets", field) for field in ("name", "description")),
        *(("dataset_items", field) for field in ("variables", "expected")),
        ("purchases", "title"),
        ("purchases", "package"),
        ("seller_details", "trader"),
    }
    assert await traces(branches.mongo, UNSOLD) == set(), "what nobody has bought of what was sold"
    pat = await affiliate(branches, "pat")
    for code in (UNSOLD, UNSOLD.upper(), MARK):
        assert await raised(pat.context, CreateReferralCode(partner_id=pat.partner_id, code=code)) == "code_taken"
    content = (await life.bob.ask(GetPurchase(purchase_id=life.bought.id))).content
    assert content == SOLD
    assert await branches.count("files.files") == 2
    file = await life.bob.ask(DownloadPackage(package_id=life.kit.prompt_id, version="1.0.0"))
    assert len(b"".join([piece async for piece in file.read(0, file.size)])) == file.size
    assert await branches.ledger_is_right()


async def test_what_is_included_in_what_was_sold_stays_and_no_other_version_of_it(branches: Branches) -> None:
    market = branches.here
    ada, bob = await market.person("ada", Role.SELLER), await market.person("bob")
    await market.fund(bob, 100)
    innermost, inner = await market.prompt(ada, "Innermost", "first"), await market.prompt(ada, "Inner", "none")
    for prompt, content in ((innermost, "later"), (inner, "{{> Innermost@1}} and last"), (inner, "later")):
        await ada.ask(CreateVersion(prompt_id=prompt.id, content=content))
    prompt = await market.prompt(ada, "Outer", "{{> Inner@2}}.")
    listing = await market.approved(ada, await market.drafted(ada, prompt, "Outer"))
    bought = await market.buy(bob, listing)
    before = (await bob.ask(GetPurchase(purchase_id=bought.id))).content
    assert before == "first and last."
    await ada.ask(RequestDeletion(give_up_credits=True))
    await erased(branches, ada.user_id)
    assert (await bob.ask(GetPurchase(purchase_id=bought.id))).content == before
    rows = await branches.mongo.collection("prompt_versions").find({}).to_list(None)
    left = {(row["prompt_id"], row["version"]) for row in rows}
    assert left == {(prompt.id, 1), (inner.id, 2), (innermost.id, 1)}


async def test_the_events_of_one_person_are_found_among_all_by_indexes(branches: Branches) -> None:
    """They are kept for good, so there are many: erasing somebody must not read them all."""
    events = branches.mongo.collection("webhook_events")
    about = {"customer": "cus_other", "charge": "ch_other", "client_reference_id": "usr_other"}
    rows: list[Document] = [
        {"event_id": f"evt_{n}", "account": "acct_other", "payload": {"data": {"object": {"id": f"pi_{n}", **about}}}}
        for n in range(500)
    ]
    await events.insert_many([{"_id": new_id("whe"), "type": "x", "state": "processed", **row} for row in rows])
    for subject in HELD["webhook_events"].subjects:
        wanted = {"$and": [{subject.path: {"$in": ["of nobody", "of nobody else"]}}, {}]}
        find = {"find": "webhook_events", "filter": wanted, "sort": {"_id": 1}, "limit": 200}
        plan = await branches.mongo.raw.command({"explain": find, "verbosity": "executionStats"})
        stats = plan["executionStats"]
        assert (stats["totalDocsExamined"], stats["totalKeysExamined"] <= 2) == (0, True), subject.path


async def test_of_an_event_of_stripes_is_left_what_it_is_applied_by_however_it_stands(branches: Branches) -> None:
    """Of a dispute whose event is quarantined or dead, an operator's replay must still take the credits."""
    ada = await branches.here.person("ada")
    await branches.mongo.collection("stripe_customers").insert_one({"_id": ada.user_id, "customer_id": "cus_ada"})
    events = branches.mongo.collection("webhook_events")
    needed: Document = {"object": "dispute", "id": "dp_1"}
    evidence = {"customer": "cus_ada", "evidence": {"customer_name": "Ada"}, "currency": ["ada@example.com"]}
    told: Document = {"data": {"object": {**needed, **evidence}}, "request": {"id": "req_ada"}}
    rows: list[Document] = [
        {"_id": new_id("whe"), "event_id": f"evt_{state}", "type": "x", "state": state.value, "payload": told}
        for state in WebhookEventState
    ]
    await events.insert_many(rows)
    await ada.ask(RequestDeletion())
    await erased(branches, ada.user_id)
    left = {row["state"]: row["payload"] for row in await events.find({}).to_list(None)}
    assert left == {state.value: {"data": {"object": needed}} for state in WebhookEventState}


async def test_a_second_look_a_day_later_ends_it(branches: Branches) -> None:
    life = await live(branches)
    await life.ada.ask(RequestDeletion(give_up_credits=True))
    await erased(branches, life.ada.user_id)
    late = {"_id": new_id("ntf"), "user_id": life.ada.user_id, "dedupe_key": "late", "title": MARK}
    await branches.mongo.collection("notifications").insert_one(late)
    await time_has_come(branches, life.ada.user_id)
    assert await state_of(branches, life.ada.user_id) == "done"
    assert ("notifications", "title") not in await traces(branches.mongo, MARK)
    row = await branches.mongo.collection("account_deletions").find_one({"_id": life.ada.user_id})
    assert row is not None
    assert row["uid"] is None


async def test_cards_are_known_again_for_two_years_and_then_forgotten(branches: Branches) -> None:
    ada, bob = await branches.here.person("ada"), await branches.here.person("bob")
    links = LinkStore(branches.mongo)
    for person, used in ((ada, ["card:own", "card:shared"]), (bob, ["card:shared"])):

        async def learn(tx: Context, user_id: str = person.user_id, used: list[str] = used) -> None:
            await learn_instruments(links, user_id, used, tx)

        await person.transaction(learn)
    await ada.ask(RequestDeletion())
    await erased(branches, ada.user_id)
    await time_has_come(branches, ada.user_id)
    row = await branches.mongo.collection("account_deletions").find_one({"_id": ada.user_id})
    assert row is not None
    assert (row["state"], (row["due_at"] - ada.now()).days) == ("done", 729)
    assert await links.are_linked(ada.user_id, bob.user_id)
    await time_has_come(branches, ada.user_id)
    assert await state_of(branches, ada.user_id) == "forgotten"
    instruments = await branches.mongo.collection("payment_instruments").find({}).to_list(None)
    assert {row["_id"]: row["user_ids"] for row in instruments} == {"card:shared": [bob.user_id]}
    assert await branches.count("account_links", _id=ada.user_id) == 0
    await time_has_come(branches, ada.user_id)
    assert await state_of(branches, ada.user_id) == "forgotten"


async def test_what_is_kept_for_a_term_goes_when_it_is_over_and_not_before(branches: Branches) -> None:
    """Six years after a decision was made; ten after the account was erased, where nothing else has a time."""
    admin, ada = await branches.here.person("admin", Role.ADMIN), await branches.here.person("ada")
    for reason in ("old", "young"):
        await admin.ask(SuspendAccount(user_id=ada.user_id, reason=f"{reason} reason"))
    await branches.mongo.collection("seller_details").insert_one({
        "_id": ada.user_id, "sealed": "0a1b", "trader": {"name": "Ada"}, "updated_at": ada.now()
    })  # fmt: skip
    await ada.ask(RequestDeletion())
    await erased(branches, ada.user_id)
    deletions, events = (branches.mongo.collection(name) for name in ("account_deletions", "account_events"))

    async def left() -> tuple[set[str], object]:
        await time_has_come(branches, ada.user_id)
        reasons = {row["reason"] for row in await events.find({"user_id": ada.user_id}).to_list(None)}
        details = await branches.mongo.collection("seller_details").find_one({"_id": ada.user_id})
        assert details is not None
        return reasons, (details["sealed"], details["trader"])

    years = timedelta(days=366)
    there = ("0a1b", {"name": "Ada"})
    for made, age in (("old", 6 * years), ("young", 6 * years - timedelta(days=1))):
        await events.update_one({"reason": f"{made} reason"}, {"$set": {"created_at": ada.now() - age}})
    assert await left() == ({"old reason", "young reason"}, there), "the second look"
    assert await left() == ({"[removed]", "young reason"}, there)
    assert await state_of(branches, ada.user_id) == "forgotten"
    for erased_for, expected in ((10 * years - timedelta(days=1), there), (10 * years, (None, None))):
        await deletions.update_one({"_id": ada.user_id}, {"$set": {"erased_at": ada.now() - erased_for}})
        assert await left() == ({"[removed]", "young reason"}, expected)
    row = await deletions.find_one({"_id": ada.user_id})
    assert row is not None
    assert 80 < (row["due_at"] - ada.now()).days < 91, "and so on"
    assert await state_of(branches, ada.user_id) == "forgotten"


async def test_what_is_written_of_somebody_after_the_erasure_goes_at_the_next_visit(branches: Branches) -> None:
    """And ids at Stripe, in whatever names them, when the ten years of the others are over."""
    ada = await branches.here.person("ada")
    collection = branches.mongo.collection
    await collection("stripe_customers").insert_one({"_id": ada.user_id, "customer_id": "cus_ada"})
    await collection("connect_accounts").insert_one({"_id": ada.user_id, "account_id": "acct_ada"})
    checkout = {"_id": new_id("chk"), "user_id": ada.user_id, "customer_id": "cus_ada", "url": None, "state": "paid"}
    await collection("checkouts").insert_one(checkout)
    told: Document = {"object": "transfer", "id": "tr_1", "destination": "acct_ada", "description": "For Ada"}
    events: list[Document] = [
        {"event_id": "evt_1", "account": None, "payload": {"data": {"object": told}}},
        {"event_id": "evt_2", "account": "acct_ada", "payload": {"data": {"object": {"id": "acct_ada"}}}},
    ]
    await collection("webhook_events").insert_many(
        [{"_id": new_id("whe"), "type": "x", "state": "processed", **event} for event in events]
    )

    async def left() -> Document:
        rows = await collection("webhook_events").find({}).to_list(None)
        return {row["event_id"]: (row["account"], row["payload"]) for row in rows}

    await ada.ask(RequestDeletion())
    await erased(branches, ada.user_id)
    reduced = {
        "evt_1": (None, {"data": {"object": {"object": "transfer", "id": "tr_1"}}}),
        "evt_2": ("acct_ada", {"data": {"object": {"id": "acct_ada"}}}),
    }
    assert await left() == reduced
    await collection("connect_accounts").update_one({"_id": ada.user_id}, {"$set": {"facts": {"bank": "ba_ada"}}})
    for _ in range(2):
        await time_has_come(branches, ada.user_id)
    assert await state_of(branches, ada.user_id) == "forgotten"
    account = await collection("connect_accounts").find_one({"_id": ada.user_id})
    assert account is not None
    assert (account["account_id"], account["facts"]) == ("acct_ada", None)
    assert await left() == reduced
    ten_years = {"$set": {"erased_at": ada.now() - 10 * timedelta(days=366)}}
    await collection("account_deletions").update_one({"_id": ada.user_id}, ten_years)
    await time_has_come(branches, ada.user_id)
    assert await left() == {"evt_1": (None, reduced["evt_1"][1]), "evt_2": (None, {})}
    kept = await collection("checkouts").find_one({"_id": checkout["_id"]})
    assert kept is not None
    assert kept["customer_id"] is None


async def test_nobody_is_found_signs_in_or_is_named_afterwards(branches: Branches) -> None:
    ada = await branches.here.person("ada")
    await ada.ask(UpdateProfile(handle="ada-before"))
    await ada.ask(UpdateProfile(handle="ada", display_name="Ada"))
    await ada.ask(RequestDeletion())
    await erased(branches, ada.user_id)
    bob = await branches.here.person("bob")
    assert await raised(bob, GetPublicProfile(handle="ada")) == "not_found"
    system = branches.here.process.system
    (name,) = await system.context(request_id="r", trusted=True).ask(GetNames(user_ids=(ada.user_id,)))
    assert (name.handle, name.display_name) == (None, "Deleted user")
    eve = await branches.here.person("eve")
    for handle in ("ada", "Ada", "ada-before"):
        assert await raised(eve, UpdateProfile(handle=handle)) == "handle_taken", "nobody passes for who has left"
    with pytest.raises(AccountClosed):
        await branches.here.person("ada")  # with a token from before, which is good for an hour
    await time_has_come(branches, ada.user_id)
    again = await branches.here.person("ada")
    assert again.user_id != ada.user_id, "who signs in again with the same sign-in begins anew"


async def test_until_it_is_due_it_can_be_taken_back(branches: Branches) -> None:
    ada = await branches.here.person("ada")
    assert await raised(ada, GetDeletion()) == "not_found"
    asked = await ada.ask(RequestDeletion())
    assert (asked.due_at - asked.requested_at).days == 30
    assert await ada.ask(RequestDeletion()) == asked, "asked again, nothing changes"
    told = await branches.here.notices(ada)
    assert [notice.kind for notice in told] == ["account.deletion"]
    cancelled = await ada.ask(CancelDeletion())
    assert cancelled.state is DeletionState.CANCELLED
    await time_has_come(branches, ada.user_id)
    assert await state_of(branches, ada.user_id) == "cancelled"
    assert await raised(ada, CancelDeletion()) == "nothing_to_cancel"
    assert (await branches.here.person("ada")).user_id == ada.user_id


async def test_nothing_happens_before_it_is_due(branches: Branches) -> None:
    ada = await branches.here.person("ada")
    await ada.ask(RequestDeletion())
    await branches.here.process.context().enqueue(CloseDueAccounts())
    await branches.here.jobs_done()
    assert await state_of(branches, ada.user_id) == "scheduled"


async def test_what_keeps_an_account_is_named(branches: Branches) -> None:
    ada = await branches.here.person("ada")
    await branches.here.fund(ada, 5)
    users = branches.mongo.collection("users")
    await users.update_one({"_id": ada.user_id}, {"$set": {"credits.debt": -1, "credits.reserved": 1}})
    await branches.mongo.collection("ledger_topups").insert_one(
        {"_id": "topup:1", "user_id": ada.user_id, "frozen_by": ["dp_1"]}
    )
    for name, state in (("payouts", "requested"), ("subscriptions", "active")):
        await branches.mongo.collection(name).insert_one({**_PLANTED[name], "user_id": ada.user_id, "state": state})
    await pay(branches, ada, "processing")
    told = await problem(ada, RequestDeletion())
    every = {obstacle.value for obstacle in Obstacle} - {"shared_projects", "last_administrator"}
    assert (told["code"], set(told["obstacles"])) == ("deletion_blocked", every)  # type: ignore[call-overload]  # JSON


async def pay(branches: Branches, person: Context, state: str, *, hours_ago: float = 0) -> None:
    """They have begun a payment."""
    began = person.now() - timedelta(hours=hours_ago)
    await branches.mongo.collection("checkouts").insert_one(
        {"_id": new_id("chk"), "user_id": person.user_id, "state": state, "created_at": began}
    )


async def test_money_that_is_under_way_is_waited_for_and_a_page_until_it_has_passed(branches: Branches) -> None:
    ada, bob = await branches.here.person("ada"), await branches.here.person("bob")
    await pay(branches, ada, "open")
    await pay(branches, bob, "open", hours_ago=26)
    for person in (ada, bob):
        await person.ask(RequestDeletion())
        await time_has_come(branches, person.user_id)
    assert await state_of(branches, bob.user_id) == "closing"
    seen = await ada.ask(GetDeletion())
    assert (seen.state, seen.obstacles) == (DeletionState.SCHEDULED, (Obstacle.PAYMENT,))
    await branches.mongo.collection("checkouts").update_many({}, {"$set": {"state": "processing"}})
    await time_has_come(branches, ada.user_id)
    assert await state_of(branches, ada.user_id) == "scheduled"
    await branches.mongo.collection("checkouts").update_many({}, {"$set": {"state": "paid"}})
    await time_has_come(branches, ada.user_id)
    assert await state_of(branches, ada.user_id) == "closing"


async def test_what_has_come_up_since_delays_it_and_is_told(branches: Branches) -> None:
    ada = await branches.here.person("ada")
    await ada.ask(RequestDeletion())
    await branches.here.fund(ada, 5)
    await time_has_come(branches, ada.user_id)
    seen = await ada.ask(GetDeletion())
    assert (seen.state, seen.obstacles) == (DeletionState.SCHEDULED, (Obstacle.CREDITS_LEFT,))
    assert sum(notice.kind == "account.deletion" for notice in await branches.here.notices(ada)) == 2
    await ada.ask(RequestDeletion(give_up_credits=True))
    await erased(branches, ada.user_id)
    assert await state_of(branches, ada.user_id) == "erased"
    assert await branches.ledger_is_right()


async def test_a_project_that_others_are_in_needs_another_owner(branches: Branches) -> None:
    ada, bob = await branches.here.person("ada"), await branches.here.person("bob")
    await bob.ask(UpdateProfile(handle="bob"))
    project = await ada.ask(CreateProject(name="Newsroom"))
    await ada.ask(AddMember(project_id=project.id, handle="bob", roles=(ProjectRole.EDITOR,)))
    told = await problem(ada, RequestDeletion())
    assert told["obstacles"] == ["shared_projects"]
    await ada.ask(SetMemberRoles(project_id=project.id, user_id=bob.user_id, roles=(ProjectRole.OWNER,)))
    await ada.ask(RequestDeletion())
    await time_has_come(branches, ada.user_id)
    members = (await bob.ask(ListMembers(project_id=project.id))).items
    assert [member.user_id for member in members] == [bob.user_id]


_PLANTED: dict[str, dict[str, object]] = {
    "payouts": {
        "_id": new_id("pay"),
        "account_id": "acct_1",
        "amount": 1,
        "money": 1,
        "currency": "usd",
        "rate": "1/1",
        "created_at": None,
        "reason": None,
        "key_number": 0,
        "key_stored_at": None,
        "look_first": False,
        "waits": 0,
        "transfer_id": None,
        "transferred_at": None,
        "reversed_money": 0,
        "bank_status": None,
        "sent_at": None,
        "ended_at": None,
    },
    "subscriptions": {
        "_id": new_id("sub"),
        "plan": {"id": "x", "credits": 1, "bonus": 0, "price_minor_units": 1, "currency": "usd"},
        "idempotency_key": "key",
        "customer_id": None,
        "session_id": None,
        "stripe_id": None,
        "url": None,
        "paid_until": None,
        "ends_at": None,
        "created_at": None,
    },
}
