"""An evaluation of a thousand items whose process is killed again and again: each item recorded and charged once.

The provider is a server on this machine that speaks OpenAI's chat completions. What it was asked more often than there
are items is what the kills cost the platform.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from promptforge.core.principal import Role
from tests.support.running import Person, eventually, verified_ledger
from tests.support.service import DATABASE, Service, serving
from tests.support.troubled_model import troubled_model

ITEMS = 1000
KILLS_AT = (100, 300, 500, 700, 900)
"""How many items have a result when the process is killed."""
CREDITS = 1000
CHARGE = 22
"""Of each item, in millicredits: ten tokens read, six written."""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    prices = {"LLM_MODEL": "troubled", "LLM_PRICES": "troubled=10000000/20000000"}
    with troubled_model() as url, serving(tmp_path, LLM_BASE_URL=url, LLM_API_KEY="sk-none", **prices) as started:
        yield started


def begin(ada: Person) -> str:
    """The path of an evaluation of a thousand items that has begun."""
    prompt = {"name": "Counting", "first_version": {"content": "Count to {{number}}"}}
    prompt_id = ada.post("/prompts", prompt, expect=201)["id"]
    dataset_id = ada.post("/datasets", {"name": "Numbers"}, expect=201)["id"]
    for start in range(0, ITEMS, 500):
        items = [{"variables": {"number": str(number)}} for number in range(start, start + 500)]
        ada.post(f"/datasets/{dataset_id}/items", {"items": items})
    scorers = [{"kind": "contains", "text": "two"}]
    wanted = {"prompt_id": prompt_id, "version": 1, "dataset_id": dataset_id, "scorers": scorers}
    return f"/evaluations/{ada.post('/evaluations', wanted, expect=202)['id']}"


def has_done(ada: Person, path: str, items: int) -> bool:
    told = ada.get(path)
    assert told["status"] in {"queued", "running"}, told
    done: int = told["items_done"]
    return done >= items


@pytest.mark.timeout(900)
def test_a_thousand_items_survive_kills_in_the_middle(service: Service) -> None:
    ada, operator = service.funded("ada", CREDITS), service.person("operator", Role.OPERATOR)
    path = begin(ada)
    started, cut = time.monotonic(), 0
    for items in KILLS_AT:
        eventually(partial(has_done, ada, path, items), seconds=180)
        service.kill()
        with service.database() as client:
            cut += client[DATABASE]["model_runs"].count_documents({})
        service.start()
    assert cut > 0  # some were in the middle of something, each time or nearly so
    view = eventually(lambda: (told := ada.get(path))["summary"] and told, seconds=300)
    print(  # noqa: T201  # how long it took is part of what it says
        f"{ITEMS:,} items, {len(KILLS_AT)} kills, {cut} runs cut: {time.monotonic() - started:.0f} s"
    )
    assert (view["status"], view["items_done"], view["failure"]) == ("finished", ITEMS, None)
    summary = view["summary"]
    assert (summary["items"], summary["errors"], summary["passed"]) == (ITEMS, 0, ITEMS)
    assert summary["credits"] == str(ITEMS * CHARGE / 1000).removesuffix(".0")
    job = operator.get(f"/jobs/{view['job_id']}")
    assert (job["state"], job["lost"]) == ("completed", len(KILLS_AT))
    check_items(service, path.removeprefix("/evaluations/"), [one["item_id"] for one in ada.all(f"{path}/results")])
    credits = ada.get("/users/me/credits")
    assert (credits["available"], credits["reserved"]) == (str(CREDITS - ITEMS * CHARGE // 1000), "0")
    report = verified_ledger(operator)
    assert (report["ok"], report["violations"]) == (True, [])


def check_items(service: Service, evaluation_id: str, item_ids: list[str]) -> None:
    """One result, one close with a charge and one usage record for each item, and nothing left open."""
    assert len(set(item_ids)) == len(item_ids) == ITEMS
    with service.database() as client:
        database = client[DATABASE]
        keys = {"_id": {"$regex": f"^run:{evaluation_id}:"}}
        journals: list[dict[str, Any]] = list(database["ledger_journals"].find(keys))
        records: list[dict[str, Any]] = list(database["usage"].find())
        assert database["model_runs"].count_documents({}) == 0
    reserved = {_run(row) for row in journals if row["kind"] == "run_reserve"}
    closed = [row for row in journals if row["kind"] == "run_close"]
    assert {_run(row) for row in closed} == reserved  # every hold was given back
    charged = Counter(_run(row).split(":")[1] for row in closed if row["refs"]["charged"] != "0")
    assert charged == dict.fromkeys(item_ids, 1)
    paid = Counter(row["_id"].split(":")[1] for row in records if row["outcome"] == "ok")
    assert paid == dict.fromkeys(item_ids, 1)


def _run(journal: dict[str, Any]) -> str:
    run_id: str = journal["refs"]["run_id"]
    return run_id
