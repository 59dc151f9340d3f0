"""What verification reads: streams in key order, which are walked side by side in flat memory, and single subjects.

A stream sees what is committed while it is read, so two streams of a living database may disagree about what is just
being written. Whatever looks wrong is therefore read again on its own, in one snapshot, before it is called wrong.
The collections `purchases` and `model_runs` are other features'; an auditor compares them with the ledger, and only
their ids are read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import TypeVar

from promptforge.actors.billing.ledger.budgets.store import BUDGETS
from promptforge.actors.billing.ledger.commissions.domain import COLLECTED_BY, GIVEN_UP_BY
from promptforge.actors.billing.ledger.domain import JournalKind, Owed, PartnerAccount, Platform
from promptforge.actors.billing.ledger.opening.domain import MARK
from promptforge.actors.billing.ledger.payouts.store import PAYOUTS as KEPT_PAYOUTS
from promptforge.actors.billing.ledger.runs import PREFIX, close_key, reserve_key
from promptforge.actors.billing.ledger.sales.domain import purchase_key, refund_key
from promptforge.actors.billing.ledger.sales.store import SALES
from promptforge.actors.billing.ledger.store import JOURNALS, LEGS, PARTNERS, USERS
from promptforge.actors.billing.ledger.topups.store import TOPUPS
from promptforge.actors.billing.money.store import MoneyStore
from promptforge.actors.billing.payouts.store import PAYOUTS
from promptforge.core.mongo import Document, Mongo, Rows, Session, run_transaction

PURCHASES = "purchases"
MODEL_RUNS = "model_runs"
_LEG_FIELDS = dict.fromkeys(("journal_id", "user_id", "account", "amount", "lot", "source", "created_at"), 1)
_PAYOUT_FIELDS = dict.fromkeys(("user_id", "state", "amount", "money", "reversed_money"), 1)
_PENDING: Document = {
    "lot": {"$type": "string"},
    "$or": [{"account": Owed.PENDING.value}, {"account": {"$gte": "partner:", "$lt": "partner;"}}],
}
_GONE: Document = {
    "$regexMatch": {"input": "$journal_id", "regex": f"^{COLLECTED_BY}|^{GIVEN_UP_BY}|^purchase:.*:refund$"}
}
_BATCH = 1000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RefundSeen:
    """`charged`: the purchase's journal is there; `refunded_at`: when its refund was posted; `marked` in the market."""

    purchase_id: str
    charged: bool
    refunded_at: datetime | None
    marked: bool


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
    """A journal that gives something back: a refund, the close of a run, or a claim on `topup` that came to nothing."""

    journal_id: str
    kind: str
    topup: str = ""

    def origins(self) -> list[str]:
        """The journals that it gives back of, by its key; the other claims on its payment are found by their legs."""
        if self.kind == JournalKind.PURCHASE_REFUND:
            return [self.journal_id.removesuffix(":refund")]
        run_id = self.journal_id.rpartition(":")[0].removeprefix(PREFIX)
        if self.kind == JournalKind.RUN_CLOSE:
            return [reserve_key(run_id)]
        return [close_key(run_id), reserve_key(run_id)] if self.kind == JournalKind.RUN_REFUND else [self.journal_id]


class SortedStream:
    """Rows in the order of a textual key, to be walked beside another stream of the same order.

    MongoDB compares text by its UTF-8 bytes, and Python by code points: that is the same order.
    """

    def __init__(self, rows: Rows, key: Callable[[Document], str]) -> None:
        self._rows: AsyncIterator[Document] = aiter(rows.batch_size(_BATCH))
        self._key = key
        self._head: Document | None = None
        self._ended = False

    async def key(self) -> str | None:
        """The next row's key; None at the end."""
        if self._head is None and not self._ended:
            self._head = await anext(self._rows, None)
            self._ended = self._head is None
        return None if self._head is None else self._key(self._head)

    async def take(self, key: str) -> Document | None:
        """The next row, if it has this key."""
        if await self.key() != key:
            return None
        row, self._head = self._head, None
        return row

    async def all_of(self, key: str) -> AsyncIterator[Document]:
        """The rows with this key, one after the other."""
        while (row := await self.take(key)) is not None:
            yield row


async def keys_of(*streams: SortedStream) -> AsyncIterator[str]:
    """Every key of any stream once, in order; the caller takes the rows before going on."""
    while True:
        heads = [key for stream in streams if (key := await stream.key()) is not None]
        if not heads:
            return
        yield min(heads)


