"""What counts as the same text, and that the index finds it among many."""

from __future__ import annotations

import numpy as np
import pytest

from promptforge.actors.moderation.duplicates.fingerprints import (
    MOST_PASSAGES,
    SAMPLES,
    Fingerprint,
    fingerprint,
    likeness,
    passages_of,
)
from promptforge.actors.moderation.duplicates.index import DuplicateIndex, Entry

BASE = (
    "Summarise {{article}} in five lines for people in a hurry. Name the one thing that is worth reading in full. "
    "Write plainly, without adjectives, and never invent facts. Where the article has no news, say so in one sentence."
)
PADDING = "You work for a newspaper whose readers like cats, long walks, and the theatre on Sunday afternoons. "


@pytest.mark.parametrize(
    "copy",
    [
        BASE,
        BASE.upper(),
        BASE.replace("{{article}}", "{{ text_to_read }}"),
        BASE.replace(". ", " —\n\n* "),
        BASE.replace(" ", "  \u00a0"),
    ],
)
def test_dressing_does_not_change_what_a_text_is_recognised_by(copy: str) -> None:
    like = likeness(fingerprint(BASE), fingerprint(copy))
    assert (like.common, like.contained) == (1.0, 1.0)
    assert like.meaning > 0.999


def test_a_text_within_a_longer_one_is_contained_in_it() -> None:
    like = likeness(fingerprint(BASE), fingerprint(PADDING * 1 + BASE + " " + PADDING * 3))
    assert like.contained > 0.95
    assert like.common < 0.9


def test_a_few_changed_words_leave_most_of_it_and_another_text_nothing() -> None:
    changed = likeness(fingerprint(BASE), fingerprint(BASE.replace("five", "six").replace("hurry", "rush")))
    assert changed.contained > 0.6
    assert changed.meaning > 0.93
    other = likeness(fingerprint(BASE), fingerprint("Write a SQL query for {{question}} and explain its plan."))
    assert other.contained == 0
    assert other.meaning < 0.5


@pytest.mark.parametrize("text", ["{{x}}", "a", "…", "Summarise {{article}}"])
def test_the_shortest_texts_have_a_fingerprint(text: str) -> None:
    found = fingerprint(text)
    assert found.samples.shape == (SAMPLES,)
    assert np.isfinite(found.vector).all()


def test_long_texts_are_compared_by_samples_that_come_near_the_truth() -> None:
    words = [f"w{number}" for number in range(20_000)]
    half = words[:10_000]
    one, other = (Fingerprint(np.zeros(256, np.float32), passages_of(text)) for text in (words, half))
    assert len(one.passages) == len(other.passages) == MOST_PASSAGES
    assert likeness(one, other).common == pytest.approx(0.5, abs=0.05)


def _random(rng: np.random.Generator) -> Fingerprint:
    vector = rng.standard_normal(256).astype(np.float32)
    passages = np.unique(rng.integers(0, 2**63, 120, np.uint64) * np.uint64(2))
    return Fingerprint(vector / np.linalg.norm(vector), passages)


def _entry(identifier: str, found: Fingerprint) -> Entry:
    return Entry(identifier, found.code, found.samples)


def test_among_many_the_near_and_the_contained_ones_are_candidates() -> None:
    rng = np.random.default_rng(20261126)
    index = DuplicateIndex(lambda: True)
    assert index.take_changed() is None
    known = [_random(rng) for _ in range(5000)]
    index.put(_entry(f"lst_{number}:1", found) for number, found in enumerate(known))
    assert len(index) == 5000
    for number in range(0, 5000, 97):
        one = known[number]
        noise = rng.standard_normal(256).astype(np.float32) * 0.02
        near = Fingerprint(one.vector + noise, _random(rng).passages)
        assert f"lst_{number}:1" in index.candidates(near)
        within = Fingerprint(_random(rng).vector, np.union1d(one.passages, _random(rng).passages))
        assert f"lst_{number}:1" in index.candidates(within)


def test_the_index_reads_what_changed_while_it_hears_of_changes_and_else_everything() -> None:
    hearing = True
    index = DuplicateIndex(lambda: hearing)
    rng = np.random.default_rng(1)
    assert index.candidates(_random(rng)) == []
    assert index.take_changed() is None
    one = _random(rng)
    index.put([_entry("a", one)])
    assert index.take_changed() == []
    index.changed("a")
    index.changed("b")
    assert sorted(index.take_changed() or []) == ["a", "b"]
    index.put([_entry("a", _random(rng)), _entry("b", one)])
    assert len(index) == 2
    assert index.take_changed() == []
    index.clear()
    assert index.take_changed() is None, "something may have been missed"
    hearing = False
    assert index.take_changed() is None, "nobody would have told"
    assert len(index) == 0
