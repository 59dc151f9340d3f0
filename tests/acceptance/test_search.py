"""Search over HTTP, as a frontend would: what is found by whom, how soon, and what nobody may learn from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from pymongo import MongoClient

from promptforge.core.mongo import EmbeddedMongod
from promptforge.core.principal import Role
from tests.support.running import LISTING, Person, eventually, published_listing
from tests.support.service import DATABASE, Service, serving

HOSTILE = [
    "*",
    "((",
    "a OR",
    'title:"x',
    "field:x AND (",
    "[a TO z]",
    "/.*/",
    "^.*$",
    "~",
    "a~99",
    "$where",
    '{"$gt": ""}',
    "'; DROP TABLE users; --",
    "%",
    "\u202e\u0301",
    "🎉🎉",
    "ญญญ",
    "ﷺ",
    "a" * 300,
    "w " * 150,
]
WORD = "xylophone"
"""Stands in nothing but what is hidden."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("search")) as started:
        yield started


@pytest.fixture(scope="module")
def seller(service: Service) -> Person:
    person = service.person("carla", Role.SELLER)
    person.call("PATCH", "/users/me", {"handle": "carla-writes", "display_name": "Carla Quill"}, expect=200)
    return person


@pytest.fixture(scope="module")
def moderator(service: Service) -> Person:
    return service.person("mona", Role.MODERATOR)


@pytest.fixture(scope="module")
def nobody(service: Service) -> Person:
    return service.person("")


@pytest.fixture(scope="module")
def listing(service: Service, seller: Person, moderator: Person) -> str:
    return published_listing(service, seller, moderator, name="Hurried reader", price="12.5")


def found(person: Person, q: str, **more: Any) -> Any:
    return person.get(f"/search?{urlencode({'q': q, **more})}")


def ids(person: Person, q: str, **more: Any) -> list[str]:
    return [hit["id"] for hit in found(person, q, **more)["items"]]


def titles(person: Person, q: str) -> list[str]:
    return [one["title"] for one in person.get(f"/search/suggestions?{urlencode({'q': q})}")["items"]]


def soon(person: Person, q: str, identifier: str, *, there: bool = True) -> None:
    """Polls: within two seconds is what is promised, and how busy the machine is the test does not know."""
    eventually(lambda: (identifier in ids(person, q, mode="text")) is there)


def test_a_listing_is_found_by_its_words_its_meaning_its_seller_and_with_typos(nobody: Person, listing: str) -> None:
    soon(nobody, "summaries", listing)
    for q in ("summary hurry", "sumaries", "carla-writes", "any ARTICLE"):
        assert listing in ids(nobody, q), q
    assert listing in ids(nobody, "shorten an article I have no time for", mode="semantic")
    page = found(nobody, "sumaries", mode="text")
    assert page["matched"] == "similar_words"
    hit = next(one for one in page["items"] if one["id"] == listing)
    assert (hit["kind"], hit["project_id"], hit["names"]) == ("listing", None, ["carla-writes"])
    assert hit["offer"] == {
        "category": "writing",
        "licence": "source",
        "sells": "prompt",
        "price": "12.5",
        "stars": None,
        "scorecard": False,
    }
    assert hit["highlights"][0] == {
        "field": "title",
        "fragments": [{"text": "Summaries", "hit": True}, {"text": " for people in a hurry", "hit": False}],
    }


def test_facets_and_filters_narrow_what_is_found(nobody: Person, listing: str) -> None:
    soon(nobody, "summaries", listing)
    facets = {facet["field"]: facet["values"] for facet in found(nobody, "summaries", kind="listing")["facets"]}
    assert facets["category"] == [{"value": "writing", "count": 1}]
    assert facets["price"] == [{"value": "up_to_50", "count": 1}]
    assert listing in ids(nobody, "summaries", category="writing", min_price="12", max_price="12.5", licence="source")
    for other in ({"category": "coding"}, {"min_price": "12.501"}, {"max_price": "12"}, {"min_rating": "3"}):
        page = found(nobody, "summaries", **other)
        assert (page["items"], page["total"], page["facets"]) == ([], 0, [])


