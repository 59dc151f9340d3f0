"""The engine in the process: what is found, in which order, on which page, and what nobody may learn."""

from __future__ import annotations

import pytest

from promptforge.actors.search.engine import MOST_HITS, Filters, Place, Request
from promptforge.actors.search.local.engine import IndexNotReady, LocalEngine
from promptforge.actors.search.messages import Kind, Match, Mode, Order
from tests.unit.search.documents import engine_of, ids, listing, prompt, scope

pytestmark = pytest.mark.anyio


async def test_titles_count_more_than_summaries_and_these_more_than_bodies() -> None:
    engine, _ = await engine_of(
        listing("body", "One", body="needle and thread"),
        listing("summary", "Two", summary="needle and thread"),
        listing("title", "needle and thread"),
    )
    assert await ids(engine, "needle") == ["title", "summary", "body"]


async def test_all_words_are_wanted_and_fewer_only_where_next_to_nothing_has_all() -> None:
    both = [listing(f"both{at}", "red apple") for at in range(3)]
    engine, _ = await engine_of(listing("one", "red"), *both)
    found = await engine.find(Request("red apple", scope(), Mode.TEXT))
    assert (found.total, found.matched) == (3, Match.ALL_WORDS)
    found = await engine.find(Request("red pear", scope(), Mode.TEXT))
    assert (found.total, found.matched) == (4, Match.SOME_WORDS)
    found = await engine.find(Request("rde aple", scope(), Mode.TEXT))
    assert (found.total, found.matched) == (3, Match.SOME_WORDS)  # three letters have no typos


async def test_a_project_is_no_part_of_a_search_whose_scope_it_is_not_in() -> None:
    documents = [prompt(f"p{at}", "merger with Initech", "prj_secret", tags=("merger",)) for at in range(5)]
    engine, _ = await engine_of(listing("open", "merger of tables"), *documents)
    for mode in Mode:
        for text in ("merger", "initech", "mergre initch", ""):
            found = await engine.find(Request(text, scope("prj_other"), mode))
            assert {hit.document.id for hit in found.hits} <= {"open"}, (mode, text)
            assert found.total == len(found.hits)
            assert sum(value.count for facet in found.facets[:1] for value in facet.values) == found.total
    assert await engine.suggest("init", scope(), 5) == ()
    assert [hit.document.title for hit in await engine.suggest("merg", scope(), 5)] == ["merger of tables"]
    assert len(await ids(engine, "initech", "prj_secret")) == 5


async def test_what_is_not_permitted_does_not_keep_others_from_being_nearest() -> None:
    hidden = [prompt(f"h{at}", "Summaries of news articles", "prj_secret") for at in range(400)]
    engine, _ = await engine_of(*hidden, listing("open", "Short versions of the news"))
    assert await ids(engine, "summaries of news articles", mode=Mode.SEMANTIC) == ["open"]
    found = await engine.find(Request("summaries of news articles", scope("prj_secret"), Mode.SEMANTIC, limit=5))
    assert len(found.hits) == 5


async def test_what_has_not_the_tag_does_not_keep_others_from_being_nearest() -> None:
    others = [listing(f"o{at}", f"Summarise long articles {at}", tags=("common", f"t{at}")) for at in range(400)]
    rare = listing("rare", "Summaries of reports", tags=("common", "rare"), offer_scorecard=True)
    engine, _ = await engine_of(*others, rare)
    for mode in (Mode.SEMANTIC, Mode.HYBRID):
        for filters in (Filters(tag="rare"), Filters(scorecard=True)):
            found = await engine.find(Request("summarise long articles", scope(), mode, filters))
            assert ([hit.document.id for hit in found.hits], found.total) == (["rare"], 1), (mode, filters)


@pytest.mark.parametrize(
    "title",
    [
        "हिन्दी सारांश लेखक",
        "বাংলা সারসংক্ষেপ",
        "విశ్వవిద్యాలయం తెలుగు",
        "தமிழ் சுருக்கம்",
        "مُلَخَّص عربي",
        "שָׁלוֹם עולם",
        "Достопримечательностями",
    ],
)
async def test_texts_in_any_script_are_found_by_all_their_words(title: str) -> None:
    engine, _ = await engine_of(listing("it", title), listing("other", "عربي שולחן कलम Достоинство"))
    for text in (title, title.split(maxsplit=1)[0]):
        found = await engine.find(Request(text, scope(), Mode.TEXT))
        assert ([hit.document.id for hit in found.hits], found.matched) == (["it"], Match.ALL_WORDS)
        assert any(piece.hit for highlight in found.hits[0].highlights for piece in highlight.fragments)


async def test_a_word_that_is_too_long_finds_nothing() -> None:
    engine, _ = await engine_of(listing("it", "aaaa bbbb"))
    assert (await engine.find(Request("a" * 300, scope(), Mode.TEXT))).total == 0


