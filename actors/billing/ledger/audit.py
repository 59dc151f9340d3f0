"""What verification reads: streams in key order, which are walked side by side in flat memory, and single subjects.

A stream sees what is committed while it is read, so two streams of a living database may disagree about what is just
being written. Whatever looks wrong is therefore read again on its own, in one snapshot, before it is called wrong.
The collections `purchases`, `model_runs` and `partners` are other features'; an auditor compares them with the ledger,
and reads no more of them than ids, whose they are, and prices.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import TypeVar

from promptforge.actors.billing.checkouts.store import CHECKOUTS
from promptforge.actors.billing.events.store import EVENTS
from promptforge.actors.billing.ledger.accounts import AccountAudit
from promptforge.actors.billing.ledger.adjustments.audit import AdjustmentAudit
from promptforge.actors.billing.ledger.budgets.store import BUDGETS
from promptforge.actors.billing.ledger.commissions.domain import COLLECTED_BY, GIVEN_UP_BY, forfeited_by
from promptforge.actors.billing.ledger.domain import JournalKind, Owed, PartnerAccount, Platform
from promptforge.actors.billing.ledger.opening.domain import MARK
from promptforge.actors.billing.ledger.payouts.store import PAYOUTS as KEPT_PAYOUTS
from promptforge.actors.billing.ledger.runs import PREFIX, close_key, reserve_key
from promptforge.actors.billing.ledger.sales.compensating import COMPENSATED_BY
from promptforge.actors.billing.ledger.sales.domain import purchase_key, refund_key, settlements_of, withheld_by
from promptforge.actors.billing.ledger.sales.store import SALES
from promptforge.actors.billing.ledger.store import JOURNALS, LEGS, PARTNERS
from promptforge.actors.billing.ledger.streams import BATCH, SortedStream
from promptforge.actors.billing.ledger.topups.domain import TOPPED_UP_BY
from promptforge.actors.billing.ledger.topups.store import TOPUPS
from promptforge.actors.billing.messages import WebhookEventState
from promptforge.actors.billing.money.store import MoneyStore
from promptforge.actors.billing.payouts.store import PAYOUTS
from promptforge.actors.billing.receipts.store import RECEIPTS
from promptforge.core.mongo import Document, Mongo, Session, patient_rows, patiently, run_transaction

PURCHASES = "purchases"
MODEL_RUNS = "model_runs"
IGNORED = WebhookEventState.IGNORED.value
PARTNERSHIPS = "partners"
_CHECKOUT_FIELDS = dict.fromkeys(("session_id", "user_id", "state", "pack.credits", "pack.bonus"), 1)
_PURCHASE_FIELDS = dict.fromkeys(("buyer_id", "seller_id", "price"), 1)
_RECEIPT_FIELDS = dict.fromkeys(("topup_id", "user_id", "credits"), 1)
_JOURNAL_FIELDS = dict.fromkeys(("kind", "leg_count", "refs", "parties"), 1)
_LEG_FIELDS = dict.fromkeys(("journal_id", "user_id", "account", "amount", "lot", "source", "created_at"), 1)
_PAYOUT_FIELDS = dict.fromkeys(("user_id", "state", "amount", "money", "reversed_money", "key_number"), 1)
_TRANSFER_FIELDS = dict.fromkeys(("transfer_id", "transferred_at", "money", "currency"), 1)
_PENDING: Document = {
    "lot": {"$type": "string"},
    "$or": [{"account": Owed.PENDING.value}, {"account": {"$gte": "partner:", "$lt": "partner;"}}],
}
_BARE: Document = {
    "$and": [
        {"$ne": [{"$type": f"${MARK}"}, "missing"]},
        *({"$eq": [{"$type": f"${field}"}, "missing"]} for field in ("user_id", "account")),
    ]
}
_TEXT: Document = {"_id": {"$type": "string"}}
_GONE: Document = {
    "$regexMatch": {"input": "$journal_id", "regex": f"^{COLLECTED_BY}|^{GIVEN_UP_BY}|^purchase:.*:refund$"}
}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RefundSeen:
    """`charged`: the purchase's journal is there; `refunded_at`: when its refund was posted; `marked` in the market."""

    purchase_id: str
    charged: bool
    refunded_at: datetime | None
    marked: bool


