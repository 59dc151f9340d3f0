"""Every purchase has exactly one live journal, and what is pending of its sale is what its legs say."""

from __future__ import annotations

from datetime import datetime, timedelta

from promptforge.actors.billing.ledger.audit import LedgerAudit, RefundSeen
from promptforge.actors.billing.ledger.domain import Fund, Owed
from promptforge.actors.billing.ledger.streams import SortedStream, keys_of
from promptforge.actors.billing.messages import Violation
from promptforge.actors.billing.verification.findings import Findings, credits
from promptforge.core.mongo import Document

APPLIED_AFTER = timedelta(hours=1)
"""A dispute takes a sale back at once, and a job tells the marketplace."""


async def verify_purchases(audit: LedgerAudit, findings: Findings) -> None:
    purchases, journals = audit.purchases(), audit.purchase_journals()
    async for purchase_id in keys_of(purchases, journals):
        purchase = await purchases.take(purchase_id)
        journal = await journals.take(purchase_id)
        findings.purchases += purchase is not None
        if _wrong_purchase(purchase_id, purchase, journal):
            findings.add(_wrong_purchase(purchase_id, *await audit.purchase(purchase_id)))


def _wrong_purchase(purchase_id: str, bought: Document | None, charged: Document | None) -> list[Violation]:
    if bought is None or charged is None:
        if bought is not None:
            return [Violation("purchase_without_journal", purchase_id, "it was never charged")]
        if charged is not None:
            return [Violation("journal_without_purchase", purchase_id, "it was charged, and there is no such purchase")]
        return []
    refs = charged["refs"]
    told: dict[str, object] = {"purchase_id": purchase_id, "price": credits(bought.get("price"))}
    told |= {name: bought.get(name) for name in ("buyer_id", "seller_id")}
    return [
        Violation("purchase_differs", purchase_id, f"its {name} is {said}, and {refs.get(name)} was charged")
        for name, said in told.items()
        if refs.get(name) != said
    ]


# Refunds


async def verify_refunds(audit: LedgerAudit, findings: Findings, *, now: datetime) -> None:
    refunds, purchases = audit.purchase_refunds(), audit.refunded_purchases()
    async for key in keys_of(refunds, purchases):
        if (await refunds.take(key) is None) != (await purchases.take(key) is None):
            seen = await audit.refund(key.removesuffix(":"))
            findings.add(_wrong_refund(seen, now))


def _wrong_refund(seen: RefundSeen, now: datetime) -> list[Violation]:
    if seen.refunded_at is None:
        if seen.marked:
            detail = "it is marked as refunded, and the ledger gave nothing back"
            return [Violation("refund_without_journal", seen.purchase_id, detail)]
        return []
    if not seen.charged:
        return [Violation("refund_without_purchase", seen.purchase_id, "it was refunded, and never charged")]
    if not seen.marked and now - seen.refunded_at > APPLIED_AFTER:
        detail = "the ledger took the sale back, and the buyer still has it"
        return [Violation("refund_not_applied", seen.purchase_id, detail)]
    return []


# What is pending of a sale


class _SaleSum:
    def __init__(self, sale_id: str, sale: Document | None) -> None:
        stored = sale or {}
        self._id = sale_id
        self._stored = {name: stored.get(name, 0) for name in ("payable", "granted", "commission")}
        self._legs = {"payable": 0, "granted": 0, "commission": 0}
        self._owners: dict[bool, str | None] = {}
        if sale is not None:
            self._owners = {False: sale.get("seller_id"), True: sale.get("partner_id")}
        self._stranger: str | None = None

    def add(self, leg: Document) -> None:
        names = {Fund.GRANTED.value: "granted", None: "commission"}
        if isinstance(leg.get("amount"), int):  # anything else is reported with its journal
            self._legs[names.get(leg.get("source"), "payable")] += leg["amount"]
        partners = leg["account"] != Owed.PENDING
        whose = leg["account"].split(":")[1] if partners else leg.get("user_id")
        if self._owners.setdefault(partners, whose) != whose:  # of sales without a document, whoever comes first
            self._stranger = self._stranger or str(whose)

    def violations(self) -> list[Violation]:
        found = []
        if self._stranger is not None:
            detail = f"{self._stranger} has something pending of it, who neither sold it nor is its partner"
            found.append(Violation("sale", self._id, detail))
        for name, stored in self._stored.items():
            total = self._legs[name]
            if stored != total or total < 0:
                detail = f"{name} is stored as {credits(stored)} and its legs sum to {credits(total)}"
                found.append(Violation("sale", self._id, detail))
        return found


async def verify_sales(audit: LedgerAudit, findings: Findings) -> None:
    sales, legs = audit.sales(), audit.pending_by_sale()
    async for key in keys_of(sales, legs):
        if (await _summed(key, await sales.take(key), legs)).violations():
            findings.add(await _confirm_sale(audit, key))


async def _summed(sale_id: str, sale: Document | None, legs: SortedStream) -> _SaleSum:
    total = _SaleSum(sale_id, sale)
    async for leg in legs.all_of(sale_id):
        total.add(leg)
    return total


async def _confirm_sale(audit: LedgerAudit, sale_id: str) -> list[Violation]:
    sale, legs = await audit.sale(sale_id)
    total = _SaleSum(sale_id, sale)
    for leg in legs:
        total.add(leg)
    return total.violations()
