"""A small feature on a real MongoDB behind the whole edge: what the edge promises is tested on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, TypeVar

import anyio
import httpx
from annotated_types import Len

from promptforge.core.context import Context
from promptforge.core.errors import Conflict, DatabaseUnavailable, NotFound
from promptforge.core.identity import NOBODY, Asker
from promptforge.core.ids import new_id
from promptforge.core.messages import Command, Query, requires
from promptforge.core.mongo import Mongo, Session
from promptforge.core.pages import DEFAULT_LIMIT, Cursor, CursorToken, Limit, Page
from promptforge.core.principal import Principal
from promptforge.core.runtime import Actor, System, handles
from promptforge.http.app import Collaborators, HttpSettings, build_app
from promptforge.http.idempotency import Replies
from promptforge.http.routing import delete, get, patch, post
from tests.support.processes import MongoTransactions

T = TypeVar("T")
Text = Annotated[str, Len(1, 100)]


@dataclass(frozen=True, slots=True)
class NoteView:
    id: str
    text: str


@dataclass(frozen=True, slots=True)
class SecretNoteView:
    id: str
    secret: str | None

    def without_secrets(self) -> SecretNoteView:
        return SecretNoteView(self.id, None)


class Full(Conflict):
    code = "full"


@requires(scope="notes:write")
class WriteNote(Command[NoteView]):
    """Write a note."""

    text: Text


@requires(scope="notes:write")
class WriteElsewhere(Command[NoteView]):
    """Write a note where MongoDB's transactions do not reach."""

    text: Text


@requires(scope="notes:write")
class WriteSecret(Command[SecretNoteView]):
    """Answer with a secret."""


@requires(scope="notes:read")
class GetNote(Query[NoteView]):
    """Read a note."""

    note_id: str


@requires(scope="notes:read")
class ListNotes(Query[Page[NoteView]]):
    """List notes."""

    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@requires(scope="notes:read")
class ListOtherNotes(ListNotes):
    """Another list."""


@requires(scope="notes:write")
class EditNote(Command[NoteView]):
    """Change a note."""

    note_id: str
    text: Text


@requires(scope="notes:write")
class AnswerNote(Command[NoteView]):
    """Write a note about another one."""

    note_id: str
    text: Text


@requires(scope="notes:write")
class DeleteNote(Command[None]):
    """Remove a note."""

    note_id: str


class Notes(Actor):
    """`gate` holds back those that write, `waiting` counts them; `elsewhere` is what no transaction takes back;
    `meanwhile` happens once, after a look from inside a transaction.
    """

    name = "notes"

    def __init__(self, mongo: Mongo) -> None:
        self.notes = mongo.collection("notes")
        self.gate = anyio.Event()
        self.gate.set()
        self.waiting = 0
        self.full = False
        self.elsewhere: list[str] = []
        self.meanwhile: Callable[[], Awaitable[object]] | None = None

    async def _pass(self) -> None:
        self.waiting += 1
        await self.gate.wait()
        if self.full:
            raise Full

    @handles(WriteNote, atomic=True)
    async def write(self, message: WriteNote, context: Context) -> NoteView:
        note = NoteView(new_id("not"), message.text)
        await self.notes.insert_one(
            {"_id": note.id, "text": note.text, "created_at": context.now()}, session=context.session
        )
        await self._pass()
        return note

    @handles(AnswerNote, atomic=True)
    async def answer(self, message: AnswerNote, context: Context) -> NoteView:
        return await self.write(WriteNote(text=f"{message.note_id}: {message.text}"), context)

    @handles(WriteElsewhere)
    async def write_elsewhere(self, message: WriteElsewhere, context: Context) -> NoteView:
        identifier = context.effect_id or new_id("not")
        if identifier not in self.elsewhere:
            self.elsewhere.append(identifier)
        await self._pass()
        return NoteView(identifier, message.text)

    @handles(WriteSecret, transactional=True)
    async def write_secret(self, message: WriteSecret, context: Context) -> SecretNoteView:
        return SecretNoteView("not_1", "hunter2")

    @handles(GetNote, transactional=True)
    async def get(self, message: GetNote, context: Context) -> NoteView:
        row = await self.notes.find_one({"_id": message.note_id}, session=context.session)
        if row is None:
            raise NotFound
        if context.session is not None and self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        return NoteView(row["_id"], row["text"])

    @handles(ListNotes)
    async def list(self, message: ListNotes, context: Context) -> Page[NoteView]:
        return await self._page(message)

    @handles(ListOtherNotes)
    async def list_other(self, message: ListOtherNotes, context: Context) -> Page[NoteView]:
        return await self._page(message)

    async def _page(self, message: ListNotes) -> Page[NoteView]:
        cursor = Cursor.decode_optional(message.cursor)
        rows = self.notes.find(cursor.after() if cursor else {}).sort([("created_at", -1), ("_id", -1)])
        found = await rows.limit(message.limit + 1).to_list(message.limit + 1)
        shown = found[: message.limit]
        last = Cursor(shown[-1]["created_at"], shown[-1]["_id"]).encode() if len(found) > len(shown) else None
        return Page(tuple(NoteView(row["_id"], row["text"]) for row in shown), last)

    @handles(EditNote, transactional=True)
    async def edit(self, message: EditNote, context: Context) -> NoteView:
        await self._pass()
        change = {"$set": {"text": message.text}}
        row = await self.notes.find_one_and_update({"_id": message.note_id}, change, session=context.session)
        if row is None:
            raise NotFound
        return NoteView(row["_id"], row["text"])

    @handles(DeleteNote, transactional=True)
    async def delete(self, message: DeleteNote, context: Context) -> None:
        await self.notes.delete_one({"_id": message.note_id}, session=context.session)


