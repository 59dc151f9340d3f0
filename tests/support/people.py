"""The users' feature as a process has it, on a real MongoDB."""

from __future__ import annotations

from promptforge.actors.users import ApiKeysActor, UsersActor
from promptforge.actors.users.handles.store import HandleStore
from promptforge.actors.users.keys.store import INDEXES as KEY_INDEXES
from promptforge.actors.users.keys.store import KeyStore
from promptforge.actors.users.store import INDEXES, UserStore
from promptforge.core.audit import AuditLog
from promptforge.core.clock import Clock
from promptforge.core.mongo import Mongo
from promptforge.core.runtime import System
from tests.support.processes import MongoTransactions

PEOPLE_INDEXES = {**INDEXES, **KEY_INDEXES}
SCOPES = ("profile:read", "profile:write", "prompts:read")


def people(mongo: Mongo, store: UserStore | None = None, *, clock: Clock | None = None) -> System:
    return System(
        [UsersActor(store or UserStore(mongo), HandleStore(mongo)), ApiKeysActor(KeyStore(mongo), scopes=SCOPES)],
        clock=clock,
        transactions=MongoTransactions(mongo),
        audit_log=AuditLog(mongo),
    )
