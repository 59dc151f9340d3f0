"""Prompts: their versions, labels and drafts, and what programs are served."""

from __future__ import annotations

from promptforge.actors.projects.errors import ProjectArchived, ProjectRoleMissing
from promptforge.actors.prompts.comparison.messages import CompareVersions
from promptforge.actors.prompts.drafts.messages import DiscardDraft, GetDraft, PublishDraft, SaveDraft
from promptforge.actors.prompts.errors import (
    HasDependants,
    IncludeArchived,
    IncludeCycle,
    IncludeMissing,
    IncludesTooDeep,
    IncludesTooLarge,
    NameTaken,
    NoDraft,
    NothingToServe,
    PromptArchived,
    StaleBase,
    TooManyLabels,
)
from promptforge.actors.prompts.exchange.messages import ExportPrompts, ImportPrompts
from promptforge.actors.prompts.forks.messages import ForkPrompt
from promptforge.actors.prompts.labels.messages import GetLabel, ListLabelMoves, ListLabels, MoveLabel, RemoveLabel
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
from promptforge.actors.prompts.rendering.messages import RenderPrompt
from promptforge.actors.prompts.serving.messages import GetCompiledPrompt
from promptforge.core.errors import NotFound
from promptforge.http.rates import RateClass
from promptforge.http.routing import delete, get, patch, post, put

_WRITING = (ProjectRoleMissing, ProjectArchived)
_INCLUDES = (IncludeCycle, IncludesTooDeep, IncludesTooLarge, IncludeMissing)
_VERSION = "/prompts/{prompt_id}/versions/{version}"

routes = [
    get("/prompts", ListPrompts, errors=(NotFound,)),
    post("/prompts", CreatePrompt, status=201, errors=(NotFound, NameTaken, *_INCLUDES, *_WRITING)),
    get("/projects/{project_id}/prompt-index", GetPromptIndex),
    get("/projects/{project_id}/prompt-export", ExportPrompts),
    post("/prompts/imports", ImportPrompts, errors=(NotFound, *_WRITING)),
    get("/prompts/{prompt_id}", GetPrompt),
    patch("/prompts/{prompt_id}", UpdatePrompt, errors=(NameTaken, *_WRITING)),
    delete("/prompts/{prompt_id}", ArchivePrompt, errors=(HasDependants, *_WRITING)),
    post("/prompts/{prompt_id}/restore", RestorePrompt, errors=(NameTaken, IncludeArchived, *_INCLUDES, *_WRITING)),
    get("/prompts/{prompt_id}/dependants", ListDependants),
    get("/prompts/{prompt_id}/versions", ListVersions, name="listPromptVersions"),
    post(
        "/prompts/{prompt_id}/versions",
        CreateVersion,
        status=201,
        name="createPromptVersion",
        location=_VERSION,
        errors=(StaleBase, PromptArchived, *_INCLUDES, *_WRITING),
    ),
    get(_VERSION, GetVersion, name="getPromptVersion"),
    get("/prompts/{prompt_id}/diff", CompareVersions),
    post(
        "/prompts/{prompt_id}/forks",
        ForkPrompt,
        status=201,
        location="/prompts/{id}",
        errors=(NameTaken, NothingToServe, *_INCLUDES, *_WRITING),
    ),
    get("/prompts/{prompt_id}/labels", ListLabels, name="listPromptLabels"),
    get("/prompts/{prompt_id}/labels/{label}", GetLabel, name="getPromptLabel"),
    put(
        "/prompts/{prompt_id}/labels/{label}",
        MoveLabel,
        name="movePromptLabel",
        errors=(PromptArchived, TooManyLabels, IncludeArchived, *_INCLUDES, *_WRITING),
    ),
    delete(
        "/prompts/{prompt_id}/labels/{label}",
        RemoveLabel,
        name="removePromptLabel",
        errors=(PromptArchived, HasDependants, *_WRITING),
    ),
    get("/prompts/{prompt_id}/label-moves", ListLabelMoves, name="listPromptLabelMoves"),
    get("/prompts/{prompt_id}/draft", GetDraft, name="getPromptDraft"),
    put("/prompts/{prompt_id}/draft", SaveDraft, name="savePromptDraft", errors=(PromptArchived, *_WRITING)),
    delete("/prompts/{prompt_id}/draft", DiscardDraft, name="discardPromptDraft", errors=_WRITING),
    post(
        "/prompts/{prompt_id}/draft/publish",
        PublishDraft,
        status=201,
        name="publishPromptDraft",
        location=_VERSION,
        errors=(NoDraft, StaleBase, PromptArchived, *_INCLUDES, *_WRITING),
    ),
    post("/prompts/{prompt_id}/render", RenderPrompt, errors=(NothingToServe, *_INCLUDES)),
    get(
        "/prompts/{prompt_id}/compiled",
        GetCompiledPrompt,
        rate=RateClass.SERVING,
        cache_control="private, no-cache",
        repeats=True,
        errors=(NothingToServe, *_INCLUDES),
    ),
]
