"""Which channels carry which kinds of notification to whom; `users` shows and changes it with the other settings."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from annotated_types import Len
from pydantic import Field

from promptforge.core.messages import Command, Query, internal

KindName = Annotated[str, Field(min_length=1, max_length=64, examples=["listing.sold"])]


class Channel(StrEnum):
    IN_APP = "in_app"
    EMAIL = "email"
    WEBHOOK = "webhook"


@dataclass(frozen=True, slots=True)
class ChannelChoice:
    """What is null or left out stays as it is."""

    in_app: bool | None = None
    email: bool | None = None
    webhook: bool | None = None


Choices = Annotated[
    dict[KindName, ChannelChoice], Len(0, 100), Field(examples=[{"listing.sold": {"email": False, "webhook": True}}])
]


@dataclass(frozen=True, slots=True)
class KindChannelsView:
    """Which channels carry this kind. A `mandatory` one is always shown in the service."""

    kind: str
    title: str
    mandatory: bool
    in_app: bool
    email: bool
    webhook: bool


class EmailState(StrEnum):
    """`not_configured`: this service sends no mail. `bounced`: the address takes none, until its owner says it does."""

    ON = "on"
    NOT_CONFIGURED = "not_configured"
    NO_ADDRESS = "no_address"
    BOUNCED = "bounced"


@dataclass(frozen=True, slots=True)
class EmailChannelView:
    """Whether mail reaches you at all. `reason` is what your mail server said, where an address bounced."""

    state: EmailState
    address: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class ChannelsView:
    kinds: tuple[KindChannelsView, ...]
    email: EmailChannelView


@internal
class GetChannels(Query[ChannelsView]):
    """Which channels carry what to somebody."""

    user_id: Annotated[str, Len(1, 64)]


@internal
class ChooseChannels(Command[ChannelsView]):
    """Change which channels carry what; answers how it is then.

    Refuses kinds that do not exist, and to hide what is mandatory.
    """

    user_id: Annotated[str, Len(1, 64)]
    choices: Choices
