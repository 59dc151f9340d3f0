"""Which actor asks which: circles are refused at start-up, and the order of starting and stopping follows."""

from __future__ import annotations

from collections.abc import Sequence

from promptforge.core.errors import ConfigurationError
from promptforge.core.runtime.actor import Actor


def dependencies_first(actors: Sequence[Actor]) -> list[Actor]:
    """The actors, each after all those it asks.

    Raises `ConfigurationError` for two of one name, an unknown name in `asks`, or a circle (A waiting for B while B
    waits for A hangs both without any message repeating).
    """
    by_name: dict[str, Actor] = {}
    for actor in actors:
        if actor.name in by_name:
            raise ConfigurationError(f"two actors are named {actor.name}")
        by_name[actor.name] = actor
    ordered: dict[str, Actor] = {}

    def visit(actor: Actor, path: tuple[str, ...]) -> None:
        if actor.name in path:
            circle = " → ".join((*path[path.index(actor.name) :], actor.name))
            raise ConfigurationError(f"actors ask each other in a circle: {circle}")
        if actor.name in ordered:
            return
        for name in actor.asks:
            if name not in by_name:
                raise ConfigurationError(f"{actor.name} asks {name}, and there is no such actor")
            visit(by_name[name], (*path, actor.name))
        ordered[actor.name] = actor

    for actor in actors:
        visit(actor, ())
    return list(ordered.values())
