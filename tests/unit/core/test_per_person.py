"""What is known of people one by one: forgotten in time, silent while nobody would hear of a change, and bounded."""

from __future__ import annotations

from collections.abc import Callable

from promptforge.core.per_person import PerPerson

Lists = PerPerson[tuple[str, ...]]


def lists(heard: list[bool] | None = None, *, most: int = 100) -> Lists:
    told = [True] if heard is None else heard
    return PerPerson(lambda: told[0], size=lambda listed: 1 + len(listed), most=most)


def test_a_person_is_known_until_they_are_forgotten() -> None:
    known = lists()
    known.keep(known.begin(), "usr_a", ("a",))
    known.keep(known.begin(), "usr_b", ())
    assert (known.find("usr_a"), known.find("usr_b"), known.find("usr_c")) == (("a",), (), None)
    known.forget(("usr_a", "usr_c"))
    assert (known.find("usr_a"), known.find("usr_b")) == (None, ())
    known.clear()
    assert (known.find("usr_b"), known.size) == (None, 0)


def test_what_was_read_before_a_change_is_not_kept_after_it() -> None:
    known = lists()
    changes: tuple[Callable[[], None], ...] = (
        lambda: known.forget(("usr_a",)),
        lambda: known.forget(("usr_b",)),
        known.clear,
    )
    for change in changes:
        begun = known.begin()
        change()
        known.keep(begun, "usr_a", ("as it was",))
        assert known.find("usr_a") is None


def test_while_changes_are_not_heard_of_nothing_is_known_or_kept() -> None:
    heard = [True]
    known = lists(heard)
    known.keep(known.begin(), "usr_a", ("a",))
    heard[0] = False
    assert known.find("usr_a") is None
    known.keep(known.begin(), "usr_b", ("b",))
    heard[0] = True
    assert (known.find("usr_a"), known.find("usr_b")) == (("a",), None)


def test_there_is_only_so_much_of_everybody_together() -> None:
    known = lists(most=6)
    for number in range(5):
        known.keep(known.begin(), f"usr_{number}", ("a", "b"))
        assert known.size <= 6
    assert [known.find(f"usr_{number}") is not None for number in range(5)] == [False, False, False, True, True]
    known.keep(known.begin(), "usr_many", tuple("abcdefgh"))
    assert known.find("usr_many") is None