def test_suggestions_continue_what_is_typed(nobody: Person, listing: str) -> None:
    soon(nobody, "summaries", listing)
    assert titles(nobody, "summ") == [LISTING["title"]]
    assert titles(nobody, "peopel in a hur") == [LISTING["title"]]
    assert "Carla Quill" in titles(nobody, "carla-w")
    assert nobody.get("/search/suggestions?q=", expect=422)["errors"][0]["parameter"] == "q"


def test_what_leaves_the_market_is_found_no_more_and_what_comes_back_is(
    service: Service, seller: Person, moderator: Person, nobody: Person
) -> None:
    identifier = published_listing(service, seller, moderator, name="Unlisted later", price="0")
    path = f"/marketplace/listings/{identifier}"
    soon(nobody, "summaries", identifier)
    before = found(nobody, "summaries")["total"]
    seller.post(f"{path}/unlist")
    soon(nobody, "summaries", identifier, there=False)
    page = found(nobody, "summaries")
    assert page["total"] == before - 1 == sum(value["count"] for value in page["facets"][0]["values"])
    seller.post(f"{path}/relist")
    soon(nobody, "summaries", identifier)
    suspend(moderator, service, identifier)
    soon(nobody, "summaries", identifier, there=False)
    assert identifier not in ids(seller, "summaries", mode="hybrid")


def suspend(moderator: Person, service: Service, listing_id: str) -> None:
    service.person("rita").post(
        f"/marketplace/listings/{listing_id}/reports", {"reason": "copied", "words": "It is mine."}, expect=201
    )
    cases = eventually(
        lambda: [
            one
            for one in moderator.get("/moderation/cases?limit=100")["items"]
            if one["listing_id"] == listing_id and one["kind"] != "review"
        ]
    )
    moderator.post(f"/moderation/cases/{cases[0]['id']}/claim")
    body = {"decision": "suspend", "reason_code": "copied", "public_note": "It is another's."}
    moderator.post(f"/moderation/cases/{cases[0]['id']}/decision", body)


def test_a_draft_is_found_by_nobody(seller: Person, nobody: Person) -> None:
    prompt = seller.post("/prompts", {"name": "Of a draft"}, expect=201)["id"]
    seller.post(f"/prompts/{prompt}/versions", {"content": f"Play the {WORD}."}, expect=201)
    draft = {**LISTING, "prompt_id": prompt, "title": "Glockenspiel for beginners"}
    seller.post("/marketplace/listings", draft, expect=201)
    soon(seller, "of a draft", prompt)  # what came after it is known: so would the draft be
    for person in (seller, nobody):
        assert [hit for hit in found(person, "glockenspiel")["items"] if hit["kind"] == "listing"] == []
        assert titles(person, "glocken") == []
    assert found(seller, WORD, mode="text")["total"] == 0  # what prompts say is in no index


def test_what_is_in_a_project_is_found_by_its_members_only_and_counted_for_nobody_else(
    service: Service, nobody: Person
) -> None:
    owner, member, stranger = (service.person(uid) for uid in ("olga", "mick", "sven"))
    member.call("PATCH", "/users/me", {"handle": "mick-member"}, expect=200)
    stranger.get("/users/me")
    named = {"name": f"{WORD} orchestra", "description": f"About the {WORD}"}
    project = owner.post("/projects", named, expect=201)["id"]
    described = {"name": f"{WORD} tuning", "project_id": project, "description": "How to", "tags": [WORD]}
    prompt = owner.post("/prompts", described, expect=201)["id"]
    soon(owner, WORD, prompt)
    soon(owner, WORD, project)
    assert set(ids(owner, WORD)) == {project, prompt}
    assert set(ids(owner, WORD, project_id=project)) == {project, prompt}
    assert titles(owner, WORD[:5]) == [f"{WORD} orchestra", f"{WORD} tuning"]
    for outsider in (nobody, stranger, member):
        finds_nothing(outsider, project)
    joined = owner.post(f"/projects/{project}/members", {"handle": "mick-member", "roles": ["viewer"]}, expect=201)
    assert set(ids(member, WORD)) == {project, prompt}
    owner.call("DELETE", f"/projects/{project}/members/{joined['user_id']}", expect=204)
    finds_nothing(member, project)  # at once
    owner.call("DELETE", f"/projects/{project}", expect=200)
    finds_nothing(owner, project)