ROUTES = (
    get("/notes", ListNotes),
    post("/notes", WriteNote, status=201),
    get("/notes/others", ListOtherNotes),
    post("/notes/elsewhere", WriteElsewhere, status=201, location="/notes/{id}"),
    post("/notes/secrets", WriteSecret),
    get("/notes/{note_id}", GetNote),
    patch("/notes/{note_id}", EditNote),
    post("/notes/{note_id}/answers", AnswerNote, status=201, location="/notes/{id}"),
    delete("/notes/{note_id}", DeleteNote),
)


class BreakableTransactions(MongoTransactions):
    """`broken`: MongoDB goes away after all that a transaction does, right before its commit."""

    broken = False

    async def __call__(self, work: Callable[[Session], Awaitable[T]], *, deadline: float) -> T:
        async def until_commit(session: Session) -> T:
            result = await work(session)
            if self.broken:
                raise DatabaseUnavailable
            return result

        return await super().__call__(until_commit, deadline=deadline)


class Tokens:
    """A token is its user's name; `name.key` is an API key of theirs."""

    def cached(self, token: str) -> Principal | None:
        user, _, key = token.partition(".")
        return Principal(user_id=user, uid=user, key_id=key or None)

    def knows(self, token: str) -> bool:
        return True

    async def resolve(self, token: str, *, fresh: bool = False, asker: Asker = NOBODY) -> Principal:
        raise AssertionError("every token is known")


@dataclass
class Noted:
    """An application with notes, and a client of Alice's."""

    notes: Notes
    transactions: BreakableTransactions
    client: httpx.AsyncClient


@asynccontextmanager
async def notes_service(mongo: Mongo, *, replies: Replies | None = None) -> AsyncIterator[Noted]:
    """One process; several may be open on one database."""
    notes = Notes(mongo)
    transactions = BreakableTransactions(mongo)
    system = System([notes], transactions=transactions)
    app = build_app(
        system,
        Collaborators(Tokens(), {}, replies=replies or Replies(mongo)),
        settings=HttpSettings(version="1", rate_limits=("default=100000/minute",), secrets=("shared",)),
        routes=ROUTES,
    )
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    headers = {"authorization": "Bearer alice"}
    async with (
        system.running(grace_seconds=1),
        httpx.AsyncClient(transport=transport, base_url="http://service/api/v1", headers=headers) as client,
    ):
        yield Noted(notes, transactions, client)
