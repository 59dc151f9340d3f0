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


@dataclass(frozen=True, slots=True)
class Stated:
    """`words` say why, `next_step` what the people concerned can do, and whether and how they can appeal."""

    words: str
    next_step: str

    def told(self, code: str, note: str = "") -> str:
        """With what was written for them."""
        return explained(code, f"{self.words} {note}".rstrip(), self.next_step)


def explained(code: str, words: str, next_step: str) -> str:
    """As people are told it; programs read the code in the notice's `subject`."""
    return f"Why ({code}): {words}\n\nWhat you can do: {next_step}"


def check_reason(reasons: Mapping[CodeT, Reason[DecisionT]], code: CodeT, decision: DecisionT) -> None:
    """Raises `Invalid` where the reason is one for other decisions."""
    if decision in reasons[code].decisions:
        return
    fitting = ", ".join(other for other, reason in reasons.items() if decision in reason.decisions)
    error = FieldError(f"Not a reason for `{decision}`; those are: {fitting}", "wrong_reason", pointer="/reason_code")
    raise Invalid("The reason does not fit the decision", errors=(error,))
