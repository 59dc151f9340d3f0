from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.support.running import RunningService


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """One service for the tests of a module."""
    service = RunningService(tmp_path_factory.mktemp("service"))
    service.start()
    yield service
    service.stop()
    shutil.rmtree(service.data_dir)
