"""What the assistant does with a text, or with a version of one of one's own prompts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le, Len
from pydantic import Field

from promptforge.actors.ai.messages import FinishReason, ModelName, RunUsage
from promptforge.actors.marketplace.messages import Category
from promptforge.core.amounts import CreditAmount
from promptforge.core.messages import Command, requires
from promptforge.core.streams import ReplyStream
from promptforge.core.text import TEXT

PromptId = Annotated[str, Len(1, 64)]
VersionNumber = Annotated[int, Ge(1), Le(1_000_000)]
SubjectText = Annotated[str, Field(min_length=1, max_length=65_536, examples=["Summarise {{article}}."])]
Wish = Annotated[str, Len(1, 2000), TEXT, Field(examples=["Shorter, and for readers in a hurry"])]
Score = Annotated[int, Ge(1), Le(5)]


@dataclass(frozen=True, slots=True)
class AnsweredBy:
    """Who answered and what it took. `tiny`: the small local model, whose answers are for trying things out only.

    `usage` counts every attempt, and there may be two: an answer of the wrong form is asked for once more.
    """

    model: str
    tiny: bool
    finish_reason: FinishReason
    attempts: int
    usage: RunUsage


@dataclass(frozen=True, slots=True)
class WrittenText:
    """A text that the model wrote."""

    text: str
    answered_by: AnsweredBy


@dataclass(frozen=True, slots=True)
class CriterionScore:
    """From 1 (bad) to 5 (very good), and why."""

    criterion: str
    score: Score
    reason: str


@dataclass(frozen=True, slots=True)
class Critique:
    """A judgement by clarity, context, constraints, output format and robustness."""

    scores: tuple[CriterionScore, ...]
    summary: str
    answered_by: AnsweredBy


@dataclass(frozen=True, slots=True)
class SuggestedDetails:
    """What a listing of the prompt could say."""

    title: str
    summary: str
    tags: tuple[str, ...]
    category: Category
    answered_by: AnsweredBy


@dataclass(frozen=True, slots=True, kw_only=True)
class AboutOne:
    """What a request is about: a text, or a version (by default the latest) of a prompt; and with which model."""

    text: SubjectText | None = None
    prompt_id: PromptId | None = None
    version: VersionNumber | None = None
    model: ModelName | None = None
    max_credits: CreditAmount | None = None


@requires(scope="ai:run")
class ImproveText(AboutOne, Command[ReplyStream[WrittenText]]):
    """Rewrite a prompt so that a model follows it better; its `{{variables}}` stay.

    The prompt is `text`, or a version (by default the latest) of the prompt `prompt_id`, with what it includes in its
    place. `max_credits` is the most that it may cost (422 `over_budget` where it could cost more).
    """

    wish: Wish | None = None


@requires(scope="ai:run")
class GenerateText(Command[ReplyStream[WrittenText]]):
    """Write a prompt for a task."""

    task: Annotated[str, Len(1, 4000), TEXT, Field(examples=["Answer customers' questions about returns"])]
    wish: Wish | None = None
    model: ModelName | None = None
    max_credits: CreditAmount | None = None


@requires(scope="ai:run")
class CritiqueText(AboutOne, Command[ReplyStream[Critique]]):
    """Judge a prompt: a score with its reason for each of five criteria.

    Comes whole: as a stream it is one event.
    """


@requires(scope="ai:run")
class ExplainText(AboutOne, Command[ReplyStream[WrittenText]]):
    """Say in plain words what a prompt makes a model do, part by part."""


@requires(scope="ai:run")
class SuggestListing(AboutOne, Command[ReplyStream[SuggestedDetails]]):
    """Suggest a title, a summary, tags and a category for a prompt.

    Comes whole: as a stream it is one event.
    """
