"""The index beside a real database and its change stream: made at the start, kept up, and made anew after a gap."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import anyio
import pytest

from promptforge.actors.prompts.messages import ArchivePrompt, CreatePrompt, UpdatePrompt
from promptforge.actors.search.errors import SearchUnavailable
from promptforge.actors.search.local import vocabulary
from promptforge.actors.search.local.index import LocalIndex
from promptforge.actors.search.messages import IndexState, Kind, SearchDocument
from promptforge.actors.users.messages import UpdateProfile
from promptforge.core.context import Context
from promptforge.core.errors import DatabaseUnavailable
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Role
from promptforge.deploy.following import Memory
from tests.support.processes import UNHURRIED_SECONDS
from tests.support.searching import Searched, answers_ready, finds, found, ready, searched, until

pytestmark = pytest.mark.anyio


async def test_what_was_there_before_and_what_changes_later_is_found(mongo: Mongo) -> None:
    async with searched(mongo, fed=False) as before:
        owner = await before.market.person("olga", Role.SELLER)
        await owner.ask(CreatePrompt(name="Marimba"))
        await before.market.published(owner, "Xylophone for sale")
    async with searched(mongo) as after:
        await until(lambda: finds(owner_of(after, owner), "marimba", 1))
        person = owner_of(after, owner)
        await until(lambda: finds(person, "xylophone", 2))  # the prompt and its listing
        prompt = await person.ask(CreatePrompt(name="Glockenspiel"))
        await until(lambda: finds(person, "glockenspiel", 1))
        await person.ask(UpdatePrompt(prompt_id=prompt.id, name="Timpani"))
        await until(lambda: finds(person, "timpani", 1))
        assert (await found(person, "glockenspiel")).total == 0
        await person.ask(ArchivePrompt(prompt_id=prompt.id))
        await until(lambda: finds(person, "timpani", 0))
        await until(lambda: answers_ready(person))
        assert after.actor.index().generation == 1


def owner_of(here: Searched, person: Context) -> Context:
    return here.market.process.system.context(
        request_id="req", principal=person.principal, timeout_seconds=UNHURRIED_SECONDS
    )


async def test_a_sellers_listings_are_found_by_the_handle_that_they_have_now(mongo: Mongo) -> None:
    async with searched(mongo) as here:
        seller = await here.market.person("a-seller", Role.SELLER)
        await here.market.published(seller, "Summaries")
        await seller.ask(UpdateProfile(handle="mallet-player"))
        await until(lambda: finds(seller, "mallet-player", 2))  # herself and her listing
        await seller.ask(UpdateProfile(handle="quill"))
        await until(lambda: finds(seller, "quill", 2))
        assert {hit.kind for hit in (await found(seller, "quill")).items} == {Kind.LISTING, Kind.PERSON}
        assert (await found(seller, "mallet-player")).total == 0


@pytest.mark.parametrize("field", ["suspended", "closed_at"])
async def test_who_was_suspended_or_has_left_is_not_found_any_more(mongo: Mongo, field: str) -> None:
    async with searched(mongo) as here:
        olga, eve = await here.market.person("olga"), await here.market.person("eve")
        await olga.ask(UpdateProfile(handle="mallet-player"))
        await until(lambda: finds(eve, "mallet-player", 1))
        value: object = olga.now() if field == "closed_at" else True
        await mongo.collection("users").update_one({"_id": olga.user_id}, {"$set": {field: value}})
        await until(lambda: finds(eve, "mallet-player", 0))


async def test_after_a_gap_the_old_index_answers_as_warming_until_a_new_one_is_made(mongo: Mongo) -> None:
    async with searched(mongo) as here:
        person = await here.market.person("olga")
        kept, hidden = [await person.ask(CreatePrompt(name=f"Marimba {name}")) for name in ("kept", "hidden")]
        await until(lambda: finds(person, "marimba", 2))
        await until(lambda: ready(here))
        missed = {"$set": {"archived": True, "archived_at": kept.created_at}}
        here.feed.held_back = True
        await mongo.collection("prompts").update_one({"_id": hidden.id}, missed)
        here.memory.found.untold_seconds = lambda: 5.0  # no new index is begun
        here.memory.found.gap()
        page = await found(person, "marimba")
        assert (page.total, page.state) == (2, IndexState.WARMING), "the old one, and it says so"
        here.memory.found.untold_seconds = lambda: 0.0
        await until(lambda: finds(person, "marimba", 1))
        await until(lambda: ready(here))
        assert here.actor.index().generation == 2


async def test_while_nothing_is_heard_it_says_that_it_is_behind_and_in_the_end_nothing(mongo: Mongo) -> None:
    async with searched(mongo) as here:
        person = await here.market.person("olga")
        await person.ask(CreatePrompt(name="Marimba"))
        await until(lambda: finds(person, "marimba", 1))
        await until(lambda: ready(here))
        here.memory.found.untold_seconds = lambda: 3.0
        assert (await found(person, "marimba")).state is IndexState.BEHIND
        here.memory.found.untold_seconds = lambda: 31.0
        with pytest.raises(SearchUnavailable):
            await found(person, "marimba")


class SlowIndex(LocalIndex):
    """Lets something happen between the reading of the page with marimbas and its writing."""

    def __init__(self, meanwhile: Callable[[], Awaitable[None]]) -> None:
        super().__init__()
        self._meanwhile = [meanwhile]

    async def put(self, documents: Sequence[SearchDocument]) -> None:
        if self._meanwhile and any(document.title == "Marimba" for document in documents):
            await self._meanwhile.pop()()
        await super().put(documents)


async def test_what_changes_while_its_page_is_being_written_is_written_as_it_is_now(mongo: Mongo) -> None:
    async with searched(mongo, fed=False) as before:
        owner = await before.market.person("olga")
        prompt = await owner.ask(CreatePrompt(name="Marimba"))
    memories: list[Memory] = []

    async def rename() -> None:
        renamed = {"$set": {"name": "Timpani"}}
        await mongo.collection("prompts").update_one({"_id": prompt.id}, renamed)
        with anyio.fail_after(60):
            while not memories[0].found.waiting:
                await anyio.sleep(0.01)

    async with searched(mongo, made=lambda: SlowIndex(rename), memories=memories) as here:
        person = owner_of(here, owner)
        await until(lambda: finds(person, "timpani", 1))
        assert (await found(person, "marimba")).total == 0


class FailingIndex(LocalIndex):
    """Fails once, as a database does that is away, when it is told to."""

    to_fail = False

    async def put(self, documents: Sequence[SearchDocument]) -> None:
        if self.to_fail:
            self.to_fail = False
            raise DatabaseUnavailable
        await super().put(documents)


async def test_what_could_not_be_written_is_written_later(mongo: Mongo) -> None:
    index = FailingIndex()
    async with searched(mongo, made=lambda: index) as here:
        person = await here.market.person("olga")
        prompt = await person.ask(CreatePrompt(name="Timpani"))
        await until(lambda: finds(person, "timpani", 1))
        await until(lambda: ready(here))
        index.to_fail = True
        await person.ask(UpdatePrompt(prompt_id=prompt.id, name="Marimba"))
        await until(lambda: finds(person, "marimba", 1))
        assert not index.to_fail


async def test_it_is_made_anew_where_most_words_that_it_knows_are_gone(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vocabulary, "WASTEFUL", 40)
    async with searched(mongo) as here:
        person = await here.market.person("olga")
        await until(lambda: ready(here))
        words = " ".join(f"marimba{at}" for at in range(60))
        prompt = await person.ask(CreatePrompt(name="Marimba", description=words))
        await until(lambda: made_anew(here, 2))
        await until(lambda: finds(person, "marimba59", 1))
        await person.ask(ArchivePrompt(prompt_id=prompt.id))
        await until(lambda: finds(person, "marimba59", 0))
        assert here.actor.index().generation == 2


async def made_anew(here: Searched, generation: int) -> bool:
    return await ready(here) and here.actor.index().generation == generation