def finds_nothing(person: Person, project: str) -> None:
    for more in ({}, {"mode": "semantic"}, {"mode": "text"}, {"project_id": project}, {"tag": WORD}):
        page = found(person, WORD, **more)
        assert (page["items"], page["total"], page["facets"], page["next"]) == ([], 0, [], None), more
    for q in (WORD, WORD[:4], "xylofone tuning"):
        assert WORD not in " ".join(titles(person, q))
    everything = found(person, "")
    assert WORD not in str(everything)


def test_a_program_finds_what_its_scopes_allow(service: Service) -> None:
    owner = service.person("petra")
    prompt = owner.post("/prompts", {"name": "Marimba notes"}, expect=201)["id"]
    soon(owner, "marimba", prompt)
    for scopes, finds in ((["prompts:read"], [prompt]), (["profile:read"], [])):
        made = owner.post("/users/me/api-keys", {"name": "x", "scopes": scopes}, expect=201)
        program = service.person("")
        program.client.headers["authorization"] = f"Bearer {made['secret']}"
        assert ids(program, "marimba") == finds


def test_a_person_is_found_by_name_and_handle_once_they_have_one(service: Service, nobody: Person) -> None:
    person = service.person("nadia")
    identifier = person.get("/users/me")["id"]
    assert nobody.get("/search?q=nadia&mode=text")["total"] == 0
    person.call("PATCH", "/users/me", {"handle": "nadia-n", "display_name": "Nadia Wordsmith"}, expect=200)
    soon(nobody, "wordsmith", identifier)
    assert identifier in ids(nobody, "nadia-n", kind="person")
    person.call("PATCH", "/users/me", {"handle": None}, expect=200)
    soon(nobody, "wordsmith", identifier, there=False)


@pytest.mark.parametrize("q", HOSTILE)
def test_whatever_is_typed_gets_an_answer(service: Service, nobody: Person, listing: str, q: str) -> None:
    for path in ("search", "search/suggestions"):
        for mode in ("", "&mode=text", "&mode=semantic") if path == "search" else ("",):
            response = nobody.client.get(f"/{path}?{urlencode({'q': q})}{mode}")
            assert response.status_code == 200, response.text


def test_what_is_too_long_deep_or_made_up_is_refused_in_words(nobody: Person, listing: str) -> None:
    assert nobody.get(f"/search?q={'a' * 301}", expect=422)["errors"][0]["parameter"] == "q"
    assert nobody.get(f"/search?q={'a' * 10_000}", expect=422)["errors"][0]["parameter"] == "q"
    for cursor in ("x", "1.listing:lst_1", "%00", "A" * 200):
        assert nobody.get(f"/search?q=summaries&cursor={cursor}", expect=422)["errors"][0]["parameter"] == "cursor"
    nobody.get("/search?q=a&kind=secret", expect=422)
    nobody.get("/search?q=a&mode=magic", expect=422)


def test_other_scripts_are_found(service: Service, nobody: Person) -> None:
    owner = service.person("yuki")
    names = ("東京の観光案内を書く", "เขียนบทความภาษาไทย", "كتابة رسائل البريد", "Größe für Übungen", "고객 지원 답변")
    made = {name: owner.post("/prompts", {"name": name}, expect=201)["id"] for name in names}
    soon(owner, names[-1], made[names[-1]])
    for q, name in zip(("観光", "ภาษาไทย", "رسائل", "grosse ubungen", "지원"), names, strict=True):
        assert ids(owner, q, mode="text") == [made[name]], q
    assert titles(owner, "東京") == [names[0]]


def test_pages_follow_each_other_and_show_nothing_twice(service: Service) -> None:
    owner = service.person("paula")
    made = {owner.post("/prompts", {"name": f"Paged number {at}"}, expect=201)["id"] for at in range(7)}
    eventually(lambda: found(owner, "paged", kind="prompt")["total"] == 7)
    seen: list[str] = []
    path = "/search?q=paged&kind=prompt&limit=3"
    page = owner.get(path)
    seen += [hit["id"] for hit in page["items"]]
    later = owner.post("/prompts", {"name": "Paged paged paged"}, expect=201)["id"]
    soon(owner, "paged", later)
    while page["next"]:
        page = owner.get(f"{path}&cursor={page['next']}")
        seen += [hit["id"] for hit in page["items"]]
    assert len(seen) == len(set(seen))
    assert made <= set(seen)


