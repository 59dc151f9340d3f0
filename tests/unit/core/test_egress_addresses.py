"""Which addresses and URLs users may name."""

from __future__ import annotations

import pytest

from promptforge.core.egress.addresses import is_public
from promptforge.core.egress.urls import UrlPolicy, UrlRefused

PUBLIC = UrlPolicy()


@pytest.mark.parametrize("address", ["93.184.216.34", "8.8.8.8", "2606:4700::6810:85e5", "2a00:1450:4001:82a::200e"])
def test_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "0.1.2.3",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",
        "192.0.2.1",
        "192.168.1.1",
        "198.18.0.1",
        "203.0.113.5",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:93.184.216.34",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::5db8:d822",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "3fff::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "2606:4700::1%eth0",
        "ff02::1",
        "no address",
        "",
    ],
)
def test_what_is_inner_or_stands_for_another_is_not(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    ("named", "written"),
    [
        ("https://Example.COM", "https://example.com/"),
        ("https://example.com./hook?a=b&c=%20d", "https://example.com/hook?a=b&c=%20d"),
        ("https://example.com:8443/x", "https://example.com:8443/x"),
        ("https://bücher.example/ä", "https://xn--bcher-kva.example/%C3%A4"),
        ("https://[2606:4700:0::6810:85E5]/", "https://[2606:4700::6810:85e5]/"),
        ("https://93.184.216.34/", "https://93.184.216.34/"),
    ],
)
def test_a_url_is_written_in_one_way(named: str, written: str) -> None:
    assert PUBLIC.checked(named) == written
    assert PUBLIC.checked(written) == written


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://",
        "https:///path",
        "//example.com",
        "example.com",
        "http://example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "https://user@example.com/",
        "https://user:password@example.com/",
        "https://example.com@127.0.0.1/",
        "https://@example.com/",
        "https://example.com/#fragment",
        "https://example.com#@127.0.0.1/",
        "https://example.com\\@127.0.0.1/",
        "https://example.com /",
        "https://example.com/a\r\nHost: other",
        "https://exam\tple.com/",
        "https://example.com:22/",
        "https://example.com:25/",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://example.com:port/",
        "https://localhost/",
        "https://metadata/",
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.0.0.1/",
        "https://0177.0.0.1/",
        "https://0/",
        "https://0.0.0.0/",
        "https://169.254.169.254/latest/meta-data/",
        "https://example.1/",
        "https://１２７.０.０.１/",
        "https://127。0。0。1/",
        "https://[::1]/",
        "https://[::]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[fe80::1%25eth0]/",
        "https://[fe80::1%eth0]/",
        "https://[2606:4700::1%25eth0]/",
        "https://[not:an:address]/",
        "https://[127.0.0.1]/",
        "https://[::1/",
        "https://-bad-.example/",
        "https://a..example/",
        "https://" + "a" * 64 + ".example/",
        "https://" + "a." * 130 + "example/",
        "https://example.com/" + "a" * 2000,
        "https://example.com/" + "ä" * 400,
        "https://xn--\u00fc.example/",
        "https://exa%6dple.com/",
    ],
)
def test_hostile_and_broken_urls_are_refused(url: str) -> None:
    with pytest.raises(UrlRefused):
        PUBLIC.checked(url)


def test_hosts_that_an_operator_trusts_may_be_inner_and_without_tls() -> None:
    local = UrlPolicy(frozenset({"n8n", "127.0.0.1", "::1"}))
    for url in ("http://n8n:5678/webhook/x", "http://127.0.0.1:80/", "https://[::1]:9/"):
        assert local.checked(url) == url
    for url in (
        "http://other:5678/",
        "http://127.0.0.2/",
        "gopher://n8n/",
        "http://user@n8n/",
        "http://n8n.example.com/",
    ):
        with pytest.raises(UrlRefused):
            local.checked(url)
