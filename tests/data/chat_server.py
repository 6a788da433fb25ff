"""A real chat endpoint on 127.0.0.1 for tests: scripted replies, every request counted."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Script = Callable[[dict[str, Any], int, BaseHTTPRequestHandler], None]
"""(request body, how often this very body came before, handler) -> writes the response."""


def send_json(handler: BaseHTTPRequestHandler, value: Any, status: int = 200, **headers: str) -> None:
    send_bytes(handler, json.dumps(value).encode(), status, **headers)


def send_bytes(handler: BaseHTTPRequestHandler, data: bytes, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(data)))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(data)


def completion(text: str, reasoning: str = "", finish: str = "stop") -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    if reasoning:
        message["reasoning_content"] = reasoning
    usage = {"prompt_tokens": 3, "completion_tokens": 5}
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": usage}


def say(text: str, **more: str) -> Script:
    return lambda body, seen, handler: send_json(handler, completion(text, **more))


@dataclass
class Log:
    """What the server saw."""

    url: str
    bodies: list[str] = field(default_factory=list)

    def prompts(self) -> list[str]:
        return [json.loads(body)["messages"][-1]["content"] for body in self.bodies]


@contextmanager
def serve(script: Script) -> Iterator[Log]:
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            with lock:
                seen = log.bodies.count(body)
                log.bodies.append(body)
            try:
                script(json.loads(body), seen, self)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # a client that gave up waiting

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    log = Log(f"http://127.0.0.1:{server.server_port}/v1")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield log
    finally:
        server.shutdown()
        server.server_close()
