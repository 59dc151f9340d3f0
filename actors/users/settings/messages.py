"""One's settings: language, favourite model, marketing, and which channels carry which notifications.

`UpdateSettings` is a PATCH as `UpdateProfile` is; of `notifications` too, only what is sent changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Len
from pydantic import MISSING, Field

from promptforge.actors.notifications.preferences.messages import Choices, EmailChannelView, KindChannelsView
from promptforge.core.messages import Command, Query, requires
from promptforge.core.text import LINE

Locale = Annotated[
    str,
    Field(
        max_length=16,
        pattern=r"^[a-z]{2,3}(?:-[A-Z][a-z]{3})?(?:-(?:[A-Z]{2}|[0-9]{3}))?$",
        examples=["en"],
        description="A language tag (BCP 47) such as `de`, `pt-BR` or `zh-Hans-CN`",
    ),
]
ModelName = Annotated[str, Len(1, 100), LINE, Field(examples=["gpt-4.1-mini"])]


@dataclass(frozen=True, slots=True)
class SettingsView:
    """What you have set. `default_model` is what your clients choose first; `notifications` has every kind there is.

    `email` says whether mail reaches you at all.
    """

    locale: str
    default_model: str | None
    marketing: bool
    notifications: tuple[KindChannelsView, ...]
    email: EmailChannelView


@requires(scope="profile:read")
class GetSettings(Query[SettingsView]):
    """Read your settings."""


@requires(scope="profile:write")
class UpdateSettings(Command[SettingsView]):
    """Change settings: what is not sent stays, and null clears the default model.

    `notifications` maps kinds to the channels to turn on or off. What is about your money, your security or a decision
    on what is yours is always shown in the service; by email and webhook it can be turned off.
    """

    locale: Locale | MISSING = MISSING
    default_model: ModelName | MISSING | None = MISSING
    marketing: bool | MISSING = MISSING
    notifications: Choices | MISSING = MISSING
