"""Search and browsing over HTTP at 100,000 listings and 20,000 private prompts, 20 clients at once.

The real service with a mongod of its own (`tests/bench/market`): two processes, each with half of the clients, as what
spreads requests over processes would have it, or as many as a number among the lines asked for says
(`search=1,browse`). Each line says which budget it is held against: a line
"never asked before" asks for nothing twice, "asked before" for 250 queries again and again, and "as in a log" for 5,000
different queries of one to three words, some far more often than others (Zipf, exponent 1, seeded). While a listing
changes, every 0.2 s the index is written to and forgets what that concerns: a line for which the index has not moved is
an error. Visitors of the market, "as in a log" too, take a list in some order, of a category or of all, between prices
or not, or look for words; every third wants facets. Each client of each line and round begins somewhere else. What had
to be looked for, and was not remembered, is counted by the service; as many of the slowest answers are taken for these,
and have a p95 of their own.

Beside search by words stands MongoDB's own `$text` over the same listings, and beside facets an aggregation, asked
directly by as many clients. Clients, service and mongod share the machine.

`search=fresh` measures instead how soon a change is found in each of three processes (`tests/bench/freshness`).
"""

from __future__ import annotations

import json
import operator
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from http.client import HTTPConnection
from random import Random
from typing import Any, TypeVar
from urllib.parse import urlencode

import numpy as np
from rich.console import Console
from rich.table import Table

from promptforge.core.principal import Role
from tests.bench import freshness
from tests.bench.closed_loop import CLIENTS, SECONDS, Ask, Round, measured, over_http
from tests.bench.market import CATEGORIES, LISTINGS, PROMPTS, Database, Texts, market
from tests.bench.search_quality import LABELLED
from tests.support.running import RunningService, eventually

ROUNDS = 3
PROCESSES = 2
NEVER_ASKED = 60_000
LOGGED, LOG_LENGTH = 5_000, 40_000
SEARCH, BROWSE = 40.0, 30.0
"""What p95 may be, in milliseconds."""
T = TypeVar("T")
CHANGING, FRESH = "while a listing changes", "fresh"
SORTS = ("new", "price", "top_rated", "best_selling", "trending")
Lines = dict[str, tuple[Callable[[], Ask], float | None]]
"""What is asked, and what its p95 is held against."""


def run(wanted: str | int = "") -> None:
    """Print p50, p95 and CPU of each line, or of those whose names have one of the words in `wanted`, by commas."""
    parts = [part for part in str(wanted).split(",") if part]
    processes = next((int(part) for part in parts if part.isdecimal()), PROCESSES)
    parts = [part for part in parts if not part.isdecimal()]
    with market(processes) as (services, client):
        begun = time.perf_counter()
        documents = [eventually(partial(_ready, service), seconds=900)["documents"] for service in services]
        print(
            f"index of {documents[0]:,} documents ready in {processes} processes "
            f"{time.perf_counter() - begun:.1f} s after the start",
            flush=True,
        )
        if not parts or FRESH in parts:
            freshness.measure(services, client)
        lines = {
            name: line
            for name, line in _lines(services, client).items()
            if not parts or any(part in name for part in parts)
        }
        rounds: dict[str, list[Measured]] = {name: [] for name in lines}
        rng, house = Random(11), _House(services)
        for number in range(ROUNDS + 1):
            for name, (connected, _) in lines.items():
                with _changing(client, house, name):
                    before = house.index()
                    one = measured(connected, house.pids, rng)
                    after = house.index()
                commits = min(now - then for now, then in zip(after.commits, before.commits, strict=True))
                if CHANGING in name and commits < SECONDS:
                    raise RuntimeError(f"{name}: an index was written to {commits} times")
                if number:  # the first round warms up
                    rounds[name].append(Measured(one, after.looked - before.looked))
        if lines:
            _print(lines, rounds, processes)


class _House:
    """The processes, and what their operator sees of them."""

    def __init__(self, services: Sequence[RunningService]) -> None:
        self._operators = [service.person("oscar", Role.OPERATOR) for service in services]
        self.pids = (*(service.pid for service in services), services[0].mongod_pid())

    def index(self) -> Indexes:
        told = [each.get("/ops/search") for each in self._operators]
        return Indexes([one["commits"] for one in told], sum(one["looked"] for one in told))


@dataclass(frozen=True, slots=True)
class Indexes:
    """How often each was written to, and for how many answers they were looked into."""

    commits: Sequence[int]
    looked: int


@dataclass(frozen=True, slots=True)
class Measured:
    """`looked`: for how many answers an index was looked into."""

    round: Round
    looked: int

    def quantile(self, part: float) -> float:
        return self.round.quantile(part)

    @property
    def cpu(self) -> tuple[float, float]:
        """Milliseconds for each answer: of the service's processes together, and of mongod."""
        *processes, mongod = self.round.cpu
        return sum(processes), mongod

    def of_looked(self, part: float) -> float | None:
        return self.round.quantile(part, slowest=self.looked) if self.looked else None