def browsed(person: Person, **parameters: Any) -> Any:
    return person.get(f"/marketplace/listings?{urlencode(parameters)}")


def test_listings_are_browsed_by_words_with_facets_and_in_any_order(
    service: Service, seller: Person, moderator: Person, nobody: Person, listing: str
) -> None:
    cheap = published_listing(service, seller, moderator, name="A cheap one", price="3")
    soon(nobody, "summaries", cheap)
    soon(nobody, "summaries", listing)
    page = browsed(nobody, q="sumaries")
    assert {one["id"] for one in page["items"]} >= {cheap, listing}
    assert page["items"][0]["version"] == 1, "what is shown are listings, as in every list"
    assert page["total"] >= 2
    by_price = browsed(nobody, q="summaries", sort="price", max_price="20")["items"]
    assert [one["id"] for one in by_price] == [cheap, listing]
    first = browsed(nobody, q="summaries", sort="price", limit=1, max_price="20")
    second = browsed(nobody, q="summaries", sort="price", limit=1, max_price="20", cursor=first["next"])
    assert [first["items"][0]["id"], second["items"][0]["id"]] == [cheap, listing]
    assert browsed(nobody, q="glockenspiel")["items"] == []
    assert browsed(nobody, scorecard="true")["items"] == []
    assert nobody.get(f"/marketplace/listings?cursor={first['next']}", expect=422)["errors"][0]["parameter"] == "cursor"


def test_facets_of_a_list_count_what_its_filters_leave(nobody: Person, listing: str) -> None:
    soon(nobody, "summaries", listing)
    plain = browsed(nobody)
    assert (plain["total"], plain["facets"], plain["index_state"]) == (None, None, None)
    page = browsed(nobody, facets="true", category="writing", min_price="12", max_price="13")
    facets = {facet["field"]: facet["values"] for facet in page["facets"]}
    assert [one["id"] for one in page["items"]] == [listing]
    assert (page["total"], facets["price"]) == (1, [{"value": "up_to_50", "count": 1}])
    empty = browsed(nobody, facets="true", category="design")
    assert (empty["items"], empty["total"], empty["facets"]) == ([], 0, [])


def there_is(service: Service) -> dict[str, int]:
    """How many things of each kind there are to be found, as the database has it."""
    server = EmbeddedMongod.start(service.mongo_directory)  # adopts the one that runs
    client: MongoClient[dict[str, Any]] = MongoClient(server.url, tz_aware=True)
    with client:
        database = client[DATABASE]
        return {
            "listing": database["marketplace_listings"].count_documents({"state": "published"}),
            "person": database["users"].count_documents({"handle": {"$type": "string"}}),
            "project": database["projects"].count_documents({}),
            "prompt": database["prompts"].count_documents({"archived": False}),
            "package": database["packages"].count_documents({}),
            "purchase": len(database["purchases"].distinct("listing_id")),
        }


def test_the_index_has_what_there_is_and_is_made_anew_at_a_start(
    service: Service, nobody: Person, listing: str
) -> None:
    operator = service.person("oscar", Role.OPERATOR)
    soon(nobody, "summaries", listing)
    eventually(lambda: operator.get("/ops/search")["documents"] == there_is(service))
    before = operator.get("/ops/search")
    assert (before["state"], before["generation"], before["schema"]) == ("ready", 1, "3")
    service.terminate()
    service.start()
    soon(nobody, "summaries", listing)
    eventually(lambda: operator.get("/ops/search")["state"] == "ready")
    assert operator.get("/ops/search")["documents"] == before["documents"] == there_is(service)

    def health() -> Any:
        return nobody.client.get(f"{service.base_url}/health").json()["search"]

    told = eventually(lambda: (found := health())["state"] == "ready" and found)  # it is known for a second
    assert (told["ok"], told["documents"]) == (True, sum(before["documents"].values()))
