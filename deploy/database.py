"""Opening the database the settings ask for: a given MongoDB, or an embedded mongod."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import anyio.to_thread

from promptforge.core.mongo import EmbeddedMongod, Mongo, start_embedded
from promptforge.deploy.settings import Settings

APP_NAME = "promptforge"
MONGO_DIRECTORY = "mongo"


@dataclass(frozen=True, slots=True)
class Database:
    """A connected client, and the embedded mongod where it is ours to watch."""

    mongo: Mongo
    embedded: EmbeddedMongod | None


@asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[Database]:
    """Connect, starting or adopting the embedded mongod where no URL is set. Raises `ConfigurationError`."""
    embedded = None
    if settings.mongo_url is None:
        embedded = await start_embedded(settings.data_dir / MONGO_DIRECTORY, binary=settings.promptforge_mongod)
    try:
        url = embedded.url if embedded else settings.mongo_url.get_secret_value()  # type: ignore[union-attr]
        mongo = await Mongo.connect(url, settings.mongo_db, app_name=APP_NAME)
        try:
            yield Database(mongo, embedded)
        finally:
            mongo.close()
    finally:
        if embedded is not None:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(embedded.stop)
