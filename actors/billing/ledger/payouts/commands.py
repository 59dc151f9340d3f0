"""Setting a payout aside, sending it, and giving it back: each step once, and one end for each payout."""

from __future__ import annotations

from promptforge.actors.billing.errors import (
    DebtOutstanding,
    InsufficientCredits,
    JournalMismatch,
    LinkedSales,
    PayoutOnHold,
)
from promptforge.actors.billing.ledger.books import Books
from promptforge.actors.billing.ledger.holdings import Holdings
from promptforge.actors.billing.ledger.payouts.domain import (
    Payout,
    PayoutState,
    final_journal,
    part_journal,
    release_journal,
    reserve_journal,
)
from promptforge.actors.billing.ledger.sales.commands import withhold_all
from promptforge.core.amounts import from_millicredits
from promptforge.core.errors import NotFound


async def get_payout(books: Books, payout_id: str) -> Payout:
    payout = await books.find_payout(payout_id)
    if payout is None:
        raise NotFound(f"Nothing was reserved for the payout {payout_id}")
    return payout


async def reserve(books: Books, payout_id: str, *, user_id: str, amount: int) -> Payout:
    """Set earned credits aside. The same payout again answers how it stands.

    What linked accounts have brought is withheld first, whatever has kept that from happening before: it had settled
    just as they were linked, or it was set aside for something then and has come back. Raises `LinkedSales` where that
    is too much for one transaction, `InsufficientCredits`, `DebtOutstanding`, or `PayoutOnHold` while a payment of
    theirs is disputed.
    """
    there = await books.find_payout(payout_id)
    if there is not None:
        if (there.user_id, there.amount) != (user_id, amount):
            raise JournalMismatch(f"The payout {payout_id} was reserved before, and differently")
        return there
    nothing_left = await withhold_all(books, user_id)
    holdings = await _owing_nothing(books, user_id)
    if holdings.earned and not nothing_left:
        raise LinkedSales("What accounts linked with yours have brought is being withheld; ask again in a few minutes")
    if holdings.earned < amount:
        has = from_millicredits(holdings.earned)
        raise InsufficientCredits(f"You have {has} earned credits, and only such are paid out")
    payout = Payout(payout_id, user_id, amount, PayoutState.RESERVED)
    await books.put_payout(payout)
    await books.post(reserve_journal(payout))
    return payout


async def _owing_nothing(books: Books, user_id: str) -> Holdings:
    """What they have. Raises `DebtOutstanding`, or `PayoutOnHold` while a payment of theirs is disputed."""
    holdings = await books.holdings(user_id)
    if holdings.owes:
        raise DebtOutstanding(f"You owe {from_millicredits(holdings.owes)} credits; they are paid before a payout")
    if await books.has_open_dispute(user_id):
        raise PayoutOnHold("One of your payments is disputed; payouts wait until that is decided")
    return holdings


async def begin_sending(books: Books, payout_id: str) -> Payout:
    """Before Stripe hears of it: from here on it cannot be cancelled. Again answers the same.

    Raises `PayoutNotOpen` where it was cancelled, and `DebtOutstanding` or `PayoutOnHold` where a debt, a dispute or a
    linked account has come up since it was requested: it can still be cancelled then, which pays the debt.
    """
    payout = await get_payout(books, payout_id)
    if payout.state in {PayoutState.SENDING, PayoutState.SENT}:
        return payout
    sending = payout.sending()
    await _expect_payable(books, payout.user_id)
    await books.put_payout(sending)
    return sending


async def check_sending(books: Books, payout_id: str) -> Payout:
    """Before Stripe is asked once more for what it has refused so far. Raises as `begin_sending` does."""
    payout = await get_payout(books, payout_id)
    await _expect_payable(books, payout.user_id)
    return payout


async def _expect_payable(books: Books, user_id: str) -> None:
    """Of what is set aside, all may be paid out: what linked accounts have brought is withheld out of the rest."""
    nothing_left = await withhold_all(books, user_id)
    await _owing_nothing(books, user_id)
    if not nothing_left:
        raise LinkedSales("A part of it came by accounts that share a card or a bank account with yours: cancel it")


async def finish(books: Books, payout_id: str) -> Payout:
    """The transfer succeeded."""
    payout = await get_payout(books, payout_id)
    if payout.state is PayoutState.SENT:
        return payout
    journal = final_journal(payout)
    await books.put_payout(payout := payout.sent())
    await books.post(journal)
    return payout


async def cancel(books: Books, payout_id: str) -> Payout:
    """Give the credits back, unless it is being sent: raises `PayoutNotOpen` then."""
    payout = await get_payout(books, payout_id)
    if payout.state is PayoutState.RELEASED:
        return payout
    return await _release(books, payout, payout.cancelled())


async def take_in_again(books: Books, payout_id: str) -> Payout:
    """The transfer was refused for good, or reversed: the credits are the seller's again."""
    payout = await get_payout(books, payout_id)
    if payout.state is PayoutState.RELEASED:
        return payout
    return await _release(books, payout, payout.taken_in())


async def take_part_in_again(books: Books, payout_id: str, total: int) -> Payout:
    """A part of the transfer was reversed after it succeeded: `total` millicredits of the payout by now, less than all.

    What was told before, or has become less, changes nothing. Raises `PayoutNotOpen` where it was not sent yet.
    """
    payout = await get_payout(books, payout_id)
    if payout.state is PayoutState.RELEASED:
        return payout
    if total >= payout.amount:
        raise JournalMismatch(f"{total} of {payout.amount} are no part of the payout {payout_id}")
    if total <= payout.returned:
        return payout
    part, after = part_journal(payout, total), payout.partly_returned(total)
    await books.put_payout(after)
    await books.post(part)
    return after


async def _release(books: Books, payout: Payout, released: Payout) -> Payout:
    await books.put_payout(released)
    await books.post(release_journal(payout))
    return released
