"""What the service believes, beside what Stripe's sandbox holds: one by one, so that nothing is set off.

It is for a market at rest. What is told here is worked out from Stripe's objects and from what people were told; of the
product's rules only the arithmetic is repeated: a credit is a cent, and a claim takes its share, rounded up.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import anyio

from promptforge.actors.billing import CompareMoney, MoneyActor
from promptforge.actors.billing.events.checkouts import CheckoutEvents
from promptforge.actors.billing.events.claims import DisputeEvents, RefundEvents
from promptforge.actors.billing.events.subscriptions import InvoiceEvents, SubscriptionEvents
from promptforge.actors.billing.money.store import MoneyStore
from promptforge.actors.billing.payouts.events import TransferEvents
from promptforge.actors.billing.stripe.api import StripeApi
from promptforge.actors.billing.stripe.movements import StripeMoney
from promptforge.core.mongo import EmbeddedMongod, Mongo
from tests.support.processes import job_process
from tests.support.running import verified_ledger
from tests.support.service import DATABASE
from tests.support.trade.beside import API_KEY
from tests.support.trade.market import Market

Row = dict[str, Any]  # Any: JSON
PACK = {"pack_500": 500_000}
PLAN = 1_050_000
"""Millicredits of `monthly_1000`, its bonus included."""
OF_A_MONTH = {"subscription_create", "subscription_cycle"}
MATTER = frozenset[str]().union(
    *(one.types for one in (CheckoutEvents, DisputeEvents, InvoiceEvents, RefundEvents, SubscriptionEvents)),
    TransferEvents.types,
)
"""Types of the platform's events that something here depends on."""
UNHANDLED = {"received", "failed", "dead"}


@dataclass(slots=True)
class Stripe:
    """All that the sandbox holds of the platform's, read once."""

    sessions: list[Row]
    invoices: list[Row]
    charges: dict[str, Row]
    refunds: list[Row]
    disputes: list[Row]
    transfers: list[Row]
    reversals: list[Row]
    subscriptions: list[Row]
    movements: list[Row]
    events: list[Row]
    paid_for: dict[str, str] = field(default_factory=dict)
    """Charge → the journal that it is for."""

    @classmethod
    def read(cls, market: Market) -> Stripe:
        everything = market.all_at_stripe
        transfers = everything("/transfers")
        reversed_ones = [one for one in transfers if one["amount_reversed"]]
        found = cls(
            sessions=everything("/checkout/sessions"),
            invoices=everything("/invoices"),
            charges={one["id"]: one for one in everything("/charges")},
            refunds=everything("/refunds"),
            disputes=everything("/disputes"),
            transfers=transfers,
            reversals=[
                reversal for one in reversed_ones for reversal in everything(f"/transfers/{one['id']}/reversals")
            ],
            subscriptions=everything("/subscriptions", status="all"),
            movements=everything("/balance_transactions"),
            events=everything("/events"),
        )
        intents = {one["payment_intent"]: f"topup:{one['id']}" for one in found.sessions if one["payment_intent"]}
        for payment in everything("/invoice_payments"):
            intents.setdefault(payment["payment"]["payment_intent"], f"invoice:{payment['invoice']}")
        found.paid_for = {
            charge["id"]: intents[charge["payment_intent"]]
            for charge in found.charges.values()
            if charge["payment_intent"] in intents and charge["status"] == "succeeded"
        }
        return found


