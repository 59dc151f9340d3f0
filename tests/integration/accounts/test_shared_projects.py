"""The end of an account whose projects others were in before: what those sell and have sold of its prompts."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from promptforge.actors.accounts.exports.messages import RequestPersonalExport
from promptforge.actors.accounts.messages import RequestDeletion
from promptforge.actors.datasets.messages import AddItems, CreateDataset, NewItem, UpdateDataset
from promptforge.actors.marketplace.messages import (
    GetPurchase,
    ListingView,
    PurchaseListing,
    PurchaseView,
    UpdateListing,
)
from promptforge.actors.projects.messages import AddMember, CreateProject, ProjectRole, RemoveMember
from promptforge.actors.prompts.drafts.messages import SaveDraft
from promptforge.actors.prompts.labels.messages import ListLabelMoves, ListLabels, MoveLabel
from promptforge.actors.prompts.messages import CreatePrompt, CreateVersion, ListVersions, PromptView, UpdatePrompt
from promptforge.actors.users.messages import UpdateProfile
from promptforge.core.context import Context
from promptforge.core.principal import Role
from tests.integration.accounts.lives import erased
from tests.integration.accounts.test_export import fetched, write
from tests.integration.marketplace.branches import Branches
from tests.support.market import raised

pytestmark = pytest.mark.anyio


@dataclass(frozen=True, slots=True)
class Shared:
    """Ada's project, which Bob was an owner of, and has sold from."""

    ada: Context
    bob: Context
    prompt: PromptView
    listing: ListingView
    draft: ListingView
    bought: PurchaseView
    """Carl's."""
    carl: Context


async def shared(branches: Branches) -> Shared:
    market = branches.here
    ada, bob = await market.person("ada", Role.SELLER), await market.person("bob", Role.SELLER)
    carl = await market.person("carl")
    await market.fund(carl, 100)
    await bob.ask(UpdateProfile(handle="bob"))
    project = await ada.ask(CreateProject(name="Newsroom"))
    await ada.ask(AddMember(project_id=project.id, handle="bob", roles=(ProjectRole.OWNER,)))
    prompts = []
    for name in ("Inner", "Sold", "Drafted", "Nobody's"):
        prompt = await ada.ask(CreatePrompt(name=name, project_id=project.id))
        include = "{{> Inner@1}}, " if name == "Sold" else ""
        await ada.ask(CreateVersion(prompt_id=prompt.id, content=f"{include}{name} one"))
        await ada.ask(CreateVersion(prompt_id=prompt.id, content=f"{include}{name} two"))
        await ada.ask(CreateVersion(prompt_id=prompt.id, content=f"{include}{name} three"))
        prompts.append(prompt)
    listing = await market.approved(bob, await market.drafted(bob, prompts[1], "Bob's"))
    bought = await market.buy(carl, listing)
    await bob.ask(UpdateListing(listing_id=listing.id, version=2))
    draft = await market.drafted(bob, prompts[2], "Bob's other one")
    await bob.ask(RemoveMember(project_id=project.id, user_id=bob.user_id))
    return Shared(ada, bob, prompts[1], listing, draft, bought, carl)


async def test_what_others_have_sold_of_a_project_that_goes_stays_with_those_who_bought_it(branches: Branches) -> None:
    there = await shared(branches)
    await there.ada.ask(RequestDeletion())
    await erased(branches, there.ada.user_id)
    content = (await there.carl.ask(GetPurchase(purchase_id=there.bought.id))).content
    assert content == "Inner one, Sold one"
    rows = await branches.mongo.collection("prompt_versions").find({}).to_list(None)
    left = sorted((row["content"], row["version"]) for row in rows)
    include = "{{> Inner@1}}, "
    sold = [(f"{include}Sold one", 1), (f"{include}Sold two", 2)]
    assert left == sorted([("Inner one", 1), ("Drafted one", 1), *sold]), "what Bob sells, drafted and proposed to sell"
    assert await branches.ledger_is_right()


async def test_what_nobody_bought_of_a_seller_who_was_erased_before_goes_too(branches: Branches) -> None:
    there = await shared(branches)
    for person in (there.bob, there.ada):
        await person.ask(RequestDeletion(give_up_credits=True))
        await erased(branches, person.user_id)
    assert (await there.carl.ask(GetPurchase(purchase_id=there.bought.id))).content == "Inner one, Sold one"
    rows = await branches.mongo.collection("prompt_versions").find({}).to_list(None)
    assert sorted((row["content"], row["version"]) for row in rows) == [
        ("Inner one", 1),
        ("{{> Inner@1}}, Sold one", 1),
    ]
    assert await branches.ledger_is_right()


async def test_what_others_sell_of_a_project_that_goes_is_sold_and_read_as_before(branches: Branches) -> None:
    there, market = await shared(branches), branches.here
    await there.ada.ask(RequestDeletion())
    await erased(branches, there.ada.user_id)
    dave = await market.person("dave")
    await market.fund(dave, 100)
    bought = await market.buy(dave, there.listing)
    assert (await dave.ask(GetPurchase(purchase_id=bought.id))).content == "Inner one, Sold one"
    later = await market.approved(there.bob, there.draft)
    bought = await market.buy(dave, later)
    assert (await dave.ask(GetPurchase(purchase_id=bought.id))).content == "Drafted one"
    assert await branches.ledger_is_right()


