"""What each kind of journal takes out of, what it puts into, and whose accounts it may touch: the one table of it.

`WAYS` has a row for every kind. Users' accounts are somebody's whom the journal itself names (`Whose`), and what says
that it names them rightly is in the row as well: another journal (`About`), or a document that verification compares
with it (`told_by`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from promptforge.actors.billing.ledger.commissions.domain import (
    COLLECTED_BY,
    GIVEN_UP_BY,
    commission_withheld_by,
    forfeited_by,
)
from promptforge.actors.billing.ledger.domain import Fund, JournalKind, Owed, PartnerAccount, Platform, account_named
from promptforge.actors.billing.ledger.opening.domain import opening_key
from promptforge.actors.billing.ledger.runs import PREFIX as OF_RUNS
from promptforge.actors.billing.ledger.runs import close_key, reserve_key
from promptforge.actors.billing.ledger.sales.compensating import COMPENSATED_BY
from promptforge.actors.billing.ledger.sales.domain import SETTLED_BY, purchase_key, withheld_by
from promptforge.core.mongo import Document

PARTNER = "partner"
"""Stands for the accounts of all partners."""


class Whose(StrEnum):
    """Who a journal is about: the first of its parties, and those whom its refs name."""

    OWNER = "owner"
    BUYER = "buyer_id"
    SELLER = "seller_id"
    REFERRER = "referrer_id"
    PARTNER = "partner_id"

    def of(self, journal: Document) -> str | None:
        if self is Whose.OWNER:
            who = next(iter(journal.get("parties") or ()), None)
        else:
            who = journal.get("refs", {}).get(self.value)
        return who if isinstance(who, str) else None


Way = dict[str, frozenset[Whose]]
"""Account → whose it may be; of the platform's and the partners' it is nobody's."""


@dataclass(frozen=True, slots=True)
class About:
    """The journal that one is about, by its key and refs (None: about none), and who both name as what."""

    key: Callable[[str, Mapping[str, str]], str | None]
    same: Mapping[Whose, Whose]


@dataclass(frozen=True, slots=True)
class Ways:
    """`keys`: how the keys of the kind begin. `told_by`: what else says whose it is."""

    keys: tuple[str, ...]
    out_of: Way
    into: Way
    about: About | None = None
    told_by: str = ""


def _of(whose: Whose | Iterable[Whose], *accounts: str) -> Way:
    """Users' accounts, of one of these."""
    names = frozenset({whose} if isinstance(whose, Whose) else whose)
    return dict.fromkeys(accounts, names)


def _nobodys(*accounts: str) -> Way:
    return dict.fromkeys(accounts, frozenset[Whose]())


_OWNER, _BUYER, _SELLER = Whose.OWNER, Whose.BUYER, Whose.SELLER
_BACK = (*Fund, Owed.DEBT)
_INCOME = (Fund.EARNED, Owed.DEBT)
_BOUGHT = (Fund.PURCHASED, Owed.DEBT)
_TAKEN = (Owed.PENDING, Fund.EARNED, Fund.PURCHASED, Owed.DEBT)
_SAME_OWNER = {_OWNER: _OWNER}
_OWN_SALE = {_OWNER: _SELLER}
_FEES, _PARTNERS, _TOPUPS = _nobodys(Platform.FEES), _nobodys(PARTNER), _nobodys(Platform.TOPUPS)


def _ref(name: str) -> Callable[[str, Mapping[str, str]], str]:
    return lambda _key, refs: refs.get(name, "")


def _commissioned(key: str, refs: Mapping[str, str]) -> str | None:
    """What has settled and is given up is of many sales."""
    return None if key.startswith(GIVEN_UP_BY) else refs.get("sale", "")


def _purchase(key: str, _refs: Mapping[str, str]) -> str:
    return key.removesuffix(":refund")


def _of_run(other: Callable[[str], str]) -> Callable[[str, Mapping[str, str]], str]:
    return lambda key, _refs: other(key.removeprefix(OF_RUNS).rpartition(":")[0])


def _compensated(key: str, _refs: Mapping[str, str]) -> str:
    return purchase_key(key.removeprefix(COMPENSATED_BY))


def _claim(begin: str, *, gives: bool) -> Ways:
    """Of a payment's credits: what is taken comes from whoever paid, and comes back to them."""
    paid = About(_ref("topup"), _SAME_OWNER)
    losses = _nobodys(Platform.LOSSES)
    if gives:
        return Ways((begin,), _TOPUPS, _of(_OWNER, *_BOUGHT, *_INCOME) | losses, paid)
    return Ways((begin,), _of(_OWNER, *_TAKEN) | losses, _TOPUPS, paid)


