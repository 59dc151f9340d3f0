"""Jobs, payouts, receipts and earnings put into the database by hand, in states that no feature would leave them in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo.collection import Collection

from promptforge.core.ids import new_id

Jobs = Collection[dict[str, Any]]


def put(jobs: Jobs, **fields: Any) -> str:
    """A job of a kind that nobody handles, so that it stays as it is."""
    now = datetime.now(UTC)
    later = now + timedelta(hours=1)
    job = {
        "_id": new_id("job"),
        "queue": "default",
        "lane": "default",
        "kind": "tests.nothing",
        "version": 1,
        "state": "available",
        "priority": 0,
        "run_at": later,
        "attempt": 0,
        "max_attempts": 10,
        "payload": {"secret": "arguments"},
        "request_id": "req_tests",
        "trace_id": "",
        "created_at": now,
        **fields,
    }
    if job["state"] == "available":
        job["due_at"] = job["run_at"]
    jobs.insert_one(job)
    return str(job["_id"])


def dead(jobs: Jobs, **fields: Any) -> str:
    now = datetime.now(UTC)
    error = {"attempt": 10, "at": now, "error": "unavailable", "detail": "Nobody there"}
    times = {"created_at": now, "started_at": now, "finished_at": now}
    return put(jobs, **{"state": "dead", "attempt": 10, "errors": [error], **times, **fields})


def make_payable(database: Any, user_id: str) -> None:
    """Earned credits that no sale has brought, and a connected account that Stripe does not know."""
    database["users"].update_one({"_id": user_id}, {"$set": {"credits.earned": 5_000_000}})
    now = datetime.now(UTC)
    facts = {
        "id": f"acct_{user_id}",
        "country": "US",
        "currency": "usd",
        "charges_enabled": True,
        "payouts_enabled": True,
        "transfers_enabled": True,
        "details_submitted": True,
        "requirements_due": [],
        "disabled_reason": None,
        "bank": "a bank",
    }
    account = {
        "account_id": facts["id"],
        "country": "US",
        "key_number": 1,
        "key_stored_at": now,
        "created_at": now,
        "facts": facts,
        "asked_at": now,
        "bank_changed_at": now - timedelta(days=30),
    }
    database["connect_accounts"].update_one({"_id": user_id}, {"$set": account}, upsert=True)


def plant_payout(database: Any, user_id: str, *, state: str) -> str:
    """A payout and its reserve, and no job that would send it."""
    now, amount = datetime.now(UTC), 1_000_000
    payout = {
        "_id": new_id("pay"),
        "user_id": user_id,
        "account_id": f"acct_{user_id}",
        "amount": amount,
        "money": 1000,
        "currency": "usd",
        "rate": "1/1",
        "state": state,
        "created_at": now,
        "touched_at": now,
        "key_number": 0,
        "look_first": False,
        "waits": 0,
        "reversed_money": 0,
        **dict.fromkeys(
            ("reason", "key_stored_at", "transfer_id", "transferred_at", "bank_status", "sent_at", "ended_at")
        ),
    }
    database["payouts"].insert_one(payout)
    database["ledger_payouts"].insert_one(
        {"_id": payout["_id"], "user_id": user_id, "amount": amount, "state": "reserved"}
    )
    database["users"].update_one({"_id": user_id}, {"$inc": {"credits.reserved": amount}})
    return str(payout["_id"])


def plant_receipt(database: Any, user_id: str) -> str:
    """Of a payment that nobody has made."""
    receipt = {
        "_id": new_id("rct"),
        "user_id": user_id,
        "topup_id": new_id("topup:cs"),
        "kind": "pack",
        "credits": 500_000,
        "currency": "usd",
        "subtotal": 500,
        "created_at": datetime.now(UTC),
        "paid": None,
        "country_conflicts": False,
    }
    database["receipts"].insert_one(receipt)
    return str(receipt["_id"])
