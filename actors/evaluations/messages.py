"""Evaluations: a version of a prompt, run on every item of a dataset, and what its answers are worth."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from annotated_types import Ge, Le, Len
from pydantic import Field

from promptforge.actors.ai.messages import FinishReason, MaxTokens, ModelName
from promptforge.actors.datasets.messages import DatasetId
from promptforge.actors.projects.messages import ProjectId
from promptforge.actors.prompts.messages import AnyLabel, PromptId, VersionNumber
from promptforge.core.jobs.policy import job
from promptforge.core.messages import Command, Query, internal, requires
from promptforge.core.pages import DEFAULT_LIMIT, CursorToken, Limit, Page
from promptforge.core.text import LINE, TEXT

QUEUE = "evaluations"

EvaluationId = Annotated[str, Len(1, 64)]


class ScorerKind(StrEnum):
    """How an answer is judged.

    `exact`: it is `expected`, white space around aside. `contains`: `text`, or `expected`, is in it. `regex`: `pattern`
    is found in it. `json_schema`: it is JSON that keeps to `json_schema`. `llm_judge`: a model says how good it is.
    """

    EXACT = "exact"
    CONTAINS = "contains"
    REGEX = "regex"
    JSON_SCHEMA = "json_schema"
    LLM_JUDGE = "llm_judge"


@dataclass(frozen=True, slots=True)
class Scorer:
    """One way to judge answers. Of its fields those count that its kind is about; `name` is the kind where not given.

    `ignore_case` is for `exact` and `contains`. `pattern` has no look-around and no back-references, `json_schema` no
    references. Of `llm_judge` there is one at most: it goes by `criteria`, is paid for like any run, and an answer
    passes from `threshold` up. Its `model` is the evaluation's where none is named.
    """

    kind: ScorerKind
    name: Annotated[str, Len(1, 40), LINE, Field(examples=["names the council"])] | None = None
    ignore_case: bool = False
    text: Annotated[str, Field(min_length=1, max_length=4096, examples=["council"])] | None = None
    pattern: Annotated[str, Field(min_length=1, max_length=1000, examples=[r"\bcouncil\b"])] | None = None
    json_schema: (
        Annotated[dict[str, Any], Field(examples=[None], description="A JSON Schema (draft 2020-12)")] | None
    ) = None  # Any: JSON
    criteria: Annotated[str, Len(1, 4000), TEXT, Field(examples=["Says what happened, and nothing else."])] | None = (
        None
    )
    model: ModelName | None = None
    threshold: Annotated[float, Ge(0), Le(1)] = 0.5


Scorers = Annotated[tuple[Scorer, ...], Len(1, 8), Field(examples=[[{"kind": "contains", "text": "council"}]])]


@dataclass(frozen=True, slots=True)
class RunParameters:
    """How the model is run, before what the version's settings say; what is null is left to those."""

    temperature: Annotated[float, Ge(0), Le(2)] | None = None
    top_p: Annotated[float, Ge(0), Le(1)] | None = None
    max_tokens: MaxTokens | None = None
    seed: Annotated[int, Ge(0), Le(2**31 - 1), Field(examples=[7])] | None = None


class EvaluationStatus(StrEnum):
    """`failed`: it could not go on, and keeps the results that it had. `failure` says why.

    `cancelled`: by somebody of the project, or with its job by an operator, which `failure` says too.
    """

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class ScorerSummary:
    """`mean` score and share of answers that passed, of the `scored` ones; null where none was."""

    name: str
    kind: ScorerKind
    scored: int
    mean: float | None
    pass_rate: float | None


@dataclass(frozen=True, slots=True)
class EvaluationSummary:
    """All results in sum. An item passes where no scorer says that it does not; one with an error does not pass.

    Tokens and cost are those of answers and of their judgement, latencies those of answers.
    """

    items: int
    errors: int
    passed: int
    pass_rate: float | None
    mean_score: float | None
    scorers: tuple[ScorerSummary, ...]
    input_tokens: int
    output_tokens: int
    cost_microusd: int
    credits: str
    latency_p50_ms: int | None
    latency_p95_ms: int | None


