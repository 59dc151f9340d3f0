"""What was found is known for as long as it is so, and to those only who may see it."""

from __future__ import annotations

import anyio
import pytest

from promptforge.actors.search.engine import Found, Request
from promptforge.actors.search.local.answers import ANSWER_OVERHEAD, AUDIENCE_OVERHEAD, Answers
from promptforge.actors.search.local.history import MOST_COMMITS
from promptforge.actors.search.messages import Kind, Match
from tests.unit.search.documents import engine_of, ids, listing, prompt, scope

pytestmark = pytest.mark.anyio

NOTHING = Found((), None, 0, (), Match.EVERYTHING)


class Moments:
    moment = 0
    settled: int | None = 0

    def come(self, moment: int) -> None:
        self.moment = self.settled = moment


async def test_the_same_request_is_looked_for_once_until_something_is_committed() -> None:
    engine, index = await engine_of(listing("one", "marimba"))
    request = Request("marimba", scope())
    first = await engine.find(request)
    assert await engine.find(Request("marimba", scope())) is first
    await index.put([listing("two", "marimba")])
    assert await engine.find(request) is first, "not found before it is committed"
    await index.commit()
    assert {hit.document.id for hit in (await engine.find(request)).hits} == {"one", "two"}
    await index.remove(Kind.LISTING, ["one"])
    await index.commit()
    assert [hit.document.id for hit in (await engine.find(request)).hits] == ["two"]


async def test_it_is_counted_how_often_something_had_to_be_looked_for() -> None:
    engine, index = await engine_of(listing("one", "marimba"))
    for _ in range(3):
        await engine.find(Request("marimba", scope()))
    await engine.suggest("mari", scope(), 5)
    await engine.suggest("mari", scope(), 5)
    assert engine.looked == 2
    await index.put([listing("one", "marimba", summary="of wood")])
    await index.commit()
    await engine.find(Request("marimba", scope()))
    assert engine.looked == 3


async def test_nobody_is_answered_what_another_may_see() -> None:
    engine, _ = await engine_of(prompt("p", "marimba", "prj_1"), listing("l", "marimba"))
    for _ in range(2):
        assert sorted(await ids(engine, "marimba", "prj_1")) == ["l", "p"]
        assert await ids(engine, "marimba") == ["l"]
        assert await ids(engine, "marimba", "prj_2") == ["l"]


async def test_suggestions_are_known_in_the_same_way() -> None:
    engine, index = await engine_of(listing("l", "marimba"), prompt("p", "marimba solo", "prj_1"))
    first = await engine.suggest("mar", scope(), 5)
    assert await engine.suggest("mar", scope(), 5) is first
    assert [hit.document.id for hit in first] == ["l"]
    assert len(await engine.suggest("mar", scope("prj_1"), 5)) == 2
    assert len(await engine.suggest("mar", scope("prj_1"), 1)) == 1
    await index.remove(Kind.LISTING, ["l"])
    await index.commit()
    assert await engine.suggest("mar", scope(), 5) == ()


async def test_what_was_looked_for_before_a_commit_is_not_known_after_it() -> None:
    engine, index = await engine_of(listing("one", "marimba"))
    request = Request("marimba", scope())
    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(engine.find, request)
            await index.put([listing("two", "marimba")])
            tasks.start_soon(index.commit)
    assert len((await engine.find(request)).hits) == 2


async def test_what_began_before_a_commit_or_while_something_is_written_is_not_kept() -> None:
    moments = Moments()
    answers: Answers[Request, Found, None] = Answers(moments)
    request = Request("marimba", scope())
    moments.come(2)
    answers.keep(1, request, NOTHING, None)
    answers.keep(None, request, NOTHING, None)
    moments.settled = None
    answers.keep(2, request, NOTHING, None)
    assert answers.find(request) is None
    moments.settled = 2
    answers.keep(2, request, NOTHING, None)
    assert answers.find(request) is NOTHING
    moments.come(3)
    assert answers.find(request) is None


async def test_what_holds_is_asked_once_for_each_moment_and_what_does_not_is_forgotten() -> None:
    moments, asked, holding = Moments(), list[tuple[str, int, int]](), {"marimba"}

    def holds(basis: str, since: int, now: int) -> bool:
        asked.append((basis, since, now))
        return basis in holding

    answers: Answers[Request, Found, str] = Answers(moments, holds)
    request = Request("marimba", scope())
    answers.keep(0, request, NOTHING, "marimba")
    for moment in (0, 4, 4, 7):
        moments.come(moment)
        assert answers.find(request) is NOTHING
    assert asked == [("marimba", 0, 4), ("marimba", 4, 7)]
    holding.clear()
    moments.come(8)
    assert answers.find(request) is None
    holding.add("marimba")
    assert answers.find(request) is None


async def test_what_cannot_hold_any_more_is_let_go() -> None:
    for holds, most in ((None, 0), (lambda *_: True, MOST_COMMITS)):
        moments = Moments()
        answers: Answers[Request, Found, str] = Answers(moments, holds)
        for moment, word in enumerate(("old", "new")):
            moments.come(moment)
            answers.keep(moment, Request(word, scope()), NOTHING, word)
        moments.come(1 + most)
        answers.find(Request("other", scope()))
        assert len(answers) == 1


async def test_there_are_only_so_many() -> None:
    most = 3 * (ANSWER_OVERHEAD + AUDIENCE_OVERHEAD + 1)
    answers: Answers[Request, Found, None] = Answers(Moments(), most=most)
    for number in range(10):
        answers.keep(0, Request(str(number), scope()), NOTHING, None)
    assert [number for number in range(10) if answers.find(Request(str(number), scope()))] == [7, 8, 9]
    many = scope(*(f"prj_{number}" for number in range(10)))
    answers.keep(0, Request("x", many), NOTHING, None)
    assert [number for number in range(10) if answers.find(Request(str(number), scope()))] == [9]
    answers.keep(0, Request("x" * 10_000, scope()), NOTHING, None)
    assert answers.find(Request("x" * 10_000, scope())) is None
