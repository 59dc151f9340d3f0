"""Reads and changes what somebody has set; the channels of notifications are kept by that feature."""

from __future__ import annotations

from pydantic import MISSING

from promptforge.actors.notifications.preferences.messages import ChannelsView, ChooseChannels, GetChannels
from promptforge.actors.users.settings.messages import GetSettings, SettingsView, UpdateSettings
from promptforge.actors.users.settings.store import Settings, SettingsStore
from promptforge.core.context import Context
from promptforge.core.runtime import Actor, handles


class SettingsActor(Actor):
    name = "settings"
    asks = ("notification_preferences",)

    def __init__(self, store: SettingsStore) -> None:
        self._store = store

    @handles(GetSettings, transactional=True)
    async def get_settings(self, message: GetSettings, context: Context) -> SettingsView:
        settings = await self._store.get(context.user_id, session=context.session)
        return _view(settings, await context.ask(GetChannels(user_id=context.user_id)))

    @handles(UpdateSettings, transactional=True)
    async def update(self, message: UpdateSettings, context: Context) -> SettingsView:
        async def work(tx: Context) -> SettingsView:
            changes = _changes_of(message)
            if changes:
                settings = await self._store.update(tx.user_id, changes, now=tx.now(), session=tx.session)
            else:
                settings = await self._store.get(tx.user_id, session=tx.session)
            if message.notifications is MISSING:
                channels = await tx.ask(GetChannels(user_id=tx.user_id))
            else:
                channels = await tx.ask(ChooseChannels(user_id=tx.user_id, choices=message.notifications))
            return _view(settings, channels)

        return await context.transaction(work)


def _changes_of(message: UpdateSettings) -> dict[str, object]:
    sent = {name: getattr(message, name) for name in ("locale", "default_model", "marketing")}
    return {name: value for name, value in sent.items() if value is not MISSING}


def _view(settings: Settings, channels: ChannelsView) -> SettingsView:
    return SettingsView(
        locale=settings.locale,
        default_model=settings.default_model,
        marketing=settings.marketing,
        notifications=channels.kinds,
        email=channels.email,
    )
