"""Contexts: what is inherited, who may send what, and asks inside transactions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, TypeVar

import anyio
import pytest

from promptforge.core.context import Context, current_context
from promptforge.core.errors import AccountSuspended, Conflict, Forbidden, ScopeMissing, Unauthenticated
from promptforge.core.messages import Command, Query, public
from promptforge.core.principal import Principal, Role
from promptforge.core.runtime import Actor, DeadLetterReason, handles
from promptforge.core.runtime.system import UnhandledMessage
from tests.support.virtual_time import virtual
from tests.unit.core.sample import Inside, Personal, Read, SampleActor, Sell, Work, system_of

T = TypeVar("T")


@public
class Outer(Command[Any]):
    """Does what the test put into the actor."""


@public
class OuterQuery(Query[Any]):
    """As `Outer`, as a query."""


class OuterActor(Actor):
    name = "outer"
    asks: ClassVar[tuple[str, ...]] = ("sample",)

    def __init__(self, work: Callable[[Context], Awaitable[Any]]) -> None:
        self._work = work

    @handles(Outer, key=None)
    async def outer(self, message: Outer, context: Context) -> Any:
        return await self._work(context)

    @handles(OuterQuery)
    async def outer_query(self, message: OuterQuery, context: Context) -> Any:
        return await self._work(context)


class Transactions:
    """Runs the work as often as told, and counts."""

    def __init__(self, runs: int = 1) -> None:
        self.runs = runs
        self.sessions: list[str] = []

    async def __call__(self, work: Callable[[Any], Awaitable[T]], *, deadline: float) -> T:
        for number in range(self.runs - 1):
            self.sessions.append(f"session {number}")
            await work(self.sessions[-1])
        self.sessions.append(f"session {self.runs - 1}")
        return await work(self.sessions[-1])


@virtual
async def test_nested_asks_inherit_ids_principal_and_deadline() -> None:
    sample = SampleActor()
    seen: list[Context] = []

    async def work(context: Context) -> None:
        seen.append(context)
        assert current_context.get() is context
        await context.ask(Work(number=1), timeout_seconds=500)

    async with system_of(sample, OuterActor(work)).running() as system:
        principal = Principal("usr_1", "one")
        await system.context(request_id="r1", trace_id="t1", principal=principal, timeout_seconds=9).ask(Outer())
    (inner,) = sample.contexts
    assert (inner.request_id, inner.trace_id, inner.principal) == ("r1", "t1", principal)
    assert inner.deadline == seen[0].deadline == 9.0
    assert current_context.get() is None


@virtual
async def test_asking_an_actor_that_was_not_declared_is_an_error() -> None:
    class Undeclared(OuterActor):
        asks = ()

    async with system_of(SampleActor(), Undeclared(lambda context: context.ask(Work(number=1)))).running() as system:
        with pytest.raises(RuntimeError, match="without naming it in `asks`"):
            await system.context(request_id="r").ask(Outer())


@virtual
async def test_an_actor_that_asks_itself_is_an_error_and_not_a_hang() -> None:
    async with system_of(SampleActor(), OuterActor(lambda context: context.ask(Outer()))).running() as system:
        with pytest.raises(RuntimeError, match="asks itself"):
            await system.context(request_id="r").ask(Outer())


@virtual
async def test_a_message_nobody_handles_is_a_dead_letter_and_an_error() -> None:
    async with system_of(SampleActor()).running() as system:
        with pytest.raises(UnhandledMessage):
            await system.context(request_id="r").ask(Outer())
    assert system.dead_letters.counts[DeadLetterReason.UNHANDLED] == 1


@virtual
async def test_internal_messages_pass_from_actors_and_trusted_roots_only() -> None:
    async def work(context: Context) -> str:
        return await context.ask(Inside())

    async with system_of(SampleActor(), OuterActor(work)).running() as system:
        with pytest.raises(Forbidden):
            await system.context(request_id="r").ask(Inside())
        with pytest.raises(Forbidden):
            system.context(request_id="r").tell(Inside())
        assert await system.context(request_id="r", trusted=True).ask(Inside()) == "inside"
        assert await system.context(request_id="r").ask(Outer()) == "inside"


def _principal(*roles: Role, scopes: frozenset[str] | None = None, suspended: bool = False) -> Principal:
    return Principal("usr_1", "one", frozenset({Role.USER, *roles}), scopes, suspended)


@virtual
async def test_roles_scopes_and_suspension_are_enforced_before_the_handler() -> None:
    key = frozenset({"things:write"})
    cases: list[tuple[Any, Principal | None, type[Exception] | None]] = [
        (Sell(), None, Unauthenticated),
        (Sell(), _principal(), Forbidden),
        (Sell(), _principal(Role.ADMIN), Forbidden),
        (Sell(), _principal(Role.SELLER), None),
        (Sell(), _principal(Role.SELLER, scopes=key), None),
        (Sell(), _principal(Role.SELLER, scopes=frozenset()), ScopeMissing),
        (Sell(), _principal(Role.SELLER, suspended=True), AccountSuspended),
        (Read(), _principal(scopes=key), ScopeMissing),
        (Read(), _principal(suspended=True), None),
        (Read(), _principal(scopes=frozenset({"things:read"}), suspended=True), AccountSuspended),
        (Personal(), _principal(), None),
        (Personal(), _principal(scopes=key), ScopeMissing),
    ]
    async with system_of(SampleActor()).running() as system:
        for message, principal, refusal in cases:
            context = system.context(request_id="r", principal=principal)
            if refusal is None:
                assert await context.ask(message) == "usr_1"
            else:
                with pytest.raises(refusal):
                    await context.ask(message)


@virtual
async def test_inside_a_transaction_asks_run_here_and_now_with_its_session() -> None:
    sample = SampleActor()
    transactions = Transactions()

    async def work(context: Context) -> str:
        # Every worker of the other actor is busy: an ask that queued would wait for ever.
        return await context.transaction(lambda tx: tx.ask(Inside()))

    async with system_of(sample, OuterActor(work), transactions=transactions).running(grace_seconds=1) as system:
        context = system.context(request_id="r")
        for number in range(4):
            context.tell(Work(number=number, key=str(number), seconds=3600))
        await anyio.sleep(1)
        with anyio.fail_after(1):
            assert await context.ask(Outer()) == "inside"
    inner = sample.contexts[-1]
    assert str(inner.session) == "session 0"
    assert inner.cell is not None
    assert inner.cell.name == "sample"


@virtual
async def test_a_handler_that_is_not_transactional_refuses_a_transaction() -> None:
    async def work(context: Context) -> int:
        return await context.transaction(lambda tx: tx.ask(Work(number=1)))

    async with system_of(SampleActor(), OuterActor(work), transactions=Transactions()).running() as system:
        with pytest.raises(RuntimeError, match="not transactional"):
            await system.context(request_id="r").ask(Outer())


@virtual
async def test_what_waits_for_the_commit_runs_once_after_the_last_attempt() -> None:
    done: list[str] = []

    async def work(context: Context) -> None:
        async def attempt(tx: Context) -> None:
            tx.after_commit(lambda: done.append(str(tx.session)))
            await tx.transaction(attempt_inner)
            assert done == []

        async def attempt_inner(tx: Context) -> None:
            tx.after_commit(lambda: done.append("joined"))

        await context.transaction(attempt)

    transactions = Transactions(runs=3)
    async with system_of(SampleActor(), OuterActor(work), transactions=transactions).running() as system:
        await system.context(request_id="r").ask(Outer())
    assert transactions.sessions == ["session 0", "session 1", "session 2"]
    assert done == ["session 2", "joined"]


@virtual
async def test_nothing_that_waits_for_the_commit_runs_when_it_aborts() -> None:
    done: list[int] = []

    async def work(context: Context) -> None:
        async def attempt(tx: Context) -> None:
            tx.after_commit(lambda: done.append(1))
            raise Conflict

        await context.transaction(attempt)

    async with system_of(SampleActor(), OuterActor(work), transactions=Transactions()).running() as system:
        with pytest.raises(Conflict):
            await system.context(request_id="r").ask(Outer())
    assert done == []


@virtual
async def test_a_tell_inside_a_transaction_is_refused() -> None:
    async def work(context: Context) -> None:
        async def attempt(tx: Context) -> None:
            tx.tell(Work(number=1))

        await context.transaction(attempt)

    async with system_of(SampleActor(), OuterActor(work), transactions=Transactions()).running() as system:
        with pytest.raises(RuntimeError, match="enqueue instead"):
            await system.context(request_id="r").ask(Outer())


@virtual
async def test_the_snapshot_says_what_a_handler_is_waiting_on() -> None:
    async def work(context: Context) -> int:
        return await context.ask(Work(number=1, key="the key", seconds=5))

    async with system_of(SampleActor(), OuterActor(work)).running() as system, anyio.create_task_group() as tasks:
        tasks.start_soon(system.context(request_id="r").ask, Outer())
        await anyio.sleep(2)
        snapshots = {snapshot.name: snapshot for snapshot in system.inspect()}
        (outer,), (inner,) = snapshots["outer"].in_flight, snapshots["sample"].in_flight
        assert (outer.kind, outer.waiting_on) == (Outer.message_kind, "sample")
        assert outer.elapsed_seconds == pytest.approx(2)
        assert (inner.key, inner.waiting_on) == ("the key", None)
