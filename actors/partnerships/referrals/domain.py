"""What a code may be, what a touch is worth and for how long, and the sums of a dashboard. No I/O."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta

from promptforge.actors.billing.ledger.commissions.messages import CommissionDay
from promptforge.actors.partnerships.referrals.errors import NotAReferral, ReferralExpired
from promptforge.actors.partnerships.referrals.messages import (
    PartnerDashboard,
    ReferralCodeSums,
    ReferralDay,
    ReferralSums,
)
from promptforge.core.alike import skeleton
from promptforge.core.amounts import from_millicredits
from promptforge.core.errors import FieldError, Invalid
from promptforge.core.signing import Signer

WINDOW = timedelta(days=30)
"""From the touch, however late it is handed in."""
MOST_ACTIVE = 20
MOST_CODES = 200
"""Of a partner's, those that are not active any more among them: they are kept for good."""
ALPHABET = "abcdefghjknpqrtuvxyz234679"
"""Of codes at random: none of these, and no two of them side by side, look like another one."""
RANDOM_LENGTH = 10
_HOUSE = frozenset(
    skeleton(word)
    for word in (
        *("admin", "administrator", "official", "promptforge", "staff", "support", "team", "moderator", "operator"),
        *("billing", "payments", "payouts", "security", "system", "partner", "partners", "test", "null", "undefined"),
    )
)
_HOUSE_PREFIXES = tuple(skeleton(prefix) for prefix in ("promptforge", "admin-", "official-", "support-"))


def normal_code(code: str) -> str:
    """Raises `Invalid` for words that are the house's, and what looks like them."""
    normal = code.lower()
    look = skeleton(normal)
    if look in _HOUSE or look.startswith(_HOUSE_PREFIXES):
        error = FieldError("This code is reserved", "reserved_code", pointer="/code")
        raise Invalid("The code is reserved", errors=(error,))
    return normal


def held_as(alike: str) -> str:
    """What stands for the skeleton of an erased account's code: it tells whether some code is that one, no more."""
    return hashlib.sha256(f"promptforge referral code\n{alike}".encode()).hexdigest()


# Touches


@dataclass(frozen=True, slots=True)
class Touch:
    """Somebody followed a link of this code."""

    code: str
    at: datetime

    @property
    def until(self) -> datetime:
        return self.at + WINDOW


class Touches:
    """As what links give away. The time in it is this service's, so nobody's clock matters, and it names nobody."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def token(self, touch: Touch) -> str:
        return self._signer.token(f"{touch.code}\n{int(touch.at.timestamp() * 1000)}")

    def read(self, token: str) -> Touch | None:
        said = self._signer.read(token)
        if said is None:
            return None
        code, _, millis = said.partition("\n")
        return Touch(code, datetime.fromtimestamp(int(millis) / 1000, UTC))

    def open_ones(self, tokens: Sequence[str], now: datetime) -> list[Touch]:
        """Those that still count, the earliest first. Raises `NotAReferral` or `ReferralExpired` where none does.

        What no link gave away is passed over: a frontend keeps what addresses say, and anybody can make up an address.
        """
        touches = [touch for touch in map(self.read, tokens) if touch is not None]
        if not touches:
            raise NotAReferral
        still_open = sorted((touch for touch in touches if now < touch.until), key=lambda touch: touch.at)
        if not still_open:
            raise ReferralExpired
        return still_open


# Dashboards


@dataclass(slots=True)
class Sums:
    """Of some days and codes; amounts in millicredits."""

    clicks: int = 0
    attributions: int = 0
    sign_ups: int = 0
    sales: int = 0
    refunds: int = 0
    promised: int = 0
    pending: int = 0
    earned: int = 0
    forgone: int = 0
    reversed: int = 0

    def add(self, other: Sums) -> None:
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))

    def view(self) -> ReferralSums:
        return ReferralSums(
            clicks=self.clicks,
            attributions=self.attributions,
            sign_ups=self.sign_ups,
            sales=self.sales,
            refunds=self.refunds,
            promised=from_millicredits(self.promised),
            pending=from_millicredits(self.pending),
            earned=from_millicredits(self.earned),
            forgone=from_millicredits(self.forgone),
            reversed=from_millicredits(self.reversed),
        )


@dataclass(frozen=True, slots=True)
class DayOfCode:
    """What happened by one code on one day."""

    day: date
    code: str
    sums: Sums


def of_ledger(row: CommissionDay) -> DayOfCode:
    sums = Sums(
        sales=row.sales,
        refunds=row.refunds,
        promised=row.promised,
        pending=row.pending,
        earned=row.earned,
        forgone=row.forgone,
        reversed=row.reversed,
    )
    return DayOfCode(row.day, row.code, sums)


def dashboard(rows: Iterable[DayOfCode], codes: Iterable[str], *, since: date, until: date) -> PartnerDashboard:
    """Every day from `since` to `until`, both of them in it, has a place, and so has every code."""
    days: Mapping[date, Sums] = {since + timedelta(days=number): Sums() for number in range((until - since).days + 1)}
    by_code: dict[str, Sums] = defaultdict(Sums, {code: Sums() for code in codes})
    total = Sums()
    for row in rows:
        total.add(row.sums)
        days[row.day].add(row.sums)
        by_code[row.code].add(row.sums)
    return PartnerDashboard(
        since=since,
        until=until,
        totals=total.view(),
        days=tuple(ReferralDay(day, sums.view()) for day, sums in days.items()),
        codes=tuple(ReferralCodeSums(code, sums.view()) for code, sums in by_code.items()),
    )
