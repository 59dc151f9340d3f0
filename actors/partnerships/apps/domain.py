"""An app as it is stored, which secrets are good for it, and what it may be given."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from promptforge.actors.partnerships.apps.messages import PartnerAppView
from promptforge.actors.partnerships.errors import ScopeNotGranted
from promptforge.core.credentials import APP_SECRET, APP_TOKEN, SHOWN, Shape, digest_of

MOST_APPS = 10
OLD_SECRET_LASTS = timedelta(hours=24)
TOKEN_LASTS = timedelta(minutes=15)
SECRET, TOKEN = Shape(APP_SECRET), Shape(APP_TOKEN)
_NOBODYS = digest_of("")
"""Compared with where there is no such app, so that it takes as long."""


@dataclass(frozen=True, slots=True)
class App:
    """`slot` keeps a partner from having more than `MOST_APPS`.

    Tokens are of the `generation` in which they were given, and of no other: a leaked secret begins the next one.
    Webhooks are of the generation in which they were made, and of those before `webhooks_from` nothing is told.
    """

    id: str
    partner_id: str
    owner: str
    slot: int
    name: str
    scopes: tuple[str, ...]
    prefix: str
    digest: str
    old_digest: str | None
    old_until: datetime | None
    rotated_at: datetime | None
    last_used_at: datetime | None
    created_at: datetime
    updated_at: datetime
    generation: int = 0
    webhooks_from: int = 0

    def view(self) -> PartnerAppView:
        return PartnerAppView(
            id=self.id,
            partner_id=self.partner_id,
            name=self.name,
            scopes=self.scopes,
            prefix=self.prefix,
            rotated_at=self.rotated_at,
            old_secret_until=self.old_until,
            last_used_at=self.last_used_at,
            created_at=self.created_at,
            updated_at=self.updated_at,
        )

    def rotated(self, secret: str, *, leaked: bool, drop_webhooks: bool = False, now: datetime) -> App:
        """With a new secret; the present one lasts a while, and the one before it ends now."""
        generation = self.generation + leaked
        return replace(
            self,
            prefix=secret[:SHOWN],
            digest=digest_of(secret),
            old_digest=None if leaked else self.digest,
            old_until=None if leaked else now + OLD_SECRET_LASTS,
            rotated_at=now,
            updated_at=now,
            generation=generation,
            webhooks_from=generation if drop_webhooks else self.webhooks_from,
        )

    def granted(self, asked: Iterable[str] | None) -> tuple[str, ...]:
        """The scopes of a token. Raises `ScopeNotGranted`."""
        if asked is None:
            return self.scopes
        wanted = sorted(set(asked))
        beyond = [scope for scope in wanted if scope not in self.scopes]
        if beyond or not wanted:
            raise ScopeNotGranted(f"This app has the scopes {' '.join(self.scopes)}, and no others")
        return tuple(wanted)


def is_secret_of(app: App | None, secret: str, now: datetime) -> bool:
    """Takes the same time for every secret, and for an app that is none."""
    given = digest_of(secret)
    digest = _NOBODYS if app is None else app.digest
    old = app.old_digest if app is not None and app.old_until is not None and now < app.old_until else None
    present = secrets.compare_digest(given, digest)
    before = secrets.compare_digest(given, old or _NOBODYS)
    return app is not None and (present or (before and old is not None))
