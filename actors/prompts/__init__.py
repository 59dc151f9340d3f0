"""Prompts and their versions."""

from promptforge.actors.prompts.actor import PromptsActor
from promptforge.actors.prompts.messages import (
    ArchivePrompt,
    CreatePrompt,
    CreateVersion,
    GetPrompt,
    GetVersion,
    ListPrompts,
    ListVersions,
    RestorePrompt,
    UpdatePrompt,
)

__all__ = [
    "ArchivePrompt",
    "CreatePrompt",
    "CreateVersion",
    "GetPrompt",
    "GetVersion",
    "ListPrompts",
    "ListVersions",
    "PromptsActor",
    "RestorePrompt",
    "UpdatePrompt",
]
