"""Runs of language models: what is set aside before one, what it costs, and where the rest goes back to.

A reservation moves credits from where they would be spent into `reserved`; closing takes them out again: what was spent
goes to the platform, in the order in which one spends, and each part of the rest returns to the lot that it came from.

A run that the platform pays itself is written down like others, and moves no user's credits: what the model cost goes
from `platform:checks` to `platform:llm`.

A run of a sealed prompt earns its seller a share as well. What is spent first pays the model, so that the share is paid
with granted credits last; it is divided, pending and settled like the price of a sale, under the key of the close.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from promptforge.actors.billing.errors import JournalMismatch
from promptforge.actors.billing.ledger.books import Books
from promptforge.actors.billing.ledger.budgets import commands as budgets
from promptforge.actors.billing.ledger.domain import Fund, Journal, JournalKind, Leg, Owed, Platform
from promptforge.actors.billing.ledger.holdings import Part, parts_after, parts_before, plan_payment, sums_by_fund
from promptforge.actors.billing.ledger.sales.domain import Sale, share_of
from promptforge.core.amounts import from_millicredits, to_millicredits
from promptforge.core.errors import NotFound

PREFIX = "run:"
PAID_BY = "paid_by"
"""The reference that says who pays, where that is no user."""
PLATFORM = "platform"


@dataclass(frozen=True, slots=True)
class Earned:
    """What a run earns its seller before the platform's fee, in millicredits; of a linked buyer nothing is payable.

    Without a seller the fee is all of it.
    """

    seller_id: str | None
    gross: int
    fee_bp: int
    linked: bool = False
    listing_id: str | None = None


def reserve_key(run_id: str) -> str:
    return f"{PREFIX}{run_id}:reserve"


def close_key(run_id: str) -> str:
    """One key for settling and for releasing, so that a run ends one way only."""
    return f"{PREFIX}{run_id}:close"


def refund_key(run_id: str) -> str:
    return f"{PREFIX}{run_id}:refund"


def reserve_journal(run_id: str, *, user_id: str, parts: Sequence[Part]) -> Journal:
    """Set `parts` aside."""
    legs = [Leg(part.fund, -part.amount, user_id, part.lot) for part in parts]
    legs += [Leg(Owed.RESERVED, amount, user_id, source=fund) for fund, amount in sums_by_fund(parts)]
    refs = {"run_id": run_id, "reserved": from_millicredits(sum(part.amount for part in parts))}
    return Journal(reserve_key(run_id), JournalKind.RUN_RESERVE, refs, tuple(legs), (user_id,))


def charge_journal(run_id: str, reserved: Journal, charge: int, earned: Earned | None = None) -> Journal:
    """Close the run that `reserved` was posted for; nothing charged and nothing earned gives all back.

    `charge` millicredits go to the platform for the model, and what is `earned` besides; together at most what is held.
    """
    (user_id,) = reserved.parties
    parts = parts_of(reserved)
    gross = earned.gross if earned is not None else 0
    legs = [Leg(Owed.RESERVED, -amount, user_id, source=fund) for fund, amount in sums_by_fund(parts)]
    legs += [Leg(part.fund, part.amount, user_id, part.lot) for part in parts_after(parts, charge + gross)]
    if charge:
        legs.append(Leg(Platform.LLM, charge))
    refs = {"run_id": run_id, "charged": from_millicredits(charge)}
    parties: tuple[str, ...] = (user_id,)
    if earned is not None and gross:
        legs += _earning_legs(run_id, parts_before(parts_after(parts, charge), gross), earned)
        refs["share"] = from_millicredits(gross)
        if earned.listing_id is not None:
            refs["listing_id"] = earned.listing_id
        if earned.seller_id is not None:
            refs["seller_id"] = earned.seller_id
            parties = (user_id, earned.seller_id)
    return Journal(close_key(run_id), JournalKind.RUN_CLOSE, refs, tuple(legs), parties, reverses=reserved.id)


def _earning_legs(run_id: str, parts: Sequence[Part], earned: Earned) -> list[Leg]:
    """As a purchase divides its price: what was paid with gifts, and of a linked buyer all, is not payable."""
    if earned.seller_id is None:
        return [Leg(Platform.FEES, earned.gross)]
    share = share_of(earned.gross, earned.fee_bp)
    payable = 0 if earned.linked else sum(part.amount for part in parts if part.fund is not Fund.GRANTED)
    payable_share = share_of(payable, earned.fee_bp).seller
    income = ((payable_share, Fund.PURCHASED), (share.seller - payable_share, Fund.GRANTED))
    legs = [
        Leg(Owed.PENDING, amount, earned.seller_id, close_key(run_id), source) for amount, source in income if amount
    ]
    if share.fee:
        legs.append(Leg(Platform.FEES, share.fee))
    return legs


def sale_of_share(bought: Journal, sold_at: datetime) -> Sale | None:
    """What the share of a run leaves pending; None where that is nothing. `bought` as `share_bought` has it."""
    pending = [leg for leg in bought.legs if leg.account is Owed.PENDING]
    if not pending:
        return None
    return Sale(
        id=bought.id,
        seller_id=bought.refs["seller_id"],
        sold_at=sold_at,
        payable=bought.total(Owed.PENDING, source=Fund.PURCHASED),
        granted=bought.total(Owed.PENDING, source=Fund.GRANTED),
        paid_with=tuple(leg.lot for leg in bought.legs if leg.lot and isinstance(leg.account, Fund)),
        buyer_id=bought.refs["buyer_id"],
    )


def share_bought(reserved: Journal, closed: Journal) -> Journal:
    """The seller's share of a run as if it were a purchase of its own: who paid it with what, and who got it.

    It is posted nowhere; refunds and sales are worked out from it.
    """
    (user_id,) = reserved.parties
    income = [leg for leg in closed.legs if leg.account in {Owed.PENDING, Platform.FEES}]
    gross = sum(leg.amount for leg in income)
    paid = parts_before(parts_after(parts_of(reserved), charged(closed)), gross)
    legs = [Leg(part.fund, -part.amount, user_id, part.lot) for part in paid]
    refs = {**closed.refs, "buyer_id": user_id}
    return Journal(closed.id, closed.kind, refs, (*legs, *income), closed.parties)


def parts_of(reserved: Journal) -> list[Part]:
    """What is held, in the order in which it was taken, which is the order in which it is spent."""
    return [Part(Fund(leg.account), -leg.amount, leg.lot) for leg in reserved.legs if isinstance(leg.account, Fund)]


async def reserve(books: Books, run_id: str, *, user_id: str, amount: int) -> Journal:
    """Set credits aside; the same run again answers the same journal.

    Raises `InsufficientCredits` or `DebtOutstanding`, and `JournalMismatch` for somebody else's run.
    """
    there = await books.find_journal(reserve_key(run_id))
    if there is not None:
        if user_id not in there.parties:
            raise JournalMismatch(f"{there.id} was posted before, for somebody else")
        return there
    parts = plan_payment(await books.holdings(user_id), amount)
    journal = reserve_journal(run_id, user_id=user_id, parts=parts)
    await books.post(journal)
    return journal


async def reserve_from_budget(books: Books, run_id: str, *, subject: str, amount: int) -> Journal:
    """For a trial, which the seller of the subject pays. Raises `BudgetSpent`."""
    return await budgets.hold(books, reserve_key(run_id), run_id, subject=subject, amount=amount)


async def reserve_for_platform(books: Books, run_id: str, *, amount: int) -> Journal:
    """Without a leg; the same run again answers the same journal."""
    there = await books.find_journal(reserve_key(run_id))
    if there is not None:
        return there
    refs = {"run_id": run_id, "reserved": from_millicredits(amount), PAID_BY: PLATFORM}
    journal = Journal(reserve_key(run_id), JournalKind.RUN_RESERVE, refs, ())
    await books.post(journal)
    return journal


async def _charge_platform(books: Books, run_id: str, reserved: Journal, charge: int) -> Journal:
    charge = min(charge, to_millicredits(reserved.refs["reserved"]))
    legs = (Leg(Platform.CHECKS, -charge), Leg(Platform.LLM, charge)) if charge else ()
    refs = {"run_id": run_id, "charged": from_millicredits(charge), PAID_BY: PLATFORM}
    journal = Journal(close_key(run_id), JournalKind.RUN_CLOSE, refs, legs, reverses=reserved.id)
    await books.post(journal)
    return journal


async def close(books: Books, run_id: str, *, charge: int, earned: Earned | None = None) -> tuple[Journal, bool]:
    """Charge at most what is held, and give the rest back. The flag: closed by this call, and not before.

    What is `earned` goes before the charge for the model, which is the platform's where the hold is too small. Raises
    `NotFound` where nothing was reserved.
    """
    closed = await books.find_journal(close_key(run_id))
    if closed is not None:
        return closed, False
    reserved = await books.find_journal(reserve_key(run_id))
    if reserved is None:
        raise NotFound(f"Nothing was reserved for the run {run_id}")
    if PAID_BY in reserved.refs:
        return await _charge_platform(books, run_id, reserved, charge), True
    if budgets.BUDGET in reserved.refs:
        return await budgets.spend(books, close_key(run_id), reserved, charge), True
    if earned is not None and earned.gross:
        (user_id,) = reserved.parties
        linked = earned.seller_id is not None and await books.are_linked(user_id, earned.seller_id)
        earned = replace(earned, gross=min(earned.gross, held(reserved)), linked=linked)
    room = held(reserved) - (earned.gross if earned is not None else 0)
    journal = charge_journal(run_id, reserved, min(charge, room), earned)
    await books.post(journal)
    if earned is not None:
        sale = sale_of_share(share_bought(reserved, journal), books.now)
        if sale is not None:
            await books.put_sale(sale)
    return journal, True


def held(reserved: Journal) -> int:
    """Millicredits that a reservation set aside."""
    return sum(leg.amount for leg in reserved.legs if leg.account is Owed.RESERVED)


def charged(closed: Journal) -> int:
    """Millicredits that a run cost."""
    return sum(leg.amount for leg in closed.legs if leg.account is Platform.LLM)


def share(closed: Journal) -> int:
    """Millicredits that went to the seller and to the platform's fee."""
    return sum(leg.amount for leg in closed.legs if leg.account in {Owed.PENDING, Platform.FEES})
