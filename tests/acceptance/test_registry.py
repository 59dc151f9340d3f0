"""The registry over HTTP, as a frontend and a program use it, and what they are told when something is wrong."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from promptforge.core.principal import Role
from tests.support.running import Person, RunningService, published_listing


@pytest.fixture(scope="module")
def ada(service: RunningService) -> Person:
    return service.person("ada")


def made(person: Person, name: str, content: Any = "Say {{word}}", **fields: Any) -> str:
    version = {"content": content, **fields.pop("version", {})}
    prompt = person.post("/prompts", {"name": name, "first_version": version, **fields}, expect=201)
    identifier: str = prompt["id"]
    return identifier


def refused(response: httpx.Response, status: int, code: str) -> dict[str, str]:
    """The problem's fields: pointer or parameter → code."""
    problem = response.json()
    assert (response.status_code, problem["code"]) == (status, code), response.text[:500]
    assert response.headers["content-type"] == "application/problem+json"
    return {error.get("pointer", error.get("parameter")): error["code"] for error in problem.get("errors", ())}


def test_the_same_content_is_the_same_version_and_says_so_by_its_status(ada: Person) -> None:
    prompt = made(ada, "Pushed")
    path = f"/prompts/{prompt}/versions"
    statuses = []
    for content in ("a", "b", "a", "b"):
        response = ada.client.post(path, json={"content": content, "message": f"push {content}"})
        statuses.append((response.status_code, response.json()["version"]))
        assert response.headers["location"] == f"/api/v1{path}/{response.json()['version']}"
    assert statuses == [(201, 2), (201, 3), (200, 2), (200, 3)]
    keyed = {"Idempotency-Key": "push-1"}
    first = ada.client.post(path, json={"content": "c"}, headers=keyed)
    again = ada.client.post(path, json={"content": "c"}, headers=keyed)
    assert (first.status_code, again.status_code, first.json()) == (201, 201, again.json())
    stale = ada.client.post(path, json={"content": "d", "base_version": 1})
    refused(stale, 409, "stale_base")
    assert stale.json()["latest_version"] == 4


def test_two_editors_of_one_draft_do_not_overwrite_each_other(ada: Person) -> None:
    prompt = made(ada, "Drafted")
    path = f"/prompts/{prompt}/draft"
    first = ada.client.put(path, json={"content": "Say {{word}} lo"})
    assert first.headers["etag"] == ada.client.get(path).headers["etag"]
    known = {"If-Match": first.headers["etag"]}
    second = ada.client.put(path, json={"content": "Say {{word}} loudly"}, headers=known)
    assert second.status_code == 200
    refused(ada.client.put(path, json={"content": "Lost"}, headers=known), 412, "precondition_failed")
    published = ada.client.post(f"{path}/publish", json={"message": "louder"})
    assert (published.status_code, published.json()["content"]) == (201, "Say {{word}} loudly")
    assert ada.client.get(path).status_code == 404


def test_a_label_is_moved_from_where_it_was_seen_only(ada: Person) -> None:
    prompt = made(ada, "Labelled")
    ada.post(f"/prompts/{prompt}/versions", {"content": "b"}, expect=201)
    path = f"/prompts/{prompt}/labels/production"
    first = ada.client.put(path, json={"version": 1, "reason": "first"})
    known = {"If-Match": first.headers["etag"]}
    assert ada.client.put(path, json={"version": 2}, headers=known).status_code == 200
    refused(ada.client.put(path, json={"version": 1}, headers=known), 412, "precondition_failed")
    moves = ada.get(f"/prompts/{prompt}/label-moves")["items"]
    assert [(move["from_version"], move["to_version"], move["reason"]) for move in moves] == [
        (1, 2, None),
        (None, 1, "first"),
    ]
    latest = ada.client.put(f"/prompts/{prompt}/labels/latest", json={"version": 1})
    assert refused(latest, 422, "invalid_request") == {"label": "value_error"}
    assert ada.get(f"/prompts/{prompt}/compiled?label=latest")["version"] == 2


