"""Development tokens, and the cache of principals."""

from __future__ import annotations

import base64
import json
from typing import Any

import anyio
import pytest

from promptforge.core.identity import NOBODY, Asker, DevelopmentVerifier, IdentityUnavailable, InvalidToken, mint
from promptforge.core.identity.principals import MAX_TOKENS_PER_USER
from promptforge.core.identity.sessions import MAX_AGE_SECONDS
from promptforge.core.identity.tokens import ExpiredToken, RevokedToken
from promptforge.core.principal import Principal, Role
from tests.support.identity import World

pytestmark = pytest.mark.anyio
PROJECT = "demo"


def _crafted(**changes: Any) -> str:
    """A development token with other claims; None leaves one out."""
    head, body, _ = mint("eve", project_id=PROJECT).split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "==")) | changes
    kept = {name: value for name, value in claims.items() if value is not None}
    return f"{head}.{base64.urlsafe_b64encode(json.dumps(kept).encode()).decode().rstrip('=')}."


async def test_a_minted_token_says_who_and_which_roles() -> None:
    token = mint("carla", project_id=PROJECT, roles=[Role.SELLER])
    claims = await DevelopmentVerifier(PROJECT).verify(token)
    assert claims.uid == "carla"
    assert claims.roles == {Role.USER, Role.SELLER}


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b.c",
        "...",
        "é",
        "\udcff",
        "e30.W10.",
        _crafted(aud="other"),
        _crafted(iss="https://example.com/demo"),
        _crafted(sub=None),
        _crafted(sub=""),
        _crafted(sub=5),
        _crafted(sub="x" * 129),
        _crafted(sub="a\x00b"),
        _crafted(exp=None),
        _crafted(exp="soon"),
        _crafted(exp=True),
        _crafted(exp=float("inf")),
        _crafted(iat=None),
        _crafted(iat=9e12),
    ],
)
async def test_a_crafted_token_is_invalid(token: str) -> None:
    with pytest.raises((InvalidToken, ExpiredToken)):
        await DevelopmentVerifier(PROJECT).verify(token)


async def test_an_expired_token_is_expired() -> None:
    with pytest.raises(ExpiredToken):
        await DevelopmentVerifier(PROJECT).verify(mint("eve", project_id=PROJECT, lifetime_seconds=-1))


async def test_unknown_roles_are_left_out() -> None:
    claims = await DevelopmentVerifier(PROJECT).verify(_crafted(roles=["seller", "god", 5, None]))
    assert claims.roles == {Role.USER, Role.SELLER}


async def test_a_token_is_verified_once_a_minute() -> None:
    world = World()
    principals = world.principals()
    assert principals.cached("a") is None
    await principals.resolve("a")
    world.now += 59
    assert principals.cached("a") is not None
    world.now += 2
    assert principals.cached("a") is None


async def test_nothing_is_kept_past_the_tokens_own_expiry() -> None:
    world = World()
    principals = world.principals()
    await principals.resolve("short")
    world.now = 1029.0
    assert principals.cached("short") is not None
    world.now = 1031.0
    assert principals.cached("short") is None


async def test_a_user_who_changed_is_forgotten_with_every_token() -> None:
    world = World()
    principals = world.principals()
    await principals.resolve("a")
    await principals.resolve("b")
    principals.evict("usr_a")
    assert principals.cached("a") is None
    assert principals.cached("b") is not None


async def test_what_was_read_before_a_change_is_not_kept_after_it() -> None:
    world = World()
    principals = world.principals()
    world.during_provision = lambda: principals.evict("usr_a")
    await principals.resolve("a")
    assert principals.cached("a") is None


async def test_nothing_is_served_from_the_cache_while_changes_are_not_heard_of() -> None:
    world = World()
    principals = world.principals()
    await principals.resolve("a")
    world.hearing = False
    assert principals.cached("a") is None


async def test_callers_with_one_token_share_one_verification() -> None:
    world = World()
    principals = world.principals()
    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(principals.resolve, "a")
    assert world.verified == ["a"]


async def test_a_fresh_look_asks_about_revocation_every_time() -> None:
    world = World()
    principals = world.principals()
    await principals.resolve("a")
    await principals.resolve("a", fresh=True)
    await principals.resolve("a", fresh=True)
    assert world.asked == ["a", "a", "a"]


async def test_roles_are_those_of_the_account_and_not_of_the_token() -> None:
    world = World()
    world.roles = frozenset({Role.USER, Role.SELLER})
    assert (await world.principals().resolve("a")).roles == world.roles


async def test_an_api_key_has_the_account_s_roles_of_now_and_its_own_scopes() -> None:
    world = World()
    principals = world.principals()
    world.roles = frozenset({Role.USER, Role.ADMIN})
    key = await principals.resolve("pfk_a")
    assert (key.user_id, key.roles, key.key_id) == ("usr_a", world.roles, "key_a")
    assert key.scopes == frozenset({"prompts:read"})
    world.roles = frozenset({Role.USER})
    assert (await principals.resolve("pfk_a")).roles == {Role.USER, Role.ADMIN}  # asked less than a minute ago
    assert (await principals.resolve("pfk_a", fresh=True)).roles == {Role.USER}
    world.now += MAX_AGE_SECONDS
    assert world.asked == ["a", "a"]
    assert (await principals.resolve("pfk_a")).roles == {Role.USER}
    assert world.asked == ["a"] * 3


async def test_an_api_key_ends_with_its_account_at_once_where_that_matters() -> None:
    world = World()
    principals = world.principals()
    await principals.resolve("pfk_a")
    world.revoked.add("a")
    with pytest.raises(RevokedToken):
        await principals.resolve("pfk_a", fresh=True)
    assert principals.cached("pfk_a") is None
    with pytest.raises(RevokedToken):
        await principals.resolve("pfk_a")


async def test_while_nobody_can_be_asked_a_key_does_what_moves_no_money() -> None:
    world = World()
    world.reachable = False
    principals = world.principals()
    assert (await principals.resolve("pfk_a")).key_id == "key_a"
    with pytest.raises(IdentityUnavailable):
        await principals.resolve("pfk_a", fresh=True)


async def test_who_signs_in_does_so_under_the_ids_of_their_request() -> None:
    world = World()
    principals = world.principals()
    await principals.resolve("a", asker=Asker("req_1", "trace"))
    await principals.resolve("pfk_b", asker=Asker("req_2"))
    assert world.askers == [("req_1", "trace"), ("req_2", "")]


async def test_a_token_that_was_good_is_no_guess_even_when_it_has_to_be_judged_again() -> None:
    world = World()
    principals = world.principals()
    assert not principals.knows("a")
    for token in ("a", "pfk_b"):
        await principals.resolve(token)
    world.now += MAX_AGE_SECONDS
    assert principals.cached("a") is None
    assert principals.knows("a")
    assert principals.knows("pfk_b")


async def test_one_users_many_tokens_do_not_pile_up() -> None:
    world = World()
    principals = world.principals()
    for number in range(MAX_TOKENS_PER_USER * 3):
        world.now += 61  # each is forgotten before the next
        await principals._find(f"t{number}", str(number).encode(), fresh=False, asker=NOBODY)
        principals._by_owner["usr_same"] = principals._by_owner.pop(f"usr_t{number}") | principals._by_owner.pop(
            "usr_same", set()
        )
        principals._remember(str(number).encode(), Principal("usr_same", "same"), world.now + 60)
    assert len(principals._by_owner["usr_same"]) <= MAX_TOKENS_PER_USER + 1