def _paid(begin: str) -> Ways:
    return Ways((begin,), _TOPUPS, _of(_OWNER, *_BOUGHT), told_by="its checkout and its receipt")


def _payout(out_of: Way, into: Way) -> Ways:
    return Ways(("payout:",), out_of, into, told_by="its payout")


_HELD_BY_OWNER = _of(_OWNER, Owed.RESERVED)
_REFUNDED = (
    _of((_SELLER, Whose.REFERRER), *_TAKEN)
    | _of((_SELLER, Whose.REFERRER), Fund.GRANTED)
    | _FEES
    | _nobodys(Platform.LOSSES, PARTNER)
)  # fmt: skip
_COMMISSION = About(_commissioned, {Whose.PARTNER: Whose.PARTNER})
_AS_SOLD = {whose: whose for whose in Whose if whose is not _OWNER}

WAYS: Mapping[str, Ways] = {
    JournalKind.OPENING: Ways(
        (opening_key(""),),
        _of(_OWNER, Owed.DEBT) | _nobodys(Platform.OPENING),
        _of(_OWNER, Fund.GRANTED) | _nobodys(Platform.OPENING),
        told_by="its key",
    ),
    JournalKind.TOPUP: _paid("topup:"),
    JournalKind.INVOICE: _paid("invoice:"),
    JournalKind.GRANT: Ways(("grant:",), _nobodys(Platform.GRANTS), _of(_OWNER, Fund.GRANTED)),
    JournalKind.EXPIRY: Ways(
        ("expire:",), _of(_OWNER, Fund.GRANTED), _nobodys(Platform.GRANTS), About(_ref("lot"), _SAME_OWNER)
    ),
    JournalKind.WRITE_OFF: Ways(
        ("writeoff:",), _nobodys(Platform.LOSSES), _of(_OWNER, Owed.DEBT), told_by="its adjustment"
    ),
    JournalKind.PURCHASE: Ways(
        (purchase_key(""),),
        _of(_BUYER, *Fund) | _FEES,
        _of(_SELLER, Owed.PENDING) | _FEES | _PARTNERS,
        told_by="its purchase",
    ),
    JournalKind.PURCHASE_REFUND: Ways(
        (purchase_key(""),), _REFUNDED, _of(_BUYER, *_BACK), About(_purchase, _AS_SOLD)
    ),
    JournalKind.RUN_REFUND: Ways(
        (OF_RUNS,), _REFUNDED, _of(_OWNER, *_BACK), About(_of_run(close_key), {_OWNER: _OWNER, _SELLER: _SELLER})
    ),
    JournalKind.COMPENSATION: Ways(
        (COMPENSATED_BY,),
        _nobodys(Platform.COMPENSATIONS),
        _of(_OWNER, Owed.PENDING),
        About(_compensated, _OWN_SALE),
    ),
    JournalKind.COMPENSATION_RETURN: Ways(
        (COMPENSATED_BY,),
        _of(_OWNER, *_TAKEN, Fund.GRANTED),
        _nobodys(Platform.COMPENSATIONS),
        About(lambda key, _refs: key.removesuffix(":return"), _SAME_OWNER),
    ),
    JournalKind.SETTLEMENT: Ways(
        (SETTLED_BY,),
        _of(_OWNER, Owed.PENDING),
        _of(_OWNER, *_INCOME, Fund.GRANTED),
        About(_ref("sale"), _OWN_SALE),
    ),
    JournalKind.WITHHOLDING: Ways(
        (withheld_by(""),), _of(_OWNER, Fund.EARNED), _of(_OWNER, Fund.GRANTED), About(_ref("sale"), _OWN_SALE)
    ),
    JournalKind.TOPUP_REFUND: _claim("refund:", gives=False),
    JournalKind.DISPUTE_WITHDRAWN: _claim("dispute:", gives=False),
    JournalKind.TOPUP_REFUND_FAILED: _claim("refund:", gives=True),
    JournalKind.DISPUTE_REINSTATED: _claim("dispute:", gives=True),
    JournalKind.PAYOUT_RESERVE: _payout(_of(_OWNER, Fund.EARNED), _HELD_BY_OWNER),
    JournalKind.PAYOUT_FINAL: _payout(_HELD_BY_OWNER, _nobodys(Platform.PAYOUTS)),
    JournalKind.PAYOUT_RELEASE: _payout(_HELD_BY_OWNER | _nobodys(Platform.PAYOUTS), _of(_OWNER, *_INCOME)),
    JournalKind.RUN_RESERVE: Ways((OF_RUNS,), _of(_OWNER, *Fund), _HELD_BY_OWNER),
    JournalKind.RUN_CLOSE: Ways(
        (OF_RUNS,),
        _HELD_BY_OWNER | _nobodys(Platform.CHECKS),
        _of(_OWNER, *_BACK) | _of(_SELLER, Owed.PENDING) | _nobodys(Platform.LLM, Platform.FEES),
        About(_of_run(reserve_key), _SAME_OWNER),
    ),
    JournalKind.TRIAL_FUND: Ways(("trials:",), _of(_OWNER, *Fund), _HELD_BY_OWNER, told_by="its budget"),
    JournalKind.TRIAL_RETURN: Ways(("trials:",), _HELD_BY_OWNER, _of(_OWNER, *_BACK), told_by="its budget"),
    JournalKind.COMMISSION_RELEASE: Ways(("commission:",), _PARTNERS, _PARTNERS, _COMMISSION),
    JournalKind.COMMISSION_FORFEIT: Ways(("commission:", GIVEN_UP_BY), _PARTNERS, _FEES, _COMMISSION),
    JournalKind.COMMISSION_RESTORE: Ways(
        ("commission:",),
        _FEES,
        _PARTNERS,
        About(lambda key, _refs: forfeited_by(key), {Whose.PARTNER: Whose.PARTNER}),
    ),
    JournalKind.COMMISSION_COLLECT: Ways(
        (COLLECTED_BY,), _PARTNERS, _of(_OWNER, *_INCOME), told_by="its partner"
    ),
    JournalKind.COMMISSION_WITHHOLDING: Ways(
        (commission_withheld_by(""),),
        _of(_OWNER, Fund.EARNED) | _PARTNERS,
        _of(_OWNER, Fund.GRANTED) | _FEES,
        About(_ref("sale"), {_OWNER: Whose.REFERRER, Whose.PARTNER: Whose.PARTNER}),
    ),
}  # fmt: skip
"""Two kinds are told by nothing but themselves: a gift that needs no second operator, of which only the audit log says
who gave it, and what is set aside for a run, which whoever closes it answers for. A commission above its fee has a rule
of its own.
"""