@pytest.mark.parametrize("lost", ["Sold", "Inner"])
async def test_nothing_is_paid_for_what_cannot_be_read(branches: Branches, lost: str) -> None:
    """As a version that an erasure took away before it knew of others' listings."""
    there = await shared(branches)
    gone = await branches.mongo.collection("prompts").find_one({"name": lost})
    assert gone is not None
    await branches.mongo.collection("prompt_versions").delete_one({"prompt_id": gone["_id"], "version": 1})
    dave = await branches.here.person("dave")
    await branches.here.fund(dave, 100)
    before = await branches.count("ledger_journals")
    wanted = PurchaseListing(listing_id=there.listing.id, expected_price="10")
    assert await raised(dave, wanted) == "not_for_sale"
    assert await branches.count("purchases", buyer_id=dave.user_id) == 0
    assert await branches.count("entitlements", buyer_id=dave.user_id) == 0
    assert await branches.count("ledger_journals") == before
    assert await branches.ledger_is_right()


async def export_of(branches: Branches, person: Context) -> dict[str, str]:
    await person.ask(RequestPersonalExport())
    await write(branches, person)
    return await fetched(person)


async def test_an_export_shows_what_others_write_only_to_who_is_in_the_project(branches: Branches) -> None:
    """Bob has made a prompt and a dataset in Ada's project, and drafted and labelled; then he is not in it any more."""
    ada, bob = await branches.here.person("ada"), await branches.here.person("bob")
    await bob.ask(UpdateProfile(handle="bob"))
    project = await ada.ask(CreateProject(name="Newsroom"))
    await ada.ask(AddMember(project_id=project.id, handle="bob", roles=(ProjectRole.OWNER,)))
    prompt = await bob.ask(CreatePrompt(name="Begun", project_id=project.id, description="words of bob"))
    await bob.ask(CreateVersion(prompt_id=prompt.id, content="version of bob", message="message of bob"))
    await bob.ask(MoveLabel(prompt_id=prompt.id, label="staging", version=1, reason="reason of bob"))
    await bob.ask(SaveDraft(prompt_id=prompt.id, content="draft of bob"))
    other = await ada.ask(CreatePrompt(name="Other", project_id=project.id))
    await bob.ask(SaveDraft(prompt_id=other.id, content="another draft of bob"))
    dataset = await bob.ask(CreateDataset(name="Begun too", project_id=project.id))
    await bob.ask(AddItems(dataset_id=dataset.id, items=(NewItem(variables={"a": "item of bob"}),)))

    async def ada_writes(words: str) -> None:
        await ada.ask(UpdatePrompt(prompt_id=prompt.id, name=f"{words} name", description=words, tags=("canaryheron",)))
        await ada.ask(UpdateDataset(dataset_id=dataset.id, name=f"{words} name", description=words))
        await ada.ask(CreateVersion(prompt_id=prompt.id, content=words, message=words))
        await ada.ask(SaveDraft(prompt_id=prompt.id, content=f"draft: {words}"))
        await ada.ask(AddItems(dataset_id=dataset.id, items=(NewItem(variables={"a": words}),)))

    await ada_writes("canaryheron")
    inside = await export_of(branches, bob)
    assert [name for name, text in sorted(inside.items()) if "canaryheron" in text] == ["datasets.json", "prompts.json"]
    await ada.ask(RemoveMember(project_id=project.id, user_id=bob.user_id))
    await ada_writes("canaryheron later")
    outside = await export_of(branches, bob)
    assert [name for name, text in outside.items() if "canaryheron" in text] == []
    (row,) = [row for row in json.loads(outside["prompts.json"]) if row["_id"] == prompt.id]
    assert (row["project_id"], row["created_by"], row["latest_version"]) == (project.id, bob.user_id, 3)
    assert not {"name", "description", "tags", "folder", "kind"} & row.keys()
    (row,) = json.loads(outside["datasets.json"])
    assert row["_id"] == dataset.id
    own = {
        "prompt_versions.json": ("version of bob", "message of bob"),
        "prompt_labels.json": ("reason of bob",),
        "prompt_label_moves.json": ("reason of bob",),
        "prompt_drafts.json": ("another draft of bob",),
        "dataset_items.json": ("item of bob",),
    }
    assert [(name, word) for name, words in own.items() for word in words if word not in outside[name]] == []


async def test_of_who_has_left_the_projects_of_others_keep_the_contents_and_no_reasons(branches: Branches) -> None:
    ada, bob = await branches.here.person("ada"), await branches.here.person("bob")
    await ada.ask(UpdateProfile(handle="ada"))
    project = await bob.ask(CreateProject(name="Newsroom"))
    await bob.ask(AddMember(project_id=project.id, handle="ada", roles=(ProjectRole.OWNER,)))
    prompt = await bob.ask(CreatePrompt(name="Shared", project_id=project.id))
    for person, name in ((ada, "ada"), (bob, "bob")):
        await person.ask(CreateVersion(prompt_id=prompt.id, content=f"version of {name}", message=f"message of {name}"))
        await person.ask(MoveLabel(prompt_id=prompt.id, label=name, version=1, reason=f"reason of {name}"))
    await ada.ask(RequestDeletion())
    await erased(branches, ada.user_id)
    versions = (await bob.ask(ListVersions(prompt_id=prompt.id))).items
    assert [(one.content, one.message) for one in versions] == [
        ("version of bob", "message of bob"),
        ("version of ada", None),
    ]
    told = {"ada": None, "bob": "reason of bob"}
    labels = (await bob.ask(ListLabels(prompt_id=prompt.id))).items
    assert {one.label: one.reason for one in labels if one.label in told} == told
    moves = (await bob.ask(ListLabelMoves(prompt_id=prompt.id))).items
    assert {one.label: one.reason for one in moves} == told
