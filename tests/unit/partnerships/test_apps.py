"""Which secrets are good for an app."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from promptforge.actors.partnerships.apps.domain import OLD_SECRET_LASTS, SECRET, App, is_secret_of
from promptforge.actors.partnerships.errors import ScopeNotGranted
from promptforge.core.credentials import digest_of

NOW = datetime(2026, 11, 26, tzinfo=UTC)


def app(secret: str) -> App:
    return App(
        id="app_1",
        partner_id="ptn_1",
        owner="usr_1",
        slot=0,
        name="Review site",
        scopes=("listings:read", "prompts:read"),
        prefix=secret[:12],
        digest=digest_of(secret),
        old_digest=None,
        old_until=None,
        rotated_at=None,
        last_used_at=None,
        created_at=NOW,
        updated_at=NOW,
    )


def test_the_secret_before_lasts_a_day_and_the_one_before_that_ends() -> None:
    first, second, third = SECRET.new(), SECRET.new(), SECRET.new()
    rotated = app(first).rotated(second, leaked=False, now=NOW)
    last = NOW + OLD_SECRET_LASTS - timedelta(milliseconds=1)
    assert [is_secret_of(rotated, secret, last) for secret in (first, second, third)] == [True, True, False]
    assert [is_secret_of(rotated, secret, NOW + OLD_SECRET_LASTS) for secret in (first, second)] == [False, True]
    again = rotated.rotated(third, leaked=False, now=NOW)
    assert [is_secret_of(again, secret, NOW) for secret in (first, second, third)] == [False, True, True]
    leaked = rotated.rotated(third, leaked=True, now=NOW)
    assert [is_secret_of(leaked, secret, NOW) for secret in (first, second, third)] == [False, False, True]


def test_nothing_is_the_secret_of_no_app_nor_of_one_that_has_another() -> None:
    for given in ("", "x", "app_1", "\udcff"):
        assert not is_secret_of(None, given, NOW)
        assert not is_secret_of(app(SECRET.new()), given, NOW)


def test_a_token_has_the_scopes_that_were_asked_for_once_each() -> None:
    mine = app(SECRET.new())
    assert mine.granted(None) == mine.scopes
    assert mine.granted(("prompts:read", "prompts:read")) == ("prompts:read",)
    for beyond in (("prompts:write",), ("prompts:read", "*"), ()):
        with pytest.raises(ScopeNotGranted):
            mine.granted(beyond)


def test_secrets_of_one_kind_are_none_of_another() -> None:
    secret = SECRET.new()
    assert SECRET.fits(secret)
    assert not SECRET.fits(secret.replace("pfs_", "pfa_"))
    assert not SECRET.fits(secret[:-1])
    assert not SECRET.fits(secret + "\n")
