"""The life of an account as a whole: what is held of a person, and how it ends."""

from promptforge.actors.accounts.actor import AccountsActor
from promptforge.actors.accounts.exports.actor import PersonalExportsActor
from promptforge.actors.accounts.exports.messages import SweepPersonalExports
from promptforge.actors.accounts.messages import CancelDeletion, CloseDueAccounts, GetDeletion, RequestDeletion

__all__ = [
    "AccountsActor",
    "CancelDeletion",
    "CloseDueAccounts",
    "GetDeletion",
    "PersonalExportsActor",
    "RequestDeletion",
    "SweepPersonalExports",
]
