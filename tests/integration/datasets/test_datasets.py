"""Datasets on a real MongoDB: revisions that stay, batches that are whole, rights of the project."""

from __future__ import annotations

from typing import Any

import pytest

from promptforge.actors.datasets import messages
from promptforge.actors.datasets.messages import (
    AddItems,
    CreateDataset,
    DatasetView,
    DeleteDataset,
    DeleteItem,
    FreezeDataset,
    GetDataset,
    ItemView,
    ListDatasets,
    ListItems,
    NewItem,
    ReadItems,
    ReplaceItem,
    UpdateDataset,
)
from promptforge.actors.projects.messages import AddMember, CreateProject, ProjectRole
from promptforge.actors.users.messages import UpdateProfile
from promptforge.core.context import Context
from promptforge.core.errors import Invalid
from tests.integration.marketplace.branches import Branches, Interrupted, all_at_once, interrupt
from tests.support.market import raised

pytestmark = pytest.mark.anyio
SCHEMA = {"type": "object", "properties": {"word": {"type": "string", "maxLength": 5}}, "required": ["word"]}


def said(*words: Any) -> tuple[NewItem, ...]:
    return tuple(NewItem({"word": word}, expected=str(word)) for word in words)


def trusted(person: Context) -> Context:
    """As another feature asks, on this person's behalf."""
    context = person.derive()
    context.trusted = True
    return context


async def made(person: Context, *words: str, **fields: Any) -> tuple[DatasetView, tuple[str, ...]]:
    dataset = await person.ask(CreateDataset(name="Words", **fields))
    if not words:
        return dataset, ()
    added = await person.ask(AddItems(dataset_id=dataset.id, items=said(*words)))
    return await person.ask(GetDataset(dataset_id=dataset.id)), added.item_ids


async def words(person: Context, dataset_id: str, revision: int | None = None) -> list[str]:
    found: list[ItemView] = []
    cursor = None
    while True:
        page = await person.ask(ListItems(dataset_id=dataset_id, revision=revision, cursor=cursor, limit=2))
        found += page.items
        cursor = page.next
        if cursor is None:
            return [item.variables["word"] for item in found]


