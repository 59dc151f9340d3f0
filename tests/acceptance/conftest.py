from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.support.running import RunningService, assert_ledger_whole


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """One service for the tests of a module. Whatever they gave, sold or took back, its ledger is whole in the end."""
    service = RunningService(tmp_path_factory.mktemp("service"))
    service.start()
    yield service
    try:
        assert_ledger_whole(service)
    finally:
        service.stop()
    shutil.rmtree(service.data_dir)
