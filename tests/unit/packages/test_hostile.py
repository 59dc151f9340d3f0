"""Files that are no packages, or none to be trusted: each is refused, with a reason, and nothing else happens."""

from __future__ import annotations

import base64
import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import example, given, settings
from hypothesis import strategies as st

from promptforge.actors.packages.errors import PackageRefused
from promptforge.actors.packages.format import archive, manifest, signing
from promptforge.actors.packages.format.archive import Member, read, write
from promptforge.actors.packages.format.package import build, contents_of, listed, verify
from promptforge.actors.packages.format.signing import SigningKeys
from tests.support.packages import DATASET, KEYS, PROMPT, README, SECRET, TRUSTED, files, package, zip_of
from tests.support.packages import manifest as described

GOOD = package()
_END = 22


def reason(data: bytes) -> str:
    with pytest.raises(PackageRefused) as refused:
        contents_of(verify(data, TRUSTED))
    assert refused.value.detail
    return refused.value.reason


def changed(path: str, change: Callable[[bytes], bytes]) -> bytes:
    """The package with one file changed and every checksum of the zip file right again."""
    return write(Member(one.path, change(one.data) if one.path == path else one.data) for one in read(GOOD))


def replacing(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data.replace(old, new)


def with_members(change: Callable[[list[Member]], list[Member]]) -> bytes:
    return write(change(list(read(GOOD))))


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("../evil", "unsafe_name"),
        ("a/../../evil", "unsafe_name"),
        ("./a", "unsafe_name"),
        ("/etc/passwd", "unsafe_name"),
        ("C:/evil", "unsafe_name"),
        ("c:evil", "unsafe_name"),
        ("a\\..\\evil", "unsafe_name"),
        ("a//b", "unsafe_name"),
        ("folder/", "unsafe_name"),
        ("trailing.", "unsafe_name"),
        ("trailing ", "unsafe_name"),
        ("a\u202etxt", "unsafe_name"),
        ("café", "unsafe_name"),
        ("cafe\u0301", "unsafe_name"),
        ("aux.json", "unsafe_name"),
        ("dir/NUL", "unsafe_name"),
        ("a:stream", "unsafe_name"),
        ("x" * 200, "unsafe_name"),
    ],
)
def test_names_that_lead_elsewhere_are_refused(name: str, code: str) -> None:
    assert reason(zip_of({name: b"x"})) == code


def test_names_that_differ_in_case_are_one_name() -> None:
    assert reason(zip_of({"a.json": b"1", "A.json": b"2"})) == "duplicate_name"


def test_one_name_twice_is_refused() -> None:
    assert reason(with_members(lambda all_of: [*all_of, all_of[-1]])) == "duplicate_name"