class LedgerAudit:
    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._journals = mongo.collection(JOURNALS)
        self._legs = mongo.collection(LEGS)
        self._users = mongo.collection(USERS)
        self._purchases = mongo.collection(PURCHASES)
        self._runs = mongo.collection(MODEL_RUNS)
        self._sales = mongo.collection(SALES)
        self._topups = mongo.collection(TOPUPS)
        self._partners = mongo.collection(PARTNERS)
        self._budgets = mongo.collection(BUDGETS)
        self._kept_payouts = mongo.collection(KEPT_PAYOUTS)
        self._payouts = mongo.collection(PAYOUTS)
        self.money = MoneyStore(mongo)

    def journals(self) -> SortedStream:
        fields = {"kind": 1, "leg_count": 1, "refs.linked": 1, "refs.topup": 1, "refs.budget_id": 1}
        rows = self._journals.find({}, fields).sort([("_id", 1)])
        return SortedStream(rows, itemgetter("_id"))

    def legs_by_journal(self) -> SortedStream:
        rows = self._legs.find({"journal_id": {"$gt": ""}}, _LEG_FIELDS).sort([("journal_id", 1)])
        return SortedStream(rows, itemgetter("journal_id"))

    def legs_without_journal(self) -> Rows:
        """Rows of the service before this one, which were no legs, are marked; they are in no user's legs either."""
        wanted: Document = {"journal_id": None, MARK: {"$exists": False}}
        return self._legs.find(wanted, {"_id": 1}).batch_size(_BATCH)

    def users(self) -> SortedStream:
        rows = self._users.find({}, {"credits": 1}).sort([("_id", 1)])
        return SortedStream(rows, itemgetter("_id"))

    def legs_by_user(self) -> SortedStream:
        """Those of users; the platform's accounts have no stored balance."""
        rows = self._legs.find({"user_id": {"$gt": ""}}, _LEG_FIELDS).sort([("user_id", 1), ("created_at", 1)])
        return SortedStream(rows, itemgetter("user_id"))

    def purchases(self) -> SortedStream:
        return SortedStream(self._purchases.find({}, {"_id": 1}).sort([("_id", 1)]), itemgetter("_id"))

    def purchase_journals(self) -> SortedStream:
        """Keyed by the purchase's id; the prefix of the journal's key does not change the order."""
        rows = self._journals.find({"kind": JournalKind.PURCHASE.value}, {"_id": 1}).sort([("kind", 1), ("_id", 1)])
        return SortedStream(rows, lambda row: row["_id"].removeprefix(purchase_key("")))

    def purchase_refunds(self) -> SortedStream:
        """Keyed by the purchase's id, like `refunded_purchases`; the colon keeps both in one order."""
        return self._keyed_journals(JournalKind.PURCHASE_REFUND, refund_key)

    def refunded_purchases(self) -> SortedStream:
        rows = self._purchases.find({"refunded_at": {"$type": "date"}}, {"_id": 1}).sort([("_id", 1)])
        return SortedStream(rows, lambda row: row["_id"] + ":")

    def sales(self) -> SortedStream:
        fields = {"payable": 1, "granted": 1, "commission": 1}
        return SortedStream(self._sales.find({}, fields).sort([("_id", 1)]), itemgetter("_id"))

    def pending_by_sale(self) -> SortedStream:
        """The legs on sellers' and partners' pending accounts; read from the index alone."""
        rows = self._legs.find(_PENDING, {"_id": 0, "lot": 1, "source": 1, "amount": 1}).sort([("lot", 1)])
        return SortedStream(rows, itemgetter("lot"))

    def topups(self) -> SortedStream:
        return SortedStream(self._topups.find({}).sort([("_id", 1)]), itemgetter("_id"))

    def topup_legs(self) -> SortedStream:
        """What came in and went out at Stripe for each payment."""
        wanted = {"lot": {"$type": "string"}, "account": Platform.TOPUPS.value}
        return SortedStream(self._legs.find(wanted, _LEG_FIELDS).sort([("lot", 1)]), itemgetter("lot"))

    async def partner_ids(self) -> AsyncIterator[str]:
        """Of everybody with commissions, whether that is said by what is stored of them, or by legs alone."""
        partners: Document = {"account": {"$gte": "partner:", "$lt": "partner;"}}
        seen: set[str] = set()
        for rows in (
            self._partners.find({}, {"_id": 1}),
            self._legs.aggregate([{"$match": partners}, {"$group": {"_id": "$account"}}]),
        ):
            async for row in rows:
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
            legs = self._legs.find({"journal_id": journal_id}, _LEG_FIELDS, session=session)
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

    async def account(self, user_id: str, add: Callable[[Document | None, Rows], Awaitable[T]]) -> T:
        """A user and the stream of their legs, handed to `add`, which may run again."""

        async def read(session: Session) -> T:
            user = await self._users.find_one({"_id": user_id}, {"credits": 1}, session=session)
            legs = self._legs.find({"user_id": user_id}, _LEG_FIELDS, session=session).batch_size(_BATCH)
            return await add(user, legs)

        return await run_transaction(self._mongo, read)

    async def purchase(self, purchase_id: str) -> tuple[bool, bool]:
        """Whether the purchase exists, and whether its journal does."""

        async def read(session: Session) -> tuple[bool, bool]:
            purchase = await self._purchases.find_one({"_id": purchase_id}, {"_id": 1}, session=session)
            wanted = {"_id": purchase_key(purchase_id), "kind": JournalKind.PURCHASE.value}
            journal = await self._journals.find_one(wanted, {"_id": 1}, session=session)
            return purchase is not None, journal is not None

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
