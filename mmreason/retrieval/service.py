"""A search service over any retriever, in the format of `wire.py`: POST /retrieve.

    with serving(retriever) as url: ...                       # in this process, for tests and small runs
    python -m mmreason.retrieval.service corpora.py:medquad medquad.jsonl.gz --base domains/medical --index indexes

It answers every request or says why not: 400 with {"error": line} for a request that is not of the format, 500 where
the search failed. It knows no users and no encryption, so it listens on this machine unless told otherwise.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from mmreason.errors import USER_ERROR_EXIT, UserError
from mmreason.retrieval.make import KINDS, RetrievalSettings, local_retriever, read_named
from mmreason.retrieval.passages import Hit, Retriever
from mmreason.retrieval.wire import BadWire, read_asked, written

PATH = "/retrieve"
MAX_BODY = 8 << 20
_IDLE_S = 60.0
"""A connection that says nothing for this long is closed."""


class SearchServer(ThreadingHTTPServer):
    """A thread a connection, one search at a time: indexes and encoders aren't asked from two threads at once."""

    daemon_threads = True

    def __init__(self, retriever: Retriever, host: str = "127.0.0.1", port: int = 0, default_k: int = 3) -> None:
        self._retriever, self._lock = retriever, threading.Lock()
        self.default_k = default_k
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            raise UserError(f"cannot listen on {host}:{port} ({error.strerror}); choose another port") from error
        self.url = f"http://{host}:{self.server_address[1]}{PATH}"

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """The retriever's answer."""
        with self._lock:
            return self._retriever.search(queries, k)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_S
    server: SearchServer

    def do_POST(self) -> None:
        try:
            asked = read_asked(self._body(), self.server.default_k)
        except BadWire as bad:
            self.close_connection = True  # what follows on it may be the rest of a body that was not read
            return self._send(400, {"error": str(bad)})
        try:
            answer = written(self.server.search(asked.queries, asked.k), asked.with_scores)
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            return self._send(500, {"error": f"{type(error).__name__}: {error}"})
        self._send(200, answer)

    def _body(self) -> Any:
        if self.path != PATH:
            raise BadWire(f"no {self.path}; ask {PATH}")
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > MAX_BODY:
            raise BadWire(f"Content-Length is {length!r}, expected a number up to {MAX_BODY}")
        try:
            return json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError) as error:
            raise BadWire(f"the body is not JSON ({error})") from None

    def _send(self, status: int, value: dict[str, Any]) -> None:
        data = json.dumps(value, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *values: Any) -> None:
        """Nothing: a line a request costs more than a search."""


@contextmanager
def serving(retriever: Retriever, host: str = "127.0.0.1", port: int = 0, default_k: int = 3) -> Iterator[str]:
    """Serve `retriever` from a thread; gives the address to ask. Port 0 takes a free one."""
    with SearchServer(retriever, host, port, default_k) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server.url
        finally:
            server.shutdown()
            thread.join()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m mmreason.retrieval.service",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("reader", help="file.py:function that makes a corpus of files, relative to --base")
    parser.add_argument("files", nargs="+", type=Path, help="JSON-lines files, or folders of them")
    parser.add_argument("--base", type=Path, default=Path(), help="folder of the reader")
    parser.add_argument("--index", type=Path, required=True, help="folder for the indexes")
    parser.add_argument("--kind", choices=KINDS, default="bm25")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    return parser.parse_args()


def main() -> None:
    """Read a corpus, open its index, serve until stopped."""
    arguments = _arguments()
    try:
        corpus = read_named(arguments.reader, arguments.base, arguments.files)
        print("\n".join(corpus.report.lines()), file=sys.stderr)
        retriever = local_retriever(corpus.passages, arguments.index, RetrievalSettings(kind=arguments.kind))
        with SearchServer(retriever, arguments.host, arguments.port) as server:
            print(f"{corpus.name}: {len(corpus.passages)} passages at {server.url}", file=sys.stderr)
            server.serve_forever()
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(USER_ERROR_EXIT)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
