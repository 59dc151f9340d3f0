"""The assistant with a scripted model: what it answers, repairs, refuses and charges for."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from promptforge.actors.ai.assistant.actor import AssistantActor
from promptforge.actors.ai.assistant.messages import (
    CritiqueText,
    ExplainText,
    GenerateText,
    ImproveText,
    SuggestListing,
)
from promptforge.actors.ai.errors import AnswerUnusable, ModelFailed, OverBudget
from promptforge.actors.ai.providers.interface import Prompt
from promptforge.actors.projects import ProjectsActor
from promptforge.actors.projects import store as projects
from promptforge.actors.prompts import CompiledCache, LabelsActor, PromptsActor, ServingActor
from promptforge.actors.prompts import store as prompts
from promptforge.actors.prompts.errors import NothingToServe
from promptforge.actors.prompts.labels.messages import MoveLabel
from promptforge.actors.prompts.messages import CreatePrompt, CreateVersion
from promptforge.actors.users import UsersActor
from promptforge.actors.users import store as users
from promptforge.actors.users.handles.store import HandleStore
from promptforge.core.errors import Invalid, NotFound
from promptforge.core.mongo import Mongo
from promptforge.core.runtime import Actor
from promptforge.core.streams import Delta
from tests.integration.ai.workshop import Workshop, open_workshop
from tests.support.faulty_models import CRITIQUE, SUGGESTION
from tests.support.models import ScriptedModel
from tests.support.mongo import with_indexes

pytestmark = pytest.mark.anyio

COST = 100 + 2 * 50


def prompts_and(mongo: Mongo, *others: Actor) -> tuple[Actor, ...]:
    stores = prompts.Stores(mongo)
    return (
        UsersActor(users.UserStore(mongo), HandleStore(mongo)),
        ProjectsActor(projects.ProjectStore(mongo)),
        PromptsActor(stores),
        LabelsActor(stores),
        ServingActor(stores, CompiledCache()),
        *others,
    )


@pytest.fixture
async def workshop(mongo: Mongo) -> AsyncIterator[Workshop]:
    await with_indexes(mongo, {**prompts.INDEXES, **projects.INDEXES})
    async with open_workshop(mongo, others=prompts_and(mongo, AssistantActor())) as opened:
        await opened.user()
        yield opened


async def made(workshop: Workshop, name: str, *contents: str) -> str:
    """A prompt of Ada's with these versions."""
    ada = workshop.context("usr_ada")
    prompt = await ada.ask(CreatePrompt(name=name))
    for content in contents:
        await ada.ask(CreateVersion(prompt_id=prompt.id, content=content))
    return prompt.id


def say(workshop: Workshop, *texts: str) -> None:
    """What the model answers, one after the other."""
    left = list(texts)

    def script(_: Prompt) -> list[str]:
        return [left.pop(0)]

    workshop.model.script = script


async def test_a_text_is_improved_piece_by_piece(workshop: Workshop) -> None:
    workshop.model.pieces = ("Better ", "text")
    stream = await workshop.context("usr_ada").ask(ImproveText(text="Bad text", wish="Shorter"))
    async with stream:
        items = [item async for item in stream]
    assert items[:2] == [Delta("Better "), Delta("text")]
    written = items[2]
    assert not isinstance(written, Delta)
    assert (written.text, written.answered_by.model, written.answered_by.attempts) == ("Better text", "scripted-1", 1)
    assert written.answered_by.usage.credits == "0.2"
    (asked,) = workshop.model.told
    assert "Bad text" in asked.turns[1].text
    assert "Shorter" in asked.turns[1].text
    (record,) = await workshop.usage()
    assert record["purpose"] == "ai.improve.v1"


async def test_a_prompt_is_generated_and_explained(workshop: Workshop) -> None:
    context = workshop.context("usr_ada")
    for message in (GenerateText(task="Answer questions"), ExplainText(text="Say {{word}}")):
        assert (await (await context.ask(message)).whole()).text == "one two three"


async def test_a_version_of_ones_own_prompt_is_what_it_is_about(workshop: Workshop) -> None:
    prompt_id = await made(workshop, "Mine", *(f"The text of version {number}" for number in (1, 2, 3)))
    context = workshop.context("usr_ada")
    await (await context.ask(ExplainText(prompt_id=prompt_id))).whole()
    await (await context.ask(ExplainText(prompt_id=prompt_id, version=2))).whole()
    assert "The text of version 3" in workshop.model.told[0].turns[1].text
    assert "The text of version 2" in workshop.model.told[1].turns[1].text
    assert [record["prompt_version"] for record in await workshop.usage()] == [3, 2]
    empty = await made(workshop, "Empty")
    with pytest.raises(NothingToServe):
        await context.ask(ExplainText(prompt_id=empty))
    with pytest.raises(NotFound):
        await context.ask(ExplainText(prompt_id=prompt_id, version=4))


async def test_what_a_version_includes_is_read_in_its_place(workshop: Workshop) -> None:
    context = workshop.context("usr_ada")
    style = await made(workshop, "Style", "Write as {{author}}", "Write plainly")
    await context.ask(MoveLabel(prompt_id=style, label="live", version=1))
    letter = await made(workshop, "Letter", "{{> Style@live}}, to {{reader}}. {{> Style@2}}.")
    await (await context.ask(ExplainText(prompt_id=letter))).whole()
    await (await context.ask(ImproveText(prompt_id=letter, version=1))).whole()
    say(workshop, json.dumps(CRITIQUE), json.dumps(SUGGESTION))
    await (await context.ask(CritiqueText(prompt_id=letter))).whole()
    await (await context.ask(SuggestListing(prompt_id=letter))).whole()
    asked = [told.turns[1].text for told in workshop.model.told]
    assert len(asked) == 4
    for text in asked:
        assert "Write as {{author}}, to {{reader}}. Write plainly." in text
        assert "{{>" not in text


