"""Messages: one class per operation of the product, and nothing else defines that operation.

A message is a frozen, slotted, keyword-only dataclass; subclassing `Query[Reply]` or `Command[Reply]` makes it one. The
type parameter is the reply's type, the field annotations carry the constraints, the docstring is the description in the
API documentation, and the decorators below declare who may send it. A message's `kind` is its stable name in job
documents: renaming the class means passing the old `kind=` explicitly.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, ClassVar, Generic, TypeVar, cast, dataclass_transform, get_args

from promptforge.core.principal import STAFF, Role

ReplyT_co = TypeVar("ReplyT_co", covariant=True)
MessageT = TypeVar("MessageT", bound="type[Message[Any]]")


class Access(Enum):
    PUBLIC = auto()
    """Anyone, signed in or not."""
    SIGNED_IN = auto()
    """A principal with one of the roles, and the scope where it is a program."""
    INTERNAL = auto()
    """Only other actors, jobs and the process itself: no route may carry it."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a message asks of its sender; enforced by the runtime before the handler, whatever the transport.

    `roles`: any one of them is enough. `scope`: what an API key needs besides. `fresh`: a revoked session is refused at
    once instead of within the principal cache's 60 s. `while_suspended`: allowed to a suspended account too (queries
    always are).
    """

    access: Access
    roles: frozenset[Role] = frozenset()
    scope: str | None = None
    fresh: bool = False
    while_suspended: bool = False


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(dataclasses.field,))
class MessageType(type):
    """Makes each message class a frozen, slotted, keyword-only dataclass and gives it its kind."""

    def __new__(
        mcs,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],  # Any: a class body holds anything
        *,
        kind: str | None = None,
        version: int = 1,
    ) -> MessageType:
        cls = super().__new__(mcs, name, bases, namespace)
        if "__slots__" in namespace:  # the second pass: dataclass(slots=True) builds the class anew
            return cls
        if {"message_kind", "message_version"} & namespace.keys():
            raise TypeError(f"{name}: a kind and a version are declared as class {name}(..., kind=..., version=...)")
        made = cast("type[Message[Any]]", dataclass(frozen=True, slots=True, kw_only=True)(cast("type[Any]", cls)))
        made.message_kind = kind or _kind_of(made)
        made.message_version = version
        return cast("MessageType", made)

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **_: object) -> None:
        super().__init__(name, bases, namespace)


def _kind_of(cls: type) -> str:
    parts = cls.__module__.split(".")
    feature = parts[parts.index("actors") + 1] if "actors" in parts[:-1] else parts[-1]
    return f"{feature}.{cls.__name__}"


class Message(Generic[ReplyT_co], metaclass=MessageType):
    """Base of queries and commands; subclass those, not this."""

    message_kind: ClassVar[str]
    message_version: ClassVar[int]
    requirement: ClassVar[Requirement | None] = None
    job_policy: ClassVar[object] = None
    """The `JobPolicy`, where its jobs differ from the default; set by `core.jobs.job`."""

    @classmethod
    def upgrade(cls, payload: Mapping[str, Any], version: int) -> Mapping[str, Any]:
        """Turn a payload stored by an older `version` of this message into the present shape (default: unchanged)."""
        return payload


class Query(Message[ReplyT_co]):
    """Asks something and changes nothing: it skips the queues and is cancelled with its caller."""


class Command(Message[ReplyT_co]):
    """Changes something: it is handled in the actor's worker and, once started, finishes whoever goes away."""


def reply_type(message: type[Message[Any]]) -> Any:  # Any: a type, a union or None, as written in the declaration
    """The reply's type as declared, `GetListing(Query[ListingView])` → `ListingView`."""
    for cls in message.__mro__:
        for base in cls.__dict__.get("__orig_bases__", ()):
            arguments = get_args(base)
            if arguments and not isinstance(arguments[0], TypeVar):
                return arguments[0]
    raise TypeError(f"{message.__name__} does not declare its reply: write Query[Reply] or Command[Reply]")


def requires(
    *roles: Role, scope: str | None = None, fresh: bool = False, while_suspended: bool = False
) -> Callable[[MessageT], MessageT]:
    """Declare that the sender is signed in and has one of `roles` (default: `user`, which everyone signed in has).

    A command that only staff may send is always `fresh`.
    """
    wanted = frozenset(roles or (Role.USER,))

    def declare(message: MessageT) -> MessageT:
        staff_command = wanted <= STAFF and issubclass(message, Command)
        message.requirement = Requirement(
            Access.SIGNED_IN, wanted, scope, fresh=fresh or staff_command, while_suspended=while_suspended
        )
        return message

    return declare


def public(message: MessageT) -> MessageT:
    """Declare that anyone may send this message."""
    return _declare(Requirement(access=Access.PUBLIC))(message)


def internal(message: MessageT) -> MessageT:
    """Declare that only actors, jobs and the process itself may send this message."""
    return _declare(Requirement(access=Access.INTERNAL))(message)


def _declare(requirement: Requirement) -> Callable[[MessageT], MessageT]:
    def declare(message: MessageT) -> MessageT:
        message.requirement = requirement
        return message

    return declare
