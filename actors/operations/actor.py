"""Shows operators the actors and dead letters of this process, and the audit log."""

from __future__ import annotations

from dataclasses import asdict

from promptforge.actors.operations.messages import (
    ActorsView,
    ActorView,
    DeadLettersView,
    DeadLetterView,
    InFlightView,
    ListActors,
    ListAuditLog,
    ListDeadLetters,
    SealAuditLog,
    VerifyAuditLog,
)
from promptforge.core.audit import AuditEntry, AuditFilter, AuditLog, SealReport
from promptforge.core.context import Context
from promptforge.core.pages import Cursor, Page
from promptforge.core.runtime import Actor, ActorSnapshot, handles


class OperationsActor(Actor):
    name = "operations"
    workers = 1

    def __init__(self, audit_log: AuditLog) -> None:
        self._audit_log = audit_log

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

    @handles(ListAuditLog)
    async def list_audit_log(self, message: ListAuditLog, context: Context) -> Page[AuditEntry]:
        wanted = AuditFilter(message.user_id, message.action, message.target, message.since, message.until)
        return await self._audit_log.list_page(wanted, Cursor.decode_optional(message.cursor), message.limit)

    @handles(VerifyAuditLog)
    async def verify_audit_log(self, message: VerifyAuditLog, context: Context) -> SealReport:
        return await self._audit_log.verify(after=message.after)

    @handles(SealAuditLog)
    async def seal_audit_log(self, message: SealAuditLog, context: Context) -> int:
        return await self._audit_log.seal(context.now())


def _actor_view(snapshot: ActorSnapshot) -> ActorView:
    fields = asdict(snapshot)
    fields["in_flight"] = tuple(InFlightView(**flight) for flight in fields["in_flight"])
    return ActorView(**fields)
