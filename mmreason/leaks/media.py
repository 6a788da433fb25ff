"""Pictures and clips of several sets of samples under one identity, however their files are named and encoded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mmreason.errors import MissingExtra, UserError
from mmreason.leaks import clips, pictures
from mmreason.media.clips import open_clip
from mmreason.media.files import media_ref, open_image
from mmreason.records import MediaRef, Sample
from mmreason.run.progress import progress

File = tuple[str, str]
"""Folder and path in it."""
UNREAD = "unread:"
"""Begins the identity of a medium that could not be read: it is like no other."""


@dataclass(frozen=True, slots=True)
class RowSet:
    """Samples and the folder that their media paths are relative to."""

    name: str
    samples: list[Sample]
    root: Path


@dataclass(frozen=True, slots=True)
class Alike:
    """Two files that show the same."""

    a: File
    b: File
    kind: str
    """"image" or "video"."""
    how: str
    """"file" (equal bytes), "pixels" (equal pictures) or "near"."""
    similarity: float
    note: str = ""
    """Differing hash bits of pictures; which seconds of clips agree."""


@dataclass(frozen=True, slots=True)
class Compared:
    """The sets with `sha256` of each medium replaced by the identity that it shares with its copies."""

    sets: list[RowSet]
    alike: list[Alike]
    """Each file with the first equal one, and all pairs that are nearly the same."""
    marks: dict[File, tuple[str, str]] = field(default_factory=dict)
    """(folder, path) of each medium that was read -> hash of its file and of its pixels (empty for clips)."""
    faults: dict[File, str] = field(default_factory=dict)
    """Media that could not be compared: (folder, path) -> why."""

    def told_faults(self) -> list[dict[str, str]]:
        """The faults as rows {root, path, why}."""
        return [{"root": root, "path": path, "why": why} for (root, path), why in self.faults.items()]


def _key(root: Path, ref: MediaRef) -> File:
    return str(root), ref.path


def read_picture(root: Path, ref: MediaRef) -> pictures.Print:
    """Fingerprint one picture. Raises UserError when it is missing, broken or no longer what the sample says."""
    checked = ref if ref.sha256 else media_ref(root, ref.path)
    return pictures.print_of(open_image(root, checked), checked.sha256)


def read_clip(root: Path, ref: MediaRef) -> clips.Print:
    """Fingerprint a whole clip, whatever part of it the sample asks about. Raises UserError as `read_picture`."""
    checked = ref if ref.sha256 else media_ref(root, ref.path, ref.kind, ref.fps)
    whole = MediaRef(checked.sha256, ref.kind, ref.path, tokens=0, fps=ref.fps, frame_rule="all")
    return clips.print_of(open_clip(root, whole), checked.sha256)


def _references(sets: Sequence[RowSet], kind: str) -> dict[File, tuple[Path, MediaRef]]:
    """Every file once, in order of appearance."""
    found: dict[File, tuple[Path, MediaRef]] = {}
    for one in sets:
        for sample in one.samples:
            for ref in sample.media:
                if ref.kind == kind:
                    found.setdefault(_key(one.root, ref), (one.root, ref))
    return found


class _Groups:
    """Union of keys that show the same; the first key names the group."""

    def __init__(self) -> None:
        self._parent: dict[File, File] = {}

    def find(self, key: File) -> File:
        while (above := self._parent.get(key, key)) != key:
            key = above
        return key

    def join(self, a: File, b: File) -> None:
        first, second = self.find(a), self.find(b)
        if first != second:
            self._parent[second] = first


def compare_media(sets: Sequence[RowSet]) -> Compared:
    """Fingerprint every picture and clip of the sets once, and give what shows the same one identity.

    Pictures that are linked by others count as one (a near b, b near c). A medium that cannot be read is listed in
    `faults` and equals nothing. Raises MissingExtra where there are clips and no library to read them.
    """
    alike: list[Alike] = []
    faults: dict[File, str] = {}
    marks: dict[File, tuple[str, str]] = {}
    groups = _Groups()
    for kind in ("image", "video"):
        references = _references(sets, kind)
        prints: dict[File, pictures.Print | clips.Print] = {}
        with progress(f"fingerprint {kind}s", total=len(references)) as tick:
            for key, (root, ref) in references.items():
                try:
                    prints[key] = read_picture(root, ref) if kind == "image" else read_clip(root, ref)
                except MissingExtra:
                    raise
                except UserError as error:
                    faults[key] = str(error)
                tick()
        marks |= {key: (one.file, one.pixels) for key, one in prints.items()}
        for pair in _pairs(kind, prints):
            alike.append(pair)
            groups.join(pair.a, pair.b)
    return Compared([_renamed(one, groups, marks) for one in sets], alike, marks, faults)


def _pairs(kind: str, prints: dict[File, pictures.Print | clips.Print]) -> Iterable[Alike]:
    keys = list(prints)
    if kind == "image":
        found = pictures.alike([one for one in prints.values() if isinstance(one, pictures.Print)])
        for like in found:
            yield Alike(keys[like.a], keys[like.b], kind, like.how, like.correlation, f"{like.bits} bits")
        return
    for match in clips.alike([one for one in prints.values() if isinstance(one, clips.Print)]):
        yield Alike(keys[match.a], keys[match.b], kind, match.how, match.correlation, match.note)


def _renamed(one: RowSet, groups: _Groups, marks: dict[File, tuple[str, str]]) -> RowSet:
    def identity(ref: MediaRef) -> MediaRef:
        key = _key(one.root, ref)
        return replace(ref, sha256=marks[groups.find(key)][0] if key in marks else UNREAD + "/".join(key))

    samples = [replace(sample, media=tuple(map(identity, sample.media))) for sample in one.samples]
    return replace(one, samples=samples)


def identities(sample: Sample, kind: str | None = None) -> frozenset[str]:
    """What a sample of `Compared.sets` shows, of one kind or of all, without what could not be read."""
    return frozenset(
        ref.sha256
        for ref in sample.media
        if ref.sha256 and not ref.sha256.startswith(UNREAD) and kind in (None, ref.kind)
    )


def files_of(one: RowSet, kind: str) -> dict[File, str]:
    """Every file of a set in `Compared.sets` -> what it shows."""
    return {_key(one.root, ref): ref.sha256 for s in one.samples for ref in s.media if ref.kind == kind}
