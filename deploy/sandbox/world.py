"""What the sandbox holds: Stripe's objects as JSON, by kind, and whose they are; in memory, and bounded.

A kind keeps its newest `most` objects; balances are running sums, so forgetting old movements does not change them.
Nothing here knows HTTP. Objects are changed in place and copied where they leave; keys that begin with an underscore
are the sandbox's own and never leave.
"""

from __future__ import annotations

import random
import secrets
import string
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from promptforge.deploy.sandbox.forms import Params
from promptforge.deploy.sandbox.refusals import Object, no_such
from promptforge.deploy.sandbox.timeline import Timeline

API_VERSION = "2026-10-28.endive"
MOST_OBJECTS = 10_000
_ALPHABET = string.ascii_letters + string.digits


@dataclass(slots=True)
class Shelf:
    """The objects of one kind, oldest first."""

    objects: dict[str, Object] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    """Only those of connected accounts."""


@dataclass(slots=True)
class Funds:
    """What an account has of one currency, in minor units; either may be below zero."""

    available: int = 0
    pending: int = 0


@dataclass(frozen=True, slots=True)
class Origin:
    """The request that caused an event; what happens by itself has none."""

    request_id: str | None = None
    idempotency_key: str | None = None


class World:
    """`seed` makes ids repeat; without one they never do. `base_url` is where people reach the sandbox's pages."""

    def __init__(
        self,
        *,
        seed: str | None = None,
        timeline: Timeline | None = None,
        most: int = MOST_OBJECTS,
        pending_seconds: int = 2 * 86_400,
    ) -> None:
        self.timeline = timeline or Timeline()
        self.base_url = "http://127.0.0.1"
        self.pending_seconds = pending_seconds
        self.origin = Origin()
        self.funds: dict[tuple[str | None, str], Funds] = defaultdict(Funds)
        """By account (None: the platform) and currency."""
        self.listeners: list[Callable[[Object], None]] = []
        self._random: random.Random = random.Random(seed) if seed is not None else secrets.SystemRandom()  # noqa: S311  # no secrets
        self._most = most
        self._shelves: dict[str, Shelf] = {}

    def now(self) -> int:
        return self.timeline.now()

    def new_id(self, prefix: str, length: int = 24) -> str:
        return f"{prefix}_{''.join(self._random.choices(_ALPHABET, k=length))}"

    def new_digits(self, length: int) -> str:
        return "".join(self._random.choices(string.digits, k=length))

    def add(self, made: Object, *, account: str | None = None) -> Object:
        shelf = self._shelves.setdefault(made["object"], Shelf())
        if len(shelf.objects) >= self._most:
            oldest = next(iter(shelf.objects))
            del shelf.objects[oldest]
            shelf.owners.pop(oldest, None)
        shelf.objects[made["id"]] = made
        if account is not None:
            shelf.owners[made["id"]] = account
        return made

    def remove(self, kind: str, identifier: str) -> None:
        self._shelves[kind].objects.pop(identifier, None)

    def find(self, kind: str, identifier: str, *, account: str | None = None) -> Object | None:
        """Of this account (None: the platform) only."""
        shelf = self._shelves.get(kind)
        if shelf is None or shelf.owners.get(identifier) != account:
            return None
        return shelf.objects.get(identifier)

    def get(self, kind: str, identifier: str, *, account: str | None = None, param: str = "id") -> Object:
        """Raises `Refused`."""
        found = self.find(kind, identifier, account=account)
        if found is None:
            raise no_such(kind, identifier, param=param)
        return found

    def owner(self, kind: str, identifier: str) -> str | None:
        shelf = self._shelves.get(kind)
        return shelf.owners.get(identifier) if shelf else None

    def newest_first(self, kind: str, *, account: str | None = None) -> Iterator[Object]:
        shelf = self._shelves.get(kind)
        if shelf is None:
            return
        for identifier in reversed(tuple(shelf.objects)):
            if shelf.owners.get(identifier) == account:
                yield shelf.objects[identifier]

    def find_anywhere(self, identifier: str) -> Object | None:
        """Whatever has this id, whoever owns it; for `expand`."""
        found = (shelf.objects.get(identifier) for shelf in self._shelves.values())
        return next((one for one in found if one is not None), None)

    def counts(self) -> dict[str, int]:
        return {kind: len(shelf.objects) for kind, shelf in sorted(self._shelves.items())}

    def emit(self, kind: str, subject: Object, *, account: str | None = None, previous: Object | None = None) -> Object:
        """Record an event about an object as it is now, and tell whoever delivers events."""
        data: Object = {"object": public(subject)}
        if previous is not None:
            data["previous_attributes"] = previous
        event: Object = {
            "id": self.new_id("evt"),
            "object": "event",
            "api_version": API_VERSION,
            "created": self.now(),
            "data": data,
            "livemode": False,
            "pending_webhooks": 0,
            "request": {"id": self.origin.request_id, "idempotency_key": self.origin.idempotency_key},
            "type": kind,
        }
        if account is not None:
            event["account"] = account
        self.add(event)
        for listener in self.listeners:
            listener(event)
        return event


def public(value: Any) -> Any:  # Any: JSON
    """A copy without the sandbox's own keys."""
    if isinstance(value, dict):
        return {key: public(part) for key, part in value.items() if not key.startswith("_")}
    if isinstance(value, list):
        return [public(part) for part in value]
    return value


@dataclass(frozen=True, slots=True)
class Call:
    """One request: `account` is the connected account that it is made for (`Stripe-Account`)."""

    world: World
    params: Params
    ids: dict[str, str] = field(default_factory=dict)
    account: str | None = None
    url: str = ""

    def get(self, kind: str, name: str = "id") -> Object:
        """The object that the path names. Raises `Refused`."""
        return self.world.get(kind, self.ids[name], account=self.account)

    def named(self, kind: str, param: str) -> Object:
        """The object that a parameter names. Raises `Refused`."""
        return self.world.get(kind, self.params.text(param), account=self.account, param=self.params.name(param))


def changed(subject: Object, changes: Object) -> Object:
    """Change an object; answers what was there before, as events tell it."""
    previous = {key: public(subject.get(key)) for key, value in changes.items() if subject.get(key) != value}
    subject.update(changes)
    return previous
