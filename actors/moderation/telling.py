"""Whom a decision is told, in its own transaction: the seller, who reported, and who bought runs."""

from __future__ import annotations

from collections.abc import Sequence

from promptforge.actors.marketplace.messages import ListingState
from promptforge.actors.marketplace.purchases.messages import RunsOutcome, TellRunHolders
from promptforge.actors.marketplace.reports.messages import TellReporters
from promptforge.actors.moderation.messages import CaseView, DecideCase, Verdict
from promptforge.actors.moderation.notices import (
    REPORT_DECIDED,
    Outcome,
    notices_of,
    obsolete_notices,
    restored_notices,
)
from promptforge.actors.moderation.reasons import REASONS
from promptforge.actors.moderation.store import CaseStore
from promptforge.actors.notifications.messages import NotifyUser
from promptforge.core.context import Context


async def tell_decision(store: CaseStore, case: CaseView, outcome: Outcome, tx: Context) -> None:
    bringers = await store.list_bringers(case.id, session=tx.session)
    notices = notices_of(case, outcome, bringers=bringers)
    for notice in notices[:1]:
        await tx.enqueue(notice, owner_id=notice.user_id)
    await tx.enqueue_many(notices[1:])
    reported = [notice for notice in notices if notice.kind == REPORT_DECIDED]
    await _tell_other_reporters(store, case, reported, tx)
    if case.against is not None:
        before = await store.get(case.against, now=tx.now(), session=tx.session)
        restored = restored_notices(case, await store.list_bringers(before.id, session=tx.session))
        await tx.enqueue_many(restored)
        await _tell_other_reporters(store, before, restored, tx)


async def tell_obsolete(store: CaseStore, case: CaseView, tx: Context) -> None:
    """To those who reported what is gone before anybody decided about it."""
    notices = obsolete_notices(case, await store.list_bringers(case.id, session=tx.session))
    await tx.enqueue_many(notices)
    await _tell_other_reporters(store, case, notices, tx)


async def _tell_other_reporters(store: CaseStore, case: CaseView, told: Sequence[NotifyUser], tx: Context) -> None:
    """Of many a case keeps the first only: a job tells the others the same, page by page."""
    if not told or case.times <= len(told):
        return
    first = told[0]
    message = TellReporters(
        listing_id=case.listing_id,
        review_id=case.subject,
        since=await store.find_decided_before(case, session=tx.session),
        until=case.decided_at or tx.now(),
        title=first.title,
        body=first.body,
        subject=dict(first.subject),
        key=first.dedupe_key.removesuffix(f":{first.user_id}"),
    )
    await tx.enqueue(message, unique=f"tell-reporters:{message.key}")


async def tell_run_holders(case: CaseView, message: DecideCase, before: ListingState, tx: Context) -> None:
    """A suspension stops the runs of whoever bought them, and its end lets them go on."""
    if message.decision is Verdict.LIFT:
        outcome = RunsOutcome.GO_ON
    elif message.decision is not Verdict.SUSPEND:
        return
    elif before is ListingState.SUSPENDED:
        outcome = RunsOutcome.STOPPED_FOR_GOOD
    else:
        outcome = RunsOutcome.STOPPED
    words = f"Why ({message.reason_code}): {REASONS[message.reason_code].words}"
    telling = TellRunHolders(
        listing_id=case.listing_id,
        decision=case.id,
        outcome=outcome,
        words=words,
        reason_code=message.reason_code.value,
    )
    await tx.enqueue(telling, unique=f"tell-run-holders:{case.id}")
