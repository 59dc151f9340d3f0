"""Apps of partners: programs that sign in with a client id and a secret, and act for their partner within scopes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from annotated_types import Len
from pydantic import Field

from promptforge.actors.partnerships.messages import PartnerId
from promptforge.actors.users.messages import KeyIdentity, ScopeName, UserId
from promptforge.core.messages import Command, Query, internal, requires
from promptforge.core.text import LINE

APP_ID_PREFIX = "app_"
AppId = Annotated[str, Len(1, 64)]
AppName = Annotated[str, Len(1, 80), LINE, Field(examples=["Review site"])]
AppScopes = Annotated[tuple[ScopeName, ...], Len(1, 50), Field(examples=[["listings:read"]])]


@dataclass(frozen=True, slots=True)
class PartnerAppView:
    """An app without its secret. `id` is its client id, `prefix` how its secret begins.

    `old_secret_until`: until then the secret before the last rotation is good as well. `last_used_at` is when it was
    last given a token.
    """

    id: str
    partner_id: str
    name: str
    scopes: tuple[str, ...]
    prefix: str
    rotated_at: datetime | None
    old_secret_until: datetime | None
    last_used_at: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class PartnerAppSecretView:
    """`secret` is the client secret, shown this once; null where the same request is answered again."""

    id: str
    app: PartnerAppView
    secret: str | None

    def without_secrets(self) -> PartnerAppSecretView:
        """What may be stored of this reply."""
        return PartnerAppSecretView(self.id, self.app, None)


@dataclass(frozen=True, slots=True)
class PartnerAppsView:
    """A partner's apps, newest first, and every scope that an app can have."""

    items: tuple[PartnerAppView, ...]
    available_scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AppToken:
    """An access token as it is handed out."""

    token: str
    scopes: tuple[str, ...]
    lifetime_seconds: int


@requires(fresh=True)
class CreatePartnerApp(Command[PartnerAppSecretView]):
    """Make an app of your partnership, whose secret is shown this once.

    With its id and secret it gets tokens (`POST /partnerships/oauth/token`), and with those it may do what its scopes
    allow, as you. It never has the rights of staff. 409 `not_a_partner` unless the partnership is approved,
    `too_many_apps` beyond ten.
    """

    partner_id: PartnerId
    name: AppName
    scopes: AppScopes


@requires()
class ListPartnerApps(Query[PartnerAppsView]):
    """List the apps of your partnership, without their secrets."""

    partner_id: PartnerId


@requires()
class GetPartnerApp(Query[PartnerAppView]):
    """Read an app of your partnership."""

    partner_id: PartnerId
    app_id: AppId


@requires(fresh=True)
class RenamePartnerApp(Command[PartnerAppView]):
    """Call an app of your partnership something else. What it may do does not change: make another one for that."""

    partner_id: PartnerId
    app_id: AppId
    name: AppName


@requires(fresh=True)
class RotateAppSecret(Command[PartnerAppSecretView]):
    """Make an app a new secret, shown this once. The one before is good for another 24 hours.

    With `leaked` it is not: it, an older one, and every token end at once. `drop_webhooks` besides deletes the webhooks
    of the app, for whoever had the secret may have made them or changed where they lead: nothing more is sent to them
    from then on. It goes with `leaked` only (422).
    """

    partner_id: PartnerId
    app_id: AppId
    leaked: bool = False
    drop_webhooks: bool = False


@requires(fresh=True, while_suspended=True)
class DeletePartnerApp(Command[None]):
    """Delete an app of your partnership; its secrets and tokens end at once, and its webhooks are deleted."""

    partner_id: PartnerId
    app_id: AppId


@internal
class IssueAppToken(Command[AppToken]):
    """A token for whoever has an app's secret, with these of its scopes; without any named, with all of them.

    Raises `WrongCredentials`, `AppStopped` or `ScopeNotGranted`.
    """

    client_id: Annotated[str, Len(1, 256)]
    secret: Annotated[str, Len(1, 256)]
    scopes: tuple[str, ...] | None = None


@internal
class RevokeAppToken(Command[None]):
    """End a token of the app that has this secret (RFC 7009); nothing happens where it is none, or none any more.

    Raises `WrongCredentials`, and `TokenNotYours` for a token of another app.
    """

    client_id: Annotated[str, Len(1, 256)]
    secret: Annotated[str, Len(1, 256)]
    token: Annotated[str, Len(1, 4096)]


@dataclass(frozen=True, slots=True)
class AppStanding:
    """How an app stands that may act. Webhooks of its from before the generation `webhooks_from` are told nothing."""

    generation: int
    webhooks_from: int


@internal
class FindAppStanding(Query[AppStanding | None]):
    """How this app of this owner's stands; null where its partner is not approved, or the account is not open."""

    app_id: AppId
    owner_id: UserId


@internal
class ResolveAppToken(Query[KeyIdentity | None]):
    """Whose app's token this is, or null where it is none, or no longer. `key_id` is the app's id."""

    token: Annotated[str, Len(1, 128)]
