"""What is remembered outlives what does not concern it, and is always what would be found now."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from promptforge.actors.search.engine import Filters, Found, Request
from promptforge.actors.search.local import meanings
from promptforge.actors.search.local.aside import Aside
from promptforge.actors.search.local.engine import LocalEngine
from promptforge.actors.search.local.history import MOST_CHANGED, MOST_COMMITS
from promptforge.actors.search.local.index import LocalIndex
from promptforge.actors.search.local.searching import Searching
from promptforge.actors.search.messages import Kind, Mode, Order, SearchDocument
from tests.unit.search.documents import NOW, engine_of, listing, prompt, scope

pytestmark = pytest.mark.anyio

WORDS = (
    "marimba", "marimbas", "letter", "leter", "lettuce", "summary", "summaries", "poem", "poems", "garden", "gardener",
    "invoice", "invoices", "translate", "translator", "music",
)  # fmt: skip
CATEGORIES = ("writing", "coding")


async def looked(engine: LocalEngine, request: Request) -> bool:
    """Whether the index had to be looked into for it."""
    before = engine.looked
    await engine.find(request)
    return engine.looked > before


async def test_what_has_other_words_does_not_concern_an_answer() -> None:
    marimbas = [listing(f"m{at}", "marimba music") for at in range(3)]
    engine, index = await engine_of(*marimbas, listing("other", "invoice"))
    request = Request("marimba", scope(), Mode.TEXT)
    await engine.find(request)
    await index.put([listing("other", "letter"), listing("new", "poem")])
    await index.commit()
    assert not await looked(engine, request)
    await index.remove(Kind.LISTING, ["other"])
    await index.commit()
    assert not await looked(engine, request)


@pytest.mark.parametrize("mode", Mode)
async def test_what_comes_goes_or_changes_is_known_at_once(mode: Mode) -> None:
    engine, index = await engine_of(*(listing(f"m{at}", "marimba music") for at in range(3)))
    request = Request("marimba music", scope(), mode)

    async def shown() -> dict[str, str]:
        return {hit.document.id: hit.document.title for hit in (await engine.find(request)).hits}

    assert len(await shown()) == 3
    await index.put([listing("m3", "marimba music")])
    await index.commit()
    assert len(await shown()) == 4
    await index.put([listing("m3", "marimba music of wood")])
    await index.commit()
    assert (await shown())["m3"] == "marimba music of wood"
    await index.put([listing("m3", "invoice")])
    await index.commit()
    assert set(await shown()) == {"m0", "m1", "m2"}
    await index.remove(Kind.LISTING, ["m2"])
    await index.commit()
    assert set(await shown()) == {"m0", "m1"}


async def test_what_moves_to_another_project_is_gone_from_answers_there() -> None:
    engine, index = await engine_of(*(prompt(f"p{at}", "marimba", "prj_1") for at in range(4)))
    mine, theirs = (Request("marimba", scope(project), Mode.HYBRID) for project in ("prj_1", "prj_2"))
    assert [len((await engine.find(one)).hits) for one in (mine, theirs)] == [4, 0]
    await index.put([prompt("p0", "marimba", "prj_2")])
    await index.commit()
    assert [len((await engine.find(one)).hits) for one in (mine, theirs)] == [3, 1]


async def test_what_others_do_in_their_projects_does_not_concern_an_answer() -> None:
    engine, index = await engine_of(*(listing(f"m{at}", "marimba") for at in range(3)))
    request = Request("marimba", scope())
    await engine.find(request)
    await index.put([prompt("p", "marimba", "prj_1")])
    await index.commit()
    assert not await looked(engine, request)


async def test_what_only_moves_in_an_order_concerns_those_that_are_in_it() -> None:
    documents = [listing(f"m{at}", "marimba", offer_sales=at) for at in range(3)]
    engine, index = await engine_of(*documents)
    fitting, sold = (
        Request("marimba", scope(), Mode.TEXT, order=order) for order in (Order.RELEVANCE, Order.BEST_SELLING)
    )
    assert [hit.document.id for hit in (await engine.find(sold)).hits] == ["m2", "m1", "m0"]
    await engine.find(fitting)
    offer = documents[0].offer
    assert offer is not None
    await index.put([replace(documents[0], offer=replace(offer, sales=9))])
    await index.commit()
    assert not await looked(engine, fitting)
    assert [hit.document.id for hit in (await engine.find(sold)).hits] == ["m0", "m2", "m1"]


async def test_a_word_that_is_new_may_be_meant_where_words_are_spelled_alike() -> None:
    engine, index = await engine_of(listing("one", "letter"))
    request = Request("lettr", scope(), Mode.TEXT)
    assert len((await engine.find(request)).hits) == 1
    await index.put([listing("two", "lettz"), listing("three", "lettrq")])
    await index.commit()
    assert len((await engine.find(request)).hits) == 3


async def test_what_was_written_and_undone_before_a_commit_is_in_no_count() -> None:
    """Counts without words come from what was written: nothing is kept that is found before the commit."""
    engine, index = await engine_of(prompt("p", "marimba", "prj_1"), listing("l", "marimba"))
    request = Request("", scope("prj_2"), limit=0)
    await index.put([prompt("p", "marimba", "prj_2")])
    assert (await engine.find(request)).total == 2
    await index.put([prompt("p", "marimba", "prj_1")])
    await index.commit()
    assert (await engine.find(request)).total == 1


async def test_candidates_that_were_not_near_enough_make_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many, only so many are compared: which ones may change what is found though none of it did."""
    monkeypatch.setattr(meanings, "CANDIDATES", 14)
    monkeypatch.setattr(meanings, "NEAREST", 6)
    rng = Random(5)
    engine, index = await engine_of(*(_document(rng, at) for at in range(200)))
    requests = [Request(word, scope("prj_1"), mode) for word in WORDS for mode in (Mode.SEMANTIC, Mode.HYBRID)]
    for _ in range(30):
        at = rng.randrange(200)
        await (index.put([_document(rng, at)]) if rng.random() < 0.5 else index.remove(Kind.LISTING, [f"d{at}"]))
        await index.commit()
        for request in requests:
            assert _told(await engine.find(request)) == _told(await _anew(index, request)), request


