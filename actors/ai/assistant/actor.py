"""Helps with prompts: asks a model with prompts of its own, and answers only what has the form that was asked for."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import anyio

from promptforge.actors.ai.assistant.domain import (
    MAX_TOKENS,
    SCHEMAS,
    messages_for,
    purpose_of,
    read_answer,
    repairing,
    summed,
    unfenced,
)
from promptforge.actors.ai.assistant.messages import (
    AboutOne,
    AnsweredBy,
    CriterionScore,
    Critique,
    CritiqueText,
    ExplainText,
    GenerateText,
    ImproveText,
    SuggestedDetails,
    SuggestListing,
    WrittenText,
)
from promptforge.actors.ai.errors import AnswerUnusable, OverBudget
from promptforge.actors.ai.messages import (
    RunMessage,
    RunResult,
    RunSettings,
    RunUsage,
    SettleRun,
    StreamRun,
)
from promptforge.actors.marketplace.messages import Category
from promptforge.actors.projects.messages import LATEST
from promptforge.actors.prompts.serving.messages import GetCompiledPrompt
from promptforge.core.amounts import to_millicredits
from promptforge.core.context import Context
from promptforge.core.errors import FieldError, Invalid
from promptforge.core.runtime import Actor, handles
from promptforge.core.streams import Delta, ReplyStream

ATTEMPTS = 2
"""An answer of the wrong form is asked for once more."""
WHOLE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Subject:
    text: str
    prompt_id: str | None = None
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """One request to a model, but for how often it has to be asked."""

    name: str
    messages: tuple[RunMessage, ...]
    subject: Subject
    model: str | None
    max_credits: str | None


class AssistantActor(Actor):
    name = "assistant"
    asks = ("serving", "models")

    @handles(ImproveText)
    async def improve(self, message: ImproveText, context: Context) -> ReplyStream[WrittenText]:
        subject = await _subject(message, context)
        messages = messages_for("improve", subject=subject.text, wish=message.wish)
        return await self._write(Task("improve", messages, subject, message.model, message.max_credits), context)

    @handles(GenerateText)
    async def generate(self, message: GenerateText, context: Context) -> ReplyStream[WrittenText]:
        subject = Subject(message.task)
        messages = messages_for("generate", subject=subject.text, wish=message.wish)
        return await self._write(Task("generate", messages, subject, message.model, message.max_credits), context)

    @handles(ExplainText)
    async def explain(self, message: ExplainText, context: Context) -> ReplyStream[WrittenText]:
        subject = await _subject(message, context)
        messages = messages_for("explain", subject=subject.text)
        return await self._write(Task("explain", messages, subject, message.model, message.max_credits), context)

    @handles(CritiqueText)
    async def critique(self, message: CritiqueText, context: Context) -> ReplyStream[Critique]:
        subject = await _subject(message, context)
        messages = messages_for("critique", subject=subject.text)
        task = Task("critique", messages, subject, message.model, message.max_credits)
        return ReplyStream(self._answer(task, context)).then(_critique)

    @handles(SuggestListing)
    async def suggest(self, message: SuggestListing, context: Context) -> ReplyStream[SuggestedDetails]:
        subject = await _subject(message, context)
        messages = messages_for("suggest", subject=subject.text)
        task = Task("suggest", messages, subject, message.model, message.max_credits)
        return ReplyStream(self._answer(task, context)).then(_details)

    # Texts

    async def _write(self, task: Task, context: Context) -> ReplyStream[WrittenText]:
        stream = await _run(task, task.messages, context, settle=True)
        return stream.then(_written)

    # Answers of a form

    async def _answer(self, task: Task, context: Context) -> AsyncGenerator[Delta | Answer, None]:
        """The one item is the answer, once it has its form; the pieces of one that may be thrown away are not sent.

        Nothing is charged before that: the runs stay open, and end all together.
        """
        context = context.outliving(WHOLE_SECONDS)
        messages, results = task.messages, list[RunResult]()
        answer: dict[str, Any] = {}  # Any: JSON
        faults = ["it was not asked"]
        closed = False
        try:
            while faults and len(results) < ATTEMPTS:
                result = await _attempt(task, messages, context, before=results)
                if result is None:
                    break
                results.append(result)
                answer, faults = read_answer(task.name, results[-1].text)
                messages = repairing(task.messages, results[-1].text, faults)
            error = AnswerUnusable.code if faults else None
            usages = await _close(results, error, context)
            closed = True
        finally:
            if not closed and results:  # nobody wants it any more, or the second attempt failed
                with anyio.CancelScope(shield=True):
                    await _close(results, "cancelled", context)
        last = results[-1]
        if faults:
            again = "" if len(results) == ATTEMPTS else ". Asking once more could cost more than you want to spend"
            raise AnswerUnusable(f"{last.model} gave no usable answer, and nothing was charged{again}{_hint(last)}")
        usage, finish = summed(results, usages)
        yield Answer(answer, AnsweredBy(last.model, last.tiny, finish, len(results), usage))


@dataclass(frozen=True, slots=True)
class Answer:
    """Has the form that its schema says."""

    content: dict[str, Any]  # Any: JSON
    by: AnsweredBy


async def _subject(message: AboutOne, context: Context) -> Subject:
    """Of a prompt what a model would get: its includes in their places, its variables left.

    Raises `Invalid` where it is not exactly one thing, `NotFound` where it is somebody else's, `NothingToServe`, or
    what is wrong with the includes.
    """
    if (message.text is None) is (message.prompt_id is None):
        error = FieldError("Give either a text or a prompt_id", "one_of_these", pointer="/text")
        raise Invalid("It is either about a text or about a prompt", errors=(error,))
    if message.prompt_id is None:
        if message.version is not None:
            error = FieldError("A version needs its prompt_id", "unknown_field", pointer="/version")
            raise Invalid("Only prompts have versions", errors=(error,))
        return Subject(message.text or "")
    label = LATEST if message.version is None else None
    compiled = await context.ask(GetCompiledPrompt(prompt_id=message.prompt_id, version=message.version, label=label))
    content = compiled.content
    if not isinstance(content, str):
        content = "\n\n".join(f"[{part.role}]\n{part.content}" for part in content)
    return Subject(content, message.prompt_id, compiled.version)


async def _attempt(
    task: Task, messages: tuple[RunMessage, ...], context: Context, *, before: list[RunResult]
) -> RunResult | None:
    """One answer; None where with those `before` it could cost more than one wants to spend."""
    spent = sum(to_millicredits(result.usage.credits) for result in before)
    try:
        stream = await _run(task, messages, context, settle=False, spent=spent)
        return await stream.whole()
    except OverBudget:
        if not before:
            raise
        return None


async def _run(
    task: Task, messages: tuple[RunMessage, ...], context: Context, *, settle: bool, spent: int = 0
) -> ReplyStream[RunResult]:
    """`spent`: millicredits that the task has cost already."""
    settings = RunSettings(
        model=task.model,
        max_tokens=MAX_TOKENS[task.name],
        response_schema=SCHEMAS.get(task.name),
    )
    return await context.ask(
        StreamRun(
            purpose=purpose_of(task.name),
            messages=messages,
            settings=settings,
            prompt_id=task.subject.prompt_id,
            prompt_version=task.subject.version,
            settle=settle,
            max_millicredits=None if task.max_credits is None else to_millicredits(task.max_credits) - spent,
        )
    )


async def _close(results: list[RunResult], error: str | None, context: Context) -> list[RunUsage]:
    """Charge for the runs, or let them go where there is an error."""
    return [
        await context.ask(SettleRun(run_id=result.run_id, usage=result.usage, error_code=error)) for result in results
    ]


def _hint(result: RunResult) -> str:
    return ". It is tiny: a larger model would do better" if result.tiny else ""


def _written(result: RunResult) -> WrittenText:
    text = unfenced(result.text)
    if not text:
        raise AnswerUnusable(f"{result.model} said nothing{_hint(result)}")
    return WrittenText(text, AnsweredBy(result.model, result.tiny, result.finish_reason, 1, result.usage))


def _critique(answer: Answer) -> Critique:
    scores = tuple(CriterionScore(**score) for score in answer.content["scores"])
    return Critique(scores, answer.content["summary"], answer.by)


def _details(answer: Answer) -> SuggestedDetails:
    told = answer.content
    tags = tuple(dict.fromkeys(tag.strip().lower() for tag in told["tags"]))
    return SuggestedDetails(told["title"], told["summary"], tags, Category(told["category"]), answer.by)
