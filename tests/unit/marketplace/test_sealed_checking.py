"""Outputs are compared in threads, few at a time, with texts that are prepared once and kept within a bound."""

from __future__ import annotations

import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import anyio
import numpy as np
import pytest

from promptforge.actors.marketplace.sealed import checking, matching, near, windows
from promptforge.actors.marketplace.sealed.checking import Checking
from promptforge.actors.marketplace.sealed.matching import MOST_KNOWN, NOTHING, Match, Sealed, compare, letters_in
from promptforge.actors.marketplace.sealed.windows import windows_of

TEXT = (
    "You are the senior claims examiner of a small insurance company. Read the letter twice before you answer it. "
    "First name the policy and the date of loss, then list what the customer wants. Never promise a payment."
)
SEALED = Sealed((TEXT,))
COPY = "First name the policy and the date of loss, then list what the customer wants."


@pytest.mark.anyio
async def test_a_text_is_prepared_once_and_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    prepared_in: list[int] = []

    def slowly(pieces: tuple[str, ...]) -> Sealed:
        prepared_in.append(threading.get_ident())
        time.sleep(0.05)
        return Sealed(pieces)

    monkeypatch.setattr(checking, "Sealed", slowly)
    checks, found = Checking(), set[int]()

    async def prepare() -> None:
        found.add(id(await checks.prepared(("prm_1", 1), (TEXT,))))

    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(prepare)
    assert (len(prepared_in), len(found)) == (1, 1)
    assert threading.get_ident() not in prepared_in


@pytest.mark.anyio
async def test_what_is_kept_is_bounded_by_bytes_and_what_is_larger_is_not_kept() -> None:
    one = SEALED.bytes_kept
    checks = Checking(kept_bytes=3 * one)
    for version in range(6):
        await checks.prepared(("prm_1", version), (TEXT,))
    assert 2 * one < checks.bytes_kept <= 3 * one
    assert checks.find(("prm_1", 0)) is None
    assert checks.find(("prm_1", 5)) is not None
    await checks.prepared(("prm_2", 1), (TEXT * 2000,))
    assert checks.find(("prm_2", 1)) is None


@pytest.mark.anyio
async def test_only_so_many_comparisons_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    running, most, lock, together = 0, 0, threading.Lock(), threading.Barrier(2)

    def slowly(*_: object) -> Match:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        together.wait(60)
        with lock:
            running -= 1
        return NOTHING

    monkeypatch.setattr(checking, "compare", slowly)
    checks = Checking(at_once=2)
    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(checks.compared, SEALED, COPY, ())
    assert most == 2


def test_comparisons_side_by_side_say_what_each_says_alone() -> None:
    outputs = [COPY, "lorem ipsum dolor " * 5000, COPY * 3, "lorem " * 40, COPY + " sit amet" * 2000, "x"]
    alone = [compare(SEALED, output) for output in outputs]
    with ThreadPoolExecutor(8) as threads:
        for _ in range(5):
            assert list(threads.map(lambda output: compare(SEALED, output), outputs)) == alone


def test_comparisons_share_nothing_that_one_of_them_could_change() -> None:
    """They once shared a series that grew with the longest text: one could cut it while another counted on it."""
    for module in (windows, matching, near):
        for name, value in vars(module).items():
            if not name.startswith("__"):
                assert not isinstance(value, list | dict | set), name
                assert not (isinstance(value, np.ndarray) and value.flags.writeable), name


def test_windows_are_the_same_wherever_they_stand() -> None:
    codes = np.tile(np.arange(97, 97 + 500, dtype=np.uint32), 100)
    found = windows_of(codes, 18)
    assert len(found) == len(codes) - 17
    assert (found == np.resize(found[:500], len(found))).all()
    assert len(np.unique(found)) == 500
    assert len(windows_of(codes[:17], 18)) == 0


def test_what_somebody_sent_may_be_long_and_costs_little_memory() -> None:
    """It is looked at piece by piece: all windows of a megabyte, in all their turns, are half a gigabyte."""
    known = ["abcdefghij klmnop " * 58_000]
    tracemalloc.start()
    compare(SEALED, COPY, known)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 32 * 1024 * 1024


@pytest.mark.parametrize("before", [0, 16_340, 16_384, 60_000])
def test_what_somebody_sent_may_be_repeated_wherever_it_stood(before: int) -> None:
    assert compare(SEALED, COPY, ["y" * before + f" {COPY} and so on"]).letters == 0


def test_of_what_somebody_sent_only_so_much_is_known() -> None:
    assert compare(SEALED, COPY, ["z " * (MOST_KNOWN // 2) + COPY]) == compare(SEALED, COPY)


def test_letters_are_counted_as_they_are_sealed() -> None:
    for texts in ((TEXT,), ("", "Größe 12", "ﬁn")):
        assert letters_in(texts) == len(Sealed(texts))
