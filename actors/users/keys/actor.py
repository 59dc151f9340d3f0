"""Makes, lists and revokes API keys, and knows whose a key is."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from promptforge.actors.users.errors import TooManyKeys
from promptforge.actors.users.keys.domain import MOST_KEYS, SHAPE, USED_EVERY_SECONDS, ApiKey
from promptforge.actors.users.keys.store import KeyStore
from promptforge.actors.users.messages import (
    ApiKeysView,
    CreateApiKey,
    CreatedApiKeyView,
    GetIdentity,
    IsApiKeyActive,
    KeyIdentity,
    ListApiKeys,
    ResolveApiKey,
    RevokeApiKey,
)
from promptforge.core.context import Context
from promptforge.core.credentials import SHOWN, digest_of
from promptforge.core.errors import FieldError, Invalid, NotFound
from promptforge.core.ids import new_id
from promptforge.core.runtime import Actor, handles


class ApiKeysActor(Actor):
    """`scopes`: every scope that some operation asks for."""

    name = "api_keys"
    asks = ("users",)

    def __init__(self, store: KeyStore, *, scopes: Iterable[str]) -> None:
        self._store = store
        self._scopes = tuple(sorted(scopes))

    @handles(CreateApiKey, transactional=True)
    async def create(self, message: CreateApiKey, context: Context) -> CreatedApiKeyView:
        unknown = [
            FieldError(f"There is no scope {scope!r}", "unknown_scope", pointer=f"/scopes/{index}")
            for index, scope in enumerate(message.scopes)
            if scope not in self._scopes
        ]
        if unknown:
            raise Invalid("Some scopes do not exist; GET /users/me/api-keys lists them", errors=tuple(unknown))
        secret, key_id = SHAPE.new(), new_id("key")

        async def work(tx: Context) -> ApiKey:
            key = await self._insert(message, key_id, secret, tx)
            facts = {"scopes": list(key.scopes), "expires_at": key.expires_at}
            await tx.audit("api_key.created", key.id, after=facts)
            return key

        return CreatedApiKeyView((await context.transaction(work)).view(), secret)

    async def _insert(self, message: CreateApiKey, key_id: str, secret: str, tx: Context) -> ApiKey:
        taken = {key.slot for key in await self._store.list_of(tx.user_id, session=tx.session)}
        free = [slot for slot in range(MOST_KEYS) if slot not in taken]
        if not free:
            raise TooManyKeys(f"You have {MOST_KEYS} API keys: revoke one first")
        now = tx.now()
        key = ApiKey(
            id=key_id,
            user_id=tx.user_id,
            name=message.name,
            prefix=secret[:SHOWN],
            digest=digest_of(secret),
            scopes=tuple(sorted(set(message.scopes))),
            slot=free[0],
            created_at=now,
            expires_at=now + timedelta(days=message.expires_in_days),
            last_used_at=None,
        )
        await self._store.insert(key, session=tx.session)
        return key

    @handles(ListApiKeys)
    async def list_keys(self, message: ListApiKeys, context: Context) -> ApiKeysView:
        keys = await self._store.list_of(context.user_id)
        return ApiKeysView(tuple(key.view() for key in keys), self._scopes)

    @handles(RevokeApiKey, transactional=True)
    async def revoke(self, message: RevokeApiKey, context: Context) -> None:
        async def work(tx: Context) -> None:
            key = await self._store.revoke(message.key_id, tx.user_id, now=tx.now(), session=tx.session)
            if key is None:
                raise NotFound("There is no such API key, or it is not yours")
            await tx.audit("api_key.revoked", key.id, before={"scopes": list(key.scopes)})

        await context.transaction(work)

    @handles(IsApiKeyActive)
    async def is_active(self, message: IsApiKeyActive, context: Context) -> bool:
        keys = await self._store.list_of(message.user_id)
        return any(key.id == message.key_id and key.expires_at > context.now() for key in keys)

    @handles(ResolveApiKey)
    async def resolve(self, message: ResolveApiKey, context: Context) -> KeyIdentity | None:
        key = await self._store.find(digest_of(message.key)) if SHAPE.fits(message.key) else None
        now = context.now()
        if key is None or key.expires_at <= now:
            return None
        identity = await context.ask(GetIdentity(user_id=key.user_id))
        if identity is None:
            return None
        if _is_stale(key.last_used_at, now):
            await self._store.note_use(key.id, now)
        return KeyIdentity(identity, key.id, key.scopes, key.expires_at)


def _is_stale(last_used_at: datetime | None, now: datetime) -> bool:
    return last_used_at is None or (now - last_used_at).total_seconds() >= USED_EVERY_SECONDS
