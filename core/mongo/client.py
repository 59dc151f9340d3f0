"""The process's one MongoDB client.

Writes are acknowledged by a majority and journaled: what was acknowledged survives a kill -9 and a failover. Reads see
majority-committed data, so that nothing is answered that a failover could take back.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from bson.codec_options import CodecOptions
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorClientSession, AsyncIOMotorDatabase
from pymongo.errors import ConfigurationError as DriverConfigurationError
from pymongo.errors import InvalidURI, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from promptforge.core.errors import ConfigurationError, DatabaseUnavailable
from promptforge.core.mongo.collections import Collection, Document
from promptforge.core.mongo.errors import refusal

MAX_POOL_SIZE = 100
START_SECONDS = 5.0
RUN_SECONDS = 2.0
"""How long an operation looks for a primary. Requests get their 503 after it, so it is short."""
CONNECT_SECONDS = 5.0
"""How long a connection may take, and how long a heartbeat may be overdue before the driver cuts short everything that
is under way to its server: a machine may stand still for some seconds, and go on."""
POOL_WAIT_SECONDS = 5.0
SOCKET_SECONDS = 30.0


class Mongo:
    """Made by `connect`; `raw` is for this folder only."""

    def __init__(self, client: AsyncIOMotorClient[Document], database: str) -> None:
        self._client = client
        options: CodecOptions[Document] = CodecOptions(tz_aware=True)
        self.name = database
        self._collections: dict[str, Collection] = {}
        self.raw: AsyncIOMotorDatabase[Document] = client.get_database(
            database,
            codec_options=options,
            write_concern=WriteConcern("majority", j=True),
            read_concern=ReadConcern("majority"),
        )

    @classmethod
    async def connect(cls, url: str, database: str, *, app_name: str = "promptforge") -> Mongo:
        """Connect and make sure that this is a replica set with a primary, or a sharded cluster.

        Raises `ConfigurationError` with one line that says why not; no password is in it.
        """
        if not url.startswith(("mongodb://", "mongodb+srv://")):
            raise ConfigurationError("MONGO_URL cannot be used: it must start with mongodb:// or mongodb+srv://")
        where = _where(url)
        await _check(url, where)
        client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(
            url,
            appname=app_name,
            serverSelectionTimeoutMS=int(RUN_SECONDS * 1000),
            connectTimeoutMS=int(CONNECT_SECONDS * 1000),
            waitQueueTimeoutMS=int(POOL_WAIT_SECONDS * 1000),
            socketTimeoutMS=int(SOCKET_SECONDS * 1000),
            maxPoolSize=MAX_POOL_SIZE,
            retryWrites=True,
            retryReads=True,
            tz_aware=True,
        )
        return cls(client, database)

    def collection(self, name: str) -> Collection:
        """The same one each time: to make one takes as long as a small command."""
        if (known := self._collections.get(name)) is None:
            known = self._collections[name] = Collection(self.raw[name])
        return known

    def start_session(self, *, snapshot: bool = False) -> AsyncIOMotorClientSession:
        """`snapshot`: for reads of one moment only.

        Nothing is sent, so it needs no thread as Motor's own does: in a busy process the way there and back takes
        milliseconds, for every transaction.
        """
        return AsyncIOMotorClientSession(self._client.delegate.start_session(snapshot=snapshot), self._client)

    async def end_session(self, session: AsyncIOMotorClientSession) -> None:
        """As `start_session`, but where a transaction is open still, which is aborted."""
        if session.delegate.in_transaction:
            await session.end_session()
        else:
            session.delegate.end_session()

    async def ping(self) -> None:
        """Raises `DatabaseUnavailable` where the primary does not answer."""
        try:
            await self.raw.command("ping")
        except PyMongoError as error:
            raise DatabaseUnavailable from error

    async def server_time(self) -> datetime:
        """The primary's clock."""
        try:
            hello: dict[str, Any] = await self.raw.command("hello")
        except PyMongoError as error:
            raise DatabaseUnavailable from error
        now: datetime = hello["localTime"]
        return now

    async def drop(self) -> None:
        """Drop the whole database; for tests."""
        await self._client.drop_database(self.name)

    def close(self) -> None:
        self._client.close()


async def _check(url: str, where: str) -> None:
    """Look once, patiently, with a client of its own.

    A client that connected before the set was initiated would believe for ever that there are no sessions.
    """
    try:
        client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(
            url, serverSelectionTimeoutMS=int(START_SECONDS * 1000), connectTimeoutMS=int(START_SECONDS * 1000)
        )
    except (InvalidURI, DriverConfigurationError, ValueError, TypeError) as error:
        raise ConfigurationError(f"MONGO_URL cannot be used: {_without_secrets(str(error), url)}") from None
    try:
        hello = await client.admin.command("hello")
        await client.admin.command("listDatabases", nameOnly=True)
    except PyMongoError as error:
        raise refusal(error, where) from None
    finally:
        client.close()
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        raise ConfigurationError(
            f"MongoDB at {where} is not a replica set, and transactions need one: start it with --replSet"
        )


def _where(url: str) -> str:
    """Hosts and ports of the URL, without user name and password."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2] or "MONGO_URL"
    except ValueError:
        return "MONGO_URL"


def _without_secrets(text: str, url: str) -> str:
    """A driver's message about a URL may quote it."""
    credentials = url.partition("://")[2].rpartition("@")[0]
    return text.replace(url, "the URL").replace(credentials, "…") if credentials else text.replace(url, "the URL")
