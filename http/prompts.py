"""Prompts and their versions."""

from __future__ import annotations

from promptforge.actors.prompts.errors import NameTaken, PromptArchived, StaleBase
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
from promptforge.http.routing import delete, get, patch, post

routes = [
    get("/prompts", ListPrompts),
    post("/prompts", CreatePrompt, status=201, errors=(NameTaken,)),
    get("/prompts/{prompt_id}", GetPrompt),
    patch("/prompts/{prompt_id}", UpdatePrompt, errors=(NameTaken,)),
    delete("/prompts/{prompt_id}", ArchivePrompt),
    post("/prompts/{prompt_id}/restore", RestorePrompt, errors=(NameTaken,)),
    get("/prompts/{prompt_id}/versions", ListVersions, name="listPromptVersions"),
    post(
        "/prompts/{prompt_id}/versions",
        CreateVersion,
        status=201,
        name="createPromptVersion",
        location="/prompts/{prompt_id}/versions/{version}",
        errors=(StaleBase, PromptArchived),
    ),
    get("/prompts/{prompt_id}/versions/{version}", GetVersion, name="getPromptVersion"),
]
