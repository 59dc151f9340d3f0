"""The features of this process: their actors with the stores and settings they need, and what their stores declare."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from promptforge.actors.accounts import CloseDueAccounts, SweepPersonalExports
from promptforge.actors.ai import AssistantActor, FoldUsage, ModelsActor, SweepRuns, TrialsActor, UsageActor
from promptforge.actors.ai.models import store as ai_models
from promptforge.actors.ai.usage import store as ai_usage
from promptforge.actors.analytics import (
    EXPORTS,
    EventsActor,
    ExportsActor,
    FoldEvents,
    FoldMarket,
    MarketFiguresActor,
    QueriesActor,
    RollupsActor,
    SweepExports,
)
from promptforge.actors.analytics import store as analytics
from promptforge.actors.billing import (
    AdjustmentsActor,
    BillingActor,
    BudgetsActor,
    CheckLedger,
    CheckoutsActor,
    CommissionsActor,
    CommissionSettlementActor,
    CompareMoney,
    ConnectActor,
    ExpireLots,
    FiguresActor,
    GiftExpiryActor,
    MoneyActor,
    ObligationsActor,
    PayoutHoldsActor,
    PayoutsActor,
    PayoutSendingActor,
    PostMoney,
    ReceiptsActor,
    ReconcileStripe,
    ReconciliationActor,
    SalesActor,
    SealLedger,
    SellersActor,
    SettleSales,
    StripeEventsActor,
    StripeIntakeActor,
    SubscriptionsActor,
    SweepPayouts,
    SweepStripeEvents,
    TopupsActor,
)
from promptforge.actors.billing import store as billing
from promptforge.actors.billing.connect.earners import Earners
from promptforge.actors.billing.customers.making import Customers
from promptforge.actors.billing.events.checkouts import CheckoutEvents
from promptforge.actors.billing.events.claims import DisputeEvents, RefundEvents
from promptforge.actors.billing.events.handling import EventHandler, Origin
from promptforge.actors.billing.events.recording import Storm
from promptforge.actors.billing.events.subscriptions import InvoiceEvents, SubscriptionEvents
from promptforge.actors.billing.receipts.writing import ReceiptWriter
from promptforge.actors.billing.reconciliation.actor import Claims
from promptforge.actors.billing.stripe.api import StripeApi
from promptforge.actors.billing.stripe.claims import StripeClaims
from promptforge.actors.billing.stripe.customers import StripeCustomers
from promptforge.actors.billing.stripe.listing import StripeListing
from promptforge.actors.billing.stripe.live import StripeCheckoutSessions
from promptforge.actors.billing.stripe.movements import StripeMoney
from promptforge.actors.billing.stripe.pages import PageRules
from promptforge.actors.billing.stripe.receipts import StripeReceipts
from promptforge.actors.billing.stripe.subscriptions import StripeSubscriptions
from promptforge.actors.datasets import DatasetsActor
from promptforge.actors.datasets import store as datasets
from promptforge.actors.evaluations import QUEUE as EVALUATIONS
from promptforge.actors.evaluations import EvaluationsActor, SweepEvaluations
from promptforge.actors.evaluations import store as evaluations
from promptforge.actors.jobs import JobsActor
from promptforge.actors.marketplace import (
    CheckRatings,
    FavouritesActor,
    InsightsActor,
    ListingsActor,
    PurchasesActor,
    RankListings,
    RepliesActor,
    ReportsActor,
    ReviewsActor,
    SaleAppealsActor,
    SealedAppealsActor,
    SealedRunsActor,
    TrialBudgetsActor,
)
from promptforge.actors.marketplace import store as marketplace
from promptforge.actors.marketplace.documents.actor import ListingDocumentsActor
from promptforge.actors.marketplace.documents.bought import BoughtStore
from promptforge.actors.marketplace.documents.store import ListingDocumentStore
from promptforge.actors.marketplace.reviews.ratings import Ratings
from promptforge.actors.marketplace.sealed.matching import Limits as SealedLimits
from promptforge.actors.operations import OperationsActor, SealAuditLog
from promptforge.actors.packages.messages import QUEUE as PACKAGES
from promptforge.actors.projects import ProjectsActor
from promptforge.actors.projects import store as projects
from promptforge.actors.prompts import (
    DraftsActor,
    LabelsActor,
    PromptsActor,
    RenderingActor,
    ServingActor,
)
from promptforge.actors.prompts import store as prompts
from promptforge.actors.prompts.comparison.actor import ComparisonActor
from promptforge.actors.prompts.exchange.actor import ExchangeActor
from promptforge.actors.prompts.forks.actor import ForksActor
from promptforge.actors.prompts.packing.actor import PackingActor
from promptforge.actors.search.actor import SearchActor
from promptforge.actors.users import ApiKeysActor, SettingsActor, UsersActor
from promptforge.actors.users import store as users
from promptforge.actors.users.handles.store import HandleStore
from promptforge.actors.users.keys import store as api_keys
from promptforge.actors.users.settings.store import SettingsStore
from promptforge.actors.users.staff import store as people
from promptforge.core import audit, jobs
from promptforge.core.clock import SystemClock
from promptforge.core.errors import ConfigurationError
from promptforge.core.jobs import MongoJobStore, Queue, Schedule, Sealer
from promptforge.core.messages import Message
from promptforge.core.mongo import FILE_INDEXES, Files, Index, Mongo
from promptforge.core.runtime import Actor
from promptforge.deploy import accounts, moderating, notifying, packaging, partnering
from promptforge.deploy.following import Memory
from promptforge.deploy.models import build_catalogue
from promptforge.deploy.paying_out import paying_out
from promptforge.deploy.prices import credit_packs, payout_rules, subscription_plans
from promptforge.deploy.settings import Settings
from promptforge.http import counters, idempotency

ACTOR_TYPES: tuple[type[Actor], ...] = (
    UsersActor,
    *accounts.ACTOR_TYPES,
    ApiKeysActor,
    SettingsActor,
    BillingActor,
    BudgetsActor,
    CommissionsActor,
    CommissionSettlementActor,
    MoneyActor,
    ObligationsActor,
    SalesActor,
    TopupsActor,
    SellersActor,
    PayoutHoldsActor,
    AdjustmentsActor,
    GiftExpiryActor,
    CheckoutsActor,
    SubscriptionsActor,
    ReceiptsActor,
    ConnectActor,
    PayoutsActor,
    PayoutSendingActor,
    StripeIntakeActor,
    StripeEventsActor,
    ReconciliationActor,
    ProjectsActor,
    ModelsActor,
    AssistantActor,
    TrialsActor,
    UsageActor,
    PromptsActor,
    LabelsActor,
    DraftsActor,
    RenderingActor,
    ServingActor,
    ComparisonActor,
    ForksActor,
    ExchangeActor,
    PackingActor,
    DatasetsActor,
    *moderating.ACTOR_TYPES,
    *packaging.ACTOR_TYPES,
    *partnering.ACTOR_TYPES,
    EvaluationsActor,
    *notifying.ACTOR_TYPES,
    ListingsActor,
    PurchasesActor,
    SaleAppealsActor,
    RepliesActor,
    ReviewsActor,
    ReportsActor,
    FavouritesActor,
    InsightsActor,
    ListingDocumentsActor,
    SearchActor,
    SealedRunsActor,
    SealedAppealsActor,
    TrialBudgetsActor,
    EventsActor,
    RollupsActor,
    QueriesActor,
    ExportsActor,
    MarketFiguresActor,
    FiguresActor,
    JobsActor,
    OperationsActor,
)

INDEXES: dict[str, tuple[Index, ...]] = {
    **users.INDEXES,
    **accounts.INDEXES,
    **api_keys.INDEXES,
    **billing.INDEXES,
    **projects.INDEXES,
    **ai_models.INDEXES,
    **ai_usage.INDEXES,
    **prompts.INDEXES,
    **datasets.INDEXES,
    **packaging.INDEXES,
    **partnering.INDEXES,
    **evaluations.INDEXES,
    **notifying.INDEXES,
    **marketplace.INDEXES,
    **moderating.INDEXES,
    **analytics.INDEXES,
    **jobs.INDEXES,
    **audit.INDEXES,
    **FILE_INDEXES,
    **counters.INDEXES,
    **idempotency.INDEXES,
    users.USERS: (
        *users.INDEXES[users.USERS],
        *people.INDEXES[users.USERS],
        *billing.INDEXES[users.USERS],
    ),  # the ledger keeps balances there
}

QUEUES: tuple[Queue, ...] = (
    Queue(EVALUATIONS, concurrency=4, fair=True),
    Queue("stripe", concurrency=4),
    Queue(EXPORTS, concurrency=2, fair=True),
    Queue(PACKAGES, concurrency=2, fair=True),
    *notifying.QUEUES,
)
"""Queues with a description of their own; one that a message's policy names needs none."""

