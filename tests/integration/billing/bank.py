"""A small bank for tests: billing's actors on a real database, people with credits, and Stripe's events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, TypeVar

import anyio

from promptforge.actors.billing import (
    AdjustmentsActor,
    BillingActor,
    BudgetsActor,
    CheckoutsActor,
    CommissionsActor,
    CommissionSettlementActor,
    GiftExpiryActor,
    PayoutHoldsActor,
    ReceiptsActor,
    ReconciliationActor,
    SalesActor,
    SellersActor,
    StripeEventsActor,
    StripeIntakeActor,
    SubscriptionsActor,
    TopupsActor,
)
from promptforge.actors.billing.connect.earners import Earners
from promptforge.actors.billing.customers.making import Customers
from promptforge.actors.billing.events.checkouts import CheckoutEvents
from promptforge.actors.billing.events.claims import DisputeEvents, RefundEvents
from promptforge.actors.billing.events.handling import EventHandler
from promptforge.actors.billing.events.recording import Storm
from promptforge.actors.billing.events.subscriptions import InvoiceEvents, SubscriptionEvents
from promptforge.actors.billing.ledger.adjustments.domain import grant_journal
from promptforge.actors.billing.ledger.domain import Journal
from promptforge.actors.billing.ledger.messages import ReverseSale, TakeBackTopup
from promptforge.actors.billing.ledger.payouts import commands as payouts
from promptforge.actors.billing.ledger.sales.commands import settle
from promptforge.actors.billing.ledger.sales.domain import Sale, Terms
from promptforge.actors.billing.ledger.sales.store import SaleStore
from promptforge.actors.billing.ledger.topups.domain import ClaimKind, topup_journal
from promptforge.actors.billing.links.learning import learn_instruments
from promptforge.actors.billing.messages import (
    AreAccountsLinked,
    Charge,
    ChargePurchase,
    CheckoutView,
    CreateCheckout,
    CreditsView,
    GetCredits,
    RecordStripeEvent,
    SaleCommission,
    WebhookEventState,
)
from promptforge.actors.billing.payouts.domain import PayoutRules
from promptforge.actors.billing.receipts.writing import ReceiptWriter
from promptforge.actors.billing.reconciliation.actor import Claims
from promptforge.actors.billing.store import (
    INDEXES,
    AdjustmentStore,
    CheckoutStore,
    CustomerStore,
    DisputeStore,
    EventStore,
    Ledger,
    LedgerAudit,
    LedgerSeals,
    LedgerStore,
    ReceiptStore,
    ReportStore,
    SellerStore,
    SubscriptionStore,
)
from promptforge.actors.billing.stripe.api import StripeApi
from promptforge.actors.billing.stripe.claims import StripeClaims
from promptforge.actors.billing.stripe.customers import StripeCustomers
from promptforge.actors.billing.stripe.listing import StripeListing
from promptforge.actors.billing.stripe.receipts import StripeReceipts
from promptforge.actors.billing.stripe.sessions import CheckoutSessions
from promptforge.actors.billing.stripe.subscriptions import StripeSubscriptions
from promptforge.actors.billing.verification import LedgerReport, verify_ledger
from promptforge.actors.marketplace.messages import HasOffered, RevokePurchase
from promptforge.actors.marketplace.purchases.store import INDEXES as PURCHASE_INDEXES
from promptforge.actors.marketplace.reviews.messages import LeaveOutLinked
from promptforge.actors.notifications.messages import NotifyUser
from promptforge.actors.partnerships.referrals.messages import JudgeReferrer, ReferrerStanding
from promptforge.actors.users import UsersActor
from promptforge.actors.users.handles.store import HandleStore
from promptforge.actors.users.store import UserStore
from promptforge.core.amounts import MILLI
from promptforge.core.clock import Clock, SystemClock
from promptforge.core.context import Context
from promptforge.core.jobs import Sealer
from promptforge.core.mongo import Collection, Index, Mongo, Session
from promptforge.core.principal import Principal, Role
from promptforge.core.runtime import Actor, handles
from promptforge.deploy.paying_out import paying_out
from tests.support.mongo import with_indexes
from tests.support.payments import write_papers
from tests.support.processes import MongoTransactions, TestProcess, job_process
from tests.support.stripe_sandbox import PAGES, checkout_sessions_at, quiet_stripe
from tests.support.waiving import WAIVED

T = TypeVar("T")
OF_A_BANK: dict[str, tuple[Index, ...]] = {
    **INDEXES,
    "purchases": PURCHASE_INDEXES["purchases"],
    "model_runs": (),
}
"""The marketplace's collection must be there: else the first sale makes it, and the sales beside that one conflict."""
GIFTS_LAST = timedelta(days=30)
"""Those of administrators; what a test posts itself never expires."""
PARTS = ("granted", "purchased", "earned", "pending", "reserved", "debt")


