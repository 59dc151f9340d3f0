"""Running what one must not see: by purchase, as a trial that the seller pays for, or one's own."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated

from annotated_types import Len

from promptforge.actors.ai.messages import FinishReason, RunUsage
from promptforge.actors.marketplace.messages import ListingId, Words
from promptforge.actors.marketplace.rulings.messages import RulingView
from promptforge.actors.marketplace.sealed.terms import RunTerms
from promptforge.actors.prompts.messages import VariableType
from promptforge.actors.prompts.rendering.messages import Values
from promptforge.core.amounts import CreditAmount, PositiveCreditAmount
from promptforge.core.messages import Command, Query, internal, requires
from promptforge.core.principal import Role
from promptforge.core.streams import ReplyStream


class RunGround(StrEnum):
    """Why somebody may run a listing: they bought runs of it, they try it at the seller's cost, or it is their own."""

    PURCHASE = "purchase"
    TRIAL = "trial"
    OWN = "own"


class WithheldBecause(StrEnum):
    """`copies_sealed_text`: this output has too much of it. `adds_up`: it does with those of earlier runs.

    `cannot_be_checked`: it has more encodings within encodings, or more pieces of a few letters, than are looked at.
    """

    COPIES_SEALED_TEXT = "copies_sealed_text"
    ADDS_UP = "adds_up"
    CANNOT_BE_CHECKED = "cannot_be_checked"


@dataclass(frozen=True, slots=True)
class WithheldView:
    """Why an output is not shown. Only the model's cost was charged for it."""

    code: WithheldBecause
    words: str


@dataclass(frozen=True, slots=True)
class SealedRunView:
    """What a model made of a sealed prompt with your variables; `output` is null where it is `withheld`.

    `usage.credits` is what you paid, the seller's `share` included; a trial costs you nothing.
    """

    run_id: str
    listing_id: str
    ground: RunGround
    purchase_id: str | None
    version: int
    model: str
    tiny: bool
    output: str | None
    withheld: WithheldView | None
    finish_reason: FinishReason
    usage: RunUsage
    share: str
    trials_left: int | None


@dataclass(frozen=True, slots=True)
class SealedVariable:
    """What a run asks for. `values` are those of an enum; what is not `required` has a default."""

    name: str
    type: VariableType
    required: bool
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunOfferView:
    """How you can run a listing: by which ground, on whose terms, with which variables.

    `ground` is null where you cannot yet. `trials_left`: of your own; a trial also needs the seller's budget to have
    something left.
    """

    listing_id: str
    version: int
    ground: RunGround | None
    terms: RunTerms
    variables: tuple[SealedVariable, ...]
    trials_left: int


@dataclass(frozen=True, slots=True)
class TrialBudgetView:
    """Credits that you set aside for trials of a listing: what was put in, spent, and is held for trials under way.

    `closing`: trials are under way that hold some of what you want back; it comes back with the last of them.
    """

    listing_id: str
    funded: str
    spent: str
    held: str
    closing: bool


@requires(scope="ai:run")
class RunListing(Command[ReplyStream[SealedRunView]]):
    """Run a listing whose text you do not see, with your variables, on the seller's model and parameters.

    Whoever bought runs pays the model's cost and the seller's share of each; others may have trials, which the seller
    pays for. The output comes whole, once it was checked: as a stream it is one event. One that gives the sealed text
    away, in any of many disguises, is withheld, and you pay the model's cost only; five outputs with parts of it stop
    your runs of the listing until a moderator has looked at that. The seller never sees what you send.

    `max_credits` is the most that it may cost. 403 `runs_not_bought`, `runs_stopped` or `runs_barred`, 409
    `trials_used_up`, `trial_budget_spent`, `not_for_sale`, `listing_suspended` or `not_runnable`; a variable that is
    missing, unknown or not of its type is a 422 that points to it.
    """

    listing_id: ListingId
    variables: Values = field(default_factory=dict)
    max_credits: CreditAmount | None = None


@requires(scope="listings:read")
class GetRunOffer(Query[RunOfferView]):
    """Read how you can run a listing: the model, the seller's share, and the names and types of its variables."""

    listing_id: ListingId


@requires(Role.SELLER, scope="listings:write", fresh=True)
class FundTrials(Command[TrialBudgetView]):
    """Set credits aside for trials of your listing, on top of what is there."""

    listing_id: ListingId
    credits: PositiveCreditAmount


@requires(Role.SELLER, scope="listings:read")
class GetTrialBudget(Query[TrialBudgetView]):
    """Read what is left for trials of your listing."""

    listing_id: ListingId


@requires(Role.SELLER, scope="listings:write", fresh=True)
class WithdrawTrialBudget(Command[TrialBudgetView]):
    """Take back what is left for trials of your listing, each part to where it came from.

    Nothing new is tried from then on; what trials under way hold comes back with the last of them.
    """

    listing_id: ListingId


@requires(scope="purchases:read", while_suspended=True)
class GetRunsRuling(Query[RulingView]):
    """Read why your runs of a listing were stopped for good, and how an appeal against that stands.

    It is the same for every listing of the prompt.

    404 where nobody has decided so of you, or of accounts that are linked to yours.
    """

    listing_id: ListingId


@requires(scope="purchases:write", while_suspended=True, fresh=True)
class AppealRuns(Command[RulingView]):
    """Appeal that your runs of a listing were stopped for good: another moderator decides, and that is final.

    One appeal for you and the accounts that are linked to yours. If it is granted, you can run it, and buy runs of it,
    again; what was given back stays so. 409 `nothing_to_appeal`, `already_appealed`, and `appeal_too_late` once
    `appeal_until` has passed; 404 where nobody has decided so.
    """

    listing_id: ListingId
    words: Words


@internal
class IsRunsAppealed(Query[bool]):
    """Whether an appeal against what this case ended with is to be decided."""

    case_id: Annotated[str, Len(1, 64)]


@internal
class DecideRunsAppeal(Command[None]):
    """A moderator has heard the appeal `appeal_id` against what the case ended with. If it is `granted`, whom the case
    has barred is barred no more, and matches are counted from zero. Raises `NothingToAppeal`.
    """

    case_id: Annotated[str, Len(1, 64)]
    appeal_id: Annotated[str, Len(1, 64)]
    granted: bool
    reason_code: Annotated[str, Len(1, 50)]
    public_note: Annotated[str, Len(1, 2000)]
    explanation: Annotated[str, Len(1, 3500)]


@internal
class DecideSuspicion(Command[None]):
    """A moderator has looked at runs that gave a sealed text away: they go on, and matches are counted from zero again.

    `subject`: one of the accounts. Where it was `upheld`, they and those linked to them get back what they bought of
    its runs, and can neither run nor buy runs of it, by whatever listing; they can appeal. What was shown stays counted
    either way.
    """

    case_id: Annotated[str, Len(1, 64)]
    listing_id: ListingId
    subject: Annotated[str, Len(1, 64)]
    upheld: bool
    reason_code: Annotated[str, Len(1, 50)]
    public_note: Annotated[str, Len(1, 2000)]
    words: Annotated[str, Len(3, 500)]
    """What the ledger keeps of refunds."""
    explanation: Annotated[str, Len(1, 3500)]
    """What they are told of the reason and of what can be done."""
    to_seller: Annotated[str, Len(1, 3500)]
    """What the seller is told of refunds."""
