"""Handles that look alike are one."""

from __future__ import annotations

import pytest

from promptforge.core.alike import skeleton


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ada-lovelace", "ada_lovelace"),
        ("ada-lovelace", "ada-1ovelace"),
        ("ada-lovelace", "Ada-Iovelace"),
        ("bob", "b0b"),
        ("modern", "modem"),
        ("willow", "vviiiovv"),
        ("sunrise", "5unri5e"),
        ("promptforge", "pr0mptf0rge"),
    ],
)
def test_what_is_easily_taken_for_each_other_has_one_skeleton(one: str, other: str) -> None:
    assert skeleton(one) == skeleton(other)


@pytest.mark.parametrize(("one", "other"), [("ada", "adam"), ("ada-l", "adal"), ("bob", "rob"), ("anna", "hanna")])
def test_different_handles_have_different_ones(one: str, other: str) -> None:
    assert skeleton(one) != skeleton(other)
