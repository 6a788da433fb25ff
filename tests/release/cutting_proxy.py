"""A loopback proxy before another server: notes the requests, and cuts answers as it is told."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Proxy:
    """What a test sets and reads."""

    target: str
    """host:port behind the proxy."""
    url: str = ""
    cuts: dict[str, list[int]] = field(default_factory=dict)
    """End of a path -> for each GET of it in turn, after how many bytes of the body the connection ends."""
    seen: list[tuple[str, str, str | None]] = field(default_factory=list)
    """(method, path, Range header)."""
    down: bool = False
    """Answer nothing at all."""

    def ranges(self, end: str) -> list[str | None]:
        """Range headers of the GETs of one path."""
        return [span for method, path, span in self.seen if method == "GET" and path.endswith(end)]

    def _cut(self, path: str) -> int | None:
        for end, lengths in self.cuts.items():
            if path.endswith(end) and lengths:
                return lengths.pop(0)
        return None


class _Handler(BaseHTTPRequestHandler):
    proxy: Proxy
    protocol_version = "HTTP/1.1"

    def _pass_on(self) -> None:
        proxy, path = self.proxy, self.path.split("?")[0]
        proxy.seen.append((self.command, path, self.headers.get("Range")))
        if proxy.down:
            self.close_connection = True
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        behind = http.client.HTTPConnection(proxy.target)
        behind.request(self.command, self.path, body, dict(self.headers))
        answer = behind.getresponse()
        data = answer.read()
        cut = proxy._cut(path) if self.command == "GET" else None
        self.send_response(answer.status)
        for key, value in answer.getheaders():
            if key.lower() not in ("transfer-encoding", "connection", "server", "date", "content-length"):
                self.send_header(key, value)
        self.send_header("Content-Length", answer.getheader("Content-Length") or str(len(data)))
        self.end_headers()
        self.wfile.write(data if cut is None else data[:cut])
        self.close_connection = cut is not None
        behind.close()

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _pass_on

    def log_message(self, *_: object) -> None: ...


@contextmanager
def proxied(target: str) -> Iterator[Proxy]:
    """A proxy before `target`, on a port of its own."""
    proxy = Proxy(target)
    handler = type("Handler", (_Handler,), {"proxy": proxy})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    proxy.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
