"""How long verifying a large ledger takes, and how much memory: `python -m tests.bench.run ledger`; of fewer legs
with `ledger=100000`.

The ledger is made by writing its documents straight into MongoDB, as posting would have left them: that many sales of a
few thousand people to each other, one of a hundred of them popular. Verification runs in a process of its own.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio

from promptforge.actors.billing.store import INDEXES, LedgerSeals
from promptforge.actors.billing.verification import LedgerReport, verify_ledger
from promptforge.core.mongo import Mongo, ensure_indexes
from tests.support.mongo import shared_mongod

DATABASE = "ledger_bench"
USERS = 5_000
PRICE, SHARE, FEE = 1_000, 850, 150
START = datetime(2026, 1, 1, tzinfo=UTC)
BATCH = 2_000

Row = dict[str, Any]  # Any: BSON values


def sales(number: int) -> Iterator[tuple[str, str, datetime]]:
    """Buyer, seller and time of each sale; every third one is the popular seller's."""
    for index in range(number):
        seller = 0 if index % 3 == 0 else 1 + index % (USERS - 1)
        buyer = (seller + 1 + index // USERS) % USERS
        yield f"usr_{buyer:05d}", f"usr_{seller:05d}", START + timedelta(milliseconds=index)


async def fill(mongo: Mongo, number: int) -> None:
    spent: dict[str, int] = {}
    written = ("ledger_journals", "transactions", "ledger_sales", "purchases", "checkouts", "receipts")
    rows: dict[str, list[Row]] = {name: [] for name in written}
    for index, (buyer, seller, at) in enumerate(sales(number)):
        purchase_id = f"pur_{index:08d}"
        key = f"purchase:{purchase_id}"
        spent[buyer] = spent.get(buyer, 0) + PRICE
        legs = [
            (buyer, "purchased", -PRICE, f"topup:{buyer}", None),
            (seller, "pending", SHARE, key, "purchased"),
            (None, "platform:fees", FEE, None, None),
        ]
        refs = {"purchase_id": purchase_id, "buyer_id": buyer, "seller_id": seller, "price": "1"}
        _journal(rows, key, "purchase", refs, at, legs)
        rows["ledger_sales"].append(
            {
                "_id": key,
                "seller_id": seller,
                "sold_at": at,
                "payable": SHARE,
                "granted": 0,
                "commission": 0,
                "partner_id": None,
                "state": "pending",
                "paid_with": [f"topup:{buyer}"],
            }
        )
        terms = {"buyer_id": buyer, "seller_id": seller, "price": PRICE}
        rows["purchases"].append({"_id": purchase_id, **terms, "refunded_at": None})
        if len(rows["ledger_journals"]) >= BATCH:
            await _write(mongo, rows)
    users = []
    for number_ in range(USERS):
        user = f"usr_{number_:05d}"
        bought = spent.get(user, 0) + PRICE
        key = f"topup:{user}"
        legs = [(None, "stripe:topups", -bought, key, None), (user, "purchased", bought, key, None)]
        _journal(rows, key, "topup", {}, START, legs)
        lots = [{"lot": key, "fund": "purchased", "remaining": PRICE}]
        paid = {"user_id": user, "created_at": START}
        pack = {"pack": {"credits": bought, "bonus": 0}, "state": "paid", "session_id": user}
        rows["checkouts"].append({"_id": f"chk_{number_:05d}", **paid, **pack})
        rows["receipts"].append({"_id": f"rct_{number_:05d}", **paid, "topup_id": key, "credits": bought})
        users.append({"_id": user, "credits": {"purchased": PRICE, "lots": lots}})
    await _write(mongo, rows)
    await mongo.collection("users").insert_many(users)


def _journal(rows: dict[str, list[Row]], key: str, kind: str, refs: Row, at: datetime, legs: list[Any]) -> None:
    parties = [user for user, *_ in legs if user]
    rows["ledger_journals"].append(
        {
            "_id": key,
            "kind": kind,
            "refs": refs,
            "parties": parties,
            "reverses": None,
            "leg_count": len(legs),
            "created_at": at,
        }
    )
    for number, (user, account, amount, lot, source) in enumerate(legs):
        rows["transactions"].append(
            {
                "_id": f"{key}#{number:03d}",
                "journal_id": key,
                "user_id": user,
                "account": account,
                "amount": amount,
                "lot": lot,
                "source": source,
                "created_at": at,
            }
        )


async def _write(mongo: Mongo, rows: dict[str, list[Row]]) -> None:
    for name, batch in rows.items():
        if batch:
            await mongo.collection(name).insert_many(batch, ordered=False)
            batch.clear()


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def verify_apart(url: str, results: Any) -> None:  # Any: a queue of processes
    async def run() -> tuple[LedgerReport, float]:
        mongo = await Mongo.connect(url, DATABASE)
        before = peak_megabytes()
        return await verify_ledger(mongo), before

    began = time.perf_counter()
    report, before = anyio.run(run)
    results.put((report, time.perf_counter() - began, before, peak_megabytes()))


async def prepare(url: str, legs: int) -> None:
    mongo = await Mongo.connect(url, DATABASE)
    await ensure_indexes(mongo, INDEXES)
    began = time.perf_counter()
    await fill(mongo, legs // 3)
    print(f"filled in {time.perf_counter() - began:.0f} s", flush=True)
    began = time.perf_counter()
    sealed = await LedgerSeals(mongo).seal(datetime.now(UTC))
    seconds = time.perf_counter() - began
    print(f"sealed {sealed} journals in {seconds:.0f} s ({sealed / seconds:.0f}/s)", flush=True)
    mongo.close()


def run(legs: int = 2_000_000) -> None:
    """Raises where the ledger that was made is not whole to verification: then its figures say nothing."""
    with shared_mongod() as server:
        anyio.run(prepare, server.url, legs)
        spawn = multiprocessing.get_context("spawn")
        results = spawn.Queue()
        process = spawn.Process(target=verify_apart, args=(server.url, results))
        process.start()
        report, seconds, before, after = results.get()
        process.join()
    print(f"{report.journals} journals, {report.legs} legs, {report.accounts} accounts: ok={report.ok}")
    print(f"verified in {seconds:.0f} s ({report.legs / seconds:.0f} legs/s)")
    print(f"peak memory {after:.0f} MB, of which {before:.0f} MB before the first read")
    for violation in report.violations[:5]:
        print(violation)
    if not report.ok:
        raise RuntimeError(f"{report.violations_found} violations in a ledger that is whole")
