"""Production identity: real RS256 tokens, verified by firebase-admin against certificates from a loopback server."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from promptforge.core.errors import ConfigurationError
from promptforge.core.identity import IdentityUnavailable, InvalidToken, firebase, mint
from promptforge.core.identity.certificates import EARLY_SECONDS, RETRY_SECONDS
from promptforge.core.identity.firebase import FirebaseVerifier
from promptforge.core.identity.tokens import ExpiredToken, RevokedToken
from promptforge.core.principal import Role
from tests.support.google import PROJECT, Clock, Google, SigningKey, claims_of

pytestmark = pytest.mark.anyio
HOUR = 3600.0


def forged(algorithm: str, secret: str | None = None, *, key_id: str = "one") -> str:
    """A good token's claims under another algorithm, signed with `secret` if there is one."""

    def segment(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    signed = f"{segment({'alg': algorithm, 'typ': 'JWT', 'kid': key_id})}.{segment(claims_of('carla'))}"
    if secret is None:
        return f"{signed}."
    signature = hmac.digest(secret.encode(), signed.encode(), hashlib.sha256)
    return f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


async def test_a_token_signed_by_a_known_key_is_verified(verifier: FirebaseVerifier, key: SigningKey) -> None:
    claims = await verifier.verify(key.token())
    assert claims.uid == "carla"
    assert claims.roles == {Role.USER, Role.SELLER}


async def test_an_expired_token_is_expired(verifier: FirebaseVerifier, key: SigningKey) -> None:
    with pytest.raises(ExpiredToken):
        await verifier.verify(key.token(exp=int(time.time()) - 60, iat=int(time.time()) - 600))


async def test_whatever_is_wrong_with_a_token_it_is_invalid(
    verifier: FirebaseVerifier, key: SigningKey, next_key: SigningKey
) -> None:
    head, body, signature = key.token().split(".")
    for token in (
        key.token(aud="another"),
        key.token(iss="https://securetoken.google.com/another"),
        key.token(iat=int(time.time()) + 300),
        key.token(sub=""),
        key.token(sub=5),
        key.token(key_id="unknown"),
        next_key.token(key_id="one"),
        mint("carla", project_id=PROJECT),
        f"{head}.{body}.{signature[:-8]}AAAAAAAA",
        f"{head}.{body}.",
        f"{head}.{next_key.token('mallory').split('.')[1]}.{signature}",
        "",
        "a.b.c",
        "é",
    ):
        with pytest.raises(InvalidToken):
            await verifier.verify(token)


@pytest.mark.parametrize("algorithm", ["none", "None", "HS256", "RS512", "ES256"])
async def test_a_forged_algorithm_is_invalid_even_signed_with_what_is_public(
    verifier: FirebaseVerifier, key: SigningKey, algorithm: str
) -> None:
    for secret in (None, key.certificate, ""):
        with pytest.raises(InvalidToken):
            await verifier.verify(forged(algorithm, secret))


# Certificates


async def test_certificates_are_fetched_once_for_as_long_as_they_may_be_kept(
    verifier: FirebaseVerifier, key: SigningKey, source: Google, clock: Clock
) -> None:
    for _ in range(5):
        await verifier.verify(key.token())
    clock.now += HOUR - 1
    await verifier.verify(key.token())
    assert source.fetches == 1
    clock.now += 1
    await verifier.verify(key.token())
    assert source.fetches == 2


async def test_many_first_requests_fetch_the_certificates_once(
    verifier: FirebaseVerifier, key: SigningKey, source: Google
) -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(verifier.verify, key.token())
    assert source.fetches == 1


async def test_a_new_key_is_accepted_as_soon_as_it_is_served(
    verifier: FirebaseVerifier, key: SigningKey, next_key: SigningKey, source: Google, clock: Clock
) -> None:
    await verifier.verify(key.token())
    source.serve(key, next_key)
    clock.now += EARLY_SECONDS
    assert (await verifier.verify(next_key.token())).uid == "carla"
    assert (await verifier.verify(key.token())).uid == "carla"


async def test_a_withdrawn_key_is_refused_once_its_certificate_may_no_longer_be_kept(
    verifier: FirebaseVerifier, key: SigningKey, next_key: SigningKey, source: Google, clock: Clock
) -> None:
    await verifier.verify(key.token())
    source.serve(next_key)
    clock.now += HOUR
    with pytest.raises(InvalidToken):
        await verifier.verify(key.token())
    assert (await verifier.verify(next_key.token())).uid == "carla"


async def test_made_up_key_ids_cannot_make_us_fetch_without_end(
    verifier: FirebaseVerifier, key: SigningKey, source: Google, clock: Clock
) -> None:
    await verifier.verify(key.token())
    clock.now += EARLY_SECONDS
    for number in range(20):
        with pytest.raises(InvalidToken):
            await verifier.verify(forged("RS256", "any", key_id=f"made-up-{number}"))
    assert source.fetches == 2


async def test_certificates_that_cannot_be_fetched_are_an_outage_and_no_verdict(
    verifier: FirebaseVerifier, key: SigningKey, source: Google, clock: Clock
) -> None:
    source.down = True
    for _ in range(5):
        with pytest.raises(IdentityUnavailable):
            await verifier.verify(key.token())
    assert source.fetches == 1
    source.down = False
    clock.now += RETRY_SECONDS
    assert (await verifier.verify(key.token())).uid == "carla"


async def test_a_source_without_certificates_is_an_outage_too(
    verifier: FirebaseVerifier, key: SigningKey, source: Google
) -> None:
    source.serve()
    with pytest.raises(IdentityUnavailable):
        await verifier.verify(key.token())


async def test_while_the_source_is_down_held_certificates_count_and_unknown_keys_are_undecided(
    verifier: FirebaseVerifier, key: SigningKey, next_key: SigningKey, source: Google, clock: Clock
) -> None:
    await verifier.verify(key.token())
    source.down = True
    clock.now += EARLY_SECONDS
    for _ in range(5):
        with pytest.raises(IdentityUnavailable):
            await verifier.verify(next_key.token())
        assert (await verifier.verify(key.token())).uid == "carla"
    assert source.fetches == 2


# Sessions


@pytest.mark.parametrize("account", [{"disabled": True}, None], ids=["disabled", "deleted"])
async def test_who_is_disabled_or_deleted_has_no_session(
    verifier: FirebaseVerifier, key: SigningKey, source: Google, account: dict[str, Any] | None
) -> None:
    source.accounts["carla"] = account
    claims = await verifier.verify(key.token())
    with pytest.raises(RevokedToken):
        await verifier.check_session(claims)


async def test_a_revocation_ends_the_sessions_before_it(
    verifier: FirebaseVerifier, key: SigningKey, source: Google
) -> None:
    claims = await verifier.verify(key.token())
    source.accounts["carla"] = {"validSince": str(int(claims.issued_at))}
    await verifier.check_session(claims)
    source.accounts["carla"] = {"validSince": str(int(claims.issued_at) + 1)}
    with pytest.raises(RevokedToken):
        await verifier.check_session(claims)


@pytest.mark.parametrize("status", [400, 403, 404, 429])
async def test_an_answer_that_is_none_says_nothing_about_the_session(
    verifier: FirebaseVerifier, key: SigningKey, source: Google, status: int
) -> None:
    source.look_up_status = status
    with pytest.raises(IdentityUnavailable):
        await verifier.check_session(await verifier.verify(key.token()))


async def test_nobody_waits_long_for_an_answer(
    verifier: FirebaseVerifier, key: SigningKey, source: Google, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(firebase, "LOOK_UP_SECONDS", 0.1)
    source.hold_look_ups = answers = threading.Event()
    try:
        with pytest.raises(IdentityUnavailable):
            await verifier.check_session(await verifier.verify(key.token()))
    finally:
        answers.set()


async def test_without_credentials_there_is_no_production_identity(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="GOOGLE_APPLICATION_CREDENTIALS"):
        FirebaseVerifier(PROJECT)
    with pytest.raises(ConfigurationError, match="cannot be used"):
        FirebaseVerifier(PROJECT, credentials_file=tmp_path / "nothing.json")


# Roles


async def test_roles_are_written_beside_the_claims_of_others_and_not_again(
    verifier: FirebaseVerifier, source: Google
) -> None:
    source.accounts["carla"] = {"customAttributes": json.dumps({"tier": "gold", "roles": ["user"]})}
    await verifier.put_roles("carla", ["user", "seller"])
    await verifier.put_roles("carla", ["user", "seller"])
    assert source.updates == [{"tier": "gold", "roles": ["user", "seller"]}]


async def test_roles_of_an_account_that_is_gone_are_nobodys(verifier: FirebaseVerifier, source: Google) -> None:
    source.accounts["carla"] = None
    await verifier.put_roles("carla", ["user"])
    assert source.updates == []


async def test_a_write_of_roles_that_is_given_up_ends_before_a_newer_one_begins(
    verifier: FirebaseVerifier, source: Google
) -> None:
    """Google is slow with the older one, and its job's time is over meanwhile; the newer one comes right after it."""
    source.hold = held_back = threading.Event()
    older = anyio.CancelScope()

    async def one_after_the_other() -> None:
        with older:
            await verifier.put_roles("carla", ["user", "seller"])
        await verifier.put_roles("carla", ["user"])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one_after_the_other)
        assert await anyio.to_thread.run_sync(source.held.wait, 20)
        older.cancel()
        with anyio.move_on_after(0.5):  # time enough for a newer one that does not wait
            while not source.updates:
                await anyio.sleep(0.01)
        held_back.set()
    with anyio.fail_after(60):
        while len(source.updates) < 2:
            await anyio.sleep(0.01)
    assert [claims["roles"] for claims in source.updates] == [["user", "seller"], ["user"]]
