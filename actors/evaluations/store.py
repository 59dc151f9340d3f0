"""Every query on `evaluations` and `evaluation_results`.

An evaluation keeps all that it needs to run, the content with its includes in place, so that what it does depends on
nothing that changes. A result's id is its evaluation's and its item's, so there is one. JSON that people wrote is kept
as text: BSON has opinions about keys such as `$ref`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import orjson
from pydantic import TypeAdapter

from promptforge.actors.ai.messages import FinishReason
from promptforge.actors.evaluations.domain import mean_score
from promptforge.actors.evaluations.messages import (
    EvaluationFailure,
    EvaluationStatus,
    EvaluationSummary,
    EvaluationView,
    ItemResult,
    RunParameters,
    Score,
    Scorer,
)
from promptforge.actors.projects.messages import OF_OTHERS
from promptforge.actors.prompts.messages import ChatMessage, Variable
from promptforge.core.amounts import from_millicredits, to_millicredits
from promptforge.core.errors import NotFound
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.pages import Cursor, Page, page_of
from promptforge.core.personal import Held, Subject, kept, marks

EVALUATIONS = "evaluations"
RESULTS = "evaluation_results"
UNDER_WAY = (EvaluationStatus.QUEUED.value, EvaluationStatus.RUNNING.value)

INDEXES: dict[str, tuple[Index, ...]] = {
    EVALUATIONS: (
        Index((("project_id", 1), ("created_at", -1), ("_id", -1))),
        Index((("prompt_id", 1), ("created_at", -1), ("_id", -1))),
        Index((("created_by", 1),)),
        Index((("unsettled", 1), ("_id", 1), ("job_id", 1)), partial={"unsettled": True}),
    ),
    # Counting and comparing read this index alone. That an item has one result is said by `_id`.
    RESULTS: (Index((("evaluation_id", 1), ("item_id", 1), ("mean", 1))),),
}
HELD = {
    EVALUATIONS: Held(
        "Your evaluations, and those that you began in projects of others",
        (
            Subject(
                "created_by", marks(kept(OF_OTHERS), "scorers", "frozen"), whole=True, inside="project_id:projects"
            ),
            Subject("project_id", of="projects", deleted=True, whole=True),
        ),
        plain=frozenset({"*"}),
    ),
    RESULTS: Held(
        "What your evaluations found",
        (Subject("evaluation_id", of="evaluations", deleted=True),),
        plain=frozenset({"*"}),
    ),
}


@dataclass(frozen=True, slots=True)
class FrozenRun:
    """What every item is run with. `settings` are the version's with the evaluation's parameters before them."""

    content: str | tuple[ChatMessage, ...]
    declared: tuple[Variable, ...]
    settings: RunParameters
    response_schema: dict[str, Any] | None  # Any: JSON
    dataset_name: str
    tiny_model: bool


@dataclass(frozen=True, slots=True)
class Unsettled:
    """An evaluation that is under way, or has ended and is not summed up."""

    id: str
    job_id: str
    created_at: datetime


_FROZEN = TypeAdapter(FrozenRun)
_SCORERS = TypeAdapter(tuple[Scorer, ...])
_SUMMARY = TypeAdapter(EvaluationSummary)
_SCORES = TypeAdapter(tuple[Score, ...])


class EvaluationStore:
    def __init__(self, mongo: Mongo) -> None:
        self._evaluations = mongo.collection(EVALUATIONS)
        self._results = mongo.collection(RESULTS)

    # Evaluations

    async def insert(self, evaluation: EvaluationView, frozen: FrozenRun, *, session: Session | None) -> None:
        await self._evaluations.insert_one(
            {
                "_id": evaluation.id,
                **{
                    name: getattr(evaluation, name)
                    for name in (
                        "project_id",
                        "prompt_id",
                        "version",
                        "label",
                        "content_hash",
                        "dataset_id",
                        "dataset_revision",
                        "model",
                        "items_total",
                        "job_id",
                        "created_by",
                        "created_at",
                    )
                },
                "parameters": asdict(evaluation.parameters),
                "scorers": _SCORERS.dump_json(evaluation.scorers).decode(),
                "status": evaluation.status.value,
                "unsettled": True,
                "frozen": _FROZEN.dump_json(frozen).decode(),
            },
            session=session,
        )

    async def get(self, evaluation_id: str, *, session: Session | None = None) -> EvaluationView:
        """Whoever asks. Raises `NotFound`."""
        row = await self._evaluations.find_one({"_id": evaluation_id}, {"frozen": 0}, session=session)
        if row is None:
            raise no_evaluation()
        done = await self._count_of([row], session=session)
        return _evaluation_from(row, done.get(evaluation_id, 0))

    async def get_frozen(self, evaluation_id: str, *, session: Session | None = None) -> FrozenRun:
        row = await self._evaluations.find_one({"_id": evaluation_id}, {"frozen": 1}, session=session)
        if row is None:
            raise no_evaluation()
        return _FROZEN.validate_json(row["frozen"])

    async def list_page(
        self, project_ids: Sequence[str], prompt_id: str | None, *, cursor: Cursor | None, limit: int
    ) -> Page[EvaluationView]:
        """Newest first."""
        wanted: Document = {"project_id": {"$in": list(project_ids)}, **(cursor.after() if cursor else {})}
        if prompt_id is not None:
            wanted["prompt_id"] = prompt_id
        rows = self._evaluations.find(wanted, {"frozen": 0}).sort([("created_at", -1), ("_id", -1)]).limit(limit + 1)
        found = await rows.to_list(limit + 1)
        done = await self._count_of(found[:limit])
        return page_of(found, limit, lambda row: _evaluation_from(row, done.get(row["_id"], 0)))

    async def _count_of(self, rows: Sequence[Document], *, session: Session | None = None) -> dict[str, int]:
        """How many results those evaluations have that are not summed up: the others' summaries say it.

        Read from the index, in one go. A counter in the evaluation would be a document that all its items write to.
        """
        open_ones = [row["_id"] for row in rows if "summary" not in row]
        if not open_ones:
            return {}
        counted = self._results.aggregate(count_pipeline(open_ones), session=session)
        return {row["_id"]: row["number"] for row in await counted.to_list(len(open_ones))}

    async def begin(self, evaluation_id: str, *, now: datetime) -> None:
        """It runs from now on, if it has not run or ended before."""
        await self._evaluations.update_one(
            {"_id": evaluation_id, "status": EvaluationStatus.QUEUED.value},
            {"$set": {"status": EvaluationStatus.RUNNING.value, "started_at": now}},
        )

    async def is_under_way(self, evaluation_id: str, *, session: Session | None = None) -> bool:
        row = await self._evaluations.find_one({"_id": evaluation_id}, {"status": 1}, session=session)
        return row is not None and row["status"] in UNDER_WAY

    async def end(
        self,
        evaluation_id: str,
        status: EvaluationStatus,
        *,
        now: datetime,
        failure: EvaluationFailure | None = None,
        session: Session | None,
    ) -> bool:
        """False where it has ended before."""
        ended: Document = {"status": status.value, "finished_at": now}
        if failure is not None:
            ended["failure"] = asdict(failure)
        wanted = {"_id": evaluation_id, "status": {"$in": list(UNDER_WAY)}}
        return (await self._evaluations.update_one(wanted, {"$set": ended}, session=session)).matched_count == 1

    async def keep_summary(self, evaluation_id: str, summary: EvaluationSummary, *, session: Session | None) -> None:
        told = _SUMMARY.dump_json(summary).decode()
        kept = {"$set": {"summary": told}, "$unset": {"unsettled": ""}}
        await self._evaluations.update_one({"_id": evaluation_id}, kept, session=session)

    async def list_unsettled(self, *, after: str, limit: int) -> list[Unsettled]:
        """Those that have no summary yet, in the order of their ids."""
        wanted = {"unsettled": True, "_id": {"$gt": after}}
        rows = self._evaluations.find(wanted, {"job_id": 1, "created_at": 1}).sort([("_id", 1)]).limit(limit)
        return [Unsettled(row["_id"], row["job_id"], row["created_at"]) for row in await rows.to_list(limit)]

    # Results

    async def insert_result(self, evaluation_id: str, result: ItemResult, *, session: Session | None) -> None:
        """Where another process has written one already, that stays."""
        row = _result_row(evaluation_id, result)
        wanted = {"_id": row.pop("_id")}
        await self._results.update_one(wanted, {"$setOnInsert": row}, upsert=True, session=session)

    async def has_result(self, evaluation_id: str, item_id: str, *, session: Session | None = None) -> bool:
        wanted = {"_id": _result_id(evaluation_id, item_id)}
        return await self._results.find_one(wanted, {"_id": 1}, session=session) is not None

    async def done(self, evaluation_id: str) -> set[str]:
        """The ids of the items that have a result."""
        rows = self._results.find({"evaluation_id": evaluation_id}, {"_id": 0, "item_id": 1})
        return {row["item_id"] async for row in rows}

    async def list_results(
        self, evaluation_id: str, *, after: str = "", failed_only: bool = False, limit: int
    ) -> list[ItemResult]:
        """Those that come after an item, in the order of the items."""
        wanted: Document = {"evaluation_id": evaluation_id, "item_id": {"$gt": after}}
        if failed_only:
            wanted["passed"] = False
        rows = self._results.find(wanted).sort([("item_id", 1)]).limit(limit)
        return [_result_from(row) for row in await rows.to_list(limit)]

    async def list_without_output(self, evaluation_id: str, *, session: Session | None = None) -> list[ItemResult]:
        """All of them, which is 10,000 at most, but for what takes room: answers and reasons."""
        fields = {"output": 0, "error_detail": 0}
        rows = self._results.find({"evaluation_id": evaluation_id}, fields, session=session)
        return [_result_from(row) for row in await rows.sort([("item_id", 1)]).to_list(None)]

    async def compare(self, first_id: str, other_id: str) -> tuple[int, int, int]:
        """On how many items the other one is better, worse, or the same; read from the index."""
        rows = await self._results.aggregate(comparison_pipeline(first_id, other_id)).to_list(1)
        return (rows[0]["better"], rows[0]["worse"], rows[0]["same"]) if rows else (0, 0, 0)

    async def results_of(self, evaluation_id: str, item_ids: Sequence[str]) -> dict[str, ItemResult]:
        """By item."""
        rows = self._results.find({"_id": {"$in": [_result_id(evaluation_id, item) for item in item_ids]}})
        return {row["item_id"]: _result_from(row) for row in await rows.to_list(len(item_ids))}


def count_pipeline(evaluation_ids: Sequence[str]) -> list[Document]:
    return [
        {"$match": {"evaluation_id": {"$in": list(evaluation_ids)}}},
        {"$group": {"_id": "$evaluation_id", "number": {"$sum": 1}}},
    ]


def comparison_pipeline(first_id: str, other_id: str) -> list[Document]:
    """Adds up the items that both have. What has no score counts as nothing."""

    def mean_in(evaluation_id: str) -> Document:
        return {"$sum": {"$cond": [{"$eq": ["$evaluation_id", evaluation_id]}, {"$ifNull": ["$mean", 0]}, 0]}}

    def number_of(comparison: str) -> Document:
        return {"$sum": {"$cond": [{comparison: ["$other", "$first"]}, 1, 0]}}

    both = {first_id, other_id}
    return [
        {"$match": {"evaluation_id": {"$in": sorted(both)}}},
        {
            "$group": {
                "_id": "$item_id",
                "first": mean_in(first_id),
                "other": mean_in(other_id),
                "results": {"$sum": 1},
            }
        },
        {"$match": {"results": len(both)}},
        {"$group": {"_id": None, "better": number_of("$gt"), "worse": number_of("$lt"), "same": number_of("$eq")}},
    ]


def no_evaluation() -> NotFound:
    return NotFound("There is no such evaluation, or it is not yours")


def _result_id(evaluation_id: str, item_id: str) -> str:
    return f"{evaluation_id}:{item_id}"


def _evaluation_from(row: Mapping[str, Any], counted: int) -> EvaluationView:  # Any: BSON
    failure, told = row.get("failure"), row.get("summary")
    summary = None if told is None else _SUMMARY.validate_json(told)
    return EvaluationView(
        id=row["_id"],
        project_id=row["project_id"],
        prompt_id=row["prompt_id"],
        version=row["version"],
        label=row["label"],
        content_hash=row["content_hash"],
        dataset_id=row["dataset_id"],
        dataset_revision=row["dataset_revision"],
        model=row["model"],
        parameters=RunParameters(**row["parameters"]),
        scorers=_SCORERS.validate_json(row["scorers"]),
        status=EvaluationStatus(row["status"]),
        items_total=row["items_total"],
        items_done=counted if summary is None else summary.items,
        summary=summary,
        failure=None if failure is None else EvaluationFailure(**failure),
        job_id=row["job_id"],
        created_by=row["created_by"],
        created_at=row["created_at"],
        started_at=row.get("started_at"),
        finished_at=row.get("finished_at"),
    )


def _result_row(evaluation_id: str, result: ItemResult) -> Document:
    return {
        "_id": _result_id(evaluation_id, result.item_id),
        "evaluation_id": evaluation_id,
        "item_id": result.item_id,
        "output": result.output,
        "finish_reason": None if result.finish_reason is None else result.finish_reason.value,
        "passed": result.passed,
        "mean": mean_score(result),
        "scores": orjson.dumps([asdict(score) for score in result.scores]).decode(),
        "error_code": result.error_code,
        "error_detail": result.error_detail,
        "input_tokens": result.input_tokens,
        "output_tokens": result.output_tokens,
        "cost_microusd": result.cost_microusd,
        "millicredits": to_millicredits(result.credits),
        "latency_ms": result.latency_ms,
    }


def _result_from(row: Mapping[str, Any]) -> ItemResult:  # Any: BSON
    finish = row["finish_reason"]
    return ItemResult(
        item_id=row["item_id"],
        output=row.get("output"),
        finish_reason=None if finish is None else FinishReason(finish),
        passed=row["passed"],
        scores=_SCORES.validate_json(row["scores"]),
        error_code=row["error_code"],
        error_detail=row.get("error_detail"),
        input_tokens=row["input_tokens"],
        output_tokens=row["output_tokens"],
        cost_microusd=row["cost_microusd"],
        credits=from_millicredits(row["millicredits"]),
        latency_ms=row["latency_ms"],
    )
