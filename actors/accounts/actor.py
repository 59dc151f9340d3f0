"""Deletes accounts: asked for, waited for, closed in one transaction, and erased step by step."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta

from promptforge.actors.accounts.domain import (
    AGAIN,
    LINKS_KEPT,
    SECOND_LOOK,
    SETTLED,
    TERMS_LOOKED_AT,
    Deletion,
    in_words,
    obstacles,
)
from promptforge.actors.accounts.errors import DeletionBlocked, NothingToCancel
from promptforge.actors.accounts.exports.messages import ForgetPersonalExport
from promptforge.actors.accounts.messages import (
    CancelDeletion,
    CloseDueAccounts,
    DeleteAccount,
    DeletionState,
    DeletionView,
    GetDeletion,
    Obstacle,
    RequestDeletion,
)
from promptforge.actors.accounts.records import PersonalRecords
from promptforge.actors.accounts.store import DeletionStore
from promptforge.actors.analytics.events.messages import ForgetEvents
from promptforge.actors.analytics.exports.messages import ForgetExports
from promptforge.actors.billing.ledger.commissions.messages import ListSoldCodes
from promptforge.actors.billing.messages import ForgetInstruments
from promptforge.actors.billing.obligations.messages import GetObligations
from promptforge.actors.marketplace.listings.messages import LeaveMarket, ListOfferedVersions
from promptforge.actors.marketplace.purchases.messages import ListBoughtVersions, ListSoldVersions
from promptforge.actors.notifications.messages import NotifyUser
from promptforge.actors.partnerships.messages import LeavePartnerships
from promptforge.actors.partnerships.referrals.messages import HoldBackCodes
from promptforge.actors.projects.messages import HasSharedProjects, LeaveProjects
from promptforge.actors.prompts.messages import ListWithIncluded
from promptforge.actors.users.messages import (
    CloseAccount,
    CountOnAdministrators,
    EraseUser,
    HoldBackHandles,
    ListAdministrators,
)
from promptforge.core.context import Context
from promptforge.core.errors import AccountClosed, NotFound
from promptforge.core.failpoints import reach
from promptforge.core.jobs import Discard
from promptforge.core.runtime import Actor, handles

MOST_DUE = 500
PROMPTS = "prompts"
LOOKED_UP = 500
"""Prompts, at once."""


class AccountsActor(Actor):
    """`days`: how long a deletion can be taken back. `disable` ends a uid's sign-ins; what it raises is tried again."""

    name = "accounts"
    asks = (
        *(
            "analytics_events",
            "billing",
            "commissions",
            "exports",
            "marketplace",
            "obligations",
            "partners",
            "personal_exports",
            "projects",
            "prompts",
            "purchases",
            "referrals",
        ),
        "users",
    )

    def __init__(
        self,
        store: DeletionStore,
        records: PersonalRecords,
        *,
        days: int,
        disable: Callable[[str], Awaitable[None]],
    ) -> None:
        self._store = store
        self._records = records
        self._grace = timedelta(days=days)
        self._disable = disable

    @handles(RequestDeletion, atomic=True)
    async def request(self, message: RequestDeletion, context: Context) -> DeletionView:
        there = await self._store.find(context.user_id, session=context.session)
        if there is not None and there.state is DeletionState.SCHEDULED:
            if message.give_up_credits and not there.give_up_credits:
                there = replace(there, give_up_credits=True)
                await self._store.put(there, session=context.session)
            return there.view()
        if there is not None and there.state is not DeletionState.CANCELLED:
            raise AccountClosed  # the request came with a principal from before
        found = await self._obstacles(context.user_id, context, give_up_credits=message.give_up_credits)
        if found:
            extra = {"obstacles": [obstacle.value for obstacle in found]}
            raise DeletionBlocked(f"Your account cannot be deleted now: {in_words(found)}", extra=extra)
        now = context.now()
        uid = context.principal.uid if context.principal is not None else None
        deletion = Deletion(
            context.user_id, DeletionState.SCHEDULED, now, now + self._grace, message.give_up_credits, uid=uid
        )
        await self._store.put(deletion, session=context.session)
        await context.audit("account.deletion_requested", deletion.user_id, after={"due_at": deletion.due_at})
        await _tell(deletion, "Your account will be deleted", _explained(deletion), context)
        return deletion.view()

    @handles(GetDeletion)
    async def get(self, message: GetDeletion, context: Context) -> DeletionView:
        deletion = await self._store.find(context.user_id)
        if deletion is None:
            raise NotFound("You have not asked for your account to be deleted")
        return deletion.view()

    @handles(CancelDeletion, atomic=True)
    async def cancel(self, message: CancelDeletion, context: Context) -> DeletionView:
        """Against the closing: both read and write the deletion, and of two at once one begins again."""
        deletion = await self._store.find(context.user_id, session=context.session)
        if deletion is None or deletion.state is not DeletionState.SCHEDULED:
            raise NothingToCancel
        cancelled = replace(deletion, state=DeletionState.CANCELLED, obstacles=(), uid=None)
        await self._store.put(cancelled, session=context.session)
        await context.audit("account.deletion_cancelled", deletion.user_id)
        return cancelled.view()

    # Carried out

    @handles(CloseDueAccounts)
    async def close_due(self, message: CloseDueAccounts, context: Context) -> int:
        due = await self._store.list_due(context.now(), MOST_DUE)
        for user_id in due:
            await context.enqueue(DeleteAccount(user_id=user_id), unique=f"account.deletion:{user_id}")
        return len(due)

    @handles(DeleteAccount, key="user_id")
    async def delete(self, message: DeleteAccount, context: Context) -> None:
        user_id = message.user_id
        deletion = await context.transaction(lambda tx: self._begin(user_id, tx))
        if deletion is None:
            raise Discard("It was cancelled, is not due, or has to wait for something")
        if deletion.state in {DeletionState.DONE, DeletionState.FORGOTTEN}:
            erased_at = deletion.erased_at or deletion.due_at  # of before it was written down
            await self._erase_records(user_id, context)  # what has been written since
            await self._records.end_terms(user_id, erased_at=erased_at, now=context.now())
            await context.ask(ForgetInstruments(user_id=user_id))
            await context.transaction(lambda tx: self._forgotten(user_id, erased_at, tx))
            return
        reach("account.closed")
        await context.ask(LeaveMarket(seller_id=user_id))
        await context.ask(LeaveProjects(user_id=user_id))
        await context.ask(LeavePartnerships(user_id=user_id))
        if deletion.due_at > context.now():
            return  # the schedule comes by again
        await self._erase(user_id, context)
        if deletion.uid is not None:
            await self._disable(deletion.uid)
        reach("account.disabled")
        await context.transaction(lambda tx: self._finish(user_id, tx))

    async def _erase(self, user_id: str, context: Context) -> None:
        await context.ask(ForgetPersonalExport(user_id=user_id))
        await context.ask(ForgetExports(user_id=user_id))
        await context.ask(ForgetEvents(user_id=user_id))  # by its keys, and after what is just being added up
        await context.ask(HoldBackHandles(user_id=user_id))
        await self._erase_records(user_id, context)
        await context.ask(EraseUser(user_id=user_id, uid_is_free=False))

    async def _erase_records(self, user_id: str, context: Context) -> None:
        sold = await context.ask(ListSoldCodes(referrer_id=user_id))
        await context.ask(HoldBackCodes(user_id=user_id, sold=sold))
        spared = await self._spared(user_id, context) | {f"{user_id}:{code}" for code in sold}
        for name in self._records.collections:
            await self._records.erase(name, user_id, spared=spared)
            reach(f"account.erased.{name}")

    async def _spared(self, user_id: str, context: Context) -> frozenset[str]:
        """The keys of what others have: what they have bought, of this person or of whoever sold their projects'

        prompts, what they sell of those themselves, and what all that includes. Nobody can begin to sell one of those
        prompts any more: whoever may is a member of its project, and a project that others are in does not go.
        """
        others = set(await context.ask(ListSoldVersions(seller_id=user_id)))
        going = [prompt_id async for prompt_id in self._records.list_going(PROMPTS, user_id)]
        for start in range(0, len(going), LOOKED_UP):
            some = tuple(going[start : start + LOOKED_UP])
            others |= set(await context.ask(ListBoughtVersions(prompt_ids=some)))
            others |= set(await context.ask(ListOfferedVersions(prompt_ids=some, but_by=user_id)))
        return frozenset(await context.ask(ListWithIncluded(versions=tuple(sorted(others)))))

    async def _begin(self, user_id: str, tx: Context) -> Deletion | None:
        """The deletion whose next step is due, closed by now; the closing is the point of no return.

        What keeps the account from it is read in the transaction that closes it. Whatever spends, reserves or is paid
        writes the person's own document, as the closing does: of two at once one begins again and sees the other. A
        sale that pays them a commission, and its settlement, write nothing of theirs: what those bring beside the
        closing goes back into the fees, which `LeavePartnerships` sees to now, at the erasure and a day later.
        """
        deletion = await self._store.find(user_id, session=tx.session)
        if deletion is None or deletion.due_at > tx.now():
            return None
        if deletion.state is DeletionState.CANCELLED:
            return None
        if deletion.state is not DeletionState.SCHEDULED:
            return deletion
        found = await self._obstacles(user_id, tx, give_up_credits=deletion.give_up_credits, closing=True)
        if found:
            await self._postpone(deletion, found, tx)
            return None
        await tx.ask(CloseAccount(user_id=user_id))
        closing = replace(deletion, state=DeletionState.CLOSING, due_at=tx.now() + SETTLED, obstacles=())
        await self._store.put(closing, session=tx.session)
        await tx.audit("account.closed", user_id)
        return closing

    async def _postpone(self, deletion: Deletion, found: tuple[Obstacle, ...], tx: Context) -> None:
        later = replace(deletion, due_at=tx.now() + AGAIN, obstacles=found)
        await self._store.put(later, session=tx.session)
        if found != deletion.obstacles:
            await _tell(later, "Your account could not be deleted yet", f"What keeps it: {in_words(found)}.", tx)

    async def _finish(self, user_id: str, tx: Context) -> None:
        deletion = await self._store.find(user_id, session=tx.session)
        if deletion is None or deletion.state in {DeletionState.DONE, DeletionState.FORGOTTEN}:
            return
        first = deletion.state is DeletionState.CLOSING
        # ID tokens from before are good for an hour: with the uid free, one of them would make an account again.
        await tx.ask(EraseUser(user_id=user_id, uid_is_free=not first))
        state = DeletionState.ERASED if first else DeletionState.DONE
        now, erased_at = tx.now(), deletion.erased_at or tx.now()
        due_at = now + (SECOND_LOOK if first else LINKS_KEPT)
        ended = replace(deletion, state=state, due_at=due_at, uid=None, erased_at=erased_at)
        await self._store.put(ended, session=tx.session)
        if first:
            await tx.audit("account.erased", user_id)

    async def _forgotten(self, user_id: str, erased_at: datetime, tx: Context) -> None:
        deletion = await self._store.find(user_id, session=tx.session)
        if deletion is not None:
            due_at = tx.now() + TERMS_LOOKED_AT
            later = replace(deletion, state=DeletionState.FORGOTTEN, due_at=due_at, erased_at=erased_at)
            await self._store.put(later, session=tx.session)

    async def _obstacles(
        self, user_id: str, context: Context, *, give_up_credits: bool, closing: bool = False
    ) -> tuple[Obstacle, ...]:
        owed = await context.ask(GetObligations(user_id=user_id))
        shared = await context.ask(HasSharedProjects(user_id=user_id))
        last = await self._is_last_administrator(user_id, context)
        return obstacles(
            owed, shared_projects=shared, last_administrator=last, give_up_credits=give_up_credits, closing=closing
        )

    async def _is_last_administrator(self, user_id: str, tx: Context) -> bool:
        """Both who leaves and who is counted on are written: of any number who leave at once, each counting on another,
        two conflict, and whoever begins again counts anew.
        """
        administrators = await tx.ask(ListAdministrators())
        if user_id not in administrators:
            return False
        leaving = await self._store.list_leaving(administrators, session=tx.session)
        staying = [other for other in administrators if other != user_id and other not in leaving]
        if staying:
            await tx.ask(CountOnAdministrators(user_ids=(user_id, staying[0])))
        return not staying


def _explained(deletion: Deletion) -> str:
    day = f"{deletion.due_at:%Y-%m-%d}"
    return f"It is closed on {day}, and what tells of you is removed. Until then you can sign in and cancel that."


async def _tell(deletion: Deletion, title: str, body: str, tx: Context) -> None:
    notice = NotifyUser(
        user_id=deletion.user_id,
        kind="account.deletion",
        title=title,
        body=body,
        subject={},
        dedupe_key=f"account.deletion:{deletion.user_id}:{deletion.due_at.isoformat()}",
    )
    await tx.enqueue(notice, owner_id=deletion.user_id)
