"""Several reads of one moment, outside of a transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
from pymongo.errors import OperationFailure, PyMongoError

from promptforge.core.mongo.client import Mongo
from promptforge.core.mongo.collections import Session
from promptforge.core.mongo.errors import translate

T = TypeVar("T")

ATTEMPTS = 3
PAUSE_SECONDS = 0.05
_GONE = frozenset({239, 246})
"""SnapshotTooOld, SnapshotUnavailable: the latter for a moment after a collection or an index was made."""


async def read_snapshot(mongo: Mongo, work: Callable[[Session], Awaitable[T]]) -> T:
    """Run `work`, whose reads see what had been committed at the moment of the first one, and answer what it answers.

    A single `find` needs it too where documents that it reads are moved: a cursor stops between documents, and goes on
    in the present. It costs less than a transaction, which has to be committed. Raises `DatabaseUnavailable`.
    """
    for attempt in range(1, ATTEMPTS + 1):
        session = mongo.start_session(snapshot=True)
        try:
            return await work(session)
        except PyMongoError as error:
            gone = isinstance(error, OperationFailure) and error.code in _GONE
            if not gone or attempt == ATTEMPTS:
                raise translate(error) or error from error
        finally:
            with anyio.CancelScope(shield=True):
                await mongo.end_session(session)
        await anyio.sleep(PAUSE_SECONDS * attempt)
    raise AssertionError("the last attempt answers or raises")
