"""What is not HTTP/1.1, or could be read in two ways: refused with a problem, the connection closed, nobody hurt."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from promptforge.core.identity import mint
from promptforge.deploy.settings import DEMO_PROJECT
from tests.support.raw import ALIVE, Talk, get, post, surprises
from tests.support.service import Service, serving

CHUNKED = "transfer-encoding: chunked"
HEAD = b"GET /health/live HTTP/1.1\r\nhost: service\r\n"
TLS_CLIENT_HELLO = bytes.fromhex("16030100f8010000f40303") + bytes(200)
HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("malformed"), LOG_LEVEL="info") as service:
        yield service


@pytest.fixture(scope="module")
def signed_in() -> str:
    return f"authorization: Bearer {mint('writer', project_id=DEMO_PROJECT)}"


@pytest.fixture(autouse=True)
def nobody_is_hurt(service: Service) -> Iterator[None]:
    """After whatever a test has sent, others are answered, and the log tells of no surprise."""
    yield
    with Talk(service.port) as talk:
        talk.say(ALIVE)
        assert talk.hear().status == 200
    assert surprises(service.log) == []


def refused(service: Service, data: bytes, status: int = 400) -> None:
    """Exactly one answer, a problem document, and the end of the connection."""
    with Talk(service.port) as talk:
        talk.say(data)
        (answer,) = talk.rest()
    assert answer.status == answer.json["status"] == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["connection"] == "close"
    assert answer.json["request_id"] == answer.headers["x-request-id"]
    with Talk(service.port) as talk:
        talk.say(get(answer.json["type"]))
        assert talk.hear().json["status"] == status


def answered(service: Service, data: bytes, *statuses: int) -> None:
    """These answers, and then the connection answers one request more."""
    with Talk(service.port) as talk:
        talk.say(data)
        assert tuple(talk.hear().status for _ in statuses) == statuses
        talk.say(get("/health/live", "connection: close"))
        assert [answer.status for answer in talk.rest()] == [200]


# Request lines


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(b"\x00\x01garbage\r\n\r\n", 400, id="bytes"),
        pytest.param(TLS_CLIENT_HELLO, 400, id="TLS"),
        pytest.param(b"GET\r\n\r\n", 400, id="one word"),
        pytest.param(b"GET /\r\n\r\n", 400, id="HTTP/0.9"),
        pytest.param(b"GET  / HTTP/1.1\r\nhost: a\r\n\r\n", 400, id="two spaces"),
        pytest.param(b"GET / HTTP/x\r\n\r\n", 400, id="no version"),
        pytest.param(b"GET / http/1.1\r\nhost: a\r\n\r\n", 400, id="a protocol in lower case"),
        pytest.param(b"GET / HTTP/9.9\r\nhost: a\r\n\r\n", 505, id="a version of the future"),
        pytest.param(b"GET / HTTP/2.0\r\nhost: a\r\n\r\n", 505, id="HTTP/2 as text"),
        pytest.param(HTTP2, 505, id="HTTP/2"),
        pytest.param(HTTP2[:18] + b"XX\r\n\r\n" + b"\xff" * 200, 505, id="a bad HTTP/2 preface"),
        pytest.param(b"G@T / HTTP/1.1\r\nhost: a\r\n\r\n", 400, id="no method"),
        pytest.param(b"GET /\x00 HTTP/1.1\r\nhost: a\r\n\r\n", 400, id="NUL in the target"),
        pytest.param(b"GET /\xff HTTP/1.1\r\nhost: a\r\n\r\n", 400, id="a byte in the target"),
        pytest.param(b"\r\n" * 20_000, 400, id="empty lines"),
        pytest.param(b"\r\n" * 3 + ALIVE, 400, id="three empty lines"),
        pytest.param(b"\n" + ALIVE, 400, id="a bare line feed first"),
        pytest.param(b"\r" + ALIVE, 400, id="a bare carriage return first"),
        pytest.param(b" \r\n" + ALIVE, 400, id="a blank line that is not empty"),
        pytest.param(b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\nhost: a\r\n\r\n", 431, id="a giant target"),
        pytest.param(b"a" * 1_000_000, 431, id="a giant word"),
    ],
)
def test_what_is_no_request_line_is_refused(service: Service, data: bytes, status: int) -> None:
    refused(service, data, status)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(b"GET http://service/health/live HTTP/1.1\r\nhost: service\r\n\r\n", 200, id="absolute"),
        pytest.param(b"GET http://service HTTP/1.1\r\nhost: service\r\n\r\n", 200, id="absolute without a path"),
        pytest.param(b"GET http://service/api/v1/prompts HTTP/1.1\r\nhost: service\r\n\r\n", 401, id="absolute, API"),
        pytest.param(b"CONNECT service:80 HTTP/1.1\r\nhost: service\r\n\r\n", 404, id="authority"),
        pytest.param(b"OPTIONS * HTTP/1.1\r\nhost: service\r\n\r\n", 204, id="asterisk"),
        pytest.param(b"gEt /health/live HTTP/1.1\r\nhost: service\r\n\r\n", 405, id="a method in mixed case"),
        pytest.param(b"head /api/v1/prompts HTTP/1.1\r\nhost: service\r\n\r\n", 405, id="a method in lower case"),
        pytest.param(b"\r\n" + ALIVE, 200, id="after an empty line"),
        pytest.param(b"\r\n\r\n" + ALIVE, 200, id="after two empty lines"),
        pytest.param(b"GET health/live HTTP/1.1\r\nhost: service\r\n\r\n", 404, id="relative"),
        pytest.param(b"FROB /health/live HTTP/1.1\r\nhost: service\r\n\r\n", 405, id="an unknown method"),
        pytest.param(b"GET /health/live HTTP/1.2\r\nhost: service\r\n\r\n", 200, id="a later minor version"),
    ],
)
def test_odd_forms_of_the_target_are_understood(service: Service, data: bytes, status: int) -> None:
    answered(service, data, status)


def test_http_1_0_is_answered_and_closed(service: Service) -> None:
    with Talk(service.port) as talk:
        talk.say(b"GET /health/live HTTP/1.0\r\n\r\n")
        assert [answer.status for answer in talk.rest()] == [200]


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(("connection: upgrade, http2-settings", "upgrade: h2c", "http2-settings: AAMAAABk"), id="h2c"),
        pytest.param(("connection: upgrade", "upgrade: h2c", "http2-settings: !"), id="h2c with bad settings"),
        pytest.param(("connection: upgrade", "upgrade: websocket", "sec-websocket-version: 13"), id="websocket"),
    ],
)
def test_an_upgrade_is_ignored(service: Service, headers: tuple[str, ...]) -> None:
    answered(service, get("/health/live", *headers), 200)


@pytest.mark.parametrize("version", [b"2.0", b"9.9"])
def test_a_refused_head_request_gets_no_body(service: Service, version: bytes) -> None:
    with Talk(service.port) as talk:
        talk.say(b"HEAD / HTTP/" + version + b"\r\nhost: a\r\n\r\n")
        got = b""
        while data := talk.socket.recv(65536):
            got += data
    assert got.startswith(b"HTTP/1.1 505 ")
    assert got.endswith(b"\r\n\r\n")


# Headers


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        pytest.param(b"x-a: b\r\n c\r\n", 400, id="folded"),
        pytest.param(b"transfer-encoding:\r\n chunked\r\n", 400, id="a folded coding"),
        pytest.param(b"x a: b\r\n", 400, id="a space in the name"),
        pytest.param(b"content-length : 5\r\n", 400, id="a space before the colon"),
        pytest.param(b"x: a\nhost: other\r\n", 400, id="a bare line feed"),
        pytest.param(b"x: a\rb\r\n", 400, id="a bare carriage return"),
        pytest.param(b"x: a\x00b\r\n", 400, id="NUL in a value"),
        pytest.param(b"x\x00: a\r\n", 400, id="NUL in a name"),
        pytest.param(b"xyz\r\n", 400, id="no colon"),
        pytest.param(b": x\r\n", 400, id="no name"),
        pytest.param(b"host: other\r\n", 400, id="two hosts"),
        pytest.param(b"".join(b"x-%d: y\r\n" % n for n in range(5000)), 431, id="five thousand"),
        pytest.param(b"x: y\r\n" * 200, 431, id="two hundred of one name"),
        pytest.param(b"a:\r\n" * 8000, 431, id="eight thousand short ones"),
        pytest.param(b"cookie: a=b\r\n" * 1500, 431, id="cookies"),
        pytest.param(b"x: " + b"a" * 40_000 + b"\r\n", 431, id="a large one"),
        pytest.param(b"x: " + b"a" * 1_000_000 + b"\r\n", 431, id="a giant one"),
    ],
)
def test_headers_that_are_none_or_too_many_are_refused(service: Service, lines: bytes, status: int) -> None:
    refused(service, HEAD + lines + b"\r\n", status)


def test_a_request_without_host_is_refused(service: Service) -> None:
    refused(service, b"GET /health/live HTTP/1.1\r\n\r\n")


def test_as_many_headers_as_a_browser_may_send_are_taken(service: Service) -> None:
    answered(service, HEAD + b"".join(b"x-%d: %s\r\n" % (n, b"a" * 200) for n in range(100)) + b"\r\n", 200)


# The length of the body


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(post("content-length: 2", "content-length: 3", body=b"{}x"), 400, id="two lengths"),
        pytest.param(post("content-length: 2, 3", body=b"{}x"), 400, id="a list of lengths"),
        pytest.param(post("content-length: -1"), 400, id="negative"),
        pytest.param(post("content-length: +2", body=b"{}"), 400, id="plus"),
        pytest.param(post("content-length: 0x2", body=b"{}"), 400, id="hexadecimal"),
        pytest.param(post("content-length:"), 400, id="empty"),
        pytest.param(post("content-length: " + "9" * 40), 400, id="forty digits"),
        pytest.param(post("content-length: 6", CHUNKED, body=b"0\r\n\r\nG" + ALIVE), 400, id="CL.TE"),
        pytest.param(post(CHUNKED, "content-length: 4", body=b"5c\r\n" + ALIVE + b"0\r\n\r\n"), 400, id="TE.CL"),
        pytest.param(get("/health/live", CHUNKED, "content-length: 5") + b"0\r\n\r\n" + ALIVE, 400, id="CL.TE of GET"),
        pytest.param(
            post("transfer-encoding: chunked", "transfer-encoding: identity", body=b"0\r\n\r\n"), 501, id="TE.TE"
        ),
        pytest.param(post("transfer-encoding: xchunked", body=b"0\r\n\r\n"), 501, id="xchunked"),
        pytest.param(post("transfer-encoding: gzip, chunked", body=b"0\r\n\r\n"), 501, id="gzip"),
        pytest.param(post("transfer-encoding: \x0bchunked", body=b"0\r\n\r\n"), 400, id="a vertical tab"),
        pytest.param(post(CHUNKED, body=b"0\r\n\r\n").replace(b"1.1", b"1.0", 1) + ALIVE, 400, id="chunked in 1.0"),
    ],
)
def test_a_body_whose_length_is_in_doubt_is_refused(service: Service, data: bytes, status: int) -> None:
    refused(service, data, status)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(b"zz\r\n{}", 400, id="no number"),
        pytest.param(b"-1\r\n{}", 400, id="negative"),
        pytest.param(b"0x2\r\n{}\r\n0\r\n\r\n", 400, id="0x"),
        pytest.param(b"f" * 25 + b"\r\n{}", 400, id="twenty-five digits"),
        pytest.param(b"2\r\n{}XX0\r\n\r\n", 400, id="longer than it says"),
        pytest.param(b"2;" + b"a" * 200_000, 431, id="an endless extension"),
        pytest.param(b"2\r\n{}\r\n0\r\n" + b"x: y\r\n" * 50_000, 431, id="endless trailers"),
    ],
)
def test_bad_chunks_are_refused(service: Service, signed_in: str, body: bytes, status: int) -> None:
    refused(service, post(signed_in, CHUNKED, body=body), status)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"2;a=b\r\n{}\r\n0\r\n\r\n", id="an extension"),
        pytest.param(b"1\r\n{\r\n1\r\n}\r\n0\r\nx: y\r\ncontent-length: 5\r\n\r\n", id="trailers"),
    ],
)
def test_odd_chunks_are_one_body(service: Service, signed_in: str, body: bytes) -> None:
    answered(service, post(signed_in, CHUNKED, body=body), 422)


def test_a_chunk_that_announces_too_much_is_counted_while_it_comes(service: Service, signed_in: str) -> None:
    with Talk(service.port) as talk:
        talk.say(post(signed_in, CHUNKED, body=b"ffffffffffffffff\r\n" + b" " * 2_000_000))
        assert [answer.status for answer in talk.rest()] == [413]


# Expect


def test_a_body_is_invited_when_it_will_be_read(service: Service, signed_in: str) -> None:
    with Talk(service.port) as talk:
        talk.say(post(signed_in, "expect: 100-continue", "content-length: 2"))
        assert talk.hear().status == 100
        talk.say(b"{}")
        assert talk.hear().status == 422


@pytest.mark.parametrize(("sender", "length", "status"), [(False, 10, 401), (True, 10_000_000, 413)])
def test_a_body_that_will_not_be_read_is_not_invited(
    service: Service, signed_in: str, *, sender: bool, length: int, status: int
) -> None:
    headers = [signed_in] if sender else []
    with Talk(service.port) as talk:
        talk.say(post(*headers, "expect: 100-continue", f"content-length: {length}"))
        (answer,) = talk.rest()
    assert (answer.status, answer.headers["connection"]) == (status, "close")


def test_a_client_that_does_not_wait_to_be_invited_is_served(service: Service, signed_in: str) -> None:
    answered(service, post(signed_in, "expect: 100-continue", "content-length: 2", body=b"{}"), 422)


# One after the other, and not to the end


def test_pipelined_requests_are_answered_in_order(service: Service) -> None:
    requests = [get("/health/live"), get("/nothing"), get("/api/v1/prompts"), get("/health/ready")] * 25
    answered(service, b"".join(requests), *[200, 404, 401, 200] * 25)


def test_after_a_bad_request_nothing_of_the_pipeline_is_served(service: Service) -> None:
    with Talk(service.port) as talk:
        talk.say(ALIVE + b"BAD\r\n\r\n" + ALIVE)
        assert [answer.status for answer in talk.rest()] == [200, 400]


@pytest.mark.parametrize(
    "data",
    [b"", b"G", HEAD, ALIVE, post("content-length: 100", body=b"{"), post(CHUNKED, body=b"5\r\n{"), ALIVE * 50],
)
def test_a_client_may_go_at_any_time(service: Service, data: bytes) -> None:
    for how in (socket.SHUT_WR, None):
        with Talk(service.port) as talk:
            talk.say(data)
            if how is not None:
                talk.socket.shutdown(how)
                assert all(answer.status < 500 for answer in talk.rest())
