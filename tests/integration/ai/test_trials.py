"""Test runs of prompts with a scripted model: what it is asked, what is refused before it, and what it costs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from promptforge.actors.ai.errors import HasTools, ModelFailed, OverBudget, UnknownModel
from promptforge.actors.ai.providers.interface import Speaker, Turn
from promptforge.actors.ai.trials.actor import TrialsActor
from promptforge.actors.ai.trials.messages import TrialSettings, TrialView, TryPrompt
from promptforge.actors.billing.errors import InsufficientCredits
from promptforge.actors.projects import ProjectsActor
from promptforge.actors.projects import store as projects
from promptforge.actors.projects.messages import LATEST
from promptforge.actors.prompts import LabelsActor, PromptsActor, RenderingActor
from promptforge.actors.prompts import store as prompts
from promptforge.actors.prompts.labels.messages import MoveLabel
from promptforge.actors.prompts.messages import (
    ChatMessage,
    ChatRole,
    CreatePrompt,
    CreateVersion,
    FirstVersion,
    ModelSettings,
    PromptKind,
    Tool,
)
from promptforge.actors.users import UsersActor
from promptforge.actors.users import store as users
from promptforge.actors.users.handles.store import HandleStore
from promptforge.core.errors import Invalid, NotFound
from promptforge.core.mongo import Mongo
from promptforge.core.streams import Delta
from tests.integration.ai.workshop import Workshop, open_workshop
from tests.support.mongo import with_indexes

pytestmark = pytest.mark.anyio

ADA, BOB = "usr_ada", "usr_bob"
COST = 100 + 2 * 50
CONTENT = "Summarise {{article}}."
SCHEMA = {"type": "object", "properties": {"summary": {"type": "string"}}}


@pytest.fixture
async def workshop(mongo: Mongo) -> AsyncIterator[Workshop]:
    await with_indexes(mongo, {**prompts.INDEXES, **projects.INDEXES})
    stores = prompts.Stores(mongo)
    others = (
        UsersActor(users.UserStore(mongo), HandleStore(mongo)),
        ProjectsActor(projects.ProjectStore(mongo)),
        PromptsActor(stores),
        LabelsActor(stores),
        RenderingActor(stores),
        TrialsActor(),
    )
    async with open_workshop(mongo, others=others) as opened:
        await opened.user()
        yield opened


async def prompt(workshop: Workshop, content: Any = CONTENT, **version: Any) -> str:
    """Ada's, with one version that is in production."""
    kind = PromptKind.TEXT if isinstance(content, str) else PromptKind.CHAT
    ada = workshop.context(ADA)
    made = await ada.ask(CreatePrompt(name="Hurried reader", kind=kind, first_version=FirstVersion(content, **version)))
    await ada.ask(MoveLabel(prompt_id=made.id, label="production", version=1))
    return made.id


async def trial(workshop: Workshop, prompt_id: str, user_id: str = ADA, **fields: Any) -> TrialView:
    fields.setdefault("variables", {"article": "the news"})
    return await (await workshop.context(user_id).ask(TryPrompt(prompt_id=prompt_id, **fields))).whole()


async def test_a_version_is_rendered_run_and_paid_for(workshop: Workshop) -> None:
    prompt_id = await prompt(workshop)
    tested = await trial(workshop, prompt_id)
    assert workshop.model.told[0].turns == (Turn(Speaker.USER, "Summarise the news."),)
    assert (tested.prompt_id, tested.version, tested.label) == (prompt_id, 1, "production")
    assert (tested.output, tested.model, tested.tiny) == ("one two three", "scripted-1", False)
    assert (tested.usage.input_tokens, tested.usage.output_tokens, tested.usage.credits) == (100, 50, "0.2")
    assert tested.usage.first_token_ms is not None
    assert await workshop.money(ADA) == (100_000 - COST, 0)
    (record,) = await workshop.usage()
    assert (record["_id"], record["purpose"], record["outcome"]) == (tested.run_id, "test", "ok")
    assert (record["prompt_id"], record["prompt_version"], record["user_id"]) == (prompt_id, 1, ADA)
    assert await workshop.verified()


async def test_it_comes_piece_by_piece_and_whole_in_the_end(workshop: Workshop) -> None:
    prompt_id = await prompt(workshop)
    message = TryPrompt(prompt_id=prompt_id, variables={"article": "it"})
    async with await workshop.context(ADA).ask(message) as stream:
        items = [item async for item in stream]
    assert items[:-1] == [Delta("one "), Delta("two "), Delta("three")]
    assert isinstance(items[-1], TrialView)
    assert items[-1].output == "one two three"


async def test_version_and_label_are_chosen_as_for_rendering(workshop: Workshop) -> None:
    prompt_id = await prompt(workshop)
    await workshop.context(ADA).ask(CreateVersion(prompt_id=prompt_id, content="Retell {{article}}."))
    chosen = [await trial(workshop, prompt_id, **one) for one in ({}, {"label": LATEST}, {"version": 2})]
    assert [(tested.version, tested.label) for tested in chosen] == [(1, "production"), (2, LATEST), (2, None)]
    assert [told.turns[0].text for told in workshop.model.told] == [
        "Summarise the news.",
        "Retell the news.",
        "Retell the news.",
    ]
    with pytest.raises(Invalid):
        await trial(workshop, prompt_id, version=2, label=LATEST)
    with pytest.raises(NotFound):
        await trial(workshop, prompt_id, label="staging")