@dataclass(frozen=True, slots=True)
class EvaluationFailure:
    """Why an evaluation could not go on, as the problem documents of the API have it."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class EvaluationView:
    """An evaluation. `summary` is there once its job has ended; it is about the results that there are."""

    id: str
    project_id: str
    prompt_id: str
    version: int
    label: str | None
    content_hash: str
    dataset_id: str
    dataset_revision: int
    model: str
    parameters: RunParameters
    scorers: tuple[Scorer, ...]
    status: EvaluationStatus
    items_total: int
    items_done: int
    summary: EvaluationSummary | None
    failure: EvaluationFailure | None
    job_id: str
    created_by: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Score:
    """What a scorer says of an answer, from 0 to 1; null where it cannot say (no `expected`, a judge that failed)."""

    scorer: str
    score: float | None
    passed: bool | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ItemResult:
    """What became of one item. With an `error_code` there is no answer, and nothing was charged for it.

    Tokens, cost and credits are those of the answer and of its judgement together.
    """

    item_id: str
    output: str | None
    finish_reason: FinishReason | None
    passed: bool
    scores: tuple[Score, ...]
    error_code: str | None
    error_detail: str | None
    input_tokens: int
    output_tokens: int
    cost_microusd: int
    credits: str
    latency_ms: int | None


class ItemChange(StrEnum):
    BETTER = "better"
    WORSE = "worse"
    SAME = "same"


@dataclass(frozen=True, slots=True)
class ComparedItem:
    """One item in both evaluations. `change` goes by the mean of its scores, from the first to the other."""

    item_id: str
    change: ItemChange
    first: ItemResult
    other: ItemResult


@dataclass(frozen=True, slots=True)
class ComparisonView:
    """Two evaluations on the same items: in sum, and item by item (a page of them; `next` is the following one)."""

    first: EvaluationView
    other: EvaluationView
    better: int
    worse: int
    same: int
    items: tuple[ComparedItem, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Scorecard:
    """A finished evaluation as a listing shows it."""

    evaluation_id: str
    project_id: str
    prompt_id: str
    version: int
    content_hash: str
    dataset_id: str
    dataset_name: str
    dataset_revision: int
    model: str
    tiny_model: bool
    scorers: tuple[ScorerKind, ...]
    summary: EvaluationSummary
    finished_at: datetime


@requires(scope="evaluations:write")
class CreateEvaluation(Command[EvaluationView]):
    """Run a version of a prompt on every item of a dataset of the same project, as a job, at your cost.

    Version, label, includes, dataset and model are those of this moment, whatever changes while it runs. Without
    `version` and `label` it is what `production` points to; without `model` the version's, or the default one.
    """

    prompt_id: PromptId
    version: VersionNumber | None = None
    label: AnyLabel | None = None
    dataset_id: DatasetId
    model: ModelName | None = None
    parameters: RunParameters = RunParameters()
    scorers: Scorers


@requires(scope="evaluations:read")
class GetEvaluation(Query[EvaluationView]):
    """Read an evaluation of one of your projects."""

    evaluation_id: EvaluationId


@requires(scope="evaluations:read")
class ListEvaluations(Query[Page[EvaluationView]]):
    """List the evaluations of a project, or of all yours, newest first; of one prompt where it is named."""

    project_id: ProjectId | None = None
    prompt_id: PromptId | None = None
    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@requires(scope="evaluations:read")
class ListResults(Query[Page[ItemResult]]):
    """List the results that an evaluation has so far, in the order of the dataset; or only what did not pass."""

    evaluation_id: EvaluationId
    failed_only: bool = False
    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@requires(scope="evaluations:write")
class CancelEvaluation(Command[EvaluationView]):
    """Stop an evaluation. It keeps its results; what is under way is given up within two seconds and not charged."""

    evaluation_id: EvaluationId


@requires(scope="evaluations:read")
class CompareEvaluations(Query[ComparisonView]):
    """Compare two finished evaluations on the same revision of a dataset (409 `different_datasets` otherwise)."""

    evaluation_id: EvaluationId
    other_id: Annotated[EvaluationId, Field(alias="with", examples=["evl_01k8y3w5q2m7t9x4c6v1b8n0rb"])]
    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@internal
@job(queue=QUEUE, timeout_seconds=6 * 3600, max_attempts=20, looks_itself=True)
class RunEvaluation(Command[None]):
    """Work off what an evaluation has not done yet, until it ends."""

    evaluation_id: str


@internal
class SweepEvaluations(Command[int]):
    """End the evaluations whose job was cancelled or died; answers how many there were."""


@internal
class GetScorecard(Query[Scorecard]):
    """The scorecard of a finished evaluation, in the asker's transaction, whoever asks.

    Raises `NotFound`, or `EvaluationNotFinished`.
    """

    evaluation_id: str