class Notified(Actor):
    """Where notifications arrive."""

    name = "notifications"

    def __init__(self) -> None:
        self.told: list[NotifyUser] = []

    @handles(NotifyUser)
    async def notify(self, message: NotifyUser, context: Context) -> None:
        self.told.append(message)


class Revoked(Actor):
    """The marketplace, as far as the ledger tells it something: it marks the purchase as refunded."""

    name = "revoked"

    def __init__(self, mongo: Mongo) -> None:
        self._purchases = mongo.collection("purchases")

    @handles(RevokePurchase, atomic=True)
    async def revoke(self, message: RevokePurchase, context: Context) -> None:
        refunded = {"$set": {"refunded_at": context.now()}}
        await self._purchases.update_one({"_id": message.purchase_id}, refunded, session=context.session)

    @handles(LeaveOutLinked)
    async def leave_out(self, message: LeaveOutLinked, context: Context) -> int:
        return 0


class Shelf(Actor):
    """The marketplace, as far as billing asks it something: who is in `sellers` has, or had, something on offer."""

    name = "marketplace"

    def __init__(self) -> None:
        self.sellers: set[str] = set()

    @handles(HasOffered)
    async def has_offered(self, message: HasOffered, context: Context) -> bool:
        return message.seller_id in self.sellers


class Strangers(Actor):
    """Referrals, as far as the ledger asks for them: nobody came by anybody, unless `standing` is another one."""

    name = "referrals"

    def __init__(self) -> None:
        self.standing = ReferrerStanding()

    @handles(JudgeReferrer, transactional=True)
    async def judge(self, message: JudgeReferrer, context: Context) -> ReferrerStanding:
        return self.standing


class Interrupted(Exception):
    """Stands for whatever ends a process between its last write and the commit."""


class CountingTransactions(MongoTransactions):
    """Counts how often work was begun: more often than transactions there were means that some conflicted.

    `interrupt_next`: the next transaction does its work, and is not committed.
    """

    def __init__(self, mongo: Mongo) -> None:
        super().__init__(mongo)
        self.attempts = 0
        self.interrupt_next = False

    async def __call__(self, work: Callable[[Session], Awaitable[T]], *, deadline: float) -> T:
        async def counted(session: Session) -> T:
            self.attempts += 1
            result = await work(session)
            if self.interrupt_next:
                self.interrupt_next = False
                raise Interrupted
            return result

        return await super().__call__(counted, deadline=deadline)