class Reckoning:
    """`check` raises `AssertionError` for the first subject on which both sides do not agree, with all differences."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._database = market.database
        self._stripe = Stripe.read(market)

    def check(self) -> None:
        self.events()
        self.payments()
        self.claims()
        self.subscriptions()
        self.payouts()
        self.gifts()
        self.sales()
        self.people()
        self.money()

    def events(self) -> None:
        """Each event of a type that matters is here, once, and finished."""
        stored = {row["event_id"]: row["state"] for row in self._database["webhook_events"].find({}, _STATE)}
        unfinished = {key: state for key, state in stored.items() if state in UNHANDLED or state == "quarantined"}
        assert not unfinished, self._reasons(unfinished)
        missing = [one["id"] for one in self._stripe.events if one["type"] in MATTER and one["id"] not in stored]
        assert not missing, f"events that never arrived: {missing}"

    def _reasons(self, keys: dict[str, str]) -> list[tuple[str, str, str | None]]:
        rows = self._database["webhook_events"].find({"event_id": {"$in": list(keys)}})
        return [(row["type"], row["state"], row["reason"]) for row in rows]

    def payments(self) -> None:
        """Each paid session and each paid month has brought its credits once, and nothing else has."""
        paid = {
            f"topup:{one['id']}": PACK["pack_500"]
            for one in self._stripe.sessions
            if one["mode"] == "payment" and one["payment_status"] == "paid"
        }
        paid |= {
            f"invoice:{one['id']}": PLAN
            for one in self._stripe.invoices
            if one["status"] == "paid" and one["billing_reason"] in OF_A_MONTH
        }
        _same("payments", paid, {key: -self._of(key, "stripe:topups") for key in self._journals("topup", "invoice")})

    def claims(self) -> None:
        """Of each payment so many credits are taken back as its refunds and disputes make, together, and no more."""
        claimed: dict[str, int] = defaultdict(int)
        standing: dict[str, bool] = {}
        for refund in self._stripe.refunds:
            stands = refund["status"] not in {"failed", "canceled"}
            standing[refund["id"]] = stands
            claimed[refund["charge"]] += refund["amount"] if stands else 0
        for dispute in self._stripe.disputes:
            moved = sum(one["amount"] for one in dispute["balance_transactions"])
            stands = moved < 0
            standing[dispute["id"]] = stands
            claimed[dispute["charge"]] += dispute["amount"] if stands else 0
        expected, stored = {}, {}
        for charge_id, money in claimed.items():
            charge, key = self._stripe.charges[charge_id], self._stripe.paid_for[charge_id]
            given = -self._of(key, "stripe:topups")
            expected[key] = min(given, -(-given * money // charge["amount_captured"]))
            stored[key] = self._lot(key) + given
        _same("credits taken back", expected, stored)
        rows = self._database["ledger_topups"].find()
        known = {claim["id"]: claim["stands"] for row in rows for claim in row["claims"]}
        heard = {key: known.get(key, False) for key in standing}
        _same("refunds and disputes", standing, heard)
        assert known.keys() <= standing.keys(), known.keys() - standing.keys()
        self._disputes()

    def _disputes(self) -> None:
        undecided = {
            one["id"]
            for one in self._stripe.disputes
            if one["status"] not in {"won", "lost"} and not one["status"].startswith("warning_")
        }
        frozen = {key for row in self._database["ledger_topups"].find() for key in row["frozen_by"]}
        assert frozen == undecided, frozen ^ undecided

    def subscriptions(self) -> None:
        stored = {
            row["stripe_id"]: row["state"]
            for row in self._database["subscriptions"].find({"stripe_id": {"$type": "string"}})
        }
        _same("subscriptions", {one["id"]: one["status"] for one in self._stripe.subscriptions}, stored)

    def payouts(self) -> None:
        """Each payout that was sent is one transfer, and there is no other one; what came back of it is known."""
        rows = {row["_id"]: row for row in self._database["payouts"].find()}
        sent = {key: row for key, row in rows.items() if row["state"] in {"sent", "reversed"}}
        transfers = {one["transfer_group"].removeprefix("payout:"): one for one in self._stripe.transfers}
        assert len(transfers) == len(self._stripe.transfers), "two transfers for one payout"
        told = {
            key: (row["transfer_id"], row["money"], row["reversed_money"], row["account_id"])
            for key, row in sent.items()
        }
        held = {
            key: (one["id"], one["amount"], one["amount_reversed"], one["destination"])
            for key, one in transfers.items()
        }
        _same("transfers", held, told)
        back = sum(one["amount"] for one in self._stripe.reversals)
        gone = sum(one["amount"] for one in transfers.values()) - back
        assert self._sum("stripe:payouts") == 1000 * gone
        assert {row["state"] for row in rows.values()} <= {"sent", "reversed", "cancelled", "returned", "sending"}
        assert self._market.told.payouts == rows.keys(), self._market.told.payouts ^ rows.keys()
        lost = [key for key in self._market.told.cancelled if rows[key]["state"] != "cancelled"]
        assert not lost, f"payouts that were cancelled, and went on: {lost}"

    def gifts(self) -> None:
        """No gift has left for a bank, and each was given once."""
        to_gina = [one for one in self._stripe.transfers if one["destination"] == self._market.gina.account]
        assert not to_gina, "gifts were paid out"
        given: Counter[str] = Counter()
        for row in self._database["transactions"].find({"journal_id": {"$regex": "^grant:"}, "account": "granted"}):
            given[row["user_id"]] += row["amount"]
        _same("gifts", {user: 1000 * credits for user, credits in self._market.told.grants.items()}, dict(given))
        earned = self._sum("earned", {"journal_id": {"$regex": "^settle:"}})
        gone = sum(one["amount"] - one["amount_reversed"] for one in self._stripe.transfers)
        assert 1000 * gone <= earned, "more went to banks than sales have earned"

    def sales(self) -> None:
        """Each purchase that somebody was told of is there, and no other; so is each refund and compensation."""
        rows = {row["_id"]: row for row in self._database["purchases"].find()}
        assert rows.keys() == self._market.told.purchases, rows.keys() ^ self._market.told.purchases
        refunded = {key for key, row in rows.items() if row.get("refunded_at")}
        assert self._market.told.refunded <= refunded, self._market.told.refunded - refunded
        journals = {key.split(":")[1] for key in self._journals("purchase_refund")}
        assert journals == refunded, journals ^ refunded
        compensated = {key.split(":")[1] for key in self._journals("compensation")}
        assert compensated == self._market.told.compensated, compensated ^ self._market.told.compensated

    def people(self) -> None:
        """Whoever left is gone, unless something keeps them, which they were told."""
        rows = {row["_id"]: row for row in self._database["account_deletions"].find()}
        assert rows.keys() == self._market.told.leaving
        kept = {key for key, row in rows.items() if row["state"] not in {"done", "forgotten", "erased"}}
        assert all(rows[key]["obstacles"] for key in kept), [rows[key] for key in kept]

    def money(self) -> None:
        """Each movement at Stripe is posted once, and the sums are Stripe's balance."""
        stored = {
            row["_id"]: (row["kind"], row["net"], row["source"]) for row in self._database["money_journals"].find()
        }
        moved = {one["id"]: (one["reporting_category"], one["net"], one["source"]) for one in self._stripe.movements}
        _same("movements", moved, stored)
        by_source: dict[str, int] = defaultdict(int)
        for kind, net, source in stored.values():
            if kind in {"transfer", "transfer_reversal"}:
                by_source[source] += net
        sent = {one["id"]: -one["amount"] for one in self._stripe.transfers}
        sent |= {one["id"]: one["amount"] for one in self._stripe.reversals}
        _same("transfers and reversals in the ledger of money", sent, dict(by_source))
        assert self._sum("stripe:payouts") == -1000 * sum(by_source.values())

    # The ledger

    def _journals(self, *kinds: str) -> set[str]:
        return {
            row["_id"] for row in self._database["ledger_journals"].find({"kind": {"$in": list(kinds)}}, {"_id": 1})
        }

    def _of(self, journal: str, account: str) -> int:
        return self._sum(account, {"journal_id": journal})

    def _lot(self, lot: str) -> int:
        """What a payment has brought, less what was taken back of it, below zero."""
        return self._sum("stripe:topups", {"lot": lot})

    def _sum(self, account: str, wanted: Row | None = None) -> int:
        match = {"account": account, **(wanted or {})}
        rows = self._database["transactions"].aggregate(
            [{"$match": match}, {"$group": {"_id": None, "sum": {"$sum": "$amount"}}}]
        )
        return next((row["sum"] for row in rows), 0)


