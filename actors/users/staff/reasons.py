"""The reasons of suspensions and of their ends: their words, and what the person can do next."""

from __future__ import annotations

from datetime import datetime

from promptforge.actors.users.staff.messages import AccountEvent, AccountReason, SuspensionView
from promptforge.core.reasons import Reason

_SUSPEND, _REINSTATE, _UPHOLD = AccountEvent.SUSPENDED, AccountEvent.REINSTATED, AccountEvent.UPHELD
_APPEAL = (
    "If you think that this is wrong, appeal, once and in your own words (POST /users/me/suspension/appeal): another "
    "administrator decides. Meanwhile you can look at what is yours, ask for your data, and leave."
)
_WAITS = "You have appealed: an administrator decides, and you are told."
_LATE = (
    "The time until which this could be appealed is over. You can still look at what is yours, ask for your data, and "
    "leave."
)
_NOTHING = "There is nothing that you have to do."

REASONS: dict[AccountReason, Reason[AccountEvent]] = {
    AccountReason.FRAUD: Reason(
        (_SUSPEND,), "Credits, sales or payments were obtained by deceit, or somebody tried to.", _APPEAL
    ),
    AccountReason.ABUSE: Reason(
        (_SUSPEND,), "People were harassed or deceived from this account, or harm was done.", _APPEAL
    ),
    AccountReason.INFRINGEMENT: Reason((_SUSPEND,), "What is others' was offered, again and again.", _APPEAL),
    AccountReason.SPAM: Reason(
        (_SUSPEND,), "The service was filled with advertising, or with the same again and again.", _APPEAL
    ),
    AccountReason.EVASION: Reason((_SUSPEND,), "The account goes on with what another one was suspended for.", _APPEAL),
    AccountReason.TAKEN_OVER: Reason(
        (_SUSPEND,),
        "Somebody else seems to use your account.",
        f"Change your password, and look at your API keys and bank details. {_APPEAL}",
    ),
    AccountReason.UNDER_REVIEW: Reason(
        (_SUSPEND,), "Something is being looked into, and nothing is decided about it yet.", _APPEAL
    ),
    AccountReason.LEGAL_ORDER: Reason(
        (_SUSPEND,), "A court or an authority has ordered it.", f"Turn to whoever ordered it. {_APPEAL}"
    ),
    AccountReason.RESOLVED: Reason((_REINSTATE,), "What was wrong has been put right.", _NOTHING),
    AccountReason.MISTAKEN: Reason((_REINSTATE,), "The decision before was mistaken.", f"{_NOTHING} We are sorry."),
    AccountReason.UNCHANGED: Reason(
        (_UPHOLD,),
        "Your appeal was read, and does not change the decision.",
        "There is no other appeal. You can still look at what is yours, ask for your data, and leave.",
    ),
    AccountReason.OTHER: Reason((_SUSPEND, _REINSTATE, _UPHOLD), "The note says why.", _APPEAL),
}


def own_next_step(suspension: SuspensionView, *, now: datetime) -> str:
    """What whoever is suspended can do at that moment: nobody is told to do what would be refused."""
    if suspension.upheld_at is not None:
        return REASONS[AccountReason.UNCHANGED].next_step
    if suspension.appealed_at is not None:
        return _WAITS
    if suspension.appeal_until is not None and now > suspension.appeal_until:
        return _LATE
    return next_step(suspension.reason_code, _SUSPEND)


def next_step(code: AccountReason, event: AccountEvent) -> str:
    """`other` is for all of them, and what comes next is as for the others."""
    if code is not AccountReason.OTHER or event is _SUSPEND:
        return REASONS[code].next_step
    return _NOTHING if event is _REINSTATE else REASONS[AccountReason.UNCHANGED].next_step
