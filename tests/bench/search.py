"""Search and browsing over HTTP at 100,000 listings and 20,000 private prompts, 20 clients at once.

The real service with a mongod of its own. Words are made up but for those of the labelled set, and as unevenly frequent
as words are. Beside search by words stands MongoDB's own `$text` over the same listings, and beside facets an
aggregation, asked directly by as many clients. Clients, service and mongod share the machine.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlencode

import numpy as np
from pymongo import MongoClient

from promptforge.core.mongo import EmbeddedMongod
from promptforge.core.principal import Role
from tests.bench.search_quality import LABELLED
from tests.bench.table import Row, print_rows
from tests.support.running import RunningService, eventually

LISTINGS, PROMPTS = 100_000, 20_000
PROJECTS_OF_BENCH = 20
CLIENTS = 20
SECONDS = 4.0
ROUNDS = 3
NEVER_ASKED = 15_000
BATCH = 2_000
NOW = datetime(2026, 11, 26, tzinfo=UTC)
CATEGORIES = ("writing", "coding", "analysis", "education", "marketing", "design", "research", "support", "other")
Rows = list[dict[str, Any]]


class Texts:
    """Words from a Zipf-like distribution over 20,000, the labelled set's among them."""

    def __init__(self) -> None:
        rng = Random(20261126)
        real = sorted(set(re.findall(r"[a-z]{3,}", LABELLED.read_text().lower())))
        rng.shuffle(real)
        made = ["".join(rng.choice("abcdefghilmnoprstu") for _ in range(rng.randint(4, 10))) for _ in range(20_000)]
        self.words = (real + made)[:20_000]
        weights = 1 / np.arange(5, 20_005)
        self._weights = weights / weights.sum()
        self._rng = np.random.default_rng(20261126)

    def many(self, length: int, count: int) -> list[str]:
        chosen = self._rng.choice(len(self.words), (count, length), p=self._weights)
        return [" ".join(self.words[at] for at in row) for row in chosen]


def _listings(texts: Texts) -> Iterator[Rows]:
    for begin in range(0, LISTINGS, BATCH):
        parts = zip(texts.many(5, BATCH), texts.many(12, BATCH), texts.many(60, BATCH), strict=True)
        yield [_listing(begin + at, *words) for at, words in enumerate(parts)]


def _listing(number: int, title: str, summary: str, description: str) -> dict[str, Any]:
    return {
        "_id": f"lst_{number:06}",
        "seller_id": f"usr_{number % 5000}",
        "state": "published",
        "revision": 1,
        "prompt_id": f"prm_{number}",
        "version": 1,
        "content_hash": "0",
        "title": title,
        "summary": summary,
        "description": description,
        "category": CATEGORIES[number % 9],
        "tags": title.split()[:3],
        "price": number * 7919 % 1000 * 500,
        "licence": "source",
        "review": None,
        "proposal": None,
        "rating": {"count": number % 7, "stars": number % 7 * (1 + number % 5)},
        "ranks": {
            "trending": number * 31 % 5000,
            "sales": number * 17 % 900,
            "rated": number % 5000,
            "average": (1 + number % 5) * 1000 if number % 7 else 0,
        },
        "created_at": NOW,
        "updated_at": NOW + timedelta(seconds=number),
        "published_at": NOW + timedelta(seconds=number),
    }


def _prompts(texts: Texts, projects: Sequence[str]) -> Iterator[Rows]:
    for begin in range(0, PROMPTS, BATCH):
        parts = zip(texts.many(4, BATCH), texts.many(12, BATCH), strict=True)
        yield [
            {
                "_id": f"prm_own_{begin + at:06}",
                "project_id": projects[(begin + at) % len(projects)] if at % 10 == 0 else f"prj_{at}",
                "name": f"{name} {begin + at}",
                "kind": "text",
                "description": description,
                "tags": name.split()[:2],
                "folder": "",
                "latest_version": 0,
                "forked_from": None,
                "created_by": "usr_1",
                "archived": False,
                "archived_at": None,
                "created_at": NOW,
                "updated_at": NOW,
            }
            for at, (name, description) in enumerate(parts)
        ]


