"""Language models, as everyone else sees them: which there are, and how another feature has one run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from annotated_types import Ge, Le, Len
from pydantic import Field

from promptforge.core.messages import Command, Query, internal, requires
from promptforge.core.pages import Scan
from promptforge.core.streams import ReplyStream
from promptforge.core.text import LINE

ModelName = Annotated[str, Len(1, 100), LINE, Field(examples=["gpt-5-mini"])]
RunId = Annotated[str, Len(1, 64)]
MaxTokens = Annotated[int, Ge(1), Le(1_000_000)]
StopText = Annotated[str, Len(1, 200)]

# Which there are


@dataclass(frozen=True, slots=True)
class ModelView:
    """A model that can be asked for by `name`.

    Prices are for a million tokens: in credits, and in millionths of a US dollar. `tiny`: the model that comes with
    this service, for trying things out; do not judge a prompt by its answers. `available` is false while its provider
    keeps failing.
    """

    name: str
    provider: str
    default: bool
    tiny: bool
    available: bool
    input_credits_per_million: str
    output_credits_per_million: str
    input_microusd_per_million: int
    output_microusd_per_million: int
    max_output_tokens: int


@dataclass(frozen=True, slots=True)
class ModelsView:
    """The models, the default one first; none where the operator configured none."""

    models: tuple[ModelView, ...]


@requires(scope="ai:read")
class ListModels(Query[ModelsView]):
    """List the language models that are configured here, and what they cost."""


# Running one: for other features


class RunRole(StrEnum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


class FinishReason(StrEnum):
    """Why the answer ends: the model was done, or `max_tokens` were reached, or its provider kept something back."""

    STOP = "stop"
    LENGTH = "length"
    FILTERED = "filtered"


@dataclass(frozen=True, slots=True)
class RunMessage:
    """One message of the chat that a model reads."""

    role: RunRole
    content: str


@dataclass(frozen=True, slots=True)
class RunSettings:
    """What is None is left to the model's default. `response_schema` is a JSON Schema that the answer keeps to.

    `max_tokens` is cut to what the model can say, and 1,024 by default. Not every provider knows a seed, and some
    refuse temperatures.
    """

    model: ModelName | None = None
    temperature: Annotated[float, Ge(0), Le(2)] | None = None
    top_p: Annotated[float, Ge(0), Le(1)] | None = None
    max_tokens: MaxTokens | None = None
    stop: Annotated[tuple[StopText, ...], Len(0, 4)] = ()
    seed: Annotated[int, Ge(0), Le(2**31 - 1)] | None = None
    response_schema: dict[str, Any] | None = None  # Any: JSON


@dataclass(frozen=True, slots=True)
class RunUsage:
    """What a run took. `credits` were charged, a seller's share included.

    `cost_microusd` is the price of its tokens in millionths of a US dollar.

    `estimated`: the provider told no count, and the tokens were counted here. `first_token_ms` is None where the answer
    came whole.
    """

    input_tokens: int
    output_tokens: int
    estimated: bool
    cost_microusd: int
    credits: str
    latency_ms: int
    first_token_ms: int | None


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a model said, whole, and what that took; of a run that was left open, what it will be charged."""

    run_id: str
    model: str
    tiny: bool
    text: str
    finish_reason: FinishReason
    usage: RunUsage


@internal
class RunModel(Command[RunResult]):
    """Have a model answer, for the principal, who pays: reserved before, charged by what it took, released on failure.

    `purpose` says what for in the usage records ("test", "evaluation"). A `run_id` of the caller's makes it
    exactly once: a run that has ended raises `RunClosed`. With `settle=False` the run stays open and the caller closes
    it with `SettleRun` in its own transaction, with what it keeps of the answer; one that nobody closes is released.

    Where it could cost more than `max_millicredits` it is not begun (`OverBudget`). With `for_platform` the platform
    pays, and nobody has to be signed in. Raises `UnknownModel`, `NoModel`, `InsufficientCredits`, and what
    `actors/ai/errors.py` has for providers' failures.
    """

    purpose: Annotated[str, Len(1, 40)]
    messages: Annotated[tuple[RunMessage, ...], Len(1, 1000)]
    settings: RunSettings = RunSettings()
    prompt_id: str | None = None
    prompt_version: int | None = None
    run_id: RunId | None = None
    settle: bool = True
    max_millicredits: int | None = None
    for_platform: bool = False


