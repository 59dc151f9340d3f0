"""Identifiers sort by the time they were made, also those made together."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from promptforge.core.ids import COUNTED, least_id, new_id, new_ids


def test_ids_made_together_are_different_ascend_and_look_like_any_other() -> None:
    single = new_id("job")
    many = list(new_ids("job", 3000))
    assert len(set(many)) == 3000
    assert many == sorted(many)
    assert {len(identifier) for identifier in many} == {len(single)}
    assert set("".join(many)) <= set("job_0123456789abcdefghjkmnpqrstvwxyz")


def test_two_lots_have_nothing_in_common() -> None:
    assert not set(new_ids("job", 1000)) & set(new_ids("job", 1000))
    assert list(new_ids("job", 0)) == []
    with pytest.raises(ValueError, match="at most"):
        list(new_ids("job", COUNTED + 1))


def test_the_least_of_a_moment_is_between_those_from_before_and_those_from_then_on() -> None:
    now = datetime.now(UTC)
    assert least_id("job", now - timedelta(seconds=1)) < new_id("job") < least_id("job", now + timedelta(minutes=1))
