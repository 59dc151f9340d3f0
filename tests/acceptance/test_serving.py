"""Serving compiled prompts from two real processes: new within a second everywhere, and never a mixture."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from promptforge.core.mongo.client import SOCKET_SECONDS
from tests.support.running import Person, RunningService, eventually
from tests.support.starting import as_users_do

MOVES = 25


@contextmanager
def two_processes(directory: Path) -> Iterator[tuple[RunningService, RunningService]]:
    """The second one adopts the first one's mongod."""
    first, second = RunningService(directory), RunningService(directory)
    first.start()
    try:
        second.start()
        try:
            yield first, second
        finally:
            for person in second._people:
                person.client.close()
            second.terminate()
    finally:
        first.stop()


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningService, RunningService]]:
    """As everywhere, their seeds of hashes differ."""
    with as_users_do(), two_processes(tmp_path_factory.mktemp("serving")) as started:
        yield started


def made(person: Person, name: str, versions: list[dict[str, Any]], **fields: Any) -> str:
    prompt = person.post("/prompts", {"name": name, **fields}, expect=201)
    for version in versions:
        person.post(f"/prompts/{prompt['id']}/versions", version, expect=201)
    identifier: str = prompt["id"]
    return identifier


def move(person: Person, prompt: str, label: str, version: int) -> None:
    person.call("PUT", f"/prompts/{prompt}/labels/{label}", {"version": version}, expect=200)


class Poller(threading.Thread):
    """Reads over and over from one process; `order` are the states it saw, `wrong` what must not be."""

    def __init__(self, person: Person, path: str) -> None:
        super().__init__(daemon=True)
        self._person, self._path = person, path
        self._ended = threading.Event()
        self.order: list[str] = []
        self.wrong: list[object] = []
        self.requests = 0

    def run(self) -> None:
        while not self._ended.is_set():
            answer = self._person.get(self._path)
            self.requests += 1
            whole = {answer["settings"]["model"], *answer["content"].split()}
            if len(whole) != 1:
                self.wrong.append(answer)
            state = answer["settings"]["model"]
            if not self.order or self.order[-1] != state:
                self.order.append(state)

    def until_asked(self, times: int) -> None:
        """Wait for so many more answers."""
        wanted = self.requests + times
        eventually(lambda: self.requests >= wanted or not self.is_alive())

    def stop(self) -> None:
        self._ended.set()
        self.join()


def test_after_a_move_every_process_serves_the_new_version_soon(
    processes: tuple[RunningService, RunningService],
) -> None:
    first, second = processes
    writer = first.person("writer")
    versions = [{"content": f"v{n} v{n} v{n}", "settings": {"model": f"v{n}"}} for n in range(1, MOVES + 1)]
    prompt = made(writer, "Moved", versions)
    move(writer, prompt, "production", 1)
    pollers = [Poller(process.person("writer"), f"/prompts/{prompt}/compiled") for process in (first, second, second)]
    for poller in pollers:
        poller.start()
    for number in range(2, MOVES + 1):
        for poller in pollers:
            poller.until_asked(5)  # the cache, in between
        move(writer, prompt, "production", number)
    eventually(lambda: all(poller.order[-1:] == [f"v{MOVES}"] for poller in pollers))
    for poller in pollers:
        poller.stop()
        assert poller.wrong == []
        assert poller.order == sorted(poller.order, key=lambda state: int(state[1:])), "nobody goes back"


def test_what_includes_a_prompt_follows_its_label_as_a_whole(processes: tuple[RunningService, RunningService]) -> None:
    first, second = processes
    writer = first.person("includer")
    style = made(writer, "Style", [{"content": f"s{n}"} for n in range(1, MOVES + 1)])
    move(writer, style, "live", 1)
    content = "{{> Style@live}} {{> Style@live}} {{> Frame@live}}"
    made_frame = made(writer, "Frame", [{"content": "{{> Style@live}}"}])
    move(writer, made_frame, "live", 1)
    letter = made(writer, "Letter", [{"content": content}])
    path = f"/prompts/{letter}/compiled?label=latest"
    wrong: list[str] = []
    asked = [0, 0]
    stop = threading.Event()

    def poll(number: int, person: Person) -> None:
        while not stop.is_set():
            texts = person.get(path)["content"].split()
            asked[number] += 1
            if len(set(texts)) != 1:
                wrong.append(" ".join(texts))

    def once_more() -> None:
        wanted = [times + 1 for times in asked]
        eventually(lambda: all(times >= least for times, least in zip(asked, wanted, strict=True)))

    people = [process.person("includer") for process in (first, second)]
    with ThreadPoolExecutor(2) as pool:
        polling = [pool.submit(poll, number, person) for number, person in enumerate(people)]
        try:
            for number in range(2, MOVES + 1):
                move(writer, style, "live", number)
                once_more()
            expected = " ".join([f"s{MOVES}"] * 3)
            checker = second.person("includer")
            eventually(lambda: checker.get(path)["content"] == expected)
        finally:
            stop.set()
        for future in polling:
            future.result()
    assert wrong == []