def test_rendering_names_every_variable_that_is_wrong(ada: Person) -> None:
    variables = [
        {"name": "count", "type": "number"},
        {"name": "tone", "type": "enum", "values": ["dry", "warm"], "default": "dry"},
        {"name": "data", "type": "json", "default": {"a": 1}},
    ]
    content = "{{count}} {{tone}} {{data}} {{word}}"
    prompt = made(ada, "Rendered", content, version={"variables": variables})
    path = f"/prompts/{prompt}/render"
    wrong = ada.client.post(path, json={"version": 1, "variables": {"count": "3", "tone": "loud", "no/such": 1}})
    assert refused(wrong, 422, "invalid_request") == {
        "/variables/count": "wrong_type",
        "/variables/tone": "wrong_type",
        "/variables/word": "missing_variable",
        "/variables/no~1such": "unknown_variable",
    }
    values = {"count": 3, "word": "{{tone}} {{> Rendered@1}}"}
    right = ada.post(path, {"version": 1, "variables": values})
    assert right["content"] == '3 dry {"a":1} {{tone}} {{> Rendered@1}}'
    both = ada.client.post(path, json={"version": 1, "label": "production"})
    assert refused(both, 422, "invalid_request") == {"/label": "one_of_two"}
    both = ada.client.get(f"/prompts/{prompt}/compiled", params={"version": 1, "label": "production"})
    assert refused(both, 422, "invalid_request") == {"label": "one_of_two"}, "in a query it is a parameter"
    refused(ada.client.post(path, json={"variables": values}), 404, "not_found")
    bomb = made(ada, "Bomb", "{{x}}" * 10_000)
    large = ada.client.post(f"/prompts/{bomb}/render", json={"version": 1, "variables": {"x": "y" * 100_000}})
    assert refused(large, 422, "invalid_request") == {"/variables": "too_long"}


def test_what_is_wrong_with_a_version_is_told_at_once(ada: Person) -> None:
    prompt = made(ada, "Wrong")
    body = {
        "content": "{{> Nobody}} {{a}}",
        "response_schema": {"type": "objekt", "properties": {"a": {"minimum": "1"}}},
        "tools": [{"name": "a", "parameters": {"required": "a"}}, {"name": "a"}],
        "variables": [
            {"name": "a", "type": "number", "default": "x"},
            {"name": "a"},
            {"name": "b", "type": "enum"},
        ],
    }
    assert refused(ada.client.post(f"/prompts/{prompt}/versions", json=body), 422, "invalid_request") == {
        "/content": "bad_include",
        "/response_schema/type": "invalid_schema",
        "/response_schema/properties/a/minimum": "invalid_schema",
        "/tools/0/parameters/required": "invalid_schema",
        "/tools/1/name": "repeated",
        "/variables/0/default": "wrong_type",
        "/variables/1/name": "repeated",
        "/variables/2/values": "values",
    }


def test_contents_that_are_too_large_are_refused_whichever_way(ada: Person) -> None:
    prompt = made(ada, "Large")
    path = f"/prompts/{prompt}/versions"
    refused(ada.client.post(path, json={"content": "a" * 5_000_000}), 413, "body_too_large")
    assert refused(ada.client.post(path, json={"content": "a" * 300_000}), 422, "invalid_request") == {
        "/content": "string_too_long"
    }
    assert refused(ada.client.post(path, json={"content": "ä" * 200_000}), 422, "invalid_request") == {
        "/content": "too_long"
    }
    schema = {"enum": ["a" * 70_000]}
    large = ada.client.post(path, json={"content": "a", "response_schema": schema})
    assert refused(large, 422, "invalid_request") == {"/response_schema": "too_long"}
    assert ada.get(f"/prompts/{prompt}")["latest_version"] == 1


def test_circles_and_includes_too_deep_are_refused_where_they_are_made(ada: Person) -> None:
    project = ada.post("/projects", {"name": "Included"}, expect=201)["id"]
    names = [f"P{number}" for number in range(7)]
    prompts = [made(ada, name, name, project_id=project) for name in names]
    for prompt in prompts:
        ada.call("PUT", f"/prompts/{prompt}/labels/live", {"version": 1}, expect=200)

    def include(place: int, included: int) -> httpx.Response:
        """A version that includes another prompt, and the label on it."""
        path = f"/prompts/{prompts[place]}"
        body = {"content": f"{names[place]} {{{{> {names[included]}@live}}}}"}
        pushed = ada.client.post(f"{path}/versions", json=body)
        if pushed.status_code != 201:
            return pushed
        return ada.client.put(f"{path}/labels/live", json={"version": pushed.json()["version"]})

    refused(include(0, 0), 409, "include_cycle")
    for place in range(4):
        assert include(place, place + 1).status_code == 200
    refused(include(4, 0), 409, "include_cycle")
    assert include(5, 6).status_code == 200
    too_deep = include(4, 5)  # five levels below P0 there are P1 to P5, and P6 is the sixth
    refused(too_deep, 409, "includes_too_deep")
    assert too_deep.json()["dependants"] == ["P0"]
    assert "P0 → P1 → P2 → P3 → P4 → P5 → P6" in too_deep.json()["detail"]
    served = ada.get(f"/prompts/{prompts[0]}/compiled?label=live")
    assert served["content"] == "P0 P1 P2 P3 P4", "every label is where it was"


