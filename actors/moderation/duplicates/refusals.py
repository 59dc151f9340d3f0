"""Whether a text was refused, by all that was decided about the listing that offers or offered it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from promptforge.actors.marketplace.listings.messages import VersionsThen
from promptforge.actors.moderation.domain import APPEALABLE
from promptforge.actors.moderation.messages import CaseKind, DecisionView


@dataclass(frozen=True, slots=True)
class Unknown:
    """What was decided does not tell: what is remembered stays."""


UNKNOWN = Unknown()


def refusal_of(version: int, decisions: Sequence[DecisionView], then: Sequence[VersionsThen]) -> str | Unknown | None:
    """The reason of the newest decision about the version, where that is a refusal. `then`: of each, what it was about.

    Whoever rejects a change of something else than the text says nothing about the text, which is on offer.
    """
    for decision, versions in zip(decisions, then, strict=True):
        of_change = decision.kind is CaseKind.PROPOSED_CHANGE
        if decision.decision in APPEALABLE and of_change:
            if versions.proposed == version:
                return decision.reason_code
            continue
        judged = versions.proposed if of_change and versions.proposed is not None else versions.sold
        if judged is None:
            return UNKNOWN
        if judged == version:
            return decision.reason_code if decision.decision in APPEALABLE else None
    return UNKNOWN
