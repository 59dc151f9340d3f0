"""Money goes out: payouts that are sent, cancelled, held or refused; transfers are reversed, and banks paid."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import httpx

from promptforge.actors.billing.messages import ProcessStripeEvent
from promptforge.actors.billing.payouts.messages import SendPayout
from tests.support.trade.market import Market, Trader
from tests.support.trade.selling import buy_from

WAIT_SECONDS = 6.0


def request_payout(market: Market, seller: Trader, credits: int) -> str | None:
    answer = market.click(seller.person, "/billing/payouts", {"amount": str(credits)})
    if answer.status_code not in {200, 201}:
        assert answer.status_code in {402, 409}, answer.text
        return None
    payout: str = answer.json()["id"]
    market.told.payouts.add(payout)
    return payout


def cash_out(market: Market) -> bool:
    return request_payout(market, market.rng.choice(market.sellers), market.rng.randint(1, 8)) is not None


def cancel(market: Market, seller: Trader, payout: str) -> bool:
    answer = market.click(seller.person, f"/billing/payouts/{payout}/cancel")
    assert answer.status_code in {200, 409}, answer.text
    if answer.status_code == 200:
        market.told.cancelled.add(payout)
    return answer.status_code == 200


def cash_out_and_cancel(market: Market) -> bool:
    """At once: whoever sends it may have been faster."""
    seller = market.rng.choice(market.sellers)
    payout = request_payout(market, seller, market.rng.randint(1, 8))
    return payout is not None and cancel(market, seller, payout)


def hold_and_release(market: Market) -> bool:
    """By an operator."""
    payout = request_payout(market, market.rng.choice(market.sellers), market.rng.randint(1, 8))
    if payout is None:
        return False
    held = market.click(market.operator, f"/ops/payouts/{payout}/hold", {"reason": "It looks odd"})
    assert held.status_code in {200, 409}, held.text
    if held.status_code == 200:
        market.click(market.operator, f"/ops/payouts/{payout}/release", {"reason": "It is in order"})
    return held.status_code == 200


def cash_gifts_out(market: Market) -> bool:
    """Gina has earned nothing but gifts."""
    answer = market.click(market.gina.person, "/billing/payouts", {"amount": "1"})
    assert answer.status_code in {402, 409}, f"gifts are paid out: {answer.text}"
    return True


def cash_out_family(market: Market) -> bool:
    """What was not withheld in time."""
    return request_payout(market, market.fanny, 1) is not None


def be_refused(market: Market) -> bool:
    """Stripe is busy when Rita's payout is sent, and wants more details of her when it is sent again."""
    rita = market.rita
    buy_from(market, market.rng.choice(market.buyers), rita)
    if len(rita.listings) < 4:
        market.list_one(rita)
    market.trigger("settle-sales")
    market.control("/faults", {"operation": "transfers.create", "kind": "rate_limit", "times": 2})
    payout = request_payout(market, rita, 1)
    if payout is None:
        return False
    state = _becomes(market, rita, payout, lambda state: state != "requested")
    if state == "sending":
        market.control(f"/accounts/{rita.account}/require")
        state = _becomes(market, rita, payout, lambda state: state not in {"sending", "requested"})
    market.control(f"/accounts/{rita.account}/onboard")
    if state == "requested":
        cancel(market, rita, payout)
    return state == "returned"


def _becomes(market: Market, seller: Trader, payout: str, wanted: Callable[[str], bool]) -> str:
    until = time.monotonic() + WAIT_SECONDS
    state = "requested"
    while time.monotonic() < until:
        state = market.get(seller.person, f"/billing/payouts/{payout}")["state"]
        if wanted(state):
            break
        hasten(market, SendPayout.message_kind)
        time.sleep(0.1)
    return state


def hasten(market: Market, *kinds: str) -> bool:
    """An operator has what waits for its time run now; may be lost with the process."""
    for kind in kinds or (SendPayout.message_kind, ProcessStripeEvent.message_kind):
        with contextlib.suppress(httpx.HTTPError):
            market.operator.client.post("/jobs/bulk", json={"action": "retry", "state": "available", "kind": kind})
    return True


def hasten_all(market: Market) -> bool:
    return hasten(market)


# At Stripe


def reverse_transfer(market: Market) -> bool:
    """In Stripe's dashboard, in part or whole; Stripe refuses where the money is at the bank already."""
    standing = [one for one in market.newest_at_stripe("/transfers") if not one["reversed"]]
    if not standing:
        return False
    transfer = market.rng.choice(standing)
    left = transfer["amount"] - transfer["amount_reversed"]
    amount = left if market.rng.random() < 0.5 else market.rng.randint(1, left)
    answer = market.stripe.post(f"/v1/transfers/{transfer['id']}/reversals", data={"amount": str(amount)})
    return answer.status_code == 200


def pay_bank(market: Market) -> bool:
    """Stripe pays a seller's bank, or cannot."""
    account = market.rng.choice(market.cashiers).account
    outcome = market.rng.choice(["paid", "failed", "pending"])
    answer = market.stripe.post(f"/_sandbox/accounts/{account}/payout", json={"outcome": outcome})
    return answer.status_code == 200
