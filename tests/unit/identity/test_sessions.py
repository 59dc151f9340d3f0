"""Revoked, disabled, deleted: how soon that counts, and what counts while nobody can be asked."""

from __future__ import annotations

import pytest

from promptforge.core.identity import IdentityUnavailable
from promptforge.core.identity.sessions import MAX_AGE_SECONDS, PAUSE_SECONDS
from promptforge.core.identity.tokens import RevokedToken
from tests.support.identity import World

pytestmark = pytest.mark.anyio


async def test_a_revoked_session_is_refused_within_a_minute() -> None:
    world = World()
    principals = world.principals()
    await principals.resolve("a")
    world.revoked.add("a")
    world.now += MAX_AGE_SECONDS
    assert principals.cached("a") is None
    with pytest.raises(RevokedToken):
        await principals.resolve("a")


async def test_the_minute_begins_with_the_question_however_late_the_answer() -> None:
    world = World()
    principals = world.principals()

    def slowly() -> None:
        world.now += 20

    world.during_check = slowly
    await principals.resolve("a")
    world.now += MAX_AGE_SECONDS - 20
    assert principals.cached("a") is None


async def test_where_a_fresh_look_was_refused_nothing_else_passes_either() -> None:
    world = World()
    principals = world.principals()
    await principals.resolve("a")
    world.revoked.add("a")
    with pytest.raises(RevokedToken):
        await principals.resolve("a", fresh=True)
    assert principals.cached("a") is None
    with pytest.raises(RevokedToken):
        await principals.resolve("a")


async def test_an_account_that_is_enabled_again_is_let_in_after_a_minute() -> None:
    world = World()
    principals = world.principals()
    world.revoked.add("a")
    with pytest.raises(RevokedToken):
        await principals.resolve("a")
    world.revoked.clear()
    world.now += MAX_AGE_SECONDS
    assert (await principals.resolve("a", fresh=True)).uid == "a"


@pytest.mark.parametrize("fresh", [False, True])
async def test_a_refused_token_cannot_make_us_ask_without_end(*, fresh: bool) -> None:
    world = World()
    principals = world.principals()
    world.revoked.add("a")
    for _ in range(20):
        with pytest.raises(RevokedToken):
            await principals.resolve("a", fresh=fresh)
    assert world.asked == ["a"]


async def test_users_who_change_and_a_silent_change_stream_are_no_reason_to_ask_again() -> None:
    world = World()
    principals = world.principals()
    await principals.resolve("a")
    world.suspended = True
    principals.evict("usr_a")
    assert (await principals.resolve("a")).suspended
    world.hearing = False
    await principals.resolve("a")
    assert world.asked == ["a"]


async def test_an_outage_signs_nobody_out_and_moves_no_money() -> None:
    world = World()
    principals = world.principals()
    await principals.resolve("known")
    world.reachable = False
    world.now += MAX_AGE_SECONDS
    assert (await principals.resolve("known")).uid == "known"
    assert (await principals.resolve("new")).uid == "new"
    for token in ("known", "new"):
        with pytest.raises(IdentityUnavailable):
            await principals.resolve(token, fresh=True)


async def test_an_outage_lets_nobody_back_in() -> None:
    world = World()
    principals = world.principals()
    world.revoked.add("a")
    with pytest.raises(RevokedToken):
        await principals.resolve("a")
    world.reachable = False
    for _ in range(5):
        world.now += MAX_AGE_SECONDS
        with pytest.raises(RevokedToken):
            await principals.resolve("a")


async def test_during_an_outage_most_do_not_wait_for_an_answer() -> None:
    world = World()
    principals = world.principals()
    world.reachable = False
    for number in range(20):
        await principals.resolve(str(number))
    assert world.asked == ["0"]
    world.now += PAUSE_SECONDS
    await principals.resolve("later")
    assert world.asked == ["0", "later"]


async def test_a_minute_after_an_outage_revocation_counts_again() -> None:
    world = World()
    principals = world.principals()
    world.reachable = False
    await principals.resolve("first")
    world.now += PAUSE_SECONDS - 1
    await principals.resolve("a")
    world.reachable = True
    world.revoked.add("a")
    world.now += MAX_AGE_SECONDS
    assert principals.cached("a") is None
    with pytest.raises(RevokedToken):
        await principals.resolve("a")