SCHEDULES: tuple[Schedule, ...] = (
    Schedule("seal-audit-log", "* * * * *", lambda _: SealAuditLog()),
    Schedule("sweep-model-runs", "* * * * *", lambda _: SweepRuns()),
    Schedule("sweep-evaluations", "* * * * *", lambda _: SweepEvaluations()),
    Schedule("fold-usage", "5-55/10 * * * *", lambda _: FoldUsage()),
    Schedule("fold-events", "* * * * *", lambda _: FoldEvents()),
    Schedule("fold-market", "*/10 * * * *", lambda _: FoldMarket()),
    Schedule("sweep-exports", "*/10 * * * *", lambda _: SweepExports()),
    *moderating.SCHEDULES,
    *packaging.SCHEDULES,
    *notifying.SCHEDULES,
    Schedule("settle-sales", "7 * * * *", lambda _: SettleSales()),
    Schedule("expire-gifts", "37 * * * *", lambda _: ExpireLots()),
    Schedule("sweep-payouts", "*/10 * * * *", lambda _: SweepPayouts()),
    Schedule("seal-ledger", "* * * * *", lambda _: SealLedger()),
    Schedule("sweep-stripe-events", "*/5 * * * *", lambda _: SweepStripeEvents()),
    Schedule("reconcile-stripe", "41 2 * * *", lambda _: ReconcileStripe()),
    Schedule("rank-listings", "*/10 * * * *", lambda _: RankListings()),
    Schedule("sweep-personal-exports", "19 * * * *", lambda _: SweepPersonalExports()),
    Schedule("close-accounts", "*/5 * * * *", lambda _: CloseDueAccounts()),
    Schedule("check-ratings", "53 3 * * *", lambda _: CheckRatings()),
    Schedule("check-ledger", "23 3 * * *", lambda _: CheckLedger()),
    Schedule("post-money", "17 * * * *", lambda _: PostMoney()),
    Schedule("compare-money", "41 2 * * *", lambda _: CompareMoney()),
)


