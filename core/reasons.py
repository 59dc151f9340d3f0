"""Reasons of decisions about what is people's: which decisions each is for, its words, and what comes next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from promptforge.core.errors import FieldError, Invalid

CodeT = TypeVar("CodeT", bound=StrEnum)
DecisionT = TypeVar("DecisionT", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Reason(Generic[DecisionT]):
    """`words` say why, `next_step` what the people concerned can do."""

    decisions: tuple[DecisionT, ...]
    words: str
    next_step: str


def check_reason(reasons: Mapping[CodeT, Reason[DecisionT]], code: CodeT, decision: DecisionT) -> None:
    """Raises `Invalid` where the reason is one for other decisions."""
    if decision in reasons[code].decisions:
        return
    fitting = ", ".join(other for other, reason in reasons.items() if decision in reason.decisions)
    error = FieldError(f"Not a reason to {decision}; those are: {fitting}", "wrong_reason", pointer="/reason_code")
    raise Invalid("The reason does not fit the decision", errors=(error,))
