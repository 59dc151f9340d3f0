from __future__ import annotations

import pytest

from tests.unit.http.sample import ALICE, serving

pytestmark = pytest.mark.anyio
LARGE = "/api/v1/openapi.json"


CODINGS = [
    ("gzip", "gzip"),
    ("br, gzip", "br"),
    ("zstd, br, gzip", "zstd"),
    ("gzip;q=0", None),
    ("identity", None),
    ("nonsense;;=", None),
]


@pytest.mark.parametrize(("accepted", "chosen"), CODINGS)
async def test_a_large_reply_is_compressed_as_the_client_accepts(accepted: str, chosen: str | None) -> None:
    large = {"title": "Vase", "size": {"width": 1, "labels": ["the same again"] * 100}}
    async with serving() as service:
        plain = await service.client.post(
            "/api/v1/things", json=large, headers={**ALICE, "accept-encoding": "identity"}
        )
        headers = {**ALICE, "accept-encoding": accepted}
        async with service.client.stream("POST", "/api/v1/things", json=large, headers=headers) as response:
            size = len(b"".join([chunk async for chunk in response.aiter_raw()]))
    assert response.headers.get("content-encoding") == chosen
    assert response.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
    assert int(response.headers["content-length"]) == size
    assert (size < len(plain.content) / 3) is (chosen is not None)


@pytest.mark.parametrize(("accepted", "_"), CODINGS)
async def test_what_never_changes_is_sent_as_gzip_or_as_it_is(accepted: str, _: str | None) -> None:
    async with serving() as service:
        plain = await service.client.get(LARGE, headers={"accept-encoding": "identity"})
        async with service.client.stream("GET", LARGE, headers={"accept-encoding": accepted}) as response:
            size = len(b"".join([chunk async for chunk in response.aiter_raw()]))
    packed = "gzip" in accepted and "q=0" not in accepted
    assert response.headers.get("content-encoding") == ("gzip" if packed else None)
    assert response.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
    assert response.headers["etag"] == plain.headers["etag"]
    assert int(response.headers["content-length"]) == size
    assert (size < len(plain.content) / 3) is packed


async def test_a_small_reply_and_one_without_a_body_stay_as_they_are() -> None:
    async with serving() as service:
        small = await service.client.get("/health/live", headers={"accept-encoding": "gzip"})
        tag = (await service.client.get(LARGE)).headers["etag"]
        known = await service.client.get(LARGE, headers={"accept-encoding": "gzip", "if-none-match": tag})
    assert [response.headers.get("content-encoding") for response in (small, known)] == [None] * 2
    assert (known.status_code, known.content) == (304, b"")


LONG = "/api/v1/things/large"


async def test_all_codings_of_a_large_reply_share_a_weak_tag() -> None:
    async with serving() as service:
        found = [
            await service.client.get(LONG, headers={"accept-encoding": coding})
            for coding in ("identity", "gzip", "br", "zstd")
        ]
        assert [response.headers.get("content-encoding") for response in found] == [None, "gzip", "br", "zstd"]
        tags = {response.headers["etag"] for response in found}
        assert len(tags) == 1
        tag = tags.pop()
        assert tag.startswith('W/"')


@pytest.mark.parametrize("path", [LONG, LARGE])
@pytest.mark.parametrize("coding", ["gzip", "identity"])
@pytest.mark.parametrize("how", ["weak", "strong"])
async def test_304_says_of_a_large_reply_what_200_says(path: str, coding: str, how: str) -> None:
    async with serving() as service:
        full = await service.client.get(path)
        known = full.headers["etag"] if how == "weak" else full.headers["etag"].removeprefix("W/")
        headers = {"if-none-match": known, "accept-encoding": coding}
        response = await service.client.get(path, headers=headers)
    assert (response.status_code, response.content) == (304, b"")
    for name in ("etag", "vary", "cache-control"):
        assert response.headers[name] == full.headers[name]


async def test_a_small_reply_has_one_coding_and_a_strong_tag() -> None:
    async with serving() as service:
        for path in ("/api/v1/things/abc", "/"):
            tag = (await service.client.get(path, headers={"accept-encoding": "gzip"})).headers["etag"]
            known = await service.client.get(path, headers={"if-none-match": tag})
            assert tag.startswith('"')
            assert (known.status_code, known.headers["etag"], known.headers.get("vary")) == (304, tag, None)
