"""Releases as a model repository of the Hub (or of what HF_ENDPOINT names): main is the latest, each revision a tag.

Uploads go through huggingface_hub, in one commit. Downloads take its addresses and token, but run here, so that a
broken one continues and every byte is counted.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from mmreason.errors import UserError
from mmreason.release.listing import FILE, MAX_BYTES, Release, read_listing
from mmreason.release.store import Content, Found, Unreachable
from mmreason.run.progress import Tick

_TIMEOUT = httpx.Timeout(60.0, connect=10.0)
_ABSENT = ("RepoNotFound", "RevisionNotFound", "EntryNotFound")
_OWN = (".gitattributes", "README.md")
"""Files that the Hub itself puts into a new repository."""


class HubStore:
    """A model repository."""

    def __init__(self, address: str) -> None:
        self.repo = address.removeprefix("hub:")
        if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", self.repo):
            raise UserError(f"{address!r}: expected hub:owner/name")
        self.address = f"hub:{self.repo}"
        self.default_name = self.repo.split("/")[1]
        self.endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")

    @contextmanager
    def _get(self, git_ref: str, path: str, start: int = 0) -> Iterator[httpx.Response]:
        """A GET of one file at a git revision, streamed. Raises Unreachable when the connection fails."""
        from huggingface_hub import constants, get_token, hf_hub_url

        if constants.HF_HUB_OFFLINE:
            raise Unreachable("HF_HUB_OFFLINE is set")
        url = hf_hub_url(self.repo, path, revision=git_ref, endpoint=self.endpoint)
        # Counted bytes are those of the file: no compression on the way.
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        if token := get_token():
            headers["Authorization"] = f"Bearer {token}"
        try:
            with httpx.stream("GET", url, headers=headers, timeout=_TIMEOUT, follow_redirects=True) as response:
                yield response
        except httpx.TransportError as error:
            raise Unreachable(f"{self.endpoint}: {error}") from error

    def _check(self, response: httpx.Response, path: str) -> None:
        if response.status_code == 429 or response.status_code >= 500:
            raise Unreachable(f"{self.endpoint} answers {response.status_code}")
        if response.is_error:
            said = response.headers.get("X-Error-Message", "")
            raise UserError(
                f"{self.address}: {path}: {self.endpoint} answers {response.status_code} {said}: check the name and "
                "the token (huggingface-cli login, or HF_TOKEN)"
            )

    def find(self, ref: str | None) -> Found | None:
        """See Store."""
        with self._get(ref or "main", FILE) as response:
            if response.status_code == 404 or response.headers.get("X-Error-Code") in _ABSENT:
                return None
            self._check(response, FILE)
            data = b""
            for chunk in response.iter_bytes():
                data += chunk
                if len(data) > MAX_BYTES:
                    raise UserError(f"{self.address}: {FILE} is over {MAX_BYTES >> 20} MiB: that is no release")
            # A tag may be moved by hand while files are fetched; the commit cannot.
            commit = response.headers.get("X-Repo-Commit") or ref or "main"
        return Found(read_listing(data, self.address), commit)

    def chunks(self, where: str, path: str, start: int) -> Iterator[bytes]:
        """See Store."""
        with self._get(where, path, start) as response:
            if response.status_code == 416:
                return  # the file is shorter than that
            self._check(response, path)
            skip = start if response.status_code != 206 else 0  # a server without ranges begins at the beginning
            for chunk in response.iter_bytes():  # as they come: what waits for a whole chunk is lost when it breaks
                yield chunk[skip:]
                skip = max(skip - len(chunk), 0)

    def put(self, files: Mapping[str, Content], release: Release, label: str | None, tick: Tick) -> None:
        """See Store. A repository that is made here is private until its owner opens it."""
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError

        api = HfApi(endpoint=self.endpoint)
        try:
            api.create_repo(self.repo, private=True, exist_ok=True)
            commit = self._commit(api, files, release)
            for tag in (release.revision, label):
                if tag:
                    api.create_tag(self.repo, tag=tag, revision=commit, exist_ok=True)
        except HfHubHTTPError as error:
            raise UserError(f"{self.address}: the Hub refuses: {' '.join(str(error).split())}") from None
        tick(release.size)

    def _commit(self, api: Any, files: Mapping[str, Content], release: Release) -> str:
        """One commit that makes main this release; the commit that does so already, if there is one."""
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        info = api.repo_info(self.repo, revision="main")
        there = {item.rfilename for item in info.siblings or []}
        latest = self.find(None)
        if latest is not None and latest.release.revision == release.revision:
            return latest.where
        if latest is None and (others := there - set(_OWN)):
            raise UserError(
                f"{self.address} holds other files ({', '.join(sorted(others)[:3])}): name a new repository"
            )
        known = {entry.path for entry in latest.release.files} if latest else set()
        gone = sorted(known & there - files.keys())
        everything = {**files, FILE: release.text().encode()}
        contents = {path: value if isinstance(value, bytes) else str(value) for path, value in everything.items()}
        done = api.create_commit(
            self.repo,
            [
                *(CommitOperationDelete(path) for path in gone),
                *(CommitOperationAdd(path, value) for path, value in contents.items()),
            ],
            commit_message=f"{release.name} {release.revision}",
            parent_commit=info.sha,  # refused when somebody else committed in between
        )
        return str(done.oid)
