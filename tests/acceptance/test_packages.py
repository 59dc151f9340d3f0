"""Packages over HTTP: from a draft to its file, whole and in parts, and into another project."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from promptforge.core.principal import Role
from tests.support.package_setups import drafted, new_name, published
from tests.support.packages import package, zip_of
from tests.support.running import LISTING, Person, assert_ledger_whole, command, eventually
from tests.support.service import Service, assert_problem, serving

README = "# News kit\n\nRender `Digest`.\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("packages")) as started:
        yield started
        assert_ledger_whole(started)


@pytest.fixture(scope="module")
def ada(service: Service) -> Person:
    return service.person("ada")


@pytest.fixture(scope="module")
def bob(service: Service) -> Person:
    return service.person("bob")


def project(person: Person) -> str:
    return str(person.post("/projects", {"name": new_name()}, expect=201)["id"])


def prompt(person: Person, project_id: str, name: str, *contents: str) -> str:
    made = person.post("/prompts", {"name": name, "project_id": project_id}, expect=201)
    for content in contents:
        person.post(f"/prompts/{made['id']}/versions", {"content": content}, expect=201)
    return str(made["id"])


@pytest.fixture(scope="module")
def kit(ada: Person) -> str:
    """The path of a published version: a prompt that includes another one, and a dataset."""
    home = project(ada)
    prompt(ada, home, "House style", "Plain words.", "Be brief. ☀")
    digest = prompt(ada, home, "Digest", "{{> House style@2}} Sum up {{article}}.")
    dataset = ada.post("/datasets", {"name": "Articles", "project_id": home}, expect=201)["id"]
    ada.post(f"/datasets/{dataset}/items", {"items": [{"variables": {"article": f"Article {n}"}} for n in range(3)]})
    path = drafted(ada, digest, dataset_ids=[dataset], readme=README, description="For the morning.")
    published(ada, path)
    return path


def file_of(person: Person, path: str) -> bytes:
    response = person.client.get(f"{path}/file")
    assert response.status_code == 200, response.text
    return response.content


def test_a_published_version_has_what_was_chosen_and_what_that_includes(ada: Person, kit: str) -> None:
    told = ada.get(kit)
    data = file_of(ada, kit)
    assert (told["state"], told["size"], told["sha256"]) == ("published", len(data), hashlib.sha256(data).hexdigest())
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        assert archive.read("README.md").decode() == README.strip()
        files = {name: archive.read(name) for name in archive.namelist()}
    assert [(one["name"], one["included"], [v["version"] for v in one["versions"]]) for one in manifest["prompts"]] == [
        ("Digest", False, [1]),
        ("House style", True, [2]),
    ]
    assert (manifest["publisher"], manifest["name"]) == (ada.get("/users/me")["id"], told["name"])
    assert [(one["name"], one["items"]) for one in manifest["datasets"]] == [("Articles", 3)]
    assert "Plain words." not in files["prompts/002-house-style.json"].decode()
    assert manifest["description"] == "For the morning."
    assert ada.get(kit.rpartition("/versions")[0])["latest"] == "1.0.0"


def test_the_file_is_verified_offline_with_the_keys_that_were_kept(
    service: Service, ada: Person, kit: str, tmp_path: Path
) -> None:
    keys = service.visitor.get("/api/v1/packaging/keys")
    (tmp_path / "keys.json").write_bytes(keys.content)
    (tmp_path / "kit.zip").write_bytes(file_of(ada, kit))
    told = ada.get(kit)
    whole = ["package", "verify", str(tmp_path / "kit.zip"), "--trust", str(tmp_path / "keys.json")]
    verified = command(*whole, "--expect", f"{told['publisher_id']}/{told['name']}@1.0.0")
    assert (verified.returncode, verified.stderr) == (0, "")
    assert f"verified: {told['name']} 1.0.0" in verified.stdout
    (tmp_path / "kit.zip").write_bytes(file_of(ada, kit).replace(b"Be brief", b"Be loud!"))
    refused = command(*whole)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "bad_checksum" in refused.stderr
    schema = service.visitor.get("/api/v1/packaging/schema").json()
    assert schema["$schema"].startswith("https://json-schema.org/")


def test_the_file_comes_in_parts(ada: Person, kit: str) -> None:
    data = file_of(ada, kit)
    part = ada.client.get(f"{kit}/file", headers={"range": "bytes=10-"})
    assert (part.status_code, part.content) == (206, data[10:])
    assert part.headers["content-range"] == f"bytes 10-{len(data) - 1}/{len(data)}"
    assert part.headers["content-disposition"].endswith('-1.0.0.zip"')
    again = ada.client.get(f"{kit}/file", headers={"if-none-match": part.headers["etag"]})
    assert again.status_code == 304
    assert_problem(
        ada.client.get(f"{kit}/file", headers={"range": f"bytes={len(data)}-"}), 416, "range_not_satisfiable"
    )


def test_what_is_anothers_is_not_there(ada: Person, bob: Person, kit: str) -> None:
    for path in (kit, f"{kit}/file", kit.rpartition("/versions")[0]):
        assert_problem(bob.client.get(path), 404, "not_found")
    assert_problem(bob.client.post(f"{kit}/yank", json={"reason": "Not mine"}), 404, "not_found")
    package_id = kit.split("/")[3]
    body = {"package_id": package_id, "version": "1.0.0"}
    assert_problem(bob.client.post("/packaging/installs", json=body), 404, "not_found")
    stolen = drafted(bob, ada.get(kit)["prompts"][0]["prompt_id"])
    assert_problem(bob.client.post(f"{stolen}/publish"), 404, "not_found")


def test_a_published_version_does_not_change_and_its_number_is_used(ada: Person, kit: str) -> None:
    assert_problem(ada.client.patch(kit, json={"description": "Another"}), 409, "not_a_draft")
    assert_problem(ada.client.delete(kit), 409, "not_a_draft")
    assert_problem(ada.client.post(f"{kit}/publish"), 409, "not_a_draft")
    versions = kit.rpartition("/")[0]
    assert_problem(ada.client.post(versions, json={"version": "1.0.0"}), 409, "version_taken")


def test_versions_follow_each_other_in_their_line(ada: Person) -> None:
    of = prompt(ada, project(ada), "One", "One.")
    first = drafted(ada, of, version="1.1.1")
    package_id = first.split("/")[3]
    published(ada, first)
    for smaller in ("1.1.0", "1.1.1-rc.1"):
        path = drafted(ada, of, version=smaller, package_id=package_id)
        told = assert_problem(ada.client.post(f"{path}/publish"), 409, "version_not_greater")
        assert told["highest"] == "1.1.1"
    for other_line in ("1.0.9", "2.0.0-beta.1", "1.1.2"):
        published(ada, drafted(ada, of, version=other_line, package_id=package_id))
    assert ada.get(f"/packaging/packages/{package_id}")["latest"] == "1.1.2"
    ada.post(f"/packaging/packages/{package_id}/versions/1.1.2/yank", {"reason": "Too early"})
    assert ada.get(f"/packaging/packages/{package_id}")["latest"] == "1.1.1"
    path = drafted(ada, of, version="1.1.2-rc.2", package_id=package_id)
    assert_problem(ada.client.post(f"{path}/publish"), 409, "version_not_greater")


def test_names_that_look_alike_are_taken(ada: Person, bob: Person) -> None:
    name = new_name()
    ada.post("/packaging/packages", {"name": name}, expect=201)
    for alike in (name, name.replace("-", ""), name.replace("k", "k-", 1)):
        assert_problem(ada.client.post("/packaging/packages", json={"name": alike}), 409, "package_name_taken")
    bob.post("/packaging/packages", {"name": name}, expect=201)
    for wrong in ("Kit", "k", "-kit", "kit-", "k--it", "kit_a", "kít", "кit", "a" * 65, "9lives"):
        assert_problem(ada.client.post("/packaging/packages", json={"name": wrong}), 422, "invalid_request")


@pytest.mark.parametrize("version", ["1", "1.0", "1.0.0+build", "01.0.0", "v1.0.0", "1.0.0-", "..", "1.0.0\n"])
def test_versions_that_are_none_are_refused(ada: Person, kit: str, version: str) -> None:
    versions = kit.rpartition("/")[0]
    assert_problem(ada.client.post(versions, json={"version": version}), 422, "invalid_request")


def test_what_could_change_or_is_not_there_is_not_published(ada: Person) -> None:
    home = project(ada)
    style = prompt(ada, home, "Style", "Plain.")
    ada.call("PUT", f"/prompts/{style}/labels/production", {"version": 1}, expect=200)
    by_label = prompt(ada, home, "By label", "{{> Style@production}} Go.")
    assert_problem(ada.client.post(f"{drafted(ada, by_label)}/publish"), 409, "unpinned_include")
    assert_problem(ada.client.post(f"{drafted(ada)}/publish"), 409, "nothing_to_package")
    twin = prompt(ada, project(ada), "Style", "Another of this name.")
    assert_problem(ada.client.post(f"{drafted(ada, style, twin)}/publish"), 409, "names_collide")
    draft = drafted(ada, style)
    ada.call("PATCH", draft, {"prompts": [{"prompt_id": style, "version": 9}]}, expect=200)
    assert_problem(ada.client.post(f"{draft}/publish"), 404, "not_found")
    ada.call("DELETE", draft, expect=204)
    assert_problem(ada.client.get(draft), 404, "not_found")


def test_who_may_only_write_in_a_project_does_not_publish_from_it(ada: Person, bob: Person) -> None:
    bob.call("PATCH", "/users/me", {"handle": "bob-the-editor"}, expect=200)
    home = project(ada)
    ada.post(f"/projects/{home}/members", {"handle": "bob-the-editor", "roles": ["editor"]}, expect=201)
    draft = drafted(bob, prompt(ada, home, "Shared", "Ours."))
    assert_problem(bob.client.post(f"{draft}/publish"), 403, "project_role_missing")
    dataset = ada.post("/datasets", {"name": "Ours", "project_id": home}, expect=201)["id"]
    assert_problem(bob.client.post(f"{drafted(bob, dataset_ids=[dataset])}/publish"), 403, "project_role_missing")


def upload(person: Person, data: bytes, **headers: str) -> Any:
    return person.client.post(
        "/packaging/uploads", content=data, headers={"content-type": "application/zip", **headers}
    )


def test_a_package_is_installed_whole_with_its_includes_and_datasets(ada: Person, kit: str) -> None:
    home = project(ada)
    body = {"package_id": kit.split("/")[3], "version": "1.0.0", "project_id": home}
    tried = ada.post("/packaging/installs/trial", body)
    assert (tried["id"], tried["conflicts"], [one["stored_as"] for one in tried["prompts"]]) == (
        None,
        [],
        ["Digest", "House style"],
    )
    assert ada.get(f"/prompts?project_id={home}")["items"] == []
    done = ada.post("/packaging/installs", body, expect=201)
    assert ada.get(f"/packaging/installs/{done['id']}") == done
    assert done in list(ada.all("/packaging/installs"))
    digest = next(one["prompt_id"] for one in done["prompts"] if one["name"] == "Digest")
    rendered = ada.post(f"/prompts/{digest}/render", {"version": 1, "variables": {"article": "it"}})
    assert rendered["content"] == "Be brief. ☀ Sum up it."
    dataset_id = done["datasets"][0]["dataset_id"]
    assert [one["variables"]["article"] for one in ada.get(f"/datasets/{dataset_id}/items")["items"]] == [
        f"Article {number}" for number in range(3)
    ]
    refused = assert_problem(ada.client.post("/packaging/installs", json=body), 409, "install_conflicts")
    assert refused["conflicts"] == ["Digest", "House style"]
    assert ada.post("/packaging/installs/trial", body)["conflicts"] == ["Digest", "House style"]
    assert len(ada.get(f"/datasets?project_id={home}")["items"]) == 1
    renamed = ada.post("/packaging/installs", {**body, "on_conflict": "rename"}, expect=201)
    assert [one["stored_as"] for one in renamed["prompts"]] == ["Digest (2)", "House style (2)"]
    again = next(one["prompt_id"] for one in renamed["prompts"] if one["name"] == "Digest")
    assert ada.get(f"/prompts/{again}/versions/1")["content"].startswith("{{> House style (2)@1}}")


def test_a_file_that_somebody_brings_is_verified_and_installed(ada: Person, bob: Person, kit: str) -> None:
    brought = upload(bob, file_of(ada, kit)).json()
    assert (brought["version"], brought["publisher"]) == ("1.0.0", ada.get("/users/me")["id"])
    assert_problem(ada.client.post("/packaging/installs", json={"upload_id": brought["id"]}), 404, "not_found")
    home = project(bob)
    done = bob.post("/packaging/installs", {"upload_id": brought["id"], "project_id": home}, expect=201)
    assert done["sha256"] == ada.get(kit)["sha256"]
    assert {one["name"] for one in bob.get(f"/prompts?project_id={home}")["items"]} == {"Digest", "House style"}
    assert_problem(
        bob.client.post("/packaging/installs", json={"upload_id": brought["id"], "project_id": project(ada)}),
        404,
        "not_found",
    )
    for neither in ({}, {"upload_id": "x", "package_id": "y", "version": "1.0.0"}, {"package_id": "y"}):
        assert_problem(bob.client.post("/packaging/installs", json=neither), 422, "invalid_request")


def test_files_that_are_not_to_be_trusted_are_refused_with_a_reason(ada: Person, bob: Person, kit: str) -> None:
    good = file_of(ada, kit)
    for data, reason in (
        (package(), "unknown_key"),
        (good[:-1], "truncated"),
        (good.replace(b"Be brief", b"Be loud!"), "bad_checksum"),
        (zip_of({"../evil": b"x"}), "unsafe_name"),
        (zip_of({"bomb": bytes(1_000_000)}, compression=zipfile.ZIP_DEFLATED), "compressed_member"),
        (b"hello", "not_a_package"),
        (b"", "not_a_package"),
    ):
        assert assert_problem(upload(bob, data), 422, "package_refused")["reason"] == reason
    assert_problem(bob.client.post("/packaging/uploads", json={}), 415, "unsupported_media_type")
    assert_problem(upload(bob, bytes(16 * 1024 * 1024 + 1)), 413, "body_too_large")


def test_an_upload_that_is_sent_twice_is_one(ada: Person, bob: Person, kit: str) -> None:
    data, key = file_of(ada, kit), {"idempotency-key": "the-same-file"}
    first, again = upload(bob, data, **key), upload(bob, data, **key)
    assert (first.status_code, again.status_code, again.json()) == (201, 201, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    assert_problem(upload(bob, data[:-1], **key), 422, "idempotency_key_reused")


def test_a_revoked_version_is_installed_nowhere_and_its_publisher_is_told(
    service: Service, ada: Person, bob: Person
) -> None:
    path = drafted(ada, prompt(ada, project(ada), "Trojan", "Send everything to me."))
    published(ada, path)
    brought = upload(bob, file_of(ada, path)).json()
    moderator = service.person("moderator", Role.MODERATOR)
    assert_problem(ada.client.post(f"{path}/revoke", json={"reason": "It is mine"}), 403, "forbidden")
    told = moderator.post(f"{path}/revoke", {"reason": "It sends what it is given away"})
    assert told["revoked"]["reason"] == "It sends what it is given away"
    assert moderator.post(f"{path}/revoke", {"reason": "Another reason"})["revoked"] == told["revoked"]
    body = {"package_id": path.split("/")[3], "version": "1.0.0"}
    for person, source in ((ada, body), (bob, {"upload_id": brought["id"]})):
        for where in ("/packaging/installs", "/packaging/installs/trial"):
            assert_problem(person.client.post(where, json=source), 409, "package_revoked")
    assert ada.client.get(f"{path}/file").status_code == 200

    def heard() -> bool:
        return any(one["kind"] == "package.revoked" for one in ada.all("/notifications"))

    assert eventually(heard)


def test_a_yanked_version_is_still_its_owners(ada: Person) -> None:
    path = drafted(ada, prompt(ada, project(ada), "Old", "Old."))
    published(ada, path)
    yanked = ada.post(f"{path}/yank", {"reason": "There is a better one"})
    assert yanked["yanked"]["reason"] == "There is a better one"
    assert ada.client.get(f"{path}/file").status_code == 200
    body = {"package_id": path.split("/")[3], "version": "1.0.0", "project_id": project(ada)}
    ada.post("/packaging/installs", body, expect=201)
    assert ada.post(f"{path}/unyank")["yanked"] is None


def listed(seller: Person, path: str, price: str = "10") -> Any:
    body = {name: told for name, told in LISTING.items() if name != "version"}
    whole = {**body, "package_id": path.split("/")[3], "version": "1.0.0", "price": price}
    return seller.post("/marketplace/package-listings", whole, expect=201)


def decided(moderator: Person, listing_id: str, kind: str = "review") -> str:
    """Approve what waits of a listing; answers the text that was judged."""

    def case() -> Any:
        cases = moderator.get("/moderation/cases?limit=100")["items"]
        return [one for one in cases if (one["listing_id"], one["kind"], one["state"]) == (listing_id, kind, "open")]

    path = f"/moderation/cases/{eventually(case)[0]['id']}"
    assert_problem(moderator.client.get(f"{path}/content"), 409, "not_claimed")
    moderator.post(f"{path}/claim")
    text: str = moderator.get(f"{path}/content")["content"]
    decision = {"decision": "approve", "reason_code": "meets_guidelines", "public_note": "Good."}
    moderator.post(f"{path}/decision", decision)
    return text


@pytest.fixture(scope="module")
def moderator(service: Service) -> Person:
    return service.person("moderator", Role.MODERATOR)


@pytest.fixture(scope="module")
def offer(service: Service, moderator: Person) -> tuple[Person, str, str]:
    """A seller, the path of a version of theirs, and the path of the listing that sells it."""
    seller = service.person("sally", Role.SELLER)
    path = drafted(seller, prompt(seller, project(seller), "For sale", "The text of {{it}} that is sold."))
    published(seller, path)
    listing = listed(seller, path)
    told = {"package_id": path.split("/")[3], "name": seller.get(path)["name"], "version": "1.0.0"}
    assert (listing["package"], listing["licence"]) == (told, "source")
    offer = f"/marketplace/listings/{listing['id']}"
    assert_problem(seller.client.patch(offer, json={"licence": "runs"}), 422, "invalid_request")
    seller.post(f"{offer}/submit")
    text = decided(moderator, listing["id"])
    assert "The text of {{it}} that is sold." in text
    assert "prompts/001-for-sale.json" in text
    return seller, path, offer


def test_only_ones_own_packages_are_listed(service: Service, kit: str) -> None:
    body = {name: told for name, told in LISTING.items() if name != "version"}
    whole = {**body, "package_id": kit.split("/")[3], "version": "1.0.0"}
    stranger = service.person("stranger", Role.SELLER)
    assert_problem(stranger.client.post("/marketplace/package-listings", json=whole), 404, "not_found")


def test_whoever_bought_a_package_has_its_file_which_ends_automatic_refunds(
    service: Service, offer: tuple[Person, str, str]
) -> None:
    seller, path, listing = offer
    buyer = service.funded("buyer", 30)
    assert_problem(buyer.client.get(f"{path}/file"), 404, "not_found")
    first = buyer.post(f"{listing}/purchases", {"expected_price": "10"}, expect=201)
    shown = buyer.get(f"/marketplace/purchases/{first['id']}")
    assert (shown["content"], shown["used_at"], shown["package"]["version"]) == (None, None, "1.0.0")
    words = {"words": "It is not what I need."}
    assert buyer.post(f"/marketplace/purchases/{first['id']}/refund", words)["refunded_at"]
    assert_problem(buyer.client.get(f"{path}/file"), 404, "not_found")
    second = buyer.post(f"{listing}/purchases", {"expected_price": "10"}, expect=201)
    tag = seller.client.get(f"{path}/file").headers["etag"]
    for nothing, status in (({"if-none-match": tag}, 304), ({"range": "bytes=99999999-"}, 416)):
        assert buyer.client.get(f"{path}/file", headers=nothing).status_code == status
    assert buyer.client.head(f"{path}/file").status_code == 405
    assert buyer.get("/marketplace/purchases")["items"][0]["used_at"] is None, "nothing has left yet"
    part = buyer.client.get(f"{path}/file", headers={"range": "bytes=0-3"})
    assert (part.status_code, part.content) == (206, b"PK\x03\x04")
    assert buyer.get(f"/marketplace/purchases/{second['id']}")["used_at"] is not None
    assert buyer.post(f"/marketplace/purchases/{second['id']}/refund", words)["refunded_at"] is None
    body = {"package_id": path.split("/")[3], "version": "1.0.0", "project_id": project(buyer)}
    assert buyer.post("/packaging/installs", body, expect=201)["prompts"][0]["stored_as"] == "For sale"


def test_another_version_is_proposed_and_what_is_revoked_is_not_sold(
    service: Service, moderator: Person, offer: tuple[Person, str, str]
) -> None:
    seller, path, listing = offer
    owner, keeper = service.funded("owner", 30), service.funded("keeper", 30)
    bought, kept = (
        one.post(f"{listing}/purchases", {"expected_price": "10"}, expect=201)["id"] for one in (owner, keeper)
    )
    package_id, later = path.split("/")[3], path.replace("1.0.0", "1.1.0")
    of = seller.get(path)["prompts"][0]["prompt_id"]
    published(seller, drafted(seller, of, version="1.1.0", package_id=package_id))
    changed = seller.call("PUT", f"{listing}/package", {"version": "1.1.0"}, expect=200)
    assert {"field": "package", "before": "1.0.0", "after": "1.1.0"} in changed["proposal"]["changes"]
    decided(moderator, listing.split("/")[3], "proposed_change")
    assert eventually(lambda: seller.get(listing)["package"]["version"] == "1.1.0")
    assert_problem(owner.client.get(f"{later}/file"), 404, "not_found")
    assert owner.get("/marketplace/purchases")["items"][0]["newer_version"] == 2

    moderator.post(f"{later}/revoke", {"reason": "It does harm"})
    late = service.funded("late", 30)
    refused = late.client.post(f"{listing}/purchases", json={"expected_price": "10"})
    assert refused.status_code == 409
    assert refused.json()["code"] in {"package_revoked", "not_for_sale"}, "it leaves the market in these moments"
    assert late.get("/users/me/credits")["available"] == "30"
    assert owner.client.get(f"{path}/file").status_code == 200
    moderator.post(f"{path}/revoke", {"reason": "It does harm"})
    assert_problem(owner.client.get(f"{path}/file"), 409, "package_revoked")
    assert eventually(lambda: any(one["kind"] == "package.revoked" for one in owner.all("/notifications")))

    refund = {"words": "It was revoked because it does harm."}
    waits = owner.post(f"/marketplace/purchases/{bought}/refund", refund, expect=200)
    assert waits["refund"]["state"] == "in_review", "a moderator decides about what was downloaded"
    assert owner.get("/users/me/credits")["available"] == "20"
    keeper.post(f"/marketplace/purchases/{kept}/refund", refund, expect=200)
    assert keeper.get("/users/me/credits")["available"] == "30", "what was never used is given back at once"
