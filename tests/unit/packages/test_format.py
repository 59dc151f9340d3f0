"""What a package is made of, and that its bytes depend on nothing else."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import jsonschema_rs
import pytest

from promptforge.actors.packages.errors import PackageRefused
from promptforge.actors.packages.format import manifest as manifests
from promptforge.actors.packages.format.names import name_key, parse_version
from promptforge.actors.packages.format.package import contents_of, verify
from promptforge.actors.packages.format.signing import PublicKey, SigningKeys, TrustedKeys, keys_from, public_key
from tests.support.packages import DATASET, KEYS, PROMPT, README, TRUSTED, files, manifest, package

ROOT = Path(__file__).resolve().parents[3]
GOLDEN = "f317b7836d99e9f406beb09c6afc4f2193dd5107cb0953d4e0c96aa8be086f6c"
"""Of the package of `tests/support/packages.py`. It never changes: what is built again would be other bytes.
"""


def test_a_package_is_the_same_bytes_as_ever() -> None:
    assert hashlib.sha256(package()).hexdigest() == GOLDEN


def test_the_keys_of_a_manifest_are_in_order_at_every_level() -> None:
    def in_order(pairs: list[tuple[str, object]]) -> dict[str, object]:
        names = [name for name, _ in pairs]
        assert names == sorted(names)
        seen.append(len(names))
        return dict(pairs)

    seen: list[int] = []
    json.loads(manifests.encode(manifest(files())), object_pairs_hook=in_order)
    assert len(seen) > 4, "objects within others are looked at too"


@pytest.mark.parametrize(
    "surroundings",
    [
        {"TZ": "Pacific/Auckland", "PYTHONHASHSEED": "1", "LC_ALL": "C"},
        {"TZ": "America/New_York", "PYTHONHASHSEED": "4242", "LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8"},
    ],
    ids=["auckland", "new-york"],
)
def test_another_process_elsewhere_makes_the_same_bytes(surroundings: dict[str, str]) -> None:
    script = (
        "import os, sys; os.umask(0o077); import promptforge.deploy.features; "
        "from tests.support import packages as p; sys.stdout.buffer.write(p.package())"
    )
    made = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env={**os.environ, **surroundings}, capture_output=True, check=True
    )
    assert hashlib.sha256(made.stdout).hexdigest() == GOLDEN


def test_a_package_is_verified_and_read() -> None:
    found = verify(package(), TRUSTED)
    assert (found.manifest.publisher, found.manifest.name, found.manifest.version) == ("usr_ada", "greetings", "1.0.0")
    assert found.key_id == KEYS.public[0].key_id
    contents = contents_of(found)
    assert contents.readme == "# Greetings\n"
    assert [prompt.name for prompt in contents.prompts] == ["Greeting"]
    assert contents.datasets[0].items[0].variables == {"name": "Ada"}


def test_any_zip_tool_reads_a_package() -> None:
    with zipfile.ZipFile(io.BytesIO(package())) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["manifest.json", "signature.json", *sorted([DATASET, PROMPT, README])]
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        assert json.loads(archive.read("manifest.json"))["schema_version"] == 1


def test_the_published_schema_takes_what_is_built_and_is_the_one_in_the_documentation() -> None:
    schema = manifests.json_schema()
    checker = jsonschema_rs.Draft202012Validator(schema)
    told = json.loads(manifests.encode(manifest(files())))
    assert checker.is_valid(told)
    for wrong in ({**told, "schema_version": 2}, {**told, "more": 1}, {**told, "name": "No Name"}):
        assert not checker.is_valid(wrong)
    page = (ROOT / "docs" / "package-format.md").read_text()
    written = page.partition('```json\n{\n  "$schema"')[2].partition("\n```")[0]
    assert json.loads('{"$schema"' + written) == schema


def test_whoever_rotates_keys_signs_with_the_new_one_and_trusts_both() -> None:
    rotated = SigningKeys(["a newer secret", "a secret that is for tests only"])
    trusted = TrustedKeys(rotated.public)
    assert verify(package(), trusted).key_id == KEYS.public[0].key_id
    assert verify(package(keys=rotated), trusted).key_id == rotated.public[0].key_id != KEYS.public[0].key_id
    with pytest.raises(PackageRefused) as refused:
        verify(package(keys=rotated), TRUSTED)
    assert refused.value.reason == "unknown_key"


def test_a_key_goes_by_its_own_id_only() -> None:
    theirs = SigningKeys(["somebody else's"]).public[0]
    with pytest.raises(ValueError, match="not the one of that id"):
        TrustedKeys([PublicKey(KEYS.public[0].key_id, theirs.public_key)])
    assert public_key(theirs.public_key) == theirs
    for wrong in ("", "AAAA", theirs.public_key + "=", "é", theirs.public_key[:-2] + "F="):
        with pytest.raises(ValueError, match="32 bytes"):
            public_key(wrong)
    kept = json.dumps({"keys": [{"key_id": theirs.key_id, "public_key": theirs.public_key, "current": True}]})
    assert keys_from(kept.encode()) == [theirs]
    for nothing in (b"", b"[]", b'{"keys": 1}', b'{"keys": [1]}', b'{"keys": [{}]}'):
        with pytest.raises(ValueError, match="This is not"):
            keys_from(nothing)


@pytest.mark.parametrize("text", ["1.0.0", "0.0.1", "2.10.3-rc.1", "1.0.0-alpha.beta-2", "999999999.0.0"])
def test_semantic_versions_are_taken(text: str) -> None:
    assert str(parse_version(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "1",
            "1.0",
            "v1.0.0",
            "01.0.0",
            "1.0.0+build",
            "1.0.0-",
            "1.0.0-01",
            "1.0.0 ",
            "1.0.0\n",
            "1000000000.0.0",
        ),
        *("-1.0.0", "1.0.0-é", "١.٠.٠", "1.0.0-rc..1", "1.0.0.0"),
    ],
)
def test_other_versions_are_not(text: str) -> None:
    with pytest.raises(ValueError, match="must"):
        parse_version(text)


def test_names_that_look_alike_are_one() -> None:
    assert name_key("news-kit") == name_key("newskit") == name_key("new5-k1t")
    assert name_key("cool") == name_key("c00l")
    assert name_key("corner") == name_key("comer")
    assert name_key("news-kit") != name_key("views-kit")


def test_contents_that_are_not_what_the_manifest_tells_of_are_refused() -> None:
    told = manifest(files())
    another = replace(told.prompts[0], name="Farewell")
    with pytest.raises(PackageRefused) as refused:
        contents_of(verify(package(prompts=(another,)), TRUSTED))
    assert refused.value.reason == "bad_content"
