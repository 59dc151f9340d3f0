"""Imports and exports prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from promptforge.actors.projects.messages import ProjectPermission, authorise, project_to_write
from promptforge.actors.prompts.exchange.formats import parse
from promptforge.actors.prompts.exchange.importing import Importing, refused
from promptforge.actors.prompts.exchange.messages import (
    MAX_VERSIONS,
    ExportedPrompt,
    ExportPrompts,
    ImportedItem,
    ImportFormat,
    ImportPrompts,
    ImportReport,
    PromptExport,
)
from promptforge.actors.prompts.exchange.order import includes_first
from promptforge.actors.prompts.exchange.parts import exported_version
from promptforge.actors.prompts.messages import PromptVersionView, PromptView
from promptforge.actors.prompts.rendering.naming import names_now, with_names
from promptforge.core.context import Context
from promptforge.core.errors import FieldError, Invalid, PromptForgeError
from promptforge.core.pages import Cursor
from promptforge.core.runtime import Actor, handles

if TYPE_CHECKING:
    from promptforge.actors.prompts.exchange.drafts import Parsed
    from promptforge.actors.prompts.stores import Stores

VERSIONS_EXPORTED = 100
LABELS_EXPORTED = 50
PAGE_BYTES = 8 * 1024 * 1024


class _TakenBack(Exception):  # it is no error: it ends a dry run's transaction
    def __init__(self, items: list[ImportedItem]) -> None:
        self.items = items


class ExchangeActor(Actor):
    name = "exchange"
    asks = ("projects",)

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    # Import

    @handles(ImportPrompts)
    async def import_prompts(self, message: ImportPrompts, context: Context) -> ImportReport:
        parsed = parse(message.format, message.items)
        versions = sum(len(one.prompt.versions) for one in parsed if one.prompt is not None)
        if versions > MAX_VERSIONS:
            detail = f"These are {versions} versions: send at most {MAX_VERSIONS} at once"
            raise Invalid(detail, errors=(FieldError(detail, "too_many_versions", pointer="/items"),))
        project_id = await context.transaction(lambda tx: project_to_write(tx, message.project_id))
        importing = Importing(self._stores, project_id, message.on_conflict)
        order = includes_first(parsed)
        if message.dry_run:
            items = await self._try(importing, parsed, order, context)
        else:
            items = [await self._take(importing, parsed[index], context) for index in order]
        placed = dict(zip(order, items, strict=True))
        return ImportReport(message.dry_run, tuple(placed[index] for index in range(len(parsed))))

    async def _take(self, importing: Importing, one: Parsed, context: Context) -> ImportedItem:
        """One prompt, in a transaction of its own: all of it, or nothing."""
        try:
            return await context.transaction(lambda tx: importing.take(one, tx))
        except PromptForgeError as error:
            return refused(one, error)

    async def _try(
        self, importing: Importing, parsed: list[Parsed], order: list[int], context: Context
    ) -> list[ImportedItem]:
        """All of them in one transaction, which is given up: so that each sees those before it."""

        async def work(tx: Context) -> None:
            items = []
            importing.forget()
            for index in order:
                try:
                    items.append(await importing.take(parsed[index], tx))
                except PromptForgeError as error:
                    items.append(refused(parsed[index], error))
            raise _TakenBack(items)

        try:
            await context.transaction(work)
        except _TakenBack as tried:
            return [importing.untaken(item) for item in tried.items]
        raise RuntimeError("a dry run always takes back what it did")

    # Export

    @handles(ExportPrompts)
    async def export(self, message: ExportPrompts, context: Context) -> PromptExport:
        await authorise(context, message.project_id, ProjectPermission.READ)
        cursor = Cursor.decode_optional(message.cursor)
        page = await self._stores.prompts.list_page(
            (message.project_id,), archived=False, cursor=cursor, limit=message.limit
        )
        prompts: list[ExportedPrompt] = []
        size = 0
        following = page.next
        for position, prompt in enumerate(page.items):
            exported = await self._exported(prompt)
            size += len(orjson.dumps(exported))
            if prompts and size > PAGE_BYTES:
                before = page.items[position - 1]
                following = Cursor(before.created_at, before.id).encode()
                break
            prompts.append(exported)
        return PromptExport(ImportFormat.PROMPTFORGE, tuple(prompts), following)

    async def _exported(self, prompt: PromptView) -> ExportedPrompt:
        labels = await self._stores.labels.list_of(prompt.id, limit=LABELS_EXPORTED)
        page = await self._stores.versions.list_page(prompt.id, cursor=None, limit=VERSIONS_EXPORTED)
        found: dict[int, PromptVersionView] = {}
        size = 0
        for version in page.items:
            size += len(orjson.dumps(version))
            if found and size > PAGE_BYTES // 2:
                break
            found[version.version] = version
        missing = {(prompt.id, label.version) for label in labels if label.version not in found}
        found |= {version.version: version for version in await self._stores.versions.list_these(missing)}
        names = await names_now(self._stores, list(found.values()), session=None)
        return ExportedPrompt(
            name=prompt.name,
            kind=prompt.kind,
            description=prompt.description,
            tags=prompt.tags,
            folder=prompt.folder,
            versions=tuple(exported_version(with_names(found[number], names)) for number in sorted(found)),
            labels={label.label: label.version for label in labels},
            versions_left_out=max(prompt.latest_version - len(found), 0),
        )