async def test_of_whom_a_tag_is_taken_for_another_one_makes_room_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table of meanings knows two bits of each tag only."""
    monkeypatch.setattr(meanings, "NEAREST", 3)
    monkeypatch.setattr(meanings, "_bits", lambda *tags: np.uint64(1 if tags else 0))
    others = [listing(f"o{at}", "Summaries of reports", tags=("common",)) for at in range(3)]
    engine, index = await engine_of(*others, listing("rare", "Summaries of long reports", tags=("rare",)))
    request = Request("summaries of reports", scope(), Mode.SEMANTIC, Filters(tag="rare"))
    assert (await engine.find(request)).total == 0
    await index.remove(Kind.LISTING, ["o0", "o1", "o2"])
    await index.commit()
    assert (await engine.find(request)).total == 1


async def test_of_many_changes_and_many_commits_nothing_is_known() -> None:
    engine, index = await engine_of(*(listing(f"m{at}", "marimba") for at in range(3)))
    request = Request("marimba", scope(), Mode.TEXT)
    await engine.find(request)
    await index.put([listing(f"p{at}", "poem") for at in range(MOST_CHANGED + 1)])
    await index.commit()
    assert await looked(engine, request)
    for commits in (MOST_COMMITS - 1, MOST_COMMITS + 1):
        for at in range(commits):
            await index.put([listing("p0", "poem", summary=str(at))])
            await index.commit()
        assert await looked(engine, request) == (commits > MOST_COMMITS)


@pytest.mark.parametrize("seed", range(2))
async def test_what_is_remembered_is_what_would_be_found_now(seed: int) -> None:
    """Random documents change at random; what is asked again and again is compared with what is looked for anew."""
    rng = Random(seed)
    engine, index = await engine_of(*(_document(rng, at) for at in range(40)))
    requests = [_request(rng) for _ in range(60)]
    asked = 0
    for _ in range(12):
        for _ in range(rng.choice((1, 1, 2, 3))):
            at = rng.randrange(60)
            if rng.random() < 0.3:
                await index.remove(rng.choice((Kind.LISTING, Kind.PROMPT)), [f"d{at}"])
            else:
                await index.put([_document(rng, at)])
            if rng.random() < 0.3:  # found between writing and the commit: the shelf and the meanings are ahead
                for request in rng.sample(requests, 20):
                    await engine.find(request)
        await index.commit()
        for request in rng.sample(requests, 40):
            asked += 1
            assert _told(await engine.find(request)) == _told(await _anew(index, request)), request
    assert engine.looked < 0.9 * asked, "nothing was remembered: the test has proved nothing"


async def _anew(index: LocalIndex, request: Request) -> Found:
    return await Searching(index, request, Aside()).run()


def _told(found: Found) -> tuple[object, ...]:
    """Without the order of hits: how much a word tells changes with each document."""
    hits = sorted((hit.document.id, hit.document.title, str(hit.highlights)) for hit in found.hits)
    return found.total, found.facets, found.matched, hits


def _document(rng: Random, at: int) -> SearchDocument:
    title, summary, body = (" ".join(rng.choices(WORDS, k=count)) for count in (2, 2, 3))
    tags = tuple(rng.sample(CATEGORIES, rng.randrange(3)))
    if rng.random() < 0.3:
        return prompt(f"d{at}", title, rng.choice(("prj_1", "prj_2")), summary=summary, body=body, tags=tags)
    return replace(
        listing(
            f"d{at}",
            title,
            summary=summary,
            body=body,
            tags=tags,
            offer_category=rng.choice(CATEGORIES),
            offer_price=rng.randrange(5) * 1000,
            offer_sales=rng.randrange(5),
        ),
        changed_at=NOW,
    )


def _request(rng: Random) -> Request:
    words = " ".join(rng.choices((*WORDS, "marmba", "lettter", "unknown"), k=rng.choice((0, 1, 1, 2, 3))))
    filters = Filters(
        category=rng.choice((None, None, *CATEGORIES)),
        tag=rng.choice((None, None, None, *CATEGORIES)),
        max_price=rng.choice((None, None, 2000)),
    )
    seen = scope(*rng.choice(((), (), ("prj_1",), ("prj_1", "prj_2"))))
    mode = rng.choice(tuple(Mode))
    order = Order.RELEVANCE if rng.random() < 0.8 else rng.choice(tuple(Order))
    return Request(words, seen, mode, filters, order, limit=100, facets=rng.random() < 0.8)
