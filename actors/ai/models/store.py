"""Runs under way and runs that ended.

`model_runs` has a document per run from its reservation to its end, with the terms that it is charged by; one whose
`expires_at` has passed belongs to a process that is gone. `usage` has one per run that ended, inserted in the
transaction that charged for it, and `counted` in it: added to the sums of `usage_counters`. Texts are in neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from promptforge.actors.ai.messages import CallerKind, RunOutcome, RunUsage, SellersShare, UsageRecord
from promptforge.actors.ai.models.domain import Price, Terms
from promptforge.actors.ai.usage.store import RollupStore
from promptforge.core.amounts import from_millicredits, to_millicredits
from promptforge.core.context import Context
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.personal import Held, Subject

RUNS = "model_runs"
USAGE = "usage"

INDEXES: dict[str, tuple[Index, ...]] = {
    RUNS: (Index((("expires_at", 1),)),),
    USAGE: (Index((("user_id", 1), ("timestamp", 1))),),
}
HELD = {
    RUNS: Held("Runs of language models under way", (Subject("user_id"),), plain=frozenset({"*"})),
    USAGE: Held("Runs of language models that ended: what they cost", (Subject("user_id"),), plain=frozenset({"*"})),
}

_OURS: Document = {"outcome": {"$exists": True}}
_UNCOUNTED: Document = {"counted": {"$exists": False}, **_OURS}
"""Records without an outcome are not this service's, but the replaced one's."""


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run under way. `held`: millicredits reserved for it, 0 where it is free and the ledger does not know it."""

    id: str
    user_id: str
    purpose: str
    caller: CallerKind
    model: str
    provider: str
    terms: Terms
    held: int
    prompt_id: str | None
    prompt_version: int | None
    started_at: datetime
    share: SellersShare | None = None
    """What of the hold is a seller's, if the run earns it."""
    trial_of: str | None = None
    """The listing whose budget pays."""
    purchase_id: str | None = None
    """What it uses, and gives back where it answers nothing."""

    def charge(self, usage: RunUsage) -> int:
        """What the model costs for this, in millicredits: what is beyond its reservation is the platform's."""
        held = self.held - (self.share.gross_millicredits if self.share is not None else 0)
        return min(held, self.terms.charge(usage.input_tokens, usage.output_tokens))


class RunStore:
    def __init__(self, mongo: Mongo, rollups: RollupStore) -> None:
        self._runs = mongo.collection(RUNS)
        self._usage = mongo.collection(USAGE)
        self._rollups = rollups

    # Under way

    async def insert(self, run: OpenRun, *, expires_at: datetime, session: Session | None) -> None:
        await self._runs.insert_one({**_run_row(run), "expires_at": expires_at}, session=session)

    async def find(self, run_id: str, *, session: Session | None) -> OpenRun | None:
        row = await self._runs.find_one({"_id": run_id}, session=session)
        return None if row is None else _run_from(row)

    async def prolong(self, run_id: str, *, expires_at: datetime, session: Session | None) -> None:
        """Whoever sweeps at the same moment conflicts with this."""
        await self._runs.update_one({"_id": run_id}, {"$set": {"expires_at": expires_at}}, session=session)

    async def list_expired(self, now: datetime, limit: int) -> list[OpenRun]:
        """Those that expired first."""
        rows = self._runs.find({"expires_at": {"$lte": now}}).sort([("expires_at", 1)]).limit(limit)
        return [_run_from(row) for row in await rows.to_list(limit)]

    async def list_named(self, prefix: str, limit: int) -> list[OpenRun]:
        """Those whose ids begin with `prefix`."""
        rows = self._runs.find({"_id": {"$gte": prefix, "$lt": f"{prefix}\uffff"}}).sort([("_id", 1)]).limit(limit)
        return [_run_from(row) for row in await rows.to_list(limit)]

    async def take_expired(self, run_id: str, now: datetime, *, session: Session | None) -> bool:
        """Remove it if it is still expired: it may have been prolonged or closed since it was listed."""
        gone = await self._runs.delete_one({"_id": run_id, "expires_at": {"$lte": now}}, session=session)
        return gone.deleted_count == 1

    async def remove(self, run_id: str, *, session: Session | None) -> bool:
        """False where somebody else has closed it."""
        return (await self._runs.delete_one({"_id": run_id}, session=session)).deleted_count == 1

    # Ended

    async def insert_usage(self, record: UsageRecord, tx: Context) -> None:
        """With the sums that it belongs to, in the context's transaction."""
        await self._usage.insert_one({**usage_row(record), "counted": True}, session=tx.session)
        await self._rollups.add(record, tx)

    async def scan_usage(self, user_id: str, after: datetime | None, limit: int) -> list[UsageRecord]:
        """The oldest after a moment, and all of the last one's moment: the index knows no order within one."""
        wanted: Document = {"user_id": user_id, **_OURS, **({"timestamp": {"$gt": after}} if after else {})}
        rows = await self._usage.find(wanted).sort([("timestamp", 1)]).limit(limit).to_list(limit)
        if len(rows) == limit:
            last = rows[-1]["timestamp"]
            ties = await self._usage.find({"user_id": user_id, **_OURS, "timestamp": last}).to_list(None)
            rows = [row for row in rows if row["timestamp"] < last] + ties
        return [_usage_from(row) for row in rows]

    async def count_usage(self, user_id: str) -> int:
        return await self._usage.count_documents({"user_id": user_id})

    async def has_usage(self, run_id: str, *, session: Session | None) -> bool:
        return await self._usage.find_one({"_id": run_id}, {"_id": 1}, session=session) is not None

    # Records from before there were sums

    async def list_uncounted(self, after: str, limit: int) -> list[str]:
        """Ids of runs that are in no sums, from the one after `after` on."""
        rows = self._usage.find({**_UNCOUNTED, "_id": {"$gt": after}}, {"_id": 1}).sort([("_id", 1)]).limit(limit)
        return [row["_id"] for row in await rows.to_list(limit)]

    async def count(self, ids: Sequence[str], *, session: Session) -> int:
        """Add those of the runs to their sums that are not in them; only in a transaction. Answers how many.

        They are marked as counted in it, so that two who do this at once conflict, and one of them finds it done.
        """
        wanted = {**_UNCOUNTED, "_id": {"$in": ids}}
        rows = await self._usage.find(wanted, session=session).to_list(len(ids))
        await self._rollups.add_many([_usage_from(row) for row in rows], session=session)
        marked = {"_id": {"$in": [row["_id"] for row in rows]}}
        await self._usage.update_many(marked, {"$set": {"counted": True}}, session=session)
        return len(rows)