@pytest.mark.parametrize("schema", [{"type": "objekt"}, {"properties": []}, {"required": "a"}])
def test_a_schema_that_is_none_is_refused_wherever_there_is_one(ada: Person, schema: dict[str, Any]) -> None:
    prompt = made(ada, f"Schema {len(str(schema))} {next(iter(schema))}")
    version = {"content": "a", "response_schema": schema}
    answers = {
        "/response_schema": ada.client.post(f"/prompts/{prompt}/versions", json=version),
        "/tools/0/parameters": ada.client.post(
            f"/prompts/{prompt}/versions", json={"content": "a", "tools": [{"name": "a", "parameters": schema}]}
        ),
        "/variables_schema": ada.client.post("/datasets", json={"name": "x", "variables_schema": schema}),
    }
    for pointer, answer in answers.items():
        told = refused(answer, 422, "invalid_request")
        assert [where.startswith(pointer) for where in told] == [True], told
    assert ada.get(f"/prompts/{prompt}")["latest_version"] == 1


def test_versions_are_compared_part_by_part(ada: Person) -> None:
    messages = [{"role": "system", "content": "Be brief.\nBe kind."}, {"role": "user", "content": "{{q}}"}]
    prompt = made(ada, "Compared", messages, kind="chat", version={"settings": {"temperature": 0.5}})
    changed = [{"role": "system", "content": "Be brief.\nBe cruel."}, *messages[1:], {"role": "user", "content": "!"}]
    second = {"content": changed, "settings": {"model": "m"}, "tools": [{"name": "f"}]}
    ada.post(f"/prompts/{prompt}/versions", second, expect=201)
    diff = ada.get(f"/prompts/{prompt}/diff?from=1&to=2")
    told = [(one["change"], one["from_index"], one["to_index"], one["to_role"]) for one in diff["messages"]]
    assert told == [("changed", 0, 0, "system"), ("added", None, 2, "user")]
    assert diff["messages"][0]["unified"].splitlines()[3:] == [
        " Be brief.",
        "-Be kind.",
        "\\ No newline at end of file",
        "+Be cruel.",
        "\\ No newline at end of file",
    ]
    assert [(one["name"], one["change"], one["before"], one["after"]) for one in diff["settings"]] == [
        ("model", "added", None, "m"),
        ("temperature", "removed", 0.5, None),
    ]
    assert [(one["name"], one["change"]) for one in diff["tools"]] == [("f", "added")]
    same = ada.get(f"/prompts/{prompt}/diff?from=2&to=2")
    assert (same["unified"], same["messages"], same["settings"], same["response_schema"]) == ("", [], [], None)
    refused(ada.client.get(f"/prompts/{prompt}/diff?from=1&to=3"), 404, "not_found")
    bad = ada.client.get(f"/prompts/{prompt}/diff?from=x&to=0")
    assert refused(bad, 422, "invalid_request") == {"from": "int_parsing", "to": "greater_than_equal"}
    none = ada.client.get(f"/prompts/{prompt}/diff?from=1")
    assert refused(none, 422, "invalid_request") == {"to": "missing"}


