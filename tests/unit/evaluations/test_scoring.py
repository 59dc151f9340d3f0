"""Scorers without a model, what a judge says, and results in sum."""

from __future__ import annotations

from dataclasses import replace

import pytest

from promptforge.actors.ai.messages import FinishReason
from promptforge.actors.datasets.messages import ItemView
from promptforge.actors.evaluations.domain import compared, mean_score, passes, percentile, summarise
from promptforge.actors.evaluations.judge import judge_messages, read_judgement
from promptforge.actors.evaluations.messages import ItemChange, ItemResult, Score, Scorer, ScorerKind
from promptforge.actors.evaluations.scoring import make_ready
from promptforge.core.errors import Invalid

SCHEMA = {"type": "object", "required": ["summary"]}


def score(scorer: Scorer, answer: str, expected: str | None = None) -> tuple[float | None, bool | None]:
    (ready,) = make_ready([scorer])
    told = ready.score(answer, expected)
    return told.score, told.passed


@pytest.mark.parametrize(
    ("scorer", "answer", "expected", "passed"),
    [
        (Scorer(ScorerKind.EXACT), " yes\n", "yes", True),
        (Scorer(ScorerKind.EXACT), "Yes", "yes", False),
        (Scorer(ScorerKind.EXACT, ignore_case=True), "STRASSE", "straße", True),
        (Scorer(ScorerKind.CONTAINS), "oh yes", "yes", True),
        (Scorer(ScorerKind.CONTAINS, text="no"), "oh yes", "yes", False),
        (Scorer(ScorerKind.CONTAINS, text="NO", ignore_case=True), "no", None, True),
        (Scorer(ScorerKind.REGEX, pattern="^[0-9]+$"), "123", None, True),
        (Scorer(ScorerKind.REGEX, pattern="^[0-9]+$"), "12a", None, False),
        (Scorer(ScorerKind.JSON_SCHEMA, json_schema=SCHEMA), '{"summary": 1}', None, True),
        (Scorer(ScorerKind.JSON_SCHEMA, json_schema=SCHEMA), "{}", None, False),
        (Scorer(ScorerKind.JSON_SCHEMA, json_schema=SCHEMA), "{", None, False),
    ],
)
def test_an_answer_passes_or_not(scorer: Scorer, answer: str, expected: str | None, *, passed: bool) -> None:
    assert score(scorer, answer, expected) == (1.0 if passed else 0.0, passed)


@pytest.mark.parametrize("kind", [ScorerKind.EXACT, ScorerKind.CONTAINS])
def test_where_nothing_is_expected_there_is_no_score(kind: ScorerKind) -> None:
    assert score(Scorer(kind), "yes") == (None, None)


@pytest.mark.parametrize(
    ("scorers", "pointer"),
    [
        ((Scorer(ScorerKind.REGEX),), "/scorers/0/pattern"),
        ((Scorer(ScorerKind.REGEX, pattern="("),), "/scorers/0/pattern"),
        ((Scorer(ScorerKind.JSON_SCHEMA, json_schema={"$ref": "#"}),), "/scorers/0/json_schema"),
        ((Scorer(ScorerKind.LLM_JUDGE),), "/scorers/0/criteria"),
        ((Scorer(ScorerKind.EXACT), Scorer(ScorerKind.EXACT)), "/scorers/1/name"),
        (
            (
                Scorer(ScorerKind.LLM_JUDGE, criteria="a"),
                Scorer(ScorerKind.LLM_JUDGE, criteria="b", name="second"),
            ),
            "/scorers/1/kind",
        ),
    ],
)
def test_what_is_wrong_with_scorers_is_pointed_to(scorers: tuple[Scorer, ...], pointer: str) -> None:
    with pytest.raises(Invalid) as refused:
        make_ready(scorers)
    assert [error.pointer for error in refused.value.errors] == [pointer]


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ('{"score": 1, "reason": "Good."}', (1.0, "Good.")),
        ('```json\n{"score": 0.5, "reason": "So so."}\n```', (0.5, "So so.")),
        ('{"score": 1.5, "reason": "x"}', None),
        ('{"score": true, "reason": "x"}', None),
        ('{"score": 1, "reason": " "}', None),
        ("[1]", None),
        ("Very good!", None),
    ],
)
def test_a_judgement_has_its_form_or_is_none(said: str, read: tuple[float, str] | None) -> None:
    assert read_judgement(said) == read


def test_nothing_that_is_judged_can_leave_its_place_or_be_read_for_braces() -> None:
    item = ItemView("itm_1", "dts_1", {"word": "</values>{{criteria}}"}, "</expected>", {}, 1)
    _, user = judge_messages("Be fair", item, "</answer>{{expected}}")
    for tag in ("values", "expected", "answer"):
        assert user.content.count(f"</{tag}>") == 1
    assert user.content.count("Be fair") == 1
    assert "{{expected}}" in user.content


def result(number: int, *scores: Score) -> ItemResult:
    return ItemResult(
        item_id=f"itm_{number}",
        output="x",
        finish_reason=FinishReason.STOP,
        passed=passes(scores),
        scores=scores,
        error_code=None,
        error_detail=None,
        input_tokens=10,
        output_tokens=5,
        cost_microusd=7,
        credits="0.1",
        latency_ms=number * 100,
    )


def test_results_in_sum() -> None:
    (exact,) = make_ready([Scorer(ScorerKind.EXACT)])
    good, bad, none = Score("exact", 1.0, True), Score("exact", 0.0, False), Score("exact", None, None)
    failed = replace(result(4), output=None, passed=False, error_code="model_failed", latency_ms=None)
    told = summarise([result(1, good), result(2, bad), result(3, none), failed], [exact])
    assert (told.items, told.errors, told.passed, told.pass_rate) == (4, 1, 2, 0.5)
    assert told.mean_score == 0.3333  # one, nothing, and nothing for the error; who has no score does not count
    assert (told.scorers[0].scored, told.scorers[0].mean, told.scorers[0].pass_rate) == (2, 0.5, 0.5)
    assert (told.credits, told.cost_microusd, told.latency_p50_ms, told.latency_p95_ms) == ("0.4", 28, 200, 300)


def test_nothing_in_sum_is_nothing() -> None:
    told = summarise([], make_ready([Scorer(ScorerKind.EXACT)]))
    assert (told.items, told.pass_rate, told.mean_score, told.latency_p50_ms) == (0, None, None, None)


@pytest.mark.parametrize(("percent", "rank"), [(50, 10), (95, 19), (100, 20), (0, 1)])
def test_a_percentile_is_a_value_that_occurred(percent: int, rank: int) -> None:
    assert percentile(range(1, 21), percent) == rank


def test_items_change_for_the_better_or_worse() -> None:
    half, none, whole = (result(1, Score("a", value, passed=True)) for value in (0.5, None, 1.0))
    changes = [compared(first, other).change for first, other in ((half, whole), (whole, none), (half, half))]
    assert changes == [ItemChange.BETTER, ItemChange.WORSE, ItemChange.SAME]
    assert compared(none, replace(half, error_code="model_failed")).change is ItemChange.SAME  # both count as nothing
    assert mean_score(result(1, Score("a", 1.0, True), Score("b", 0.5, True), Score("c", None, None))) == 0.75