@dataclass(slots=True)
class Bank:
    process: TestProcess
    books: Ledger
    transactions: CountingTransactions
    notified: Notified
    strangers: Strangers
    shelf: Shelf
    _numbers: count[int] = field(default_factory=lambda: count(1))

    @property
    def ledger(self) -> LedgerStore:
        return self.books.entries

    @property
    def sales(self) -> SaleStore:
        return self.books.sales

    def collection(self, name: str) -> Collection:
        return self.process.mongo.collection(name)

    def context(self, user_id: str | None = None, *roles: Role) -> Context:
        principal = None
        if user_id is not None:
            principal = Principal(user_id, f"uid-{user_id}", frozenset({Role.USER, *roles}))
        return self.process.context(principal)

    async def user(self, *, granted: int = 0, purchased: int = 0) -> str:
        """A person with whole credits, from a grant and a top-up of their own."""
        user_id = f"usr_{next(self._numbers):04d}"
        await self.collection("users").insert_one({"_id": user_id, "uid": f"uid-{user_id}"})
        if granted:
            await self.post(grant_journal(user_id, user_id=user_id, amount=granted * MILLI, refs={}))
        if purchased:
            await self.post(topup_journal(f"cs_{user_id}", user_id=user_id, amount=purchased * MILLI, refs={}))
        return user_id

    async def refund(self, purchase_id: str) -> bool:
        """Refund a sale as the marketplace does it, its mark in the same transaction; whether it was done just now."""

        async def work(tx: Context) -> bool:
            done = await tx.ask(ReverseSale(purchase_id=purchase_id, reason="for the test"))
            marked = {"$set": {"refunded_at": tx.now()}}
            await self.collection("purchases").update_one({"_id": purchase_id}, marked, session=tx.session)
            return done.first

        return await self.context().transaction(work)

    async def settle_beside_the_actor(self, sales: Sequence[Sale]) -> int:
        """Settle as another process would; answers how many sales settled."""

        async def work(tx: Context) -> int:
            books = self.books.open(tx)
            return len([sale for sale in sales if await settle(books, sale.id, Terms()) is not None])

        return await self.context().transaction(work)

    async def top_up(self, user_id: str, credits: int) -> str:
        """Buy whole credits; answers the payment's key."""
        journal = topup_journal(f"cs_{next(self._numbers):04d}", user_id=user_id, amount=credits * MILLI, refs={})
        await self.post(journal)
        return journal.id

    async def payout_beside_the_actor(self, step: str, payout_id: str) -> None:
        """A step of a payout as another process would take it: past this one's queues."""
        steps = {"cancel": payouts.cancel, "begin_sending": payouts.begin_sending}

        async def work(tx: Context) -> None:
            await steps[step](self.books.open(tx), payout_id)

        await self.context().transaction(work)

    async def told_of_payouts(self) -> None:
        """Write each payout as its seller sees it, which is what asks the ledger where these tests do it themselves."""
        shown = {"reserved": "requested", "released": "cancelled"}
        for kept in await self.collection("ledger_payouts").find({}).to_list(None):
            was_sent = {"journal_id": f"payout:{kept['_id']}:final"}
            gone = await self.collection("transactions").find_one(was_sent)
            state = "reversed" if gone and kept["state"] == "released" else shown.get(kept["state"], kept["state"])
            row = {
                "user_id": kept["user_id"],
                "state": state,
                "amount": kept["amount"],
                "money": kept["amount"],
                "reversed_money": kept["amount"] if state == "reversed" else kept["returned"],
            }
            await self.collection("payouts").update_one({"_id": kept["_id"]}, {"$set": row}, upsert=True)

    async def owe(self, user_id: str, credits: int) -> None:
        """Buy whole credits, spend them, and have the payment refunded."""
        topup = await self.top_up(user_id, credits)
        await self.charge(user_id, await self.user(), credits)
        await self.context().ask(
            TakeBackTopup(topup_id=topup, claim_id=f"re_{topup}", kind=ClaimKind.REFUND, amount=1, captured=1)
        )

    async def learn(self, user_id: str, *instruments: str) -> None:
        """That somebody pays or is paid with these."""
        await self.context().transaction(lambda tx: learn_instruments(self.books.links, user_id, instruments, tx))

    async def linked(self, one: str, other: str) -> bool:
        return await self.context().ask(AreAccountsLinked(one=one, other=other))

    async def give(self, user_id: str, credits: int) -> None:
        await self.post(grant_journal(f"{next(self._numbers):04d}", user_id=user_id, amount=credits * MILLI, refs={}))

    async def balance_of(self, account: str) -> int:
        """Of an account that is nobody's: the sum of its legs."""
        legs = await self.collection("transactions").find({"account": account}).to_list(None)
        return sum(leg["amount"] for leg in legs)

    async def post(self, journal: Journal) -> bool:
        async def work(tx: Context) -> bool:
            assert tx.session is not None
            posted = await self.ledger.post(journal, now=tx.now(), session=tx.session)
            if posted:
                await write_papers(self.process.mongo, journal, tx)
            return posted

        return await self.context().transaction(work)

    async def charge(
        self,
        buyer_id: str,
        seller_id: str,
        price: int,
        purchase_id: str | None = None,
        *,
        commission: SaleCommission | None = None,
    ) -> Charge:
        """Charge whole credits; the purchase is stored beside it as the marketplace does it, in one transaction."""
        purchase_id = purchase_id or f"pur_{next(self._numbers):04d}"
        message = ChargePurchase(
            purchase_id=purchase_id,
            buyer_id=buyer_id,
            seller_id=seller_id,
            price_millicredits=price * MILLI,
            commission=commission,
        )

        async def work(tx: Context) -> Charge:
            charge = await tx.ask(message)
            terms = {"buyer_id": buyer_id, "seller_id": seller_id, "price": price * MILLI}
            stored = {"$setOnInsert": terms}
            await self.collection("purchases").update_one({"_id": purchase_id}, stored, upsert=True, session=tx.session)
            return charge

        return await self.context().transaction(work)

    async def credits(self, user_id: str) -> CreditsView:
        return await self.context(user_id).ask(GetCredits())

    async def verify(self) -> LedgerReport:
        return await verify_ledger(self.process.mongo)

    async def rules_broken(self) -> set[str]:
        return {violation.rule for violation in (await self.verify()).violations}

    # Stripe

    async def checkout(self, user_id: str, pack_id: str = "pack_500") -> CheckoutView:
        return await self.context(user_id).ask(CreateCheckout(pack_id=pack_id, **WAIVED))

    async def record(self, event: RecordStripeEvent) -> bool:
        """Whether it was a duplicate."""
        return (await self.context().ask(event)).duplicate

    async def until_event(self, event_id: str, state: WebhookEventState | str) -> dict[str, Any]:  # Any: BSON
        with anyio.fail_after(60):
            while True:
                row = await self.collection("webhook_events").find_one({"event_id": event_id})
                if row is not None and row["state"] == state:
                    return row
                await anyio.sleep(0.01)

    async def until_quiet(self) -> None:
        """Wait until no job is waiting or running; what is for another day is not waited for."""
        soon = datetime.now(UTC) + timedelta(hours=1)
        live = {"$or": [{"state": "running"}, {"state": "available", "run_at": {"$lt": soon}}]}
        with anyio.fail_after(60):
            while await self.collection("jobs").count_documents(live, limit=1):  # nobody tells
                await anyio.sleep(0.01)


