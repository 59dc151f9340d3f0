"""ETags, edits that depend on them, and cursors, on the real database."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from promptforge.core.mongo import Mongo
from tests.support.notes import Noted, notes_service

pytestmark = pytest.mark.anyio


async def note(service: Noted, text: str = "first") -> str:
    identifier: str = (await service.client.post("/notes", json={"text": text})).json()["id"]
    return f"/notes/{identifier}"


async def edit(service: Noted, path: str, text: str, tag: str) -> Any:
    return await service.client.patch(path, json={"text": text}, headers={"if-match": tag})


async def test_who_has_the_content_gets_no_second_copy(mongo: Mongo) -> None:
    async with notes_service(mongo) as service, notes_service(mongo) as other:
        path = await note(service)
        tag = (await service.client.get(path)).headers["etag"]
        for known in (tag, f'"x", {tag}', f"W/{tag}", "*"):
            response = await other.client.get(path, headers={"if-none-match": known})
            assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", tag)
            assert "content-type" not in response.headers
        for unknown in ('"x"', "nonsense", ""):
            assert (await service.client.get(path, headers={"if-none-match": unknown})).status_code == 200
        assert (await service.client.head(path)).headers["etag"] == tag
        listed = (await service.client.get("/notes")).headers["etag"]
        assert (await service.client.get("/notes", headers={"if-none-match": listed})).status_code == 304


async def test_an_edit_of_what_has_changed_is_refused(mongo: Mongo) -> None:
    async with notes_service(mongo) as service:
        path = await note(service)
        tag = (await service.client.get(path)).headers["etag"]
        edited = await edit(service, path, "second", tag)
        assert edited.status_code == 200
        assert edited.headers["etag"] == (await service.client.get(path)).headers["etag"] != tag
        for stale in (tag, '"x"', f"W/{tag}"):
            refused = await edit(service, path, "third", stale)
            assert (refused.status_code, refused.json()["code"]) == (412, "precondition_failed")
        assert (await service.client.get(path)).json()["text"] == "second"
        assert (await edit(service, path, "third", f'"x", {edited.headers["etag"]}')).status_code == 200
        weakened = (await service.client.get(path)).headers["etag"]  # by a proxy that compresses
        assert (await edit(service, path, "fourth", f"W/{weakened}")).status_code == 200
        assert (await edit(service, path, "fourth", "*")).status_code == 200
        assert (await edit(service, path, "fifth", "no tag")).status_code == 400
        assert (await edit(service, "/notes/not_there", "sixth", "*")).status_code == 404
        assert (await service.client.patch(path, json={"text": "seventh"})).status_code == 200
        refused = await service.client.delete(path, headers={"if-match": tag})
        assert refused.status_code == 412
        current = (await service.client.get(path)).headers["etag"]
        assert (await service.client.delete(path, headers={"if-match": current})).status_code == 204


async def test_of_two_edits_at_once_one_wins(mongo: Mongo) -> None:
    async with notes_service(mongo) as one, notes_service(mongo) as two:
        path = await note(one)
        tag = (await one.client.get(path)).headers["etag"]
        one.notes.gate = two.notes.gate = gate = anyio.Event()
        one.notes.waiting = two.notes.waiting = 0
        statuses: list[int] = []

        async def send(process: Noted, text: str) -> None:
            statuses.append((await edit(process, path, text, tag)).status_code)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send, one, "one")
            tasks.start_soon(send, two, "two")
            while not (one.notes.waiting and two.notes.waiting):  # both have seen the tag they named
                await anyio.sleep(0.01)
            gate.set()
    assert sorted(statuses) == [200, 412]


async def test_an_edit_between_the_look_and_the_write_is_seen(mongo: Mongo) -> None:
    async with notes_service(mongo) as service, notes_service(mongo) as other:
        path = await note(service)
        tag = (await service.client.get(path)).headers["etag"]
        service.notes.meanwhile = lambda: edit(other, path, "faster", "*")
        assert (await edit(service, path, "slower", tag)).status_code == 412
        assert (await service.client.get(path)).json()["text"] == "faster"


async def test_pages_follow_each_other_to_the_end_while_rows_are_added(mongo: Mongo) -> None:
    async with notes_service(mongo) as service, notes_service(mongo) as other:
        paths = [await note(service, str(number)) for number in range(7)]
        seen: list[str] = []
        query = "/notes?limit=2"
        for turn in range(20):
            page = (await (service, other)[turn % 2].client.get(query)).json()
            seen += [item["id"] for item in page["items"]]
            await note(service, "added meanwhile")
            if page["next"] is None:
                break
            query = f"/notes?limit=2&cursor={page['next']}"
    assert seen == [path.removeprefix("/notes/") for path in reversed(paths)]


@pytest.mark.parametrize("change", ["", "x", "swap", "list", "short", "padding", "none", "ä"])
async def test_a_cursor_that_was_not_made_here_for_this_list_is_refused(mongo: Mongo, change: str) -> None:
    async with notes_service(mongo) as service:
        for number in range(2):
            await note(service, str(number))
        cursor = (await service.client.get("/notes?limit=1")).json()["next"]
        path = "/notes"
        if change == "list":
            path = "/notes/others"
        elif change in {"short", "none"}:
            cursor = cursor[: 10 if change == "short" else 0]
        elif change == "padding":
            cursor += "=" * (-len(cursor) % 4 or 4)
        elif change == "swap":
            cursor = ("B" if cursor[0] == "A" else "A") + cursor[1:]
        elif change:
            cursor += change
        response = await service.client.get(path, params={"limit": 1, "cursor": cursor})
    if change:
        assert response.status_code == 422
        assert [error["parameter"] for error in response.json()["errors"]] == ["cursor"]
    else:
        assert response.status_code == 200
