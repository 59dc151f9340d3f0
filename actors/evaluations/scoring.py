"""Judging answers without a model: pure, and in time proportional to the answer whatever a scorer says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from promptforge.actors.evaluations.messages import Score, Scorer, ScorerKind
from promptforge.core.errors import FieldError, Invalid
from promptforge.core.json_schemas import Checker, pattern_checker

_NEEDS = {
    ScorerKind.REGEX: "pattern",
    ScorerKind.JSON_SCHEMA: "json_schema",
    ScorerKind.LLM_JUDGE: "criteria",
}


@dataclass(frozen=True, slots=True)
class ReadyScorer:
    """A scorer with what it has to be made ready once."""

    scorer: Scorer
    name: str
    checker: Checker | None

    @property
    def is_judge(self) -> bool:
        return self.scorer.kind is ScorerKind.LLM_JUDGE

    def score(self, answer: str, expected: str | None) -> Score:
        """Only for scorers that are no judge."""
        match self.scorer.kind:
            case ScorerKind.EXACT:
                return self._compared(answer.strip(), None if expected is None else expected.strip(), whole=True)
            case ScorerKind.CONTAINS:
                return self._compared(answer, self.scorer.text or expected, whole=False)
            case ScorerKind.REGEX:
                found = self._accepts(answer)
                return self._said(found, None if found else "The pattern is not in it")
            case ScorerKind.JSON_SCHEMA:
                return self._structured(answer)
            case ScorerKind.LLM_JUDGE:
                raise ValueError("a judge is a model: it is asked elsewhere")

    def unscored(self, reason: str) -> Score:
        return Score(self.name, None, None, reason)

    def judged(self, score: float, reason: str) -> Score:
        return Score(self.name, score, score >= self.scorer.threshold, reason)

    def _compared(self, answer: str, wanted: str | None, *, whole: bool) -> Score:
        if wanted is None:
            return self.unscored("The item says nothing of what is expected")
        if self.scorer.ignore_case:
            answer, wanted = answer.casefold(), wanted.casefold()
        return self._said(answer == wanted if whole else wanted in answer, None)

    def _structured(self, answer: str) -> Score:
        try:
            value = orjson.loads(answer)
        except ValueError:
            return self._said(False, "It is not JSON")
        if self._accepts(value):
            return self._said(True, None)
        first = self.checker.errors(value)[0] if self.checker is not None else None
        return self._said(False, None if first is None else f"{first.pointer or 'It'}: {first.detail}")

    def _accepts(self, value: object) -> bool:
        return self.checker is not None and self.checker.accepts(value)

    def _said(self, passed: bool, reason: str | None) -> Score:  # noqa: FBT001  # it is what is said
        return Score(self.name, 1.0 if passed else 0.0, passed, reason)


def make_ready(scorers: Sequence[Scorer]) -> tuple[ReadyScorer, ...]:
    """Raises `Invalid` with a pointer to everything that is wrong with them."""
    ready: list[ReadyScorer] = []
    errors: list[FieldError] = []
    for number, scorer in enumerate(scorers):
        pointer = f"/scorers/{number}"
        needed = _NEEDS.get(scorer.kind)
        name = scorer.name or scorer.kind.value
        if needed is not None and getattr(scorer, needed) is None:
            errors.append(FieldError(f"A scorer of kind {scorer.kind} needs this", "required", f"{pointer}/{needed}"))
        elif any(other.name == name for other in ready):
            errors.append(FieldError("Two scorers have this name", "not_unique", f"{pointer}/name"))
        elif scorer.kind is ScorerKind.LLM_JUDGE and any(other.is_judge for other in ready):
            errors.append(FieldError("There can be one judge", "too_many", f"{pointer}/kind"))
        else:
            try:
                ready.append(ReadyScorer(scorer, name, _checker(scorer)))
            except ValueError as error:
                errors.append(FieldError(str(error), "invalid_scorer", f"{pointer}/{needed}"))
    if errors:
        raise Invalid("Some scorers are not right", errors=tuple(errors))
    return tuple(ready)


def _checker(scorer: Scorer) -> Checker | None:
    if scorer.kind is ScorerKind.REGEX and scorer.pattern is not None:
        return pattern_checker(scorer.pattern)
    if scorer.kind is ScorerKind.JSON_SCHEMA and scorer.json_schema is not None:
        return Checker(scorer.json_schema)
    return None
