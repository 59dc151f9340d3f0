"""Drafts on a real MongoDB: one per prompt, unfinished until it is published."""

from __future__ import annotations

import pytest

from promptforge.actors.prompts.drafts.messages import DiscardDraft, DraftMessage, GetDraft, PublishDraft, SaveDraft
from promptforge.actors.prompts.messages import (
    ChatRole,
    CreatePrompt,
    CreateVersion,
    FirstVersion,
    GetPrompt,
    GetVersion,
    ModelSettings,
    PromptKind,
    Tool,
    Variable,
    VariableType,
)
from tests.integration.marketplace.branches import Branches, Interrupted, all_at_once, interrupt
from tests.support.market import raised

pytestmark = pytest.mark.anyio
SCHEMA = {"$ref": "#/$defs/a", "$defs": {"a": {"type": "object", "x.y": 1}}}


async def test_a_draft_is_saved_whole_and_becomes_a_version(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    prompt = await carla.ask(CreatePrompt(name="One"))
    assert await raised(carla, GetDraft(prompt_id=prompt.id)) == "not_found"
    variable = Variable("tone", VariableType.ENUM, default="dry", values=("dry", "warm"))
    await carla.ask(
        SaveDraft(
            prompt_id=prompt.id,
            content="Be {{tone}}",
            settings=ModelSettings(model="m"),
            tools=(Tool("look_up", parameters=SCHEMA),),
            response_schema=SCHEMA,
            variables=(variable,),
        )
    )
    draft = await carla.ask(GetDraft(prompt_id=prompt.id))
    assert (draft.base_version, draft.updated_by, draft.variables) == (0, carla.user_id, (variable,))
    made = await carla.ask(PublishDraft(prompt_id=prompt.id, message="first"))
    assert (made.new, made.value.version, made.value.message) == (True, 1, "first")
    version = await carla.ask(GetVersion(prompt_id=prompt.id, version=1))
    assert version == made.value
    assert (version.response_schema, version.tools[0].parameters) == (SCHEMA, SCHEMA)
    assert await raised(carla, GetDraft(prompt_id=prompt.id)) == "not_found"
    assert await raised(carla, PublishDraft(prompt_id=prompt.id)) == "no_draft"
    smaller = await carla.ask(SaveDraft(prompt_id=prompt.id, content="Be brief"))
    assert (smaller.base_version, smaller.tools, smaller.response_schema, smaller.variables) == (1, (), None, ())


async def test_a_draft_may_be_unfinished_but_is_not_published_so(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    text = await carla.ask(CreatePrompt(name="Text"))
    chat = await carla.ask(CreatePrompt(name="Chat", kind=PromptKind.CHAT))
    unfinished = (
        SaveDraft(prompt_id=text.id, content=""),
        SaveDraft(prompt_id=text.id, content="{{> nothing yet}}"),
        SaveDraft(prompt_id=text.id, content="a", response_schema={"type": 5}),
        SaveDraft(prompt_id=chat.id, content=()),
        SaveDraft(prompt_id=chat.id, content=(DraftMessage(ChatRole.USER, ""),)),
    )
    for draft in unfinished:
        await carla.ask(draft)
        assert await raised(carla, PublishDraft(prompt_id=draft.prompt_id)) == "invalid_request"
        assert (await carla.ask(GetDraft(prompt_id=draft.prompt_id))).prompt_id == draft.prompt_id, "it is still there"
    assert await raised(carla, SaveDraft(prompt_id=chat.id, content="text")) == "invalid_request"
    await carla.ask(DiscardDraft(prompt_id=chat.id))
    assert await raised(carla, GetDraft(prompt_id=chat.id)) == "not_found"


async def test_a_draft_that_was_overtaken_is_kept_and_says_so(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    prompt = await carla.ask(CreatePrompt(name="One", first_version=FirstVersion(content="a")))
    await carla.ask(SaveDraft(prompt_id=prompt.id, content="c"))
    await carla.ask(CreateVersion(prompt_id=prompt.id, content="b"))
    assert await raised(carla, PublishDraft(prompt_id=prompt.id)) == "stale_base"
    await carla.ask(SaveDraft(prompt_id=prompt.id, content="c", base_version=2))
    assert (await carla.ask(PublishDraft(prompt_id=prompt.id))).value.version == 3
    await carla.ask(SaveDraft(prompt_id=prompt.id, content="a", base_version=0))
    again = await carla.ask(PublishDraft(prompt_id=prompt.id))
    assert (again.new, again.value.version) == (False, 1), "a version says this already"


async def test_a_draft_is_published_once_and_never_lost_on_the_way(branches: Branches) -> None:
    here, there = await branches.person("carla")
    prompt = await here.ask(CreatePrompt(name="One"))
    await here.ask(SaveDraft(prompt_id=prompt.id, content="a"))
    branches.transactions.before_commit = interrupt
    with pytest.raises(Interrupted):
        await here.ask(PublishDraft(prompt_id=prompt.id))
    assert (await here.ask(GetDraft(prompt_id=prompt.id))).content == "a"
    publish = PublishDraft(prompt_id=prompt.id)
    outcomes = await all_at_once([(here if number % 2 else there, publish) for number in range(8)])
    assert outcomes == {"done": 1, "no_draft": 7}
    assert (await here.ask(GetPrompt(prompt_id=prompt.id))).latest_version == 1
