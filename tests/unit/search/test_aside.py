"""What of a search is done in the event loop, and what beside it: the answers are the same."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import anyio
import pytest
from anyio.lowlevel import checkpoint

from promptforge.actors.search.engine import Request
from promptforge.actors.search.local import aside
from promptforge.actors.search.local.aside import MOST_POSTINGS, POSTINGS_OF_AUDIENCE, Aside, Turn
from promptforge.actors.search.local.searching import Searching
from promptforge.actors.search.messages import Mode
from tests.unit.search.documents import engine_of, listing, prompt, scope

pytestmark = pytest.mark.anyio
T = TypeVar("T")


class Watched(Aside):
    """Remembers in which threads was looked, and for how many places."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[int] = set()
        self.postings = 0

    async def look(self, call: Callable[[], T], postings: int, turn: Turn) -> T:
        def watched() -> T:
            self.threads.add(threading.get_ident())
            return call()

        self.postings = max(self.postings, postings)
        return await super().look(watched, postings, turn)


DOCUMENTS = (
    listing("a", "red apple", summary="of a tree"),
    listing("b", "green pear"),
    prompt("p", "a red one", "prj"),
)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("text", ["red", "red appel", "pears trees", ""])
async def test_what_would_take_long_is_done_in_threads_and_finds_the_same(
    monkeypatch: pytest.MonkeyPatch, mode: Mode, text: str
) -> None:
    engine, index = await engine_of(*DOCUMENTS)
    request, here = Request(text, scope("prj"), mode), Watched()
    found = await Searching(index, request, here).run()
    suggested = await engine.suggest("re", scope("prj"), 5)
    assert here.threads <= {threading.get_ident()}
    monkeypatch.setattr(aside, "MOST_POSTINGS", -1)
    monkeypatch.setattr(aside, "MOST_COMPARED", -1)
    engine, index = await engine_of(*DOCUMENTS)
    there = Watched()
    assert await Searching(index, request, there).run() == found
    assert threading.get_ident() not in there.threads
    assert await engine.suggest("re", scope("prj"), 5) == suggested


@pytest.mark.parametrize("mode", Mode)
async def test_a_search_is_one_turn_of_the_loop_and_one_that_takes_long_several(
    monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    """Whoever stops half-way waits for all the others; whoever never stops holds them up."""
    _, index = await engine_of(*DOCUMENTS)
    request = Request("red appel", scope("prj"), mode)
    monkeypatch.setattr(aside, "TURN_SECONDS", 3600.0)
    assert await turns_of(Searching(index, request, Aside()).run()) == 0
    monkeypatch.setattr(aside, "TURN_SECONDS", 0.0)
    assert await turns_of(Searching(index, request, Aside()).run()) > 2


async def test_who_waited_for_a_thread_begins_another_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others have had theirs meanwhile: it need not wait for all of them once more."""
    monkeypatch.setattr(aside, "MOST_POSTINGS", -1)
    monkeypatch.setattr(aside, "TURN_SECONDS", 0.0)
    turn = Turn()
    assert await turns_of(turn.over()) == 1
    await Aside().look(lambda: monkeypatch.setattr(aside, "TURN_SECONDS", 3600.0), 0, turn)
    assert await turns_of(turn.over()) == 0


async def turns_of(search: Coroutine[Any, Any, object]) -> int:
    """How often another task had its turn before it ended."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await checkpoint()
            turns += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(count)
        await checkpoint()
        await search
        tasks.cancel_scope.cancel()
    return turns


async def test_a_search_for_somebody_who_owns_very_much_does_not_hold_the_loop() -> None:
    _, index = await engine_of(*DOCUMENTS)
    bought = [f"lst_{number}" for number in range(MOST_POSTINGS // POSTINGS_OF_AUDIENCE)]
    watched = Watched()
    found = await Searching(index, Request("red", scope(*bought), Mode.TEXT), watched).run()
    assert [hit.document.id for hit in found.hits] == ["a"]
    assert watched.threads
    assert threading.get_ident() not in watched.threads