def build_actors(
    mongo: Mongo,
    job_store: MongoJobStore,
    settings: Settings,
    *,
    memory: Memory | None = None,
    stripe: StripeApi | None = None,
    secrets: Sequence[str] = (),
    sign_ins: accounts.SignIns = accounts.NO_SIGN_INS,
) -> list[Actor]:
    """One of each, on this database. The memory follows the change stream; without it every read is one.

    `stripe` is its caller's to close; without it there is one of their own, for processes that never call it.
    `secrets`: the roots of keys; without them nothing can be sealed. `sign_ins`: where people's accounts are
    kept.
    """
    memory = memory or Memory()
    stripe = stripe or stripe_api(settings)
    stores = prompts.Stores(mongo, changed=memory.compiled.prompt_changed)
    ledger = billing.Ledger(mongo)
    rollups = ai_usage.RollupStore(mongo)
    return [
        UsersActor(users.UserStore(mongo), HandleStore(mongo)),
        ApiKeysActor(api_keys.KeyStore(mongo), scopes=_scopes()),
        SettingsActor(SettingsStore(mongo)),
        *accounts.build_actors(mongo, settings, ledger, sign_ins=sign_ins),
        *_ledger_actors(mongo, settings, ledger, secrets),
        *_stripe_actors(mongo, settings, ledger, stripe),
        ProjectsActor(projects.ProjectStore(mongo), memory.memberships),
        PromptsActor(stores),
        LabelsActor(stores),
        DraftsActor(stores),
        RenderingActor(stores),
        ServingActor(stores, memory.compiled, look=memory.look),
        ComparisonActor(stores),
        ForksActor(stores),
        ExchangeActor(stores),
        PackingActor(stores),
        ModelsActor(ai_models.RunStore(mongo, rollups), build_catalogue(settings)),
        DatasetsActor(datasets.DatasetStore(mongo)),
        *packaging.build_actors(mongo, settings, secrets),
        *partnering.build_actors(mongo, settings, secrets, scopes=_scopes(), base_url=base_url(settings)),
        EvaluationsActor(evaluations.EvaluationStore(mongo)),
        AssistantActor(),
        TrialsActor(),
        UsageActor(rollups),
        *notifying.build_actors(mongo, settings, secrets, base_url=base_url(settings)),
        *_market_actors(mongo, settings, memory),
        *moderating.build_actors(mongo, settings, memory.duplicates),
        SearchActor(memory.found),
        *_analytics_actors(mongo),
        JobsActor(job_store),
        OperationsActor(audit.AuditLog(mongo)),
    ]