async def test_items_are_listed_in_the_order_in_which_they_were_added(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    dataset, ids = await made(carla, "one", "two", "three", "four", "five")
    assert (dataset.revision, dataset.item_count, len(set(ids))) == (2, 5, 5)
    assert await words(carla, dataset.id) == ["one", "two", "three", "four", "five"]
    assert [view.id for view in (await carla.ask(ListDatasets())).items] == [dataset.id]


async def test_a_frozen_revision_stays_and_others_leave_nothing_behind(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    dataset, (one, two, three) = await made(carla, "one", "two", "three")
    await carla.ask(ReplaceItem(dataset_id=dataset.id, item_id=one, variables={"word": "uno"}))
    assert await branches.count("dataset_items") == 3  # nobody had used what it was
    frozen = await trusted(carla).ask(FreezeDataset(dataset_id=dataset.id))
    assert (frozen.revision, frozen.item_count) == (3, 3)
    await carla.ask(ReplaceItem(dataset_id=dataset.id, item_id=one, variables={"word": "ein"}))
    await carla.ask(ReplaceItem(dataset_id=dataset.id, item_id=one, variables={"word": "une"}))
    await carla.ask(DeleteItem(dataset_id=dataset.id, item_id=two))
    await carla.ask(AddItems(dataset_id=dataset.id, items=said("four")))
    assert await words(carla, dataset.id) == ["une", "three", "four"]
    assert await words(carla, dataset.id, frozen.revision) == ["uno", "two", "three"]
    read = await trusted(carla).ask(ReadItems(dataset_id=dataset.id, revision=frozen.revision, after=one))
    assert [item.id for item in read] == [two, three]
    assert await branches.count("dataset_items") == 5  # "ein" was in no revision that anybody used
    assert (await carla.ask(GetDataset(dataset_id=dataset.id))).item_count == 3
    assert await raised(carla, DeleteItem(dataset_id=dataset.id, item_id=two)) == "not_found"
    assert (await carla.ask(GetDataset(dataset_id=dataset.id))).item_count == 3


async def test_a_batch_is_taken_whole_or_not_at_all(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    dataset, _ = await made(carla, variables_schema=SCHEMA)
    with pytest.raises(Invalid) as refused:
        await carla.ask(AddItems(dataset_id=dataset.id, items=said("one", "too long", 3)))
    assert [error.pointer for error in refused.value.errors] == ["/items/1/variables/word", "/items/2/variables/word"]
    branches.transactions.before_commit = interrupt
    with pytest.raises(Interrupted):
        await carla.ask(AddItems(dataset_id=dataset.id, items=said("one")))
    assert await branches.count("dataset_items") == 0
    assert (await carla.ask(GetDataset(dataset_id=dataset.id))).revision == 1
    too_large = NewItem({"word": "x"}, expected="y" * 32_768, metadata={str(n): "z" * 1000 for n in range(40)})
    assert await raised(carla, AddItems(dataset_id=dataset.id, items=(too_large,))) == "invalid_request"


async def test_the_schema_holds_for_replacements_and_is_refused_where_items_break_it(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    dataset, (one,) = await made(carla, "a long word")
    change = UpdateDataset(dataset_id=dataset.id, variables_schema=SCHEMA, name="Short words")
    assert await raised(carla, change) == "items_do_not_fit"
    await carla.ask(ReplaceItem(dataset_id=dataset.id, item_id=one, variables={"word": "short"}))
    assert (await carla.ask(change)).variables_schema == SCHEMA
    replace = ReplaceItem(dataset_id=dataset.id, item_id=one, variables={"word": 1})
    assert await raised(carla, replace) == "invalid_request"
    assert await raised(carla, CreateDataset(name="x", variables_schema={"$ref": "#"})) == "invalid_request"
    assert (await carla.ask(UpdateDataset(dataset_id=dataset.id, variables_schema=None))).variables_schema is None


async def test_two_processes_that_add_at_once_keep_count_and_bound(
    branches: Branches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("promptforge.actors.datasets.actor.MAX_ITEMS", 7)
    here, there = await branches.person("carla")
    dataset, _ = await made(here)
    add = AddItems(dataset_id=dataset.id, items=said("one", "two"))
    outcomes = await all_at_once([(here, add), (there, add), (here, add), (there, add), (here, add)])
    assert outcomes == {"done": 3, "dataset_full": 2}
    view = await here.ask(GetDataset(dataset_id=dataset.id))
    assert (view.item_count, view.revision) == (6, 4)
    assert len(await words(here, dataset.id)) == 6
    assert messages.MAX_ITEMS == 10_000


async def test_a_deleted_dataset_is_gone_with_its_items(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    dataset, _ = await made(carla, "one")
    await trusted(carla).ask(FreezeDataset(dataset_id=dataset.id))
    await carla.ask(DeleteDataset(dataset_id=dataset.id))
    assert await raised(carla, GetDataset(dataset_id=dataset.id)) == "not_found"
    assert await raised(trusted(carla), ReadItems(dataset_id=dataset.id, revision=2)) == "not_found"
    await branches.here.jobs_done()
    assert await branches.count("dataset_items") == 0


async def test_the_projects_roles_say_who_may_what(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    victor, _ = await branches.person("victor")
    eve, _ = await branches.person("eve")
    await victor.ask(UpdateProfile(handle="victor"))
    project = await carla.ask(CreateProject(name="Newsroom"))
    await carla.ask(AddMember(project_id=project.id, handle="victor", roles=(ProjectRole.VIEWER,)))
    dataset, (item,) = await made(carla, "one", project_id=project.id)
    assert (await victor.ask(GetDataset(dataset_id=dataset.id))).id == dataset.id
    writes = (
        CreateDataset(name="x", project_id=project.id),
        UpdateDataset(dataset_id=dataset.id, name="x"),
        AddItems(dataset_id=dataset.id, items=said("two")),
        ReplaceItem(dataset_id=dataset.id, item_id=item),
        DeleteItem(dataset_id=dataset.id, item_id=item),
        FreezeDataset(dataset_id=dataset.id),
        DeleteDataset(dataset_id=dataset.id),
    )
    for write in writes:
        assert await raised(trusted(victor), write) == "project_role_missing"
        assert await raised(trusted(eve), write) == "not_found"
    assert await raised(eve, GetDataset(dataset_id=dataset.id)) == "not_found"
    assert await raised(eve, ListItems(dataset_id=dataset.id)) == "not_found"
    assert (await eve.ask(ListDatasets())).items == ()
