"""Starts evaluations, carries them out as jobs, and shows what came of them."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC, datetime

from promptforge.actors.ai.messages import ModelView, ReleaseRuns, ResolveModel
from promptforge.actors.datasets.messages import FreezeDataset
from promptforge.actors.evaluations.domain import compared
from promptforge.actors.evaluations.errors import DifferentDatasets, EvaluationNotFinished, EvaluationOver
from promptforge.actors.evaluations.items import Items
from promptforge.actors.evaluations.messages import (
    CancelEvaluation,
    CompareEvaluations,
    ComparisonView,
    CreateEvaluation,
    EvaluationFailure,
    EvaluationStatus,
    EvaluationView,
    GetEvaluation,
    GetScorecard,
    ItemResult,
    ListEvaluations,
    ListResults,
    RunEvaluation,
    RunParameters,
    Scorecard,
    SweepEvaluations,
)
from promptforge.actors.evaluations.orphans import settle_orphans, sum_up
from promptforge.actors.evaluations.scoring import make_ready
from promptforge.actors.evaluations.store import UNDER_WAY, EvaluationStore, FrozenRun, no_evaluation
from promptforge.actors.evaluations.working import SUSPENDED, Work
from promptforge.actors.projects.messages import ListProjectsOf, ProjectPermission, authorise
from promptforge.actors.prompts.messages import ModelSettings
from promptforge.actors.prompts.rendering.messages import PinnedContent, PinVersion
from promptforge.core.context import Context
from promptforge.core.errors import FieldError, Invalid, NotFound
from promptforge.core.ids import new_id
from promptforge.core.pages import Cursor, Page
from promptforge.core.runtime import Actor, handles

_NO_TIME = datetime.fromtimestamp(0, UTC)
"""Results are listed by their items' ids alone: a cursor's time says nothing."""


class EvaluationsActor(Actor):
    """A worker is busy for as long as an evaluation runs: there are more of them than evaluations run at once."""

    name = "evaluations"
    asks = ("projects", "rendering", "datasets", "models", "jobs", "users")
    workers = 32

    def __init__(self, store: EvaluationStore) -> None:
        self._store = store

    # Starting and stopping

    @handles(CreateEvaluation, transactional=True)
    async def create(self, message: CreateEvaluation, context: Context) -> EvaluationView:
        ready = make_ready(message.scorers)
        pinned = await context.ask(
            PinVersion(prompt_id=message.prompt_id, version=message.version, label=message.label)
        )
        model = await context.ask(ResolveModel(name=message.model or pinned.settings.model))
        for scorer in ready:
            if scorer.is_judge:
                await context.ask(ResolveModel(name=scorer.scorer.model or model.name))
        return await context.transaction(lambda tx: self._start(message, pinned, model, tx))

    async def _start(
        self, message: CreateEvaluation, pinned: PinnedContent, model: ModelView, tx: Context
    ) -> EvaluationView:
        dataset = await tx.ask(FreezeDataset(dataset_id=message.dataset_id))
        if dataset.project_id != pinned.project_id:
            raise _bad_dataset("The dataset is in another project than the prompt", "wrong_project")
        if not dataset.item_count:
            raise _bad_dataset("The dataset has no items", "empty")
        evaluation_id = new_id("evl")
        job_id = await tx.enqueue(RunEvaluation(evaluation_id=evaluation_id))
        evaluation = EvaluationView(
            id=evaluation_id,
            project_id=pinned.project_id,
            prompt_id=pinned.prompt_id,
            version=pinned.version,
            label=pinned.label,
            content_hash=pinned.content_hash,
            dataset_id=dataset.dataset_id,
            dataset_revision=dataset.revision,
            model=model.name,
            parameters=message.parameters,
            scorers=message.scorers,
            status=EvaluationStatus.QUEUED,
            items_total=dataset.item_count,
            items_done=0,
            summary=None,
            failure=None,
            job_id=job_id,
            created_by=tx.user_id,
            created_at=tx.now(),
            started_at=None,
            finished_at=None,
        )
        frozen = FrozenRun(
            content=pinned.content,
            declared=pinned.declared,
            settings=_effective(message.parameters, pinned.settings),
            response_schema=pinned.response_schema,
            dataset_name=dataset.name,
            tiny_model=model.tiny,
        )
        await self._store.insert(evaluation, frozen, session=tx.session)
        return evaluation

    @handles(CancelEvaluation, transactional=True)
    async def cancel(self, message: CancelEvaluation, context: Context) -> EvaluationView:
        async def work(tx: Context) -> EvaluationView:
            evaluation = await self._evaluation_for(tx, message.evaluation_id, ProjectPermission.WRITE)
            status = EvaluationStatus.CANCELLED
            if not await self._store.end(evaluation.id, status, now=tx.now(), session=tx.session):
                raise EvaluationOver(f"The evaluation is {evaluation.status}")
            return replace(evaluation, status=status, finished_at=tx.now())

        return await context.transaction(work)

    # Carrying out

    @handles(RunEvaluation, key="evaluation_id")
    async def carry_out(self, message: RunEvaluation, context: Context) -> None:
        await self._store.begin(message.evaluation_id, now=context.now())
        evaluation = await self._store.get(message.evaluation_id)
        failure: EvaluationFailure | None = None
        if evaluation.status.value in UNDER_WAY:
            failure = await self._work(evaluation, context)
        status = EvaluationStatus.FINISHED if failure is None else EvaluationStatus.FAILED
        await context.transaction(lambda tx: self._end(evaluation, status, failure, tx), completes=True)

    async def _work(self, evaluation: EvaluationView, context: Context) -> EvaluationFailure | None:
        """Answers why it could not be done, where it could not."""
        principal = context.principal
        if principal is None or principal.suspended:
            await context.ask(ReleaseRuns(prefix=f"{evaluation.id}:"))  # what an attempt before this one left open
            return SUSPENDED
        items = Items(
            store=self._store,
            evaluation=evaluation,
            frozen=await self._store.get_frozen(evaluation.id),
            scorers=make_ready(evaluation.scorers),
        )
        work = Work(items, context, await self._store.done(evaluation.id))
        await work.carry_out()
        if work.error is not None:  # what is open stays so, for the next attempt
            raise work.error
        if work.cancelled or work.failure is not None:
            await items.release(context)
        return work.failure

    async def _end(
        self, evaluation: EvaluationView, status: EvaluationStatus, failure: EvaluationFailure | None, tx: Context
    ) -> None:
        """Where it was cancelled it stays so, and is summed up all the same."""
        await self._store.end(evaluation.id, status, now=tx.now(), failure=failure, session=tx.session)
        await sum_up(self._store, evaluation, tx)

    @handles(SweepEvaluations)
    async def sweep(self, message: SweepEvaluations, context: Context) -> int:
        return await settle_orphans(self._store, context)

    # Looking

    @handles(GetEvaluation, transactional=True)
    async def get_evaluation(self, message: GetEvaluation, context: Context) -> EvaluationView:
        return await self._evaluation_for(context, message.evaluation_id)

    @handles(ListEvaluations)
    async def list_evaluations(self, message: ListEvaluations, context: Context) -> Page[EvaluationView]:
        cursor = Cursor.decode_optional(message.cursor)
        if message.project_id is not None:
            await authorise(context, message.project_id, ProjectPermission.READ)
            project_ids: tuple[str, ...] = (message.project_id,)
        else:
            project_ids = await context.ask(ListProjectsOf(user_id=context.user_id))
        return await self._store.list_page(project_ids, message.prompt_id, cursor=cursor, limit=message.limit)

    @handles(ListResults)
    async def list_results(self, message: ListResults, context: Context) -> Page[ItemResult]:
        cursor = Cursor.decode_optional(message.cursor)
        evaluation = await self._evaluation_for(context, message.evaluation_id)
        found = await self._store.list_results(
            evaluation.id,
            after=cursor.id if cursor else "",
            failed_only=message.failed_only,
            limit=message.limit + 1,
        )
        shown = tuple(found[: message.limit])
        return Page(shown, _cursor_after(shown[-1].item_id) if len(found) > message.limit else None)

    @handles(CompareEvaluations)
    async def compare(self, message: CompareEvaluations, context: Context) -> ComparisonView:
        cursor = Cursor.decode_optional(message.cursor)
        first = await self._evaluation_for(context, message.evaluation_id)
        other = await self._evaluation_for(context, message.other_id)
        if (first.dataset_id, first.dataset_revision) != (other.dataset_id, other.dataset_revision):
            raise DifferentDatasets
        if {first.status, other.status} != {EvaluationStatus.FINISHED}:
            raise EvaluationNotFinished
        better, worse, same = await self._store.compare(first.id, other.id)
        after = cursor.id if cursor else ""
        ours = await self._store.list_results(first.id, after=after, limit=message.limit + 1)
        shown = ours[: message.limit]
        theirs = await self._store.results_of(other.id, [result.item_id for result in shown])
        return ComparisonView(
            first=first,
            other=other,
            better=better,
            worse=worse,
            same=same,
            items=tuple(compared(result, theirs[result.item_id]) for result in shown if result.item_id in theirs),
            next=_cursor_after(shown[-1].item_id) if len(ours) > len(shown) else None,
        )

    # For other features

    @handles(GetScorecard, transactional=True)
    async def get_scorecard(self, message: GetScorecard, context: Context) -> Scorecard:
        evaluation = await self._store.get(message.evaluation_id, session=context.session)
        summary, finished_at = evaluation.summary, evaluation.finished_at
        if evaluation.status is not EvaluationStatus.FINISHED or summary is None or finished_at is None:
            raise EvaluationNotFinished
        frozen = await self._store.get_frozen(evaluation.id, session=context.session)
        return Scorecard(
            evaluation_id=evaluation.id,
            project_id=evaluation.project_id,
            prompt_id=evaluation.prompt_id,
            version=evaluation.version,
            content_hash=evaluation.content_hash,
            dataset_id=evaluation.dataset_id,
            dataset_name=frozen.dataset_name,
            dataset_revision=evaluation.dataset_revision,
            model=evaluation.model,
            tiny_model=frozen.tiny_model,
            scorers=tuple(scorer.kind for scorer in evaluation.scorers),
            summary=summary,
            finished_at=finished_at,
        )

    async def _evaluation_for(
        self, context: Context, evaluation_id: str, permission: ProjectPermission = ProjectPermission.READ
    ) -> EvaluationView:
        """Raises `NotFound` for who is not in the project, `ProjectRoleMissing` or `ProjectArchived` for who is."""
        evaluation = await self._store.get(evaluation_id, session=context.session)
        try:
            await authorise(context, evaluation.project_id, permission)
        except NotFound:
            raise no_evaluation() from None
        return evaluation


def _effective(parameters: RunParameters, settings: ModelSettings) -> RunParameters:
    chosen = {name: value for name, value in asdict(parameters).items() if value is not None}
    said = {name: getattr(settings, name) for name in ("temperature", "top_p", "max_tokens")}
    return RunParameters(**{**said, **chosen})


def _bad_dataset(detail: str, code: str) -> Invalid:
    return Invalid(detail, errors=(FieldError(detail, code, pointer="/dataset_id"),))


def _cursor_after(item_id: str) -> str:
    return Cursor(_NO_TIME, item_id).encode()
