"""Evaluations: what a version of a prompt is worth, on the items of a dataset."""

from promptforge.actors.evaluations.actor import EvaluationsActor
from promptforge.actors.evaluations.messages import (
    QUEUE,
    CancelEvaluation,
    CompareEvaluations,
    CreateEvaluation,
    GetEvaluation,
    GetScorecard,
    ListEvaluations,
    ListResults,
    RunEvaluation,
    SweepEvaluations,
)

__all__ = [
    "QUEUE",
    "CancelEvaluation",
    "CompareEvaluations",
    "CreateEvaluation",
    "EvaluationsActor",
    "GetEvaluation",
    "GetScorecard",
    "ListEvaluations",
    "ListResults",
    "RunEvaluation",
    "SweepEvaluations",
]
