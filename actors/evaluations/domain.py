"""Results in sum, and two evaluations beside each other: pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from promptforge.actors.evaluations.messages import (
    ComparedItem,
    EvaluationSummary,
    ItemChange,
    ItemResult,
    Score,
    ScorerSummary,
)
from promptforge.actors.evaluations.scoring import ReadyScorer
from promptforge.core.amounts import from_millicredits, to_millicredits

_PLACES = 4


def passes(scores: Iterable[Score]) -> bool:
    """Nobody says that it does not."""
    return all(score.passed is not False for score in scores)


def mean_score(result: ItemResult) -> float | None:
    """An item with an error is worth nothing; one that nobody could score has no score."""
    if result.error_code is not None:
        return 0.0
    return _mean([score.score for score in result.scores if score.score is not None])


def summarise(results: Sequence[ItemResult], scorers: Sequence[ReadyScorer]) -> EvaluationSummary:
    latencies = sorted(result.latency_ms for result in results if result.latency_ms is not None)
    passed = sum(result.passed for result in results)
    means = [mean for result in results if (mean := mean_score(result)) is not None]
    return EvaluationSummary(
        items=len(results),
        errors=sum(result.error_code is not None for result in results),
        passed=passed,
        pass_rate=_mean([float(result.passed) for result in results]),
        mean_score=_mean(means),
        scorers=tuple(_of_scorer(scorer, results) for scorer in scorers),
        input_tokens=sum(result.input_tokens for result in results),
        output_tokens=sum(result.output_tokens for result in results),
        cost_microusd=sum(result.cost_microusd for result in results),
        credits=from_millicredits(sum(to_millicredits(result.credits) for result in results)),
        latency_p50_ms=percentile(latencies, 50),
        latency_p95_ms=percentile(latencies, 95),
    )


def percentile(ordered: Sequence[int], percent: int) -> int | None:
    """The nearest rank: a value that occurred."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] if ordered else None


def compared(first: ItemResult, other: ItemResult) -> ComparedItem:
    """One item in both; what has no score counts as nothing."""
    return ComparedItem(first.item_id, _change(mean_score(first) or 0.0, mean_score(other) or 0.0), first, other)


def _change(before: float, after: float) -> ItemChange:
    if before == after:
        return ItemChange.SAME
    return ItemChange.BETTER if after > before else ItemChange.WORSE


def _of_scorer(scorer: ReadyScorer, results: Sequence[ItemResult]) -> ScorerSummary:
    scores = [score for result in results for score in result.scores if score.scorer == scorer.name]
    told = [score for score in scores if score.score is not None]
    return ScorerSummary(
        name=scorer.name,
        kind=scorer.scorer.kind,
        scored=len(told),
        mean=_mean([score.score for score in told if score.score is not None]),
        pass_rate=_mean([float(bool(score.passed)) for score in told]),
    )


def _mean(numbers: Sequence[float]) -> float | None:
    return round(sum(numbers) / len(numbers), _PLACES) if numbers else None
