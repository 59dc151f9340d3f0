"""Packages in search, over HTTP: found by their publisher and nobody else, and as they are now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from promptforge.core.principal import Role
from tests.support.package_setups import drafted, published
from tests.support.running import Person, eventually
from tests.support.service import Service, serving

NAME = "bassoon-kit"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("search-packages")) as started:
        yield started


def found(person: Person, q: str, **more: Any) -> Any:
    return person.get(f"/search?{urlencode({'q': q, 'mode': 'text', **more})}")


def soon(person: Person, q: str, package_id: str, *, there: bool = True) -> None:
    eventually(lambda: (package_id in [hit["id"] for hit in found(person, q)["items"]]) is there)


def prompt_of(person: Person, name: str) -> str:
    identifier = person.post("/prompts", {"name": name}, expect=201)["id"]
    person.post(f"/prompts/{identifier}/versions", {"content": "Play it."}, expect=201)
    return str(identifier)


def package_of(person: Person, name: str) -> str:
    return str(person.post("/packaging/packages", {"name": name}, expect=201)["id"])


def test_a_package_is_found_by_its_publisher_only_by_its_name_and_what_it_says_of_itself(service: Service) -> None:
    owner, stranger, nobody = service.person("olga"), service.person("sven"), service.person("")
    owner.post("/projects", {"name": "Bassoon players"}, expect=201)
    package = package_of(owner, NAME)
    soon(owner, "bassoon", package)
    path = drafted(owner, prompt_of(owner, "Low"), package_id=package, description="Scores for reeds")
    soon(owner, "reeds", package)
    owner.call("PATCH", path, {"readme": "# Contrabass\n\nHow to begin."}, expect=200)
    soon(owner, "contrabass", package)
    page = found(owner, "bassoon", kind="package")
    hit = page["items"][0]
    assert (hit["kind"], hit["title"], hit["summary"], hit["project_id"]) == ("package", NAME, "Scores for reeds", None)
    facets = {facet["field"]: facet["values"] for facet in found(owner, "bassoon")["facets"]}
    assert facets["kind"] == [{"value": "package", "count": 1}, {"value": "project", "count": 1}]
    suggested = owner.get("/search/suggestions?q=basso&kind=package")["items"]
    assert [one["title"] for one in suggested] == [NAME]
    own = owner.get("/users/me")["id"]
    assert found(owner, "bassoon", project_id=own)["total"] == 0, "a person's id is no project's"
    for other in (stranger, nobody):
        for more in ({}, {"mode": "semantic"}, {"kind": "package"}, {"project_id": own}):
            page = found(other, "bassoon", **more)
            assert (page["items"], page["total"], page["facets"]) == ([], 0, []), more
        assert other.get("/search/suggestions?q=basso")["items"] == []


def test_programs_find_packages_with_the_scope_for_them(service: Service) -> None:
    owner = service.person("petra")
    package = package_of(owner, "oboe-kit")
    soon(owner, "oboe", package)
    for scopes, finds in ((["packages:read"], [package]), (["prompts:read"], [])):
        made = owner.post("/users/me/api-keys", {"name": "x", "scopes": scopes}, expect=201)
        program = service.person("")
        program.client.headers["authorization"] = f"Bearer {made['secret']}"
        assert [hit["id"] for hit in found(program, "oboe")["items"]] == finds


def test_what_is_yanked_revoked_or_discarded_speaks_for_a_package_no_more(service: Service) -> None:
    owner, moderator = service.person("quinn"), service.person("mona", Role.MODERATOR)
    package = package_of(owner, "recorders")
    prompt = prompt_of(owner, "High")
    first = drafted(owner, prompt, version="1.0.0", package_id=package, description="Sopranino")
    published(owner, first)
    second = drafted(owner, prompt, version="2.0.0", package_id=package, description="Alto")
    soon(owner, "recorders", package)
    assert found(owner, "alto")["total"] == 0, "the published one speaks for it"
    published(owner, second)
    soon(owner, "alto", package)
    assert found(owner, "sopranino")["total"] == 0
    owner.post(f"{second}/yank", {"reason": "It squeaks"})
    soon(owner, "sopranino", package)
    soon(owner, "alto", package, there=False)
    owner.post(f"{second}/unyank")
    soon(owner, "alto", package)
    for path in (first, second):
        moderator.post(f"{path}/revoke", {"reason": "It does harm"})
    soon(owner, "alto", package, there=False)
    assert found(owner, "sopranino")["total"] == 0
    assert found(owner, "recorders", kind="package")["items"][0]["summary"] == ""
    third = drafted(owner, prompt, version="3.0.0", package_id=package, description="Tenor")
    soon(owner, "tenor", package)
    owner.call("DELETE", third, expect=204)
    soon(owner, "tenor", package, there=False)
    soon(owner, "recorders", package)