def _run_row(run: OpenRun) -> Document:
    return {
        "_id": run.id,
        "user_id": run.user_id,
        "purpose": run.purpose,
        "caller": run.caller.value,
        "model": run.model,
        "provider": run.provider,
        "price": {"input": run.terms.price.input, "output": run.terms.price.output},
        "credit_microusd": run.terms.credit_microusd,
        "held": run.held,
        "prompt_id": run.prompt_id,
        "prompt_version": run.prompt_version,
        "started_at": run.started_at,
        "share": None if run.share is None else [run.share.seller_id, run.share.gross_millicredits],
        "share_of": None if run.share is None else run.share.listing_id,
        "trial_of": run.trial_of,
        "purchase_id": run.purchase_id,
    }


def _run_from(row: Document) -> OpenRun:
    share = row.get("share")
    return OpenRun(
        id=row["_id"],
        user_id=row["user_id"],
        purpose=row["purpose"],
        caller=CallerKind(row["caller"]),
        model=row["model"],
        provider=row["provider"],
        terms=Terms(Price(row["price"]["input"], row["price"]["output"]), row["credit_microusd"]),
        held=row["held"],
        prompt_id=row["prompt_id"],
        prompt_version=row["prompt_version"],
        started_at=row["started_at"],
        share=None if share is None else SellersShare(share[0], share[1], row.get("share_of")),
        trial_of=row.get("trial_of"),
        purchase_id=row.get("purchase_id"),
    )


def _usage_from(row: Document) -> UsageRecord:
    return UsageRecord(
        run_id=row["_id"],
        user_id=row["user_id"],
        timestamp=row["timestamp"],
        purpose=row["purpose"],
        caller=CallerKind(row["caller"]),
        outcome=RunOutcome(row["outcome"]),
        error_code=row["error_code"],
        model=row["model"],
        provider=row["provider"],
        prompt_id=row.get("prompt_id"),
        prompt_version=row.get("prompt_version"),
        usage=RunUsage(
            input_tokens=row["input_tokens"],
            output_tokens=row["output_tokens"],
            estimated=row["estimated"],
            cost_microusd=row["cost_microusd"],
            credits=from_millicredits(row["millicredits"]),
            latency_ms=row["latency_ms"],
            first_token_ms=row["first_token_ms"],
        ),
    )


def usage_row(record: UsageRecord) -> Document:
    usage = record.usage
    about: Mapping[str, Any] = {"prompt_id": record.prompt_id, "prompt_version": record.prompt_version}  # Any: BSON
    return {
        "_id": record.run_id,
        "user_id": record.user_id,
        "timestamp": record.timestamp,
        "purpose": record.purpose,
        "caller": record.caller.value,
        "outcome": record.outcome.value,
        "error_code": record.error_code,
        "model": record.model,
        "provider": record.provider,
        **{name: value for name, value in about.items() if value is not None},
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "estimated": usage.estimated,
        "cost_microusd": usage.cost_microusd,
        "millicredits": to_millicredits(usage.credits),
        "latency_ms": usage.latency_ms,
        "first_token_ms": usage.first_token_ms,
    }
