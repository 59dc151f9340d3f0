"""What people are told of the suspension of their account, and administrators of appeals."""

from __future__ import annotations

from datetime import datetime

from promptforge.actors.notifications.messages import NotifyUser
from promptforge.actors.users.staff.messages import AccountEvent, AccountReason, AccountView
from promptforge.actors.users.staff.reasons import REASONS, next_step
from promptforge.core.reasons import explained

_TOLD = {
    AccountEvent.SUSPENDED: (
        "account.suspended",
        "Your account is suspended",
        "You can look, but not change anything, and what you sell cannot be bought.",
    ),
    AccountEvent.REINSTATED: (
        "account.reinstated",
        "Your account is not suspended any more",
        "You can do everything again.",
    ),
    AccountEvent.UPHELD: (
        "account.upheld",
        "Your account stays suspended",
        "Your appeal was decided: nothing changes.",
    ),
}
Why = tuple[AccountReason, str]
"""The reason, and what was written for the person."""


def decision_notice(account: AccountView, event: AccountEvent, why: Why, *, at: datetime) -> NotifyUser:
    kind, title, head = _TOLD[event]
    code, note = why
    parts = [head, explained(code, f"{REASONS[code].words} {note}", next_step(code, event))]
    suspension = account.suspension
    if event is AccountEvent.SUSPENDED and suspension is not None and suspension.appeal_until is not None:
        parts.append(f"You can appeal until {suspension.appeal_until:%Y-%m-%d}.")
    return NotifyUser(
        user_id=account.id,
        kind=kind,
        title=title,
        body="\n\n".join(parts),
        subject={"reason_code": code.value},
        dedupe_key=f"{kind}:{account.id}:{at.isoformat()}",
    )


def appeal_notice(account_id: str, administrator: str, *, at: datetime) -> NotifyUser:
    """It names nobody: what administrators were told outlives whoever it was about."""
    return NotifyUser(
        user_id=administrator,
        kind="account.appealed",
        title="An appeal against a suspension",
        body="Somebody appeals against the suspension of their account: read it at /ops/users?appealed=true.",
        subject={"account_id": account_id},
        dedupe_key=f"account.appealed:{account_id}:{at.isoformat()}:{administrator}",
    )
