"""A receipt, what Stripe knows of its payment, and where that says the buyer is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from promptforge.actors.billing.ledger.topups.domain import ClaimKind, Topup
from promptforge.actors.billing.receipts.messages import CountryConflictView, ReceiptKind, ReceiptView, TaxView
from promptforge.actors.billing.terms import Waiver
from promptforge.core.amounts import from_millicredits


@dataclass(frozen=True, slots=True)
class Tax:
    """`rate` in percent, as Stripe writes it; `amount` in minor units."""

    rate: str
    amount: int
    country: str | None


@dataclass(frozen=True, slots=True)
class Paid:
    """What Stripe knows of a payment. Money in minor units.

    `instrument` names what it was paid with (`links/store.py`). `billing_country` is that of the address that the buyer
    gave, and `card_country` where the card or the bank account is: EU law wants two pieces of evidence that do not
    contradict each other (Implementing Regulation 282/2011, articles 24b and 24f). `complete`: nothing is to come yet.
    """

    currency: str
    subtotal: int
    tax: int
    total: int
    taxes: tuple[Tax, ...] = ()
    number: str | None = None
    invoice_url: str | None = None
    receipt_url: str | None = None
    charge: str | None = None
    instrument: str | None = None
    billing_country: str | None = None
    card_country: str | None = None
    complete: bool = True

    @property
    def country(self) -> str | None:
        """Where the buyer is taken to be: where they say, which is also what Stripe Tax goes by."""
        return self.billing_country or self.card_country

    @property
    def country_conflicts(self) -> bool:
        return None not in {self.billing_country, self.card_country} and self.billing_country != self.card_country


@dataclass(frozen=True, slots=True)
class Receipt:
    """`topup_id`: the key of the payment's journal. `subtotal` is the price that was asked for. `paid`: see there; None
    until Stripe was asked.
    """

    id: str
    user_id: str
    topup_id: str
    kind: ReceiptKind
    credits: int
    currency: str
    subtotal: int
    created_at: datetime
    paid: Paid | None = None
    waiver: Waiver | None = None

    @property
    def title(self) -> str:
        monthly = " a month" if self.kind is ReceiptKind.SUBSCRIPTION else ""
        return f"{from_millicredits(self.credits)} PromptForge credits{monthly}"

    def view(self, topup: Topup | None) -> ReceiptView:
        """`topup`: the claims on its charge, if there were any."""
        paid = self.paid
        return ReceiptView(
            id=self.id,
            kind=self.kind,
            title=self.title,
            credits=from_millicredits(self.credits),
            currency=self.currency,
            subtotal=paid.subtotal if paid else self.subtotal,
            tax=paid.tax if paid else None,
            taxes=tuple(TaxView(tax.rate, tax.amount, tax.country) for tax in paid.taxes) if paid else (),
            total=paid.total if paid else None,
            refunded=_claimed(topup, ClaimKind.REFUND),
            charged_back=_claimed(topup, ClaimKind.DISPUTE),
            number=paid.number if paid else None,
            invoice_url=paid.invoice_url if paid else None,
            receipt_url=paid.receipt_url if paid else None,
            country=paid.country if paid else None,
            withdrawal_waiver=self.waiver.version if self.waiver else None,
            waived_at=self.waiver.accepted_at if self.waiver else None,
            paid_at=self.created_at,
        )

    def conflict_view(self) -> CountryConflictView:
        """Only for one whose countries were read, and contradict each other."""
        paid = self.paid
        if paid is None or paid.billing_country is None or paid.card_country is None or paid.country is None:
            raise RuntimeError(f"the countries of {self.id} are not known")
        return CountryConflictView(
            receipt_id=self.id,
            user_id=self.user_id,
            kind=self.kind,
            country=paid.country,
            billing_country=paid.billing_country,
            card_country=paid.card_country,
            taxed_in=tuple(sorted({tax.country for tax in paid.taxes if tax.country})),
            currency=paid.currency,
            tax=paid.tax,
            total=paid.total,
            number=paid.number,
            paid_at=self.created_at,
        )


def _claimed(topup: Topup | None, kind: ClaimKind) -> int:
    claims = topup.claims if topup is not None else ()
    return sum(claim.amount for claim in claims if claim.stands and claim.kind is kind)
