"""What operators see: the process that answers them, and the audit log."""

from __future__ import annotations

from promptforge.actors.operations.messages import ListActors, ListAuditLog, ListDeadLetters, VerifyAuditLog
from promptforge.core.errors import NotFound
from promptforge.http.routing import get

routes = [
    get("/ops/actors", ListActors),
    get("/ops/dead-letters", ListDeadLetters),
    get("/ops/audit-log", ListAuditLog),
    get("/ops/audit-log/verification", VerifyAuditLog, errors=(NotFound,)),
]
