"""Whom clients believe, and what they say that they speak."""

from __future__ import annotations

import ssl

import httpcore
import pytest

from promptforge.core.tls import authorities

pytestmark = pytest.mark.anyio


def hello(context: ssl.SSLContext) -> bytes:
    """What a client says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="mail.example").do_handshake()
    return outgoing.read()


async def test_a_mail_client_does_not_offer_http_after_an_http_client_has_connected() -> None:
    async with httpcore.AsyncConnectionPool(ssl_context=authorities("http")) as pool:
        with pytest.raises(httpcore.ConnectError):
            await pool.request("GET", "https://127.0.0.1:1/")
    assert b"http/1.1" in hello(authorities("http"))
    assert b"http/1.1" not in hello(authorities("smtp"))
    assert authorities("smtp") is authorities("smtp")
