"""Exports: whole whatever happens, one's own, three at once, and nothing left of those that came to nothing."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import anyio
import orjson
import pytest

from promptforge.actors.ai.models.store import USAGE, usage_row
from promptforge.actors.analytics.events.store import EVENTS, event_row
from promptforge.actors.analytics.exports import actor as exporting
from promptforge.actors.analytics.exports import store, writing
from promptforge.actors.analytics.exports.errors import ExportExpired
from promptforge.actors.analytics.exports.messages import (
    CancelExport,
    DownloadExport,
    ExportFormat,
    ExportSource,
    ExportState,
    ExportView,
    ForgetExports,
    GetExport,
    ListExports,
    RequestExport,
    RunExport,
    SweepExports,
)
from promptforge.actors.analytics.exports.store import ANALYTICS_JOBS, EXPORTS, ExportStore
from promptforge.actors.analytics.exports.writing import Attempt
from promptforge.actors.marketplace.messages import RefundPurchase
from promptforge.actors.users.staff.messages import SuspendAccount
from promptforge.core.context import Context
from promptforge.core.downloads import Download
from promptforge.core.errors import PromptForgeError
from promptforge.core.mongo import Mongo
from promptforge.core.mongo.files import CHUNKS, FILES
from promptforge.core.principal import Principal, Role
from tests.integration.ai.counting import record
from tests.integration.analytics.telling import new_event
from tests.integration.marketplace.branches import Branches, Interrupted, open_branches
from tests.support.market import raised, top_up

pytestmark = pytest.mark.anyio

FORMATS = {"format": ExportFormat.JSONL}


async def put_events(branches: Branches, owner: Context, number: int) -> None:
    now = owner.now()
    rows = [event_row(owner.user_id, new_event(f"e{one:06}", now, value=one), now=now) for one in range(number)]
    await branches.mongo.collection(EVENTS).insert_many(rows)


async def ask(person: Context, source: ExportSource, **fields: Any) -> ExportView:
    return await person.ask(RequestExport(source=source, **{**FORMATS, **fields}))


async def carry_out(branches: Branches, person: Context, export: ExportView) -> ExportView:
    """As its job does, with the principal of whoever asked."""
    context = branches.here.process.context(person.principal)
    await context.ask(RunExport(export_id=export.id))
    return await person.ask(GetExport(export_id=export.id))


async def content(person: Context, export: ExportView) -> bytes:
    file = await person.ask(DownloadExport(export_id=export.id))
    assert isinstance(file, Download)
    return b"".join([piece async for piece in file.read(0, file.size)])


async def rows_of(branches: Branches, person: Context, source: ExportSource, **fields: Any) -> list[dict[str, Any]]:
    export = await carry_out(branches, person, await ask(person, source, **fields))
    assert export.failure is None
    rows = [orjson.loads(line) for line in (await content(person, export)).splitlines()]
    assert export.rows == len(rows)
    return rows


async def files_left(branches: Branches) -> int:
    return await branches.count(FILES) + await branches.count(CHUNKS)


async def test_every_event_is_in_the_file_once_and_nobody_elses(branches: Branches) -> None:
    ada, _ = await branches.person("ada")
    bob, _ = await branches.person("bob")
    await put_events(branches, ada, 2_500)
    await put_events(branches, bob, 10)
    rows = await rows_of(branches, ada, ExportSource.EVENTS)
    assert [row["external_id"] for row in rows] == [f"e{number:06}" for number in range(2_500)]
    export = await carry_out(branches, bob, await ask(bob, ExportSource.EVENTS, format=ExportFormat.CSV))
    told = list(csv.reader(io.StringIO((await content(bob, export)).decode(), "")))
    assert (len(told), export.rows, export.rows_expected) == (11, 10, 10)
    assert [one.id for one in (await bob.ask(ListExports())).items] == [export.id]
    assert await branches.count(ANALYTICS_JOBS, user_id=bob.user_id, export_id=export.id) == 1


@pytest.mark.parametrize("tried", ["not yet", "before"])
async def test_one_that_waits_or_is_tried_again_does_not_begin_for_who_is_suspended(
    branches: Branches, monkeypatch: pytest.MonkeyPatch, tried: str
) -> None:
    """The runner reads the principal anew before each attempt."""
    ada, _ = await branches.person("ada")
    await put_events(branches, ada, 10)
    export = await ask(ada, ExportSource.EVENTS)
    if tried == "before":
        with monkeypatch.context() as patched:
            patched.setattr(Attempt, "_tell", interrupted)
            with pytest.raises(Interrupted):
                await carry_out(branches, ada, export)
        assert (await ada.ask(GetExport(export_id=export.id))).state is ExportState.RUNNING
    assert ada.principal is not None
    suspended = replace(ada.principal, suspended=True)
    await branches.here.process.context(suspended).ask(RunExport(export_id=export.id))
    ended = await ada.ask(GetExport(export_id=export.id))
    assert ended.failure is not None
    assert (ended.state, ended.failure.code) == (ExportState.FAILED, "account_suspended")
    assert await files_left(branches) == 0


async def test_one_that_is_being_written_ends_when_its_owner_is_suspended(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a process that runs: the runner looks at whose jobs last, and the next attempt judges who asked."""
    writes = anyio.Event()

    async def never_done(*_: object) -> None:
        writes.set()
        await anyio.sleep_forever()

    async with open_branches(mongo, find_principal=True) as branches:
        ada, _ = await branches.person("ada")
        admin, _ = await branches.person("admin", Role.ADMIN)
        await put_events(branches, ada, 10)
        export = await ask(ada, ExportSource.EVENTS)
        runner = branches.here.process.runner
        with monkeypatch.context() as patched, anyio.fail_after(60):
            patched.setattr(Attempt, "_tell", never_done)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(runner.drain)
                await writes.wait()
                assert await runner.standing.look() == 0
                await admin.ask(SuspendAccount(user_id=ada.user_id, reason="A test"))
                assert await runner.standing.look() == 1
        ended = await ada.ask(GetExport(export_id=export.id))
        assert ended.failure is not None
        assert (ended.state, ended.failure.code) == (ExportState.FAILED, "account_suspended")
        assert await files_left(branches) == 0


