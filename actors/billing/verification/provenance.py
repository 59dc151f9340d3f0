"""Where the credits of each journal come from and go to: what its kind allows, and nothing of a gift ever payable.

A journal may balance, and every balance be the sum of its legs, and still a gift have become money: by a `grant` that
lands in earned credits, by a sale whose payable part was paid with gifts, by a refund that gives back other credits
than were paid. So each journal is judged by itself: `fault_of` by its own sums, in flat memory, and `fault_of_return`
beside the journals that it gives back of. Nothing is set off against what somebody else, or the same user in another
journal, has lost: an honest payout hides no forged earning.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from promptforge.actors.billing.ledger.domain import Fund, JournalKind, Owed, Platform
from promptforge.actors.billing.ledger.sales.domain import BASIS_POINTS
from promptforge.actors.billing.verification.findings import credits
from promptforge.actors.billing.verification.ways import PARTNER, WAYS, named
from promptforge.core.mongo import Document

PAYABLE = (Fund.PURCHASED, Fund.EARNED)
_INCOME = (Fund.EARNED, Owed.DEBT)
RETURNS = frozenset(
    {
        JournalKind.PURCHASE_REFUND,
        JournalKind.RUN_REFUND,
        JournalKind.RUN_CLOSE,
        JournalKind.COMPENSATION,
        JournalKind.COMMISSION_RESTORE,
    }
)
CLAIMS_GIVEN_BACK = frozenset({JournalKind.TOPUP_REFUND_FAILED, JournalKind.DISPUTE_REINSTATED})
_OF_HOLDS = frozenset(
    {JournalKind.RUN_RESERVE, JournalKind.TRIAL_FUND, JournalKind.TRIAL_RETURN, JournalKind.RUN_CLOSE}
)
_OF_PAYOUTS = frozenset({JournalKind.PAYOUT_RESERVE, JournalKind.PAYOUT_FINAL, JournalKind.PAYOUT_RELEASE})


@dataclass(slots=True)
class Moved:
    """What a journal's legs move, by account and source, each way for itself: as much memory as there are accounts."""

    out: dict[tuple[str, str | None], int] = field(default_factory=lambda: defaultdict(int))
    into: dict[tuple[str, str | None], int] = field(default_factory=lambda: defaultdict(int))

    def add(self, leg: Document) -> None:
        name, amount = named(leg.get("account")), leg["amount"]
        way = self.into if amount > 0 else self.out
        way[name, leg.get("source")] += abs(amount)

    def took(self, *accounts: str, source: str | None = None) -> int:
        return _total(self.out, accounts, source)

    def put(self, *accounts: str, source: str | None = None) -> int:
        return _total(self.into, accounts, source)


def _total(way: Mapping[tuple[str, str | None], int], accounts: tuple[str, ...], source: str | None) -> int:
    return sum(amount for (name, of), amount in way.items() if name in accounts and source in (None, of))


def fault_of(key: str, kind: str, moved: Moved, *, linked: bool = False) -> str | None:
    """What is wrong with where a journal's credits come from or go to, as far as its own legs show it.

    `linked`: it says that it settles a sale between accounts that belong together.
    """
    if (fault := _wrong_way(key, kind, moved)) is not None:
        return fault
    if kind == JournalKind.PURCHASE:
        paid = moved.took(*Fund)
        return _too_payable(moved, paid=paid, payable=moved.took(*PAYABLE))
    if kind == JournalKind.SETTLEMENT:
        return _wrong_settlement(moved, linked=linked)
    if kind == JournalKind.COMMISSION_WITHHOLDING and moved.took(PARTNER) != moved.put(Platform.FEES):
        return "what goes back into the fee is not what was taken of the partner"
    if kind in _OF_PAYOUTS:
        return _wrong_payout(kind, moved)
    return _wrong_hold(kind, moved) if kind in _OF_HOLDS else None