async def test_somebody_elses_prompt_is_not_there(workshop: Workshop) -> None:
    prompt_id = await made(workshop, "Mine", "A secret")
    await workshop.user(user_id="usr_eve")
    with pytest.raises(NotFound):
        await workshop.context("usr_eve").ask(CritiqueText(prompt_id=prompt_id))
    assert workshop.model.told == []


@pytest.mark.parametrize("fields", [{}, {"text": "x", "prompt_id": "prm_1"}, {"text": "x", "version": 1}])
async def test_it_is_about_exactly_one_thing(workshop: Workshop, fields: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        await workshop.context("usr_ada").ask(ExplainText(**fields))  # type: ignore[arg-type]  # as the test says


async def test_a_critique_has_a_reason_for_each_score(workshop: Workshop) -> None:
    say(workshop, json.dumps(CRITIQUE))
    critique = await (await workshop.context("usr_ada").ask(CritiqueText(text="Say hello"))).whole()
    assert len(critique.scores) == 5
    assert all(1 <= score.score <= 5 and score.reason for score in critique.scores)
    assert critique.answered_by.attempts == 1
    assert workshop.model.told[0].schema is not None
    assert await workshop.money("usr_ada") == (100_000 - COST, 0)


async def test_an_answer_of_the_wrong_form_is_asked_for_once_more_and_both_are_paid(workshop: Workshop) -> None:
    say(workshop, '{"title": "Hello"}', json.dumps(SUGGESTION))
    details = await (await workshop.context("usr_ada").ask(SuggestListing(text="Say hello"))).whole()
    assert (details.title, details.tags, details.category) == ("Hello", ("greeting",), "writing")
    assert (details.answered_by.attempts, details.answered_by.usage.credits) == (2, "0.4")
    repair = workshop.model.told[1].turns
    assert (repair[2].text, "'summary' is a required property" in repair[3].text) == ('{"title": "Hello"}', True)
    assert await workshop.money("usr_ada") == (100_000 - 2 * COST, 0)
    assert [record["outcome"] for record in await workshop.usage()] == ["ok", "ok"]
    assert await workshop.verified()


async def test_two_answers_of_the_wrong_form_are_an_error_and_cost_nothing(workshop: Workshop) -> None:
    say(workshop, "Sure!", "Sorry.")
    with pytest.raises(AnswerUnusable, match="nothing was charged"):
        await (await workshop.context("usr_ada").ask(CritiqueText(text="Say hello"))).whole()
    assert await workshop.money("usr_ada") == (100_000, 0)
    assert [(record["outcome"], record["error_code"]) for record in await workshop.usage()] == [
        ("failed", "answer_unusable")
    ] * 2
    assert await workshop.open_runs() == 0
    assert await workshop.verified()


async def test_a_provider_that_fails_the_second_time_costs_nothing_either(workshop: Workshop) -> None:
    def script(prompt: Prompt) -> list[str]:
        if len(prompt.turns) > 2:
            raise ModelFailed
        return ["nonsense"]

    workshop.model.script = script
    with pytest.raises(ModelFailed):
        await (await workshop.context("usr_ada").ask(CritiqueText(text="Say hello"))).whole()
    assert await workshop.money("usr_ada") == (100_000, 0)
    assert await workshop.open_runs() == 0


async def test_what_could_cost_more_than_one_wants_to_spend_is_not_begun(workshop: Workshop) -> None:
    with pytest.raises(OverBudget, match=r"up to 2\.\d+ credits"):
        await (await workshop.context("usr_ada").ask(ImproveText(text="x", max_credits="0.5"))).whole()
    assert workshop.model.told == []
    assert await workshop.open_runs() == 0
    await (await workshop.context("usr_ada").ask(ImproveText(text="x", max_credits="5"))).whole()


async def test_a_second_attempt_spends_only_what_the_first_has_left(workshop: Workshop) -> None:
    ada = workshop.context("usr_ada")
    first = CritiqueText(text="Say hello", max_credits="2.4")  # each may cost up to 2.3, and the first takes 0.2
    say(workshop, "Sure!", json.dumps(CRITIQUE))
    with pytest.raises(AnswerUnusable, match="more than you want to spend"):
        await (await ada.ask(first)).whole()
    assert (len(workshop.model.told), await workshop.money("usr_ada")) == (1, (100_000, 0))
    assert [record["error_code"] for record in await workshop.usage()] == ["answer_unusable"]
    say(workshop, "Sure!", json.dumps(CRITIQUE))
    critique = await (await ada.ask(CritiqueText(text="Say hello", max_credits="6"))).whole()
    assert (critique.answered_by.attempts, critique.answered_by.usage.credits) == (2, "0.4")


async def test_a_model_that_says_nothing_is_an_error(mongo: Mongo) -> None:
    model = ScriptedModel(pieces=())
    async with open_workshop(mongo, model=model, others=prompts_and(mongo, AssistantActor())) as workshop:
        await workshop.user()
        with pytest.raises(AnswerUnusable):
            await (await workshop.context("usr_ada").ask(ExplainText(text="x"))).whole()
