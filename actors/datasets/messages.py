"""Datasets and their items, and what evaluations ask for: one revision, which never changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

from annotated_types import Ge, Len
from pydantic import MISSING, Field

from promptforge.actors.projects.messages import ProjectId
from promptforge.core.jobs.policy import job
from promptforge.core.messages import Command, Query, internal, requires
from promptforge.core.pages import DEFAULT_LIMIT, CursorToken, Limit, Page
from promptforge.core.text import LINE, TEXT

MAX_ITEMS = 10_000
MAX_BATCH = 500

DatasetId = Annotated[str, Len(1, 64)]
ItemId = Annotated[str, Len(1, 64)]
DatasetName = Annotated[str, Len(1, 120), LINE, Field(examples=["Monday's articles"])]
DatasetDescription = Annotated[str, Len(1, 2000), TEXT, Field(examples=["Fifty articles, and what was news in each."])]
Revision = Annotated[int, Ge(1)]
ItemValues = Annotated[
    dict[str, Any],  # Any: JSON
    Field(examples=[{"article": "The council met on Monday."}], description="A value for each variable, by name"),
]
Expected = Annotated[str, Field(max_length=32_768, examples=["The council met."])]
Metadata = Annotated[
    dict[Annotated[str, Len(1, 64)], Annotated[str, Len(0, 1000)]],
    Field(max_length=20, examples=[{"source": "archive"}], description="What else is to be kept with the item"),
]
ItemSchema = Annotated[
    dict[str, Any],  # Any: JSON
    Field(
        description="A JSON Schema (draft 2020-12) of the items' variables, without references; at most 16 KiB",
        examples=[{"type": "object", "properties": {"article": {"type": "string"}}, "required": ["article"]}],
    ),
]


@dataclass(frozen=True, slots=True)
class NewItem:
    """An example: values for a prompt's variables, and what the answer is expected to be, where that can be said.

    At most 64 KiB.
    """

    variables: ItemValues = field(default_factory=dict)
    expected: Expected | None = None
    metadata: Metadata = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DatasetView:
    """A dataset. `revision` goes up by one with each change of its items."""

    id: str
    project_id: str
    name: str
    description: str | None
    variables_schema: dict[str, Any] | None  # Any: JSON
    revision: int
    item_count: int
    created_by: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class ItemView:
    """An item, as it is since `revision` of its dataset."""

    id: str
    dataset_id: str
    variables: dict[str, Any]  # Any: JSON
    expected: str | None
    metadata: dict[str, str]
    revision: int


@dataclass(frozen=True, slots=True)
class AddedItems:
    """The items, in the order in which they were sent, and the dataset's revision with them."""

    revision: int
    item_count: int
    item_ids: tuple[str, ...]


@requires(scope="datasets:write")
class CreateDataset(Command[DatasetView]):
    """Make a dataset in a project (your personal one where none is named)."""

    name: DatasetName
    description: DatasetDescription | None = None
    variables_schema: ItemSchema | None = None
    project_id: ProjectId | None = None


@requires(scope="datasets:read")
class GetDataset(Query[DatasetView]):
    """Read a dataset of one of your projects."""

    dataset_id: DatasetId


@requires(scope="datasets:read")
class ListDatasets(Query[Page[DatasetView]]):
    """List the datasets of a project, or of all yours, newest first."""

    project_id: ProjectId | None = None
    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@requires(scope="datasets:write")
class UpdateDataset(Command[DatasetView]):
    """Change a dataset's name, description or schema: only the fields that are sent change, null clears one.

    A schema that items of the dataset do not keep to is refused (409 `items_do_not_fit`).
    """

    dataset_id: DatasetId
    name: DatasetName | MISSING = MISSING
    description: DatasetDescription | MISSING | None = MISSING
    variables_schema: ItemSchema | MISSING | None = MISSING


@requires(scope="datasets:write")
class DeleteDataset(Command[None]):
    """Delete a dataset with its items. Evaluations that have ended keep their results; one under way will fail."""

    dataset_id: DatasetId


@requires(scope="datasets:write")
class AddItems(Command[AddedItems]):
    """Add up to 500 items, all or none; a dataset has at most 10,000 (409 `dataset_full`).

    Where the dataset has a schema, each item's variables keep to it: 422 points to what does not.
    """

    dataset_id: DatasetId
    items: Annotated[tuple[NewItem, ...], Len(1, MAX_BATCH)]


@requires(scope="datasets:read")
class ListItems(Query[Page[ItemView]]):
    """List the items of a dataset as it is, or as it was in a `revision` that an evaluation has used, oldest first."""

    dataset_id: DatasetId
    revision: Revision | None = None
    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@requires(scope="datasets:write")
class ReplaceItem(Command[ItemView]):
    """Replace an item, whole. Evaluations that began before keep to what it was."""

    dataset_id: DatasetId
    item_id: ItemId
    variables: ItemValues = field(default_factory=dict)
    expected: Expected | None = None
    metadata: Metadata = field(default_factory=dict)


@requires(scope="datasets:write")
class DeleteItem(Command[None]):
    """Delete an item. Evaluations that began before still have it."""

    dataset_id: DatasetId
    item_id: ItemId


# For other features


@dataclass(frozen=True, slots=True)
class FrozenDataset:
    """A revision that stays as it is for as long as the dataset is there."""

    dataset_id: str
    project_id: str
    name: str
    revision: int
    item_count: int


@internal
class FreezeDataset(Command[FrozenDataset]):
    """Keep the present revision for good, in the asker's transaction, for somebody who may write in its project.

    Raises `NotFound`, `ProjectRoleMissing` or `ProjectArchived`.
    """

    dataset_id: str


@internal
class ReadDataset(Query[DatasetView]):
    """A dataset, whoever asks. Raises `NotFound`."""

    dataset_id: str


@internal
class ReadItems(Query[tuple[ItemView, ...]]):
    """The items of a frozen revision that come after an id, at most 100, whoever asks. Raises `NotFound`."""

    dataset_id: str
    revision: int
    after: str = ""


@internal
@job(queue="default", timeout_seconds=120)
class TellDatasetIsGone(Command[None]):
    """A dataset was deleted, so nobody can repeat what was evaluated with it. It is told twice, minutes apart."""

    dataset_id: str


@internal
@job(queue="default", timeout_seconds=120)
class RemoveItems(Command[None]):
    """Remove what a deleted dataset has left behind."""

    dataset_id: str
