"""Views are counted in memory and written now and then: a kill -9 loses at most five seconds of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from promptforge.core.principal import Role
from tests.support.running import published_listing
from tests.support.service import DATABASE, Service, serving

MOST_LOST_SECONDS = 5.0


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with serving(tmp_path) as service:
        yield service


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seconds", [6.0, 9.5, 13.0])
def test_a_kill_loses_the_views_of_the_last_five_seconds_at_most(service: Service, seconds: float) -> None:
    seller, moderator = service.person("seller", Role.SELLER), service.person("moderator", Role.MODERATOR)
    listing = published_listing(service, seller, moderator, name="looked at")
    seen: list[float] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        response = service.visitor.get(f"/api/v1/marketplace/listings/{listing}")
        assert response.status_code == 200, response.text
        seen.append(time.monotonic())
    killed_at = time.monotonic()
    service.kill()
    with service.database() as client:
        kept = sum(day["views"] for day in client[DATABASE]["listing_days"].find({"listing_id": listing}))
    assert sum(at <= killed_at - MOST_LOST_SECONDS for at in seen) <= kept <= len(seen)
    assert kept > 0
