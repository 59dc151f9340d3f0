"""An export whose process is killed in the middle of it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from tests.support.analytics_setups import put_events
from tests.support.running import eventually
from tests.support.service import DATABASE, serving

EVENTS = 60_000


def test_an_export_whose_process_is_killed_in_the_middle_is_written_anew(tmp_path: Path) -> None:
    """It kills itself after fifty pieces of sixty, and is started again without the failpoint."""
    with serving(tmp_path, FAILPOINTS="export.written:50") as service:
        bob = service.person("bob")
        put_events(service, bob, EVENTS)
        export = bob.post("/analytics/exports", {"source": "events", "format": "csv"}, expect=202)
        eventually(lambda: not service.running)
        service.set(FAILPOINTS="")
        service.start()
        with service.database() as client:
            database: Any = client[DATABASE]
            (half,) = database["exports"].find_one({"_id": export["id"]})["file_ids"]
            assert database["files.chunks"].count_documents({"files_id": half}) > 0
            path = f"/analytics/exports/{export['id']}"
            ended = eventually(lambda: (one := bob.get(path))["state"] == "finished" and one, seconds=120)
            assert ended["rows"] == EVENTS
            assert database["files.files"].count_documents({}) == 1
            assert database["files.chunks"].count_documents({"files_id": half}) == 0
        response = bob.client.get(f"{path}/file")
        assert len(response.content.splitlines()) == EVENTS + 1
        assert hashlib.sha256(response.content).hexdigest() == ended["sha256"]