async def interrupted(*_: object) -> None:
    raise Interrupted


async def test_a_file_whose_export_went_with_its_person_goes_two_days_later(branches: Branches) -> None:
    """As where the process died after it had closed the file, and before it saw that nobody waits."""
    ada, _ = await branches.person("ada")
    bob, _ = await branches.person("bob")
    for person in (ada, bob):
        await put_events(branches, person, 10)
        await carry_out(branches, person, await ask(person, ExportSource.EVENTS))
    await branches.mongo.collection(EXPORTS).delete_one({"user_id": ada.user_id})
    sweeping = branches.here.process.context
    assert await sweeping().ask(SweepExports()) == 0, "it may have been written just now"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(exporting, "NOBODYS_AFTER", timedelta(seconds=-2))
        assert await sweeping().ask(SweepExports()) == 1
    assert await branches.count(FILES) == 1
    (kept,) = (await bob.ask(ListExports())).items
    assert len(await content(bob, kept)) == kept.size


async def test_runs_of_one_moment_are_all_in_it(branches: Branches) -> None:
    """Pages end within a moment that many runs share."""
    ada, _ = await branches.person("ada")
    at = ada.now() - timedelta(hours=1)
    runs = [
        replace(record(1, f"run_{number:04}"), user_id=ada.user_id, timestamp=at + timedelta(seconds=number // 700))
        for number in range(2_100)
    ]
    await branches.mongo.collection(USAGE).insert_many([usage_row(run) for run in runs])
    rows = await rows_of(branches, ada, ExportSource.USAGE)
    assert sorted(row["run_id"] for row in rows) == [run.run_id for run in runs]


async def test_sales_name_no_buyer_and_transactions_add_up_to_what_one_has(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    mike, _ = await branches.person("mike")
    listing = await branches.here.published(carla, "=Formula", price="20")
    await top_up(branches.mongo, mike, 100)
    bought = await branches.here.buy(mike, listing, "20")
    await branches.here.process.context().ask(RefundPurchase(purchase_id=bought.id, reason="As asked for"))
    again = await branches.here.buy(mike, listing, "20")
    sales = await rows_of(branches, carla, ExportSource.SALES)
    assert [(row["id"], row["net"], row["refunded_at"] is None) for row in sales] == [
        (again.id, "17", True),
        (bought.id, "17", False),
    ]
    assert mike.user_id not in str(sales)
    assert [row["id"] for row in await rows_of(branches, mike, ExportSource.PURCHASES)] == [again.id, bought.id]
    entries = await rows_of(branches, mike, ExportSource.TRANSACTIONS)
    assert sum(float(row["amount"]) for row in entries) == 80
    export = await carry_out(branches, carla, await ask(carla, ExportSource.SALES, format=ExportFormat.CSV))
    assert b",'=Formula," in await content(carla, export)
    day = timedelta(days=1)
    assert (
        await rows_of(branches, carla, ExportSource.SALES, since=carla.now() - day, until=again.created_at) == sales[1:]
    )


async def test_the_ledger_is_for_administrators_as_long_as_they_are(branches: Branches) -> None:
    ada, _ = await branches.person("ada")
    root, _ = await branches.person("root", Role.ADMIN)
    await top_up(branches.mongo, ada, 100)
    for source in (ExportSource.LEDGER, ExportSource.MARKET):
        assert await raised(ada, RequestExport(source=source)) == "forbidden"
    rows = await rows_of(branches, root, ExportSource.LEDGER)
    assert sum(float(row["amount"]) for row in rows) == 0
    assert {row["kind"] for row in rows} == {"topup"}
    assert len(await rows_of(branches, root, ExportSource.MARKET)) == 1  # today: nothing was sold yet
    *_, export = (await root.ask(ListExports())).items
    assert root.principal is not None
    demoted = Principal(root.user_id, "root", frozenset({Role.USER}))
    context = branches.here.process.system.context(request_id="later", principal=demoted)
    assert await raised(context, DownloadExport(export_id=export.id)) == "not_found"
    waiting = await ask(root, ExportSource.LEDGER)
    await branches.here.process.context(demoted).ask(RunExport(export_id=waiting.id))
    failed = await root.ask(GetExport(export_id=waiting.id))
    assert failed.failure is not None
    assert failed.failure.code == "forbidden"


async def test_somebody_elses_export_is_not_there(branches: Branches) -> None:
    ada, _ = await branches.person("ada")
    eve, _ = await branches.person("eve", Role.ADMIN)
    export = await ask(ada, ExportSource.EVENTS)
    for message in (GetExport, CancelExport, DownloadExport):
        assert await raised(eve, message(export_id=export.id)) == "not_found"
    assert (await eve.ask(ListExports())).items == ()


async def test_three_are_written_at_once_however_many_are_asked_for_at_once(branches: Branches) -> None:
    ada, there = await branches.person("ada")
    outcomes = []

    async def one(person: Context) -> None:
        outcomes.append(await raised(person, RequestExport(source=ExportSource.EVENTS)))

    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(one, ada if number % 2 else there)
    assert sorted(outcomes) == ["done"] * 3 + ["too_many_exports"] * 7
    (first, *_) = (await ada.ask(ListExports())).items
    await ada.ask(CancelExport(export_id=first.id))
    assert await raised(ada, RequestExport(source=ExportSource.EVENTS)) == "done"
    assert await raised(ada, CancelExport(export_id=first.id)) == "export_over"


@asynccontextmanager
async def interposed(monkeypatch: pytest.MonkeyPatch, act: Any) -> AsyncIterator[None]:
    """`act` is called once, while an export is being written."""
    keep = ExportStore.keep_progress
    calls: list[bool] = []

    async def watched(self: ExportStore, *arguments: Any, **more: Any) -> bool:
        if not calls:
            calls.append(True)
            await act()
        return await keep(self, *arguments, **more)

    with monkeypatch.context() as patched:
        patched.setattr(ExportStore, "keep_progress", watched)
        patched.setattr(writing, "TOLD_EVERY_SECONDS", 0.0)
        yield


async def test_one_that_is_cancelled_while_it_is_written_stops_and_leaves_nothing(
    branches: Branches, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, _ = await branches.person("ada")
    await put_events(branches, ada, 3_000)
    export = await ask(ada, ExportSource.EVENTS)

    async def cancel() -> None:
        await ada.ask(CancelExport(export_id=export.id))

    async with interposed(monkeypatch, cancel):
        ended = await carry_out(branches, ada, export)
    assert (ended.state, await files_left(branches)) == ("cancelled", 0)
    assert await raised(ada, DownloadExport(export_id=export.id)) == "export_not_ready"


async def test_an_attempt_that_was_taken_for_dead_does_not_write_into_the_next_ones_export(
    branches: Branches, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, _ = await branches.person("ada")
    await put_events(branches, ada, 3_000)
    export = await ask(ada, ExportSource.EVENTS)

    async def another() -> None:
        await branches.there.process.context(ada.principal).ask(RunExport(export_id=export.id))

    async with interposed(monkeypatch, another):
        ended = await carry_out(branches, ada, export)
    assert (ended.state, ended.rows) == ("finished", 3_000)
    assert len((await content(ada, export)).splitlines()) == 3_000
    assert await branches.count(FILES) == 1


async def test_the_half_of_an_attempt_before_is_dropped(branches: Branches, monkeypatch: pytest.MonkeyPatch) -> None:
    ada, _ = await branches.person("ada")
    await put_events(branches, ada, 3_000)
    export = await ask(ada, ExportSource.EVENTS)

    async def fails() -> None:
        raise PromptForgeError

    async with interposed(monkeypatch, fails):
        with pytest.raises(PromptForgeError):
            await carry_out(branches, ada, export)
    assert (await ada.ask(GetExport(export_id=export.id))).state == "running"
    ended = await carry_out(branches, ada, export)
    assert (ended.state, ended.rows) == ("finished", 3_000)
    assert await branches.count(FILES) == 1
    assert await branches.count(CHUNKS) == -(-ended.size // (255 * 1024))


async def test_what_is_too_large_fails_and_says_so(branches: Branches, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "MAX_ROWS", 1_500)
    ada, _ = await branches.person("ada")
    await put_events(branches, ada, 2_500)
    ended = await carry_out(branches, ada, await ask(ada, ExportSource.EVENTS))
    assert ended.failure is not None
    assert (ended.state, ended.failure.code, await files_left(branches)) == ("failed", "export_too_large", 0)


async def test_a_file_is_kept_for_its_time_and_then_gone(branches: Branches, monkeypatch: pytest.MonkeyPatch) -> None:
    ada, _ = await branches.person("ada")
    await put_events(branches, ada, 10)
    export = await carry_out(branches, ada, await ask(ada, ExportSource.EVENTS))
    sweep = branches.here.process.context()
    assert await sweep.ask(SweepExports()) == 0
    over = {"$set": {"expires_at": ada.now(), "sweep_at": ada.now()}}
    await branches.mongo.collection(EXPORTS).update_one({"_id": export.id}, over)
    with pytest.raises(ExportExpired):
        await ada.ask(DownloadExport(export_id=export.id))
    assert await files_left(branches) > 0
    assert await sweep.ask(SweepExports()) == 1
    assert (await ada.ask(GetExport(export_id=export.id))).state == "expired"
    assert (await files_left(branches), await sweep.ask(SweepExports())) == (0, 0)
    with pytest.raises(ExportExpired):
        await ada.ask(DownloadExport(export_id=export.id))


@pytest.mark.parametrize(("bound", "most"), [("MOST_KEPT", 2), ("MOST_KEPT_BYTES", 2_500)])
async def test_of_a_users_files_the_newest_are_kept_and_of_nobody_elses_any_is_gone(
    branches: Branches, monkeypatch: pytest.MonkeyPatch, bound: str, most: int
) -> None:
    monkeypatch.setattr(store, bound, most)
    ada, _ = await branches.person("ada")
    eve, _ = await branches.person("eve")
    others = await carry_out(branches, eve, await ask(eve, ExportSource.EVENTS))
    made = [await carry_out(branches, ada, await ask(ada, ExportSource.EVENTS)) for _ in range(3)]
    await branches.mongo.collection(EXPORTS).update_many({}, {"$set": {"size": 1_000}})
    await ask(ada, ExportSource.EVENTS)
    assert await branches.here.process.context().ask(SweepExports()) == 1
    states = [(await ada.ask(GetExport(export_id=one.id))).state for one in made]
    assert states == ["expired", "finished", "finished"]
    assert (await eve.ask(GetExport(export_id=others.id))).state == "finished"


async def test_one_whose_job_is_gone_ends_too(branches: Branches) -> None:
    ada, _ = await branches.person("ada")
    alive, gone = await ask(ada, ExportSource.EVENTS), await ask(ada, ExportSource.EVENTS)
    dead = {"$set": {"state": "dead"}}
    await branches.mongo.collection("jobs").update_one({"_id": gone.job_id}, dead)
    await branches.mongo.collection(EXPORTS).update_many({}, {"$set": {"sweep_at": ada.now()}})
    assert await branches.here.process.context().ask(SweepExports()) == 2
    ended = await ada.ask(GetExport(export_id=gone.id))
    assert ended.failure is not None
    assert (ended.state, ended.failure.code) == ("failed", "job_died")
    assert (await ada.ask(GetExport(export_id=alive.id))).state == "queued"


async def test_who_is_erased_leaves_no_export(branches: Branches) -> None:
    ada, _ = await branches.person("ada")
    await put_events(branches, ada, 10)
    await carry_out(branches, ada, await ask(ada, ExportSource.EVENTS))
    await ask(ada, ExportSource.EVENTS)
    assert await branches.here.process.context().ask(ForgetExports(user_id=ada.user_id)) == 2
    assert await files_left(branches) + await branches.count(EXPORTS) + await branches.count(ANALYTICS_JOBS) == 0
