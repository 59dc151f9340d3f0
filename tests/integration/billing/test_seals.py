"""The seals of the ledger: whatever was sealed and is altered or removed afterwards shows, and nobody waits for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from promptforge.actors.billing.ledger.messages import CheckLedger, SealLedger
from promptforge.actors.billing.ledger.sealing import LedgerSeals
from promptforge.actors.billing.messages import Violation
from promptforge.actors.billing.verification import verify_ledger
from promptforge.core.mongo import EmbeddedMongod, Mongo, run_migrations
from promptforge.deploy.migrations import MIGRATIONS
from tests.integration.billing.bank import Bank, open_bank
from tests.support.processes import SteppedClock
from tests.support.running import command

pytestmark = pytest.mark.anyio


@pytest.fixture
async def sealed(mongo: Mongo, clock: SteppedClock) -> AsyncIterator[Bank]:
    """A bank whose first two journals are under one seal, and the next two under another."""
    async with open_bank(mongo, clock=clock, running=False) as bank:
        for name in ("a", "b"):
            user = await bank.user(purchased=10)
            await bank.charge(user, await bank.user(), 5, f"pur_{name}")
            clock.advance(minutes=6)
            assert await bank.context().ask(SealLedger()) == 2
        yield bank


async def broken(bank: Bank) -> list[tuple[str, str]]:
    found = (await bank.verify()).violations
    return [(violation.rule, violation.subject) for violation in found if violation.rule == "seal"]


async def test_what_nobody_touched_is_whole(sealed: Bank) -> None:
    assert (await sealed.verify()).violations == ()
    assert await sealed.collection("ledger_checkpoints").count_documents({}) == 2
    assert (await sealed.context().ask(CheckLedger())).ok


async def test_what_is_new_is_sealed_only_once_no_transaction_can_come_before_it(
    sealed: Bank, clock: SteppedClock
) -> None:
    await sealed.user(purchased=1)
    assert await sealed.context().ask(SealLedger()) == 0
    clock.advance(minutes=4, seconds=59)
    assert await sealed.context().ask(SealLedger()) == 0
    clock.advance(seconds=1)
    assert await sealed.context().ask(SealLedger()) == 1


async def test_two_processes_seal_each_journal_once(sealed: Bank, clock: SteppedClock) -> None:
    await sealed.user(granted=1, purchased=1)
    clock.advance(minutes=6)
    sealed_by: list[int] = []

    async def seal() -> None:
        sealed_by.append(await sealed.context().ask(SealLedger()))

    async with anyio.create_task_group() as tasks:
        for _ in range(6):
            tasks.start_soon(seal)
    assert sum(sealed_by) == 2
    assert await broken(sealed) == []


async def test_a_journal_removed_without_a_trace_shows(sealed: Bank) -> None:
    """Its legs, the purchase and the balance made to fit: only the seal can tell."""
    bought = await sealed.collection("ledger_journals").find_one({"_id": "purchase:pur_b"})
    assert bought is not None
    await sealed.collection("ledger_journals").delete_one({"_id": "purchase:pur_b"})
    await sealed.collection("transactions").delete_many({"journal_id": "purchase:pur_b"})
    await sealed.collection("ledger_sales").delete_one({"_id": "purchase:pur_b"})
    await sealed.collection("purchases").delete_one({"_id": "pur_b"})
    restored = {"credits.purchased": 10_000, "credits.lots.0.remaining": 10_000}
    await sealed.collection("users").update_one({"_id": bought["refs"]["buyer_id"]}, {"$set": restored})
    found = (await sealed.verify()).violations
    assert [(one.rule, one.subject) for one in found] == [("seal", "2")]


async def test_a_leg_altered_so_that_every_sum_fits_shows(sealed: Bank) -> None:
    legs = sealed.collection("transactions")
    await legs.update_one({"journal_id": "purchase:pur_a", "account": "platform:fees"}, {"$inc": {"amount": 1}})
    await legs.update_one({"journal_id": "purchase:pur_b", "account": "platform:fees"}, {"$inc": {"amount": -1}})
    assert await broken(sealed) == [("seal", "1"), ("seal", "2")]


async def test_a_leg_moved_to_another_account_shows(sealed: Bank) -> None:
    moved = {"$set": {"account": "platform:llm"}}
    await sealed.collection("transactions").update_one({"journal_id": "purchase:pur_a", "user_id": None}, moved)
    found = (await sealed.verify()).violations
    assert ("seal", "1") in [(one.rule, one.subject) for one in found]


async def test_a_journals_words_altered_show(sealed: Bank) -> None:
    changed = {"$set": {"refs.price": "6"}}
    await sealed.collection("ledger_journals").update_one({"_id": "purchase:pur_b"}, changed)
    assert await broken(sealed) == [("seal", "2")]


async def test_a_journal_slipped_in_behind_a_seal_shows(sealed: Bank) -> None:
    journals = sealed.collection("ledger_journals")
    row = await journals.find_one({"_id": "purchase:pur_a"})
    assert row is not None
    await journals.insert_one({**row, "_id": "grant:slipped_in"})
    assert await broken(sealed) == [("seal", "1")]


async def test_a_checkpoint_removed_or_altered_shows(sealed: Bank) -> None:
    checkpoints = sealed.collection("ledger_checkpoints")
    first = await checkpoints.find_one({"_id": 1})
    assert first is not None
    await checkpoints.delete_one({"_id": 1})
    assert await broken(sealed) == [("seal", "1")]
    await checkpoints.insert_one({**first, "hash": "0" * 64})
    assert await broken(sealed) == [("seal", "1"), ("seal", "2")]


async def test_a_chain_whose_end_was_cut_off_shows(sealed: Bank) -> None:
    await sealed.collection("ledger_checkpoints").delete_one({"_id": 2})
    assert await broken(sealed) == [("seal", "2")]


async def test_a_chain_that_was_cut_off_is_not_sealed_on_as_if_nothing_were(sealed: Bank, clock: SteppedClock) -> None:
    await sealed.collection("ledger_checkpoints").delete_one({"_id": 2})
    await sealed.user(purchased=1)
    clock.advance(minutes=6)
    assert await sealed.context().ask(SealLedger()) == 1
    assert await broken(sealed) == [("seal", "2")]


@pytest.mark.parametrize("back_to", [None, 1])
async def test_a_head_that_was_removed_or_set_back_shows_and_nothing_is_sealed_from_it(
    sealed: Bank, clock: SteppedClock, back_to: int | None
) -> None:
    heads, checkpoints = sealed.collection("ledger_head"), sealed.collection("ledger_checkpoints")
    if back_to is None:
        await heads.delete_one({})
    else:
        await heads.update_one({}, {"$set": {"checkpoint": await checkpoints.find_one({"_id": back_to})}})
    assert await broken(sealed) == [("seal", "2")]
    await sealed.user(purchased=1)
    clock.advance(minutes=6)
    assert await sealed.context().ask(SealLedger()) == 0
    assert await broken(sealed) == [("seal", "2")]


async def test_what_was_cut_off_with_its_head_shows_only_against_a_head_that_was_kept_elsewhere(sealed: Bank) -> None:
    """The ledger is made what it was before the second seal: nothing in the database can tell."""
    mongo = sealed.process.mongo
    kept = (await sealed.verify()).seal
    assert kept is not None
    assert (kept.number, kept.journals) == (2, 4)
    first = await sealed.collection("ledger_checkpoints").find_one({"_id": 1})
    await sealed.collection("ledger_checkpoints").delete_one({"_id": 2})
    await sealed.collection("ledger_head").update_one({}, {"$set": {"checkpoint": first}})
    assert await broken(sealed) == []
    found = (await verify_ledger(mongo, kept=[kept])).violations
    assert [(one.rule, one.subject) for one in found] == [("seal", "2")]
    await sealed.context().ask(SealLedger())  # once more, and so at another time
    assert (await verify_ledger(mongo, kept=[kept])).ok
    await sealed.collection("transactions").update_one({"journal_id": "purchase:pur_b"}, {"$set": {"note": "other"}})
    await sealed.collection("ledger_checkpoints").delete_one({"_id": 2})
    await sealed.collection("ledger_head").update_one({}, {"$set": {"checkpoint": first}})
    await sealed.context().ask(SealLedger())
    assert await broken(sealed) == []
    found = (await verify_ledger(mongo, kept=[kept])).violations
    assert [(one.rule, one.subject) for one in found] == [("seal", "2")]


async def test_a_chain_from_before_there_were_heads_gets_one(sealed: Bank) -> None:
    await sealed.collection("ledger_head").delete_one({})
    await sealed.collection("ledger_checkpoints").update_many({}, {"$unset": {"journals": ""}})
    for _ in range(2):
        await LedgerSeals(sealed.process.mongo).adopt()
    report = await sealed.verify()
    assert (report.ok, report.seal and report.seal.journals) == (True, 4)


async def test_heads_are_printed_kept_and_compared_on_the_command_line(
    sealed: Bank, mongod: EmbeddedMongod, tmp_path: Path
) -> None:
    mongo = sealed.process.mongo
    await run_migrations(mongo, MIGRATIONS)

    async def run(*arguments: str) -> tuple[int, str]:
        settings = {"MONGO_URL": mongod.url, "MONGO_DB": mongo.name, "PROMPTFORGE_DATA_DIR": str(tmp_path)}
        done = await anyio.to_thread.run_sync(partial(command, "ledger", *arguments, **settings))
        return done.returncode, done.stdout + done.stderr

    code, printed = await run("head")
    assert (code, len(printed.splitlines())) == (0, 1)
    heads = tmp_path / "heads.jsonl"
    heads.write_text(printed)
    code, told = await run("verify", "--heads", str(heads))
    assert code == 0, told
    assert "sealed are 4 journals" in told
    heads.write_text(printed.replace('"hash":"', '"hash":"0'))
    code, told = await run("verify", "--heads", str(heads))
    assert (code, "another checkpoint than the head that was kept" in " ".join(told.split())) == (1, True), told
    heads.write_text("nonsense")
    code, told = await run("verify", "--heads", str(heads))
    assert (code, "has not printed" in " ".join(told.split())) == (78, True), told
    await sealed.collection("ledger_head").delete_one({})
    code, told = await run("head")
    assert (code, "Nothing of this ledger is sealed" in " ".join(told.split())) == (1, True), told


async def test_a_violation_is_logged_by_the_job(sealed: Bank) -> None:
    await sealed.collection("users").update_one({"_id": "usr_0001"}, {"$inc": {"credits.purchased": 1}})
    assert not (await sealed.context().ask(CheckLedger())).ok
    (violation,) = (await sealed.verify()).violations
    assert isinstance(violation, Violation)
