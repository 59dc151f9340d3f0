"""Who is in which project, in this process's memory: bounded, and evicted by the change stream.

It answers what is only read, and only with yes: a refusal is looked up, so that whoever was let in a moment ago is in.
Which projects somebody is in is known too, for searches.
What was read while something was forgotten is not kept, for it may be older than the change. While the stream is silent
nothing is answered: nobody would hear of a change. What writes asks the database, in its own transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from cachetools import LRUCache

from promptforge.actors.projects.domain import Project, access
from promptforge.actors.projects.messages import ProjectAccess, ProjectPermission
from promptforge.core.errors import PromptForgeError
from promptforge.core.per_person import PerPerson

MAX_MEMBERSHIPS = 100_000
"""Members of all projects together, a project counting for one more; about 30 MB."""


class Memberships:
    """`trusted` says whether changes are being heard of; `forgotten` is told of every project that has changed."""

    def __init__(
        self,
        trusted: Callable[[], bool] = lambda: False,
        *,
        forgotten: Callable[[str], None] | None = None,
        most: int = MAX_MEMBERSHIPS,
    ) -> None:
        self._trusted = trusted
        self._forgotten = forgotten
        self._projects: LRUCache[str, Project] = LRUCache(most, getsizeof=lambda project: 1 + len(project.members))
        self._changes = 0
        self.lists: PerPerson[tuple[str, ...]] = PerPerson(trusted, size=lambda listed: 1 + len(listed), most=most)
        """Ids of the projects that are not archived, of each person."""

    def find(self, project_id: str, user_id: str, permission: ProjectPermission) -> ProjectAccess | None:
        """What the user may do there, where that is known, may be trusted, and holds the permission."""
        if not self._trusted():
            return None
        project = self._projects.get(project_id)
        if project is None:
            return None
        try:
            return access(project, user_id, permission)
        except PromptForgeError:
            return None

    def begin(self) -> int:
        """To be called before reading what is to be kept."""
        return self._changes

    def keep(self, begun: int, project: Project) -> None:
        """Keep what was read since `begun`, unless something changed meanwhile."""
        if begun == self._changes and self._trusted() and len(project.members) < self._projects.maxsize:
            self._projects[project.id] = replace(project, description=None)

    def project_changed(self, project_id: str, *, people: Collection[str] | None = None) -> None:
        """Forget who is in it. `people`: all whose lists are others now; None: nobody knows whose."""
        self._changes += 1
        if people is None:
            self.lists.clear()
        else:
            self.lists.forget(people)
        self._projects.pop(project_id, None)
        if self._forgotten is not None:
            self._forgotten(project_id)

    def clear(self) -> None:
        """Forget everything: changes may have been missed."""
        self._changes += 1
        self._projects.clear()
        self.lists.clear()

    @property
    def size(self) -> int:
        """How many members, and projects, are held together."""
        return int(self._projects.currsize)
