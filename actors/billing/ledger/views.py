"""How the ledger is shown."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from promptforge.actors.billing.ledger.domain import Fund, Journal, Owed, PartnerAccount, Platform
from promptforge.actors.billing.ledger.holdings import Holdings, Lot
from promptforge.actors.billing.ledger.messages import CreditLotsView, CreditLotView, LotOrigin
from promptforge.actors.billing.ledger.store import Entry
from promptforge.actors.billing.messages import (
    Charge,
    CreditExpiryView,
    CreditsView,
    TransactionPartView,
    TransactionView,
)
from promptforge.core.amounts import from_millicredits

_NOT_SHOWN = frozenset({"granted_by", "requested_by", "adjustment_id", "referrer_id", "referral_code"})


def credits_view(holdings: Holdings, unfolded: int) -> CreditsView:
    """`unfolded`: the pending legs that are not in the stored balance yet."""
    return CreditsView(
        available=from_millicredits(holdings.available),
        granted=from_millicredits(holdings.granted),
        purchased=from_millicredits(holdings.purchased),
        earned=from_millicredits(holdings.earned),
        pending=from_millicredits(holdings.pending + unfolded),
        reserved=from_millicredits(holdings.reserved),
        debt=from_millicredits(holdings.owes),
        frozen=from_millicredits(holdings.frozen),
        next_expiry=_next_expiry(holdings),
    )


def _next_expiry(holdings: Holdings) -> CreditExpiryView | None:
    """What expires in the same moment is told together."""
    moments = [lot.expires_at for lot in holdings.lots if lot.expires_at is not None]
    if not moments:
        return None
    soonest = min(moments)
    amount = sum(lot.remaining for lot in holdings.lots if lot.expires_at == soonest)
    return CreditExpiryView(from_millicredits(amount), soonest)


def lots_view(holdings: Holdings, origins: Mapping[str, tuple[str, datetime]]) -> CreditLotsView:
    """`origins`: of the journals that the lots are named for."""
    return CreditLotsView(tuple(_lot_view(lot, origins.get(lot.id)) for lot in holdings.lots))


def _lot_view(lot: Lot, came: tuple[str, datetime] | None) -> CreditLotView:
    origin = LotOrigin(came[0]) if came is not None else LotOrigin.SETTLEMENT
    return CreditLotView(
        id=lot.id,
        account=lot.fund.value,
        origin=origin,
        remaining=from_millicredits(lot.remaining),
        frozen=lot.frozen,
        refundable=origin in {LotOrigin.TOPUP, LotOrigin.INVOICE},
        came_at=came[1] if came is not None else None,
        expires_at=lot.expires_at,
    )


def transaction_view(entry: Entry) -> TransactionView:
    """Legs on one account are one part, whatever lots they came from."""
    amounts: dict[str, int] = {}
    for account, amount in entry.legs:
        amounts[account] = amounts.get(account, 0) + amount
    return TransactionView(
        id=entry.id,
        kind=entry.kind,
        amount=from_millicredits(sum(amounts.values())),
        parts=tuple(TransactionPartView(account, from_millicredits(amount)) for account, amount in amounts.items()),
        refs={name: value for name, value in entry.refs.items() if name not in _NOT_SHOWN},
        created_at=entry.created_at,
    )


def charge_of(journal: Journal) -> Charge:
    """What a purchase's journal says of the division of its price. A partner's commission is a part of the fee."""
    return Charge(
        journal_id=journal.id,
        fee_millicredits=sum(leg.amount for leg in journal.legs if isinstance(leg.account, Platform | PartnerAccount)),
        seller_millicredits=sum(leg.amount for leg in journal.legs if leg.account is Owed.PENDING),
        payable_millicredits=journal.total(Owed.PENDING, source=Fund.PURCHASED),
    )
