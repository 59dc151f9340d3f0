from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from promptforge.core.identity.firebase import FirebaseVerifier
from tests.support.google import Clock, Google, SigningKey, google, production_verifier


@pytest.fixture(scope="session")
def key() -> SigningKey:
    return SigningKey("one")


@pytest.fixture(scope="session")
def next_key() -> SigningKey:
    return SigningKey("two")


@pytest.fixture
def source(key: SigningKey) -> Iterator[Google]:
    with google() as stand_in:
        stand_in.serve(key)
        yield stand_in


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def verifier(source: Google, key: SigningKey, tmp_path: Path, clock: Clock) -> Iterator[FirebaseVerifier]:
    with production_verifier(source, key, tmp_path, clock) as verifier:
        yield verifier
