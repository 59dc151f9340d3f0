from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.support.running import RunningService, assert_ledger_whole


@pytest.fixture(scope="module", autouse=True)
def data_is_deleted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Once a module is over: what its services have stored takes hundreds of MB each, in memory perhaps."""
    yield
    for pattern in ("*/data/mongo/db", "*/mongo/db"):
        for directory in tmp_path_factory.getbasetemp().glob(pattern):
            shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """One service for the tests of a module. Whatever they gave, sold or took back, its ledger is whole in the end."""
    service = RunningService(tmp_path_factory.mktemp("service"))
    service.start()
    try:
        yield service
        assert_ledger_whole(service)
    finally:
        service.stop()