def amounts(view: CreditsView) -> dict[str, str]:
    """The parts that are not zero."""
    return {name: getattr(view, name) for name in PARTS if getattr(view, name) != "0"}


def session_event(
    checkout: CheckoutView,
    event_id: str = "evt_1",
    *,
    kind: str = "checkout.session.completed",
    session: dict[str, Any] | None = None,  # Any: JSON
    **changes: Any,  # Any: fields of the message
) -> RecordStripeEvent:
    """What Stripe tells of a session; `session` and `changes` say what is different from a paid one."""
    told = {
        "id": checkout.session_id,
        "object": "checkout.session",
        "mode": "payment",
        "payment_status": "paid",
        "amount_subtotal": checkout.amount,
        "amount_total": checkout.amount + 95,
        "currency": checkout.currency,
        **(session or {}),
    }
    fields: dict[str, Any] = {
        "event_id": event_id,
        "type": kind,
        "api_version": "2026-10-28.endive",
        "livemode": False,
        "account": None,
        "created": 1_795_000_000,
        "payload": {"id": event_id, "object": "event", "type": kind, "data": {"object": told}},
        **changes,
    }
    return RecordStripeEvent(**fields)


def _of_credits(ledger: Ledger) -> tuple[Actor, ...]:
    commissions = CommissionsActor(ledger), CommissionSettlementActor(ledger)
    return BudgetsActor(ledger), *commissions, TopupsActor(ledger), PayoutHoldsActor(ledger)


