"""Runs of language models: what is set aside before one, what it costs, and where the rest goes back to.

A reservation moves credits from where they would be spent into `reserved`; closing takes them out again: what was spent
goes to the platform, in the order in which one spends, and each part of the rest returns to the lot that it came from.
"""

from __future__ import annotations

from collections.abc import Sequence

from promptforge.actors.billing.errors import JournalMismatch
from promptforge.actors.billing.ledger.books import Books
from promptforge.actors.billing.ledger.domain import Fund, Journal, JournalKind, Leg, Owed, Platform
from promptforge.actors.billing.ledger.holdings import Part, plan_payment
from promptforge.core.amounts import from_millicredits
from promptforge.core.errors import NotFound

PREFIX = "run:"


def reserve_key(run_id: str) -> str:
    return f"{PREFIX}{run_id}:reserve"


def close_key(run_id: str) -> str:
    """One key for settling and for releasing, so that a run ends one way only."""
    return f"{PREFIX}{run_id}:close"


def reserve_journal(run_id: str, *, user_id: str, parts: Sequence[Part]) -> Journal:
    """Set `parts` aside."""
    legs = [Leg(part.fund, -part.amount, user_id, part.lot) for part in parts]
    legs += [Leg(Owed.RESERVED, amount, user_id, source=fund) for fund, amount in _by_fund(parts)]
    refs = {"run_id": run_id, "reserved": from_millicredits(sum(part.amount for part in parts))}
    return Journal(reserve_key(run_id), JournalKind.RUN_RESERVE, refs, tuple(legs), (user_id,))


def charge_journal(run_id: str, reserved: Journal, charge: int) -> Journal:
    """Close the run that `reserved` was posted for: `charge` millicredits, at most what is held; 0 gives all back."""
    (user_id,) = reserved.parties
    parts = [Part(Fund(leg.account), -leg.amount, leg.lot) for leg in reserved.legs if isinstance(leg.account, Fund)]
    legs = [Leg(Owed.RESERVED, -amount, user_id, source=fund) for fund, amount in _by_fund(parts)]
    unspent = charge
    for part in parts:  # in the order in which they were taken, which is the order in which they are spent
        spent = min(unspent, part.amount)
        unspent -= spent
        if part.amount > spent:
            legs.append(Leg(part.fund, part.amount - spent, user_id, part.lot))
    if charge:
        legs.append(Leg(Platform.LLM, charge))
    refs = {"run_id": run_id, "charged": from_millicredits(charge)}
    return Journal(close_key(run_id), JournalKind.RUN_CLOSE, refs, tuple(legs), (user_id,), reverses=reserved.id)


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


async def close(books: Books, run_id: str, *, charge: int) -> tuple[Journal, bool]:
    """Charge at most what is held, and give the rest back. The flag: closed by this call, and not before.

    Raises `NotFound` where nothing was reserved.
    """
    closed = await books.find_journal(close_key(run_id))
    if closed is not None:
        return closed, False
    reserved = await books.find_journal(reserve_key(run_id))
    if reserved is None:
        raise NotFound(f"Nothing was reserved for the run {run_id}")
    journal = charge_journal(run_id, reserved, min(charge, held(reserved)))
    await books.post(journal)
    return journal, True


def held(reserved: Journal) -> int:
    """Millicredits that a reservation set aside."""
    return sum(leg.amount for leg in reserved.legs if leg.account is Owed.RESERVED)


def charged(closed: Journal) -> int:
    """Millicredits that a run cost."""
    return sum(leg.amount for leg in closed.legs if leg.account is Platform.LLM)


def _by_fund(parts: Sequence[Part]) -> list[tuple[Fund, int]]:
    sums: dict[Fund, int] = {}
    for part in parts:
        sums[part.fund] = sums.get(part.fund, 0) + part.amount
    return list(sums.items())