@contextmanager
def filled() -> Iterator[tuple[RunningService, MongoClient[dict[str, Any]], Texts]]:
    """A service that has read its index from a full database."""
    with tempfile.TemporaryDirectory() as directory:
        service, texts = RunningService(Path(directory), LOG_LEVEL="warning"), Texts()
        service.start()
        server = EmbeddedMongod.start(service.data_dir / "mongo")
        client: MongoClient[dict[str, Any]] = MongoClient(server.url, tz_aware=True)
        try:
            person = service.person("bench")
            projects = [
                person.post("/projects", {"name": f"P{at}"}, expect=201)["id"] for at in range(PROJECTS_OF_BENCH)
            ]
            # The ranks made up below would be worked out again, from sales that there are not.
            service.person("otto", Role.OPERATOR).post("/jobs/queues/default/pause")
            service.terminate()
            database = client["promptforge"]
            for rows in _listings(texts):
                database["marketplace_listings"].insert_many(rows)
            for rows in _prompts(texts, projects):
                database["prompts"].insert_many(rows)
            service.start()
            yield service, client, texts
        finally:
            client.close()
            service.stop()


Ask = Callable[[int], None]


def _over_http(service: RunningService, token: str, paths: Sequence[str], *, once: bool = False) -> Callable[[], Ask]:
    """Makes a client with a connection of its own, who asks for one path after the other.

    `once`: all clients together ask for none twice, as long as there are more.
    """
    fresh = count()

    def connected() -> Ask:
        connection = HTTPConnection("127.0.0.1", service.port)
        headers = {"Authorization": token} if token else {}

        def ask(number: int) -> None:
            path = f"/api/v1{paths[(next(fresh) if once else number) % len(paths)]}"
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            body = response.read()
            if response.status != 200:
                raise RuntimeError(f"{path}: {response.status} {body[:200]!r}")

        return ask

    return connected


def _latencies(connected: Callable[[], Ask]) -> list[float]:
    """Of one round, in milliseconds."""
    until = time.perf_counter() + SECONDS

    def client(number: int) -> list[float]:
        ask, took, at = connected(), [], number * 37
        while (begun := time.perf_counter()) < until:
            ask(at)
            took.append((time.perf_counter() - begun) * 1000)
            at += 1
        return took

    with ThreadPoolExecutor(CLIENTS) as pool:
        return sorted(one for took in pool.map(client, range(CLIENTS)) for one in took)


def _quantile(latencies: Sequence[float], part: float) -> float:
    return latencies[min(int(len(latencies) * part), len(latencies) - 1)]


def _paths(path: str, parameters: Sequence[dict[str, Any]]) -> list[str]:
    return [f"{path}?{urlencode(one)}" for one in parameters]


def _queries(texts: Texts) -> list[str]:
    """Of one to three words, from very common to rare."""
    rng = Random(7)
    chosen = [texts.words[int(len(texts.words) ** rng.random())] for _ in range(900)]
    labelled = list(json.loads(LABELLED.read_text())["queries"])
    return [" ".join(chosen[at : at + 1 + at % 3]) for at in range(0, 600, 3)] + labelled


def _never_asked(texts: Texts, seed: int) -> list[str]:
    """More different queries of one to three words than can be asked in all rounds."""
    rng = Random(seed)
    found: dict[str, None] = {}
    while len(found) < NEVER_ASKED:
        words = (texts.words[int(len(texts.words) ** rng.random())] for _ in range(rng.choice((1, 2, 2, 3, 3, 3))))
        found[" ".join(words)] = None
    return list(found)


def _typos(queries: Sequence[str]) -> list[str]:
    long = [query for query in queries if len(query) > 6]
    return [query[:2] + query[3] + query[2] + query[4:] for query in long]