async def test_filters_and_facets_hold_in_every_mode() -> None:
    engine, _ = await engine_of(
        listing("cheap", "news digest", offer_price=0, tags=("news",)),
        listing("dear", "news digest", offer_price=60_000, offer_category="coding", offer_scorecard=True),
        listing("unrated", "news digest", offer_stars=0),
        prompt("mine", "news digest", "prj_1"),
    )
    for mode in Mode:

        async def found(filters: Filters, mode: Mode = mode) -> set[str]:
            answer = await engine.find(Request("news digest", scope("prj_1"), mode, filters))
            assert answer.total == len(answer.hits)
            return {hit.document.id for hit in answer.hits}

        assert await found(Filters()) == {"cheap", "dear", "unrated", "mine"}
        assert await found(Filters(max_price=0)) == {"cheap"}
        assert await found(Filters(min_price=1)) == {"dear", "unrated"}
        assert await found(Filters(min_stars=4000)) == {"cheap", "dear"}
        assert await found(Filters(category="coding")) == {"dear"}
        assert await found(Filters(category="nothing")) == set()
        assert await found(Filters(tag="news")) == {"cheap"}
        assert await found(Filters(scorecard=True)) == {"dear"}
        assert await found(Filters(licence="source")) == {"cheap", "dear", "unrated"}
    answer = await engine.find(Request("", scope("prj_1")))
    facets = {facet.field: {value.value: value.count for value in facet.values} for facet in answer.facets}
    assert facets == {
        "kind": {"listing": 3, "prompt": 1},
        "category": {"writing": 2, "coding": 1},
        "licence": {"source": 3},
        "sells": {"prompt": 3},
        "price": {"free": 1, "up_to_10": 1, "up_to_200": 1},
        "rating": {"4": 2},
        "scorecard": {"no": 2, "yes": 1},
    }


async def test_what_is_written_again_is_there_once_and_as_it_is_now() -> None:
    engine, index = await engine_of(listing("one", "before"))
    await index.put([listing("one", "after"), listing("two", "after")])
    await index.put([listing("one", "after")])
    assert await ids(engine, "before") == ["one"], "not found before it is committed"
    await index.commit()
    assert (await ids(engine, "before"), await ids(engine, "after")) == ([], ["two", "one"])
    await index.remove(Kind.LISTING, ["two", "never there"])
    await index.commit()
    assert await ids(engine, "after") == ["one"]
    assert index.meanings.counts() == {
        "listing": 1,
        "person": 0,
        "project": 0,
        "prompt": 0,
        "package": 0,
        "purchase": 0,
    }
    await index.put([prompt("one", "another kind", "prj_1")])
    await index.commit()
    assert await ids(engine, "another", "prj_1") == ["one"]
    assert await ids(engine, "after") == ["one"]


async def test_a_document_that_changes_hands_is_found_by_its_new_audience_only() -> None:
    engine, index = await engine_of(prompt("p", "marimba", "prj_1"))
    await index.put([prompt("p", "marimba", "prj_2")])
    await index.commit()
    for mode in Mode:
        assert await ids(engine, "marimba", "prj_1", mode=mode) == []
        assert await ids(engine, "marimba", "prj_2", mode=mode) == ["p"]


async def test_pages_begin_behind_what_was_seen_last_whatever_came_or_went() -> None:
    engine, index = await engine_of(*(listing(f"l{at:02}", "paged", offer_price=at) for at in range(10)))
    request = Request("paged", scope(), order=Order.PRICE, limit=4)
    first = await engine.find(request)
    assert [hit.document.id for hit in first.hits] == ["l00", "l01", "l02", "l03"]
    assert first.last == Place("listing:l03", 4)
    await index.put([listing("cheaper", "paged", offer_price=0)])
    await index.remove(Kind.LISTING, ["l00", "l04"])
    await index.commit()
    second = await engine.find(Request("paged", scope(), order=Order.PRICE, limit=4, after=first.last))
    assert [hit.document.id for hit in second.hits] == ["l05", "l06", "l07", "l08"]
    await index.remove(Kind.LISTING, ["l08"])
    await index.commit()
    third = await engine.find(Request("paged", scope(), order=Order.PRICE, limit=4, after=second.last))
    assert ([hit.document.id for hit in third.hits], third.last) == (["l09"], None)


async def test_pages_go_on_to_the_deepest_place() -> None:
    engine, _ = await engine_of(*(listing(f"l{at:03}", "paged") for at in range(MOST_HITS + 80)))
    for mode in (Mode.TEXT, Mode.HYBRID):
        seen: list[str] = []
        after: Place | None = None
        while after is None or after.number < MOST_HITS:
            found = await engine.find(Request("paged", scope(), mode, limit=100, after=after))
            assert found.total == MOST_HITS + 80
            seen += [hit.document.id for hit in found.hits]
            after = found.last
            assert after is not None
        assert len(seen) == len(set(seen)) == MOST_HITS


async def test_sorts_go_by_what_is_offered() -> None:
    engine, _ = await engine_of(
        listing("a", "sorted", offer_price=3, offer_sales=1, offer_rated=2, offer_trending=3),
        listing("b", "sorted", offer_price=1, offer_sales=2, offer_rated=3, offer_trending=1),
        listing("c", "sorted", offer_price=2, offer_sales=3, offer_rated=1, offer_trending=2),
    )
    orders = {Order.PRICE: "bca", Order.BEST_SELLING: "cba", Order.TOP_RATED: "bac", Order.TRENDING: "acb"}
    for order, expected in orders.items():
        found = await engine.find(Request("sorted", scope(), order=order))
        assert "".join(hit.document.id for hit in found.hits) == expected, order


async def test_without_an_index_nothing_is_answered() -> None:
    with pytest.raises(IndexNotReady):
        await LocalEngine().find(Request("x", scope()))