def _wrong_way(key: str, kind: str, moved: Moved) -> str | None:
    ways = WAYS.get(kind)
    if ways is None:
        return f"there is no kind of journal {kind!r}"
    if not key.startswith(ways.keys):
        return f"a {kind} has another key: it begins with {' or '.join(ways.keys)}"
    for way, allowed, word in ((moved.out, ways.out_of, "out of"), (moved.into, ways.into, "into")):
        for name, _ in way:
            if name not in allowed:
                return f"it moves credits {word} {name}, as no {kind} does"
    return None


def _too_payable(moved: Moved, *, paid: int, payable: int) -> str | None:
    """Of what a seller has pending, at most the share of what was paid with `payable` credits may become payable.

    The fee of the moment is not kept, so it is read off the shares themselves: the least that rounds to them.
    """
    pending = moved.put(Owed.PENDING, source=Fund.PURCHASED)
    if not pending:
        return None
    seller = moved.put(Owed.PENDING)
    seller_bp = min(BASIS_POINTS, ((seller + 1) * BASIS_POINTS - 1) // paid) if paid else 0
    most = payable * seller_bp // BASIS_POINTS
    if pending <= most:
        return None
    return f"{credits(pending)} of it are payable, and {credits(most)} were paid with bought or earned credits"


def _wrong_settlement(moved: Moved, *, linked: bool) -> str | None:
    payable, pending = moved.put(*_INCOME), moved.took(Owed.PENDING, source=Fund.PURCHASED)
    if payable > pending:
        return f"it makes {credits(payable - pending)} more payable than was pending of bought credits"
    if linked and payable:
        return f"it makes {credits(payable)} payable between accounts that belong together"
    return None


def _wrong_payout(kind: str, moved: Moved) -> str | None:
    """Payouts hold what was earned, and nothing else."""
    held, of_earned = [
        moved.took(Owed.RESERVED, source=source) + moved.put(Owed.RESERVED, source=source)
        for source in (None, Fund.EARNED)
    ]
    return None if held == of_earned else f"a {kind} holds credits that were not earned"


def _wrong_hold(kind: str, moved: Moved) -> str | None:
    """What is held of one fund comes out of that fund, and goes back into it; the rest is spent."""
    for fund in Fund:
        held, taken = moved.put(Owed.RESERVED, source=fund), moved.took(fund)
        if held != taken:
            return f"{credits(held)} are held as {fund}, and {credits(taken)} were taken out of that"
        released, back = moved.took(Owed.RESERVED, source=fund), moved.put(fund)
        if back > released:
            return f"{credits(back)} go back into {fund}, and {credits(released)} of that were held"
    released = sum(moved.took(Owed.RESERVED, source=fund) for fund in PAYABLE)
    back = moved.put(*PAYABLE, Owed.DEBT)
    if back > released:
        return f"{credits(back)} bought or earned credits go back, and {credits(released)} were held"
    if kind != JournalKind.RUN_CLOSE:
        return None
    gross = moved.put(Owed.PENDING, Platform.FEES)
    return _too_payable(moved, paid=gross, payable=min(gross, released - back))


# Beside the journals that it gives back of


def needs_its_origin(kind: str, moved: Moved) -> bool:
    """Whether what a journal may give back is said by others: by a purchase, by what a run held, by earlier claims."""
    if kind == JournalKind.RUN_CLOSE:
        return bool(moved.took(Owed.RESERVED))
    return kind in RETURNS or (kind in CLAIMS_GIVEN_BACK and bool(moved.put(*_INCOME)))


def fault_of_return(kind: str, legs: Iterable[Document], origin: Iterable[Document]) -> str | None:
    """`origin`: the legs of what a refund gives back of, those that held for a run that is closed, those of a sale that
    is made good, its settlement and its refund, of a commission that comes back its forfeiture, and of a claim that
    came to nothing all legs of the claims on its payment, its own among them.
    """
    if kind == JournalKind.COMMISSION_RESTORE:
        return _wrong_restoring(legs, origin)
    if kind == JournalKind.COMPENSATION:
        return _wrong_compensation(legs, origin)
    if kind == JournalKind.RUN_CLOSE:
        return _wrong_close(legs, origin)
    if kind in CLAIMS_GIVEN_BACK:
        earned = sum(leg["amount"] for leg in origin if leg["account"] == Fund.EARNED)
        return f"claims gave {credits(earned)} more earned credits back than they took" if earned > 0 else None
    return _wrong_refund(legs, origin)


def _wrong_restoring(restored: Iterable[Document], forfeited: Iterable[Document]) -> str | None:
    """A forfeited commission comes back as it went, to the account that it was taken of."""
    moved: dict[tuple[str, str | None], int] = defaultdict(int)
    for leg in (*restored, *forfeited):
        moved[leg["account"], leg["lot"]] += leg["amount"]
    wrong = [amount for amount in moved.values() if amount]
    return f"it brings {credits(abs(wrong[0]))} more or less back than was forfeited" if wrong else None


def _wrong_close(closed: Iterable[Document], reserved: Iterable[Document]) -> str | None:
    """A run's hold is released as it was made, fund by fund."""
    held: dict[str | None, int] = defaultdict(int)
    for leg in (*closed, *reserved):
        if leg["account"] == Owed.RESERVED:
            held[leg["source"]] += leg["amount"]
    for source, left in held.items():
        if left:
            return (
                f"of {source} credits {credits(abs(left))} {'less' if left > 0 else 'more'} are released than were held"
            )
    return None


def _wrong_refund(refund: Iterable[Document], origin: Iterable[Document]) -> str | None:
    """Each part returns to where it came from, at most all of the price, and nobody else gets anything."""
    price = payable = 0
    paid: dict[tuple[str, str | None], int] = defaultdict(int)
    payers = set()
    for leg in origin:
        account, amount = leg["account"], leg["amount"]
        if leg["user_id"] is None or account == Owed.PENDING:
            price += amount if account != Platform.LLM else 0
        elif account != Owed.RESERVED:
            payers.add(leg["user_id"])
            payable -= amount if account != Fund.GRANTED else 0
            paid[account, leg["lot"]] -= amount
    for leg in refund:
        account, amount, user_id = leg["account"], leg["amount"], leg["user_id"]
        if amount < 0 or user_id is None:
            continue
        price -= amount
        payable -= amount if account != Fund.GRANTED else 0
        paid[account, leg["lot"]] -= amount
        owed = account == Owed.DEBT  # paid with what comes back, so it is no part of what was paid
        if user_id not in payers or price < 0 or payable < 0 or (paid[account, leg["lot"]] < 0 and not owed):
            return f"{credits(amount)} go back to {user_id} as {account}, which is more than was paid so"
    return None


def _wrong_compensation(compensated: Iterable[Document], origin: Iterable[Document]) -> str | None:
    """A seller is made whole for a sale that was refunded: for all of their share, and no more of it payable than was.

    What of it was never to be paid out, for buyer and seller were linked, is told by those journals.
    """
    share = payable = 0
    seller, refunded = None, False
    for leg in origin:
        account, amount, journal_id = leg["account"], leg["amount"], leg["journal_id"]
        if journal_id.startswith("purchase:"):
            refunded = refunded or journal_id.endswith(":refund")
            if account == Owed.PENDING and not journal_id.endswith(":refund"):
                seller, share = leg["user_id"], share + amount
                payable += amount if leg["source"] == Fund.PURCHASED else 0
        elif account == Fund.GRANTED or (account == Owed.PENDING and leg["source"] == Fund.GRANTED):
            payable -= amount  # what came to be granted beyond what was pending of gifts
    if not refunded:
        return "it makes a sale good that was not refunded"
    for leg in compensated:
        if leg["account"] == Owed.PENDING:
            share -= leg["amount"]
            payable -= leg["amount"] if leg["source"] == Fund.PURCHASED else 0
            if leg["user_id"] != seller:
                return f"{credits(leg['amount'])} go to {leg['user_id']}, who sold nothing"
    if share or payable < 0:
        return f"the seller gets {credits(-share or -payable)} more, or more of it payable, than the refund took"
    return None
