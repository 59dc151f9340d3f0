"""What a journal adds to the figures of its day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import date, timedelta

from promptforge.actors.analytics.market.messages import MarketDay, MarketFigures, MarketView
from promptforge.actors.billing.figures.messages import JournalFigures, Trade
from promptforge.core.amounts import from_millicredits


@dataclass(frozen=True, slots=True)
class Span:
    """The days from `since` to before `until`."""

    since: date
    until: date

    @property
    def earlier(self) -> date:
        """Where the time begins that is as long and ends where this one begins."""
        return self.since - (self.until - self.since)

    def bought(self, days: AbstractSet[date]) -> tuple[int, int]:
        """Whether who bought on these days bought in this time, and in the one before it: 1 or 0."""
        now = any(self.since <= day < self.until for day in days)
        before = any(self.earlier <= day < self.since for day in days)
        return int(now), int(before)


@dataclass(frozen=True, slots=True)
class Buyers:
    """How many bought in some time, how many in the one before it, and how many in both; and by day of this time."""

    now: int
    before: int
    both: int
    by_day: Mapping[date, int]

    def with_one(self, known: AbstractSet[date], bought: AbstractSet[date], span: Span) -> Buyers:
        """And somebody of whom the days `known` are counted, who bought on others too."""
        days = dict(self.by_day)
        for day in bought - known:
            if span.since <= day < span.until:
                days[day] = days.get(day, 0) + 1
        was_now, was_before = span.bought(known)
        now, before = span.bought(known | bought)
        both = self.both + now * before - was_now * was_before
        return Buyers(self.now + now - was_now, self.before + before - was_before, both, days)


COUNTED = ("purchases", "runs_sold", "gmv", "refunds", "refunded", "take", "model_income", "losses")
_ACCOUNTS = {"take": "platform:fees", "model_income": "platform:llm", "losses": "platform:losses"}
_NUMBERS = {Trade.PURCHASE: "purchases", Trade.RUN: "runs_sold", Trade.REFUND: "refunds"}


@dataclass(slots=True)
class DaySum:
    """Of one day, or of several; amounts in millicredits. `buyers` are those of the journals that were added here."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTED, 0))
    buyers: set[str] = field(default_factory=set)

    def add(self, journal: JournalFigures) -> None:
        counts = self.counts
        for name, account in _ACCOUNTS.items():
            counts[name] += journal.accounts.get(account, 0)
        # Losses are legs out of the platform's account: below zero there, above it here.
        counts["losses"] -= 2 * journal.accounts.get(_ACCOUNTS["losses"], 0)
        # So is what sellers were given because a refund was a mistake.
        counts["losses"] -= journal.accounts.get("platform:compensations", 0)
        # What the platform pays for models itself is no income: it is taken from here.
        counts["model_income"] += journal.accounts.get("platform:checks", 0)
        if journal.trade is None:
            return
        counts[_NUMBERS[journal.trade]] += 1
        counts["refunded" if journal.trade is Trade.REFUND else "gmv"] += journal.paid
        if journal.trade is not Trade.REFUND and journal.buyer_id is not None:
            self.buyers.add(journal.buyer_id)

    def figures(self, views: int) -> MarketFigures:
        counts = self.counts
        told = {name: from_millicredits(counts[name]) for name in ("gmv", "refunded", "take", "model_income", "losses")}
        return MarketFigures(
            purchases=counts["purchases"],
            runs_sold=counts["runs_sold"],
            refunds=counts["refunds"],
            views=views,
            **told,
        )


def by_day(journals: Iterable[JournalFigures]) -> dict[date, DaySum]:
    days: dict[date, DaySum] = defaultdict(DaySum)
    for journal in journals:
        days[journal.created_at.date()].add(journal)
    return days


def together(sums: Iterable[DaySum]) -> DaySum:
    whole = DaySum()
    for one in sums:
        for name in COUNTED:
            whole.counts[name] += one.counts[name]
    return whole


def told(span: Span, sums: Mapping[date, DaySum], buyers: Buyers, views: Mapping[date, int]) -> MarketView:
    """Every day has a place."""
    days = [span.since + timedelta(days=number) for number in range((span.until - span.since).days)]
    whole, seen = together([sums[day] for day in days if day in sums]), sum(views.values())
    purchases = whole.counts["purchases"]
    return MarketView(
        since=span.since,
        until=days[-1],
        figures=whole.figures(seen),
        active_buyers=buyers.now,
        buyers_before=buyers.before,
        retention=round(buyers.both / buyers.before, 4) if buyers.before else None,
        conversion=round(purchases / seen, 4) if seen else None,
        days=tuple(
            MarketDay(day, buyers.by_day.get(day, 0), sums.get(day, DaySum()).figures(views.get(day, 0)))
            for day in days
        ),
    )
