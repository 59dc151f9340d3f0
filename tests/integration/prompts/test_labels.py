"""Labels on a real MongoDB: one place each, a history without a gap, and who is told what."""

from __future__ import annotations

import pytest

from promptforge.actors.prompts.labels.messages import (
    GetLabel,
    LabelMoveView,
    ListLabelMoves,
    ListLabels,
    MoveLabel,
    RemoveLabel,
)
from promptforge.actors.prompts.messages import ArchivePrompt, CreatePrompt, CreateVersion, FirstVersion, PromptView
from promptforge.core.context import Context
from tests.integration.marketplace.branches import Branches, all_at_once
from tests.support.market import raised

pytestmark = pytest.mark.anyio


async def with_versions(person: Context, number: int, name: str = "One") -> PromptView:
    prompt = await person.ask(CreatePrompt(name=name, first_version=FirstVersion(content="text 1")))
    for version in range(2, number + 1):
        await person.ask(CreateVersion(prompt_id=prompt.id, content=f"text {version}"))
    return prompt


async def moves_of(person: Context, prompt: PromptView, label: str | None = None) -> list[LabelMoveView]:
    """Oldest first."""
    found: list[LabelMoveView] = []
    cursor = None
    while True:
        page = await person.ask(ListLabelMoves(prompt_id=prompt.id, label=label, limit=7, cursor=cursor))
        found += page.items
        cursor = page.next
        if cursor is None:
            return found[::-1]


async def test_a_label_moves_and_its_moves_are_remembered(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    prompt = await with_versions(carla, 3)
    for version, reason in ((1, None), (3, "faster"), (3, "again"), (2, "worse")):
        await carla.ask(MoveLabel(prompt_id=prompt.id, label="production", version=version, reason=reason))
    await carla.ask(MoveLabel(prompt_id=prompt.id, label="staging", version=3))
    labels = await carla.ask(ListLabels(prompt_id=prompt.id))
    assert [(one.label, one.version, one.reason) for one in labels.items] == [
        ("production", 2, "worse"),
        ("staging", 3, None),
    ]
    assert labels.latest == 3
    await carla.ask(RemoveLabel(prompt_id=prompt.id, label="production"))
    assert await raised(carla, GetLabel(prompt_id=prompt.id, label="production")) == "not_found"
    assert await raised(carla, RemoveLabel(prompt_id=prompt.id, label="production")) == "not_found"
    moves = await moves_of(carla, prompt, "production")
    assert [(one.from_version, one.to_version, one.reason) for one in moves] == [
        (None, 1, None),
        (1, 3, "faster"),
        (3, 2, "worse"),
        (2, None, None),
    ]
    assert {one.moved_by for one in moves} == {carla.user_id}
    assert len(await moves_of(carla, prompt)) == 5


async def test_moves_at_once_from_two_processes_form_one_chain(branches: Branches) -> None:
    here, there = await branches.person("carla")
    prompt = await with_versions(here, 8)
    asks = [
        (here if number % 2 else there, MoveLabel(prompt_id=prompt.id, label="production", version=number))
        for number in range(1, 9)
    ]
    assert await all_at_once(asks) == {"done": 8}
    moves = await moves_of(here, prompt)
    successor = {one.from_version: one.to_version for one in moves}
    assert len(successor) == len(moves) == 8, "no two moves began at the same place"
    at: int | None = None
    for _ in moves:
        at = successor[at]
    assert (await here.ask(GetLabel(prompt_id=prompt.id, label="production"))).version == at


async def test_a_label_points_to_what_there_is(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    prompt = await with_versions(carla, 1)
    assert await raised(carla, MoveLabel(prompt_id=prompt.id, label="production", version=2)) == "not_found"
    for number in range(50):
        await carla.ask(MoveLabel(prompt_id=prompt.id, label=f"label-{number}", version=1))
    assert await raised(carla, MoveLabel(prompt_id=prompt.id, label="one-more", version=1)) == "too_many_labels"
    await carla.ask(ArchivePrompt(prompt_id=prompt.id))
    assert await raised(carla, MoveLabel(prompt_id=prompt.id, label="label-1", version=1)) == "prompt_archived"
