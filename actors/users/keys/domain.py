"""An API key as it is stored and shown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from promptforge.actors.users.messages import ApiKeyView
from promptforge.core.credentials import API_KEY, Shape

MOST_KEYS = 50
USED_EVERY_SECONDS = 60.0
"""`last_used_at` is exact to this."""
SHAPE = Shape(API_KEY)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as stored; `slot` keeps one user from having more than `MOST_KEYS`."""

    id: str
    user_id: str
    name: str
    prefix: str
    digest: str
    scopes: tuple[str, ...]
    slot: int
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None

    def view(self) -> ApiKeyView:
        return ApiKeyView(
            id=self.id,
            name=self.name,
            prefix=self.prefix,
            scopes=self.scopes,
            created_at=self.created_at,
            expires_at=self.expires_at,
            last_used_at=self.last_used_at,
        )