def test_who_is_removed_from_a_project_is_not_served_any_more(
    processes: tuple[RunningService, RunningService],
) -> None:
    first, second = processes
    owner, reader = first.person("owner"), second.person("reader")
    reader.call("PATCH", "/users/me", {"handle": "the-reader"}, expect=200)
    project = owner.post("/projects", {"name": "Shared"}, expect=201)["id"]
    member = owner.post(f"/projects/{project}/members", {"handle": "the-reader", "roles": ["viewer"]}, expect=201)
    prompt = made(owner, "Shared", [{"content": "a"}], project_id=project)
    paths = (f"/prompts/{prompt}/compiled?version=1", f"/prompts/{prompt}/versions/1")
    beside = first.person("reader")
    for path in paths * 20:
        assert reader.get(path)["content"] == beside.get(path)["content"] == "a"
    owner.call("DELETE", f"/projects/{project}/members/{member['user_id']}", expect=204)
    at_once = [beside.client.get(path).status_code for path in paths]
    assert at_once == [404, 404], "the process that removed them"
    eventually(lambda: [reader.client.get(path).status_code for path in paths] == [404, 404])
    for path in paths:
        assert owner.get(path)["content"] == "a"


def test_polling_costs_nothing_while_nothing_changes(processes: tuple[RunningService, RunningService]) -> None:
    first, second = processes
    person = first.person("poller")
    prompt = made(person, "Polled", [{"content": "Say {{word}}"}, {"content": "Shout {{word}}"}])
    path = f"/prompts/{prompt}/compiled"
    assert person.client.get(path).status_code == 404, "there is no label production yet"
    move(person, prompt, "production", 1)
    here = eventually(lambda: (answer := person.client.get(path)).status_code == 200 and answer)
    there = second.person("poller").client.get(path)
    assert here.headers["etag"] == there.headers["etag"], "one content, one tag, in every process"
    assert here.headers["cache-control"] == there.headers["cache-control"] == "private, no-cache"
    assert here.json()["variables"] == [
        {"name": "word", "type": "string", "description": None, "default": None, "values": []}
    ]
    known = {"If-None-Match": here.headers["etag"]}
    unchanged = person.client.get(path, headers=known)
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert unchanged.headers["cache-control"] == "private, no-cache"
    move(person, prompt, "production", 2)
    changed = eventually(lambda: (answer := person.client.get(path, headers=known)).status_code == 200 and answer)
    assert changed.json()["content"] == "Shout {{word}}"
    assert "serving" in changed.headers["ratelimit-policy"]


def soon(person: Person, path: str) -> httpx.Response:
    """Before a socket to a silent mongod is given up."""
    return person.client.get(path, timeout=SOCKET_SECONDS - 5)


def _frozen_and_remembered(person: Person, path: str, mongod: int) -> float:
    """Freeze mongod, which then answers nobody, and be answered; since when it is frozen."""
    for _ in range(5):  # again, where the machine stood still just then: memory answers for two seconds only
        os.kill(mongod, signal.SIGSTOP)
        frozen = time.monotonic()
        if soon(person, path).status_code == 200:
            return frozen
        os.kill(mongod, signal.SIGCONT)
        eventually(lambda: soon(person, path).status_code == 200)
    raise AssertionError("the heartbeat is young enough, and memory does not answer")


def test_beside_a_frozen_mongod_memory_answers_for_two_seconds_and_then_nobody_waits(tmp_path: Path) -> None:
    """The stream's heartbeat stops with mongod, and a change could have been missed: 503 then, and soon."""
    service = RunningService(tmp_path)
    service.start()
    try:
        person = service.person("lonely")
        prompt = made(person, "Lonely", [{"content": "a"}, {"content": "b"}])
        known, unknown = (f"/prompts/{prompt}/compiled?version={number}" for number in (1, 2))
        assert person.get(known)["content"] == "a"
        mongod = service.mongod_pid()
        try:
            frozen = _frozen_and_remembered(person, known, mongod)
            time.sleep(1)
            for path in (unknown, known, known, unknown, known):
                refused = soon(person, path)
                assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable"), path
                assert refused.headers["retry-after"] == "1"
                time.sleep(max(0.0, 2.5 - (time.monotonic() - frozen)))
            with ThreadPoolExecutor(8) as pool:
                at_once = list(pool.map(lambda _: soon(service.person("lonely"), known), range(8)))
            assert [answer.status_code for answer in at_once] == [503] * 8
        finally:
            os.kill(mongod, signal.SIGCONT)
        eventually(lambda: person.client.get(known).status_code == 200)
        assert person.get(unknown)["content"] == "b"
    finally:
        service.stop()
