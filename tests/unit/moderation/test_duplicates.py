"""What counts as the same text, and that the index finds it among many."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import numpy as np
import pytest

from promptforge.actors.moderation.checks.messages import Check, Finding, Severity
from promptforge.actors.moderation.contents import compared_texts
from promptforge.actors.moderation.duplicates.fingerprints import (
    MOST_PASSAGES,
    SAMPLES,
    Fingerprint,
    fingerprint,
    likeness,
    passages_of,
    sharing,
)
from promptforge.actors.moderation.duplicates.index import DuplicateIndex, Entry
from promptforge.actors.moderation.duplicates.looking import named
from promptforge.actors.prompts.messages import ModelSettings, PromptKind, PromptVersionView

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


def _version(content: str) -> PromptVersionView:
    made_at = datetime(2026, 1, 1, tzinfo=UTC)
    return PromptVersionView("prm_1", 1, PromptKind.TEXT, content, ModelSettings(), None, "0" * 64, made_at, "usr_1")


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


def test_what_was_taken_over_among_very_much_else_is_found_by_the_stretches_of_the_text() -> None:
    """A sample of all that a million characters say has too little of each prompt in it."""
    rng = random.Random(20261126)
    taken = [" ".join(f"{rng.randrange(3000)}t" for _ in range(60)) for _ in range(8)]
    filler = [" ".join(f"{part}w{number}" for number in range(15_000)) for part in range(len(taken))]
    long = "\n".join(text for pair in zip(filler, taken, strict=True) for text in pair)
    index = DuplicateIndex()
    index.put([_entry(str(at), fingerprint(text)) for at, text in enumerate(taken)])
    noise = np.random.default_rng(20261126)
    index.put([_entry(f"noise-{at}", _random(noise)) for at in range(2000)])
    found = set()
    for one in map(fingerprint, compared_texts(_version(long), ())):
        for at in set(index.candidates(one)) & set(map(str, range(len(taken)))):
            if likeness(one, fingerprint(taken[int(at)])).contained > 0.8:
                found.add(at)
    assert len(found) == len(taken)


def test_own_copies_do_not_push_out_the_one_that_was_there_before() -> None:
    mine = [(_finding(f"lst_mine_{at}", Severity.LOW, 1.0), True) for at in range(8)]
    others = [(_finding(f"lst_{at}", Severity.MEDIUM, 0.5 + at / 100), False) for at in range(6)]
    original = _finding("lst_original", Severity.HIGH, 0.85)
    likelier = _finding("lst_original", Severity.MEDIUM, 0.97)
    told = named([*mine, (likelier, False), *others, (original, False)])
    assert [one.listing_id for one in told] == ["lst_original", "lst_5", "lst_4", "lst_3", "lst_2"]
    assert told[0] is original
    assert [one.listing_id for one in named([*mine, others[0]])] == ["lst_0", "lst_mine_0"]


def _finding(listing_id: str, severity: Severity, score: float) -> Finding:
    return Finding(Check.NEAR_DUPLICATE, severity, "same_passages", "…", listing_id=listing_id, score=score)


def test_pairs_that_share_passages_are_found_both_ways_and_others_are_not() -> None:
    rng = np.random.default_rng(20261126)
    own = [_random(rng) for _ in range(30)]
    others = [_random(rng) for _ in range(60)]
    others[7] = Fingerprint(own[3].vector, np.union1d(own[3].passages, _random(rng).passages))
    others[20] = Fingerprint(own[5].vector, own[5].passages[::5])
    others[21] = Fingerprint(own[6].vector, own[6].passages[:1])
    assert sharing(own, others) == [(3, 7), (5, 20), (6, 21)]
    assert sharing([], others) == sharing(own, []) == []
