"""Referral links lead somewhere, whatever is the matter, and to no other site."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from urllib.parse import quote, urljoin, urlsplit

import httpx
import pytest

from promptforge.actors.partnerships.referrals.messages import FollowReferralLink, ReferralTouchView
from promptforge.core.context import Context
from promptforge.core.errors import DatabaseUnavailable, MailboxFull, NotFound
from promptforge.core.runtime import Actor, handles
from promptforge.http.app import HttpSettings
from tests.unit.http.sample import Parts, serving

pytestmark = pytest.mark.anyio

TROUBLES = {"away": DatabaseUnavailable, "full": MailboxFull, "nobodys": NotFound}
SITE = "https://promptforge.example"


class Links(Actor):
    """Every code is good but those of `TROUBLES`."""

    name = "referrals"

    def __init__(self) -> None:
        self.clicks = 0

    @handles(FollowReferralLink)
    async def follow(self, message: FollowReferralLink, context: Context) -> ReferralTouchView:
        if message.code in TROUBLES:
            raise TROUBLES[message.code]
        self.clicks += 1
        return ReferralTouchView("said.tag", datetime(2026, 11, 26, tzinfo=UTC))


@asynccontextmanager
async def linked(*, budget: int = 1000) -> AsyncIterator[tuple[httpx.AsyncClient, Links]]:
    links = Links()
    settings = HttpSettings(version="1", rate_limits=(f"default={budget}/minute",))
    async with serving(Parts(settings=settings, actors=[links])) as service:
        yield service.client, links


async def location(client: httpx.AsyncClient, path: str, method: str = "GET") -> str:
    response = await client.request(method, path, follow_redirects=False)
    assert (response.status_code, response.headers["cache-control"]) == (302, "no-store")
    return str(response.headers["location"])


async def test_a_link_leads_to_where_it_says_with_a_token() -> None:
    async with linked() as (client, links):
        assert await location(client, "/r/prompt-review") == "/?referral=said.tag"
        assert await location(client, "/r/prompt%2Dreview?to=/a?b=c%23d") == "/a?b=c&referral=said.tag#d"
        assert links.clicks == 2
        assert await location(client, "/r/prompt-review?to=/a", "HEAD") == "/a"
        assert await location(client, f"/r/{'x' * 65}?to=/a") == "/a"
        assert links.clicks == 2


@pytest.mark.parametrize("code", TROUBLES)
async def test_a_link_leads_there_without_a_token_where_it_cannot_be_said_whose_it_is(code: str) -> None:
    async with linked() as (client, _):
        assert await location(client, f"/r/{code}?to=/a") == "/a"


async def test_beyond_the_budget_of_an_address_a_link_leads_there_and_is_no_click() -> None:
    async with linked(budget=2) as (client, links):
        expected = ["/a?referral=said.tag"] * 2 + ["/a"] * 3
        assert [await location(client, "/r/prompt-review?to=/a") for _ in expected] == expected
        assert links.clicks == 2
        assert (await client.get("/api/v1/things/abc")).status_code == 429, "it is the budget of everything else"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/r/x", 405), ("OPTIONS", "/r/x", 204), ("GET", "/r/", 404), ("GET", "/r/x/y", 404)],
)
async def test_what_is_no_link_is_counted_and_refused(method: str, path: str, status: int) -> None:
    async with linked(budget=1) as (client, _):
        assert [(await client.request(method, path)).status_code for _ in range(2)] == [status, 429]


@pytest.mark.parametrize(
    "to",
    [
        *(
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "\\\\evil",
            "/\r\nset-cookie:a=b",
            "/ä",
            "x",
            "",
        ),
        *(
            "/\t/evil.example",
            "/.//evil.example",
            "/a/..//evil.example",
            "/;//evil.example",
            "/@evil.example",
            "/#//evil",
        ),
        *("/?//evil.example", "/:80//evil.example", "/%5cevil.example", "/[", "/" + "a" * 500, "javascript:alert(1)"),
    ],
)
async def test_a_good_link_leads_to_no_other_site_whatever_it_says(to: str) -> None:
    async with linked() as (client, links):
        led = await location(client, f"/r/prompt-review?to={quote(to, safe='')}")
    assert links.clicks == 1
    there = urlsplit(urljoin(SITE, led))
    assert (there.scheme, there.netloc) == ("https", "promptforge.example")
    assert led.startswith("/")
    assert not led.startswith(("//", "/\\"))
    assert led.isascii()
    assert led.isprintable()
    assert "referral=said.tag" in there.query
