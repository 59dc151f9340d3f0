"""The ledger's books in memory: the same rules as on MongoDB, for the tests that take ten thousand steps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from promptforge.actors.billing.errors import InsufficientCredits, JournalMismatch
from promptforge.actors.billing.ledger.audit import Returned
from promptforge.actors.billing.ledger.books import MOST_SALES, Books
from promptforge.actors.billing.ledger.budgets.domain import Budget
from promptforge.actors.billing.ledger.commissions.domain import COLLECTED_BY, Freeze, PartnerBalance, freeze_id
from promptforge.actors.billing.ledger.domain import Fund, Journal, JournalKind, Leg, Owed, PartnerAccount, Platform
from promptforge.actors.billing.ledger.holdings import (
    Holdings,
    Lots,
    brought_by,
    came_back,
    stored_legs,
    with_debts_paid,
)
from promptforge.actors.billing.ledger.payouts.domain import Payout
from promptforge.actors.billing.ledger.sales.domain import Sale, SaleState
from promptforge.actors.billing.ledger.store import journal_row, leg_rows
from promptforge.actors.billing.ledger.topups.domain import Topup
from promptforge.actors.billing.verification.provenance import (
    CLAIMS_GIVEN_BACK,
    Moved,
    fault_of,
    fault_of_return,
    needs_its_origin,
)
from promptforge.actors.billing.verification.ways import about, stranger_of, stranger_to
from promptforge.core.errors import NotFound
from promptforge.core.mongo import Document

T = TypeVar("T")
START = datetime(2026, 11, 25, tzinfo=UTC)
GIVING_BACK = frozenset(
    {
        JournalKind.PURCHASE_REFUND,
        JournalKind.RUN_REFUND,
        JournalKind.COMPENSATION_RETURN,
        JournalKind.COMMISSION_RESTORE,
    }
)
"""The fee comes back as well, or what gifts had paid for, so they are judged beside what was paid."""


def run(command: Coroutine[Any, Any, T]) -> T:  # Any: a command in memory never waits for anything
    """A command on books in memory, without an event loop."""
    try:
        command.send(None)
    except StopIteration as end:
        done: T = end.value
        return done
    raise RuntimeError("a command in memory waited for something")


@dataclass(slots=True)
class Pages:
    """Everything that a transaction can roll back; the values are immutable."""

    users: dict[str, Holdings] = field(default_factory=dict)
    journals: dict[str, Journal] = field(default_factory=dict)
    order: dict[str, int] = field(default_factory=dict)
    sales: dict[str, Sale] = field(default_factory=dict)
    topups: dict[str, Topup] = field(default_factory=dict)
    partners: dict[str, PartnerBalance] = field(default_factory=dict)
    freezes: dict[str, Freeze] = field(default_factory=dict)
    payouts: dict[str, Payout] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    budgets: dict[str, Budget] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    """What was wrong with where a journal took its credits from, as it was posted."""

    def copy(self) -> Pages:
        return Pages(*(dict(getattr(self, name)) for name in self.__slots__))


class MemoryBooks(Books):
    def __init__(self, *, most_sales: int = MOST_SALES) -> None:
        """`most_sales`: how many one command looks at."""
        self.pages = Pages()
        self.clock = START
        self._most_sales = most_sales

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of what is done inside, or nothing of it."""
        before = self.pages.copy()
        try:
            yield
        except BaseException:
            self.pages = before
            raise

    @property
    def now(self) -> datetime:
        return self.clock

    async def holdings(self, user_id: str) -> Holdings:
        if user_id not in self.pages.users:
            raise NotFound
        return self.pages.users[user_id]

    async def find_journal(self, journal_id: str) -> Journal | None:
        return self.pages.journals.get(journal_id)

    async def post(self, journal: Journal) -> bool:
        there = self.pages.journals.get(journal.id)
        if there is not None:
            if (there.kind, dict(there.refs)) != (journal.kind, dict(journal.refs)):
                raise JournalMismatch
            return False
        journal = with_debts_paid(journal, {user: await self.holdings(user) for user in stored_legs(journal)})
        self.pages.journals[journal.id] = journal
        self.pages.order[journal.id] = len(self.pages.order)
        if (fault := self._fault_of(journal)) is not None:
            self.pages.faults[journal.id] = fault
        for user_id, legs in stored_legs(journal).items():
            before = await self.holdings(user_id)
            holdings = before.after(legs)
            lots = brought_by(journal, holdings.lots)
            if came_back(before.lots, lots, journal.id):
                lots = self._in_order(lots)
            self.pages.users[user_id] = replace(holdings, lots=lots)
        for leg in journal.legs:
            if isinstance(leg.account, PartnerAccount) and leg.account.settled:
                self._fold_partner(leg.account.partner_id, leg.amount)
        return True

    def _fault_of(self, journal: Journal) -> str | None:
        """Each journal is judged by itself, when all is known that its command could have known: no fee and no payout
        of others leaves room for a leak in it.
        """
        moved = Moved()
        legs = leg_rows(journal, self.clock)
        for leg in legs:
            moved.add(leg)
        fault = (
            fault_of(journal.id, journal.kind, moved)
            or self._fault_of_its_time(journal)
            or self._stranger_of(journal, legs)
        )
        if fault is not None:
            return fault
        if journal.kind not in GIVING_BACK and (made := payable_mass(journal.legs)) > 0:
            return f"{made} became payable"
        between = self._parties_of(journal)
        if between is not None and self.group(between[0]) == self.group(between[1]):
            payable = moved.put(Fund.EARNED, Owed.DEBT) + moved.put(Owed.PENDING, source=Fund.PURCHASED)
            if payable and journal.kind is not JournalKind.RUN_CLOSE:
                return f"{payable} became payable between linked accounts"
            if moved.put(Owed.PENDING, source=Fund.PURCHASED):
                return "the share of a run became payable between linked accounts"
        if not needs_its_origin(journal.kind, moved) or "budget_id" in journal.refs:
            return None
        return fault_of_return(journal.kind, legs, self._origin_of(journal))

    def _fault_of_its_time(self, journal: Journal) -> str | None:
        """What it should have waited for."""
        if journal.kind is JournalKind.SETTLEMENT and self._is_being_undone(journal):
            return "it settles what is to be undone"
        if journal.kind is JournalKind.PAYOUT_RESERVE and (left := self.left_to_withhold(journal.parties[0])):
            return f"{left} of linked accounts is still among what is paid out"
        return None

    def left_to_withhold(self, seller_id: str) -> int:
        """What has settled of sales to linked accounts, less what was withheld, as the journals say it."""
        left: dict[str, int] = defaultdict(int)
        for journal in self.pages.journals.values():
            if journal.kind is JournalKind.SETTLEMENT and "linked" not in journal.refs:
                left[journal.refs["sale"]] -= journal.total(Owed.PENDING, source=Fund.PURCHASED)
            elif journal.kind is JournalKind.WITHHOLDING:
                left[journal.refs["sale"]] += journal.total(Fund.EARNED)
        standing = [sale for sale in self.pages.sales.values() if sale.state is not SaleState.REVERSED]
        mine = [sale for sale in standing if sale.seller_id == seller_id]
        linked = sum(left[sale.id] for sale in mine if self.group(sale.buyer_id) == self.group(seller_id))
        return linked + self._commissions_left(seller_id, standing)

    def _commissions_left(self, referrer_id: str, standing: Sequence[Sale]) -> int:
        left: dict[str, int] = defaultdict(int)
        for journal in self.pages.journals.values():
            if journal.kind is JournalKind.COMMISSION_RELEASE:
                left[journal.refs["sale"]] += sum(leg.amount for leg in journal.legs if leg.amount > 0)
            elif journal.kind is JournalKind.COMMISSION_WITHHOLDING:
                left[journal.refs["sale"]] += sum(leg.amount for leg in journal.legs if leg.amount < 0)
        mine = [sale for sale in standing if sale.referrer_id == referrer_id]
        return sum(left[sale.id] for sale in mine if self._is_known(sale))

    def _is_being_undone(self, settlement: Journal) -> bool:
        lots = self.pages.sales[settlement.refs["sale"]].paid_with
        return any(lot in self.pages.topups and self.pages.topups[lot].undoing for lot in lots)

    def _stranger_of(self, journal: Journal, legs: Sequence[Document]) -> str | None:
        """Whose credits it moves and should not."""
        row = journal_row(journal, self.clock)
        if strangers := [found for leg in legs if (found := stranger_of(row, leg)) is not None]:
            return strangers[0]
        if (key := about(journal.id, row)) is None:
            return None
        return stranger_to(row, journal_row(self.pages.journals[key], self.clock))

    def _parties_of(self, journal: Journal) -> tuple[str, str] | None:
        """Buyer and seller of what is sold, settled or made good."""
        if journal.kind in {JournalKind.SETTLEMENT, JournalKind.COMPENSATION}:
            sale = self.pages.sales[journal.refs.get("sale", journal.id)]
            return sale.buyer_id, sale.seller_id
        if journal.kind in {JournalKind.PURCHASE, JournalKind.RUN_CLOSE} and "seller_id" in journal.refs:
            return journal.parties[0], journal.refs["seller_id"]
        return None

    def _origin_of(self, journal: Journal) -> list[Document]:
        if journal.kind is JournalKind.COMPENSATION:
            keys = Returned(journal.id, journal.kind).origins()
            of = [self.pages.journals[key] for key in keys if key in self.pages.journals]
        elif journal.kind in CLAIMS_GIVEN_BACK:
            of = [one for one in self.pages.journals.values() if one.refs.get("topup") == journal.refs["topup"]]
        else:
            of = [self.pages.journals[journal.reverses or ""]]
            if journal.kind is JournalKind.RUN_REFUND:
                of.append(self.pages.journals[of[0].reverses or ""])
        return [leg for one in of for leg in leg_rows(one, self.clock)]

    def _in_order(self, lots: Lots) -> Lots:
        marked = (replace(lot, frozen=self._is_frozen(lot.id), expires_at=self._until(lot.id)) for lot in lots)
        return tuple(sorted(marked, key=lambda lot: (self.pages.order.get(lot.id, -1), lot.id)))

    def _is_frozen(self, lot: str) -> bool:
        topup = self.pages.topups.get(lot)
        return topup is not None and bool(topup.frozen_by)

    def _until(self, lot: str) -> datetime | None:
        journal = self.pages.journals.get(lot)
        return journal.expires_at if journal is not None else None

    def _fold_partner(self, partner_id: str, amount: int) -> None:
        partner = self._partner(partner_id)
        if partner.earned + amount < 0:
            raise InsufficientCredits
        self.pages.partners[partner_id] = replace(partner, earned=partner.earned + amount)

    def _partner(self, partner_id: str) -> PartnerBalance:
        return self.pages.partners.get(partner_id, PartnerBalance(partner_id))

    async def find_sale(self, sale_id: str) -> Sale | None:
        return self.pages.sales.get(sale_id)

    async def put_sale(self, sale: Sale) -> None:
        self.pages.sales[sale.id] = sale

    async def open_sales(self, seller_id: str) -> Sequence[Sale]:
        mine = [sale for sale in self.pages.sales.values() if sale.seller_id == seller_id]
        found = [sale for sale in mine if sale.open and sale.payable]
        return sorted(found, key=lambda sale: (sale.sold_at, sale.id))[: self._most_sales]

    async def open_sales_paid_with(self, lot: str) -> Sequence[Sale]:
        found = [sale for sale in self.pages.sales.values() if sale.open and lot in sale.paid_with]
        return sorted(found, key=lambda sale: (sale.sold_at, sale.id), reverse=True)[: self._most_sales]

    async def has_settled_since_before(self, seller_id: str, moment: datetime) -> bool:
        return any(
            sale.seller_id == seller_id and sale.state is SaleState.SETTLED and sale.sold_at <= moment and sale.earned
            for sale in self.pages.sales.values()
        )

    async def earned_of_linked(self, seller_id: str) -> Sequence[Sale]:
        mine = [sale for sale in self.pages.sales.values() if sale.seller_id == seller_id and sale.earned]
        return [sale for sale in mine if self.group(sale.buyer_id) == self.group(seller_id)][: self._most_sales]

    async def commissions_of_linked(self, referrer_id: str) -> Sequence[Sale]:
        mine = [sale for sale in self.pages.sales.values() if sale.referrer_id == referrer_id and sale.released]
        return [sale for sale in mine if self._is_known(sale)][: self._most_sales]

    def _is_known(self, sale: Sale) -> bool:
        """Whether the referrer belongs together with buyer or seller."""
        return self.group(sale.referrer_id) in {self.group(sale.buyer_id), self.group(sale.seller_id)}

    async def are_linked(self, one: str, other: str) -> bool:
        return self.group(one) == self.group(other)

    def group(self, user_id: str) -> str:
        return self.pages.groups.get(user_id, user_id)

    def link(self, one: str, other: str) -> None:
        """They turn out to share a card."""
        kept, given_up = self.group(one), self.group(other)
        for user_id in self.pages.users:
            if self.group(user_id) == given_up:
                self.pages.groups[user_id] = kept

    async def find_topup(self, topup_id: str) -> Topup | None:
        return self.pages.topups.get(topup_id)

    async def put_topup(self, topup: Topup) -> None:
        self.pages.topups[topup.id] = topup

    async def has_open_dispute(self, user_id: str) -> bool:
        return any(topup.user_id == user_id and topup.frozen_by for topup in self.pages.topups.values())

    async def freeze_lot(self, user_id: str, lot: str, *, frozen: bool) -> None:
        holdings = self.pages.users[user_id]
        lots = tuple(replace(one, frozen=frozen) if one.id == lot else one for one in holdings.lots)
        self.pages.users[user_id] = replace(holdings, lots=lots)

    async def find_budget(self, budget_id: str) -> Budget | None:
        return self.pages.budgets.get(budget_id)

    async def open_budgets(self, subject: str) -> Sequence[Budget]:
        return [budget for budget in self.pages.budgets.values() if budget.subject == subject and not budget.ended]

    async def put_budget(self, budget: Budget) -> None:
        self.pages.budgets[budget.id] = budget

    async def partner(self, partner_id: str) -> PartnerBalance:
        return self._partner(partner_id)

    async def begin_term(self, partner_id: str, term: int) -> None:
        self.pages.partners[partner_id] = replace(self._partner(partner_id), term=term)

    async def close_partner(self, partner_id: str) -> None:
        self.pages.partners[partner_id] = replace(self._partner(partner_id), closed=True)

    async def find_freeze(self, partner_id: str, term: int) -> Freeze | None:
        return self.pages.freezes.get(freeze_id(partner_id, term))

    async def put_freeze(self, freeze: Freeze) -> None:
        self.pages.freezes[freeze.id] = freeze

    async def find_payout(self, payout_id: str) -> Payout | None:
        return self.pages.payouts.get(payout_id)

    async def put_payout(self, payout: Payout) -> None:
        self.pages.payouts[payout.id] = payout


