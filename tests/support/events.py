"""A reader of server-sent events over a real socket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from tests.support.running import PATIENCE_SECONDS, PLAIN


@dataclass(frozen=True, slots=True)
class Event:
    name: str
    id: str | None
    data: Any  # Any: JSON


class EventReader:
    """Reads one event after the other; comments are passed over."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.iter_lines()

    def next(self) -> Event:
        fields: dict[str, str] = {}
        for line in self._lines:
            if line.startswith(":"):
                continue
            if not line:
                if "data" in fields:
                    return Event(fields.get("event", "message"), fields.get("id"), json.loads(fields["data"]))
                fields = {}
                continue
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        raise AssertionError("the stream is over")

    def take(self, number: int) -> list[Event]:
        return [self.next() for _ in range(number)]


@contextmanager
def events(
    base_url: str, path: str, *, token: str | None = None, headers: dict[str, str] | None = None
) -> Iterator[EventReader]:
    """Open for as long as the block; `base_url` is the service's."""
    sent = {"authorization": token} if token else {}
    with (
        httpx.Client(base_url=f"{base_url}/api/v1", verify=PLAIN, timeout=PATIENCE_SECONDS) as client,
        client.stream("GET", path, headers={**sent, **(headers or {})}) as response,
    ):
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield EventReader(response)
