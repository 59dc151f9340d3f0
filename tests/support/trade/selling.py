"""Credits change hands: sales, refunds and settlement, gifts and their expiry; relatives, partners, and leaving."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.partner_setups import APPLICATION
from tests.support.running import Person
from tests.support.trade.market import PRICE, Market, Trader
from tests.support.trade.paying import top_up_with

FAMILY_CARD = "the family's"


def buy_from(market: Market, buyer: Trader, seller: Trader) -> bool:
    """Something that they do not have yet; the seller lists more where they have nearly everything."""
    wanted = [listing for listing in seller.listings if listing not in buyer.bought]
    if not wanted:
        return False
    listing = market.rng.choice(wanted)
    path = f"/marketplace/listings/{listing}/purchases"
    answer = market.click(buyer.person, path, {"expected_price": str(PRICE)})
    if answer.status_code != 201:
        assert answer.status_code in {401, 402, 403, 409}, answer.text
        return False
    purchase = answer.json()["id"]
    buyer.bought[listing] = purchase
    market.told.purchases.add(purchase)
    return True


def buy(market: Market) -> bool:
    return buy_from(market, market.rng.choice(market.buyers), market.rng.choice(market.sellers))


def list_more(market: Market) -> bool:
    """Where somebody has bought nearly all."""
    seller = market.rng.choice(market.sellers)
    most = max(sum(listing in buyer.bought for listing in seller.listings) for buyer in market.buyers)
    if most < len(seller.listings) - 3:
        return False
    market.list_one(seller)
    return True


def ask_for_refund(market: Market) -> bool:
    """Unused, it comes at once; of what was used a moderator decides."""
    buyer = market.rng.choice([*market.buyers, *market.gifted])
    purchase = market.one_of(tuple(buyer.bought.values()))
    if purchase is None:
        return False
    if market.rng.random() < 0.4:
        market.request(buyer.person, "GET", f"/marketplace/purchases/{purchase}")  # which uses it
    path = f"/marketplace/purchases/{purchase}/refund"
    answer = market.click(buyer.person, path, {"words": "It does not do what I hoped."})
    assert answer.status_code in {200, 404, 409}, answer.text
    if answer.status_code == 200 and answer.json()["refund"]["state"] == "refunded":
        market.told.refunded.add(purchase)
    return answer.status_code == 200


def decide_refund(market: Market) -> bool:
    case, granted = _decided(
        market, market.moderator, "refund", ("refund", "does_not_work"), ("dismiss", "outside_policy")
    )
    if granted and case is not None:
        market.told.refunded.add(case["purchase_id"])
    return case is not None


def appeal_refund(market: Market) -> bool:
    """A seller has a refund that a moderator granted looked at again: most give back what a sale had brought them."""
    seller = market.rng.choice([*market.sellers, market.gina])
    sales = market.get(seller.person, "/marketplace/sales?limit=100")["items"]
    sale = market.one_of([one["id"] for one in sales if one["ruling"] and not one["ruling"]["appealed_at"]])
    if sale is None:
        return False
    path = f"/marketplace/sales/{sale}/refund/appeal"
    answer = market.click(seller.person, path, {"words": "It does what it says."})
    assert answer.status_code in {200, 409}, answer.text
    return answer.status_code == 200


def decide_appeal(market: Market) -> bool:
    """By another moderator. A payment that is gone by then gives nobody anything back."""
    case, granted = _decided(
        market, market.second, "sale_appeal", ("compensate", "mistaken"), ("refund", "does_not_work"), likely=0.8
    )
    if granted and case is not None:
        market.told.compensated.add(case["purchase_id"])
    return case is not None


def _decided(
    market: Market,
    moderator: Person,
    kind: str,
    grant: tuple[str, str],
    refuse: tuple[str, str],
    *,
    likely: float = 0.6,
) -> tuple[dict[str, Any] | None, bool]:
    """The case that was decided, if there was any, and whether it was granted."""
    with market.bench:
        waiting = market.get(moderator, f"/moderation/cases?limit=100&kind={kind}")["items"]
        if not waiting:
            return None, False
        case = market.rng.choice(waiting)
        market.click(moderator, f"/moderation/cases/{case['id']}/claim")
        granted = market.rng.random() < likely
        verdict, reason = grant if granted else refuse
        decision = {"decision": verdict, "reason_code": reason, "public_note": "It was looked at."}
        answer = market.click(moderator, f"/moderation/cases/{case['id']}/decision", decision)
        assert answer.status_code in {200, 409}, answer.text
        return (case, granted) if answer.status_code == 200 else (None, False)


def settle(market: Market) -> bool:
    market.trigger("settle-sales")
    return True


# Gifts


def give(market: Market, trader: Trader, credits: int) -> bool:
    body = {"amount": str(credits), "reason": "A promotion"}
    answer = market.click(market.admin, f"/users/{trader.id}/grants", body)
    assert answer.status_code == 201, answer.text
    market.told.grants[trader.id] += credits
    return True


def promote(market: Market) -> bool:
    """A gift, so that a sale is paid in part with one."""
    return give(market, market.rng.choice(market.buyers), market.rng.randint(1, 4))


def buy_with_gifts(market: Market) -> bool:
    """From Gina, by somebody who has nothing else."""
    buyer = market.rng.choice(market.gifted)
    if not (set(market.gina.listings) - buyer.bought.keys()):
        buyer = market.trader("gifted")
        market.gifted.append(buyer)
    give(market, buyer, PRICE)
    return buy_from(market, buyer, market.gina)


def expire_gifts(market: Market) -> bool:
    """A year has passed for some of the gifts: their day is moved, in the books and where it is read."""
    past, users = datetime.now(UTC) - timedelta(seconds=1), market.database["users"]
    wanted = {"credits.lots": {"$elemMatch": {"expires_at": {"$gt": past}, "remaining": {"$gt": 0}}}}
    rows = list(users.find(wanted, {"credits.lots": 1}))
    if not rows:
        return False
    row = market.rng.choice(rows)
    lots = [lot["lot"] for lot in row["credits"]["lots"] if lot.get("expires_at", past) > past]
    moved = {"$set": {"credits.lots.$[one].expires_at": past}}
    users.update_one({"_id": row["_id"]}, moved, array_filters=[{"one.lot": market.rng.choice(lots)}])
    market.trigger("expire-gifts")
    return True


# Relatives


def turn_out_related(market: Market) -> bool:
    """Somebody buys from Fanny, and pays with her card once that sale has settled."""
    if not market.done["turn_out_related"]:
        top_up_with(market, market.fanny, card=FAMILY_CARD)
    relative = market.trader("relative")
    session = top_up_with(market, relative)
    if session is None or not _has_credits(market, relative) or not buy_from(market, relative, market.fanny):
        return False
    earned = _earned(market, market.fanny)
    for _ in range(20):
        market.trigger("settle-sales")
        if market.stop.wait(0.2) or _earned(market, market.fanny) > earned:
            break
    top_up_with(market, relative, card=FAMILY_CARD)
    return True


def _has_credits(market: Market, trader: Trader) -> bool:
    for _ in range(100):
        if float(market.get(trader.person, "/users/me/credits")["available"]) >= PRICE:
            return True
        if market.stop.wait(0.1):
            break
    return False


def _earned(market: Market, trader: Trader) -> float:
    return float(market.get(trader.person, "/users/me/credits")["earned"])


# Partners and leaving


def refer(market: Market) -> bool:
    """Somebody whom a partner has sent buys; some partners leave before that sale's commission is theirs."""
    partner, referred = market.trader("partner"), market.trader("referred")
    partnership = market.must(partner.person, "/partnerships", APPLICATION)["id"]
    version = market.get(market.admin, f"/partnerships/{partnership}/review")["partnership"]["version"]
    approval = {"version": version, "decision": "approve", "reason_code": "good_fit", "note": "Welcome."}
    market.must(market.admin, f"/partnerships/{partnership}/decision", {**approval, "commission_bp": 300})
    code = f"code-{partner.id.removeprefix('usr_')}"
    market.must(partner.person, f"/partnerships/{partnership}/codes", {"code": code})
    touch = market.must(referred.person, "/partnerships/clicks", {"code": code})
    market.must(referred.person, "/partnerships/attribution", {"tokens": [touch["token"]]})
    if top_up_with(market, referred) is None or not _has_credits(market, referred):
        return False
    if not buy_from(market, referred, market.rng.choice(market.sellers)):
        return False
    if market.rng.random() < 0.5:
        return ask_to_leave(market, partner)
    market.trigger("settle-sales")
    return True


def leave(market: Market) -> bool:
    """Somebody who has paid, and perhaps bought, has their account deleted; their payment may be disputed later."""
    leaver = market.trader("leaver")
    if top_up_with(market, leaver) is None or not _has_credits(market, leaver):
        return False
    if market.rng.random() < 0.7:
        buy_from(market, leaver, market.rng.choice(market.sellers))
    return ask_to_leave(market, leaver)


def ask_to_leave(market: Market, leaver: Trader) -> bool:
    """Something may keep them: a dispute, what they owe."""
    answer = market.request(leaver.person, "DELETE", "/users/me?give_up_credits=true")
    assert answer.status_code in {202, 401, 403, 409}, answer.text
    if answer.status_code != 409:  # they have left: an answer was lost, and it was asked again
        market.told.leaving.add(leaver.id)
    market.trigger("close-accounts")
    return answer.status_code == 202
