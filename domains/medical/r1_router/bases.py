"""The knowledge bases behind a desk: corpora of the data folder, services, or the made-up world.

The retrievers are the suite's (`mmreason/retrieval`, BM25 unless the recipe says otherwise), but for pictures of the
made-up world, which are found by their likeness (`glyphs.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from mmreason.errors import UserError
from mmreason.media.files import open_image
from mmreason.project import load_module
from mmreason.records import Sample
from mmreason.retrieval.bases import index_root
from mmreason.retrieval.make import make_retriever, read_named
from mmreason.retrieval.passages import Passage, Retriever

_HERE = Path(__file__).parent
glyphs = load_module(_HERE / "glyphs.py")
settings = load_module(_HERE / "settings.py")
world = load_module(_HERE / "world.py")

WORLD = "router_world"
"""The source of made-up questions, whose options say which world the bases hold."""
Find = Callable[[Sequence[tuple[str, Sample]], int], list[list[Passage]]]
"""(sub-question, sample) of each, and how many passages -> what is found for each."""


@dataclass(frozen=True, slots=True)
class Base:
    """One knowledge base, ready."""

    find: Find
    passages: Sequence[Passage]
    """All it holds; empty where a service holds them."""


def open_bases(options: Mapping[str, Any], own: Any, folder: Path, root: Path | None) -> dict[str, Base]:
    """The bases of `own`, the settings in `options`. `folder`: the domain's, for readers; `root`: the data folder,
    where corpora and pictures lie. Raises UserError for a corpus that is not there."""
    if _is_real(own, root):
        return {name: _real(name, base, folder, root) for name, base in own.bases.items()}
    if not own.made_up:
        wanted = ", ".join(file for base in own.bases.values() for file in base.files) or "files, or a service,"
        raise UserError(
            f"no knowledge base: {wanted} under options.r1_router.bases are not in {root or 'any data folder'}; give "
            "the data folder with --data, or name a service"
        )
    made = world.make(world.WorldSettings(**_world_options(options)))
    return {name: _made(name, made, root) for name in own.bases}


def _is_real(own: Any, root: Path | None) -> bool:
    files = [file for base in own.bases.values() for file in base.files]
    return any(base.retrieval.service for base in own.bases.values()) or (
        root is not None and any((root / file).exists() for file in files)
    )


def _world_options(options: Mapping[str, Any]) -> dict[str, Any]:
    known = world.WorldSettings.model_fields
    return {key: value for key, value in options.get(WORLD, {}).items() if key in known}


def _real(name: str, base: Any, folder: Path, root: Path | None) -> Base:
    """A base over a corpus of the data folder, or a service; one without either finds nothing."""
    cache = index_root()
    if base.retrieval.service:
        return Base(_by_text(make_retriever([], cache, base.retrieval)), ())
    if not base.files or root is None:
        return Base(lambda asked, k: [[] for _ in asked], ())
    absent = [file for file in base.files if not (root / file).exists()]
    if absent:
        raise UserError(f"base {name!r}: {absent[0]} is not in {root}; fetch it, or leave the base's files out")
    corpus = read_named(base.reader, folder, [root / file for file in base.files])
    return Base(_by_text(make_retriever(corpus.passages, cache, base.retrieval)), corpus.passages)


def _made(name: str, made: Any, root: Path | None) -> Base:
    """A base of the made-up world. Raises UserError for a name that it does not have."""
    passages = made.passages(name)
    if not passages:
        known = ", ".join(sorted({relation.base for relation in world.RELATIONS.values()}))
        raise UserError(f"base {name!r}: the made-up world holds only {known}; name one of these, or give files")
    if name != world.IMAGE:
        return Base(_by_text(make_retriever(passages, index_root(), settings.RetrievalSettings())), passages)
    pictures = glyphs.PictureBase(passages, [passage.id.partition("/")[2] for passage in passages])

    def find(asked: Sequence[tuple[str, Sample]], k: int) -> list[list[Passage]]:
        shown = [_picture(sample, root) for _, sample in asked]
        return [[hit.passage for hit in hits] for hits in pictures.search(shown, k)]

    return Base(find, passages)


def _by_text(retriever: Retriever) -> Find:
    def find(asked: Sequence[tuple[str, Sample]], k: int) -> list[list[Passage]]:
        return [[hit.passage for hit in hits] for hits in retriever.search([query for query, _ in asked], k)]

    return find


def _picture(sample: Sample, root: Path | None) -> Image.Image | None:
    return open_image(root, sample.media[0]) if sample.media and root is not None else None