_STATE = {"event_id": 1, "state": 1, "type": 1}


def _same(what: str, expected: dict[str, Any], found: dict[str, Any]) -> None:
    keys = sorted(expected.keys() | found.keys())
    different = {key: (expected.get(key), found.get(key)) for key in keys if expected.get(key) != found.get(key)}
    assert not different, f"{what} (expected, found): {different}"


async def _post_money(url: str, stripe_url: str) -> bool:
    """What a service does beside Stripe's own; beside a sandbox it posts nothing, for sandboxes forget."""
    mongo, api = await Mongo.connect(url, DATABASE), StripeApi(API_KEY, api_base=stripe_url)
    actor = MoneyActor(MoneyStore(mongo), StripeMoney(api))
    async with job_process(mongo, [actor], running=False) as process:
        equal = await process.context().ask(CompareMoney())
    await api.close()
    mongo.close()
    return equal


def check(market: Market) -> None:
    """The ledger verifies, by the service and by the command line, and agrees with Stripe and with what people know."""
    assert market.operator.get("/jobs?state=dead")["items"] == []
    report = verified_ledger(market.operator)
    assert (report["ok"], report["violations"]) == (True, [])
    server = EmbeddedMongod.start(market.service.mongo_directory)
    try:
        equal = anyio.run(_post_money, server.url, str(market.stripe.base_url).rstrip("/"))
    finally:
        server.stop()
    assert equal, "Stripe's balance is another one"
    Reckoning(market).check()
    verified = market.service.command("ledger", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
