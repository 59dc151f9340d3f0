"""What people are told of their roles: which they have now, why, and what they can do."""

from __future__ import annotations

from promptforge.actors.notifications.messages import NotifyUser
from promptforge.actors.users.roles.messages import RoleChangeView, RoleReason, Roles
from promptforge.core.principal import Role
from promptforge.core.reasons import Stated

_ASK = (
    "A role is work that is given and taken, so a change of it has no appeal; if you think that it is wrong, ask an "
    "administrator to look again. What you have written, bought, sold and earned stays yours, and decisions about it "
    "can be appealed as before. Offering something needs the role seller. Payouts need no role: what you have earned "
    "is paid out as before."
)
REASONS: dict[RoleReason, Stated] = {
    RoleReason.AGREED: Stated("It was agreed with you.", _ASK),
    RoleReason.TASK_BEGINS: Stated("You take on something that needs it.", _ASK),
    RoleReason.TASK_ENDS: Stated("What it was for has ended.", _ASK),
    RoleReason.MISUSED: Stated("Rights that came with it were not used as they should be.", _ASK),
    RoleReason.PRECAUTION: Stated("Somebody else might use your account, or something is being looked into.", _ASK),
    RoleReason.MISTAKEN: Stated("The decision before was mistaken. We are sorry.", _ASK),
    RoleReason.OTHER: Stated("The note says why.", _ASK),
}


def roles_notice(change: RoleChangeView) -> NotifyUser:
    code = change.reason_code or RoleReason.OTHER
    return NotifyUser(
        user_id=change.user_id,
        kind="account.roles_changed",
        title="Your roles have changed",
        body=f"You have now: {_in_words(change.after)}.\n\n{REASONS[code].told(code, change.reason)}",
        subject={"reason_code": code.value},
        dedupe_key=f"account.roles_changed:{change.id}",
    )


def _in_words(roles: Roles) -> str:
    return ", ".join(role.value for role in roles if role is not Role.USER) or "no role beside a user's"
