"""Asks a language model what it would decide about a case. The platform pays, within a limit for each day.

A run is reserved in one transaction, with the day's limit; then the model is asked; then one transaction charges for
it, keeps the recommendation and completes the job. Where a process dies in between, another one is given the job, which
takes up the same run and holds its credits of the day once more: what the provider did the first time nobody knows. A
run that failed, or was released before anybody took it up, is over, and what it held stays taken for the same reason;
the next attempt has a run of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import structlog

from promptforge.actors.ai.messages import BeginRun, RunModel, RunResult, RunSettings, SettleRun
from promptforge.actors.marketplace.messages import GetListingForReview
from promptforge.actors.moderation.checks.passages import passages_of
from promptforge.actors.moderation.contents import sold_by, versions_of
from promptforge.actors.moderation.domain import legal_decisions, waits_for
from promptforge.actors.moderation.messages import (
    CaseKind,
    CaseState,
    CaseView,
    RecommendationState,
    RecommendationView,
)
from promptforge.actors.moderation.recommending.domain import (
    MAX_TOKENS,
    QUESTIONS,
    Question,
    messages_about,
    read_answer,
)
from promptforge.actors.moderation.recommending.messages import RecommendOnCase
from promptforge.actors.moderation.recommending.store import SpendingStore, day_of
from promptforge.actors.moderation.store import CaseStore
from promptforge.core.amounts import to_millicredits
from promptforge.core.context import Context
from promptforge.core.errors import PromptForgeError
from promptforge.core.failpoints import reach
from promptforge.core.ids import new_id
from promptforge.core.runtime import Actor, handles

ATTEMPTS = 3
ANSWER_SECONDS = 120.0
UNUSABLE = "answer_unusable"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Advisor:
    """Which model is asked, and how many millicredits of the platform's may go to it in a day (UTC)."""

    model: str
    most_a_day: int


@dataclass(frozen=True, slots=True)
class _Asking:
    """`order` is what is sent, `whole` whether it has all of the texts, `day` whose limit it counts for."""

    case: CaseView
    question: Question
    order: RunModel
    whole: bool
    day: str

    @property
    def run_id(self) -> str:
        return self.order.run_id or ""


class RecommenderActor(Actor):
    """`advisor`: None where no model is asked."""

    name = "recommender"
    asks = ("marketplace", "models", "package_files", "prompts")

    def __init__(self, store: CaseStore, spending: SpendingStore, advisor: Advisor | None) -> None:
        self._store = store
        self._spending = spending
        self._advisor = advisor

    @handles(RecommendOnCase, key="case_id")
    async def recommend(self, message: RecommendOnCase, context: Context) -> str:
        """With a job's attempts, so that no failure of a model is tried for ever."""
        attempt = 1 if context.job is None else context.job.attempt
        asking = await self._prepare(message.case_id, attempt, context)
        if asking is None:
            return "nothing to do"
        try:
            asking, held = await self._reserve(asking, context)
            result = await context.ask(asking.order, timeout_seconds=ANSWER_SECONDS)
        except PromptForgeError as error:
            if error.retryable and attempt < ATTEMPTS:
                raise
            return await self._keep(asking, _none(asking, error.code, context), context)
        return await self._conclude(asking, held, result, context)

    async def _prepare(self, case_id: str, attempt: int, context: Context) -> _Asking | None:
        """None where nobody waits for a recommendation, or there is one."""
        advisor, now = self._advisor, context.now()
        case = await self._store.get(case_id, now=now)
        question = QUESTIONS.get(case.kind)
        if advisor is None or case.state is not CaseState.OPEN or question is None:
            return None
        listing = await context.ask(GetListingForReview(listing_id=case.listing_id))
        fits = set(question.verdicts) <= set(legal_decisions(case.kind, listing.state))
        if not fits or not waits_for(listing, case) or await self._store.find_recommendation(case.id) is not None:
            return None
        number, _ = versions_of(case, listing)
        version = await context.ask(sold_by(listing, number))
        passages, findings = passages_of(case, listing, version), await self._store.list_findings(case.id)
        report = case.reason if case.kind is CaseKind.REPORT else None
        messages, whole = messages_about(passages, findings, question=question, report=report)
        order = RunModel(
            purpose=question.purpose,
            messages=messages,
            settings=RunSettings(model=advisor.model, max_tokens=MAX_TOKENS, response_schema=question.schema),
            run_id=f"check_{case.id}_{attempt}",
            settle=False,
            for_platform=True,
        )
        return _Asking(case, question, order, whole, day_of(now))

    async def _reserve(self, asking: _Asking, context: Context) -> tuple[_Asking, int]:
        """What is asked in the end, and what is held for it.

        A process that was lost is no attempt, so its run has the id of this one; it is over where nobody came back in
        time, and then another one is begun.
        """
        try:
            return asking, await context.transaction(partial(self._begin, asking))
        except PromptForgeError as error:
            if error.code != "run_closed":
                raise
        anew = replace(asking, order=replace(asking.order, run_id=f"check_{new_id('run')}"))
        return anew, await context.transaction(partial(self._begin, anew))

    async def _begin(self, asking: _Asking, tx: Context) -> int:
        order = asking.order
        held = await tx.ask(
            BeginRun(
                purpose=order.purpose,
                messages=order.messages,
                run_id=asking.run_id,
                settings=order.settings,
                for_platform=True,
            )
        )
        most = self._advisor.most_a_day if self._advisor is not None else 0
        await self._spending.take(asking.day, held, most=most, session=tx.session)
        return held

    async def _conclude(self, asking: _Asking, held: int, result: RunResult, context: Context) -> str:
        """An answer that cannot be used is paid for all the same."""
        answer = read_answer(result.text, asking.question)
        if answer is None:
            kept = _none(asking, UNUSABLE, context)
        else:
            kept = RecommendationView(
                state=RecommendationState.GIVEN,
                model=result.model,
                tiny_model=result.tiny,
                decision=answer.verdict,
                reason_code=answer.reason_code,
                words=answer.words,
                read_all=asking.whole,
                because=None,
                made_at=context.now(),
            )

        async def work(tx: Context) -> str:
            usage = await tx.ask(SettleRun(run_id=asking.run_id, usage=result.usage))
            unspent = held - to_millicredits(usage.credits)
            await self._spending.give_back(asking.day, unspent, session=tx.session)
            reach("recommendation.before_commit")
            return await self._put(asking, kept, tx)

        return await context.transaction(work, completes=True)

    async def _keep(self, asking: _Asking, kept: RecommendationView, context: Context) -> str:
        return await context.transaction(lambda tx: self._put(asking, kept, tx), completes=True)

    async def _put(self, asking: _Asking, kept: RecommendationView, tx: Context) -> str:
        await self._store.keep_recommendation(asking.case.id, kept, session=tx.session)
        tx.after_commit(
            lambda: log.info("moderation.recommended", case_id=asking.case.id, state=kept.state, because=kept.because)
        )
        return kept.because or kept.state.value


def _none(asking: _Asking, because: str, context: Context) -> RecommendationView:
    return RecommendationView(
        state=RecommendationState.NONE,
        model=asking.order.settings.model or "",
        tiny_model=False,
        decision=None,
        reason_code=None,
        words=None,
        read_all=asking.whole,
        because=because,
        made_at=context.now(),
    )