def test_compressed_members_are_refused_unread() -> None:
    """A bomb of 64 MiB in 64 KiB: nothing of it is unfolded."""
    bomb = zip_of({"bomb": b"\0" * (64 * 1024 * 1024)}, compression=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 100_000
    assert reason(bomb) == "compressed_member"


def test_a_member_that_claims_to_be_huge_is_refused_by_its_claim() -> None:
    name = b"huge"
    header = struct.pack("<4s5H3I2H", b"PK\3\4", 10, 0, 0, 0, 33, 0, 0xFFFFFFF0, 0xFFFFFFF0, len(name), 0)
    assert reason(header + name + b"x") == "member_too_large"
    beyond = struct.pack("<4s5H3I2H", b"PK\3\4", 45, 0, 0, 0, 33, 0, 0xFFFFFFFF, 0xFFFFFFFF, len(name), 0)
    assert reason(beyond + name) == "member_too_large"


def test_a_member_that_claims_more_than_there_is_ends_too_early() -> None:
    name = b"a"
    header = struct.pack("<4s5H3I2H", b"PK\3\4", 10, 0, 0, 0, 33, 0, 1000, 1000, len(name), 0)
    assert reason(header + name + b"x") == "truncated"


def test_a_member_that_claims_to_unfold_is_refused() -> None:
    name = b"a"
    header = struct.pack("<4s5H3I2H", b"PK\3\4", 10, 0, 0, 0, 33, zlib.crc32(b"x"), 1, 5_000_000, len(name), 0)
    assert reason(header + name + b"x") == "not_canonical"


def test_too_many_members_are_refused() -> None:
    many = write(Member(f"f{number}", b"") for number in range(archive.MAX_MEMBERS + 1))
    assert reason(many) == "too_many_members"


def test_too_large_a_file_is_refused() -> None:
    assert reason(b"PK\3\4" + bytes(archive.MAX_PACKAGE_BYTES)) == "package_too_large"
    members = [Member(f"f{number}", bytes(manifest.MAX_MEMBER_BYTES)) for number in range(2)]
    assert reason(write(members)) == "package_too_large"


def test_links_and_folders_are_refused() -> None:
    for kind, code in ((0o120777, "link_member"), (0o040755, "unsafe_name")):
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as out:
            info = zipfile.ZipInfo("innocent")
            info.external_attr = kind << 16
            out.writestr(info, "/etc/passwd")
        assert reason(made.getvalue()) == code


def test_encrypted_members_are_refused() -> None:
    raw = bytearray(zip_of({"a": b"secret"}))
    raw[6] |= 1
    assert reason(bytes(raw)) == "encrypted_member"


def test_another_directory_than_what_is_there_is_refused() -> None:
    """A reader that believes the directory would see other names than one that reads from the front."""
    members = read(GOOD)
    front = write(members)
    back = write([*members[:-1], Member("other.json", members[-1].data)])
    start = front.index(b"PK\1\2")
    assert reason(front[:start] + back[back.index(b"PK\1\2") :]) in {"directory_mismatch", "not_canonical"}
    assert reason(front[:start] + front[-_END:]) == "directory_mismatch"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "not_a_package"),
        (b"not a zip file", "not_a_package"),
        (b"MZ\x90\x00" + GOOD, "not_a_package"),
        (GOOD + b"\n", "extra_data"),
        (GOOD + GOOD, "extra_data"),
        (GOOD[:-1], "truncated"),
        (GOOD[:40], "truncated"),
        (GOOD[:-_END], "truncated"),
        (GOOD[:-2] + b"\x05\0hello", "extra_data"),
        (zip_of({"manifest.json": b"{}", "signature.json": b"{}"}), "not_canonical"),
        (write([Member("manifest.json", b"{}"), Member("signature.json", b"{}")]), "bad_manifest"),
        (write([]), "not_a_package"),
        (write([Member("a.json", b"{}")]), "not_a_package"),
        (zip_of({"inner.zip": GOOD}), "not_canonical"),
        (write([Member("inner.zip", GOOD)]), "not_a_package"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{len(value)}-bytes",
)
def test_what_is_no_package_is_refused(data: bytes, code: str) -> None:
    assert reason(data) == code


def test_changed_files_are_refused() -> None:
    assert reason(changed(README, lambda data: data + b"more")) == "tampered_file"
    assert reason(changed(PROMPT, lambda data: data.replace(b"Hello", b"Howdy"))) == "tampered_file"
    assert reason(with_members(lambda all_of: all_of[:-1])) == "missing_file"
    assert reason(with_members(lambda all_of: [*all_of, Member("z.json", b"{}")])) == "unlisted_file"
    assert reason(with_members(lambda all_of: [*all_of[:2], *reversed(all_of[2:])])) == "not_canonical"
    assert reason(with_members(lambda all_of: [all_of[1], all_of[0], *all_of[2:]])) == "not_a_package"


def test_a_changed_manifest_is_not_what_was_signed() -> None:
    for field, value in ((b"usr_ada", b"usr_eve"), (b'"greetings"', b'"greeting2"'), (b"1.0.0", b"1.0.1")):
        assert reason(changed("manifest.json", replacing(field, value))) == "bad_signature"


def test_a_manifest_of_another_schema_is_refused_as_that() -> None:
    for version in (b"2", b"0", b'"1"', b"1.0", b"true"):
        told = changed("manifest.json", replacing(b'"schema_version":1', b'"schema_version":' + version))
        assert reason(told) == "unknown_schema_version"


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b"{", b"{ ", 1),
        lambda data: data.replace(b'"schema_version":1', b'"schema_version":1,"schema_version":1'),
        lambda data: data.replace(b'"name":"greetings"', b'"name":"Greetings"'),
        lambda data: data.replace(b'"version":"1.0.0"', b'"version":"1.0"'),
        lambda data: data.replace(b'"path":"README.md"', b'"path":"../README.md"'),
        lambda data: data.replace(b'"kind":"readme"', b'"kind":"dataset"'),
        lambda data: data[:-1],
        lambda data: b"[]",
        lambda data: b"[" * 100_000,
        lambda data: b"\xff" + data,
        lambda data: data.replace(b'"datasets"', b'"data"'),
        lambda data: data + b" " * manifest.MAX_MANIFEST_BYTES,
    ],
)
def test_a_manifest_that_is_none_is_refused(change: Callable[[bytes], bytes]) -> None:
    assert reason(changed("manifest.json", change)) == "bad_manifest"


