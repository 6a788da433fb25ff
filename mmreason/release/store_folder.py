"""Releases in a folder of this machine: written beside and renamed; links are not followed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from mmreason.errors import UserError
from mmreason.release import shelf
from mmreason.release.listing import FILE, MAX_BYTES, Release
from mmreason.release.store import LATEST, Content, Found
from mmreason.run.files import file_sha256, replacing, replacing_folder
from mmreason.run.progress import Tick

_CHUNK = 1 << 20


class FolderStore:
    """A folder that holds the revisions of one model."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.address = str(self.path)
        self.default_name = self.path.name

    def _inside(self, path: str) -> Path:
        """A file of the place; one that is a link, or lies behind one, is refused."""
        file = self.path / path
        steps = [file, *(parent for parent in file.parents if parent.is_relative_to(self.path) and parent != self.path)]
        if any(step.is_symlink() for step in steps):
            raise UserError(f"{file}: a release holds no links; publish the files themselves")
        return file

    def _read(self, path: str) -> bytes | None:
        file = self._inside(path)
        if not file.is_file():
            return None
        with file.open("rb") as handle:
            return handle.read(MAX_BYTES)

    def find(self, ref: str | None) -> Found | None:
        """See Store."""
        return shelf.find(self._read, ref, self.address)

    def chunks(self, where: str, path: str, start: int) -> Iterator[bytes]:
        """See Store. Raises UserError when the file is gone."""
        file = self._inside(f"{where}/{path}")
        if not file.is_file():
            raise UserError(f"{self.path} lacks {where}/{path}, which its {FILE} lists: publish it again")
        with file.open("rb") as handle:
            handle.seek(start)
            while chunk := handle.read(_CHUNK):
                yield chunk

    def put(self, files: Mapping[str, Content], release: Release, label: str | None, tick: Tick) -> None:
        """See Store."""
        self._check_free()
        if self.find(release.revision) is None:
            self._write(files, release, tick)
        for path, data in shelf.pointers(release.revision, label):
            with replacing(self._inside(path)) as beside:
                beside.write_bytes(data)

    def _check_free(self) -> None:
        """Refuse to mix a release into a folder of other things."""
        if self.path.is_dir() and any(self.path.iterdir()) and self._read(shelf.pointer_path(LATEST)) is None:
            known = {path.name for path in self.path.iterdir()}
            raise UserError(
                f"{self.path} holds other files ({', '.join(sorted(known)[:3])}): name a new or empty folder, for "
                f"example {self.path / 'NAME'}"
            )

    def _write(self, files: Mapping[str, Content], release: Release, tick: Tick) -> None:
        with replacing_folder(self.path / release.revision) as beside:
            for entry in release.files:
                target, content = beside / entry.path, files[entry.path]
                target.parent.mkdir(parents=True, exist_ok=True)
                if isinstance(content, bytes):
                    target.write_bytes(content)
                else:
                    shutil.copyfile(content, target)
                if file_sha256(target) != entry.sha256:
                    raise UserError(
                        f"{entry.path} changed while it was published: stop what writes to it and try again"
                    )
                tick(entry.size)
            (beside / FILE).write_text(release.text(), encoding="utf-8")
