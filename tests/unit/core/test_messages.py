from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from promptforge.core.errors import ConfigurationError
from promptforge.core.messages import (
    Access,
    Command,
    Message,
    MessageType,
    Query,
    internal,
    public,
    reply_type,
    requires,
)
from promptforge.core.principal import Role
from promptforge.core.runtime import Actor, System, handles


@public
class Plain(Command[int]):
    """One operation."""

    number: int
    kind: str = "a field may have this name"


class Renamed(Query[list[str]], kind="old.Name", version=3):
    """Kept its stored name."""


def test_a_message_is_frozen_slotted_and_keyword_only() -> None:
    message = Plain(number=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        message.number = 2  # type: ignore[misc]
    with pytest.raises(TypeError):
        Plain(1)  # type: ignore[call-arg]
    assert not hasattr(message, "__dict__")
    assert message == Plain(number=1)
    assert message.kind == "a field may have this name"


def test_a_message_knows_its_kind_version_and_reply() -> None:
    assert (Plain.message_kind, Plain.message_version, reply_type(Plain)) == ("test_messages.Plain", 1, int)
    assert (Renamed.message_kind, Renamed.message_version, reply_type(Renamed)) == ("old.Name", 3, list[str])


def test_a_command_for_staff_only_asks_whether_the_session_still_stands() -> None:
    class Decide(Command[None]):
        pass

    class Look(Query[None]):
        pass

    def fresh(message: type[Message[Any]], *roles: Role) -> bool:
        declared = requires(*roles)(message).requirement
        assert declared is not None
        return declared.fresh

    assert fresh(Decide, Role.MODERATOR)
    assert fresh(Decide, Role.OPERATOR, Role.ADMIN)
    assert not fresh(Look, Role.OPERATOR)
    assert not fresh(Decide)
    assert not fresh(Decide, Role.SELLER, Role.ADMIN)


@pytest.mark.parametrize("field", ["message_kind", "message_version"])
def test_a_kind_or_version_in_the_body_would_be_overwritten_and_is_refused(field: str) -> None:
    with pytest.raises(TypeError, match="declared as"):
        MessageType("Mistaken", (Command,), {field: 2})


def test_the_kind_of_a_features_message_is_the_feature_and_the_class() -> None:
    from promptforge.actors.prompts.messages import CreatePrompt  # noqa: PLC0415

    assert CreatePrompt.message_kind == "prompts.CreatePrompt"


def test_a_reply_that_is_not_declared_is_an_error() -> None:
    class Vague(Command):  # type: ignore[type-arg]
        """Does not say what it answers."""

    with pytest.raises(TypeError, match="does not declare its reply"):
        reply_type(Vague)


def test_requirements_are_declared_on_the_message() -> None:
    @requires(Role.ADMIN, Role.OPERATOR, scope="x:write", fresh=True)
    class Strict(Command[None]):
        """Needs a role."""

    requirement = Strict.requirement
    assert requirement is not None
    assert requirement.roles == {Role.ADMIN, Role.OPERATOR}
    assert (requirement.access, requirement.scope, requirement.fresh) == (Access.SIGNED_IN, "x:write", True)
    assert Plain.requirement is not None
    assert Plain.requirement.access is Access.PUBLIC


def _actor_with(*messages: type[Message[Any]], named: str = "a", asking: tuple[str, ...] = ()) -> Actor:
    async def handler(self: Actor, message: Any, context: Any) -> None: ...

    body: dict[str, Any] = {"name": named, "asks": asking}
    for number, message in enumerate(messages):

        async def one(self: Actor, message: Any, context: Any) -> None: ...

        body[f"handler_{number}"] = handles(message)(one)
    made: Actor = type("Made", (Actor,), body)()
    return made


def test_a_handled_message_without_a_requirement_stops_the_start() -> None:
    with pytest.raises(ConfigurationError, match=r"old\.Name does not declare who may send it"):
        System([_actor_with(Renamed)])


def test_two_handlers_of_one_message_stop_the_start() -> None:
    with pytest.raises(ConfigurationError, match="two handlers"):
        System([_actor_with(Plain), _actor_with(Plain, named="b")])


@pytest.mark.parametrize(
    ("asks", "reason"),
    [
        ({"a": ("b",), "b": ("c",), "c": ("a",)}, "a → b → c → a"),
        ({"a": ("a",)}, "a → a"),
        ({"a": ("nobody",)}, "no such actor"),
    ],
)
def test_circles_and_unknown_names_in_asks_stop_the_start(asks: dict[str, tuple[str, ...]], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        System([_actor_with(named=name, asking=names) for name, names in asks.items()])


def test_two_actors_of_one_name_stop_the_start() -> None:
    with pytest.raises(ConfigurationError, match="two actors"):
        System([_actor_with(), _actor_with()])


def test_a_key_must_be_a_field_and_a_query_has_none() -> None:
    with pytest.raises(TypeError, match="no field"):
        handles(Plain, key="nothing")

    @internal
    class Looked(Query[None]):
        """Has a field."""

        number: int

    with pytest.raises(TypeError, match="query"):
        handles(Looked, key="number")
