"""What somebody with bad intentions does to packages over HTTP: archives made by hand, and many requests at once."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from promptforge.core.principal import Role
from tests.support.package_setups import drafted, new_name, published
from tests.support.packages import package, zip_of
from tests.support.running import Person, eventually
from tests.support.service import Service, assert_problem, serving

LOCAL = struct.Struct("<4s5H3I2H")
CENTRAL = struct.Struct("<4s6H3I5H2I")
END = struct.Struct("<4s4H2IH")
DEEP = 100_000
MOST_UPLOADS = 20


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("attacks")) as started:
        yield started


@pytest.fixture(scope="module")
def ada(service: Service) -> Person:
    return service.person("ada")


@pytest.fixture(scope="module")
def eve(service: Service) -> Person:
    return service.person("eve")


def prompt(person: Person, content: str = "Hello {{name}}.") -> str:
    made = person.post("/prompts", {"name": new_name(), "first_version": {"content": content}}, expect=201)
    return str(made["id"])


@pytest.fixture(scope="module")
def path(ada: Person) -> str:
    made = drafted(ada, prompt(ada))
    published(ada, made)
    return made


@pytest.fixture(scope="module")
def good(ada: Person, path: str) -> bytes:
    return bytes(ada.client.get(f"{path}/file").content)


def upload(person: Person, data: bytes) -> httpx.Response:
    headers = {"content-type": "application/zip"}
    return person.client.post("/packaging/uploads", content=data, headers=headers)


# Archives by hand


def members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def by_hand(entries: list[tuple[bytes, bytes]], **changes: int) -> bytes:
    """A zip file whose headers say what they like: `changes` to size, packed, crc and offset of the last member."""
    body, directory = b"", b""
    for number, (name, data) in enumerate(entries):
        lies = changes if number == len(entries) - 1 else {}
        size, packed = lies.get("size", len(data)), lies.get("packed", len(data))
        crc, offset = lies.get("crc", zlib.crc32(data)), lies.get("offset", len(body))
        extra = struct.pack("<HHQQ", 1, 16, 1 << 40, 1 << 40) if lies.get("zip64") else b""
        central = (b"PK\1\2", 778, 10, 0, 0, 0, 33, crc, packed, size, len(name), len(extra), 0, 0, 0)
        directory += CENTRAL.pack(*central, lies.get("mode", 0o100644) << 16, offset) + name + extra
        local = (b"PK\3\4", 10, lies.get("flags", 0), 0, 0, 33, crc, packed, size, len(name), len(extra))
        body += LOCAL.pack(*local) + name + extra + data
    many = changes.get("count", len(entries))
    return body + directory + END.pack(b"PK\5\6", 0, 0, many, many, len(directory), len(body), 0)


def same(good: bytes) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), data) for name, data in members(good).items()]


def with_manifest(good: bytes, manifest: bytes) -> bytes:
    return by_hand([(b"manifest.json", manifest), *same(good)[1:]])


def with_last(good: bytes, name: bytes, data: bytes = b"x") -> bytes:
    return by_hand([*same(good), (name, data)])


HUGE = 0xFFFFFFFF
DEEP_LIST, DEEP_OBJECT = b"[" * DEEP + b"]" * DEEP, b'{"a":' * DEEP + b"1" + b"}" * DEEP
HUGE_NUMBER = b'{"schema_version":1' + b"0" * DEEP + b"}"
BOMB = {"manifest.json": b"0" * (50 << 20)}
ARCHIVES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "two entries over the same bytes": (lambda good: by_hand(same(good), offset=0), "not_canonical"),
    "a size of four gigabytes": (lambda good: by_hand(same(good), size=HUGE, packed=HUGE, zip64=1), "member_too_large"),
    "zip64 for nothing": (lambda good: by_hand(same(good), zip64=1), "not_canonical"),
    "a wrong checksum": (lambda good: by_hand(same(good), crc=1), "bad_checksum"),
    "a size beyond the end": (lambda good: by_hand(same(good), size=1 << 20, packed=1 << 20), "truncated"),
    "a directory that counts 65,535": (lambda good: by_hand(same(good), count=65_535), "not_canonical"),
    "a name in UTF-8": (lambda good: with_last(good, "prompts/é.json".encode()), "unsafe_name"),
    "a name in code page 437": (lambda good: with_last(good, b"prompts/\x82.json"), "unsafe_name"),
    "a name with a null byte": (lambda good: with_last(good, b"README.md\0.exe"), "unsafe_name"),
    "a name with an override": (lambda good: with_last(good, "a\u202ecod.exe".encode()), "unsafe_name"),
    "a name of 64 KiB": (lambda good: with_last(good, b"a" * 65_535), "unsafe_name"),
    "a way out": (lambda good: with_last(good, b"prompts/../../etc/passwd"), "unsafe_name"),
    "a link": (lambda good: by_hand(same(good), mode=0o120777), "link_member"),
    "a device": (lambda good: by_hand(same(good), mode=0o020666), "not_canonical"),
    "a zip in the zip": (lambda good: with_last(good, b"nested.zip", good), "unlisted_file"),
    "ten thousand members": (lambda good: by_hand([(b"f%d" % n, b"") for n in range(10_000)]), "too_many_members"),
    "a bomb": (lambda _: zip_of(BOMB, compression=zipfile.ZIP_DEFLATED), "compressed_member"),
    "a deep manifest": (lambda good: with_manifest(good, DEEP_LIST), "bad_manifest"),
    "a manifest with deep objects": (lambda good: with_manifest(good, DEEP_OBJECT), "bad_manifest"),
    "a manifest with a huge number": (lambda good: with_manifest(good, HUGE_NUMBER), "bad_manifest"),
    "a manifest with lone surrogates": (lambda good: with_manifest(good, b'{"name":"\\ud800"}'), "bad_manifest"),
    "something before": (lambda good: b"#!/bin/sh\n" + good, "not_a_package"),
    "two in one": (lambda good: good + good, "extra_data"),
    "another service's": (lambda _: package(), "unknown_key"),
    "nothing": (lambda _: b"", "not_a_package"),
}  # fmt: skip


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_made_by_hand_is_refused_with_a_reason_and_the_service_goes_on(
    eve: Person, good: bytes, name: str
) -> None:
    make, reason = ARCHIVES[name]
    told = assert_problem(upload(eve, make(good)), 422, "package_refused")
    assert told["reason"] == reason, told
    assert eve.client.get("/users/me").status_code == 200


def test_the_archive_of_these_tests_is_good_where_it_tells_no_lie(eve: Person, good: bytes) -> None:
    assert by_hand(same(good)) == good
    assert upload(eve, good).status_code == 201


# Others', and twice


def test_what_is_anothers_is_not_there_whatever_is_done_to_it(ada: Person, eve: Person, path: str, good: bytes) -> None:
    home = ada.post("/projects", {"name": new_name()}, expect=201)["id"]
    theirs = upload(ada, good).json()["id"]
    package_id = path.split("/")[3]
    for method, where, body in (
        ("GET", path, None),
        ("GET", f"{path}/file", None),
        ("PATCH", path, {"description": "x"}),
        ("DELETE", path, None),
        ("POST", f"{path}/publish", None),
        ("POST", f"{path}/yank", {"reason": "Because I can"}),
        ("POST", f"{path}/unyank", None),
        ("POST", f"/packaging/packages/{package_id}/versions", {"version": "9.0.0"}),
        ("POST", "/packaging/installs", {"upload_id": theirs}),
        ("POST", "/packaging/installs", {"package_id": package_id, "version": "1.0.0"}),
        ("POST", "/packaging/installs/trial", {"upload_id": theirs}),
    ):
        answer = eve.client.request(method, where, json=body)
        assert_problem(answer, 404, "not_found")
    mine = upload(eve, good).json()["id"]
    answer = eve.client.post("/packaging/installs", json={"upload_id": mine, "project_id": home})
    assert_problem(answer, 404, "not_found")
    assert_problem(eve.client.post(f"{path}/revoke", json={"reason": "Because I can"}), 403, "forbidden")


def at_once(sends: list[Callable[[], httpx.Response]]) -> Counter[Any]:
    """Status and code of the answers."""
    with ThreadPoolExecutor(len(sends)) as pool:
        answers = list(pool.map(lambda send: send(), sends))
    return Counter((one.status_code, one.json().get("code")) if one.content else one.status_code for one in answers)


def test_a_second_click_installs_nothing_twice(ada: Person, path: str) -> None:
    home = ada.post("/projects", {"name": new_name()}, expect=201)["id"]
    body = {"package_id": path.split("/")[3], "version": "1.0.0", "project_id": home}
    outcomes = at_once([lambda: ada.client.post("/packaging/installs", json=body)] * 12)
    assert outcomes[201, None] == 1, outcomes
    assert {status for status, _ in outcomes} == {201, 409}
    assert len(ada.get(f"/prompts?project_id={home}")["items"]) == 1


def test_publishing_yanking_and_discarding_at_once_leave_one_state(ada: Person, service: Service) -> None:
    made = drafted(ada, prompt(ada))
    outcomes = at_once(
        [lambda: ada.client.post(f"{made}/publish")] * 6
        + [lambda: ada.client.delete(made)] * 3
        + [lambda: ada.client.patch(made, json={"description": "x"})] * 3
    )
    assert not any(status >= 500 for status, *_ in (key if isinstance(key, tuple) else (key,) for key in outcomes))
    answer = ada.client.get(made)
    if answer.status_code == 404:
        return  # discarded first
    eventually(lambda: ada.get(made)["state"] == "published")
    moderator = service.person("mia", Role.MODERATOR)
    ends = [lambda: ada.client.post(f"{made}/yank", json={"reason": "Because of this"})] * 5
    ends += [lambda: ada.client.post(f"{made}/unyank")] * 5
    ends += [lambda: moderator.client.post(f"{made}/revoke", json={"reason": "It does harm"})] * 3
    outcomes = at_once(ends)
    assert {status for status, _ in outcomes} == {200}, outcomes
    assert ada.get(made)["revoked"] is not None
    package_id = made.split("/")[3]
    assert ada.get(f"/packaging/packages/{package_id}")["latest"] is None
    body = {"package_id": package_id, "version": "1.0.0"}
    assert_problem(ada.client.post("/packaging/installs", json=body), 409, "package_revoked")


def test_uploads_at_once_are_no_more_than_are_kept(service: Service, good: bytes) -> None:
    mallory = service.person("mallory")
    outcomes = at_once([lambda: upload(mallory, good)] * 40)
    assert outcomes == {(201, None): MOST_UPLOADS, (409, "too_many_uploads"): 40 - MOST_UPLOADS}