def broken_invariants(pages: Pages) -> list[str]:
    """Every invariant of the ledger, recomputed from the legs alone; the names of those that do not hold."""
    legs = [leg for journal in pages.journals.values() for leg in journal.legs]
    return [
        *_unbalanced(pages),
        *_wrong_balances(pages, legs),
        *_wrong_partners(pages),
        *_wrong_sales(pages, legs),
        *_wrong_topups(pages, legs),
        *_wrongly_frozen(pages),
        *_unearned(pages),
        *(f"{key}: {fault}" for key, fault in pages.faults.items()),
        *_wrong_budgets(pages),
        *(["gifts became money"] if payable_mass(legs) > 0 else []),
    ]


def _unbalanced(pages: Pages) -> list[str]:
    wrong = [journal for journal in pages.journals.values() if sum(leg.amount for leg in journal.legs)]
    return [f"unbalanced: {journal.id}" for journal in wrong]


def _wrong_balances(pages: Pages, legs: Sequence[Leg]) -> list[str]:
    sums: dict[tuple[str, object], int] = defaultdict(int)
    lots: dict[tuple[str, str], int] = defaultdict(int)
    for leg in legs:
        sums[leg.user_id or "", leg.account] += leg.amount
        if isinstance(leg.account, Fund) and leg.lot:
            lots[leg.user_id or "", leg.lot] += leg.amount
    found = []
    for user_id, has in pages.users.items():
        for account in (*Fund, Owed.RESERVED, Owed.DEBT):
            stored = has.balance(account)
            if stored != sums[user_id, account]:
                found.append(f"{user_id} {account}: stored {stored}, legs {sums[user_id, account]}")
            if stored > 0 if account is Owed.DEBT else stored < 0:
                found.append(f"{user_id} {account}: {stored}")
        left = {lot: amount for (user, lot), amount in lots.items() if user == user_id and amount}
        if left != {lot.id: lot.remaining for lot in has.lots}:
            found.append(f"{user_id}: lots {has.lots}, legs {left}")
    return found


