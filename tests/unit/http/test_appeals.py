"""What holds of every appeal, whatever it is against."""

from __future__ import annotations

import pytest

from promptforge.http.routing import Route
from promptforge.http.tables import routes

APPEALS = [route for route in routes if route.method == "POST" and route.path.endswith("/appeal")]


def test_there_are_appeals() -> None:
    assert len(APPEALS) >= 8


@pytest.mark.parametrize("route", APPEALS, ids=lambda route: route.operation)
def test_who_is_suspended_can_appeal_and_who_was_revoked_cannot(route: Route) -> None:
    """The time for an appeal goes on during a suspension."""
    requirement = route.message.requirement
    assert requirement is not None
    assert requirement.while_suspended
    assert requirement.fresh
