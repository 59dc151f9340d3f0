"""Keeps datasets."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import MISSING

from promptforge.actors.datasets.domain import check_items, checker_of
from promptforge.actors.datasets.errors import DatasetFull, ItemsDoNotFit
from promptforge.actors.datasets.messages import (
    MAX_ITEMS,
    AddedItems,
    AddItems,
    CreateDataset,
    DatasetView,
    DeleteDataset,
    DeleteItem,
    FreezeDataset,
    FrozenDataset,
    GetDataset,
    ItemView,
    ListDatasets,
    ListItems,
    NewItem,
    ReadDataset,
    ReadItems,
    RemoveItems,
    ReplaceItem,
    TellDatasetIsGone,
    UpdateDataset,
)
from promptforge.actors.datasets.store import DatasetStore, no_dataset
from promptforge.actors.projects.messages import ListProjectsOf, ProjectPermission, authorise, project_to_write
from promptforge.core.context import Context
from promptforge.core.errors import NotFound
from promptforge.core.ids import new_id, new_ids
from promptforge.core.json_schemas import Json
from promptforge.core.pages import Cursor, Page
from promptforge.core.runtime import Actor, handles

READ_AT_ONCE = 100
TOLD_AGAIN_SECONDS = 120
"""Later than any transaction ends that has still seen a dataset."""
_NO_TIME = datetime.fromtimestamp(0, UTC)
"""Items are listed by their ids alone: a cursor's time says nothing."""


