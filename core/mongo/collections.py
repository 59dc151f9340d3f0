"""Collections as the stores see them: the driver's methods that are used here, typed, with its outages translated.

Outside a transaction an outage raises `DatabaseUnavailable`. Inside one the driver's error passes, because
`run_transaction` has to see its labels; it translates what is left in the end.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Mapping, Sequence
from typing import Any, TypeVar

import anyio
import anyio.lowlevel
from bson.raw_bson import RawBSONDocument
from motor.motor_asyncio import AsyncIOMotorClientSession, AsyncIOMotorCollection
from pymongo import ReturnDocument, UpdateOne
from pymongo.errors import BulkWriteError, PyMongoError
from pymongo.results import BulkWriteResult, DeleteResult, InsertManyResult, InsertOneResult, UpdateResult

from promptforge.core.mongo.errors import DuplicateKey, translate

Session = AsyncIOMotorClientSession
Document = dict[str, Any]  # Any: a document holds any BSON value
Filter = Mapping[str, Any]
Update = Mapping[str, Any] | Sequence[Mapping[str, Any]]
Sort = Sequence[tuple[str, int]]
T = TypeVar("T")
_DUPLICATE = 11000
DELETED_TOGETHER = 5_000

__all__ = ["Collection", "Document", "Filter", "RawBSONDocument", "Rows", "Session", "Sort", "Update", "UpdateOne"]


async def _run(call: Awaitable[T], session: Session | None) -> T:
    try:
        if session is None:
            return await call
        # Given up, it would go on in its thread, and where that comes to it after the abort, outside any transaction.
        with anyio.CancelScope(shield=True):
            found = await call
        await anyio.lowlevel.checkpoint_if_cancelled()
        return found
    except PyMongoError as error:
        if session is None and (known := translate(error)) is not None:
            raise known from error
        raise


class Rows:
    """A cursor: `await rows.to_list(n)`, or `async for row in rows`."""

    __slots__ = ("_cursor", "_session")

    def __init__(self, cursor: Any, session: Session | None) -> None:  # Any: Motor's cursors have no common type
        self._cursor = cursor
        self._session = session

    def sort(self, keys: Sort) -> Rows:
        self._cursor.sort(list(keys))
        return self

    def limit(self, number: int) -> Rows:
        self._cursor.limit(number)
        return self

    def batch_size(self, number: int) -> Rows:
        self._cursor.batch_size(number)
        return self

    def hint(self, index: str) -> Rows:
        self._cursor.hint(index)
        return self

    async def to_list(self, length: int | None) -> list[Document]:
        """At most `length` documents; None: all of them, for what is bounded by its nature only."""
        rows: list[Document] = await _run(self._cursor.to_list(length), self._session)
        return rows

    async def __aiter__(self) -> AsyncGenerator[Document, None]:
        try:
            async for row in self._cursor:
                yield row
        except PyMongoError as error:
            if self._session is None and (known := translate(error)) is not None:
                raise known from error
            raise
        finally:
            await self._cursor.close()


class Collection:
    """One collection. Every method takes the transaction's `session` where there is one."""

    __slots__ = ("_raw", "name")

    def __init__(self, raw: AsyncIOMotorCollection[Document]) -> None:
        self._raw = raw
        self.name: str = raw.name

    async def find_one(
        self,
        wanted: Filter,
        projection: Filter | None = None,
        *,
        sort: Sort | None = None,
        session: Session | None = None,
    ) -> Document | None:
        call = self._raw.find_one(wanted, projection, sort=sort, session=session)
        found: Document | None = await _run(call, session)
        return found

    def find(self, wanted: Filter, projection: Filter | None = None, *, session: Session | None = None) -> Rows:
        return Rows(self._raw.find(wanted, projection, session=session), session)

    def aggregate(self, pipeline: Sequence[Filter], *, session: Session | None = None, **options: Any) -> Rows:
        return Rows(self._raw.aggregate(list(pipeline), session=session, **options), session)

    async def count_documents(self, wanted: Filter, *, limit: int = 0, session: Session | None = None) -> int:
        options = {"limit": limit} if limit else {}
        return await _run(self._raw.count_documents(wanted, session=session, **options), session)

    async def insert_one(self, document: Document, *, session: Session | None = None) -> InsertOneResult:
        """Raises `DuplicateKey`; inside a transaction that has aborted it."""
        return await _run(self._raw.insert_one(document, session=session), session)

    async def insert_many(
        self, documents: Sequence[Document], *, ordered: bool = True, session: Session | None = None
    ) -> InsertManyResult:
        """Raises `DuplicateKey` where that is all that was wrong; inside a transaction that has aborted it."""
        try:
            return await _run(self._raw.insert_many(list(documents), ordered=ordered, session=session), session)
        except BulkWriteError as error:
            refused = error.details.get("writeErrors", ())
            if not refused or any(one.get("code") != _DUPLICATE for one in refused):
                raise
            raise DuplicateKey("some of the documents are there already", _DUPLICATE) from error

    async def insert_new(self, documents: Sequence[Document]) -> frozenset[int]:
        """Insert those that no unique index refuses; answers which ones were refused, as places in the sequence."""
        try:
            await _run(self._raw.insert_many(list(documents), ordered=False), None)
        except BulkWriteError as error:
            refused = error.details.get("writeErrors", ())
            if error.details.get("writeConcernErrors") or any(one.get("code") != _DUPLICATE for one in refused):
                raise
            return frozenset(one["index"] for one in refused)
        return frozenset()

    async def update_one(
        self, wanted: Filter, update: Update, *, upsert: bool = False, session: Session | None = None
    ) -> UpdateResult:
        return await _run(self._raw.update_one(wanted, update, upsert=upsert, session=session), session)

    async def update_many(
        self, wanted: Filter, update: Update, *, hint: str | None = None, session: Session | None = None
    ) -> UpdateResult:
        """`hint` names the index to use: with many ids the planner's trials of others cost more than the update."""
        return await _run(self._raw.update_many(wanted, update, hint=hint, session=session), session)

    async def find_one_and_update(
        self,
        wanted: Filter,
        update: Update,
        *,
        projection: Filter | None = None,
        sort: Sort | None = None,
        upsert: bool = False,
        return_document: bool = ReturnDocument.AFTER,
        session: Session | None = None,
    ) -> Document | None:
        """The document after the update (before it with `return_document=False`); None where nothing matched."""
        call = self._raw.find_one_and_update(
            wanted,
            update,
            projection=projection,
            sort=sort,
            upsert=upsert,
            return_document=return_document,
            session=session,
        )
        found: Document | None = await _run(call, session)
        return found

    async def find_one_and_upsert(
        self,
        wanted: Filter,
        update: Update,
        *,
        projection: Filter | None = None,
        session: Session | None = None,
    ) -> Document:
        """The document after the update, made where nothing matched."""
        found = await self.find_one_and_update(wanted, update, projection=projection, upsert=True, session=session)
        if found is None:
            raise RuntimeError("an upsert answers the document after it")
        return found

    async def delete_one(self, wanted: Filter, *, session: Session | None = None) -> DeleteResult:
        return await _run(self._raw.delete_one(wanted, session=session), session)

    async def delete_many(self, wanted: Filter, *, session: Session | None = None) -> DeleteResult:
        return await _run(self._raw.delete_many(wanted, session=session), session)

    async def delete_between(self, first: str, end: str) -> int:
        """Delete what has its `_id` between these two, some thousands at a time; answers how many.

        For what may be millions: a command is given up after half a minute, and goes on in the server nevertheless.
        """
        wanted, number = {"_id": {"$gt": first, "$lt": end}}, 0
        while rows := await self.find(wanted, {"_id": 1}).sort([("_id", 1)]).limit(DELETED_TOGETHER).to_list(None):
            some = {"_id": {"$gte": rows[0]["_id"], "$lte": rows[-1]["_id"]}}
            number += (await self.delete_many(some)).deleted_count
        return number

    async def bulk_write(
        self, requests: Sequence[Any], *, ordered: bool = True, session: Session | None = None
    ) -> BulkWriteResult:
        return await _run(self._raw.bulk_write(list(requests), ordered=ordered, session=session), session)
