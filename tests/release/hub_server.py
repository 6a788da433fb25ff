"""The part of the Hub's interface that a release needs, on loopback: repositories as lists of commits, LFS, tags."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_loopback"


@dataclass
class Hub:
    """State of one repository, and what a test sets and reads."""

    url: str = ""
    private: bool | None = None
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """Commit -> path -> content, in order."""
    tags: dict[str, str] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    """LFS objects by SHA-256."""
    cuts: list[int] = field(default_factory=list)
    """After how many bytes the next downloads of weights end."""
    ranges: list[str | None] = field(default_factory=list)
    """Range headers of the downloads of weights."""
    honours_ranges: bool = True
    posts: list[str] = field(default_factory=list)

    @property
    def head(self) -> str:
        return list(self.commits)[-1]

    def commit(self, files: dict[str, bytes]) -> str:
        """Add a commit; its name is made of its number."""
        name = hashlib.sha1(str(len(self.commits)).encode()).hexdigest()
        self.commits[name] = files
        return name

    def resolve(self, ref: str) -> str | None:
        """A branch, tag or commit as a commit."""
        if ref == "main":
            return self.head if self.commits else None
        return self.tags.get(ref, ref if ref in self.commits else None)


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def _send(self, data: bytes | dict[str, Any], status: int = 200, **headers: str) -> None:
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refuse(self, status: int, code: str) -> None:
        self._send({"error": code}, status, X_Error_Code=code, X_Error_Message=code)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _route(self, routes: list[tuple[str, Callable[..., None]]]) -> None:
        if not self.path.startswith("/lfs/") and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._body()
            self._refuse(401, "GatedRepo")
            return
        for pattern, answer in routes:
            if match := re.fullmatch(pattern, self.path.split("?")[0]):
                answer(*match.groups())
                return
        self._body()
        self._refuse(404, "EntryNotFound")

    def do_GET(self) -> None:
        """Downloads and facts of the repository."""
        self._route([(r"/api/models/team/m/revision/(.+)", self._info), (r"/team/m/resolve/([^/]+)/(.+)", self._file)])

    def do_POST(self) -> None:
        """Everything that changes the repository."""
        self.hub.posts.append(self.path)
        repo = "/api/models/team/m"
        self._route(
            [
                (r"/api/repos/create", self._create),
                (r"/api/validate-yaml", lambda: (self._body(), self._send({"errors": [], "warnings": []}))[1]),
                (rf"{repo}/preupload/main", self._preupload),
                (r"/team/m.git/info/lfs/objects/batch", self._batch),
                (rf"{repo}/commit/main", self._commit),
                (rf"{repo}/tag/(.+)", self._tag),
            ]
        )

    def do_PUT(self) -> None:
        """The bytes of an LFS object."""
        data = self._body()
        self.hub.objects[hashlib.sha256(data).hexdigest()] = data
        self._send(b"")

    def _create(self) -> None:
        asked = json.loads(self._body())
        if self.hub.commits:
            self._send({"error": "exists", "url": f"{self.hub.url}/team/m"}, 409)
            return
        self.hub.private = asked.get("private", asked.get("visibility") == "private")
        self.hub.commit({".gitattributes": b"*.safetensors filter=lfs\n"})
        self._send({"url": f"{self.hub.url}/team/m", "name": "team/m", "id": "team/m"})

    def _info(self, ref: str) -> None:
        commit = self.hub.resolve(ref)
        if commit is None:
            self._refuse(404, "RevisionNotFound")
            return
        siblings = [{"rfilename": path} for path in self.hub.commits[commit]]
        self._send({"id": "team/m", "modelId": "team/m", "sha": commit, "siblings": siblings, "tags": []})

    def _preupload(self) -> None:
        asked = json.loads(self._body())["files"]
        modes = {True: "lfs", False: "regular"}
        files = [
            {"path": f["path"], "uploadMode": modes[f["path"].endswith(".safetensors")], "shouldIgnore": False}
            for f in asked
        ]
        self._send({"files": files})

    def _batch(self) -> None:
        objects = [
            {**one, "actions": {"upload": {"href": f"{self.hub.url}/lfs/{one['oid']}", "header": {}}}}
            for one in json.loads(self._body())["objects"]
        ]
        self._send({"transfer": "basic", "objects": objects})

    def _commit(self) -> None:
        lines = [json.loads(line) for line in self._body().decode().splitlines() if line]
        head = lines[0]["value"]
        if head.get("parentCommit") not in (None, self.hub.head):
            self._refuse(412, "PreconditionFailed")
            return
        files = dict(self.hub.commits[self.hub.head])
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
            else:
                del files[value["path"]]
        name = self.hub.commit(files)
        self._send({"commitUrl": f"{self.hub.url}/team/m/commit/{name}", "commitOid": name})

    def _tag(self, ref: str) -> None:
        tag = json.loads(self._body())["tag"]
        if tag in self.hub.tags:
            self._refuse(409, "TagExists")
            return
        self.hub.tags[tag] = str(self.hub.resolve(ref))
        self._send({})

    def _file(self, ref: str, path: str) -> None:
        commit = self.hub.resolve(ref)
        if commit is None or path not in self.hub.commits[commit]:
            self._refuse(404, "EntryNotFound" if commit else "RevisionNotFound")
            return
        data, span, cut = self.hub.commits[commit][path], self.headers.get("Range"), None
        if path.endswith(".safetensors"):
            self.hub.ranges.append(span)
            cut = self.hub.cuts.pop(0) if self.hub.cuts else None
        start = int(span.removeprefix("bytes=").rstrip("-")) if span and self.hub.honours_ranges else 0
        self.send_response(206 if start else 200)
        self.send_header("X-Repo-Commit", commit)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        self.wfile.write(data[start:] if cut is None else data[start : start + cut])
        self.close_connection = cut is not None

    def log_message(self, *_: object) -> None: ...


@contextmanager
def serving() -> Iterator[Hub]:
    """A Hub without repositories, on a port of its own."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
