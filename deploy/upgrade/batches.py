"""Documents by the hundred: found by a cursor, and changed in one transaction per batch."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from promptforge.core.mongo import Collection, Document, Mongo, Session, patient_rows, run_transaction

Ids = Sequence[Any]  # Any: an `_id` can be of any type in a database of the service before
Work = Callable[[Sequence[Document], Session], Awaitable[None]]


async def in_batches(mongo: Mongo, name: str, left: Document, work: Work, *, size: int) -> None:
    """Hand every document of a collection that matches `left` to `work`, which marks it so that it matches no more.

    A batch is read again in its transaction: what somebody else has done meanwhile is not in it, and two who do the
    same at once conflict.
    """
    collection = mongo.collection(name)
    async for ids in _ids(collection, left, size):

        async def do(session: Session, ids: Ids = ids) -> None:
            wanted: Document = {"$and": [{"_id": {"$in": list(ids)}}, left]}
            rows = await collection.find(wanted, session=session).to_list(len(ids))
            if rows:
                await work(rows, session)

        await run_transaction(mongo, do)


async def _ids(collection: Collection, left: Document, size: int) -> AsyncIterator[Ids]:
    batch: list[Any] = []  # Any: as above
    async for row in patient_rows(collection.find(left, {"_id": 1}).batch_size(size)):
        batch.append(row["_id"])
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


async def replace_all(
    collection: Collection, rows: Sequence[Document], new: Sequence[Document], *, session: Session
) -> None:
    """`new` instead of `rows`, also where the ids differ, which no update can change."""
    await collection.delete_many({"_id": {"$in": [row["_id"] for row in rows]}}, session=session)
    await collection.insert_many(new, session=session)
