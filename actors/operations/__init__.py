"""The running process as operators see it."""

from promptforge.actors.operations.actor import OperationsActor
from promptforge.actors.operations.messages import ListActors, ListDeadLetters

__all__ = ["ListActors", "ListDeadLetters", "OperationsActor"]
