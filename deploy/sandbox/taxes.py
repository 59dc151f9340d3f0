"""Who buys, and the tax that comes on top where a session asks for automatic tax: a little table, not tax advice."""

from __future__ import annotations

from dataclasses import dataclass

from promptforge.deploy.sandbox.refusals import Object

PERCENT = {"AT": 20, "AU": 10, "CH": 8, "DE": 19, "ES": 21, "FR": 20, "GB": 20, "IT": 22, "JP": 10, "NL": 21, "US": 0}
"""Whole percent by country; elsewhere there is no tax."""


@dataclass(frozen=True, slots=True)
class Buyer:
    """`card`: what is paid with the same one has the same fingerprint; without one each session has its own."""

    country: str = "US"
    email: str | None = None
    name: str | None = None
    card: str | None = None


def apply(session: Object, buyer: Buyer) -> None:
    """Write the buyer's details into a session and, where it asks for that, the tax."""
    address = {"country": buyer.country, "city": None, "line1": None, "line2": None, "postal_code": None, "state": None}
    email = buyer.email or session["customer_email"]
    session["customer_details"] = {
        "address": address, "business_name": None, "email": email, "individual_name": None, "name": buyer.name,
        "phone": None, "tax_exempt": "none", "tax_ids": [],
    }  # fmt: skip
    if not session["automatic_tax"]["enabled"]:
        return
    tax = session["amount_subtotal"] * PERCENT.get(buyer.country, 0) // 100
    session["automatic_tax"] = {**session["automatic_tax"], "provider": "stripe", "status": "complete"}
    session["total_details"] = {**session["total_details"], "amount_tax": tax}
    session["amount_total"] = session["amount_subtotal"] + tax