def _ledger_actors(mongo: Mongo, settings: Settings, ledger: billing.Ledger, secrets: Sequence[str]) -> list[Actor]:
    """What moves credits."""
    return [
        BillingActor(
            ledger,
            billing.LedgerAudit(mongo),
            billing.LedgerSeals(mongo),
            billing.ReportStore(mongo),
            fee_bp=settings.platform_fee_bp,
            commission_max_bp=settings.partner_commission_max_bp,
        ),
        BudgetsActor(ledger),
        CommissionsActor(ledger),
        CommissionSettlementActor(ledger),
        SalesActor(ledger, terms=settlement_terms(settings)),
        TopupsActor(ledger),
        PayoutHoldsActor(ledger),
        FiguresActor(billing.FigureStore(mongo), ledger),
        AdjustmentsActor(billing.AdjustmentStore(mongo), ledger, lasting=_gifts_last(settings)),
        GiftExpiryActor(ledger),
        SellersActor(
            billing.SellerStore(mongo, Sealer(secrets, purpose=b"promptforge sellers v1")),
            ledger.sales,
            Earners(mongo),
        ),
    ]


def _market_actors(mongo: Mongo, settings: Settings, memory: Memory) -> list[Actor]:
    """What sellers offer, what buyers do, and what they say of it."""
    listings, views = marketplace.ListingStore(mongo, memory.pages), marketplace.ViewCounter(mongo)
    purchases, reviews = marketplace.PurchaseStore(mongo), marketplace.ReviewStore(mongo)
    accounts, runs_rulings = marketplace.AccountStore(mongo), marketplace.RunsRulingStore(mongo)
    appeal_for = timedelta(days=settings.appeal_days)
    return [
        ListingsActor(listings, views, appeal_for=appeal_for),
        PurchasesActor(
            purchases, listings, accounts, Ratings(reviews, listings), owned=memory.owned, appeal_for=appeal_for
        ),
        SaleAppealsActor(purchases, listings),
        RepliesActor(reviews, listings, appeal_for=appeal_for),
        ReviewsActor(reviews, purchases, listings, appeal_for=appeal_for),
        ReportsActor(marketplace.ReportStore(mongo), listings, reviews),
        FavouritesActor(marketplace.FavouriteStore(mongo), listings),
        InsightsActor(marketplace.InsightStore(mongo), views),
        ListingDocumentsActor(ListingDocumentStore(mongo), BoughtStore(mongo, memory.owned)),
        SealedRunsActor(
            marketplace.Grounds(listings, purchases, accounts),
            accounts,
            _sealed_limits(settings),
            runs_rulings,
            appeal_for=appeal_for,
        ),
        SealedAppealsActor(runs_rulings, accounts, listings),
        TrialBudgetsActor(listings),
    ]


