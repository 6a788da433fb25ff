"""release.json as others may have written it: names that leave the folder, lists that do not add up."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from mmreason.errors import UserError
from mmreason.release.listing import Entry, Release, check_path, content_hash, read_listing

DIGEST = "0" * 64


def listing(**changes: Any) -> bytes:
    """A good listing of one file, with fields replaced; the revision fits its files unless it is replaced too."""
    files = changes.pop("files", [{"path": "config.json", "size": 2, "sha256": DIGEST}])
    lines = "".join(f"{f['sha256']} {f['size']} {f['path']}\n" for f in sorted(files, key=lambda f: f["path"]))
    revision = hashlib.sha256(lines.encode()).hexdigest()[:16]
    return json.dumps({"schema_version": 1, "name": "m", "revision": revision, "files": files, **changes}).encode()


def test_a_good_listing_is_read_and_written_back() -> None:
    release = read_listing(listing(), "here")
    assert release.size == 2
    assert read_listing(release.text().encode(), "here") == release


BAD_PATHS = [
    "../config.json",
    "a/../../config.json",
    "/etc/config.json",
    "a//config.json",
    "./config.json",
    "a\\config.json",
    "C:config.json",
    ".hidden.json",
    "a/.git/config.json",
    "config.json\n",
    "",
    "release.json",
    "model.bin",
    "pytorch_model.pt",
    "modeling.py",
    "run.sh",
    "weights.pkl",
    "config.json.part",
]


@pytest.mark.parametrize("path", BAD_PATHS)
def test_such_a_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="is not a"):
        check_path(path)
    with pytest.raises(UserError, match=r"release\.json"):
        read_listing(listing(files=[{"path": path, "size": 2, "sha256": DIGEST}]), "here")


@pytest.mark.parametrize(
    "path", ["config.json", "LICENSE", "evaluation/report.html", "model-00001-of-00002.safetensors"]
)
def test_such_a_path_is_taken(path: str) -> None:
    assert check_path(path) == path


TWO = [{"path": name, "size": 1, "sha256": DIGEST} for name in ("a.json", "A.json")]
WRONG: list[tuple[bytes, str]] = [
    (b"<html>", "not JSON"),
    (b"\xff\xfe", "not JSON"),
    (b"[]", "release.json"),
    (listing(files=TWO), "two files have one name"),
    (listing(files=[]), "at least 1 item"),
    (listing(revision="0" * 16), "not the hash of the files"),
    (listing(schema_version=2), "schema_version"),
    (listing(name="../x"), "a name is letters"),
    (listing(extra=1), "unknown key 'extra'"),
    (listing(files=[{"path": "a.json", "size": -1, "sha256": DIGEST}]), "greater than or equal to 0"),
    (listing(files=[{"path": "a.json", "size": 1, "sha256": "xyz"}]), "sha256"),
]


@pytest.mark.parametrize(("data", "word"), WRONG)
def test_a_wrong_listing_is_refused(data: bytes, word: str) -> None:
    with pytest.raises(UserError, match=word) as caught:
        read_listing(data, "here")
    assert str(caught.value).startswith("here: release.json")


def test_the_revision_is_the_content() -> None:
    """By hand: sha256 of '<sha256> <size> <path>\\n' of every file in order of the path, 16 digits."""
    one, two = (Entry(path=path, size=1, sha256=DIGEST) for path in ("a.json", "b.json"))
    assert content_hash([one, two]) == content_hash([two, one]) != content_hash([one])
    assert content_hash([one]) == "0333b03c6452706f"  # printf '%064d 1 a.json\\n' 0 | sha256sum
    assert Release(name="x", revision=content_hash([one]), files=[one]).revision == content_hash([one])