def _lines(services: Sequence[RunningService], client: Database) -> Lines:
    texts, ports = Texts(), [service.port for service in services]
    token = services[0].person("bench").client.headers["authorization"]
    return {**_searches(ports, token, texts), **_browsing(ports, texts), **_mongo(client, texts)}


# What is asked


def _searches(ports: Sequence[int], token: str, texts: Texts) -> Lines:
    queries = _queries(texts)
    logged = _logged(texts)

    def search(
        mode: str, asked: Sequence[str], who: str = "", *, once: bool = False
    ) -> tuple[Callable[[], Ask], float]:
        paths = _paths("/search", [{"q": query, "mode": mode} for query in asked])
        return over_http(ports, paths, token=who, once=once), SEARCH

    suggested = _paths("/search/suggestions", [{"q": query[:4]} for query in queries])
    begun = _paths("/search/suggestions", [{"q": query[: 3 + at % 8]} for at, query in enumerate(logged)])
    typed = _paths("/search/suggestions", [{"q": query[: 3 + len(query) // 2]} for query in _never_asked(texts, 3)])
    return {
        "words, never asked before": search("text", _never_asked(texts, 1), once=True),
        "words, signed in, never asked before": search("text", _never_asked(texts, 4), token, once=True),
        "words with typos, never asked before": search("text", _typos(_never_asked(texts, 5)), once=True),
        "words, asked before": search("text", queries),
        "words, as in a log": search("text", logged),
        "words, as in a log, while a listing changes": search("text", logged),
        "by meaning, never asked before": search("semantic", _never_asked(texts, 6), once=True),
        "hybrid, never asked before": search("hybrid", _never_asked(texts, 2), once=True),
        "hybrid, asked before": search("hybrid", queries),
        "hybrid, signed in, asked before": search("hybrid", queries, token),
        "hybrid, as in a log": search("hybrid", logged),
        "hybrid, signed in, as in a log": search("hybrid", logged, token),
        "hybrid, as in a log, while a listing changes": search("hybrid", logged),
        "suggestions, never asked before": (over_http(ports, typed, token=token, once=True), SEARCH),
        "suggestions, as in a log": (over_http(ports, begun, token=token), SEARCH),
        "suggestions, asked before": (over_http(ports, suggested, token=token), SEARCH),
    }


def _browsing(ports: Sequence[int], texts: Texts) -> Lines:
    def browse(parameters: Sequence[dict[str, Any]], *, once: bool = False) -> tuple[Callable[[], Ask], float]:
        return over_http(ports, _paths("/marketplace/listings", parameters), once=once), BROWSE

    by_sort = [{"sort": sort} for sort in SORTS]
    narrowed = [{**one, "category": category} for one in by_sort for category in CATEGORIES]
    ranges = [
        {
            **one,
            "category": CATEGORIES[at],
            "min_price": str(at * 20),
            "max_price": str(at * 20 + 100),
            "min_rating": "3",
        }
        for one in by_sort
        for at in range(9)
    ]
    prices = [
        {"sort": SORTS[at % 5], "min_price": str(at % 400), "max_price": f"{400 + at / 1000:.3f}"}
        for at in range(NEVER_ASKED)
    ]
    return {
        "browse: sorts": browse(by_sort),
        "browse: sorts in a category": browse(narrowed),
        "browse: sorts in a category, while a listing changes": browse(narrowed),
        "browse: price, rating, category": browse(ranges),
        "browse: facets": browse([{**one, "facets": "true"} for one in narrowed]),
        "browse: prices, never asked before": browse(prices, once=True),
        "browse: prices and facets, never asked before": browse(
            [{**one, "facets": "true"} for one in prices], once=True
        ),
        "browse: words, never asked before": browse([{"q": query} for query in _never_asked(texts, 7)], once=True),
        "browse: words, asked before": browse([{"q": query} for query in _queries(texts)]),
        "browse: as in a log": browse(logged := _visited(texts)),
        "browse: as in a log, while a listing changes": browse(logged),
    }


def _mongo(client: Database, texts: Texts) -> Lines:
    collection, queries = client["promptforge"]["marketplace_listings"], _queries(texts)
    wanted = {"title": 1, "summary": 1, "score": {"$meta": "textScore"}}

    def text(number: int) -> None:
        words = {"$text": {"$search": queries[number % len(queries)]}, "state": "published"}
        list(collection.find(words, wanted).sort([("score", {"$meta": "textScore"})]).limit(20))

    def facets(number: int) -> None:
        counted = {name: [{"$sortByCount": f"${name}"}] for name in ("licence", "tags")}
        found = {"state": "published", "category": CATEGORIES[number % 9]}
        list(collection.aggregate([{"$match": found}, {"$facet": counted}]))

    return {"MongoDB's $text": (lambda: text, None), "MongoDB's $facet": (lambda: facets, None)}


def _paths(path: str, parameters: Sequence[dict[str, Any]]) -> list[str]:
    return [f"{path}?{urlencode(one)}" for one in parameters]


def _queries(texts: Texts) -> list[str]:
    """Of one to three words, from very common to rare."""
    rng = Random(7)
    chosen = [texts.words[int(len(texts.words) ** rng.random())] for _ in range(900)]
    labelled = list(json.loads(LABELLED.read_text())["queries"])
    return [" ".join(chosen[at : at + 1 + at % 3]) for at in range(0, 600, 3)] + labelled


def _never_asked(texts: Texts, seed: int, number: int = NEVER_ASKED) -> list[str]:
    """Different queries of one to three words, from very common to rare: more than can be asked in all rounds."""
    rng = Random(seed)
    found: dict[str, None] = {}
    while len(found) < number:
        words = (texts.words[int(len(texts.words) ** rng.random())] for _ in range(rng.choice((1, 2, 2, 3, 3, 3))))
        found[" ".join(words)] = None
    return list(found)


def _logged(texts: Texts) -> list[str]:
    return _log_of(_never_asked(texts, 8, LOGGED), 9)


def _log_of(different: Sequence[T], seed: int) -> list[T]:
    weights = 1 / np.arange(1, len(different) + 1)
    chosen = np.random.default_rng(seed).choice(len(different), LOG_LENGTH, p=weights / weights.sum())
    return [different[at] for at in chosen]


def _visited(texts: Texts) -> list[dict[str, str]]:
    """What visitors of the market ask for."""
    rng = Random(10)
    queries = _never_asked(texts, 12, LOGGED)
    different: list[dict[str, str]] = []
    for query in queries:
        asked = {"q": query} if rng.random() < 0.35 else {"sort": rng.choice(SORTS)}
        if rng.random() < 0.5:
            asked["category"] = rng.choice(CATEGORIES)
        if rng.random() < 0.3:
            least = rng.randrange(0, 400, 10)
            asked |= {"min_price": str(least), "max_price": str(least + rng.choice((50, 100, 200)))}
        if rng.random() < 0.33:
            asked["facets"] = "true"
        different.append(asked)
    return _log_of(different, 13)


def _typos(queries: Sequence[str]) -> list[str]:
    long = [query for query in queries if len(query) > 6]
    return [query[:2] + query[3] + query[2] + query[4:] for query in long]


@contextmanager
def _changing(client: Database, house: _House, name: str) -> Iterator[None]:
    """Where the line says so, a listing is changed every 0.2 s; it begins once each index has taken in the first.

    Each change is one: what was written before would change nothing, and nobody would hear of it.
    """
    ended = threading.Event()

    def change() -> None:
        rng = Random()
        listings = client["promptforge"]["marketplace_listings"]
        while not ended.wait(0.2):
            changed = {"updated_at": datetime.now(UTC), "ranks.trending": rng.randrange(5000)}
            listings.update_one({"_id": f"lst_{rng.randrange(LISTINGS):06}"}, {"$set": changed})

    thread = threading.Thread(target=change)
    try:
        if CHANGING in name:
            before = house.index().commits
            thread.start()
            eventually(lambda: all(map(operator.gt, house.index().commits, before)), seconds=60)
        yield
    finally:
        ended.set()
        if thread.ident is not None:
            thread.join()


# What is told


def _print(lines: Lines, rounds: dict[str, list[Measured]], processes: int) -> None:
    title = (
        f"{CLIENTS} clients at once, {processes} processes, {LISTINGS:,} listings, {PROMPTS:,} prompts; "
        f"medians of {ROUNDS} rounds"
    )
    table = Table(title=title, title_justify="left")
    columns = (
        "what",
        "p50 ms",
        "p95 ms",
        "(rounds)",
        "looked for",
        "their p95",
        "CPU ms",
        "mongod's",
        "p95 may be",
        "",
    )
    for column in columns:
        table.add_column(column, justify="left" if column == "what" else "right")
    for name, (_, budget) in lines.items():
        own = rounds[name]
        half, most = (sorted(one.quantile(part) for one in own) for part in (0.5, 0.95))
        service, mongod = (sorted(one.cpu[at] for one in own)[len(own) // 2] for at in (0, 1))
        reached = most[len(most) // 2]
        table.add_row(
            name,
            f"{half[len(half) // 2]:.1f}",
            f"{reached:.1f}",
            f"{most[0]:.0f} to {most[-1]:.0f}",
            *_looked(own),
            f"{service:.2f}",
            f"{mongod:.2f}",
            "" if budget is None else f"{budget:.0f}",
            "" if budget is None else "met" if reached <= budget else "not met",
        )
    Console(width=160).print(table)


def _looked(own: Sequence[Measured]) -> tuple[str, str]:
    """Which part of the answers was looked for, and the p95 of these; medians."""
    parts = sorted(one.looked / len(one.round.took) for one in own)
    most = sorted(reached for one in own if (reached := one.of_looked(0.95)) is not None)
    return f"{parts[len(parts) // 2]:.0%}", f"{most[len(most) // 2]:.1f}" if most else ""


def _ready(service: RunningService) -> Any:  # Any: JSON
    connection = HTTPConnection("127.0.0.1", service.port)
    connection.request("GET", "/health")
    told = json.loads(connection.getresponse().read())["search"]
    return told if told["state"] == "ready" else None
