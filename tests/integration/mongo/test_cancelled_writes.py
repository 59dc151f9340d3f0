"""A transaction that is cancelled while one of its writes is on its way in the driver's thread.

The driver decides at the last moment, in its thread, whether a command belongs to a transaction. Were the transaction
aborted before that moment, the write would be carried out by itself, outside any transaction, and stay.
"""

from __future__ import annotations

import threading
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
import pytest
from pymongo.synchronous.client_session import ClientSession

from promptforge.core.mongo import Mongo, Session, run_transaction, transactions

pytestmark = pytest.mark.anyio

SECONDS = 1.0
"""How long the driver's thread is held up; it goes on at once where the transaction is aborted meanwhile."""


class HeldWrites:
    """Holds an update's thread before it looks at the session, until the transaction is aborted or a second is over."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached = anyio.Event()
        self.aborted_meanwhile = False
        self._go_on = threading.Event()
        self._done = threading.Event()
        self._apply_to = ClientSession._apply_to
        self._abort = transactions._abort
        held = self

        def apply_to(session: ClientSession, command: Any, *rest: Any) -> None:  # Any: what the driver sends
            if "update" in command:
                held._hold()
            try:
                held._apply_to(session, command, *rest)
            finally:
                if "update" in command:
                    held._done.set()

        monkeypatch.setattr(ClientSession, "_apply_to", apply_to)
        monkeypatch.setattr(transactions, "_abort", self._abort_and_release)
        self._loop_token = anyio.lowlevel.current_token()

    def _hold(self) -> None:
        anyio.from_thread.run_sync(self.reached.set, token=self._loop_token)
        self._go_on.wait(SECONDS)

    async def _abort_and_release(self, session: Session) -> None:
        self.aborted_meanwhile = not self._done.is_set()
        await self._abort(session)
        self._go_on.set()
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._done.wait, SECONDS)


async def test_a_write_on_its_way_is_finished_before_its_transaction_is_aborted(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = mongo.collection("lines")
    await lines.insert_one({"_id": "a", "number": 0})

    async def work(session: Session) -> None:
        await lines.find_one({"_id": "a"}, session=session)
        await lines.update_one({"_id": "a"}, {"$set": {"number": 1}}, session=session)

    held = HeldWrites(monkeypatch)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run_transaction, mongo, work)
        await held.reached.wait()
        tasks.cancel_scope.cancel()
    assert not held.aborted_meanwhile
    assert await lines.find_one({}) == {"_id": "a", "number": 0}