def test_prompts_are_found_by_project_folder_tag_and_name(service: RunningService) -> None:
    person = service.person("librarian")
    project = person.post("/projects", {"name": "Library"}, expect=201)["id"]
    for name, folder, tags in (
        ("News one", "news", ["a"]),
        ("News two", "news/daily", ["a", "b"]),
        ("Newsletter", "newsletter", []),
        ("Other", "", ["b"]),
    ):
        made(person, name, folder=folder, tags=tags, project_id=project)
    made(person, "Personal", folder="news")

    def names(query: str) -> list[str]:
        return sorted(prompt["name"] for prompt in person.get(f"/prompts?{query}")["items"])

    assert names(f"project_id={project}&folder=news") == ["News one", "News two"]
    assert names("folder=news") == ["News one", "News two", "Personal"]
    assert names(f"project_id={project}&folder=") == ["Other"]
    assert names(f"project_id={project}&tag=b") == ["News two", "Other"]
    assert names("name=News ") == ["News one", "News two"]
    assert names("name=.*") == []
    index = person.get(f"/projects/{project}/prompt-index")
    assert [(one["folder"], one["prompts"]) for one in index["folders"]] == [
        ("", 1),
        ("news", 1),
        ("news/daily", 1),
        ("newsletter", 1),
    ]
    assert [(one["tag"], one["prompts"]) for one in index["tags"]] == [("a", 2), ("b", 2)]
    assert [one["name"] for one in person.get("/projects")["items"]] == ["Library", "Personal"]


def test_a_prompt_that_was_bought_is_forked_and_others_are_not_there(service: RunningService) -> None:
    seller, moderator = service.person("fork-seller", Role.SELLER), service.person("fork-mona", Role.MODERATOR)
    buyer, eve = service.person("fork-buyer"), service.person("fork-eve")
    listing = published_listing(service, seller, moderator, name="For sale", price="0")
    purchase = buyer.post(f"/marketplace/listings/{listing}/purchases", {"expected_price": "0"}, expect=201)
    prompt = purchase["prompt_id"]
    seller.post(f"/prompts/{prompt}/versions", {"content": "not sold"}, expect=201)
    assert purchase["used_at"] is None
    refused(buyer.client.post(f"/prompts/{prompt}/forks", json={"version": 2}), 404, "not_found")
    refused(eve.client.post(f"/prompts/{prompt}/forks", json={}), 404, "not_found")
    assert (
        eve.client.post("/prompts/prm_none/forks", json={}).json()["detail"]
        == (eve.client.post(f"/prompts/{prompt}/forks", json={}).json()["detail"])
    )
    response = buyer.client.post(f"/prompts/{prompt}/forks", json={"name": "Mine now"})
    fork = response.json()
    assert response.headers["location"] == f"/api/v1/prompts/{fork['id']}"
    assert fork["forked_from"] == {"prompt_id": prompt, "version": 1, "purchase_id": purchase["id"]}
    assert buyer.get(f"/prompts/{fork['id']}/versions/1")["content"].startswith("The text of For sale")
    (bought,) = buyer.get("/marketplace/purchases")["items"]
    assert bought["used_at"] is not None, "its source was seen"
    assert [one["personal"] for one in eve.get("/projects")["items"]] == [True]


def test_an_import_reports_item_by_item(ada: Person) -> None:
    items = [
        {"name": "In", "version": 1, "prompt": "Hello {{name}}", "labels": ["production"]},
        {"name": "Out", "version": 1, "prompt": [{"type": "placeholder", "name": "history"}]},
    ]
    body = {"format": "langfuse", "items": items}
    dry = ada.post("/prompts/imports", {**body, "dry_run": True})
    assert [item["outcome"] for item in dry["items"]] == ["taken", "refused"]
    done = ada.post("/prompts/imports", body)
    assert [item["outcome"] for item in done["items"]] == ["taken", "refused"]
    assert [item["outcome"] for item in ada.post("/prompts/imports", body)["items"]] == ["unchanged", "refused"]
    assert ada.get(f"/prompts/{done['items'][0]['prompt_id']}/compiled")["content"] == "Hello {{name}}"
    many = [{"name": f"x{number}", "version": 1, "prompt": "a"} for number in range(101)]
    assert refused(ada.client.post("/prompts/imports", json={**body, "items": many}), 422, "invalid_request") == {
        "/items": "too_long"
    }
    odd: list[dict[str, Any]] = [{}, {"name": []}, {"name": "x", "prompt": {"a": 1}}, {"name": "y", "config": [1]}]
    for item in odd:
        for kind in ("promptforge", "langfuse", "openai"):
            report = ada.post("/prompts/imports", {"format": kind, "items": [item], "dry_run": True})
            assert report["items"][0]["outcome"] in {"refused", "taken"}
