"""The models' actor with billing's on a real database, a scripted model, and people with credits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from promptforge.actors.ai.messages import RunMessage, RunModel, RunResult, RunRole, RunSettings, StreamRun
from promptforge.actors.ai.models import store as ai
from promptforge.actors.ai.models.actor import LOOK_SECONDS, ModelsActor
from promptforge.actors.ai.models.catalogue import Catalogue, Model
from promptforge.actors.ai.models.domain import Price
from promptforge.actors.ai.providers.guarded import Guarded, Limits
from promptforge.actors.ai.usage import store as usage
from promptforge.actors.ai.usage.store import RollupStore
from promptforge.actors.billing import BillingActor
from promptforge.actors.billing.ledger.topups.domain import topup_journal
from promptforge.actors.billing.store import INDEXES, Ledger, LedgerAudit, LedgerSeals, LedgerStore, ReportStore
from promptforge.actors.billing.verification import verify_ledger
from promptforge.actors.jobs import JobsActor
from promptforge.actors.users import UsersActor
from promptforge.actors.users.handles.store import HandleStore
from promptforge.actors.users.store import UserStore
from promptforge.core.amounts import MILLI
from promptforge.core.context import Context
from promptforge.core.jobs import MongoJobStore
from promptforge.core.jobs.standing import FindPrincipal
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Principal
from promptforge.core.runtime import Actor
from promptforge.core.streams import ReplyStream
from tests.integration.billing.bank import CountingTransactions
from tests.support.models import ScriptedModel
from tests.support.mongo import with_indexes
from tests.support.payments import write_papers
from tests.support.processes import SteppedClock, TestProcess, job_process, nobody

PRICE = Price(input=10_000_000, output=20_000_000)
"""With credits of 10,000 microdollars: a millicredit for each token read, and two for each written."""

LIMITS = Limits(attempts=1, first_seconds=60, gap_seconds=60, whole_seconds=120)


@dataclass
class Workshop:
    process: TestProcess
    ledger: LedgerStore
    transactions: CountingTransactions
    model: ScriptedModel
    clock: SteppedClock

    def context(self, user_id: str | None = None, *, key_id: str | None = None) -> Context:
        principal = None if user_id is None else Principal(user_id, f"uid-{user_id}", key_id=key_id)
        return self.process.context(principal)

    async def user(self, credits: int = 100, user_id: str = "usr_ada") -> str:
        now = self.clock.now()
        row = {"_id": user_id, "uid": f"uid-{user_id}", "created_at": now, "updated_at": now}
        await self.process.mongo.collection("users").insert_one(row)
        if credits:
            await self.fund(user_id, credits)
        return user_id

    async def fund(self, user_id: str, credits: int) -> None:
        journal = topup_journal(f"cs_{user_id}", user_id=user_id, amount=credits * MILLI, refs={})

        async def work(tx: Context) -> bool:
            assert tx.session is not None
            posted = await self.ledger.post(journal, now=tx.now(), session=tx.session)
            if posted:
                await write_papers(self.process.mongo, journal, tx)
            return posted

        await self.context().transaction(work)

    async def run(self, user_id: str, text: str = "Hello", **changes: Any) -> RunResult:
        return await self.context(user_id).ask(RunModel(**order(text, **changes)))

    async def stream(self, user_id: str, text: str = "Hello", **changes: Any) -> ReplyStream[RunResult]:
        return await self.context(user_id).ask(StreamRun(**order(text, **changes)))

    async def suspend(self, user_id: str) -> None:
        suspended = {"$set": {"suspended": True}}
        await self.process.mongo.collection("users").update_one({"_id": user_id}, suspended)

    async def money(self, user_id: str) -> tuple[int, int]:
        """What can be spent, and what is reserved, in millicredits."""
        holdings = await self.ledger.get_holdings(user_id)
        return holdings.available, holdings.reserved

    async def usage(self) -> list[dict[str, Any]]:
        return await self.process.mongo.collection("usage").find({}).sort([("_id", 1)]).to_list(100)

    async def open_runs(self) -> int:
        return await self.process.mongo.collection("model_runs").count_documents({})

    async def verified(self) -> bool:
        return (await verify_ledger(self.process.mongo)).ok


def order(text: str, *, max_tokens: int = 100, **changes: Any) -> dict[str, Any]:
    fields = {
        "purpose": "test",
        "messages": (RunMessage(RunRole.USER, text),),
        "settings": RunSettings(max_tokens=max_tokens, model=changes.pop("model", None)),
    }
    return {**fields, **changes}


class NoPurchases(Actor):
    """In a workshop nothing is bought, so no run uses it."""

    name = "purchases"


@asynccontextmanager
async def open_workshop(
    mongo: Mongo,
    *,
    model: ScriptedModel | None = None,
    price: Price = PRICE,
    limits: Limits = LIMITS,
    others: tuple[Actor, ...] = (),
    find_principal: FindPrincipal = nobody,
    look_seconds: float = LOOK_SECONDS,
) -> AsyncIterator[Workshop]:
    await with_indexes(mongo, {**INDEXES, **ai.INDEXES, **usage.INDEXES, "purchases": (), "users": ()})
    scripted = model or ScriptedModel()
    ledger, clock = Ledger(mongo), SteppedClock()
    catalogue = Catalogue([Model("scripted-1", Guarded(scripted, limits), price, max_output_tokens=1000)])
    actors: list[Actor] = [
        BillingActor(ledger, LedgerAudit(mongo), LedgerSeals(mongo), ReportStore(mongo)),
        ModelsActor(ai.RunStore(mongo, RollupStore(mongo)), catalogue, look_seconds=look_seconds),
        *others,
    ]
    if not any(actor.name == "purchases" for actor in others):
        actors.append(NoPurchases())
    if not any(isinstance(actor, UsersActor) for actor in others):
        actors.append(UsersActor(UserStore(mongo), HandleStore(mongo)))

    def made(store: MongoJobStore) -> list[Actor]:
        return [*actors, JobsActor(store)]

    async with job_process(mongo, made, find_principal=find_principal, running=False, clock=clock) as process:
        transactions = CountingTransactions(mongo)
        process.system.transactions = transactions
        process.system.clock = clock
        yield Workshop(process, ledger.entries, transactions, scripted, clock)
