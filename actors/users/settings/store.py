"""Every query on the field `settings` of the collection `users`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from promptforge.actors.users.store import USERS
from promptforge.core.errors import NotFound
from promptforge.core.mongo import Document, Mongo, Session


@dataclass(frozen=True, slots=True)
class Settings:
    """As they are for who never set any."""

    locale: str = "en"
    default_model: str | None = None
    marketing: bool = False


_FIELDS = {"settings": 1}


class SettingsStore:
    def __init__(self, mongo: Mongo) -> None:
        self._users = mongo.collection(USERS)

    async def get(self, user_id: str, *, session: Session | None) -> Settings:
        """Raises `NotFound`."""
        return _settings_from(await self._users.find_one({"_id": user_id}, _FIELDS, session=session))

    async def update(
        self, user_id: str, changes: Mapping[str, object], *, now: datetime, session: Session | None
    ) -> Settings:
        """Raises `NotFound`."""
        fields = {f"settings.{name}": value for name, value in changes.items()} | {"updated_at": now}
        row = await self._users.find_one_and_update(
            {"_id": user_id}, {"$set": fields}, projection=_FIELDS, session=session
        )
        return _settings_from(row)


def _settings_from(row: Document | None) -> Settings:
    if row is None:
        raise NotFound
    stored, usual = row.get("settings") or {}, Settings()
    return Settings(
        locale=stored.get("locale", usual.locale),
        default_model=stored.get("default_model", usual.default_model),
        marketing=stored.get("marketing", usual.marketing),
    )
