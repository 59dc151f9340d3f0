"""Test runs of prompts: what somebody who writes one does to see what a model makes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Ge, Le, Len

from promptforge.actors.ai.messages import FinishReason, MaxTokens, ModelName, RunUsage, StopText
from promptforge.actors.prompts.messages import AnyLabel, PromptId, VersionNumber
from promptforge.actors.prompts.rendering.messages import Values
from promptforge.core.amounts import CreditAmount
from promptforge.core.messages import Command, requires
from promptforge.core.streams import ReplyStream


@dataclass(frozen=True, slots=True)
class TrialSettings:
    """Settings in place of the version's own; what is null is left to the version, and then to the model's default."""

    temperature: Annotated[float, Ge(0), Le(2)] | None = None
    top_p: Annotated[float, Ge(0), Le(1)] | None = None
    max_tokens: MaxTokens | None = None
    stop: Annotated[tuple[StopText, ...], Len(0, 4)] = ()
    seed: Annotated[int, Ge(0), Le(2**31 - 1)] | None = None


@dataclass(frozen=True, slots=True)
class TrialView:
    """What a model made of a version. `tiny`: the small local model, whose answers are for trying things out only.

    `output` is the model's text as it came: it is not checked against the version's response schema. `ignored_tools`
    are the version's tools that the model was not told of, because the request said so.
    """

    run_id: str
    prompt_id: str
    version: int
    label: str | None
    model: str
    tiny: bool
    output: str
    finish_reason: FinishReason
    usage: RunUsage
    ignored_tools: tuple[str, ...]


@requires(scope="ai:run")
class TryPrompt(Command[ReplyStream[TrialView]]):
    """Run a prompt once: `version`, or the one of `label` (`production` where neither is given), with your variables.

    Whoever may read a prompt may test it, and pays for it; an API key needs `prompts:read` as well. It is rendered as
    by `render`: a variable that is missing, unknown or not of its type is a 422 that points to it. A text is sent as
    the user's message, a chat as it is; a response schema asks the model for structured output. `model` and
    `settings` go before the version's own. Models are not given tools here: a version that has some is refused (422
    `has_tools`), unless `ignore_tools` says to run it without them. `max_credits` is the most that it may cost (422
    `over_budget` where it could cost more).
    """

    prompt_id: PromptId
    version: VersionNumber | None = None
    label: AnyLabel | None = None
    variables: Values = field(default_factory=dict)
    model: ModelName | None = None
    settings: TrialSettings = TrialSettings()
    ignore_tools: bool = False
    max_credits: CreditAmount | None = None
