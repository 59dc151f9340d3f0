"""Every query on `partner_apps` and `partner_app_tokens`.

What an app may not do any more is told to caches through its document: whatever ends tokens sets `judge_anew`, and the
change stream carries that to every process. Tokens that ended with a leaked secret are not looked for, for one may be
on its way to be written: they are of another generation than their app.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

from promptforge.actors.partnerships.apps.domain import MOST_APPS, App
from promptforge.actors.partnerships.errors import TooManyApps
from promptforge.core.credentials import digest_of
from promptforge.core.errors import NotFound
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.personal import Held, Subject

APPS = "partner_apps"
TOKENS = "partner_app_tokens"
JUDGE_ANEW = "judge_anew"

INDEXES: dict[str, tuple[Index, ...]] = {
    APPS: (Index((("partner_id", 1), ("slot", 1)), unique=True), Index((("owner", 1),))),
    TOKENS: (
        Index((("digest", 1),), unique=True),
        Index((("app_id", 1),)),
        Index((("expires_at", 1),), ttl_seconds=0),
    ),
}
HELD = {
    APPS: Held(
        "Apps of your partnerships, without their secrets",
        (Subject("owner", deleted=True),),
        plain=frozenset({"name", "scopes", "prefix"}),
        secret=frozenset({"digest", "old_digest"}),
    ),
    TOKENS: Held(
        "Tokens of these apps that have not run out, without what opens anything",
        (Subject("app_id", of=APPS, deleted=True),),
        plain=frozenset({"scopes"}),
        secret=frozenset({"digest"}),
    ),
}


@dataclass(frozen=True, slots=True)
class Token:
    app_id: str
    scopes: tuple[str, ...]
    expires_at: datetime
    generation: int


class AppStore:
    def __init__(self, mongo: Mongo) -> None:
        self._apps = mongo.collection(APPS)
        self._tokens = mongo.collection(TOKENS)

    async def free_slot(self, partner_id: str, *, session: Session | None) -> int:
        """Raises `TooManyApps`. A slot has one app: of two who take one at once, one begins again."""
        rows = await self._apps.find({"partner_id": partner_id}, {"slot": 1}, session=session).to_list(None)
        free = set(range(MOST_APPS)) - {row["slot"] for row in rows}
        if not free:
            raise TooManyApps(f"The partnership has {MOST_APPS} apps: delete one first")
        return min(free)

    async def insert(self, app: App, *, session: Session | None) -> None:
        await self._apps.insert_one(_document(app), session=session)

    async def find(self, app_id: str, *, session: Session | None = None) -> App | None:
        row = await self._apps.find_one({"_id": app_id}, session=session)
        return None if row is None else _app_from(row)

    async def get_own(self, app_id: str, partner_id: str, owner: str, *, session: Session | None = None) -> App:
        """Raises `NotFound`, also for somebody else's."""
        app = await self.find(app_id, session=session)
        if app is None or (app.partner_id, app.owner) != (partner_id, owner):
            raise NotFound("There is no such app, or it is not yours")
        return app

    async def list_of(self, partner_id: str, *, session: Session | None = None) -> list[App]:
        """Newest first; there are few."""
        rows = self._apps.find({"partner_id": partner_id}, session=session).sort([("created_at", -1), ("_id", -1)])
        return [_app_from(row) for row in await rows.to_list(MOST_APPS)]

    async def put(self, app: App, *, judge_anew: bool = False, session: Session | None) -> None:
        """Whole, but for when it was last used. With `judge_anew` nobody remembers what it may do."""
        fields = _document(app)
        del fields["_id"], fields["last_used_at"]
        if judge_anew:
            fields[JUDGE_ANEW] = app.updated_at
        await self._apps.update_one({"_id": app.id}, {"$set": fields}, session=session)

    async def delete(self, app_id: str, *, session: Session | None) -> None:
        await self._apps.delete_one({"_id": app_id}, session=session)
        await self._tokens.delete_many({"app_id": app_id}, session=session)

    async def judge_anew(self, partner_id: str, *, now: datetime, session: Session | None) -> None:
        """Nobody remembers what these apps may do: it depends on their partner's state."""
        await self._apps.update_many({"partner_id": partner_id}, {"$set": {JUDGE_ANEW: now}}, session=session)

    async def revoke_token(self, app_id: str, secret: str, *, now: datetime, session: Session | None) -> None:
        """End one token of an app; nobody remembers what that may do. Nothing is written where there is none."""
        gone = await self._tokens.delete_one({"digest": digest_of(secret), "app_id": app_id}, session=session)
        if gone.deleted_count:
            await self._apps.update_one({"_id": app_id}, {"$set": {JUDGE_ANEW: now}}, session=session)

    # Tokens

    async def insert_token(self, secret: str, token: Token, *, now: datetime) -> None:
        await self._tokens.insert_one(
            {
                "digest": digest_of(secret),
                "app_id": token.app_id,
                "scopes": list(token.scopes),
                "generation": token.generation,
                "created_at": now,
                "expires_at": token.expires_at,
            }
        )
        await self._apps.update_one({"_id": token.app_id}, {"$max": {"last_used_at": now}})

    async def find_token(self, secret: str) -> Token | None:
        """Also one that has run out: MongoDB removes those within a minute or two."""
        row = await self._tokens.find_one({"digest": digest_of(secret)})
        if row is None:
            return None
        generation = row.get("generation", 0)  # those from before there were generations have none
        return Token(row["app_id"], tuple(row["scopes"]), row["expires_at"], generation)


def _document(app: App) -> Document:
    fields = asdict(app)
    fields["_id"] = fields.pop("id")
    fields["scopes"] = list(app.scopes)
    return fields


def _app_from(row: Document) -> App:
    fields = {name: value for name, value in row.items() if name not in {"_id", JUDGE_ANEW}}
    return App(**{**fields, "id": row["_id"], "scopes": tuple(row["scopes"])})
