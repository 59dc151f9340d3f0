"""Taking one prompt of an import into a project."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from promptforge.actors.projects.messages import ProjectAccess, ProjectPermission, authorise
from promptforge.actors.prompts.errors import NameTaken
from promptforge.actors.prompts.exchange.messages import (
    ExportedPrompt,
    ImportedItem,
    ImportNote,
    ImportOutcome,
    ImportProblem,
    OnConflict,
)
from promptforge.actors.prompts.exchange.order import following
from promptforge.actors.prompts.labels.moving import move_label, permission_to_move
from promptforge.actors.prompts.messages import PromptVersionView, PromptView
from promptforge.actors.prompts.registry.making import make_prompt
from promptforge.actors.prompts.registry.pushing import push_version
from promptforge.core.context import Context
from promptforge.core.errors import DATABASE_AWAY, Invalid, PromptForgeError

if TYPE_CHECKING:
    from promptforge.actors.prompts.exchange.drafts import Parsed
    from promptforge.actors.prompts.stores import Stores

MAX_RENAMES = 50
LONGEST_NAME = 120
REASON = "Imported"


class Importing:
    """One import: into which project, and what became of the prompts that were taken so far."""

    def __init__(self, stores: Stores, project_id: str, on_conflict: OnConflict) -> None:
        self._stores = stores
        self._project_id = project_id
        self._on_conflict = on_conflict
        self._renamed: dict[str, tuple[str, dict[int, int]]] = {}
        self._existing: set[str] = set()

    def forget(self) -> None:
        """A transaction begins again."""
        self._renamed.clear()
        self._existing.clear()

    async def take(self, one: Parsed, tx: Context) -> ImportedItem:
        """Raises what is wrong with it; the caller's transaction then leaves nothing of it."""
        if one.prompt is None:
            return _item(one, ImportOutcome.REFUSED, problems=one.problems)
        access = await authorise(tx, self._project_id, ProjectPermission.WRITE)
        prompt, is_new = await self._prompt(one.prompt, tx)
        versions: dict[int, PromptVersionView] = {}
        added = 0
        for index, version in sorted(enumerate(one.prompt.versions), key=lambda item: item[1].version):
            wanted = following(version, self._renamed)
            made = await push_version(self._stores, tx, prompt, wanted, pointer=f"/versions/{index}")
            versions[version.version] = made.value
            added += made.new
        numbers = {number: version.version for number, version in versions.items()}
        notes = [*one.notes, *_renumbered(numbers)]
        labels_set, label_notes = await self._labels(one.prompt, prompt, versions, access=access, tx=tx)
        self._renamed[one.prompt.name] = (prompt.name, numbers)
        if is_new:
            outcome = ImportOutcome.TAKEN if prompt.name == one.prompt.name else ImportOutcome.RENAMED
        else:
            self._existing.add(prompt.id)
            outcome = ImportOutcome.MERGED if added or labels_set else ImportOutcome.UNCHANGED
        return replace(
            _item(one, outcome, prompt=prompt),
            versions_added=added,
            labels_set=labels_set,
            notes=(*notes, *label_notes),
        )

    def numbers_of(self, name: str) -> tuple[tuple[int, int], ...]:
        """Of a prompt that was taken, the numbers that its versions had and those that they got."""
        return tuple(sorted(self._renamed[name][1].items()))

    def untaken(self, item: ImportedItem) -> ImportedItem:
        """As a dry run tells it: a prompt that was made and taken back has no id."""
        return item if item.prompt_id in self._existing else replace(item, prompt_id=None)

    async def _prompt(self, wanted: ExportedPrompt, tx: Context) -> tuple[PromptView, bool]:
        """The prompt to add versions to, and whether it is new."""
        named = await self._stores.prompts.list_named(self._project_id, [wanted.name], session=tx.session)
        if named and self._on_conflict is OnConflict.MERGE:
            if named[0].kind is not wanted.kind:
                raise NameTaken(f"{wanted.name!r} is a {named[0].kind} prompt here, and this one is not")
            return named[0], False
        if named and self._on_conflict is OnConflict.REFUSE:
            raise NameTaken(f"The project has a prompt {wanted.name!r} already")
        name = await self._free_name(wanted.name, tx) if named else wanted.name
        return await make_prompt(self._stores, tx, self._project_id, replace(wanted, name=name)), True

    async def _free_name(self, name: str, tx: Context) -> str:
        candidates = [f"{name[: LONGEST_NAME - 5]} ({number})" for number in range(2, MAX_RENAMES + 2)]
        taken = await self._stores.prompts.list_named(self._project_id, candidates, session=tx.session)
        free = [candidate for candidate in candidates if candidate not in {prompt.name for prompt in taken}]
        if not free:
            raise NameTaken(f"The project has {MAX_RENAMES} prompts named like {name!r}")
        return free[0]

    async def _labels(
        self,
        wanted: ExportedPrompt,
        prompt: PromptView,
        versions: dict[int, PromptVersionView],
        *,
        access: ProjectAccess,
        tx: Context,
    ) -> tuple[tuple[str, ...], list[ImportNote]]:
        done: list[str] = []
        notes: list[ImportNote] = []
        for label, number in wanted.labels.items():
            pointer = f"/labels/{label}"
            version = versions.get(number)
            present = await self._stores.labels.find(prompt.id, label, session=tx.session)
            if version is None:
                notes.append(ImportNote(pointer, f"Its version {number} is not in the import: the label was left out"))
            elif present is not None:
                if present.version != version.version:
                    notes.append(ImportNote(pointer, f"The label points to version {present.version} here, and stays"))
            elif permission_to_move(label, access.protected_labels) not in access.permissions:
                notes.append(ImportNote(pointer, "The label is protected, and your role may not move it"))
            else:
                await move_label(self._stores, tx, prompt, label=label, version=version, reason=REASON)
                done.append(label)
        return tuple(done), notes


def _renumbered(numbers: dict[int, int]) -> list[ImportNote]:
    changed = {old: new for old, new in numbers.items() if old != new}
    if not changed:
        return []
    told = ", ".join(f"{old} → {new}" for old, new in list(changed.items())[:20])
    return [ImportNote("/versions", f"Versions have other numbers here: {told}")]


def refused(one: Parsed, error: PromptForgeError) -> ImportedItem:
    """An item that could not be taken. What is no fault of the item is raised again."""
    if isinstance(error, DATABASE_AWAY) or error.status >= 500:
        raise error
    fields = error.errors if isinstance(error, Invalid) else ()
    problems = tuple(ImportProblem(field.code, field.detail, field.pointer) for field in fields)
    return _item(one, ImportOutcome.REFUSED, problems=problems or (ImportProblem(error.code, error.detail, None),))


def _item(
    one: Parsed,
    outcome: ImportOutcome,
    *,
    prompt: PromptView | None = None,
    problems: tuple[ImportProblem, ...] = (),
) -> ImportedItem:
    return ImportedItem(
        indexes=one.indexes,
        name=one.name,
        outcome=outcome,
        prompt_id=None if prompt is None else prompt.id,
        stored_as=None if prompt is None else prompt.name,
        versions_added=0,
        labels_set=(),
        notes=one.notes,
        problems=problems,
    )
