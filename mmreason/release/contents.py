"""The files of a release, made from a run folder: name -> where it lies, or its bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmreason.release.check import Source
from mmreason.release.licence import licence_text
from mmreason.release.listing import Entry, Release, content_hash
from mmreason.release.scrub import known_roots, public_manifest, scrub, scrub_text, without_pictures
from mmreason.release.store import Content
from mmreason.release.weights import model_files
from mmreason.report.card import Publication, base_model_name, card_markdown
from mmreason.run.files import file_sha256


def _json(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode()


def contents(source: Source, name: str) -> dict[str, Content]:
    """Everything but release.json. The same run and name give the same bytes."""
    roots = known_roots(source.folder.path, source.view.manifest)
    card = card_markdown(source.folder, Publication(name, source.licence))
    page = (source.folder.path / "report.html").read_text(encoding="utf-8")
    files: dict[str, Content] = dict(model_files(source.checkpoint))
    files["protocol.json"] = _json(source.protocol)
    files["manifest.json"] = _json(public_manifest(source.view.manifest, roots))
    files["README.md"] = scrub_text(card, roots).encode()
    files["LICENSE"] = licence_text(source.licence, name, base_model_name(source.view), source.sets).encode()
    files["evaluation/report.html"] = scrub_text(without_pictures(page), roots).encode()
    for suite, results in source.results.items():
        files[f"evaluation/{suite}.json"] = _json(scrub(results, roots))
    return files


def entry(path: str, content: Content) -> Entry:
    """Size and checksum of one file."""
    if isinstance(content, Path):
        return Entry(path=path, size=content.stat().st_size, sha256=file_sha256(content))
    return Entry(path=path, size=len(content), sha256=hashlib.sha256(content).hexdigest())


def listing(files: Mapping[str, Content], name: str) -> Release:
    """release.json of these files."""
    entries = [entry(path, files[path]) for path in sorted(files)]
    return Release(name=name, revision=content_hash(entries), files=entries)
