"""The table of what is done about Stripe's events: for each type one handler.

A handler reads an event outside of any transaction, where it may ask Stripe how things stand now, and answers how the
event ends, or an effect. The effect runs in the transaction that also marks the event as finished, several times if it
has to, so all that it does is in MongoDB and keyed by what it is about, never by the event.

To have more types handled, write a handler and add it where the process is put together (`deploy/features.py`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from typing import Protocol

from promptforge.actors.billing.events.domain import Outcome, StripeEvent, quarantined
from promptforge.actors.billing.stripe.claims import object_id
from promptforge.core.context import Context
from promptforge.core.errors import ConfigurationError

Effect = Callable[[Context], Awaitable[Outcome]]


class Origin(StrEnum):
    """Whose objects a type of event is about: our own, or a connected account's (its events carry `account`)."""

    PLATFORM = "platform"
    CONNECTED = "connected"


class EventHandler(Protocol):
    """What is done about some types of events, of one origin."""

    @property
    def types(self) -> frozenset[str]: ...

    @property
    def origin(self) -> Origin: ...

    async def read(self, event: StripeEvent) -> Outcome | Effect:
        """Called for events that were found in order, one at a time for each event, outside of any transaction.

        An error that is `retryable`, and an unexpected one, has the event tried again; any other leaves it dead.
        """
        ...


class ObjectEvents(ABC):
    """The part of a handler whose events are all about one `kind` of object: it is given the object's id."""

    kind: str

    async def read(self, event: StripeEvent) -> Outcome | Effect:
        identifier = object_id(event.payload, self.kind)
        if identifier is None:
            return quarantined(f"the payload has not the shape of one about a Stripe {self.kind}")
        return await self.look(identifier, event)

    @abstractmethod
    async def look(self, identifier: str, event: StripeEvent) -> Outcome | Effect:
        """As `EventHandler.read`, once it is known which object it is about."""


def table_of(handlers: Sequence[EventHandler]) -> Mapping[str, EventHandler]:
    """Type → handler. Raises `ConfigurationError` where two handle one type."""
    table: dict[str, EventHandler] = {}
    for handler in handlers:
        if twice := handler.types & table.keys():
            raise ConfigurationError(f"two handlers of Stripe's events take {', '.join(sorted(twice))}")
        table |= dict.fromkeys(handler.types, handler)
    return table


def refusal_of_origin(event: StripeEvent, origin: Origin) -> str | None:
    """Why an event of its type does not apply when it comes from there; None where it does.

    Whoever sells through us could have Stripe tell of payments in their own account, so those never count as ours.
    """
    if origin is Origin.PLATFORM and event.account is not None:
        return "it is an event of a connected account"
    if origin is Origin.PLATFORM and event.payload.get("context"):  # says whose an object is, where `account` does not
        return "it is an event of another account's object"
    if origin is Origin.CONNECTED and event.account is None:
        return "it is an event of no connected account"
    return None