def _wrong_partners(pages: Pages) -> list[str]:
    """What a partner has is what its sales brought, less what was forgone, reversed and collected; no sale pays more
    than its fee.
    """
    sums: dict[object, int] = defaultdict(int)
    lost: dict[str, int] = defaultdict(int)
    found = []
    for journal in pages.journals.values():
        if journal.kind is JournalKind.PURCHASE and journal.total(Platform.FEES) < 0:
            found.append(f"a commission above the fee: {journal.id}")
        for leg in journal.legs:
            if isinstance(leg.account, PartnerAccount):
                sums[leg.account] += leg.amount
                gone = journal.kind in {JournalKind.PURCHASE_REFUND, JournalKind.COMMISSION_COLLECT}
                lost[leg.account.partner_id] -= leg.amount if gone else 0
    for partner in pages.partners.values():
        mine = [sale for sale in pages.sales.values() if sale.partner_id == partner.partner_id]
        earned = sums[PartnerAccount(partner.partner_id, settled=True)]
        pending = sums[PartnerAccount(partner.partner_id)]
        brought = sum(sale.promised - sale.forgone for sale in mine)
        if partner.earned != earned or earned < 0 or pending < 0 or pending != sum(sale.commission for sale in mine):
            found.append(f"{partner}: earned {earned}, pending {pending}")
        if brought != pending + earned + lost[partner.partner_id]:
            found.append(f"{partner}: brought {brought}, has {pending} + {earned}, lost {lost[partner.partner_id]}")
    return found


