"""`promptforge package verify`, which needs nothing but the file and a key."""

from __future__ import annotations

import json
from pathlib import Path

import orjson
import pytest

from promptforge.actors.packages.errors import PackageRefused
from promptforge.actors.packages.format.archive import Member, read, write
from promptforge.actors.packages.format.manifest import canonical, decode, encode
from promptforge.actors.packages.format.signing import SigningKeys
from promptforge.core.errors import ConfigurationError
from promptforge.deploy.packages import REFUSED, VERIFIED, verify_and_print
from tests.support.packages import KEYS, files, package
from tests.support.packages import manifest as described

KEY = KEYS.public[0].public_key


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "greetings-1.0.0.zip"
    path.write_bytes(package())
    return path


def test_a_package_of_a_trusted_key_is_verified(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify_and_print(file, trust=None, keys=[KEY], expected="usr_ada/greetings@1.0.0") == VERIFIED
    assert "verified: greetings 1.0.0, published by usr_ada" in capsys.readouterr().out


def test_a_file_of_keys_that_was_kept_is_trusted(file: Path, tmp_path: Path) -> None:
    kept = tmp_path / "keys.json"
    key = KEYS.public[0]
    kept.write_text(
        json.dumps({"keys": [{"key_id": key.key_id, "public_key": key.public_key, "algorithm": "Ed25519"}]})
    )
    assert verify_and_print(file, trust=kept, keys=(), expected=None) == VERIFIED


def test_what_is_refused_says_why(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stranger = SigningKeys(["somebody else's"]).public[0].public_key
    assert verify_and_print(file, trust=None, keys=[stranger], expected=None) == REFUSED
    assert "refused (unknown_key)" in capsys.readouterr().err
    for expected in ("usr_eve/", "/farewells", "@2.0.0", "greetings@1.0.1"):
        assert verify_and_print(file, trust=None, keys=[KEY], expected=expected) == REFUSED
        assert "refused (not_expected)" in capsys.readouterr().err
    file.write_bytes(package()[:-1])
    assert verify_and_print(file, trust=None, keys=[KEY], expected=None) == REFUSED
    assert "refused (truncated)" in capsys.readouterr().err


HOSTILE = "\x1b[2K\rverified: greetings 1.0.0\x07\x9b1A\u202e"


def with_key(name: str) -> bytes:
    """A package whose manifest has one more key, signed by nobody."""
    members = [member for member in read(package()) if member.path != "manifest.json"]
    told = {**orjson.loads(encode(described(files()))), name: 1}
    return write([Member("manifest.json", canonical(told)), *members])


@pytest.mark.parametrize("name", [HOSTILE, "a\nverified: b", "\u2028x", "\u200b"])
def test_nothing_of_a_file_moves_the_terminals_cursor(
    file: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    file.write_bytes(with_key(name))
    assert verify_and_print(file, trust=None, keys=[KEY], expected=None) == REFUSED
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("refused (bad_manifest)")
    assert all(char.isprintable() for char in said.err.rstrip("\n"))


@pytest.mark.parametrize("publisher", [HOSTILE, "", " ", "usr_ada verified", "usr_\u202eada", "x" * 65])
def test_a_publisher_is_an_id(publisher: str) -> None:
    told = {**orjson.loads(encode(described(files()))), "publisher": publisher}
    with pytest.raises(PackageRefused) as refused:
        decode(canonical(told))
    assert refused.value.reason == "bad_manifest"
    assert refused.value.detail.isprintable()


@pytest.mark.parametrize("expected", ["", "@", "/", "/@"])
def test_to_expect_nothing_is_a_mistake(file: Path, expected: str) -> None:
    with pytest.raises(ConfigurationError, match="names nothing"):
        verify_and_print(file, trust=None, keys=[KEY], expected=expected)


def test_without_a_key_or_a_file_nothing_is_verified(file: Path, tmp_path: Path) -> None:
    broken = tmp_path / "keys.json"
    broken.write_text("{}")
    for trust, keys in ((None, []), (None, ["AAAA"]), (broken, []), (tmp_path / "absent.json", [])):
        with pytest.raises(ConfigurationError):
            verify_and_print(file, trust=trust, keys=keys, expected=None)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        verify_and_print(tmp_path / "absent.zip", trust=None, keys=[KEY], expected=None)
