"""Moderation of what is put on the market."""

from promptforge.actors.moderation.actor import ModerationActor
from promptforge.actors.moderation.checks.actor import ChecksActor
from promptforge.actors.moderation.messages import (
    ClaimCase,
    DecideCase,
    GetCase,
    GetQueue,
    ListCases,
    OpenCase,
    ReadCaseContent,
    ReleaseCase,
)

__all__ = [
    "ChecksActor",
    "ClaimCase",
    "DecideCase",
    "GetCase",
    "GetQueue",
    "ListCases",
    "ModerationActor",
    "OpenCase",
    "ReadCaseContent",
    "ReleaseCase",
]