def _people_and_gifts(mongo: Mongo, ledger: Ledger) -> tuple[Actor, ...]:
    gifts = AdjustmentsActor(AdjustmentStore(mongo), ledger, lasting=GIFTS_LAST), GiftExpiryActor(ledger)
    return UsersActor(UserStore(mongo), HandleStore(mongo)), *gifts


@asynccontextmanager
async def open_bank(
    mongo: Mongo,
    *,
    sessions: CheckoutSessions | None = None,
    api: StripeApi | None = None,
    running: bool = True,
    livemode: bool = False,
    clock: Clock | None = None,
    terms: Terms = Terms(),  # noqa: B008  # a frozen value
    rules: PayoutRules = PayoutRules(),  # noqa: B008  # the same
) -> AsyncIterator[Bank]:
    """`running`: jobs are run as they come."""
    await with_indexes(mongo, OF_A_BANK)
    ledger, checkouts, events = Ledger(mongo), CheckoutStore(mongo), EventStore(mongo)
    notified, strangers, shelf = Notified(), Strangers(), Shelf()
    async with AsyncExitStack() as stack:
        if api is None:
            api = await stack.enter_async_context(quiet_stripe())
        customers = Customers(CustomerStore(mongo), StripeCustomers(api))
        refunds, disputes = RefundEvents(StripeClaims(api)), DisputeEvents(StripeClaims(api), DisputeStore(mongo))
        subscriptions, receipts = SubscriptionStore(mongo), ReceiptStore(mongo)
        stripe, storm = StripeSubscriptions(api, PAGES), Storm()
        payouts = paying_out(mongo, api, rules, base="https://a.example", clock=clock or SystemClock())
        handlers: list[EventHandler] = [
            CheckoutEvents(checkouts, subscriptions, ledger, ReceiptWriter(receipts)),
            refunds,
            disputes,
            SubscriptionEvents(subscriptions, stripe, clock or SystemClock()),
            InvoiceEvents(subscriptions, stripe, ledger, ReceiptWriter(receipts)),
            *payouts.event_handlers,
        ]
        actors = [
            *_of_credits(ledger),
            BillingActor(ledger, LedgerAudit(mongo), LedgerSeals(mongo), ReportStore(mongo)),
            SalesActor(ledger, terms=terms),
            *_people_and_gifts(mongo, ledger),
            *(Revoked(mongo), strangers, shelf),  # for other features
            CheckoutsActor(checkouts, customers, sessions or checkout_sessions_at(api)),
            SubscriptionsActor(subscriptions, customers, stripe),
            ReceiptsActor(receipts, ledger.topups, ledger.links, StripeReceipts(api)),
            SellersActor(SellerStore(mongo, Sealer(["a secret of tests"])), ledger.sales, Earners(mongo)),
            *payouts.actors,
            StripeIntakeActor(events, storm),
            StripeEventsActor(events, handlers, storm, livemode=livemode),
            ReconciliationActor(
                StripeListing(api),
                events,
                Claims(refunds, disputes, ledger.topups),
                types=[name for handler in handlers for name in handler.types],
                under_way=timedelta(seconds=-5),
            ),
            notified,
        ]
        process = await stack.enter_async_context(job_process(mongo, actors, running=running, clock=clock))
        if clock is not None:
            process.system.clock = clock
        transactions = CountingTransactions(mongo)
        process.system.transactions = transactions
        yield Bank(process, ledger, transactions, notified, strangers, shelf)
