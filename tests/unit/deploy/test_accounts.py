"""What is held of people is declared for every collection, and documented as it is declared."""

from __future__ import annotations

from promptforge.core.personal import in_order
from promptforge.deploy.accounts import HELD
from promptforge.deploy.features import INDEXES
from tests.support.mongo import HOW
from tests.support.personal import PAGE, page_with_table


def test_every_collection_says_what_it_holds_of_people() -> None:
    missing = INDEXES.keys() - HELD.keys()
    assert not missing, f"{', '.join(sorted(missing))}: not declared. {HOW}"


def test_what_is_found_through_another_collection_has_a_way_to_its_owner() -> None:
    assert set(in_order(HELD)) == HELD.keys()
    for name, held in HELD.items():
        for subject in held.subjects:
            if subject.of is not None:
                above = HELD[subject.of.partition(":")[0]]
                assert any(one.owns for one in above.subjects), f"{name}: nothing of {subject.of} is a person's own"


def test_what_is_kept_says_for_how_long() -> None:
    for name, held in HELD.items():
        for subject in held.subjects:
            for field, mark in subject.fields.items():
                if mark.because and mark.years is None:
                    ends = ("two years", "for good", "only of ", "it is theirs")
                    assert any(words in mark.because for words in ends), f"{name}.{field}: {mark.because}"


def test_the_page_says_what_is_declared() -> None:
    page = PAGE.read_text()
    assert page == page_with_table(page), "run: python -m tests.support.personal"
