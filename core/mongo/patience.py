"""For single commands that take as long as a collection is large: the making of an index, a look through all documents.

The client gives up a socket that is silent for half a minute, so that no request hangs for a server that is gone. What
runs before the service serves has the time that it takes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager

import pymongo

from promptforge.core.mongo.collections import Document, Rows

PATIENCE_SECONDS = 6 * 3600.0


def patiently() -> AbstractContextManager[None]:
    """Commands that are sent inside may take hours; not for what is inside a transaction, which has its own bounds."""
    return pymongo.timeout(PATIENCE_SECONDS)


async def patient_rows(rows: Rows) -> AsyncIterator[Document]:
    """The rows of a cursor that may look through millions before it finds the next; only the looking is patient."""
    iterator = aiter(rows)
    while True:
        with patiently():
            row = await anext(iterator, None)
        if row is None:
            return
        yield row