async def test_a_chat_is_sent_message_by_message(workshop: Workshop) -> None:
    chat = (
        ChatMessage(ChatRole.DEVELOPER, "Be brief."),
        ChatMessage(ChatRole.USER, "Hi"),
        ChatMessage(ChatRole.ASSISTANT, "Hello"),
        ChatMessage(ChatRole.USER, "Summarise {{article}}."),
    )
    await trial(workshop, await prompt(workshop, chat))
    assert workshop.model.told[0].turns == (
        Turn(Speaker.SYSTEM, "Be brief."),
        Turn(Speaker.USER, "Hi"),
        Turn(Speaker.ASSISTANT, "Hello"),
        Turn(Speaker.USER, "Summarise the news."),
    )


async def test_the_versions_settings_and_schema_are_the_models_and_the_requests_go_before_them(
    workshop: Workshop,
) -> None:
    settings = ModelSettings(model="scripted-1", temperature=0.3, top_p=0.5, max_tokens=50)
    prompt_id = await prompt(workshop, settings=settings, response_schema=SCHEMA)
    await trial(workshop, prompt_id)
    await trial(workshop, prompt_id, settings=TrialSettings(temperature=0.0, max_tokens=7, stop=("##",), seed=5))
    first, second = workshop.model.told
    assert (first.temperature, first.top_p, first.max_tokens, first.stop, first.seed) == (0.3, 0.5, 50, (), None)
    assert (second.temperature, second.top_p, second.max_tokens, second.stop, second.seed) == (0.0, 0.5, 7, ("##",), 5)
    assert first.schema == second.schema == SCHEMA


async def test_a_model_that_is_not_here_is_named_and_another_can_be_asked(workshop: Workshop) -> None:
    prompt_id = await prompt(workshop, settings=ModelSettings(model="gpt-17"))
    with pytest.raises(UnknownModel, match="scripted-1"):
        await trial(workshop, prompt_id)
    assert (await trial(workshop, prompt_id, model="scripted-1")).model == "scripted-1"


async def test_variables_are_judged_before_anything_is_reserved_or_asked(workshop: Workshop) -> None:
    prompt_id = await prompt(workshop)
    with pytest.raises(Invalid) as caught:
        await trial(workshop, prompt_id, variables={"artikel": "x"})
    assert [(error.pointer, error.code) for error in caught.value.errors] == [
        ("/variables/article", "missing_variable"),
        ("/variables/artikel", "unknown_variable"),
    ]
    assert workshop.model.told == []
    assert await workshop.usage() == []


async def test_tools_are_refused_unless_they_may_be_ignored(workshop: Workshop) -> None:
    prompt_id = await prompt(workshop, tools=(Tool("look_up"),))
    with pytest.raises(HasTools, match="ignore_tools"):
        await trial(workshop, prompt_id)
    assert workshop.model.told == []
    assert (await trial(workshop, prompt_id, ignore_tools=True)).ignored_tools == ("look_up",)


async def test_somebody_elses_prompt_is_not_there(workshop: Workshop) -> None:
    prompt_id = await prompt(workshop)
    await workshop.user(user_id=BOB)
    with pytest.raises(NotFound):
        await trial(workshop, prompt_id, BOB)
    assert workshop.model.told == []


async def test_what_cannot_be_paid_for_or_costs_too_much_is_not_run(workshop: Workshop) -> None:
    prompt_id = await prompt(workshop)
    with pytest.raises(OverBudget):
        await trial(workshop, prompt_id, max_credits="0.01")
    await trial(workshop, prompt_id, settings=TrialSettings(max_tokens=10), max_credits="0.1")
    dear = TrialSettings(max_tokens=1000)
    await workshop.process.mongo.collection("users").insert_one({"_id": BOB, "uid": "uid-bob"})
    bobs = (await workshop.context(BOB).ask(CreatePrompt(name="x", first_version=FirstVersion("Hello")))).id
    with pytest.raises(InsufficientCredits):
        await trial(workshop, bobs, BOB, label=LATEST, variables={}, settings=dear)
    assert len(workshop.model.told) == 1
    assert await workshop.open_runs() == 0


async def test_a_model_that_fails_in_the_middle_costs_nothing(workshop: Workshop) -> None:
    prompt_id = await prompt(workshop)
    workshop.model.fails, workshop.model.fails_after = ModelFailed("broken"), 2
    with pytest.raises(ModelFailed):
        await trial(workshop, prompt_id)
    assert await workshop.money(ADA) == (100_000, 0)
    assert [record["outcome"] for record in await workshop.usage()] == ["failed"]
    assert await workshop.verified()


async def test_who_leaves_stops_the_model_and_pays_for_what_it_said(workshop: Workshop) -> None:
    prompt_id = await prompt(workshop)
    async with await workshop.context(ADA).ask(TryPrompt(prompt_id=prompt_id, variables={"article": "it"})) as stream:
        assert await anext(aiter(stream)) == Delta("one ")
    assert workshop.model.stopped == 1
    (record,) = await workshop.usage()
    assert (record["outcome"], record["prompt_id"], record["output_tokens"]) == ("cancelled", prompt_id, 1)
    assert await workshop.money(ADA) == (100_000 - record["millicredits"], 0)
    assert await workshop.verified()