@dataclass(frozen=True, slots=True)
class PaymentSeen:
    """A journal of bought credits, how many it brought, and the checkout and the receipt of the same payment."""

    journal: Document | None
    brought: int
    checkout: Document | None
    receipt: Document | None


@dataclass(frozen=True, slots=True)
class PartnerSeen:
    """Of a partner, each as it is stored and as legs say it: what has settled and is not collected, what is pending,
    and what all sales brought less what was forgone, before refunds and collections took of it.
    """

    earned: tuple[int, int]
    pending: tuple[int, int]
    brought: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Returned:
    """A journal that gives something back: a refund, what a seller is given for one, a commission that was forfeited,
    the close of a run, or a claim on `topup` that came to nothing.
    """

    journal_id: str
    kind: str
    topup: str = ""

    def origins(self) -> list[str]:
        """The journals that it gives back of, by its key; the other claims on its payment are found by their legs."""
        if self.kind == JournalKind.PURCHASE_REFUND:
            return [self.journal_id.removesuffix(":refund")]
        if self.kind == JournalKind.COMPENSATION:
            purchase_id = self.journal_id.removeprefix(COMPENSATED_BY)
            sale_id = purchase_key(purchase_id)
            return [sale_id, refund_key(purchase_id), *_withholdings(sale_id), *settlements_of(sale_id)]
        if self.kind == JournalKind.COMMISSION_RESTORE:
            return [forfeited_by(self.journal_id)]
        run_id = self.journal_id.rpartition(":")[0].removeprefix(PREFIX)
        if self.kind == JournalKind.RUN_CLOSE:
            return [reserve_key(run_id)]
        return [close_key(run_id), reserve_key(run_id)] if self.kind == JournalKind.RUN_REFUND else [self.journal_id]


def _withholdings(sale_id: str) -> list[str]:
    """The first ten; there is hardly ever a second one."""
    return [withheld_by(sale_id, number) for number in range(1, 11)]


