"""Keeps which channels carry what."""

from __future__ import annotations

from promptforge.actors.notifications.preferences.domain import view_of, with_choices
from promptforge.actors.notifications.preferences.messages import ChannelsView, ChooseChannels, GetChannels
from promptforge.actors.notifications.preferences.store import PreferenceStore
from promptforge.core.context import Context
from promptforge.core.runtime import Actor, handles


class PreferencesActor(Actor):
    name = "notification_preferences"

    def __init__(self, store: PreferenceStore) -> None:
        self._store = store

    @handles(GetChannels, transactional=True)
    async def get_channels(self, message: GetChannels, context: Context) -> ChannelsView:
        return view_of(await self._store.chosen_by(message.user_id, session=context.session))

    @handles(ChooseChannels, key="user_id", transactional=True)
    async def choose(self, message: ChooseChannels, context: Context) -> ChannelsView:
        async def work(tx: Context) -> ChannelsView:
            if tx.session is None:
                raise RuntimeError("this is the work of a transaction")
            before = await self._store.chosen_by(message.user_id, session=tx.session)
            after = with_choices(before, message.choices)
            if after != before:
                await self._store.keep(message.user_id, after, session=tx.session)
            return view_of(after)

        return await context.transaction(work)