class DatasetsActor(Actor):
    name = "datasets"
    asks = ("projects",)

    def __init__(self, store: DatasetStore) -> None:
        self._store = store

    # Datasets

    @handles(CreateDataset, transactional=True)
    async def create(self, message: CreateDataset, context: Context) -> DatasetView:
        checker_of(message.variables_schema)

        async def work(tx: Context) -> DatasetView:
            project_id = await project_to_write(tx, message.project_id)
            dataset = DatasetView(
                id=new_id("dts"),
                project_id=project_id,
                name=message.name,
                description=message.description,
                variables_schema=message.variables_schema,
                revision=1,
                item_count=0,
                created_by=tx.user_id,
                created_at=tx.now(),
                updated_at=tx.now(),
            )
            await self._store.insert(dataset, session=tx.session)
            return dataset

        return await context.transaction(work)

    @handles(GetDataset, transactional=True)
    async def get_dataset(self, message: GetDataset, context: Context) -> DatasetView:
        return await self._dataset_for(context, message.dataset_id)

    @handles(ListDatasets)
    async def list_datasets(self, message: ListDatasets, context: Context) -> Page[DatasetView]:
        cursor = Cursor.decode_optional(message.cursor)
        if message.project_id is not None:
            await authorise(context, message.project_id, ProjectPermission.READ)
            project_ids: tuple[str, ...] = (message.project_id,)
        else:
            project_ids = await context.ask(ListProjectsOf(user_id=context.user_id))
        return await self._store.list_page(project_ids, cursor=cursor, limit=message.limit)

    @handles(UpdateDataset, key="dataset_id", transactional=True)
    async def update(self, message: UpdateDataset, context: Context) -> DatasetView:
        sent: dict[str, Any] = {  # Any: whatever the fields hold
            name: value
            for name in ("name", "description", "variables_schema")
            if (value := getattr(message, name)) is not MISSING
        }

        async def work(tx: Context) -> DatasetView:
            dataset = await self._dataset_for(tx, message.dataset_id, ProjectPermission.WRITE)
            if not sent:
                return dataset
            if sent.get("variables_schema") is not None:
                await self._refuse_what_does_not_fit(dataset, sent["variables_schema"], tx)
            return await self._store.update(dataset.id, sent, now=tx.now(), session=tx.session)

        return await context.transaction(work)

    async def _refuse_what_does_not_fit(self, dataset: DatasetView, schema: dict[str, Json], tx: Context) -> None:
        checker, after = checker_of(schema), ""
        while items := await self._store.list_items(
            dataset.id, dataset.revision, after=after, limit=READ_AT_ONCE, session=tx.session
        ):
            for item in items:
                if checker is not None and not checker.accepts(item.variables):
                    raise ItemsDoNotFit(f"The item {item.id} does not keep to this schema", extra={"item_id": item.id})
            after = items[-1].id

    @handles(DeleteDataset, key="dataset_id", transactional=True)
    async def delete(self, message: DeleteDataset, context: Context) -> None:
        async def work(tx: Context) -> None:
            dataset = await self._dataset_for(tx, message.dataset_id, ProjectPermission.WRITE)
            await self._store.remove(dataset.id, session=tx.session)
            await tx.enqueue(RemoveItems(dataset_id=dataset.id), unique=f"dataset-items:{dataset.id}")
            await tx.enqueue(TellDatasetIsGone(dataset_id=dataset.id))
            await tx.enqueue(TellDatasetIsGone(dataset_id=dataset.id), delay_seconds=TOLD_AGAIN_SECONDS)

        await context.transaction(work)

    @handles(RemoveItems)
    async def remove_items(self, message: RemoveItems, context: Context) -> None:
        await self._store.remove_items(message.dataset_id)

    # Items

    @handles(AddItems, key="dataset_id", transactional=True)
    async def add_items(self, message: AddItems, context: Context) -> AddedItems:
        async def work(tx: Context) -> AddedItems:
            dataset = await self._dataset_for(tx, message.dataset_id, ProjectPermission.WRITE)
            pointers = [f"/items/{number}" for number in range(len(message.items))]
            check_items(message.items, dataset.variables_schema, pointers=pointers)
            count = len(message.items)
            dataset, _ = await self._store.next_revision(dataset.id, count, now=tx.now(), session=tx.session)
            if dataset.item_count > MAX_ITEMS:
                raise DatasetFull(f"A dataset has at most {MAX_ITEMS:,} items")
            ids = tuple(new_ids("itm", count))
            items = list(zip(ids, message.items, strict=True))
            await self._store.insert_items(dataset, items, by=tx.user_id, session=tx.session)
            return AddedItems(dataset.revision, dataset.item_count, ids)

        return await context.transaction(work)

    @handles(ListItems)
    async def list_items(self, message: ListItems, context: Context) -> Page[ItemView]:
        cursor = Cursor.decode_optional(message.cursor)
        dataset = await self._dataset_for(context, message.dataset_id)
        revision = dataset.revision if message.revision is None else message.revision
        if revision > dataset.revision:
            raise NotFound("The dataset has no such revision yet")
        after = cursor.id if cursor else ""
        found = await self._store.list_items(dataset.id, revision, after=after, limit=message.limit + 1)
        shown = tuple(found[: message.limit])
        more = len(found) > message.limit
        return Page(shown, Cursor(_NO_TIME, shown[-1].id).encode() if more else None)

    @handles(ReplaceItem, key="dataset_id", transactional=True)
    async def replace_item(self, message: ReplaceItem, context: Context) -> ItemView:
        item = NewItem(message.variables, message.expected, message.metadata)

        async def work(tx: Context) -> ItemView:
            dataset = await self._dataset_for(tx, message.dataset_id, ProjectPermission.WRITE)
            check_items([item], dataset.variables_schema, pointers=[""])
            dataset = await self._end_item(tx, message.dataset_id, message.item_id, left=0)
            await self._store.insert_items(dataset, [(message.item_id, item)], by=tx.user_id, session=tx.session)
            return ItemView(message.item_id, dataset.id, item.variables, item.expected, item.metadata, dataset.revision)

        return await context.transaction(work)

    @handles(DeleteItem, key="dataset_id", transactional=True)
    async def delete_item(self, message: DeleteItem, context: Context) -> None:
        async def work(tx: Context) -> None:
            await self._dataset_for(tx, message.dataset_id, ProjectPermission.WRITE)
            await self._end_item(tx, message.dataset_id, message.item_id, left=-1)

        await context.transaction(work)

    async def _end_item(self, tx: Context, dataset_id: str, item_id: str, *, left: int) -> DatasetView:
        """Answers the dataset with the revision that begins with this."""
        dataset, used = await self._store.next_revision(dataset_id, left, now=tx.now(), session=tx.session)
        await self._store.end_item(dataset_id, item_id, dataset.revision, used_revision=used, session=tx.session)
        return dataset

    # For other features

    @handles(FreezeDataset, transactional=True)
    async def freeze(self, message: FreezeDataset, context: Context) -> FrozenDataset:
        dataset = await self._dataset_for(context, message.dataset_id, ProjectPermission.WRITE)
        await self._store.use(dataset, session=context.session)
        return FrozenDataset(dataset.id, dataset.project_id, dataset.name, dataset.revision, dataset.item_count)

    @handles(ReadDataset, transactional=True)
    async def read_dataset(self, message: ReadDataset, context: Context) -> DatasetView:
        return await self._store.get(message.dataset_id, session=context.session)

    @handles(ReadItems)
    async def read_items(self, message: ReadItems, context: Context) -> tuple[ItemView, ...]:
        await self._store.get(message.dataset_id)
        after, revision = message.after, message.revision
        return tuple(await self._store.list_items(message.dataset_id, revision, after=after, limit=READ_AT_ONCE))

    async def _dataset_for(
        self, context: Context, dataset_id: str, permission: ProjectPermission = ProjectPermission.READ
    ) -> DatasetView:
        """Raises `NotFound` for who is not in the project, `ProjectRoleMissing` or `ProjectArchived` for who is."""
        dataset = await self._store.get(dataset_id, session=context.session)
        try:
            await authorise(context, dataset.project_id, permission)
        except NotFound:
            raise no_dataset() from None
        return dataset