class LedgerAudit:
    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._journals = mongo.collection(JOURNALS)
        self._legs = mongo.collection(LEGS)
        self._purchases = mongo.collection(PURCHASES)
        self._runs = mongo.collection(MODEL_RUNS)
        self._sales = mongo.collection(SALES)
        self._topups = mongo.collection(TOPUPS)
        self._partners = mongo.collection(PARTNERS)
        self._checkouts = mongo.collection(CHECKOUTS)
        self._receipts = mongo.collection(RECEIPTS)
        self._partnerships = mongo.collection(PARTNERSHIPS)
        self._budgets = mongo.collection(BUDGETS)
        self._kept_payouts = mongo.collection(KEPT_PAYOUTS)
        self._payouts = mongo.collection(PAYOUTS)
        self._events = mongo.collection(EVENTS)
        self.accounts = AccountAudit(mongo)
        self.adjustments = AdjustmentAudit(mongo)
        self.money = MoneyStore(mongo)

    def journals(self) -> SortedStream:
        return SortedStream(self._journals.find(_TEXT, _JOURNAL_FIELDS).sort([("_id", 1)]), itemgetter("_id"))

    def journals_without_key(self) -> AsyncIterator[Document]:
        return patient_rows(self._journals.find({"_id": {"$not": {"$type": "string"}}}, {"_id": 1}).batch_size(BATCH))

    def legs_by_journal(self) -> SortedStream:
        """Those of a list of journals are of none: they are among the rows without one."""
        wanted: Document = {"journal_id": {"$gt": "", "$not": {"$type": "array"}}}
        return SortedStream(self._legs.find(wanted, _LEG_FIELDS).sort([("journal_id", 1)]), itemgetter("journal_id"))

    def rows_without_journal(self) -> AsyncIterator[Document]:
        """Whose `journal_id` is anything but a text, or an empty one; but for rows of the service before this one,
        which were no legs: they are marked, and have neither user nor account.
        """
        named: Document = {"$and": [{"$eq": [{"$type": "$journal_id"}, "string"]}, {"$ne": ["$journal_id", ""]}]}
        wanted: Document = {"$expr": {"$not": [{"$or": [named, _BARE]}]}}
        return patient_rows(self._legs.find(wanted, {"_id": 1}).batch_size(BATCH))

    async def sum_of_legs(self, *, since: datetime, until: datetime) -> float:
        """What all rows sum to, whatever they name, but for those of between `since` and `until`.

        The legs of a journal have one time, and by `since` all earlier ones were committed: so it is of whole journals.
        """
        recent: Document = {"$and": [{"$gt": ["$created_at", since]}, {"$lte": ["$created_at", until]}]}
        sums: Document = {"_id": None, "total": {"$sum": {"$cond": [{"$or": [recent, _BARE]}, 0, "$amount"]}}}
        with patiently():
            found = await self._legs.aggregate([{"$group": sums}]).to_list(1)
        total: float = found[0]["total"] if found else 0
        return total

    async def journals_named(self, keys: Sequence[str]) -> dict[str, Document]:
        """Of these, those that were posted, without their legs."""
        rows = self._journals.find({"_id": {"$in": list(keys)}}, _JOURNAL_FIELDS)
        return {row["_id"]: row async for row in rows}

    async def owners_of_partners(self, partner_ids: Sequence[str]) -> dict[str, str]:
        rows = self._partnerships.find({"_id": {"$in": list(partner_ids)}}, {"owner": 1})
        return {row["_id"]: row["owner"] async for row in rows}

    def purchases(self) -> SortedStream:
        return SortedStream(self._purchases.find({}, _PURCHASE_FIELDS).sort([("_id", 1)]), itemgetter("_id"))

    def purchase_journals(self) -> SortedStream:
        """Keyed by the purchase's id; the prefix of the journal's key does not change the order."""
        wanted = {"kind": JournalKind.PURCHASE.value}
        rows = self._journals.find(wanted, {"refs": 1}).sort([("kind", 1), ("_id", 1)])
        return SortedStream(rows, lambda row: row["_id"].removeprefix(purchase_key("")))

    def purchase_refunds(self) -> SortedStream:
        """Keyed by the purchase's id, like `refunded_purchases`; the colon keeps both in one order."""
        return self._keyed_journals(JournalKind.PURCHASE_REFUND, refund_key)

    def refunded_purchases(self) -> SortedStream:
        rows = self._purchases.find({"refunded_at": {"$type": "date"}}, {"_id": 1}).sort([("_id", 1)])
        return SortedStream(patient_rows(rows.batch_size(BATCH)), lambda row: row["_id"] + ":")

    def sales(self) -> SortedStream:
        fields = dict.fromkeys(("seller_id", "partner_id", "payable", "granted", "commission"), 1)
        return SortedStream(self._sales.find({}, fields).sort([("_id", 1)]), itemgetter("_id"))

    def pending_by_sale(self) -> SortedStream:
        """The legs on sellers' and partners' pending accounts."""
        fields = dict.fromkeys(("lot", "account", "user_id", "source", "amount"), 1)
        rows = self._legs.find(_PENDING, fields).sort([("lot", 1)])
        return SortedStream(rows, itemgetter("lot"))

    def topups(self) -> SortedStream:
        return SortedStream(self._topups.find({}).sort([("_id", 1)]), itemgetter("_id"))

    def topup_legs(self) -> SortedStream:
        """What came in and went out at Stripe for each payment."""
        wanted = {"lot": {"$type": "string"}, "account": Platform.TOPUPS.value}
        return SortedStream(self._legs.find(wanted, _LEG_FIELDS).sort([("lot", 1)]), itemgetter("lot"))

    def payments(self) -> SortedStream:
        """Journals of bought credits, by their keys, which are those of the legs, checkouts and receipts as well."""
        keys = [{"_id": {"$gte": f"{begin}:", "$lt": f"{begin};"}} for begin in ("invoice", "topup")]
        rows = self._journals.find({"$or": keys}, {"parties": 1}).sort([("_id", 1)])
        return SortedStream(rows, itemgetter("_id"))

    def checkouts(self) -> SortedStream:
        rows = self._checkouts.find({"session_id": {"$type": "string"}}, _CHECKOUT_FIELDS).sort([("session_id", 1)])
        return SortedStream(rows, lambda row: f"{TOPPED_UP_BY}{row['session_id']}")

    def receipts(self) -> SortedStream:
        wanted: Document = {"topup_id": {"$type": "string"}}
        rows = self._receipts.find(wanted, _RECEIPT_FIELDS).sort([("topup_id", 1)])
        return SortedStream(rows, itemgetter("topup_id"))

    async def payment(self, key: str) -> PaymentSeen:
        """Of the journal with this key, which may not be there."""

        async def read(session: Session) -> PaymentSeen:
            journal = await self._journals.find_one({"_id": key}, {"parties": 1}, session=session)
            legs = self._legs.find({"journal_id": key, "account": Platform.TOPUPS.value}, session=session)
            brought = sum(-leg["amount"] for leg in await legs.to_list(None) if isinstance(leg["amount"], int))
            paid = {"session_id": key.removeprefix(TOPPED_UP_BY)} if key.startswith(TOPPED_UP_BY) else {"_id": None}
            checkout = await self._checkouts.find_one(paid, _CHECKOUT_FIELDS, session=session)
            receipt = await self._receipts.find_one({"topup_id": key}, _RECEIPT_FIELDS, session=session)
            return PaymentSeen(journal, brought, checkout, receipt)

        return await run_transaction(self._mongo, read)

    async def partner_ids(self) -> AsyncIterator[str]:
        """Of everybody with commissions, whether that is said by what is stored of them, or by legs alone."""
        partners: Document = {"account": {"$gte": "partner:", "$lt": "partner;"}}
        seen: set[str] = set()
        for rows in (
            self._partners.find({}, {"_id": 1}),
            self._legs.aggregate([{"$match": partners}, {"$group": {"_id": "$account"}}]),
        ):
            async for row in patient_rows(rows):
                partner_id = row["_id"].removeprefix("partner:").removesuffix(":pending").removesuffix(":earned")
                if partner_id not in seen:
                    seen.add(partner_id)
                    yield partner_id

    def run_reserves(self) -> SortedStream:
        """Keyed by the run's id, like `run_closes`; the colon after an id keeps both in the order of their keys."""
        return self._keyed_journals(JournalKind.RUN_RESERVE, reserve_key)

    def run_closes(self) -> SortedStream:
        return self._keyed_journals(JournalKind.RUN_CLOSE, close_key)

    def kept_payouts(self) -> SortedStream:
        """What the ledger keeps of each payout; the colon behind the ids keeps all three streams in one order."""
        return SortedStream(self._kept_payouts.find({}).sort([("_id", 1)]), lambda row: row["_id"] + ":")

    def payouts(self) -> SortedStream:
        return SortedStream(self._payouts.find({}, _PAYOUT_FIELDS).sort([("_id", 1)]), lambda row: row["_id"] + ":")

    def payout_legs(self) -> SortedStream:
        rows = self._legs.find(_of_payouts(""), _LEG_FIELDS).sort([("journal_id", 1)])
        return SortedStream(rows, lambda row: row["journal_id"].split(":")[1] + ":")

    async def payout(self, payout_id: str) -> tuple[Document | None, Document | None, list[Document]]:
        """A payout as the ledger keeps it, as its seller knows it, and its legs."""

        async def read(session: Session) -> tuple[Document | None, Document | None, list[Document]]:
            one = {"_id": payout_id}
            kept = await self._kept_payouts.find_one(one, session=session)
            payout = await self._payouts.find_one(one, _PAYOUT_FIELDS, session=session)
            legs = self._legs.find(_of_payouts(f"{payout_id}:"), _LEG_FIELDS, session=session)
            return kept, payout, await legs.to_list(None)

        return await run_transaction(self._mongo, read)

    def sent_payouts(self) -> SortedStream:
        """Keyed by their transfers, like `transfers`."""
        rows = self._payouts.find({"transfer_id": {"$type": "string"}}, _TRANSFER_FIELDS).sort([("transfer_id", 1)])
        return SortedStream(rows, itemgetter("transfer_id"))

    def transfers(self) -> SortedStream:
        return SortedStream(self.money.transfers(), itemgetter("source"))

    async def transfer(self, transfer_id: str) -> tuple[Document | None, list[Document], bool]:
        """The payout that was sent by it, what it has moved, and whether an event has told that it is for no payout."""
        made_by_hand = {"payload.data.object.id": transfer_id, "state": IGNORED}

        async def read(session: Session) -> tuple[Document | None, list[Document], bool]:
            payout = await self._payouts.find_one({"transfer_id": transfer_id}, _TRANSFER_FIELDS, session=session)
            event = await self._events.find_one(made_by_hand, {"_id": 1}, session=session)
            return payout, await self.money.list_moved_by(transfer_id, session=session), event is not None

        return await run_transaction(self._mongo, read)

    def budgets(self) -> SortedStream:
        return SortedStream(self._budgets.find({}).sort([("_id", 1)]), itemgetter("_id"))

    def budget_journals(self) -> SortedStream:
        """Funding, trials and returns with their legs; those of one budget together, a run's close before its hold."""
        return SortedStream(self._journals.aggregate(_of_budgets({"$gt": ""})), lambda row: row["refs"]["budget_id"])

    async def budget(self, budget_id: str) -> tuple[Document | None, list[Document]]:
        """What is kept of a budget, and its journals with their legs."""

        async def read(session: Session) -> tuple[Document | None, list[Document]]:
            budget = await self._budgets.find_one({"_id": budget_id}, session=session)
            journals = self._journals.aggregate(_of_budgets(budget_id), session=session)
            return budget, await journals.to_list(None)

        return await run_transaction(self._mongo, read)

    def _keyed_journals(self, kind: JournalKind, key: Callable[[str], str]) -> SortedStream:
        prefix, suffix = key("\0").split("\0")
        rows = self._journals.find({"kind": kind.value}, {"_id": 1}).sort([("kind", 1), ("_id", 1)])
        return SortedStream(rows, lambda row: row["_id"].removeprefix(prefix).removesuffix(suffix) + ":")

    # One subject, in one snapshot

    async def refund(self, purchase_id: str) -> RefundSeen:
        async def read(session: Session) -> RefundSeen:
            charge, refund = [
                await self._journals.find_one({"_id": key}, {"created_at": 1}, session=session)
                for key in (purchase_key(purchase_id), refund_key(purchase_id))
            ]
            purchase = await self._purchases.find_one({"_id": purchase_id}, {"refunded_at": 1}, session=session)
            marked = bool((purchase or {}).get("refunded_at"))
            return RefundSeen(purchase_id, charge is not None, refund["created_at"] if refund else None, marked)

        return await run_transaction(self._mongo, read)

    async def sale(self, sale_id: str) -> tuple[Document | None, list[Document]]:
        """What is kept of a sale, and its pending legs."""

        async def read(session: Session) -> tuple[Document | None, list[Document]]:
            sale = await self._sales.find_one({"_id": sale_id}, session=session)
            legs = self._legs.find({**_PENDING, "lot": sale_id}, _LEG_FIELDS, session=session)
            return sale, await legs.to_list(None)

        return await run_transaction(self._mongo, read)

    async def topup(self, topup_id: str) -> tuple[Document | None, list[Document]]:
        """What is known of the claims on a payment, and its legs at Stripe."""

        async def read(session: Session) -> tuple[Document | None, list[Document]]:
            topup = await self._topups.find_one({"_id": topup_id}, session=session)
            wanted = {"lot": topup_id, "account": Platform.TOPUPS.value}
            return topup, await self._legs.find(wanted, _LEG_FIELDS, session=session).to_list(None)

        return await run_transaction(self._mongo, read)

    async def partner(self, partner_id: str) -> PartnerSeen:
        """What a partner has, as it is stored and as the legs sum to."""
        accounts = [PartnerAccount(partner_id, settled=settled).value for settled in (False, True)]
        pipeline: list[Document] = [
            {"$match": {"account": {"$in": accounts}}},
            {"$group": {"_id": {"account": "$account", "gone": _GONE}, "sum": {"$sum": "$amount"}}},
        ]
        brought: list[Document] = [
            {"$match": {"partner_id": partner_id}},
            {
                "$group": {
                    "_id": None,
                    "pending": {"$sum": "$commission"},
                    "kept": {"$sum": {"$subtract": ["$promised", "$forgone"]}},
                }
            },
        ]

        async def read(session: Session) -> PartnerSeen:
            stored = await self._partners.find_one({"_id": partner_id}, session=session)
            legs = await self._legs.aggregate(pipeline, session=session).to_list(None)
            sales = await self._sales.aggregate(brought, session=session).to_list(1)
            kept = sales[0] if sales else {"pending": 0, "kept": 0}
            pending, earned = (sum(row["sum"] for row in legs if row["_id"]["account"] == name) for name in accounts)
            return PartnerSeen(
                earned=((stored or {}).get("earned", 0), earned),
                pending=(kept["pending"], pending),
                brought=(kept["kept"], sum(row["sum"] for row in legs if not row["_id"]["gone"])),
            )

        return await run_transaction(self._mongo, read)

    async def journal(self, journal_id: str) -> tuple[Document | None, list[Document]]:
        """A journal and its legs."""

        async def read(session: Session) -> tuple[Document | None, list[Document]]:
            journal = await self._journals.find_one({"_id": journal_id}, session=session)
            wanted: Document = {"journal_id": {"$eq": journal_id, "$not": {"$type": "array"}}}
            legs = self._legs.find(wanted, _LEG_FIELDS, session=session)
            return journal, await legs.to_list(None)

        return await run_transaction(self._mongo, read)

    async def origins(self, returned: Sequence[Returned]) -> list[tuple[list[Document], list[Document]]]:
        """The legs of each, and those of what it gives back of; of a claim, those of all claims on its payment."""

        async def read(session: Session) -> list[tuple[list[Document], list[Document]]]:
            of = {
                one.journal_id: {*one.origins(), *(await self._claims_on(one.topup, session) if one.topup else ())}
                for one in returned
            }
            keys = {key for journal_id, origins in of.items() for key in (journal_id, *origins)}
            legs: dict[str, list[Document]] = {key: [] for key in keys}
            found = self._legs.find({"journal_id": {"$in": sorted(keys)}}, _LEG_FIELDS, session=session)
            async for leg in found:
                legs[leg["journal_id"]].append(leg)
            return [(legs[key], [leg for origin in origins for leg in legs[origin]]) for key, origins in of.items()]

        return await run_transaction(self._mongo, read)

    async def _claims_on(self, topup: str, session: Session) -> list[str]:
        wanted = {"lot": topup, "account": Platform.TOPUPS.value}
        rows = await self._legs.find(wanted, {"journal_id": 1}, session=session).to_list(None)
        return [row["journal_id"] for row in rows]

    async def purchase(self, purchase_id: str) -> tuple[Document | None, Document | None]:
        """The purchase and its journal."""

        async def read(session: Session) -> tuple[Document | None, Document | None]:
            purchase = await self._purchases.find_one({"_id": purchase_id}, _PURCHASE_FIELDS, session=session)
            wanted = {"_id": purchase_key(purchase_id), "kind": JournalKind.PURCHASE.value}
            return purchase, await self._journals.find_one(wanted, {"refs": 1}, session=session)

        return await run_transaction(self._mongo, read)

    async def run(self, key: str) -> tuple[bool, bool, bool]:
        """Whether credits were reserved for a run, whether it is closed, and whether it is under way."""
        run_id = key.removesuffix(":")

        async def read(session: Session) -> tuple[bool, bool, bool]:
            journals = [
                await self._journals.find_one({"_id": journal_id}, {"_id": 1}, session=session)
                for journal_id in (reserve_key(run_id), close_key(run_id))
            ]
            run = await self._runs.find_one({"_id": run_id}, {"_id": 1}, session=session)
            return journals[0] is not None, journals[1] is not None, run is not None

        return await run_transaction(self._mongo, read)


def _of_payouts(key: str) -> Document:
    """The legs of journals whose keys begin with `payout:` and this."""
    begin = f"payout:{key}"
    return {"journal_id": {"$gte": begin, "$lt": begin[:-1] + chr(ord(begin[-1]) + 1)}}


def _of_budgets(wanted: object) -> list[Document]:
    legs = {"from": LEGS, "localField": "_id", "foreignField": "journal_id", "as": "legs"}
    order: Document = {"refs.budget_id": 1, "_id": 1}
    return [{"$match": {"refs.budget_id": wanted}}, {"$sort": order}, {"$lookup": legs}]
