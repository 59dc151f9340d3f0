"""Prompts: versions that never change, labels that point to them, and serving them to programs."""

from promptforge.actors.prompts.drafts.actor import DraftsActor
from promptforge.actors.prompts.labels.actor import LabelsActor
from promptforge.actors.prompts.messages import (
    ArchivePrompt,
    CreatePrompt,
    CreateVersion,
    GetPrompt,
    GetPromptIndex,
    GetVersion,
    ListDependants,
    ListPrompts,
    ListVersions,
    RestorePrompt,
    UpdatePrompt,
)
from promptforge.actors.prompts.registry.actor import PromptsActor
from promptforge.actors.prompts.rendering.actor import RenderingActor
from promptforge.actors.prompts.serving.actor import ServingActor
from promptforge.actors.prompts.serving.cache import CompiledCache

__all__ = [
    "ArchivePrompt",
    "CompiledCache",
    "CreatePrompt",
    "CreateVersion",
    "DraftsActor",
    "GetPrompt",
    "GetPromptIndex",
    "GetVersion",
    "LabelsActor",
    "ListDependants",
    "ListPrompts",
    "ListVersions",
    "PromptsActor",
    "RenderingActor",
    "RestorePrompt",
    "ServingActor",
    "UpdatePrompt",
]
