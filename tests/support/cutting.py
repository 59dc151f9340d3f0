"""A way to an HTTP server on which answers are lost: what is asked for arrives, and nobody hears what came of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

from tests.support.running import PATIENCE_SECONDS, PLAIN


class Way:
    """`lost`: a part of the paths whose answers are lost, after they were asked. `arrived` are the paths of those."""

    def __init__(self, port: int) -> None:
        self.host = f"127.0.0.1:{port}"
        self.lost: str | None = None
        self.arrived: list[str] = []


@contextmanager
def way_to(host: str) -> Iterator[Way]:
    client = httpx.Client(base_url=f"http://{host}", timeout=PATIENCE_SECONDS, verify=PLAIN)

    class Handler(BaseHTTPRequestHandler):
        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            names = ("content-type", "authorization")
            headers = {name: value for name in names if (value := self.headers.get(name)) is not None}
            answer = client.request(self.command, self.path, content=body, headers=headers)
            if way.lost is not None and way.lost in self.path:
                way.arrived.append(self.path)
                self.close_connection = True
                return
            self.send_response(answer.status_code)
            self.send_header("content-type", answer.headers.get("content-type", "application/json"))
            self.send_header("content-length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = pass_on  # noqa: N815  # the base class looks for these

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
            """It says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    way = Way(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield way
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        client.close()
