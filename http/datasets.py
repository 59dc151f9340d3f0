"""Datasets and their items."""

from __future__ import annotations

from promptforge.actors.datasets.errors import DatasetFull, ItemsDoNotFit
from promptforge.actors.datasets.messages import (
    AddItems,
    CreateDataset,
    DeleteDataset,
    DeleteItem,
    GetDataset,
    ListDatasets,
    ListItems,
    ReplaceItem,
    UpdateDataset,
)
from promptforge.actors.projects.errors import ProjectArchived, ProjectRoleMissing
from promptforge.core.errors import NotFound
from promptforge.http.routing import delete, get, patch, post, put

_WRITING = (ProjectRoleMissing, ProjectArchived)
_ITEMS = "/datasets/{dataset_id}/items"

routes = [
    get("/datasets", ListDatasets, errors=(NotFound,)),
    post("/datasets", CreateDataset, status=201, errors=(NotFound, *_WRITING)),
    get("/datasets/{dataset_id}", GetDataset),
    patch("/datasets/{dataset_id}", UpdateDataset, errors=(ItemsDoNotFit, *_WRITING)),
    delete("/datasets/{dataset_id}", DeleteDataset, errors=_WRITING),
    get(_ITEMS, ListItems, name="listDatasetItems"),
    post(_ITEMS, AddItems, name="addDatasetItems", errors=(DatasetFull, *_WRITING)),
    put(_ITEMS + "/{item_id}", ReplaceItem, name="replaceDatasetItem", errors=_WRITING),
    delete(_ITEMS + "/{item_id}", DeleteItem, name="deleteDatasetItem", errors=_WRITING),
]
