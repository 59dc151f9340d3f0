"""One item: its answer, what the scorers say of it, and both written down together with what they cost.

A run's id is made from the evaluation's and the item's, and it stays open until the transaction that writes the result
closes it: who works the item again after a process died takes up the same run, and who comes late finds it closed.
Where a run with the id ended without a result (it failed, or was released because nobody came back for ten minutes),
and so without a charge, the next number is taken.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

import anyio

from promptforge.actors.ai.messages import (
    RunMessage,
    RunResult,
    RunRole,
    RunSettings,
    RunUsage,
    SettleRun,
    StreamRun,
)
from promptforge.actors.billing.ledger.messages import credits_turn
from promptforge.actors.datasets.messages import ItemView
from promptforge.actors.evaluations.domain import passes
from promptforge.actors.evaluations.judge import MAX_TOKENS, PURPOSE, SCHEMA, judge_messages, read_judgement
from promptforge.actors.evaluations.messages import EvaluationView, ItemResult, Score, Scorer
from promptforge.actors.evaluations.scoring import ReadyScorer
from promptforge.actors.evaluations.store import EvaluationStore, FrozenRun
from promptforge.actors.prompts.messages import ChatMessage, ChatRole
from promptforge.actors.prompts.rendering.messages import FillIn
from promptforge.core.amounts import from_millicredits, to_millicredits
from promptforge.core.context import Context
from promptforge.core.errors import FieldError, Invalid, PromptForgeError

MOST_RUNS = 10
"""Ids for one answer: they have one digit."""
TRIES = 3
"""Of one process, where the provider fails."""
RETRY_SECONDS = 2.0
LONGEST_RETRY_SECONDS = 20.0
JUDGEMENTS = 2
"""A judge that says nothing usable is asked once more."""
PROVIDERS_OWN = frozenset({"model_failed", "model_timeout", "model_unavailable", "model_rate_limited"})
"""Errors of a provider that another try may not meet."""
ITEMS_OWN = PROVIDERS_OWN | {"invalid_request", "model_refused", "context_too_long"}
"""Errors that say nothing about the other items."""
_UNUSED = RunUsage(0, 0, estimated=True, cost_microusd=0, credits="0", latency_ms=0, first_token_ms=None)
_ROLES = {ChatRole.SYSTEM: RunRole.SYSTEM, ChatRole.DEVELOPER: RunRole.SYSTEM, ChatRole.ASSISTANT: RunRole.ASSISTANT}


class AlreadyDone(Exception):  # it is no error: another process was faster
    """The item has its result, or is not to have one any more."""


@dataclass(frozen=True, slots=True)
class _Question:
    """What a model is asked; `part` tells the runs of one item apart."""

    item_id: str
    part: str
    purpose: str
    messages: tuple[RunMessage, ...]
    settings: RunSettings


@dataclass(frozen=True, slots=True)
class _Judged:
    """An answer, what is said of it, and the runs of the judge."""

    answer: RunResult
    scores: list[Score] = field(default_factory=list)
    judgements: list[RunResult] = field(default_factory=list)


@dataclass(slots=True)
class Items:
    """What works the items of one evaluation. `open`: runs that have begun and are not closed."""

    store: EvaluationStore
    evaluation: EvaluationView
    frozen: FrozenRun
    scorers: tuple[ReadyScorer, ...]
    open: set[str] = field(default_factory=set)
    rng: Random = field(default_factory=Random)  # noqa: S311  # jitter only

    async def work(self, item: ItemView, context: Context) -> ItemResult | None:
        """Answers the result that was written; None where another process wrote it.

        Raises what concerns the whole evaluation.
        """
        while True:  # a run that was closed in between is not taken up again: its ids are used up at some time
            try:
                answer = await self._answer(item, context)
                return await self._record(item, await self._judged(item, answer, context), context)
            except AlreadyDone:
                await self._release(f"{self.evaluation.id}:{item.id}:", context)
                return None
            except PromptForgeError as error:
                if error.code in ITEMS_OWN:
                    failed = _failed(item, error)
                    await self.store.insert_result(self.evaluation.id, failed, session=None)
                    return failed
                if error.code != "run_closed":
                    raise

    async def release(self, context: Context) -> None:
        """Close what is open, and charge nothing for it."""
        await self._release("", context)

    async def _release(self, prefix: str, context: Context) -> None:
        for run_id in sorted(run_id for run_id in self.open if run_id.startswith(prefix)):
            await _close_uncharged(run_id, context)
            self.open.discard(run_id)

    # The answer

    async def _answer(self, item: ItemView, context: Context) -> RunResult:
        frozen, settings = self.frozen, self.frozen.settings
        content = await context.ask(FillIn(content=frozen.content, declared=frozen.declared, values=item.variables))
        wanted = RunSettings(
            model=self.evaluation.model,
            temperature=settings.temperature,
            top_p=settings.top_p,
            max_tokens=settings.max_tokens,
            seed=settings.seed,
            response_schema=frozen.response_schema,
        )
        return await self._run(_Question(item.id, "", "evaluation", _messages(content), wanted), context)

    async def _run(self, question: _Question, context: Context, *, first: int = 0) -> RunResult:
        """The answer, its run left open."""
        failures = 0
        for number in range(first, MOST_RUNS):
            run_id = f"{self.evaluation.id}:{question.item_id}:{question.part}{number}"
            self.open.add(run_id)
            try:
                stream = await context.ask(
                    StreamRun(
                        purpose=question.purpose,
                        messages=question.messages,
                        settings=question.settings,
                        prompt_id=self.evaluation.prompt_id,
                        prompt_version=self.evaluation.version,
                        run_id=run_id,
                        settle=False,
                    )
                )
                return await stream.whole()
            except PromptForgeError as error:
                self.open.discard(run_id)
                if error.code == "run_closed":
                    if await self.store.has_result(self.evaluation.id, question.item_id):
                        raise AlreadyDone from None
                    continue
                failures += 1
                if error.code not in PROVIDERS_OWN or failures == TRIES or number == MOST_RUNS - 1:
                    raise
                await anyio.sleep(self._pause(error, failures))
        detail = "The model was asked as often as it may be, and the answer was lost each time"
        raise Invalid(detail, errors=(FieldError(detail, "too_many_runs"),))

    def _pause(self, error: PromptForgeError, failures: int) -> float:
        wanted = error.retry_after_seconds or RETRY_SECONDS * 2 ** (failures - 1)
        return min(wanted, LONGEST_RETRY_SECONDS) * self.rng.uniform(0.5, 1.0)

    # Scores

    async def _judged(self, item: ItemView, answer: RunResult, context: Context) -> _Judged:
        judged = _Judged(answer)
        for ready in self.scorers:
            if ready.is_judge:
                judged.scores.append(await self._judge(ready, item, judged, context))
            else:
                judged.scores.append(ready.score(answer.text, item.expected))
        return judged

    async def _judge(self, ready: ReadyScorer, item: ItemView, judged: _Judged, context: Context) -> Score:
        """A judge that fails leaves the answer without its score, and not without a result."""
        scorer: Scorer = ready.scorer
        messages = judge_messages(scorer.criteria or "", item, judged.answer.text)
        settings = RunSettings(
            model=scorer.model or self.evaluation.model, max_tokens=MAX_TOKENS, temperature=0.0, response_schema=SCHEMA
        )
        question, first = _Question(item.id, "j", PURPOSE, messages, settings), 0
        for _ in range(JUDGEMENTS):
            try:
                judgement = await self._run(question, context, first=first)
            except PromptForgeError as error:
                if error.code not in ITEMS_OWN:
                    raise
                return ready.unscored(f"The judge failed: {error.code}")
            judged.judgements.append(judgement)
            told = read_judgement(judgement.text)
            if told is not None:
                return ready.judged(*told)
            first = int(judgement.run_id[-1]) + 1
        return ready.unscored("The judge gave no usable answer")

    # The end

    async def _record(self, item: ItemView, judged: _Judged, context: Context) -> ItemResult:
        answer, runs = judged.answer, (judged.answer, *judged.judgements)

        async def work(tx: Context) -> ItemResult:
            # In the transaction: outside, a commit may be seen later than here that a run is closed.
            if await self.store.has_result(self.evaluation.id, item.id, session=tx.session):
                raise AlreadyDone
            if not await self.store.is_under_way(self.evaluation.id, session=tx.session):
                raise AlreadyDone
            usages = [await tx.ask(SettleRun(run_id=run.run_id, usage=run.usage)) for run in runs]
            result = ItemResult(
                item_id=item.id,
                output=answer.text,
                finish_reason=answer.finish_reason,
                passed=passes(judged.scores),
                scores=tuple(judged.scores),
                error_code=None,
                error_detail=None,
                input_tokens=sum(usage.input_tokens for usage in usages),
                output_tokens=sum(usage.output_tokens for usage in usages),
                cost_microusd=sum(usage.cost_microusd for usage in usages),
                credits=from_millicredits(sum(to_millicredits(usage.credits) for usage in usages)),
                latency_ms=answer.usage.latency_ms,
            )
            await self.store.insert_result(self.evaluation.id, result, session=tx.session)
            return result

        with anyio.CancelScope(shield=True):  # either it is written down and paid for, or it is not
            result = await context.transaction(work, turn=credits_turn(context.user_id))
        self.open.difference_update(run.run_id for run in runs)
        return result


async def _close_uncharged(run_id: str, context: Context) -> None:
    try:
        settle = SettleRun(run_id=run_id, usage=_UNUSED, error_code="cancelled")
        await context.transaction(lambda tx: tx.ask(settle), turn=credits_turn(context.user_id))
    except PromptForgeError as error:
        if error.code != "run_closed":
            raise


def _messages(content: str | tuple[ChatMessage, ...]) -> tuple[RunMessage, ...]:
    if isinstance(content, str):
        return (RunMessage(RunRole.USER, content),)
    return tuple(RunMessage(_ROLES.get(part.role, RunRole.USER), part.content) for part in content)


def _failed(item: ItemView, error: PromptForgeError) -> ItemResult:
    detail = error.detail
    if isinstance(error, Invalid) and error.errors:
        detail = "; ".join(f"{one.pointer or ''} {one.detail}".strip() for one in error.errors[:5])
    return ItemResult(
        item_id=item.id,
        output=None,
        finish_reason=None,
        passed=False,
        scores=(),
        error_code=error.code,
        error_detail=detail[:500],
        input_tokens=0,
        output_tokens=0,
        cost_microusd=0,
        credits="0",
        latency_ms=None,
    )
