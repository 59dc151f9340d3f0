"""What somebody has chosen, and what follows for a kind and a channel."""

from __future__ import annotations

from collections.abc import Mapping
from email.headerregistry import Address

from promptforge.actors.notifications.kinds import KINDS, Kind
from promptforge.actors.notifications.mail.store import Bounce
from promptforge.actors.notifications.preferences.messages import (
    Channel,
    ChannelChoice,
    ChannelsView,
    EmailChannelView,
    EmailState,
    KindChannelsView,
)
from promptforge.core.errors import FieldError, Invalid

Chosen = Mapping[tuple[str, Channel], bool]
"""By kind and channel; what is not in it is as the kind says."""


def carries(channel: Channel, kind: Kind, chosen: Chosen) -> bool:
    """Whether the channel carries this kind to who has chosen so."""
    if channel is Channel.IN_APP and kind.mandatory:
        return True
    return chosen.get((kind.name, channel), kind.by_default(channel))


def with_choices(chosen: Chosen, choices: Mapping[str, ChannelChoice]) -> Chosen:
    """What is chosen once `choices` are made. Raises `Invalid`."""
    errors = []
    after = dict(chosen)
    for name, choice in choices.items():
        kind = KINDS.get(name)
        if kind is None:
            errors.append(FieldError(f"There is no kind {name!r}", "unknown_kind", pointer=_pointer(name)))
            continue
        if kind.mandatory and choice.in_app is False:
            words = "This is about your money, your security or a decision: it is always shown"
            errors.append(FieldError(words, "mandatory_channel", pointer=f"{_pointer(name)}/in_app"))
        for channel in Channel:
            wanted = getattr(choice, channel.value)
            if wanted is not None:
                after[name, channel] = wanted
    if errors:
        raise Invalid("Some channels cannot be chosen like that", errors=tuple(errors))
    return after


def _pointer(name: str) -> str:
    return f"/notifications/{name.replace('~', '~0').replace('/', '~1')}"


def view_of(chosen: Chosen, email: EmailChannelView) -> ChannelsView:
    """Every kind, in the order of the list."""
    return ChannelsView(tuple(_kind_view(kind, chosen) for kind in KINDS.values()), email)


def email_of(address: Address | None, bounce: Bounce | None, *, configured: bool) -> EmailChannelView:
    """Whether mail reaches somebody at all; a bounce counts for the address that it was of."""
    shown = address.addr_spec if address is not None else None
    if not configured:
        return EmailChannelView(EmailState.NOT_CONFIGURED, shown, None)
    if address is None:
        return EmailChannelView(EmailState.NO_ADDRESS, None, None)
    if bounce is not None and bounce.address == shown:
        return EmailChannelView(EmailState.BOUNCED, shown, bounce.reason)
    return EmailChannelView(EmailState.ON, shown, None)


def _kind_view(kind: Kind, chosen: Chosen) -> KindChannelsView:
    return KindChannelsView(
        kind=kind.name,
        title=kind.title,
        mandatory=kind.mandatory,
        in_app=carries(Channel.IN_APP, kind, chosen),
        email=carries(Channel.EMAIL, kind, chosen) and not kind.never_mailed,
        webhook=carries(Channel.WEBHOOK, kind, chosen),
    )
