"""`promptforge roles`: who may do what, read and set beside a service; how there comes to be a first administrator."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import anyio
from pydantic import TypeAdapter, ValidationError
from rich.console import Console

from promptforge.actors.users.roles.actor import RolesActor
from promptforge.actors.users.roles.messages import AssignRoles, RolesView
from promptforge.actors.users.roles.store import RoleStore
from promptforge.actors.users.staff.store import AccountStore
from promptforge.core.audit import AuditLog
from promptforge.core.clock import SystemClock
from promptforge.core.errors import Invalid, NotFound
from promptforge.core.jobs import Codec, MongoJobStore
from promptforge.core.mongo import Mongo, Session, refuse_unmigrated, run_transaction
from promptforge.core.principal import Role
from promptforge.core.runtime import System
from promptforge.deploy.database import open_database
from promptforge.deploy.features import QUEUES, job_messages
from promptforge.deploy.migrations import MIGRATIONS
from promptforge.deploy.settings import load_settings

T = TypeVar("T")
Why = tuple[str, str]
"""The reason's code, and what is written for whom it is about."""
_message = TypeAdapter(AssignRoles)
_CONSOLE = Console(highlight=False, markup=False, soft_wrap=True)


class _Transactions:
    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo

    async def __call__(self, work: Callable[[Session], Awaitable[T]], *, deadline: float) -> T:
        return await run_transaction(self._mongo, work, deadline=deadline)


def print_roles(person: str, *, data_dir: Path | None) -> None:
    """`person`: an internal id or a uid of Firebase. Raises `NotFound`."""

    async def read(mongo: Mongo) -> RolesView:
        store = RoleStore(mongo)
        return await store.get(await _id_of(store, person))

    _print(_with_database(data_dir, read))


def set_and_print(person: str, roles: tuple[Role, ...], *, why: Why, data_dir: Path | None) -> None:
    """The same commit as an administrator's; a service that runs tells the person and Firebase.

    Raises `NotFound` for who has never signed in, `Invalid` for a reason that is none.
    """

    async def write(mongo: Mongo) -> RolesView:
        store = RoleStore(mongo)
        message = _assignment(await _id_of(store, person), roles, why)
        jobs = MongoJobStore(mongo, Codec(job_messages()), SystemClock(), queues=QUEUES)
        system = System(
            [RolesActor(store, AccountStore(mongo))],
            transactions=_Transactions(mongo),
            jobs=jobs,
            audit_log=AuditLog(mongo),
        )
        async with system.running(grace_seconds=5):
            return await system.context(request_id="command-line", trusted=True).ask(message)

    _print(_with_database(data_dir, write))


def _assignment(user_id: str, roles: tuple[Role, ...], why: Why) -> AssignRoles:
    fields: dict[str, Any] = {"user_id": user_id, "roles": roles}  # Any: to be validated
    fields |= {"reason_code": why[0], "reason": why[1]}
    try:
        return _message.validate_python(fields)
    except ValidationError as error:
        first = error.errors()[0]
        raise Invalid(f"{first['loc'][0]}: {first['msg']}") from None


async def _id_of(store: RoleStore, person: str) -> str:
    """Raises `NotFound`."""
    found = await store.find_id(person)
    if found is None:
        raise NotFound(f"Nobody has the id or uid {person!r}: whoever is meant signs in once, which makes them known")
    return found


def _with_database(data_dir: Path | None, work: Callable[[Mongo], Awaitable[T]]) -> T:
    async def run() -> T:
        async with open_database(load_settings(data_dir=data_dir)) as database:
            await refuse_unmigrated(database.mongo, MIGRATIONS)
            return await work(database.mongo)

    return anyio.run(run)


def _print(view: RolesView) -> None:
    last = view.decided
    _CONSOLE.print(f"{view.user_id}: {', '.join(view.roles)}")
    if last is None:
        _CONSOLE.print("Nobody has decided that here: the roles are those of their sign-in.")
        return
    code = f" ({last.reason_code})" if last.reason_code is not None else ""
    by = last.by or "the command line"
    _CONSOLE.print(f"decided {last.created_at:%Y-%m-%d %H:%M:%S} by {by}{code}: {last.reason}")
