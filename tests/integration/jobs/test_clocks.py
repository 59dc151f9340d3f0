"""A machine whose clock is wrong: what it stores has the server's time, so nothing is dated into what is sealed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from promptforge.core.clock import SystemClock
from promptforge.core.mongo import EmbeddedMongod, Mongo
from promptforge.deploy.payments import open_payments
from promptforge.deploy.service import open_service
from promptforge.deploy.settings import Settings

pytestmark = pytest.mark.anyio


class Slow(SystemClock):
    """An hour behind."""

    def now(self) -> datetime:
        return super().now() - timedelta(hours=1)


async def test_the_whole_service_stamps_with_the_servers_time_from_its_start(
    mongod: EmbeddedMongod, mongo: Mongo, tmp_path: Path
) -> None:
    settings = Settings(mongo_url=mongod.url, mongo_db=mongo.name, data_dir=tmp_path, grace_seconds=1)
    async with open_payments(settings, port=8000) as complete, open_service(complete, clock=Slow()) as service:
        context = service._system.context(request_id="req_test", trusted=True)
        assert abs(context.now() - datetime.now(UTC)) < timedelta(minutes=1)