def _sealed_limits(settings: Settings) -> SealedLimits:
    """A trace is about half of what is withheld, and a third of how much of the text."""
    letters, share = settings.sealed_copy_letters, settings.sealed_copy_percent / 100
    return SealedLimits(
        withheld_run=letters,
        withheld_share=share,
        withheld_letters=5 * letters,
        trace_run=max(20, letters * 8 // 15),
        trace_share=share / 3,
        trace_letters=5 * letters // 3,
    )


def _analytics_actors(mongo: Mongo) -> list[Actor]:
    """What takes events and adds them up, what answers questions about sums, and what writes files."""
    sums = analytics.EventRollups(mongo)
    return [
        EventsActor(analytics.EventStore(mongo), sums),
        RollupsActor(sums),
        QueriesActor(sums),
        ExportsActor(analytics.ExportStore(mongo), Files(mongo)),
        MarketFiguresActor(analytics.MarketStore(mongo)),
    ]


def job_messages() -> Iterator[type[Message[Any]]]:
    """Every message that this version handles, and so can run as a job."""
    for actor in ACTOR_TYPES:
        for declared in actor.handlers().values():
            yield declared.message


def _scopes() -> set[str]:
    """Every scope that an operation asks for, and so an API key can have."""
    requirements = (message.requirement for message in job_messages())
    return {requirement.scope for requirement in requirements if requirement is not None and requirement.scope}


def settlement_terms(settings: Settings) -> billing.Terms:
    """When sellers are paid, and what is held back."""
    return billing.Terms(
        window=timedelta(days=settings.settlement_days),
        new_seller_window=timedelta(days=settings.settlement_days_new_seller),
        established_after=timedelta(days=settings.established_seller_days),
        reserve_bp=settings.rolling_reserve_bp,
        reserve_for=timedelta(days=settings.rolling_reserve_days),
    )


def _gifts_last(settings: Settings) -> timedelta | None:
    return timedelta(days=settings.grant_expiry_days) if settings.grant_expiry_days else None


def stripe_api(settings: Settings) -> StripeApi:
    """Whoever calls this closes it, after the actors have stopped."""
    if settings.stripe_secret_key is None:  # deploy/payments.py has found one, or a sandbox's
        raise ConfigurationError("there is no STRIPE_SECRET_KEY")
    return StripeApi(settings.stripe_secret_key.get_secret_value(), api_base=settings.stripe_api_base)


def base_url(settings: Settings) -> str:
    """Where people's browsers find this service."""
    return settings.public_url or f"http://{settings.host}:{settings.port}"


def _page_rules(settings: Settings) -> PageRules:
    base = base_url(settings)
    return PageRules(
        success_url=f"{base}/checkout/success?session_id={{CHECKOUT_SESSION_ID}}",
        cancel_url=f"{base}/checkout/cancelled",
        taxed=settings.stripe_tax,
    )


def _stripe_actors(mongo: Mongo, settings: Settings, ledger: billing.Ledger, api: StripeApi) -> list[Actor]:
    """What sells through Stripe, what applies Stripe's events, and what looks for those that never came."""
    pages = _page_rules(settings)
    checkouts, subscriptions = billing.CheckoutStore(mongo), billing.SubscriptionStore(mongo)
    customers = Customers(billing.CustomerStore(mongo), StripeCustomers(api))
    events, storm = billing.EventStore(mongo), Storm()
    claims, stripe = StripeClaims(api), StripeSubscriptions(api, pages)
    payouts = paying_out(mongo, api, payout_rules(settings), base=base_url(settings), clock=SystemClock())
    receipts = billing.ReceiptStore(mongo)
    writer = ReceiptWriter(receipts)
    refunds, disputes = RefundEvents(claims), DisputeEvents(claims, billing.DisputeStore(mongo))
    handlers: list[EventHandler] = [
        CheckoutEvents(checkouts, subscriptions, ledger, writer),
        refunds,
        disputes,
        SubscriptionEvents(subscriptions, stripe, SystemClock()),
        InvoiceEvents(subscriptions, stripe, ledger, writer),
        *payouts.event_handlers,
    ]
    ours = [name for handler in handlers if handler.origin is Origin.PLATFORM for name in handler.types]
    # A sandbox's money is not there any more after a restart.
    money = StripeMoney(api) if settings.stripe_api_base is None else None
    return [
        MoneyActor(billing.MoneyStore(mongo), money),
        CheckoutsActor(checkouts, customers, StripeCheckoutSessions(api, pages), packs=credit_packs(settings)),
        *payouts.actors,
        SubscriptionsActor(subscriptions, customers, stripe, plans=subscription_plans(settings)),
        ReceiptsActor(receipts, ledger.topups, ledger.links, StripeReceipts(api)),
        StripeIntakeActor(events, storm),
        StripeEventsActor(events, handlers, storm, livemode=api.livemode),
        ReconciliationActor(StripeListing(api), events, Claims(refunds, disputes, ledger.topups), types=ours),
    ]
