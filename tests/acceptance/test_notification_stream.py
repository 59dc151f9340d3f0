"""Notifications as server-sent events, over real sockets, from three processes on one database."""

from __future__ import annotations

import resource
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from promptforge.core.principal import Role
from tests.support.events import EventReader, events
from tests.support.running import PATIENCE_SECONDS, PLAIN, Person, RunningService, eventually

PATH = "/notifications/stream"


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RunningService]]:
    directory = tmp_path_factory.mktemp("stream")
    started = [RunningService(directory, LOG_LEVEL="info") for _ in range(3)]
    started[0].start()
    try:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(RunningService.start, started[1:]))
        yield started
    finally:
        for other in started[1:]:
            for person in other._people:
                person.client.close()
            other.terminate()
        started[0].stop()


@pytest.fixture
def service(processes: list[RunningService]) -> RunningService:
    return processes[0]


def token_of(person: Person) -> str:
    token: str = person.client.headers["authorization"]
    return token


@contextmanager
def following(service: RunningService, person: Person, query: str = "", **headers: str) -> Iterator[EventReader]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    with events(service.base_url, PATH + query, token=token_of(person), headers=sent) as reader:
        yield reader


def tell(service: RunningService, person: Person, reason: str) -> None:
    """A grant of credits, of which its receiver hears."""
    user = person.get("/users/me")["id"]
    service.person("admin", Role.ADMIN).post(f"/users/{user}/grants", {"amount": "1", "reason": reason}, expect=201)


def told(person: Person, number: int) -> list[Any]:
    """Once there are so many, oldest first."""
    found: list[Any] = eventually(
        lambda: len(items := person.get("/notifications?limit=100")["items"]) >= number and items
    )
    return found[::-1]


def refused(service: RunningService, person: Person, query: str = "", **headers: str) -> tuple[int, str]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    response = person.client.get(PATH + query, headers=sent)
    return response.status_code, response.json()["code"]


def test_what_any_process_tells_is_heard_in_all_of_them_in_one_order(processes: list[RunningService]) -> None:
    carla = [service.person("carla") for service in processes]
    eve = processes[2].person("eve")
    eve.get("/users/me")
    with ExitStack() as stack:
        readers = [stack.enter_context(following(s, p)) for s, p in zip(processes, carla, strict=True)]
        quiet = stack.enter_context(following(processes[2], eve))
        assert [(one.name, one.id) for one in (reader.next() for reader in readers)] == [("ready", "0")] * 3
        for number in range(9):
            tell(processes[number % 3], carla[0], f"number {number}")
        heard = [reader.take(9) for reader in readers]
        assert heard[0] == heard[1] == heard[2]
        assert [event.id for event in heard[0]] == [str(number) for number in range(1, 10)]
        assert [event.data for event in heard[0]] == told(carla[0], 9)
        tell(processes[0], eve, "hers")
        assert quiet.take(2)[1].data["body"].startswith("hers"), "and nothing of the others'"


def test_a_stream_goes_on_after_the_event_that_its_reader_has(processes: list[RunningService]) -> None:
    here, there = (service.person("bruno") for service in processes[:2])
    for number in range(5):
        tell(processes[0], here, f"number {number}")
    all_of_it = told(here, 5)
    with following(processes[1], there, last_event_id="2") as reader:
        ready, *rest = reader.take(4)
        assert (ready.name, ready.id) == ("ready", "2")
        assert [(one.id, one.data) for one in rest] == [(str(n + 1), all_of_it[n]) for n in range(2, 5)]
        here.call("DELETE", f"/notifications/{all_of_it[1]['id']}", expect=204)
    with following(processes[1], there, "?last_event_id=0") as reader:
        assert [one.id for one in reader.take(5)] == ["0", "1", "3", "4", "5"], "what was deleted is left out"
    with following(processes[0], here, "?last_event_id=0", last_event_id="4") as reader:
        assert [one.id for one in reader.take(2)] == ["4", "5"], "the header is what a browser has seen since"


@pytest.mark.parametrize(
    "header", ["x", "-1", "1.0", "1e1", "01", "0x1", "9" * 19, "\u0661".encode().decode("latin-1")]
)
def test_an_id_that_no_event_ever_had_is_refused(service: RunningService, header: str) -> None:
    person = service.person("dora")
    response = person.client.get(PATH, headers=[(b"last-event-id", header.encode("latin-1"))])
    assert (response.status_code, response.json()["code"]) == (400, "malformed_request")


def test_ids_of_the_future_and_bad_parameters_are_refused(service: RunningService) -> None:
    person = service.person("dora")
    assert refused(service, person, last_event_id="7") == (422, "invalid_request")
    for query in ("?last_event_id=7", "?last_event_id=x", "?last_event_id=", "?ticket=", "?other=1"):
        assert refused(service, person, query) == (422, "invalid_request"), query


def ticket_of(person: Person) -> str:
    made = person.post("/notifications/stream/tickets", expect=201)
    assert made["ticket"].startswith("pft_")
    ticket: str = made["ticket"]
    return ticket


