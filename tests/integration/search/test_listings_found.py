"""What the market is told by the index is remembered as long as it is what the index would say, and can be trusted."""

from __future__ import annotations

import gc

import pytest

from promptforge.actors.search.messages import FindListings, FoundListings
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Role
from tests.support.searching import Searched, ready, searched, until

pytestmark = pytest.mark.anyio

ASKED = FindListings(q="accordion")


def at_hand(here: Searched) -> FoundListings | None:
    process = here.market.process
    return process.system.at_hand(ASKED, process.context())


async def test_it_is_the_same_until_the_index_finds_something_else(mongo: Mongo) -> None:
    async with searched(mongo) as here:
        here.feed.trusted = True
        seller, visitor = await here.market.person("ada", Role.SELLER), here.market.process.context()

        async def found_and_known(*listing_ids: str) -> bool:
            found = await visitor.ask(ASKED)
            return set(found.ids) == set(listing_ids) and at_hand(here) is found

        first = await here.market.published(seller, "Accordion letters")
        await until(lambda: found_and_known(first.id))
        assert await visitor.ask(ASKED) is at_hand(here)
        second = await here.market.published(seller, "Accordion tuning")
        await until(lambda: found_and_known(first.id, second.id))


async def test_while_the_index_is_not_known_to_be_fresh_nothing_is_at_hand(mongo: Mongo) -> None:
    async with searched(mongo) as here:
        here.feed.trusted = True
        visitor = here.market.process.context()
        await until(lambda: ready(here))

        async def known() -> bool:
            return await visitor.ask(ASKED) is at_hand(here)

        await until(known)
        here.memory.found.untold_seconds = lambda: 3.0
        assert at_hand(here) is None
        behind = await visitor.ask(ASKED)
        here.memory.found.untold_seconds = lambda: 0.0
        assert at_hand(here) is not behind, "what was said meanwhile says how fresh it was"


async def test_what_it_was_made_of_is_not_held_beside_what_is_counted(mongo: Mongo) -> None:
    """Each hit is some kilobytes, and a page has a hundred."""
    async with searched(mongo) as here:
        here.feed.trusted = True
        seller, visitor = await here.market.person("ada", Role.SELLER), here.market.process.context()
        await here.market.published(seller, "Accordion letters")

        async def known() -> bool:
            return await visitor.ask(ASKED) is at_hand(here)

        await until(known)
        serving = here.actor._engine.serving
        assert serving is not None
        (made_of,) = [known.basis for known in serving.listings._known.values()]
        assert made_of[1]() is not None
        serving.answers._known.clear()
        gc.collect()
        assert made_of[1]() is None
