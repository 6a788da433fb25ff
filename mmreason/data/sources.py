"""From a declared source to a stream of samples: files found, reader loaded, ids and counts checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mmreason.config import Domain
from mmreason.data.step import Drop, ReadRequest
from mmreason.errors import UserError, nearest
from mmreason.media.files import MediaFault
from mmreason.project import load_ref
from mmreason.records import Sample

_MANY = {"repeats", "protocol"}
"""Reader options that change how many items one row of the release gives."""


def data_root(domain: Domain, data_dir: Path | None, made: Path | None = None) -> Path:
    """Folder that file and media paths are relative to: the data folder, or without one where generated sets put
    their pictures (`made`), or the domain's own."""
    return (data_dir or made or domain.folder).resolve()


def check_use(domain: Domain, names: Iterable[str]) -> None:
    """Raise UserError when a source declared `use: eval` is asked for as training data."""
    refused = [name for name in names if domain.source(name).use == "eval"]
    if refused:
        raise UserError(
            f"{', '.join(refused)}: declared 'use: eval' in {domain.folder / 'sources.yaml'}; "
            "training on an evaluation set is refused, take it out of the training pipelines"
        )


def take_options(request: ReadRequest, **defaults: Any) -> dict[str, Any]:
    """The reader's options over its defaults; unknown keys and wrong types are UserErrors.

    A default that is a tuple lists the allowed values, the first being the default.
    """
    values = {key: value[0] if isinstance(value, tuple) else value for key, value in defaults.items()}
    for key, value in request.options.items():
        if key not in defaults:
            raise UserError(f"source {request.name}: unknown option {key!r}{nearest(key, defaults)}")
        allowed = defaults[key]
        if isinstance(allowed, tuple) and value not in allowed:
            raise UserError(f"source {request.name}: option {key} is {value!r}, expected one of {', '.join(allowed)}")
        if not isinstance(allowed, tuple) and type(value) is not type(allowed):
            raise UserError(f"source {request.name}: option {key} is {value!r}, expected {type(allowed).__name__}")
        values[key] = value
    return values


def source_files(domain: Domain, name: str, split: str, data_dir: Path | None) -> list[Path]:
    """The existing files of one split; empty for a generated set.

    Raises UserError for an undeclared split, a path that leaves the data folder, and missing files,
    saying where the set is had.
    """
    entry, root = domain.source(name), data_root(domain, data_dir)
    if not entry.files:
        return []
    if split not in entry.files:
        raise UserError(f"source {name} declares no split {split!r}{nearest(split, entry.files)}")
    paths = [(root / file).resolve() for file in entry.files[split]]
    for file, path in zip(entry.files[split], paths, strict=True):
        if not path.is_relative_to(root):
            raise UserError(f"source {name}: file {file!r} leaves the data folder {root}; use a path inside it")
    missing = [file for file, path in zip(entry.files[split], paths, strict=True) if not path.is_file()]
    if missing:
        had = f"; the set is had at {entry.url}" if entry.url else ""
        flag = "" if data_dir else " (no --data folder was given)"
        raise UserError(f"source {name}, split {split}: {', '.join(missing)} missing under {root}{flag}{had}")
    return paths


def has_files(domain: Domain, name: str, split: str, data_dir: Path | None) -> bool:
    """Whether every declared file of the split is there; True for a generated set."""
    entry, root = domain.source(name), data_root(domain, data_dir)
    return not entry.files or all((root / file).is_file() for file in entry.files.get(split, [""]))


def _unique(items: Iterable[Sample | Drop], name: str) -> Iterator[Sample | Drop]:
    seen: set[str] = set()
    for item in items:
        if item.id in seen:
            raise UserError(f"source {name}: id {item.id!r} occurs twice; ids must be unique, rename or remove one row")
        seen.add(item.id)
        yield item


def _shown(items: Iterable[Sample | Drop], broken: dict[str, MediaFault], name: str) -> Iterator[Sample | Drop]:
    """Rows whose media can all be shown; the others as drops. Raises UserError where no row is left for that reason."""
    kept, faults = 0, 0
    for item in items:
        hurt = [ref.path for ref in item.media if ref.path in broken] if isinstance(item, Sample) else []
        if isinstance(item, Sample) and hurt:
            faults += 1
            fault = broken[hurt[0]]
            yield Drop(item.id, "read", fault.reason, str(fault), item.to_dict())
            continue
        kept += isinstance(item, Sample)
        yield item
    if faults and not kept:
        first = next(iter(broken.values()))
        raise UserError(f"source {name}: the pictures of all {faults} rows cannot be shown, the first: {first}")


def read_source(
    domain: Domain,
    name: str,
    split: str,
    data_dir: Path | None,
    options: dict[str, Any] | None = None,
    seed: int = 0,
    made: Path | None = None,
    need_media: bool = True,
    missing: list[str] | None = None,
) -> Iterator[Sample | Drop]:
    """Stream one split of a declared source. Without a data folder, generated pictures go to `made`.

    `need_media=False` reads annotations without looking for pictures and clips. Absent ones that a reader attaches
    with `ReadRequest.attach` are listed in `missing`; without that list they are a UserError. Rows with a picture or
    clip that is there and cannot be shown (damaged, too large, DICOM, ...) are drops with the reason, and a UserError
    where that is all of them.

    Where sources.yaml states `count` for the split, any other number of items (samples and drops) is a
    UserError once the stream ends, unless options hold `subset: true`, which allows fewer. Entries whose
    files are known to be a part of the release state no count, and reading several items of a row is not counted.
    """
    entry, options = domain.source(name), dict(options or {})
    subset = options.pop("subset", False)
    files = source_files(domain, name, split, data_dir)
    root = data_root(domain, data_dir, None if entry.files else made)
    broken: dict[str, MediaFault] = {}
    request = ReadRequest(name, split, files, entry, options, seed, root, need_media, missing, broken)
    found = 0
    for item in _shown(_unique(load_ref(entry.reader, domain.folder)(request), name), broken, name):
        found += 1
        yield item
    if not found:
        raise UserError(f"source {name}, split {split}: no rows in {', '.join(map(str, files)) or 'the generated set'}")
    expected = found if _MANY & options.keys() else entry.count.get(split, found)
    if found > expected or (found < expected and not subset):
        raise UserError(
            f"source {name}, split {split}: {found} rows, the release has {expected}; "
            "fetch the whole file, or set the option subset: true for a part of it"
        )