@dataclass(frozen=True, slots=True)
class SellersShare:
    """What a run of a sealed prompt of this listing earns its seller, in millicredits, before the platform's fee."""

    seller_id: str
    gross_millicredits: Annotated[int, Ge(1), Le(10**12)]
    listing_id: str | None = None


@internal
class BeginRun(Command[int]):
    """Reserve for a run and write it down, in the asker's transaction; `RunModel` with its `run_id` carries it out.

    Answers what is held for it, in millicredits.

    So the asker keeps in one commit what the run is for. With a `share`, its seller earns that much (`SettleRun`), and
    it is held besides what the model may cost. With `trial_of`, a listing, the run is paid out of the budget that its
    seller has set aside, and costs the principal nothing. With `for_platform` the platform pays, and nobody has to be
    signed in. With `purchase_id` the asker has counted it as a use of that purchase: whatever ends it without an
    answer, also the sweeper after its process died, gives that back in the same commit (`GiveBackUse`). Again with the
    same `run_id` it changes nothing.

    Raises what `RunModel` raises before it asks the model, and `BudgetSpent`.
    """

    purpose: Annotated[str, Len(1, 40)]
    messages: Annotated[tuple[RunMessage, ...], Len(1, 1000)]
    run_id: RunId
    settings: RunSettings = RunSettings()
    prompt_id: str | None = None
    prompt_version: int | None = None
    max_millicredits: int | None = None
    share: SellersShare | None = None
    trial_of: str | None = None
    purchase_id: str | None = None
    for_platform: bool = False


@internal
class StreamRun(Command[ReplyStream[RunResult]]):
    """The same, piece by piece: the run begins when the first piece is read, and errors come from there.

    Who leaves the stream stops the model at once, and pays for what it has said until then. With a `run_id` and
    `settle=False` the run stays open even so: whoever comes back with the same id takes it up again, or closes it.
    """

    purpose: Annotated[str, Len(1, 40)]
    messages: Annotated[tuple[RunMessage, ...], Len(1, 1000)]
    settings: RunSettings = RunSettings()
    prompt_id: str | None = None
    prompt_version: int | None = None
    run_id: RunId | None = None
    settle: bool = True
    max_millicredits: int | None = None


@internal
class ResolveModel(Query[ModelView]):
    """The model of this name, or the default one. Raises `UnknownModel` or `NoModel`."""

    name: ModelName | None = None


@internal
class SettleRun(Command[RunUsage]):
    """Close a run that was left open (`settle=False`), in the asker's transaction; answers what it cost.

    With an `error_code` it counts as failed, and nothing is charged. Raises `RunClosed` where it was closed before: by
    an earlier try, or because it stayed open for too long. A run that was begun with a share earns it for its seller
    only where it has `earned` it; `unclaimed`: the platform keeps all of it, for the seller's account is closed.
    """

    run_id: RunId
    usage: RunUsage
    error_code: str | None = None
    earned: bool = False
    unclaimed: bool = False


@internal
class ReleaseRuns(Command[int]):
    """Close every open run whose id begins with `prefix`, and charge nothing; answers how many there were.

    For whoever made the ids, of work that nobody goes on with.
    """

    prefix: Annotated[str, Len(1, 64)]


@internal
class SweepRuns(Command[int]):
    """Release what was reserved for runs whose process is gone; answers how many there were."""


class RunOutcome(StrEnum):
    """How a run ended. `cancelled`: nobody wanted the answer any more; `lost`: its process ended before it did."""

    OK = "ok"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"


class CallerKind(StrEnum):
    """Who had the model run: a person, a program with an API key, or a job on somebody's behalf."""

    PERSON = "person"
    PROGRAM = "program"
    JOB = "job"


@dataclass(frozen=True, slots=True)
class UsageRecord:
    """A run that ended, as `usage` keeps it."""

    run_id: str
    user_id: str
    timestamp: datetime
    purpose: str
    caller: CallerKind
    outcome: RunOutcome
    error_code: str | None
    model: str
    provider: str
    prompt_id: str | None
    prompt_version: int | None
    usage: RunUsage


@internal
class ScanUsage(Query[Scan[UsageRecord]]):
    """A user's runs that ended, the oldest first."""

    user_id: str
    after: str | None = None
    limit: int = 1000
