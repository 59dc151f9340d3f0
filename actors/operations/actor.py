"""Shows operators the actors and dead letters of this process."""

from __future__ import annotations

from dataclasses import asdict

from promptforge.actors.operations.messages import (
    ActorsView,
    ActorView,
    DeadLettersView,
    DeadLetterView,
    InFlightView,
    ListActors,
    ListDeadLetters,
)
from promptforge.core.context import Context
from promptforge.core.runtime import Actor, ActorSnapshot, handles


class OperationsActor(Actor):
    name = "operations"
    workers = 1

    @handles(ListActors)
    async def list_actors(self, message: ListActors, context: Context) -> ActorsView:
        return ActorsView(tuple(_actor_view(snapshot) for snapshot in context.system.inspect()))

    @handles(ListDeadLetters)
    async def list_dead_letters(self, message: ListDeadLetters, context: Context) -> DeadLettersView:
        letters = context.system.dead_letters
        return DeadLettersView(
            counts={reason.value: count for reason, count in letters.counts.items()},
            letters=tuple(
                DeadLetterView(letter.at, letter.reason, letter.kind, letter.actor, letter.request_id)
                for letter in reversed(letters.ring)
            ),
        )


def _actor_view(snapshot: ActorSnapshot) -> ActorView:
    fields = asdict(snapshot)
    fields["in_flight"] = tuple(InFlightView(**flight) for flight in fields["in_flight"])
    return ActorView(**fields)
