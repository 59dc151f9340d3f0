"""An export's memory, in the running service: how much its process grows while it writes a million events.

Each export is written by a process that was started for it, so that whatever is loaded for the first time counts; what
a start itself loads in the background has come before. The growth is that of the process's peak (`VmHWM`, set back
before), not of samples. pandas, which pyarrow loads where it is installed and the service has no use for, is out of
sight, as where the packages of tests are not installed. `exports=200000`: so many events.

Parquet is asked for directly after a start as well, when what the start loads in the background is loaded meanwhile and
counts too; beside it stands what a start alone comes to, with nobody asking for anything.
"""

from __future__ import annotations

import re
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from promptforge.actors.analytics.events.store import EVENTS
from tests.bench.table import Row, print_rows
from tests.support.running import Person, eventually
from tests.support.service import DATABASE, Service, serving

MOST, ROUNDS, AT_ONCE = 1_000_000, 3, 5_000
FORMS = ("csv", "jsonl", "parquet")
_NO_PANDAS = 'raise ImportError("out of sight")\n'


def _plant(service: Service, owner: str, most: int) -> None:
    """As programs tell of them: ids of one length, ten kinds, four variants, two properties."""
    now = datetime.now(UTC)
    with service.database() as client:
        events = client[DATABASE].get_collection(EVENTS)
        for first in range(0, most, AT_ONCE):
            rows: list[dict[str, Any]] = [
                {
                    "_id": f"{owner}:order-{one:09}-accepted",
                    "owner": owner,
                    "kind": f"kind.{one % 10}",
                    "at": now - timedelta(seconds=most - one),
                    "received_at": now,
                    "expire_at": now + timedelta(days=400),
                    "value": one / 7,
                    "prompt_id": f"prm_{one % 3:026}",
                    "prompt_version": 1 + one % 2,
                    "variant": f"variant-{one % 4}",
                    "properties": {"rating": one % 5, "channel": "mail"},
                    "batch": "exported",
                }
                for one in range(first, min(first + AT_ONCE, most))
            ]
            events.insert_many(rows, ordered=False)


def _megabytes(service: Service, field: str) -> float:
    status = Path(f"/proc/{service.pid}/status").read_text()
    return int(re.findall(rf"^{field}:\s+(\d+)", status, re.MULTILINE)[0]) / 1024


def _settled(service: Service) -> float:
    """Megabytes once it has loaded what a process loads in the background after its start."""
    last = 0.0
    while abs((now := _megabytes(service, "VmRSS")) - last) > 1:
        last = now
        time.sleep(5)
    return now


def _begun(service: Service, person: Person) -> float:
    """Megabytes of a process that has just started, and answers; its peak begins anew."""
    service.terminate()
    service.start()
    person.get("/users/me")
    before = _megabytes(service, "VmRSS")
    Path(f"/proc/{service.pid}/clear_refs").write_text("5")
    return before


def _start_alone(service: Service, person: Person) -> float:
    before = _begun(service, person)
    _settled(service)
    return _megabytes(service, "VmHWM") - before


def _export(service: Service, person: Person, form: str, *, at_once: bool = False) -> tuple[float, float]:
    """How much the process's peak is above what it had before, and rows a second. `at_once`: before it has settled."""
    before = _begun(service, person)
    if not at_once:
        before = _settled(service)
        Path(f"/proc/{service.pid}/clear_refs").write_text("5")
    begun = time.perf_counter()
    asked = person.post("/analytics/exports", {"source": "events", "format": form}, expect=202)
    path = f"/analytics/exports/{asked['id']}"

    def ended() -> Any:
        time.sleep(0.5)  # asking costs the process something, too
        export = person.get(path)
        return export if export["state"] not in {"queued", "running"} else None

    export = eventually(ended, seconds=1800)
    assert export["state"] == "finished", export
    return _megabytes(service, "VmHWM") - before, export["rows"] / (time.perf_counter() - begun)


def run(most: int = MOST) -> None:
    with tempfile.TemporaryDirectory() as folder:
        hidden = Path(folder) / "hidden"
        hidden.mkdir()
        (hidden / "pandas.py").write_text(_NO_PANDAS)
        with serving(Path(folder), PYTHONPATH=str(hidden)) as service:
            person = service.person("ada")
            _plant(service, person.get("/users/me")["id"], most)
            grown: dict[str, list[float]] = {form: [] for form in FORMS}
            rates: dict[str, list[float]] = {form: [] for form in FORMS}
            at_once: list[float] = []
            alone: list[float] = []
            for _ in range(ROUNDS):
                for form in FORMS:
                    growth, rate = _export(service, person, form)
                    grown[form].append(growth)
                    rates[form].append(rate)
                at_once.append(_export(service, person, "parquet", at_once=True)[0])
                alone.append(_start_alone(service, person))
    print_rows(
        f"Exports of {most:,} events: growth of the process's peak, and rows a second",
        [Row(f"{form}, growth", grown[form], "MB", budget="< 150 MB") for form in FORMS]
        + [Row("parquet directly after a start", at_once, "MB", budget="< 150 MB"), Row("a start alone", alone, "MB")]
        + [Row(form, rates[form], "rows/s") for form in FORMS],
    )
