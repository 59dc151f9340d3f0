"""Runs whose process is killed or stopped in the middle: nothing stays reserved, and nothing is paid for twice."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from promptforge.core.principal import Role
from tests.support.running import Person, eventually, verified_ledger
from tests.support.service import serving

LONG = {"task": "Write the longest story about a ship that you can."}
EVENTS = {"accept": "text/event-stream"}


def credits(person: Person) -> tuple[str, str]:
    view = person.get("/users/me/credits")
    return view["available"], view["reserved"]


def test_a_run_whose_process_was_killed_is_released(tmp_path: Path) -> None:
    with serving(tmp_path, LLM_PRICES="smollm2-135m=20000/80000") as service:
        ada, operator = service.funded("ada", 50), service.person("operator", Role.OPERATOR)
        with ada.client.stream("POST", "/ai/generate", json=LONG, headers=EVENTS) as response:
            lines = response.iter_lines()
            assert next(lines).startswith("event: delta")
            service.kill()
            with pytest.raises(httpx.HTTPError):
                list(lines)
        service.start()
        assert credits(ada)[1] != "0"
        assert verified_ledger(operator)["ok"] is True  # what is held is held for a run that is written down
        with service.database() as client:
            past = datetime.now(UTC) - timedelta(seconds=1)
            runs = client["promptforge"]["model_runs"]
            assert runs.update_many({}, {"$set": {"expires_at": past}}).modified_count == 1
            operator.post("/jobs/schedules/sweep-model-runs/trigger", expect=202)
            eventually(lambda: runs.count_documents({}) == 0)
            (record,) = client["promptforge"]["usage"].find()
        assert (record["outcome"], record["millicredits"]) == ("lost", 0)
        assert credits(ada) == ("50", "0")
        assert verified_ledger(operator)["ok"] is True


def test_a_stop_ends_a_stream_with_its_end_or_an_error_and_leaves_nothing_reserved(tmp_path: Path) -> None:
    with serving(tmp_path, LLM_PRICES="smollm2-135m=20000/80000") as service:
        ada = service.funded("ada", 50)
        events: list[tuple[str, Any]] = []
        with ada.client.stream("POST", "/ai/generate", json=LONG, headers=EVENTS) as response:
            name, stopping = "", False
            for line in response.iter_lines():
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    events.append((name, json.loads(line.removeprefix("data: "))))
                if len(events) == 2 and not stopping:
                    stopping = True
                    service.begin_stop()
        assert service.wait() == 0
        assert len(events) > 3
        last, data = events[-1]
        assert last == "done" or (last, data["code"]) == ("error", "stopping")
        service.start()
        assert credits(ada)[1] == "0"
        assert verified_ledger(service.person("operator", Role.OPERATOR))["ok"] is True
