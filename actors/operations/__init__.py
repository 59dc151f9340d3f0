"""The running process and the audit log as operators see them."""

from promptforge.actors.operations.actor import OperationsActor
from promptforge.actors.operations.messages import ListActors, ListDeadLetters, SealAuditLog

__all__ = ["ListActors", "ListDeadLetters", "OperationsActor", "SealAuditLog"]
