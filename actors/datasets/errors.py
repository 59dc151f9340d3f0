"""What a dataset refuses."""

from __future__ import annotations

from promptforge.core.errors import Conflict


class DatasetFull(Conflict):
    code = "dataset_full"
    title = "The dataset would have too many items"


class ItemsDoNotFit(Conflict):
    code = "items_do_not_fit"
    title = "The dataset has items that do not keep to this schema"
