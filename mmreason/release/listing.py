"""release.json: what a release holds. It is read from places that others write to, so every field is checked."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from mmreason.config.strict import Strict, validate
from mmreason.errors import UserError

FILE = "release.json"
KINDS = frozenset({".safetensors", ".json", ".jinja", ".txt", ".md", ".html"})
"""Endings that a release may hold, beside the file LICENSE: nothing that runs or unpickles."""
MAX_FILES = 10_000
MAX_BYTES = 16 << 20
"""Of release.json itself."""

_REVISION = re.compile(r"[0-9a-f]{16}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_STEP = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


def is_revision(text: str) -> bool:
    """Whether `text` has the form of a content hash, 16 hex digits."""
    return _REVISION.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Whether `text` can name a model or a revision: one folder name, no leading dot."""
    return _NAME.fullmatch(text) is not None


def check_path(path: str) -> str:
    """`path` if it is a plain relative file name of a kind that releases hold, else ValueError."""
    steps = path.split("/")
    if not all(_STEP.fullmatch(step) for step in steps):
        raise ValueError(f"{path!r} is not a plain relative file name")
    if path == FILE or (PurePosixPath(path).suffix not in KINDS and steps[-1] != "LICENSE"):
        raise ValueError(f"{path!r} is not a kind of file that a release holds")
    return path


class Entry(Strict):
    """One file of a release."""

    path: str
    """Relative to the release, with forward slashes."""
    size: int = Field(ge=0)
    """Bytes."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")

    @field_validator("path")
    @classmethod
    def _plain(cls, path: str) -> str:
        return check_path(path)


class Release(Strict):
    """release.json, whole. `revision` is the hash of everything else but the name, so a pinned one pins each byte."""

    schema_version: Literal[1] = 1
    name: str
    revision: str
    files: list[Entry] = Field(min_length=1, max_length=MAX_FILES)

    @field_validator("name")
    @classmethod
    def _one_step(cls, name: str) -> str:
        if not is_name(name):
            raise ValueError("a name is letters, digits, dot, dash and underscore, at most 96")
        return name

    @model_validator(mode="after")
    def _consistent(self, info: ValidationInfo) -> Release:
        folded = [entry.path.lower() for entry in self.files]
        if len(set(folded)) < len(folded):
            raise ValueError("two files have one name (capitals aside)")
        if self.revision != content_hash(self.files):
            raise ValueError("the revision is not the hash of the files listed: the list was changed")
        return self

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(entry.size for entry in self.files)

    def text(self) -> str:
        """The file's content."""
        return json.dumps(self.model_dump(), indent=1) + "\n"


def content_hash(files: Iterable[Entry]) -> str:
    """First 16 hex digits of the SHA-256 over 'sha256 size path' of every file, in order of the path."""
    lines = sorted((entry.path, f"{entry.sha256} {entry.size} {entry.path}\n") for entry in files)
    return hashlib.sha256("".join(line for _, line in lines).encode()).hexdigest()[:16]


def read_listing(data: bytes, origin: str) -> Release:
    """Parse and check a release.json that came from `origin`. Raises UserError naming what is wrong in it."""
    try:
        values = json.loads(data.decode("utf-8"))
    except ValueError as error:
        raise UserError(f"{origin}: {FILE} is not JSON ({error}); the place holds no release of this project") from None
    return validate(Release, values, f"{origin}: {FILE}")


def read_kept(folder: Path) -> Release | None:
    """The listing of a release folder on this machine, None when it has none (a pull that did not finish)."""
    file = folder / FILE
    return read_listing(file.read_bytes(), str(folder)) if file.is_file() else None