def named(account: object) -> str:
    """The account of a leg as this table has it; what is none, as it is stored."""
    try:
        found = account_named(account if isinstance(account, str) else "")
    except KeyError:
        return repr(account)
    return PARTNER if isinstance(found, PartnerAccount) else found.value


def stranger_of(journal: Document, leg: Document) -> str | None:
    """What is wrong with whose account a leg moves, as far as its journal itself says whose it may.

    Of an account that no journal of the kind moves nothing is said: that is wrong whoever has it.
    """
    ways, account, user_id = WAYS.get(journal["kind"]), leg.get("account"), leg.get("user_id")
    name = named(account)
    whose = None if ways is None else (ways.into if leg["amount"] > 0 else ways.out_of).get(name)
    if whose is None:
        return None
    if not whose:
        if user_id is not None:
            return f"it moves {name} of {user_id}, and that is nobody's"
        mine = f"{PARTNER}:{Whose.PARTNER.of(journal)}:"
        return None if name != PARTNER or str(account).startswith(mine) else f"it moves {account}, another partner's"
    if user_id in [one.of(journal) for one in whose if one.of(journal)] and user_id in journal.get("parties", ()):
        return None
    return f"it moves {name} of {user_id}, whom it is not about"


def about(key: str, journal: Document) -> str | None:
    """The key of the journal that this one is about, and whose parties it has to have; None where it is of none."""
    ways = WAYS.get(journal["kind"])
    return ways.about.key(key, journal.get("refs", {})) if ways is not None and ways.about is not None else None


def stranger_to(journal: Document, origin: Document) -> str | None:
    """Whom a journal names otherwise than the one that it is about."""
    ways = WAYS[journal["kind"]]
    for mine, theirs in (ways.about.same if ways.about is not None else {}).items():
        who, meant = mine.of(journal), theirs.of(origin)
        if who != meant:
            return f"it is about {origin['_id']}, which is {meant}'s, and moves credits of {who}"
    return None
