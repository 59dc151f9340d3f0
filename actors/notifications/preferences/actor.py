"""Keeps which channels carry what."""

from __future__ import annotations

from promptforge.actors.notifications.mail.domain import address_of
from promptforge.actors.notifications.mail.store import BounceStore
from promptforge.actors.notifications.preferences.domain import email_of, view_of, with_choices
from promptforge.actors.notifications.preferences.messages import (
    ChannelsView,
    ChooseChannels,
    EmailChannelView,
    GetChannels,
)
from promptforge.actors.notifications.preferences.store import PreferenceStore
from promptforge.actors.users.messages import Contact, GetContact
from promptforge.core.context import Context
from promptforge.core.mongo import Session
from promptforge.core.runtime import Actor, handles


class PreferencesActor(Actor):
    """`mail`: whether this service sends any."""

    name = "notification_preferences"
    asks = ("users",)

    def __init__(self, store: PreferenceStore, bounces: BounceStore, *, mail: bool) -> None:
        self._store = store
        self._bounces = bounces
        self._mail = mail

    @handles(GetChannels, transactional=True)
    async def get_channels(self, message: GetChannels, context: Context) -> ChannelsView:
        chosen = await self._store.chosen_by(message.user_id, session=context.session)
        contact = await context.ask(GetContact(user_id=message.user_id))
        return view_of(chosen, await self._email_of(message.user_id, contact, context.session))

    @handles(ChooseChannels, key="user_id", transactional=True)
    async def choose(self, message: ChooseChannels, context: Context) -> ChannelsView:
        async def work(tx: Context) -> ChannelsView:
            if tx.session is None:
                raise RuntimeError("this is the work of a transaction")
            before = await self._store.chosen_by(message.user_id, session=tx.session)
            after = with_choices(before, message.choices)
            # An old link in a mail is still good after its reader's account is erased: nothing is kept of them again.
            contact = await tx.ask(GetContact(user_id=message.user_id))
            if after != before and contact is not None:
                await self._store.keep(message.user_id, after, session=tx.session)
            return view_of(after, await self._email_of(message.user_id, contact, tx.session))

        return await context.transaction(work)

    async def _email_of(self, user_id: str, contact: Contact | None, session: Session | None) -> EmailChannelView:
        address = address_of(contact.email, None) if contact is not None else None
        bounce = await self._bounces.find(user_id, session=session)
        return email_of(address, bounce, configured=self._mail)
