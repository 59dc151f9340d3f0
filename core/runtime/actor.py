"""What a feature writes: an actor class with handlers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, ClassVar, TypeVar

from promptforge.core.context import Context
from promptforge.core.messages import Message, Query

MessageT = TypeVar("MessageT", bound=Message[Any])
ReplyT = TypeVar("ReplyT")
ActorT = TypeVar("ActorT", bound="Actor")

Handler = Callable[[ActorT, MessageT, Context], Awaitable[ReplyT]]


@dataclass(frozen=True, slots=True)
class Handles:
    """What a handler declared of itself."""

    message: type[Message[Any]]
    key: Callable[[Any], object] | None  # Any: the message; the getter is made from field names
    transactional: bool
    atomic: bool = False

    @property
    def readonly(self) -> bool:
        """Handlers of queries skip the queues and run in the caller's task."""
        return issubclass(self.message, Query)


def handles(
    message: type[Message[ReplyT]],
    *,
    key: str | tuple[str, ...] | None = None,
    transactional: bool = False,
    atomic: bool = False,
) -> Callable[[Handler[ActorT, MessageT, ReplyT]], Handler[ActorT, MessageT, ReplyT]]:
    """Declare a method as the handler of `message`.

    `key` names the field (or fields) whose value orders messages: one at a time per key and in order of arrival;
    without a key every message stands for itself. `transactional` handlers may be asked inside another actor's
    transaction: everything they write must use `context.session`, and they have no other side effects.

    `atomic` handlers are transactional ones that always run in a transaction: the asker's, or else one of their own,
    in which they may run several times. As a job, the effect and the job's completion are that one commit, so that
    the effect happens exactly once, whatever crashes. It is the ordinary way to write a job that only touches MongoDB.
    """
    fields = (key,) if isinstance(key, str) else key or ()
    unknown = [name for name in fields if name not in message.__dataclass_fields__]
    if unknown:
        raise TypeError(f"{message.__name__} has no field {unknown[0]!r} to be keyed by")
    if fields and issubclass(message, Query):
        raise TypeError(f"{message.__name__} is a query: queries skip the queues, so a key has no meaning")
    if atomic and issubclass(message, Query):
        raise TypeError(f"{message.__name__} is a query: it changes nothing that could be atomic")
    declared = Handles(message, attrgetter(*fields) if fields else None, transactional or atomic, atomic)

    def mark(handler: Handler[ActorT, MessageT, ReplyT]) -> Handler[ActorT, MessageT, ReplyT]:
        handler.__handles__ = declared  # type: ignore[attr-defined]  # functions take attributes
        return handler

    return mark


AtHand = Callable[[ActorT, MessageT, Context], ReplyT | None]


def at_hand(
    message: type[Message[ReplyT]],
) -> Callable[[AtHand[ActorT, MessageT, ReplyT]], AtHand[ActorT, MessageT, ReplyT]]:
    """Declare a method that answers a query from memory, where it can; None sends the query its ordinary way.

    It is called where the query is asked from, without a queue, a deadline or a count: it must not wait, and must cost
    less than asking would. The sender is authorised before. Only who asks for it (`System.at_hand`) gets it.
    """
    if not issubclass(message, Query):
        raise TypeError(f"{message.__name__} is no query: what changes something is not at hand")

    def mark(method: AtHand[ActorT, MessageT, ReplyT]) -> AtHand[ActorT, MessageT, ReplyT]:
        method.__at_hand__ = message  # type: ignore[attr-defined]  # functions take attributes
        return method

    return mark


class Actor:
    """Base of the features' actors; one instance per process.

    `name` is the feature's; `asks` names the actors it asks (start-up refuses circles, and asking another is an error).
    `workers` tasks live as long as the actor: declare more for slow outward calls. `mailbox_size` bounds the waiting
    messages, `max_queries` the queries running at once. A `critical` actor that keeps failing ends the process.
    """

    name: ClassVar[str]
    asks: ClassVar[tuple[str, ...]] = ()
    workers: ClassVar[int] = 16
    mailbox_size: ClassVar[int] = 1024
    max_queries: ClassVar[int] = 256
    critical: ClassVar[bool] = False
    _declared_handlers: ClassVar[dict[str, Handles]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._declared_handlers = {}
        for base in reversed(cls.__mro__):
            for name, value in vars(base).items():
                declared = getattr(value, "__handles__", None)
                if isinstance(declared, Handles):
                    cls._declared_handlers[name] = declared

    async def start(self, context: Context) -> None:
        """Called before the first message, and again after every restart. A failure here is a crash."""

    async def run(self, context: Context) -> None:
        """A loop of the actor's own, beside its handlers. An exception is a crash; returning is not."""

    async def stop(self) -> None:
        """Called once the last message is handled, and before a restart."""

    def shortcuts(self) -> dict[type[Message[Any]], Callable[[Any, Context], object]]:
        """What its methods answer from memory; see `at_hand`."""
        marked = [(name, getattr(value, "__at_hand__", None)) for name, value in vars(type(self)).items()]
        return {message: getattr(self, name) for name, message in marked if message is not None}

    @classmethod
    def handlers(cls) -> dict[str, Handles]:
        """Method name → what it declared, base classes included; not to be changed."""
        return cls._declared_handlers