def _contenders(
    service: RunningService, client: MongoClient[dict[str, Any]], texts: Texts
) -> dict[str, Callable[[], Ask]]:
    token = service.person("bench").client.headers["authorization"]
    queries = _queries(texts)

    def search(mode: str, asked: Sequence[str], who: str = "", *, once: bool = False) -> Callable[[], Ask]:
        paths = _paths("/search", [{"q": query, "mode": mode} for query in asked])
        return _over_http(service, who, paths, once=once)

    def browse(*parameters: dict[str, Any]) -> Callable[[], Ask]:
        return _over_http(service, "", _paths("/marketplace/listings", parameters))

    sorts = ("new", "price", "top_rated", "best_selling", "trending")
    by_sort = [{"sort": sort} for sort in sorts]
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
        {"sort": sorts[at % 5], "min_price": str(at % 400), "max_price": f"{400 + at / 100:.2f}"}
        for at in range(40_000)
    ]
    return {
        "search by words": search("text", queries),
        "by words, signed in": search("text", queries, token),
        "by words with typos": search("text", _typos(queries)),
        "by words, never asked before": search("text", _never_asked(texts, 1), once=True),
        "by meaning": search("semantic", queries),
        "hybrid": search("hybrid", queries),
        "hybrid, signed in": search("hybrid", queries, token),
        "hybrid, never asked before": search("hybrid", _never_asked(texts, 2), once=True),
        "suggestions": _over_http(service, token, _paths("/search/suggestions", [{"q": q[:4]} for q in queries])),
        "MongoDB's $text": _mongo_text(client, queries),
        "browse: sorts": browse(*by_sort),
        "browse: sorts in a category": browse(*narrowed),
        "browse: price, rating, category": browse(*ranges),
        "browse: with facets": browse(*({**one, "facets": "true"} for one in narrowed)),
        "browse: prices never asked for before": _over_http(
            service, "", _paths("/marketplace/listings", prices), once=True
        ),
        "browse: words": browse(*({"q": query} for query in queries)),
        "MongoDB's facets": _mongo_facets(client),
    }


def _mongo_text(client: MongoClient[dict[str, Any]], queries: Sequence[str]) -> Callable[[], Ask]:
    collection = client["promptforge"]["marketplace_listings"]
    wanted = {"title": 1, "summary": 1, "score": {"$meta": "textScore"}}

    def ask(number: int) -> None:
        words = {"$text": {"$search": queries[number % len(queries)]}, "state": "published"}
        list(collection.find(words, wanted).sort([("score", {"$meta": "textScore"})]).limit(20))

    return lambda: ask


def _mongo_facets(client: MongoClient[dict[str, Any]]) -> Callable[[], Ask]:
    collection = client["promptforge"]["marketplace_listings"]

    def ask(number: int) -> None:
        counted = {name: [{"$sortByCount": f"${name}"}] for name in ("licence", "tags")}
        wanted = {"state": "published", "category": CATEGORIES[number % 9]}
        list(collection.aggregate([{"$match": wanted}, {"$facet": counted}]))

    return lambda: ask


BUDGETS = {"hybrid": "p95 ≤ 40 ms", "search by words": "p95 ≤ 40 ms", "browse: sorts": "p95 ≤ 30 ms"}
BASELINES = {"search by words": "MongoDB's $text", "browse: with facets": "MongoDB's facets"}


def run() -> None:
    """Print p50 and p95 of each, and how long the index took to be made."""
    with filled() as (service, client, texts):
        begun = time.perf_counter()
        index = eventually(lambda: _ready(service), seconds=900)
        print(
            f"index of {index['documents']:,} documents ready {time.perf_counter() - begun:.1f} s after the start",
            flush=True,
        )
        client["promptforge"]["marketplace_listings"].create_index(
            [("title", "text"), ("summary", "text"), ("description", "text")], name="bench_text"
        )
        contenders = _contenders(service, client, texts)
        half: dict[str, list[float]] = {name: [] for name in contenders}
        most: dict[str, list[float]] = {name: [] for name in contenders}
        for number in range(ROUNDS + 1):
            for name, connected in contenders.items():
                latencies = _latencies(connected)
                if number:  # the first round warms up
                    half[name].append(_quantile(latencies, 0.5))
                    most[name].append(_quantile(latencies, 0.95))
        rows = [Row(name, values, "ms", BASELINES.get(name)) for name, values in half.items()]
        print_rows(f"p50, {CLIENTS} clients at once, {LISTINGS:,} listings, {PROMPTS:,} prompts", rows)
        rows = [Row(name, values, "ms", BASELINES.get(name), BUDGETS.get(name, "")) for name, values in most.items()]
        print_rows("p95 of the same", rows)


def _ready(service: RunningService) -> Any:
    connection = HTTPConnection("127.0.0.1", service.port)
    connection.request("GET", "/health")
    told = json.loads(connection.getresponse().read())["search"]
    return told if told["state"] == "ready" else None
