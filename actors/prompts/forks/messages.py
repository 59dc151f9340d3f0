"""Forking a prompt that one may read: of one's projects, or bought with its source."""

from __future__ import annotations

from promptforge.actors.projects.messages import ProjectId
from promptforge.actors.prompts.messages import AnyLabel, Folder, PromptId, PromptName, PromptView, VersionNumber
from promptforge.core.messages import Command, requires


@requires(scope="prompts:write")
class ForkPrompt(Command[PromptView]):
    """Make a prompt of another one's version, as its first version, and remember where it came from.

    The other one is of a project of yours, or you bought a licence for its source: then it is the version that you
    bought, and taking it counts as using the purchase. Anybody else's is 404. It goes into your personal project where
    none is named, under its own name where none is given. Within its project it keeps its includes; elsewhere, and of
    what was bought, they are resolved.
    """

    prompt_id: PromptId
    version: VersionNumber | None = None
    label: AnyLabel | None = None
    project_id: ProjectId | None = None
    name: PromptName | None = None
    folder: Folder = ""
