"""Datasets: examples that prompts are tried on, kept in revisions."""

from promptforge.actors.datasets.actor import DatasetsActor
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

__all__ = [
    "AddItems",
    "CreateDataset",
    "DatasetsActor",
    "DeleteDataset",
    "DeleteItem",
    "GetDataset",
    "ListDatasets",
    "ListItems",
    "ReplaceItem",
    "UpdateDataset",
]
