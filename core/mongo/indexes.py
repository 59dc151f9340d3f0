"""Indexes, declared beside the store that needs them, ensured at start-up and compared by `promptforge doctor`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pymongo import IndexModel
from pymongo.errors import CollectionInvalid, OperationFailure, PyMongoError

from promptforge.core.errors import ConfigurationError
from promptforge.core.mongo.client import Mongo
from promptforge.core.mongo.errors import translate
from promptforge.core.mongo.patience import patiently

_NOT_FOUND = frozenset({26, 27})  # NamespaceNotFound, IndexNotFound
_EXISTS = 48  # NamespaceExists
_DUPLICATES = 11000
_CONFLICTS = frozenset({85, 86})  # IndexOptionsConflict, IndexKeySpecsConflict


@dataclass(frozen=True, slots=True)
class Index:
    """`keys` in order, 1 ascending or -1 descending (or "text"). `partial`: only documents that match are indexed."""

    keys: tuple[tuple[str, int | str], ...]
    unique: bool = False
    partial: Mapping[str, Any] | None = field(default=None, hash=False)
    ttl_seconds: int | None = None

    @property
    def name(self) -> str:
        """Derived from the keys, as MongoDB does it, so that an index made elsewhere is recognised."""
        return "_".join(f"{key}_{direction}" for key, direction in self.keys)

    def options(self) -> dict[str, Any]:
        options: dict[str, Any] = {"name": self.name}
        if self.unique:
            options["unique"] = True
        if self.partial is not None:
            options["partialFilterExpression"] = dict(self.partial)
        if self.ttl_seconds is not None:
            options["expireAfterSeconds"] = self.ttl_seconds
        return options


Declared = Mapping[str, Sequence[Index]]


@dataclass(frozen=True, slots=True)
class IndexDifference:
    """One way in which the database is not as declared: `missing`, `extra` or `different`."""

    collection: str
    index: str
    what: str

    def __str__(self) -> str:
        return f"index {self.collection}.{self.index} is {self.what}"


async def ensure_indexes(mongo: Mongo, declared: Declared) -> None:
    """Create what is missing; safe in several processes at once. Raises `ConfigurationError` for a changed index.

    Collections without an index are made too: one that is first written inside a transaction makes all of those that
    write it at the same moment conflict.
    """
    for collection, indexes in declared.items():
        if not indexes:
            await _ensure_collection(mongo, collection)
        else:
            await _ensure(mongo, collection, indexes)


async def _ensure(mongo: Mongo, collection: str, indexes: Sequence[Index]) -> None:
    """All of a collection's in one command."""
    try:
        with patiently():
            await mongo.raw[collection].create_indexes([_model(index) for index in indexes])
    except OperationFailure as error:
        if error.code not in _CONFLICTS | {_DUPLICATES}:
            raise translate(error) or error from error
        if len(indexes) > 1:  # which one it is
            for index in indexes:
                await _ensure(mongo, collection, [index])
        if error.code == _DUPLICATES:
            fields = " and ".join(key for key, _ in indexes[0].keys)
            raise ConfigurationError(
                f"{collection} holds several documents with the same {fields}, "
                f"which the unique index {indexes[0].name} does not allow: change or remove all but one of them"
            ) from None
        raise ConfigurationError(
            f"index {collection}.{indexes[0].name} exists with other options: drop it, or write a migration"
        ) from None
    except PyMongoError as error:
        raise translate(error) or error from error


def _model(index: Index) -> IndexModel:
    return IndexModel(list(index.keys), **index.options())


async def drop_index(mongo: Mongo, collection: str, name: str) -> None:
    """Drop an index that is declared no more; nothing where it is gone already."""
    try:
        await mongo.raw[collection].drop_index(name)
    except OperationFailure as error:
        if error.code not in _NOT_FOUND:
            raise translate(error) or error from error
    except PyMongoError as error:
        raise translate(error) or error from error


async def drop_indexes_in_the_way(mongo: Mongo, declared: Declared) -> list[str]:
    """Drop what would keep a declared index from being made: one of its name or its keys that is another index.

    Answers their names, with their collections. Indexes that nothing declares stay.
    """
    dropped = []
    for collection, indexes in declared.items():
        try:
            present = await mongo.raw[collection].index_information()
        except PyMongoError as error:
            raise translate(error) or error from error
        for name, there in present.items():
            keys = tuple((key, direction) for key, direction in there["key"])
            rivals = [index for index in indexes if name == index.name or keys == index.keys]
            if any(name != index.name or not _same(index, there) for index in rivals):
                await drop_index(mongo, collection, name)
                dropped.append(f"{collection}.{name}")
    return dropped


async def _ensure_collection(mongo: Mongo, name: str) -> None:
    try:
        await mongo.raw.create_collection(name)
    except CollectionInvalid:
        return
    except OperationFailure as error:
        if error.code != _EXISTS:
            raise translate(error) or error from error
    except PyMongoError as error:
        raise translate(error) or error from error


async def compare_indexes(mongo: Mongo, declared: Declared) -> list[IndexDifference]:
    """What differs between the declarations and the database; collections that nobody declared are passed over."""
    differences = []
    for collection, indexes in declared.items():
        try:
            present = await mongo.raw[collection].index_information()
        except PyMongoError as error:
            raise translate(error) or error from error
        wanted = {index.name: index for index in indexes}
        for name, index in wanted.items():
            if name not in present:
                differences.append(IndexDifference(collection, name, "missing"))
            elif not _same(index, present[name]):
                differences.append(IndexDifference(collection, name, "different"))
        extra = present.keys() - wanted.keys() - {"_id_"}
        differences += [IndexDifference(collection, name, "extra") for name in sorted(extra)]
    return differences


def _same(index: Index, present: Mapping[str, Any]) -> bool:
    partial = present.get("partialFilterExpression")
    return (
        tuple((key, direction) for key, direction in present["key"]) == index.keys
        and bool(present.get("unique")) == index.unique
        and (dict(partial) if partial is not None else None) == (dict(index.partial) if index.partial else None)
        and present.get("expireAfterSeconds") == index.ttl_seconds
        and not present.get("sparse")
        and "collation" not in present
    )
