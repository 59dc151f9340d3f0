"""Evaluations: started, watched, cancelled and compared."""

from __future__ import annotations

from promptforge.actors.ai.errors import NoModel, UnknownModel
from promptforge.actors.evaluations.errors import DifferentDatasets, EvaluationNotFinished, EvaluationOver
from promptforge.actors.evaluations.messages import (
    CancelEvaluation,
    CompareEvaluations,
    CreateEvaluation,
    GetEvaluation,
    ListEvaluations,
    ListResults,
)
from promptforge.actors.projects.errors import ProjectArchived, ProjectRoleMissing
from promptforge.actors.prompts.errors import (
    IncludeCycle,
    IncludeMissing,
    IncludesTooDeep,
    IncludesTooLarge,
    NothingToServe,
)
from promptforge.core.errors import NotFound
from promptforge.http.rates import RateClass
from promptforge.http.routing import get, post

_WRITING = (ProjectRoleMissing, ProjectArchived)
_PINNING = (NothingToServe, IncludeCycle, IncludesTooDeep, IncludesTooLarge, IncludeMissing)
_EVALUATION = "/evaluations/{evaluation_id}"

routes = [
    get("/evaluations", ListEvaluations, errors=(NotFound,)),
    post(
        "/evaluations",
        CreateEvaluation,
        status=202,
        location="/jobs/{job_id}",
        rate=RateClass.EXPENSIVE,
        errors=(NotFound, UnknownModel, NoModel, *_PINNING, *_WRITING),
    ),
    get(_EVALUATION, GetEvaluation),
    post(_EVALUATION + "/cancel", CancelEvaluation, errors=(EvaluationOver, *_WRITING)),
    get(_EVALUATION + "/results", ListResults, name="listEvaluationResults"),
    get(_EVALUATION + "/comparison", CompareEvaluations, errors=(DifferentDatasets, EvaluationNotFinished)),
]