def _wrong_sales(pages: Pages, legs: Sequence[Leg]) -> list[str]:
    pending: dict[tuple[str | None, Fund | None], int] = defaultdict(int)
    for leg in legs:
        if leg.account is Owed.PENDING or leg.account_is_commission:
            pending[leg.lot, leg.source] += leg.amount
    stored: dict[tuple[str | None, Fund | None], int] = {
        (sale.id, source): amount
        for sale in pages.sales.values()
        for source, amount in ((Fund.PURCHASED, sale.payable), (Fund.GRANTED, sale.granted), (None, sale.commission))
    }
    wrong = [key for key in pending.keys() | stored.keys() if pending.get(key, 0) != stored.get(key, 0)]
    return [f"pending of {key}: stored {stored.get(key)}, legs {pending.get(key)}" for key in wrong]


def _wrong_topups(pages: Pages, legs: Sequence[Leg]) -> list[str]:
    net: dict[str, int] = defaultdict(int)
    for leg in legs:
        if leg.account is Platform.TOPUPS and leg.lot:
            net[leg.lot] += leg.amount
    found = [f"more was taken back than given: {lot}" for lot, amount in net.items() if amount > 0]
    wrong = [
        topup
        for topup in pages.topups.values()
        if topup.taken != topup.due or net[topup.id] != topup.taken - topup.credits
    ]
    return found + [f"{topup.id}: taken {topup.taken}, due {topup.due}, at Stripe {net[topup.id]}" for topup in wrong]


