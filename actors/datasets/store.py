"""Every query on `datasets` and `dataset_items`.

A dataset's revision is a number that goes up with each change of its items; an item's document says since which
revision it holds (`since`) and, once it was replaced or deleted, until which (`until`, exclusive). So a revision is
read by two comparisons and never copied. What no evaluation has used (`used_revision`) is removed instead of being
ended. JSON that people wrote is kept as text: BSON has opinions about keys such as `$ref`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson

from promptforge.actors.datasets.messages import DatasetView, ItemView, NewItem
from promptforge.actors.projects.messages import OF_OTHERS
from promptforge.core.errors import NotFound
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.pages import Cursor, Page, page_of
from promptforge.core.personal import Held, Subject, kept, marks

DATASETS = "datasets"
ITEMS = "dataset_items"
EVER = 2**31 - 1
"""The `until` of what holds still."""

INDEXES: dict[str, tuple[Index, ...]] = {
    DATASETS: (Index((("project_id", 1), ("created_at", -1), ("_id", -1))), Index((("created_by", 1),))),
    ITEMS: (
        Index((("dataset_id", 1), ("item_id", 1), ("since", 1)), unique=True),
        Index((("added_by", 1),), partial={"added_by": {"$exists": True}}),
    ),
}
_WRITTEN = marks(kept(OF_OTHERS), "variables", "expected", "metadata")
HELD = {
    DATASETS: Held(
        "Your datasets, and those that you made in projects of others",
        (
            Subject(
                "created_by",
                marks(kept(OF_OTHERS), "name", "description", "variables_schema"),
                whole=True,
                inside="project_id:projects",
            ),
            Subject("project_id", of="projects", deleted=True, whole=True),
        ),
        plain=frozenset({"project_id", "created_by"}),
    ),
    ITEMS: Held(
        "The items of your datasets, and those that you wrote in projects of others",
        (
            Subject("dataset_id", _WRITTEN, of="datasets", deleted=True),
            Subject("added_by", _WRITTEN),
        ),
        plain=frozenset({"*"}),
    ),
}


class DatasetStore:
    def __init__(self, mongo: Mongo) -> None:
        self._datasets = mongo.collection(DATASETS)
        self._items = mongo.collection(ITEMS)

    # Datasets

    async def insert(self, dataset: DatasetView, *, session: Session | None) -> None:
        await self._datasets.insert_one(
            {
                "_id": dataset.id,
                "project_id": dataset.project_id,
                "name": dataset.name,
                "description": dataset.description,
                "variables_schema": _as_text(dataset.variables_schema),
                "revision": dataset.revision,
                "used_revision": 0,
                "item_count": dataset.item_count,
                "created_by": dataset.created_by,
                "created_at": dataset.created_at,
                "updated_at": dataset.updated_at,
            },
            session=session,
        )

    async def get(self, dataset_id: str, *, session: Session | None = None) -> DatasetView:
        """Whoever asks. Raises `NotFound`."""
        row = await self._datasets.find_one({"_id": dataset_id}, session=session)
        if row is None:
            raise no_dataset()
        return _dataset_from(row)

    async def list_page(self, project_ids: Sequence[str], *, cursor: Cursor | None, limit: int) -> Page[DatasetView]:
        """Newest first."""
        wanted = {"project_id": {"$in": list(project_ids)}, **(cursor.after() if cursor else {})}
        rows = self._datasets.find(wanted).sort([("created_at", -1), ("_id", -1)]).limit(limit + 1)
        return page_of(await rows.to_list(limit + 1), limit, _dataset_from)

    async def update(
        self, dataset_id: str, changes: dict[str, Any], *, now: datetime, session: Session | None
    ) -> DatasetView:
        """`changes`: fields of the view. Raises `NotFound`."""
        stored = dict(changes)
        if "variables_schema" in stored:
            stored["variables_schema"] = _as_text(stored["variables_schema"])
        row = await self._datasets.find_one_and_update(
            {"_id": dataset_id}, {"$set": {**stored, "updated_at": now}}, session=session
        )
        if row is None:
            raise no_dataset()
        return _dataset_from(row)

    async def remove(self, dataset_id: str, *, session: Session | None) -> None:
        await self._datasets.delete_one({"_id": dataset_id}, session=session)

    async def next_revision(
        self, dataset_id: str, added: int, *, now: datetime, session: Session | None
    ) -> tuple[DatasetView, int]:
        """Begin a revision with `added` items more; answers the dataset and the last revision that somebody used.

        Whoever begins one, or uses one, at the same time conflicts and begins again.
        """
        update = {"$inc": {"revision": 1, "item_count": added}, "$set": {"updated_at": now}}
        row = await self._datasets.find_one_and_update({"_id": dataset_id}, update, session=session)
        if row is None:
            raise no_dataset()
        return _dataset_from(row), row["used_revision"]

    async def use(self, dataset: DatasetView, *, session: Session | None) -> None:
        """Keep this revision from now on."""
        await self._datasets.update_one(
            {"_id": dataset.id}, {"$set": {"used_revision": dataset.revision}, "$inc": {"uses": 1}}, session=session
        )

    # Items

    async def insert_items(
        self, dataset: DatasetView, items: Sequence[tuple[str, NewItem]], *, by: str, session: Session | None
    ) -> None:
        """They hold since the dataset's revision."""
        rows = [
            {
                "_id": f"{item_id}:{dataset.revision}",
                "dataset_id": dataset.id,
                "item_id": item_id,
                "added_by": by,
                "since": dataset.revision,
                "until": EVER,
                "variables": _as_text(item.variables),
                "expected": item.expected,
                "metadata": _as_text(item.metadata),
            }
            for item_id, item in items
        ]
        await self._items.insert_many(rows, session=session)

    async def end_item(
        self, dataset_id: str, item_id: str, revision: int, *, used_revision: int, session: Session | None
    ) -> None:
        """The item does not hold in `revision` any more; gone for good where no used revision has it.

        Raises `NotFound`.
        """
        present = {"dataset_id": dataset_id, "item_id": item_id, "until": EVER}
        ended = await self._items.update_one(
            {**present, "since": {"$lte": used_revision}}, {"$set": {"until": revision}}, session=session
        )
        if ended.matched_count:
            return
        removed = await self._items.delete_one(present, session=session)
        if not removed.deleted_count:
            raise NotFound("There is no such item in this dataset")

    async def list_items(
        self, dataset_id: str, revision: int, *, after: str, limit: int, session: Session | None = None
    ) -> list[ItemView]:
        """Those of the revision that come after an id."""
        wanted = {
            "dataset_id": dataset_id,
            "item_id": {"$gt": after},
            "since": {"$lte": revision},
            "until": {"$gt": revision},
        }
        rows = self._items.find(wanted, session=session).sort([("item_id", 1)]).limit(limit)
        return [_item_from(row) for row in await rows.to_list(limit)]

    async def remove_items(self, dataset_id: str) -> None:
        await self._items.delete_many({"dataset_id": dataset_id})


def no_dataset() -> NotFound:
    return NotFound("There is no such dataset, or it is not yours")


def _as_text(value: object) -> str | None:
    return None if value is None else orjson.dumps(value).decode()


def _from_text(text: str | None) -> Any:  # Any: JSON
    return None if text is None else orjson.loads(text)


def _dataset_from(row: Document) -> DatasetView:
    return DatasetView(
        id=row["_id"],
        project_id=row["project_id"],
        name=row["name"],
        description=row["description"],
        variables_schema=_from_text(row["variables_schema"]),
        revision=row["revision"],
        item_count=row["item_count"],
        created_by=row["created_by"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _item_from(row: Document) -> ItemView:
    return ItemView(
        id=row["item_id"],
        dataset_id=row["dataset_id"],
        variables=_from_text(row["variables"]),
        expected=row["expected"],
        metadata=_from_text(row["metadata"]),
        revision=row["since"],
    )
