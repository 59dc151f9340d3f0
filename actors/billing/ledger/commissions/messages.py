"""What the partnerships ask of the ledger. Each is asked in the transaction of what made it necessary."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated

from annotated_types import Ge, Le, Len

from promptforge.core.jobs import job
from promptforge.core.messages import Command, Query, internal
from promptforge.core.pages import DEFAULT_LIMIT, CursorToken, Limit, Page

PartnerId = Annotated[str, Len(1, 64)]
Id = Annotated[str, Len(1, 64)]
Term = Annotated[int, Ge(0)]


@dataclass(frozen=True, slots=True)
class FrozenTerm:
    """What a suspension froze, in millicredits; `state` is `frozen`, `released` or `forfeited`.

    `pending` is what is left of it: what was decided is carried out by a job, and what is released of a sale that has
    not settled yet settles with it. `reason` is the decision's. `forfeited` is what an appeal can bring back; `appeal`
    is what its owner says, and `answer` what was decided of that.
    """

    term: int
    state: str
    pending: int
    frozen_at: datetime
    decided_at: datetime | None
    reason: str | None
    reason_code: str | None
    forfeited: int = 0
    appeal_until: datetime | None = None
    appeal: str | None = None
    appealed_at: datetime | None = None
    answer: str | None = None
    answer_code: str | None = None
    answered_by: str | None = None
    answered_at: datetime | None = None
    decided_by: str | None = None


@dataclass(frozen=True, slots=True)
class UndecidedFreeze:
    """Of a term that nobody has decided about: what is pending of it, in millicredits; of one whose appeal waits also
    what is forfeited.
    """

    partner_id: str
    term: int
    pending: int
    frozen_at: datetime
    forfeited: int = 0
    appealed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CommissionsStand:
    """A partner's commissions by now, in millicredits: not settled yet, frozen, and settled but not collected."""

    pending: int
    frozen: int
    earned: int
    freezes: tuple[FrozenTerm, ...]


@internal
class ListSoldCodes(Query[tuple[str, ...]]):
    """The codes of somebody's by which sales came that promised a commission, whatever became of it."""

    referrer_id: Id


@dataclass(frozen=True, slots=True)
class CommissionDay:
    """The sales of one day (UTC) that came by one code, in millicredits.

    What was promised is by now pending (or frozen), earned, forgone (back in the platform's fee: linked accounts, or
    forfeited) or reversed with a refund after it had settled; what was pending of a refunded sale is reversed too.
    """

    day: date
    code: str
    sales: int
    refunds: int
    promised: int
    pending: int
    earned: int
    forgone: int
    reversed: int


@internal
class FreezeCommissions(Command[int]):
    """Freeze what a partner has earned and what has not settled, in the suspension's transaction; answers the term.

    Sales that are under way meanwhile and saw the partner before the suspension are of that term too.
    """

    partner_id: PartnerId


@internal
class ListUndecidedFreezes(Query[Page[UndecidedFreeze]]):
    """Everybody's freezes that nobody has decided about, or (`appealed`) whose appeal waits; the newest first."""

    appealed: bool = False
    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@internal
class ListUndecidedTerms(Query[tuple[int, ...]]):
    """A partner's, the newest first."""

    partner_id: PartnerId


@internal
class DecideFreeze(Command[FrozenTerm]):
    """Release or forfeit what one suspension froze, once; what is forfeited can be appealed until `appeal_until`.

    Raises `FreezeDecided` (409) where somebody was faster, and `NotFound` where nothing was frozen.
    """

    partner_id: PartnerId
    term: Term
    release: bool
    decided_by: Id
    reason: Annotated[str, Len(3, 2000)]
    reason_code: Annotated[str, Len(1, 50)]
    appeal_until: datetime | None = None


@internal
class GetFreeze(Query[FrozenTerm]):
    """A partner's of one term. Raises `NotFound`."""

    partner_id: PartnerId
    term: Term


@internal
class AppealFreeze(Command[FrozenTerm]):
    """Keep what a partner says against a forfeiture, once.

    Raises `NothingForfeited`, `ForfeitAppealed` or `AppealTooLate` (409), and `NotFound` where nothing was frozen.
    """

    partner_id: PartnerId
    term: Term
    words: Annotated[str, Len(1, 2000)]


@internal
class AnswerFreeze(Command[FrozenTerm]):
    """Uphold a forfeiture that was appealed, or bring back what was forfeited; once, and for good.

    Raises `FreezeDecided` (409) where somebody was faster, `NothingForfeited` (409) without an appeal, and `NotFound`.
    """

    partner_id: PartnerId
    term: Term
    granted: bool
    decided_by: Id
    reason: Annotated[str, Len(3, 2000)]
    reason_code: Annotated[str, Len(1, 50)]


@internal
@job(timeout_seconds=600, keep_dead=None)
class CarryOutFreeze(Command[int]):
    """Move the commissions of a term that was decided about, some sales at a time; answers of how many sales."""

    partner_id: PartnerId
    term: Term


@internal
@job(timeout_seconds=600, keep_dead=None)
class RestoreForfeited(Command[int]):
    """Bring back what was forfeited of a term whose appeal was granted, some sales at a time; answers of how many."""

    partner_id: PartnerId
    term: Term


@internal
@job(timeout_seconds=600, keep_dead=None)
class SettleCommissions(Command[int]):
    """Move a partner's commissions whose sales have settled, but for those that are frozen; answers of how many sales.

    One of a payment that is disputed, or of somebody whose account is suspended, stays pending until that has ended.
    """

    partner_id: PartnerId


@internal
@job(timeout_seconds=600, keep_dead=None)
class GiveUpCommissions(Command[int]):
    """Put what is pending, frozen or uncollected of a partner back into the fees: the account behind it is closed.

    Answers of how many sales something was pending. Again it takes what sales and settlements that were under way
    beside the closing have brought meanwhile.
    """

    partner_id: PartnerId


@internal
class CollectCommissions(Command[int]):
    """Make settled commissions earned credits of the partner's owner, once for each id; answers the millicredits.

    All that there are, unless an amount is given. Raises `InsufficientCredits` (402).
    """

    collection_id: Id
    partner_id: PartnerId
    owner_id: Id
    amount_millicredits: Annotated[int, Ge(1), Le(10**12)] | None = None


@internal
class GetCommissions(Query[CommissionsStand]):
    """How a partner's commissions stand."""

    partner_id: PartnerId


@internal
class SumCommissions(Query[tuple[CommissionDay, ...]]):
    """What the sales from `since` to before `until` brought a partner, by day and code."""

    partner_id: PartnerId
    since: datetime
    until: datetime
