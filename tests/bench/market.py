"""A large market to search and browse: 100,000 listings and 20,000 private prompts, and a service that has read them.

Words are made up but for those of the labelled set, and as unevenly frequent as words are. Making the database takes a
minute or two, so it is kept beside the checkout's other caches, in `$XDG_CACHE_HOME/promptforge/bench` or
`~/.cache/promptforge/bench`, and made anew when this file has changed.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from pymongo import MongoClient

from promptforge.core.mongo import EmbeddedMongod
from promptforge.core.principal import Role
from tests.bench.search_quality import LABELLED
from tests.support.running import RunningService

LISTINGS, PROMPTS = 100_000, 20_000
PROJECTS_OF_BENCH = 20
BATCH = 2_000
NOW = datetime(2026, 11, 26, tzinfo=UTC)
CATEGORIES = ("writing", "coding", "analysis", "education", "marketing", "design", "research", "support", "other")
SEED = 20261126
Rows = list[dict[str, Any]]  # Any: as the driver has them
Database = MongoClient[dict[str, Any]]


class Texts:
    """Words from a Zipf-like distribution over 20,000, the labelled set's among them."""

    def __init__(self) -> None:
        rng = Random(SEED)
        real = sorted(set(re.findall(r"[a-z]{3,}", LABELLED.read_text().lower())))
        rng.shuffle(real)
        made = ["".join(rng.choice("abcdefghilmnoprstu") for _ in range(rng.randint(4, 10))) for _ in range(20_000)]
        self.words = (real + made)[:20_000]
        weights = 1 / np.arange(5, 20_005)
        self._weights = weights / weights.sum()
        self._rng = np.random.default_rng(SEED)

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
def market(processes: int) -> Iterator[tuple[list[RunningService], Database]]:
    """So many processes, which read their indexes from a full database; its mongod is stopped in the end."""
    directory = _kept()
    complete = directory / "complete"
    if not complete.exists():
        shutil.rmtree(directory, ignore_errors=True)
    service, *others = services = [RunningService(directory, LOG_LEVEL="warning") for _ in range(processes)]
    try:
        if not complete.exists():
            _fill(service)
            complete.touch()
        server = EmbeddedMongod.start(service.data_dir / "mongo")
        client: Database = MongoClient(server.url, tz_aware=True)
        with client:
            for one in services:
                one.start()
            yield services, client
    finally:
        for other in others:
            other.terminate()
        service.stop()


def _kept() -> Path:
    """Of this very data."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    mark = sha256(Path(__file__).read_bytes() + LABELLED.read_bytes()).hexdigest()[:12]
    return caches / "promptforge" / "bench" / f"market-{mark}"


def _fill(service: RunningService) -> None:
    service.start()
    person = service.person("bench")
    projects = [person.post("/projects", {"name": f"P{at}"}, expect=201)["id"] for at in range(PROJECTS_OF_BENCH)]
    # The ranks made up above would be worked out again, from sales that there are not.
    service.person("otto", Role.OPERATOR).post("/jobs/queues/default/pause")
    service.terminate()
    server = EmbeddedMongod.start(service.data_dir / "mongo")
    client: Database = MongoClient(server.url, tz_aware=True)
    with client:
        database, texts = client["promptforge"], Texts()
        for rows in _listings(texts):
            database["marketplace_listings"].insert_many(rows)
        for rows in _prompts(texts, projects):
            database["prompts"].insert_many(rows)
        database["marketplace_listings"].create_index(
            [("title", "text"), ("summary", "text"), ("description", "text")], name="bench_text"
        )