def test_signatures_of_others_and_of_nobody_are_refused() -> None:
    assert reason(package(keys=SigningKeys(["somebody else's"]))) == "unknown_key"
    for change in (
        lambda data: data.replace(b'"algorithm":"Ed25519"', b'"algorithm":"none"'),
        lambda data: b"{}",
        lambda data: data + b"\n",
        lambda data: data.replace(b'"signature":"', b'"signature":"AAAA'),
        lambda data: b"x" * 5000,
    ):
        assert reason(changed("signature.json", change)) == "bad_signature"


def test_a_signature_of_something_else_by_the_same_key_is_none_of_a_package() -> None:
    """The bytes that are signed say what they are signed as."""
    members = read(GOOD)
    key = Ed25519PrivateKey.from_private_bytes(signing._seed(SECRET))
    bare = base64.b64encode(key.sign(members[0].data)).decode()
    forged = manifest.canonical(signing.Signature("Ed25519", signing.SigningKeys([SECRET]).public[0].key_id, bare))
    assert reason(changed("signature.json", lambda _: forged)) == "bad_signature"


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_change_is_refused_with_a_reason(data: st.DataObject) -> None:
    """Bytes changed, cut out, put in or doubled: what verifies is what was signed, byte for byte."""
    raw = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw)))
        kind = data.draw(st.sampled_from(("set", "cut", "put", "double", "end")))
        if kind == "set" and at < len(raw):
            raw[at] ^= data.draw(st.integers(1, 255))
        elif kind == "cut":
            del raw[at : at + data.draw(st.integers(1, 64))]
        elif kind == "put":
            raw[at:at] = data.draw(st.binary(min_size=1, max_size=16))
        elif kind == "double":
            raw[at:at] = raw[at : at + data.draw(st.integers(1, 200))]
        else:
            del raw[at:]
    if bytes(raw) == GOOD:
        return
    assert reason(bytes(raw))


@pytest.mark.filterwarnings("ignore:Duplicate name")  # zipfile cuts names off at a NUL, so that two become one
@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(max_size=12), st.binary(max_size=40), max_size=5), st.sampled_from((0, 8)))
@example({"A": b"", "A\0": b""}, 0)
def test_zip_files_of_other_tools_are_refused_with_a_reason(members: dict[str, bytes], compression: int) -> None:
    try:
        data = zip_of(members, compression=compression)
    except (UnicodeEncodeError, ValueError):
        return  # no tool writes that
    assert reason(data)


def test_signed_files_that_are_not_what_they_should_be_are_refused() -> None:
    """By somebody with a trusted key, that is: then it is the contents that are looked at."""
    for path, wrong in (
        (PROMPT, b"not json"),
        (PROMPT, b'{"name":"Greeting","kind":"text","versions":[],"labels":{}}'),
        (PROMPT, files()[PROMPT][1].replace(b'"tags"', b'"togs"')),
        (PROMPT, files()[PROMPT][1].replace(b'"labels":{}', b'"labels":{"production":3}')),
        (PROMPT, files()[PROMPT][1].replace(b"Hello", b"Hel\\u0000")),
        (DATASET, files()[DATASET][1].replace(b'"Ada"', b"1" + b"0" * 30)),
        (DATASET, b'{"name":"People","description":null,"variables_schema":null,"items":[]}'),
        (DATASET, b"[" * 2000 + b"]" * 2000),
        (README, b"\xff\xfe"),
        (README, b"a\0b"),
    ):
        held = {**files(), path: (files()[path][0], wrong)}
        told = replace(described(held), files=listed(held))
        assert reason(build(told, {name: data for name, (_, data) in held.items()}, KEYS)) == "bad_content", wrong
