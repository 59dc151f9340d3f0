"""What looks like personal data, and what only resembles it."""

from __future__ import annotations

import pytest

from promptforge.actors.analytics.events.domain import looks_personal


@pytest.mark.parametrize(
    "text",
    [
        "ada@example.com",
        "write to ada@example.co.uk!",
        "@@a@example.com",
        "a." * 90 + "@example.com",
        "a@" * 90 + "example.com",
        "+49 30 1234567",
        "tel:+14155550100",
        "192.168.0.1",
        "2001:db8::1",
    ],
)
def test_addresses_and_numbers_of_people_are_seen(text: str) -> None:
    assert looks_personal(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "v1.2.3",
        "1.2.3",
        "12:30",
        "2026-11-20T08:30:00Z",
        "a@b",
        "@example.com",
        "ada @example.com",
        "ada@ example.com",
        "ada@example.c",
        "a." * 99 + "@",
        "a@" * 99,
        "@ada",
        "1+1=2",
        "+5",
        "usr_01k8y3w5",
        "x::y z",
    ],
)
def test_what_only_resembles_them_passes(text: str) -> None:
    assert not looks_personal(text)


@pytest.mark.parametrize("value", [None, True, 5, 1.5])
def test_numbers_say_nothing_about_anybody(value: object) -> None:
    assert not looks_personal(value)
