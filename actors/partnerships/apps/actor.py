"""Keeps partners' apps, and gives tokens to those who have their secrets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from promptforge.actors.notifications.messages import DropAppWebhooks, NotifyUser
from promptforge.actors.partnerships.apps.domain import SECRET, TOKEN, TOKEN_LASTS, App, is_secret_of
from promptforge.actors.partnerships.apps.messages import (
    AppStanding,
    AppToken,
    CreatePartnerApp,
    DeletePartnerApp,
    FindAppStanding,
    GetPartnerApp,
    IssueAppToken,
    ListPartnerApps,
    PartnerAppSecretView,
    PartnerAppsView,
    PartnerAppView,
    RenamePartnerApp,
    ResolveAppToken,
    RevokeAppToken,
    RotateAppSecret,
)
from promptforge.actors.partnerships.apps.store import AppStore, Token
from promptforge.actors.partnerships.errors import AppStopped, NotAPartner, TokenNotYours, WrongCredentials
from promptforge.actors.partnerships.messages import PartnerState
from promptforge.actors.partnerships.partners.store import PartnerStore
from promptforge.actors.users.messages import GetIdentity, Identity, KeyIdentity
from promptforge.core.context import Context
from promptforge.core.credentials import SHOWN, digest_of
from promptforge.core.errors import FieldError, Invalid
from promptforge.core.ids import new_id
from promptforge.core.runtime import Actor, handles

DROPPED_AGAIN_SECONDS = 120.0
"""Longer than a transaction lasts."""


class PartnerAppsActor(Actor):
    """`scopes`: every scope that some operation asks for."""

    name = "partner_apps"
    asks = ("users",)

    def __init__(self, apps: AppStore, partners: PartnerStore, *, scopes: Iterable[str]) -> None:
        self._apps = apps
        self._partners = partners
        self._scopes = tuple(sorted(scopes))

    # Partners

    @handles(CreatePartnerApp, key="partner_id", transactional=True)
    async def create(self, message: CreatePartnerApp, context: Context) -> PartnerAppSecretView:
        self._check_scopes(message.scopes)
        secret, app_id = SECRET.new(), new_id("app")
        app = await context.transaction(lambda tx: self._insert(message, app_id, secret, tx))
        return PartnerAppSecretView(app.id, app.view(), secret)

    def _check_scopes(self, scopes: Iterable[str]) -> None:
        unknown = [
            FieldError(f"There is no scope {scope!r}", "unknown_scope", pointer=f"/scopes/{index}")
            for index, scope in enumerate(scopes)
            if scope not in self._scopes
        ]
        if unknown:
            raise Invalid("Some scopes do not exist; the list of apps names those that do", errors=tuple(unknown))

    async def _insert(self, message: CreatePartnerApp, app_id: str, secret: str, tx: Context) -> App:
        partner = await self._partners.get_own(message.partner_id, tx.user_id, session=tx.session)
        if partner.state is not PartnerState.APPROVED:
            raise NotAPartner(f"The partnership is {partner.state}")
        now = tx.now()
        app = App(
            id=app_id,
            partner_id=partner.id,
            owner=partner.owner,
            slot=await self._apps.free_slot(partner.id, session=tx.session),
            name=message.name,
            scopes=tuple(sorted(set(message.scopes))),
            prefix=secret[:SHOWN],
            digest=digest_of(secret),
            old_digest=None,
            old_until=None,
            rotated_at=None,
            last_used_at=None,
            created_at=now,
            updated_at=now,
        )
        await self._apps.insert(app, session=tx.session)
        await tx.audit("partner_app.created", app.id, after={"partner_id": partner.id, "scopes": list(app.scopes)})
        await _tell(app, "An app was made", "was made, and has a secret", tx)
        return app

    @handles(ListPartnerApps)
    async def list_apps(self, message: ListPartnerApps, context: Context) -> PartnerAppsView:
        partner = await self._partners.get_own(message.partner_id, context.user_id)
        apps = await self._apps.list_of(partner.id)
        return PartnerAppsView(tuple(app.view() for app in apps), self._scopes)

    @handles(GetPartnerApp, transactional=True)
    async def get_app(self, message: GetPartnerApp, context: Context) -> PartnerAppView:
        return (await self._own(message.app_id, message.partner_id, context)).view()

    async def _own(self, app_id: str, partner_id: str, context: Context) -> App:
        return await self._apps.get_own(app_id, partner_id, context.user_id, session=context.session)

    @handles(RenamePartnerApp, key="app_id", atomic=True)
    async def rename(self, message: RenamePartnerApp, context: Context) -> PartnerAppView:
        before = await self._own(message.app_id, message.partner_id, context)
        app = replace(before, name=message.name, updated_at=context.now())
        await self._apps.put(app, session=context.session)
        await context.audit("partner_app.renamed", app.id, after={"partner_id": app.partner_id})
        return app.view()

    @handles(RotateAppSecret, key="app_id", transactional=True)
    async def rotate(self, message: RotateAppSecret, context: Context) -> PartnerAppSecretView:
        if message.drop_webhooks and not message.leaked:
            wrong = FieldError("This goes with `leaked` only", "only_with_leaked", pointer="/drop_webhooks")
            raise Invalid(wrong.detail, errors=(wrong,))
        secret = SECRET.new()
        app = await context.transaction(lambda tx: self._rotate(message, secret, tx))
        return PartnerAppSecretView(app.id, app.view(), secret)

    async def _rotate(self, message: RotateAppSecret, secret: str, tx: Context) -> App:
        before = await self._own(message.app_id, message.partner_id, tx)
        drop = message.drop_webhooks
        app = before.rotated(secret, leaked=message.leaked, drop_webhooks=drop, now=tx.now())
        await self._apps.put(app, judge_anew=message.leaked, session=tx.session)
        what = {"partner_id": app.partner_id, "leaked": message.leaked, "webhooks_dropped": drop}
        await tx.audit("partner_app.rotated", app.id, after=what)
        if drop:
            await drop_webhooks(app, tx, before=app.webhooks_from)
        await _tell(app, "An app has a new secret", f"has a new secret{' and no webhooks' if drop else ''}", tx)
        return app

    @handles(DeletePartnerApp, key="app_id", atomic=True)
    async def delete(self, message: DeletePartnerApp, context: Context) -> None:
        app = await self._own(message.app_id, message.partner_id, context)
        await self._apps.delete(app.id, session=context.session)
        await context.audit("partner_app.deleted", app.id, before={"scopes": list(app.scopes)})
        await drop_webhooks(app, context)

    # Tokens

    @handles(IssueAppToken)
    async def issue(self, message: IssueAppToken, context: Context) -> AppToken:
        app, now = await self._apps.find(message.client_id), context.now()
        if not is_secret_of(app, message.secret, now) or app is None:
            raise WrongCredentials
        if await self._acting_for(app, context) is None:
            raise AppStopped
        token = Token(app.id, app.granted(message.scopes), now + TOKEN_LASTS, app.generation)
        secret = TOKEN.new()
        await self._apps.insert_token(secret, token, now=now)
        return AppToken(secret, token.scopes, int(TOKEN_LASTS.total_seconds()))

    @handles(ResolveAppToken)
    async def resolve(self, message: ResolveAppToken, context: Context) -> KeyIdentity | None:
        token = await self._apps.find_token(message.token) if TOKEN.fits(message.token) else None
        if token is None or token.expires_at <= context.now():
            return None
        app = await self._apps.find(token.app_id)
        identity = None if app is None else await self._acting_for(app, context)
        if app is None or identity is None or token.generation != app.generation:
            return None
        scopes = tuple(scope for scope in token.scopes if scope in app.scopes)
        return KeyIdentity(identity, app.id, scopes, token.expires_at, app.generation)

    @handles(RevokeAppToken)
    async def revoke(self, message: RevokeAppToken, context: Context) -> None:
        """Also for an app that is stopped, and by an old secret for as long as that is good."""
        app, now = await self._apps.find(message.client_id), context.now()
        if not is_secret_of(app, message.secret, now) or app is None:
            raise WrongCredentials
        token = await self._apps.find_token(message.token) if TOKEN.fits(message.token) else None
        if token is None:
            return
        if token.app_id != app.id:
            raise TokenNotYours
        await context.transaction(
            lambda tx: self._apps.revoke_token(app.id, message.token, now=now, session=tx.session)
        )

    @handles(FindAppStanding, transactional=True)
    async def find_standing(self, message: FindAppStanding, context: Context) -> AppStanding | None:
        app = await self._apps.find(message.app_id, session=context.session)
        if app is None or app.owner != message.owner_id or await self._acting_for(app, context) is None:
            return None
        return AppStanding(app.generation, app.webhooks_from)

    async def _acting_for(self, app: App, context: Context) -> Identity | None:
        """None where the partner is not approved now, or their account not open."""
        partner = await self._partners.find(app.partner_id, session=context.session)
        if partner is None or partner.state is not PartnerState.APPROVED:
            return None
        identity = await context.ask(GetIdentity(user_id=app.owner))
        return None if identity is None or identity.suspended else identity


async def drop_webhooks(app: App, tx: Context, *, before: int | None = None) -> None:
    """Delete the webhooks of an app, those from before a generation or all; they are silent from this commit on.

    Twice: one that is being made at this moment may be written after it.
    """
    drop = DropAppWebhooks(app_id=app.id, owner_id=app.owner, before=before)
    await tx.enqueue(drop, owner_id=app.owner)
    await tx.enqueue(drop, owner_id=app.owner, delay_seconds=DROPPED_AGAIN_SECONDS)


async def _tell(app: App, title: str, what: str, tx: Context) -> None:
    notice = NotifyUser(
        user_id=app.owner,
        kind="partnership.app_secret",
        title=title,
        body=f"The app “{app.name}” {what}. If that was not you, delete it: its tokens end at once.",
        subject={"partner_id": app.partner_id, "app_id": app.id},
        dedupe_key=f"partnership.app_secret:{app.id}:{app.updated_at.isoformat()}",
    )
    await tx.enqueue(notice, owner_id=app.owner)
