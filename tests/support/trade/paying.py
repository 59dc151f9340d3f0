"""Money comes in, at once or late, and goes back: top-ups, subscriptions, refunds that may fail, disputes.

Each function does one thing, or nothing where there is nothing to do it to, and answers which. What is done to a charge
is done at any moment: before its credits were granted, after they were spent, after those sales have settled.
"""

from __future__ import annotations

from typing import Any

from tests.support.trade.market import Market, Trader
from tests.support.waiving import WAIVED


def _begin_checkout(market: Market, buyer: Trader) -> str | None:
    answer = market.click(buyer.person, "/billing/checkouts", {"pack_id": "pack_500", **WAIVED})
    if answer.status_code == 201:
        session: str = answer.json()["session_id"]
        return session
    assert answer.status_code in {401, 403, 409}, answer.text  # whose account is closed
    return None


def top_up_with(market: Market, buyer: Trader, **payment: Any) -> str | None:
    """Pay for a pack at once; answers the session."""
    session = _begin_checkout(market, buyer)
    if session is None:
        return None
    with market.till:  # two clicks of one buyer may have been given one page
        if market.at_stripe(f"/checkout/sessions/{session}")["status"] != "open":
            return None
        paid = market.control(f"/checkout/{session}/pay", payment)
    if paid["payment_status"] == "paid":
        market.charges.append(market.charge_of(session))
    elif paid["status"] == "complete":
        market.late.append(session)
    return session


def top_up(market: Market) -> bool:
    buyer = market.rng.choice([*market.buyers, *market.buyers, *market.sellers])
    return top_up_with(market, buyer) is not None


def be_declined(market: Market) -> bool:
    return top_up_with(market, market.rng.choice(market.buyers), outcome="declined") is not None


def pay_late(market: Market) -> bool:
    return top_up_with(market, market.rng.choice(market.buyers), outcome="delayed") is not None


def pay_and_dispute(market: Market) -> bool:
    return top_up_with(market, market.rng.choice(market.buyers), disputed=True) is not None


def settle_late_payment(market: Market) -> bool:
    if not market.late:
        return False
    session = market.late.pop(0)
    succeeds = market.rng.random() < 0.7
    market.control(f"/checkout/{session}/settle", {"succeeds": succeeds})
    if succeeds:
        market.charges.append(market.charge_of(session))
    return True


def refund(market: Market) -> bool:
    """A dollar or all of a payment; some because it was fraud."""
    charge = market.one_of(market.charges)
    if charge is None:
        return False
    asked = {"charge": charge, "reason": "fraudulent" if market.rng.random() < 0.3 else "requested_by_customer"}
    if market.rng.random() < 0.7:
        asked["amount"] = "100"
    return market.stripe.post("/v1/refunds", data=asked).status_code == 200


def fail_refund(market: Market) -> bool:
    """The customer's bank cannot take it: the money comes back to us."""
    standing = [one["id"] for one in market.newest_at_stripe("/refunds") if one["status"] == "succeeded"]
    if not standing:
        return False
    market.control(f"/refunds/{market.rng.choice(standing)}/fail")
    return True


def dispute(market: Market) -> bool:
    """All that is left of a charge, or more than that, where exchange rates have moved; some are inquiries first."""
    charge = market.one_of(market.charges)
    if charge is None or market.at_stripe(f"/charges/{charge}")["disputed"]:
        return False
    asked: dict[str, Any] = {"charge": charge, "inquiry": market.rng.random() < 0.2}
    if market.rng.random() < 0.1:
        asked["amount"] = 510
    elif market.at_stripe(f"/charges/{charge}")["amount_refunded"] == 500:
        return False
    market.control("/disputes", asked)
    return True


def judge_dispute(market: Market) -> bool:
    undecided = [
        one for one in market.newest_at_stripe("/disputes") if one["status"] not in {"won", "lost", "warning_closed"}
    ]
    if not undecided:
        return False
    chosen = market.rng.choice(undecided)
    outcomes = ["escalated", "closed"] if chosen["status"].startswith("warning_") else ["won", "lost"]
    market.control(f"/disputes/{chosen['id']}", {"outcome": market.rng.choice(outcomes)})
    return True


# Subscriptions


def subscribe(market: Market) -> bool:
    buyer = market.rng.choice(market.buyers)
    answer = market.click(buyer.person, "/billing/subscriptions", {"plan_id": "monthly_1000", **WAIVED})
    if answer.status_code != 201 or not answer.json()["url"]:
        assert answer.status_code in {201, 409}, answer.text
        return False
    page = answer.json()["url"].rpartition("/")[2]
    with market.till:
        if market.at_stripe(f"/checkout/sessions/{page}")["status"] != "open":
            return False
        paid = market.control(f"/checkout/{page}/pay")
        market.subscriptions.append(paid["subscription"])
    _know_charge(market, paid["invoice"])
    return True


def _know_charge(market: Market, invoice: str) -> None:
    for one in market.newest_at_stripe("/invoice_payments", invoice=invoice):
        intent = market.at_stripe(f"/payment_intents/{one['payment']['payment_intent']}")
        market.charges.append(intent["latest_charge"])


def renew(market: Market) -> bool:
    """The next month begins; some payments of it are declined, and the subscription is past due."""
    chosen = _going_on(market)
    if chosen is None:
        return False
    answer = market.control(f"/subscriptions/{chosen}/advance", {"declined": market.rng.random() < 0.3})
    if answer["status"] == "active":
        _know_charge(market, answer["latest_invoice"])
    return True


def pay_open_invoice(market: Market) -> bool:
    """What was declined is paid after all."""
    invoices = market.newest_at_stripe("/invoices", status="open")
    if not invoices:
        return False
    return market.stripe.post(f"/v1/invoices/{market.rng.choice(invoices)['id']}/pay").status_code == 200


def end_with_period(market: Market) -> bool:
    """By the subscriber, here; it ends when the next month would begin."""
    buyer = market.rng.choice(market.buyers)
    mine = market.get(buyer.person, "/billing/subscriptions")["items"]
    if not mine:
        return False
    answer = market.click(buyer.person, f"/billing/subscriptions/{mine[0]['id']}/cancel")
    assert answer.status_code in {200, 409}, answer.text
    return answer.status_code == 200


def end_now(market: Market) -> bool:
    """In Stripe's portal."""
    chosen = _going_on(market)
    return chosen is not None and market.stripe.delete(f"/v1/subscriptions/{chosen}").status_code == 200


def _going_on(market: Market) -> str | None:
    chosen = market.one_of(market.subscriptions)
    if chosen is None or market.at_stripe(f"/subscriptions/{chosen}")["status"] == "canceled":
        return None
    found: str = chosen
    return found