def test_a_ticket_opens_one_stream_once_in_whichever_process(processes: list[RunningService]) -> None:
    frida = processes[0].person("frida")
    ticket = ticket_of(frida)
    tell(processes[1], frida, "hello")
    told(frida, 1)
    path = f"{PATH}?ticket={ticket}&last_event_id=0"
    outcomes: list[int] = []
    inside = threading.Barrier(6, timeout=PATIENCE_SECONDS)

    def enter(service: RunningService) -> None:
        with (
            httpx.Client(base_url=f"{service.base_url}/api/v1", verify=PLAIN, timeout=PATIENCE_SECONDS) as client,
            client.stream("GET", path) as response,
        ):
            outcomes.append(response.status_code)
            if response.status_code == 200:
                assert [one.name for one in EventReader(response).take(2)] == ["ready", "notification"]
            inside.wait()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(enter, processes * 2))
    assert sorted(outcomes) == [200, 401, 401, 401, 401, 401]
    response = processes[0].person("").client.get(path)
    assert (response.status_code, response.json()["code"]) == (401, "bad_ticket")
    for service in processes:
        assert ticket not in service.log
    assert '"/api/v1/notifications/stream"' in processes[0].log, "the log is there, and has the path"


def test_tickets_are_for_people_and_used_up_by_nothing_but_streams(service: RunningService) -> None:
    frida, stranger = service.person("frida"), service.person("")
    body = {"name": "reader", "scopes": ["notifications:read"]}
    key = frida.post("/users/me/api-keys", body, expect=201)["secret"]
    program = {"authorization": f"Bearer {key}"}
    response = frida.client.post("/notifications/stream/tickets", headers=program)
    assert (response.status_code, response.json()["code"]) == (403, "scope_missing")
    with events(service.base_url, PATH, token=f"Bearer {key}") as reader:
        assert reader.next().name == "ready"
    ticket = ticket_of(frida)
    assert stranger.client.head(f"{PATH}?ticket={ticket}").status_code == 401, "looking uses nothing up"
    assert stranger.client.get(f"{PATH}?ticket={ticket}", headers={"last-event-id": "x"}).status_code == 400
    with events(service.base_url, f"{PATH}?ticket={ticket}") as reader:
        assert reader.next().name == "ready"
    for wrong in ("pft_x", "pft_" + "a" * 43, "%00", "a" * 101):
        assert stranger.client.get(f"{PATH}?ticket={wrong}").status_code in {401, 422}


def test_one_person_has_only_so_many_streams(service: RunningService) -> None:
    greedy = service.person("greedy")
    with ExitStack() as stack:
        for _ in range(10):
            stack.enter_context(following(service, greedy)).next()
        assert refused(service, greedy) == (429, "rate_limited")
    eventually(lambda: _opens(service, greedy))


def _opens(service: RunningService, person: Person) -> bool:
    with person.client.stream("GET", PATH) as response:
        return response.status_code == 200


def open_stream(service: RunningService, person: Person) -> socket.socket:
    """An idle one, past the event that it begins with."""
    connection = socket.create_connection(("127.0.0.1", service.port), timeout=PATIENCE_SECONDS)
    head = f"GET /api/v1{PATH} HTTP/1.1\r\nhost: test\r\nauthorization: {token_of(person)}\r\n\r\n"
    connection.sendall(head.encode())
    got = b""
    while b"event: ready" not in got:
        more = connection.recv(4096)
        assert more, got
        got += more
    return connection


def resident_bytes(service: RunningService) -> int:
    return int(Path(f"/proc/{service.pid}/statm").read_text().split()[1]) * resource.getpagesize()


def test_idle_streams_take_little_memory_each(service: RunningService) -> None:
    """`make bench` (streams) measures 2,000 of them: 68 KB each, its connection included."""
    people = [service.person(f"idle-{number}") for number in range(20)]
    for person in people:
        person.get("/users/me")
    with ExitStack() as stack:

        def open_for_all(times: int) -> None:
            for _ in range(times):
                for person in people:
                    stack.enter_context(open_stream(service, person))

        open_for_all(2)  # what the first of them load is there
        before = resident_bytes(service)
        open_for_all(8)
        assert (resident_bytes(service) - before) / (8 * len(people)) < 200_000
    eventually(lambda: _opens(service, people[0]))


def test_a_process_that_stops_says_so_and_its_readers_go_on_elsewhere(
    processes: list[RunningService], tmp_path: Path
) -> None:
    gwen = processes[0].person("gwen")
    gwen.get("/users/me")
    leaving = RunningService(processes[0].directory)
    leaving.start()
    with following(leaving, gwen) as reader:
        assert reader.next().name == "ready"
        tell(processes[0], gwen, "before")
        last = reader.next()
        leaving.begin_stop()
        end = reader.next()
        assert (end.name, end.data, end.id) == ("end", {"code": "stopping"}, None)
    assert leaving.wait() == 0
    tell(processes[1], gwen, "meanwhile")
    with following(processes[1], gwen, last_event_id=last.id or "") as reader:
        assert reader.take(2)[1].data["body"].startswith("meanwhile")
