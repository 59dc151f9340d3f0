"""What changes in one process is found in another, by the change stream: no process is told by anybody."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from promptforge.core.principal import Role
from tests.support.running import Person, RunningService, eventually, published_listing

Processes = tuple[RunningService, RunningService]
INDEX_FILES = {"meta.json", ".managed.json", ".tantivy-meta.lock", ".tantivy-writer.lock"}
SEGMENTS = {".fast", ".fieldnorm", ".idx", ".pos", ".store", ".term"}
"""What tantivy names its files."""


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """The second one adopts the first one's mongod."""
    directory = tmp_path_factory.mktemp("processes")
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


def index(process: RunningService) -> Any:  # Any: JSON
    return process.person("oscar", Role.OPERATOR).get("/ops/search")


def found(person: Person, q: str) -> list[str]:
    page = person.get(f"/search?q={q}&mode=text")
    return [hit["id"] for hit in page["items"]] if page["state"] == "ready" else ["not ready"]


def soon(person: Person, q: str, expected: list[str]) -> None:
    """Polls; how busy the machine is the test does not know."""
    eventually(lambda: found(person, q) == expected)


def test_what_one_process_writes_another_finds_and_loses_with_the_same_index(processes: Processes) -> None:
    first, second = processes
    writer, reader = first.person("writer"), second.person("writer")
    soon(reader, "glockenspiel", [])
    before = index(second)
    prompt = writer.post("/prompts", {"name": "Glockenspiel"}, expect=201)["id"]
    soon(reader, "glockenspiel", [prompt])
    soon(reader, "glokenspiel", [prompt])  # and by words that the index had not seen when it was made
    writer.call("PATCH", f"/prompts/{prompt}", {"name": "Marimba"}, expect=200)
    soon(reader, "marimba", [prompt])
    assert found(reader, "glockenspiel") == []
    writer.call("DELETE", f"/prompts/{prompt}", expect=200)
    soon(reader, "marimba", [])
    after = index(second)
    assert after["generation"] == before["generation"], "it followed, and was not made anew"


def test_a_page_that_a_process_remembers_is_forgotten_when_another_writes(processes: Processes) -> None:
    first, second = processes
    nobody = second.person("")
    soon(nobody, "xylophonist", [])
    etag = nobody.client.get("/search?q=xylophonist&mode=text").headers["etag"]
    assert nobody.client.get("/search?q=xylophonist&mode=text").headers["etag"] == etag
    writer = first.person("xenia")
    writer.call("PATCH", "/users/me", {"handle": "xenia", "display_name": "Xylophonist"}, expect=200)
    person = writer.get("/users/me")["id"]
    soon(nobody, "xylophonist", [person])
    writer.call("PATCH", "/users/me", {"display_name": "Violinist"}, expect=200)
    soon(nobody, "xylophonist", [])


def test_a_page_by_words_that_a_process_remembers_is_forgotten_when_another_writes(processes: Processes) -> None:
    first, second = processes
    seller, moderator = first.person("sheila", Role.SELLER), first.person("moira", Role.MODERATOR)
    listing = published_listing(first, seller, moderator, name="Hurried", price="0")
    nobody = second.person("")

    def browsed() -> tuple[list[str], int]:
        page = nobody.get("/marketplace/listings?q=hurry")
        return [one["id"] for one in page["items"]], page["total"]

    def is_remembered() -> bool:
        before = index(second)["looked"]
        assert browsed() == ([listing], 1)
        return bool(index(second)["looked"] == before)

    eventually(lambda: browsed() == ([listing], 1))
    eventually(is_remembered)
    seller.post(f"/marketplace/listings/{listing}/unlist")
    eventually(lambda: browsed() == ([], 0))
    seller.post(f"/marketplace/listings/{listing}/relist")
    eventually(lambda: browsed() == ([listing], 1))


def test_the_index_says_that_it_takes_in_changes_within_two_seconds(processes: Processes) -> None:
    """The median of what it says, which a busy moment of the machine does not change."""
    first, second = processes
    writer, reader = first.person("lagging"), second.person("lagging")
    soon(reader, "celesta", [])
    prompt = writer.post("/prompts", {"name": "Celesta"}, expect=201)["id"]
    lags = []
    for name in ("bassoon", "clarinet", "dulcimer", "flugelhorn", "harmonium", "oboe", "piccolo", "tuba", "vihuela"):
        writer.call("PATCH", f"/prompts/{prompt}", {"name": name}, expect=200)
        soon(reader, name, [prompt])
        told = index(second)
        assert told["commits"] > 0
        lags.append(told["lag_seconds"])
    assert 0 < sorted(lags)[len(lags) // 2] < 2.0, lags


def opened(pid: int) -> Iterator[Path]:
    for one in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # it was closed meanwhile
            yield one.readlink()


def test_no_process_has_an_index_on_disk_whose_schema_could_be_another_versions(processes: Processes) -> None:
    """While one writes, tantivy has a lock and segments open, if it has files at all; so has what is read from them."""
    prompt = processes[0].person("theorbist").post("/prompts", {"name": "Theorbo"}, expect=201)["id"]
    for process in processes:
        soon(process.person("theorbist"), "theorbo", [prompt])
        mapped = {line.split(maxsplit=5)[-1] for line in Path(f"/proc/{process.pid}/maps").read_text().splitlines()}
        files = [*opened(process.pid), *map(Path, mapped)]
        assert not [file for file in files if file.name in INDEX_FILES or file.suffix in SEGMENTS]
        left = [path for path in process.directory.rglob("*") if path.name in INDEX_FILES]
        assert left == []
