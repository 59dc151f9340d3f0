"""Who gets what of a sale, when it settles, and what its refund takes from whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from promptforge.actors.billing.ledger.domain import Fund, Journal, JournalKind, Leg, Owed, PartnerAccount, Platform
from promptforge.actors.billing.ledger.holdings import Part
from promptforge.core.amounts import from_millicredits

BASIS_POINTS = 10_000
SETTLED_BY = "settle:"
"""How the keys of settlements begin."""
OUT_OF_SALES = "settle"
"""The one lot of all granted credits that settled sales brought somebody: a lot for each sale would fill the user."""


@dataclass(frozen=True, slots=True)
class Terms:
    """When a seller is paid. A seller is established once a settled sale of theirs is `established_after` old.

    The rolling reserve is a part of each sale that settles `reserve_for` later than the rest of it.
    """

    window: timedelta = timedelta(days=7)
    new_seller_window: timedelta = timedelta(days=30)
    established_after: timedelta = timedelta(days=90)
    reserve_bp: int = 0
    reserve_for: timedelta = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Share:
    """How a price is divided: `seller` = floor(price × (10000 − fee) / 10000), the platform keeps the rest."""

    seller: int
    fee: int


class SaleState(StrEnum):
    """`pending`: nothing has settled; `held`: all but the rolling reserve has; `settled`; `reversed`: refunded."""

    PENDING = "pending"
    HELD = "held"
    SETTLED = "settled"
    REVERSED = "reversed"


OPEN = frozenset({SaleState.PENDING, SaleState.HELD})
SETTLING = frozenset({SaleState.HELD, SaleState.SETTLED})
"""Of these the seller was paid, so that the commission can be."""


@dataclass(frozen=True, slots=True)
class Sale:
    """What of a sale is still pending. Every command that moves some of it writes this, so that two of them conflict.

    `id` is the key of the purchase's journal; `payable` was paid with bought or earned credits, `granted` with granted
    ones; `commission` is the partner's. `paid_with` are the lots that paid for it. `withheld` has settled into credits
    that are never paid out, though it was paid for: buyer and seller turned out to be linked. `earned` is what has
    settled into earned credits, less what was withheld of that since. Of the `promised`
    commission of the partner's `term`, which is for what `referrer_id` does under `code`, `forgone` went back into the
    fee: for that, because the referrer is linked with one of them, or because it was forfeited. `released` is what has
    become the partner's, less what was withheld of that since; `forfeited` is what of the forgone an administrator's
    decision took, which an appeal may bring back.
    """

    id: str
    seller_id: str
    sold_at: datetime
    payable: int
    granted: int
    commission: int = 0
    partner_id: str | None = None
    state: SaleState = SaleState.PENDING
    paid_with: tuple[str, ...] = ()
    buyer_id: str = ""
    withheld: int = 0
    forgone: int = 0
    promised: int = 0
    referrer_id: str = ""
    code: str = ""
    term: int = 0
    earned: int = 0
    released: int = 0
    forfeited: int = 0

    @property
    def open(self) -> bool:
        return self.state in OPEN

    @property
    def commission_withheld(self) -> int:
        """What was collected and then made granted credits: the referrer turned out to be linked with one of them."""
        return max(0, self.promised - self.forgone - self.commission - self.released)


@dataclass(frozen=True, slots=True)
class Commission:
    """What a partner gets of the fee, in basis points of what was paid with bought or earned credits.

    `referrer_id` is whoever the partner is, and `code` what the buyer came by.
    """

    partner_id: str
    basis_points: int
    referrer_id: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class Deal:
    """A sale that is to be charged."""

    purchase_id: str
    buyer_id: str
    seller_id: str
    price: int
    commission: Commission | None = None

    @property
    def refs(self) -> dict[str, str]:
        refs = {
            "purchase_id": self.purchase_id,
            "buyer_id": self.buyer_id,
            "seller_id": self.seller_id,
            "price": from_millicredits(self.price),
        }
        if self.commission is not None:
            refs["partner_id"] = self.commission.partner_id
            refs |= {"referrer_id": self.commission.referrer_id} if self.commission.referrer_id else {}
            refs |= {"referral_code": self.commission.code} if self.commission.code else {}
        return refs


UNDONE = "the payment was disputed"
"""Why a sale is refunded that a lost payment undoes."""


def purchase_key(purchase_id: str) -> str:
    return f"purchase:{purchase_id}"


def refund_key(purchase_id: str) -> str:
    return f"purchase:{purchase_id}:refund"


def settle_key(sale: Sale) -> str:
    """`settle:{journal}` once per journal, and once more for the part that the rolling reserve held back."""
    return f"{SETTLED_BY}{sale.id}:reserve" if sale.state is SaleState.HELD else f"{SETTLED_BY}{sale.id}"


def share_of(price: int, fee_bp: int) -> Share:
    """`fee_bp` in basis points, 0 to 10,000."""
    seller = price * (BASIS_POINTS - fee_bp) // BASIS_POINTS
    return Share(seller, price - seller)


def purchase_journal(
    deal: Deal, *, parts: Sequence[Part], fee_bp: int, linked: bool = False, refused: bool = False
) -> Journal:
    """The legs of a sale that `parts` pay for. `linked`: buyer and seller share a card or a bank account; `refused`:
    one of them is the referrer, or shares such with them, and there is no commission.

    The seller's share is pending, in up to two legs: what was paid with purchased or earned credits, rounded down, and
    the rest, which was paid with granted ones. Rounding thus never makes a granted credit payable. A partner's
    commission comes out of the fee on the payable part, and never exceeds it. Of a linked sale nothing is payable.
    """
    key = purchase_key(deal.purchase_id)
    payable = 0 if linked else sum(part.amount for part in parts if part.fund is not Fund.GRANTED)
    share = share_of(deal.price, fee_bp)
    payable_share = share_of(payable, fee_bp)
    legs = [Leg(part.fund, -part.amount, deal.buyer_id, part.lot) for part in parts]
    income = ((payable_share.seller, Fund.PURCHASED), (share.seller - payable_share.seller, Fund.GRANTED))
    legs += [Leg(Owed.PENDING, amount, deal.seller_id, key, source) for amount, source in income if amount]
    fee = share.fee
    if deal.commission is not None and not refused:
        commission = min(payable * deal.commission.basis_points // BASIS_POINTS, payable_share.fee)
        if commission:
            legs.append(Leg(PartnerAccount(deal.commission.partner_id), commission, lot=key))
            fee -= commission
    if fee:
        legs.append(Leg(Platform.FEES, fee))
    return Journal(key, JournalKind.PURCHASE, deal.refs, tuple(legs), (deal.buyer_id, deal.seller_id))


def sale_of(journal: Journal, sold_at: datetime, *, term: int = 0) -> Sale | None:
    """What a purchase's journal leaves pending; None where that is nothing. `term`: the partner's at present."""
    pending = [leg for leg in journal.legs if leg.account is Owed.PENDING]
    commissions = [leg for leg in journal.legs if isinstance(leg.account, PartnerAccount)]
    if not pending and not commissions:
        return None
    partner = commissions[0].account if commissions else None
    return Sale(
        id=journal.id,
        seller_id=journal.refs["seller_id"],
        sold_at=sold_at,
        payable=journal.total(Owed.PENDING, source=Fund.PURCHASED),
        granted=journal.total(Owed.PENDING, source=Fund.GRANTED),
        commission=sum(leg.amount for leg in commissions),
        partner_id=partner.partner_id if isinstance(partner, PartnerAccount) else None,
        paid_with=tuple(leg.lot for leg in journal.legs if leg.lot and isinstance(leg.account, Fund)),
        buyer_id=journal.refs["buyer_id"],
        promised=sum(leg.amount for leg in commissions),
        referrer_id=journal.refs.get("referrer_id", "") if commissions else "",
        code=journal.refs.get("referral_code", "") if commissions else "",
        term=term if commissions else 0,
    )


def is_due(sale: Sale, terms: Terms, *, established: bool, now: datetime) -> bool:
    window = terms.window if established else terms.new_seller_window
    if sale.state is SaleState.HELD:
        window += terms.reserve_for
    return sale.open and sale.sold_at + window <= now


def settled(sale: Sale, terms: Terms, *, linked: bool = False) -> tuple[Journal | None, Sale]:
    """What settling moves, and what is left then. No journal where others have taken all that was pending.

    Where buyer and seller are known to be `linked` by now, everything settles into credits that are never paid out.
    The commission stays pending: it is moved after its sale, by itself (`commissions/commands.py`).
    """
    if linked:
        return _settled_unpayable(sale)
    reserve = sale.payable * terms.reserve_bp // BASIS_POINTS if sale.state is SaleState.PENDING else 0
    legs: list[Leg] = []
    if payable := sale.payable - reserve:
        legs.append(Leg(Owed.PENDING, -payable, sale.seller_id, sale.id, Fund.PURCHASED))
        legs.append(Leg(Fund.EARNED, payable, sale.seller_id))
    if sale.granted:
        legs.append(Leg(Owed.PENDING, -sale.granted, sale.seller_id, sale.id, Fund.GRANTED))
        legs.append(Leg(Fund.GRANTED, sale.granted, sale.seller_id, OUT_OF_SALES))
    state = SaleState.HELD if reserve else SaleState.SETTLED
    left = replace(sale, payable=reserve, granted=0, state=state, earned=sale.earned + payable)
    return _settlement(sale, legs), left


def _settled_unpayable(sale: Sale) -> tuple[Journal | None, Sale]:
    legs: list[Leg] = []
    for amount, source in ((sale.payable, Fund.PURCHASED), (sale.granted, Fund.GRANTED)):
        if amount:
            legs.append(Leg(Owed.PENDING, -amount, sale.seller_id, sale.id, source))
    if unpayable := sale.payable + sale.granted:
        legs.append(Leg(Fund.GRANTED, unpayable, sale.seller_id, OUT_OF_SALES))
    withheld = sale.withheld + sale.payable
    left = replace(sale, payable=0, granted=0, state=SaleState.SETTLED, withheld=withheld)
    return _settlement(sale, legs, linked="yes"), left


def _settlement(sale: Sale, legs: Sequence[Leg], **more: str) -> Journal | None:
    if not legs:
        return None
    of_purchase = sale.id.startswith(purchase_key(""))
    sold = {"purchase_id": sale.id.removeprefix(purchase_key(""))} if of_purchase else {}
    refs = {"sale": sale.id, **sold, **more}
    return Journal(settle_key(sale), JournalKind.SETTLEMENT, refs, tuple(legs), (sale.seller_id,))


def withheld_by(sale_id: str, number: int = 1) -> str:
    """Once, and once more where some of it was not there then and is by now."""
    return f"withhold:{sale_id}" if number == 1 else f"withhold:{sale_id}:{number}"


def withheld(sale: Sale, amount: int, key: str) -> tuple[Journal, Sale]:
    """Of what has settled of a sale, `amount` earned credits become ones that are never paid out."""
    legs = (Leg(Fund.EARNED, -amount, sale.seller_id), Leg(Fund.GRANTED, amount, sale.seller_id, OUT_OF_SALES))
    journal = Journal(
        key,
        JournalKind.WITHHOLDING,
        {"sale": sale.id},
        legs,
        (sale.seller_id,),
        reverses=settled_by(sale),
    )
    return journal, replace(sale, withheld=sale.withheld + amount, earned=sale.earned - amount)


def settled_by(sale: Sale) -> str:
    return f"{SETTLED_BY}{sale.id}"


def settlements_of(sale_id: str) -> tuple[str, str]:
    """The keys under which a sale settles: all but the rolling reserve, and that."""
    return f"{SETTLED_BY}{sale_id}", f"{SETTLED_BY}{sale_id}:reserve"


def taken_from_sales(sales: Sequence[Sale], amount: int) -> tuple[list[Leg], list[Sale]]:
    """At most `amount` out of what is pending and payable of `sales`, in their order, and what is left of those."""
    legs: list[Leg] = []
    left: list[Sale] = []
    for sale in sales:
        taken = min(sale.payable, amount)
        if sale.open and taken:
            legs.append(Leg(Owed.PENDING, -taken, sale.seller_id, sale.id, Fund.PURCHASED))
            left.append(replace(sale, payable=sale.payable - taken))
            amount -= taken
    return legs, left


@dataclass(frozen=True, slots=True)
class Claim:
    """What a refund claims back: of the seller by source, of the partner, of the platform; less what was pending.

    `commission_granted`: of what was collected, what was made granted credits of the referrer's since.
    """

    payable: int
    granted: int
    commission: int
    commission_granted: int = 0


def refund_of(purchase: Journal, sale: Sale | None) -> tuple[list[Leg], Claim]:
    """The legs that a refund takes from nobody's purse, and what it still claims from seller and partner.

    Each part that the buyer paid goes back to where it came from, the fee is given back, and what is pending of the
    sale is taken first. What settled into granted credits is claimed of those.
    """
    seller_id = purchase.refs["seller_id"]
    withheld, forgone = (sale.withheld, sale.forgone) if sale is not None else (0, 0)
    legs = [replace(leg, amount=-leg.amount) for leg in purchase.legs if isinstance(leg.account, Fund)]
    if fee := purchase.total(Platform.FEES) + forgone:
        legs.append(Leg(Platform.FEES, -fee))
    left = sale if sale is not None and sale.open else None
    pending = {Fund.PURCHASED: left.payable if left else 0, Fund.GRANTED: left.granted if left else 0}
    claims: dict[Fund, int] = {}
    for source, still in pending.items():
        gave = purchase.total(Owed.PENDING, source=source)
        if taken := min(still, gave):
            legs.append(Leg(Owed.PENDING, -taken, seller_id, purchase.id, source))
        claims[source] = gave - taken
    commission = sum(leg.amount for leg in purchase.legs if isinstance(leg.account, PartnerAccount)) - forgone
    if sale is not None and sale.commission and sale.partner_id:  # also of one that has settled, where that still waits
        legs.append(Leg(PartnerAccount(sale.partner_id), -sale.commission, lot=purchase.id))
        commission -= sale.commission
    granted = min(commission, sale.commission_withheld) if sale is not None else 0
    seller = claims[Fund.PURCHASED] - withheld, claims[Fund.GRANTED] + withheld
    return legs, Claim(*seller, commission - granted, granted)


def refund_journal(purchase: Journal, legs: Sequence[Leg], reason: str) -> Journal:
    refs: Mapping[str, str] = {**purchase.refs, "reason": reason}
    key = refund_key(purchase.refs["purchase_id"])
    parties = tuple(dict.fromkeys((*purchase.parties, *(leg.user_id for leg in legs if leg.user_id))))
    return Journal(key, JournalKind.PURCHASE_REFUND, refs, tuple(legs), parties, reverses=purchase.id)


def reversed_sale(sale: Sale) -> Sale:
    nothing = replace(sale, payable=0, granted=0, commission=0, earned=0, released=0, forfeited=0)
    return replace(nothing, state=SaleState.REVERSED)


def partner_of(purchase: Journal) -> str | None:
    for leg in purchase.legs:
        if isinstance(leg.account, PartnerAccount):
            return leg.account.partner_id
    return None
