"""The actor runtime; `docs/actors.md` states its semantics. anyio only: it runs on asyncio, uvloop and trio."""

from promptforge.core.runtime.actor import Actor, at_hand, handles
from promptforge.core.runtime.supervisor import CriticalActorFailed
from promptforge.core.runtime.system import JobStore, System, Transactions
from promptforge.core.runtime.telemetry import ActorSnapshot, ActorState, DeadLetter, DeadLetterReason

__all__ = [
    "Actor",
    "ActorSnapshot",
    "ActorState",
    "CriticalActorFailed",
    "DeadLetter",
    "DeadLetterReason",
    "JobStore",
    "System",
    "Transactions",
    "at_hand",
    "handles",
]
