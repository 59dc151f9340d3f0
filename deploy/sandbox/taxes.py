"""Who buys, and the tax that comes on top where a session asks for automatic tax: a little table, not tax advice."""

from __future__ import annotations

from dataclasses import dataclass

from promptforge.deploy.sandbox.operations import Operations
from promptforge.deploy.sandbox.refusals import Object, declined_by_rule
from promptforge.deploy.sandbox.world import Call, World

operations = Operations()
PERCENT = {"AT": 20, "AU": 10, "CH": 8, "DE": 19, "ES": 21, "FR": 20, "GB": 20, "IT": 22, "JP": 10, "NL": 21, "US": 0}
"""Whole percent by country; elsewhere there is no tax."""


@dataclass(frozen=True, slots=True)
class Buyer:
    """`card`: what is paid with the same one has the same fingerprint; without one each session has its own.

    `card_country`: where the card was issued, if not where the buyer lives.
    """

    country: str = "US"
    email: str | None = None
    name: str | None = None
    card: str | None = None
    card_country: str | None = None

    @property
    def address(self) -> Object:
        return {
            "country": self.country, "city": None, "line1": None, "line2": None, "postal_code": None, "state": None,
        }  # fmt: skip


def check(session: Object, customer: Object | None, updates: Object) -> None:
    """Where a customer lives must be known, or be asked for on the page. Raises `Refused`."""
    known = customer is None or customer["address"] or updates.get("address") == "auto"
    if session["automatic_tax"]["enabled"] and not known:
        raise declined_by_rule(
            "Automatic tax calculation in Checkout requires a valid address on the Customer. Add a valid address to "
            "the Customer or set either `customer_update[address]` to 'auto' or `customer_update[shipping]` to 'auto'.",
            code="customer_tax_location_invalid",
        )


def apply(world: World, session: Object, buyer: Buyer) -> None:
    """Write the buyer's details into a session and, where it asks for that, the tax."""
    email = buyer.email or session["customer_email"]
    session["customer_details"] = {
        "address": buyer.address, "business_name": None, "email": email, "individual_name": None, "name": buyer.name,
        "phone": None, "tax_exempt": "none", "tax_ids": [],
    }  # fmt: skip
    if not session["automatic_tax"]["enabled"]:
        return
    taxes = [_tax(world, session["amount_subtotal"], buyer.country)]
    tax = sum(one["amount"] for one in taxes)
    session["automatic_tax"] = {**session["automatic_tax"], "provider": "stripe", "status": "complete"}
    session["total_details"] = {**session["total_details"], "amount_tax": tax}
    session["amount_total"] = session["amount_subtotal"] + tax
    session["_taxes"] = taxes


def _tax(world: World, subtotal: int, country: str) -> Object:
    """As an invoice shows it."""
    percent = PERCENT.get(country, 0)
    return {
        "amount": subtotal * percent // 100,
        "tax_behavior": "exclusive",
        "tax_rate_details": {"tax_rate": _rate(world, country, percent)["id"]},
        "taxability_reason": "standard_rated" if percent else "not_collecting",
        "taxable_amount": subtotal if percent else 0,
        "type": "tax_rate_details",
    }


def _rate(world: World, country: str, percent: int) -> Object:
    for known in world.newest_first("tax_rate"):
        if known["country"] == country:
            return known
    return world.add(
        {
            "id": world.new_id("txr"),
            "object": "tax_rate",
            "active": False,
            "country": country,
            "created": world.now(),
            "description": None,
            "display_name": "VAT",
            "effective_percentage": float(percent),
            "flat_amount": None,
            "inclusive": False,
            "jurisdiction": country,
            "jurisdiction_level": "country",
            "livemode": False,
            "metadata": {},
            "percentage": float(percent),
            "rate_type": "percentage",
            "state": None,
            "tax_type": "vat",
        }
    )


@operations.get("/tax_rates/{id}", "tax_rates.retrieve")
def retrieve_rate(call: Call) -> Object:
    return call.get("tax_rate")