def _wrongly_frozen(pages: Pages) -> list[str]:
    """A lot is frozen exactly while something freezes the payment that it came with."""
    frozen = {topup.id for topup in pages.topups.values() if topup.frozen_by}
    lots = [lot for holdings in pages.users.values() for lot in holdings.lots]
    return [f"{lot.id}: frozen is {lot.frozen}" for lot in lots if lot.frozen != (lot.id in frozen)]


def _wrong_budgets(pages: Pages) -> list[str]:
    """What is in a budget is what its journals put in and took out, and no trial holds more than there is."""
    left: dict[str, int] = defaultdict(int)
    for journal in pages.journals.values():
        if "budget_id" in journal.refs:
            left[journal.refs["budget_id"]] += journal.total(Owed.RESERVED)
    wrong = []
    for budget in pages.budgets.values():
        expected = 0 if budget.ended else budget.funded - budget.spent
        if left[budget.id] != expected or budget.held > max(0, expected):
            wrong.append(f"{budget}: legs {left[budget.id]}")
    return wrong


def _unearned(pages: Pages) -> list[str]:
    """Earned credits come from settlements; everything else only gives back what it took."""
    beside: dict[str, int] = defaultdict(int)
    found = []
    for journal in pages.journals.values():
        for leg in journal.legs:
            if leg.account is Fund.EARNED and not journal.id.startswith(("settle:", COLLECTED_BY)):
                beside[leg.user_id or ""] += leg.amount
        if journal.id.startswith("settle:"):
            payable = -journal.total(Owed.PENDING, source=Fund.PURCHASED)
            if journal.total(Fund.EARNED) + journal.total(Owed.DEBT) > payable:
                found.append(f"unearned: {journal.id}")
    return found + [f"unearned: {user_id}" for user_id, amount in beside.items() if amount > 0]


def payable_mass(legs: Sequence[Leg]) -> int:
    """What bought and earned credits, debts, partners, banks and losses sum to, beside the money that came in.

    Money in makes it zero; fees and models take from it; nothing adds to it. Above zero, gifts have become money.
    """
    total = 0
    for leg in legs:
        granted = leg.account is Fund.GRANTED or leg.source is Fund.GRANTED
        kept = leg.account in {Platform.FEES, Platform.LLM, Platform.CHECKS, Platform.GRANTS, Platform.OPENING}
        total += 0 if granted or kept else leg.amount
    return total
