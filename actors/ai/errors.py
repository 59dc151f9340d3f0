"""What can go wrong with a language model.

What a provider says about a request may quote the request, and the request may hold a text that its buyer must not see:
so no provider's words get into these errors, only its status and, where it is one, its error code.
"""

from __future__ import annotations

from promptforge.core.errors import Conflict, PromptForgeError, Unavailable


class UnknownModel(PromptForgeError):
    """The request names a model that is not configured here."""

    code = "unknown_model"
    status = 422
    title = "There is no such model here"


class NoModel(PromptForgeError):
    """Nobody configured a language model: trying again helps nobody."""

    code = "no_model"
    status = 503
    title = "This service has no language model"


class ModelRateLimited(PromptForgeError):
    """The provider asks for patience, and it may be our other users who used up what it allows."""

    code = "model_rate_limited"
    status = 429
    title = "The language model takes no more requests just now"
    retryable = True


class ModelUnavailable(Unavailable):
    """The provider cannot be reached, says that it is overloaded, or has failed so often that it is left alone."""

    code = "model_unavailable"
    title = "The language model does not answer just now"


class ModelTimeout(Unavailable):
    """The provider took the request and was too slow. It may have charged for it, which is the platform's loss."""

    code = "model_timeout"
    title = "The language model did not answer in time"


class ModelFailed(PromptForgeError):
    """The provider failed, or its answer broke off or could not be read."""

    code = "model_failed"
    status = 502
    title = "The language model failed"
    retryable = True


class ModelMisconfigured(PromptForgeError):
    """The provider refuses our key, or does not know the model that we ask for: an operator's business."""

    code = "model_misconfigured"
    status = 502
    title = "The language model is not set up rightly here"


class ModelRefused(PromptForgeError):
    """The provider refuses this request: its parameters, its schema or its content."""

    code = "model_refused"
    status = 422
    title = "The language model refuses this request"


class ContextTooLong(ModelRefused):
    code = "context_too_long"
    title = "That is more text than the model can read"


class AnswerUnusable(PromptForgeError):
    """The model answered, twice where that can help, and never in the form that was asked for."""

    code = "answer_unusable"
    status = 502
    title = "The language model gave no usable answer"
    retryable = True


class OverBudget(PromptForgeError):
    code = "over_budget"
    status = 422
    title = "This may cost more than you want to spend"


class HasTools(PromptForgeError):
    code = "has_tools"
    status = 422
    title = "The version has tools, which models are not given here"


class RunClosed(Conflict):
    """A run with this id has ended before: it is charged once, and not carried out again."""

    code = "run_closed"
    title = "This run has ended already"
