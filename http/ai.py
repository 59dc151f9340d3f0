"""Language models, and help from them with writing prompts."""

from __future__ import annotations

from promptforge.actors.ai.assistant.messages import (
    CritiqueText,
    ExplainText,
    GenerateText,
    ImproveText,
    SuggestListing,
)
from promptforge.actors.ai.errors import (
    AnswerUnusable,
    ContextTooLong,
    HasTools,
    ModelFailed,
    ModelMisconfigured,
    ModelRateLimited,
    ModelRefused,
    ModelTimeout,
    ModelUnavailable,
    NoModel,
    OverBudget,
    UnknownModel,
)
from promptforge.actors.ai.messages import ListModels
from promptforge.actors.ai.trials.messages import TryPrompt
from promptforge.actors.ai.usage.messages import GetMyUsage, GetPromptAnalytics
from promptforge.actors.billing.errors import DebtOutstanding, InsufficientCredits
from promptforge.actors.prompts.errors import (
    IncludeCycle,
    IncludeMissing,
    IncludesTooDeep,
    IncludesTooLarge,
    NothingToServe,
)
from promptforge.core.errors import NotFound
from promptforge.http.routing import Errors, get, stream

RUN_ERRORS: Errors = (
    InsufficientCredits,
    DebtOutstanding,
    UnknownModel,
    ContextTooLong,
    ModelRefused,
    OverBudget,
    ModelRateLimited,
    ModelFailed,
    ModelMisconfigured,
    ModelUnavailable,
    ModelTimeout,
    NoModel,
)
"""What every operation can answer that has a model run."""
_HELP: Errors = (*RUN_ERRORS, AnswerUnusable)
_RENDERING: Errors = (NothingToServe, IncludeCycle, IncludesTooDeep, IncludesTooLarge, IncludeMissing)
_HELP_WITH_ONE: Errors = (*_HELP, NotFound, *_RENDERING)

routes = [
    get("/ai/models", ListModels),
    stream("/ai/improve", ImproveText, errors=_HELP_WITH_ONE),
    stream("/ai/generate", GenerateText, errors=_HELP),
    stream("/ai/critique", CritiqueText, errors=_HELP_WITH_ONE),
    stream("/ai/explain", ExplainText, errors=_HELP_WITH_ONE),
    stream("/ai/suggest", SuggestListing, errors=_HELP_WITH_ONE),
    stream("/prompts/{prompt_id}/test", TryPrompt, name="testPrompt", errors=(*RUN_ERRORS, HasTools, *_RENDERING)),
    get("/prompts/{prompt_id}/analytics", GetPromptAnalytics),
    get("/users/me/usage", GetMyUsage),
]
