"""Handles: one person has each, and each that looks like it; old ones lead to who had them."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import anyio
import pytest

from promptforge.actors.accounts.messages import RequestDeletion
from promptforge.actors.users.errors import HandleMoved
from promptforge.actors.users.messages import GetMe, GetPublicProfile, UpdateProfile
from promptforge.core.context import Context
from promptforge.core.mongo import Mongo
from tests.integration.accounts.lives import erased, time_has_come
from tests.integration.marketplace.branches import Branches, all_at_once
from tests.support.market import raised

pytestmark = pytest.mark.anyio


async def test_one_that_looks_like_anothers_is_taken(branches: Branches) -> None:
    ada, eve = await branches.here.person("ada"), await branches.here.person("eve")
    await ada.ask(UpdateProfile(handle="ada-lovelace"))
    for handle in ("Ada-Lovelace", "ada_lovelace", "ada-1ovelace", "ada-l0velace"):
        assert await raised(eve, UpdateProfile(handle=handle)) == "handle_taken"
    assert (await eve.ask(UpdateProfile(handle="ada-byron"))).handle == "ada-byron"


async def test_one_that_looks_like_a_reserved_one_is_reserved(branches: Branches) -> None:
    eve = await branches.here.person("eve")
    for handle in ("adm1n", "m0derator", "5upport", "prornptforge", "adm1n-eve"):
        assert await raised(eve, UpdateProfile(handle=handle)) == "invalid_request", handle


async def test_ones_own_can_be_spelt_otherwise(branches: Branches) -> None:
    ada = await branches.here.person("ada")
    await ada.ask(UpdateProfile(handle="ada-l"))
    assert (await ada.ask(UpdateProfile(handle="ada_l"))).handle == "ada_l"
    with pytest.raises(HandleMoved) as moved:
        await ada.ask(GetPublicProfile(handle="ada-l"))
    assert moved.value.location == "ada_l"


async def test_an_old_one_leads_to_who_had_it_and_is_nobody_elses_for_a_while(branches: Branches, mongo: Mongo) -> None:
    ada, eve = await branches.here.person("ada"), await branches.here.person("eve")
    for handle in ("first", "second", "third"):
        await ada.ask(UpdateProfile(handle=handle))
    for old in ("first", "SECOND"):
        with pytest.raises(HandleMoved) as moved:
            await eve.ask(GetPublicProfile(handle=old))
        assert moved.value.location == "third"
    assert await raised(eve, UpdateProfile(handle="first")) == "handle_taken"
    assert await raised(eve, UpdateProfile(handle="f1rst")) == "handle_taken"
    assert (await ada.ask(UpdateProfile(handle="first"))).handle == "first", "but it is still theirs"
    await ada.ask(UpdateProfile(handle=None))
    assert await raised(eve, GetPublicProfile(handle="first")) == "not_found"
    long_ago = datetime.now(UTC) - timedelta(days=91)
    await mongo.collection("handles").update_many({}, {"$set": {"given_up_at": long_ago}})
    assert await raised(eve, GetPublicProfile(handle="second")) == "not_found"
    assert (await eve.ask(UpdateProfile(handle="first"))).handle == "first"


async def test_it_does_not_matter_where_a_pair_of_letters_begins(branches: Branches) -> None:
    ada, eve = await branches.here.person("ada"), await branches.here.person("eve")
    await ada.ask(UpdateProfile(handle="vw-fan"))
    for handle in ("vvv-fan", "wv-fan"):
        assert await raised(eve, UpdateProfile(handle=handle)) == "handle_taken"


async def test_five_are_kept_for_one_person_and_no_more(branches: Branches, mongo: Mongo) -> None:
    """Otherwise somebody could take names that others want, one by one, and each were theirs for three months."""
    ada = await branches.here.person("ada")
    for number in range(6):
        await ada.ask(UpdateProfile(handle=f"name-{number}x"))
    assert await raised(ada, UpdateProfile(handle="one-more")) == "too_many_handles"
    assert await raised(ada, UpdateProfile(handle="name-5x", bio="The same")) == "done"
    assert (await ada.ask(UpdateProfile(handle="name_5x"))).handle == "name_5x", "it is the same one"
    assert (await ada.ask(UpdateProfile(handle=None))).handle is None, "one can always have none"
    assert await raised(ada, UpdateProfile(handle="one-more")) == "too_many_handles"
    assert (await ada.ask(UpdateProfile(handle="name-0x"))).handle == "name-0x", "one of those that are kept"
    long_ago = datetime.now(UTC) - timedelta(days=91)
    past = {"$set": {"given_up_at": long_ago}}
    await mongo.collection("handles").update_many({"spellings": {"$in": ["name-1x", "name-2x"]}}, past)
    assert (await ada.ask(UpdateProfile(handle="one-more"))).handle == "one-more"


async def test_of_renames_at_once_no_more_are_kept(branches: Branches, mongo: Mongo) -> None:
    here, there = await branches.person("ada")
    await here.ask(UpdateProfile(handle="name-0x"))
    asks = [((here, there)[number % 2], UpdateProfile(handle=f"other-{number}x")) for number in range(12)]
    outcomes = await all_at_once(asks)
    assert outcomes["done"] == 5
    assert await mongo.collection("handles").count_documents({"given_up_at": {"$ne": None}}) == 5


async def test_an_erased_one_is_nobodys_for_a_while_and_then_anybodys(branches: Branches, mongo: Mongo) -> None:
    ada, eve = await branches.here.person("ada"), await branches.here.person("eve")
    await ada.ask(UpdateProfile(handle="ada-lovelace"))
    await ada.ask(RequestDeletion())
    await erased(branches, ada.user_id)
    for handle in ("ada-lovelace", "ada_l0velace"):
        assert await raised(eve, UpdateProfile(handle=handle)) == "handle_taken"
    (hold,) = await mongo.collection("held_handles").find({}).to_list(None)
    assert "lovelace" not in str(hold), "what is kept names nobody"
    await time_has_come(branches, ada.user_id)
    assert await mongo.collection("held_handles").find({}).to_list(None) == [hold], "a second look prolongs nothing"
    past = datetime.now(UTC) - timedelta(seconds=1)
    await mongo.collection("held_handles").update_many({}, {"$set": {"until": past}})
    assert (await eve.ask(UpdateProfile(handle="ada-lovelace"))).handle == "ada-lovelace"


async def test_of_many_who_want_what_looks_alike_one_gets_it(branches: Branches) -> None:
    spellings = ("ada-lovelace", "ada_lovelace", "ada-1ovelace", "ada-l0velace", "ada-Iovelace", "ada-iovelace")
    people: list[Context] = []
    for number, _ in enumerate(spellings):
        here, there = await branches.person(f"person{number}")
        people.append(here if number % 2 else there)
    outcomes = Counter[str]()

    async def want(person: Context, handle: str) -> None:
        outcomes[await raised(person, UpdateProfile(handle=handle))] += 1

    async with anyio.create_task_group() as tasks:
        for person, handle in zip(people, spellings, strict=True):
            tasks.start_soon(want, person, handle)
    assert outcomes == {"done": 1, "handle_taken": len(spellings) - 1}
    assert sum([(await person.ask(GetMe())).handle is not None for person in people]) == 1
