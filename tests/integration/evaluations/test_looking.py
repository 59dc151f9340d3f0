"""How far evaluations are, and how two of them compare, where there are many results: read from an index alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from promptforge.actors.evaluations.messages import CompareEvaluations, ItemChange, ListEvaluations
from promptforge.actors.evaluations.store import RESULTS, EvaluationStore, comparison_pipeline, count_pipeline
from promptforge.core.mongo import Mongo
from tests.integration.evaluations.studio import Studio, last_words
from tests.integration.evaluations.test_interruptions import carry_out, lose_after

pytestmark = pytest.mark.anyio
MANY = 3000


async def plant(mongo: Mongo, evaluation_id: str, *, every: int) -> None:
    """Results of which each so-and-so-manieth has one half, the others nothing and every hundredth no score."""
    rows: list[dict[str, Any]] = []
    for number in range(MANY):
        mean = None if number % 100 == 99 else 0.5 if number % every == 0 else 0.0
        item = f"itm_{number:05}"
        rows.append({"_id": f"{evaluation_id}:{item}", "evaluation_id": evaluation_id, "item_id": item, "mean": mean})
    await mongo.collection(RESULTS).insert_many(rows)


async def examined(mongo: Mongo, pipeline: list[dict[str, Any]]) -> tuple[int, int]:
    """Keys and documents."""
    wanted = {"aggregate": RESULTS, "pipeline": pipeline, "cursor": {}}
    answer = await mongo.raw.command({"explain": wanted, "verbosity": "executionStats"})
    stats = answer.get("executionStats") or answer["stages"][0]["$cursor"]["executionStats"]
    return stats["totalKeysExamined"], stats["totalDocsExamined"]


async def test_counts_and_comparisons_read_no_result_itself(studio: Studio) -> None:
    await plant(studio.mongo, "evl_a", every=2)
    await plant(studio.mongo, "evl_b", every=3)
    await plant(studio.mongo, "evl_c", every=5)
    for pipeline in (count_pipeline(["evl_a", "evl_b"]), comparison_pipeline("evl_a", "evl_b")):
        keys, read = await examined(studio.mongo, pipeline)
        assert 2 * MANY <= keys <= 2 * MANY + 5  # nothing of the third
        assert read == 0
    store = EvaluationStore(studio.mongo)
    better, worse, same = await store.compare("evl_a", "evl_b")
    halves = [{n for n in range(MANY) if n % every == 0 and n % 100 != 99} for every in (2, 3)]
    assert (better, worse) == (len(halves[1] - halves[0]), len(halves[0] - halves[1]))
    assert better + worse + same == MANY
    assert await store.compare("evl_b", "evl_a") == (worse, better, same)
    assert await store.compare("evl_a", "evl_a") == (0, 0, MANY)


async def test_how_far_it_is_is_told_in_lists_and_stays_what_it_was_in_the_end(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt_id = await studio.prompt()
    ended = await studio.evaluated(items=5, prompt_id=prompt_id)
    waiting = await studio.started(items=3, prompt_id=prompt_id)
    running = await studio.started(items=20, prompt_id=prompt_id)
    with monkeypatch.context() as patch:
        lose_after(patch, 7)
        with pytest.raises(BaseExceptionGroup):
            await carry_out(studio, running.id)
    page = await studio.ada.ask(ListEvaluations())
    told = {one.id: one.items_done for one in page.items}
    assert told == {ended.id: 5, waiting.id: 0, running.id: 7}
    for identifier, done in told.items():
        assert (await studio.view(identifier)).items_done == done == len(await studio.results(identifier))


async def test_a_comparison_of_many_pages_has_each_item_once_and_adds_up(studio: Studio) -> None:
    studio.model.script = last_words
    dataset_id, prompt_id = await studio.dataset(25), await studio.prompt()
    first = await studio.evaluated(prompt_id=prompt_id, dataset_id=dataset_id)
    studio.model.script = lambda prompt: ["two"] if prompt.turns[0].text.endswith("1") else ["none"]
    other = await studio.evaluated(prompt_id=prompt_id, dataset_id=dataset_id)
    changes: dict[str, ItemChange] = {}
    wanted = CompareEvaluations(evaluation_id=first.id, other_id=other.id, limit=4)
    view = await studio.ada.ask(wanted)
    changes.update({item.item_id: item.change for item in view.items})
    pages = 1
    while view.next is not None:
        view = await studio.ada.ask(replace(wanted, cursor=view.next))
        changes.update({item.item_id: item.change for item in view.items})
        pages += 1
    assert (pages, len(changes)) == (7, 25)
    kinds = list(changes.values())
    assert (view.better, view.worse, view.same) == (kinds.count(ItemChange.BETTER), 0, kinds.count(ItemChange.SAME))
    assert view.better == 3  # word1, word11 and word21
