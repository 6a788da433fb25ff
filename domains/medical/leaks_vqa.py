"""Which training rows ask about pictures of evaluation parts: VQA-RAD was split by question, SLAKE by language.

Pictures are told by the name that the release gives them (`source.document`), so that neither picture need be at hand;
copies under other names are what `mmreason leaks` finds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from mmreason.data.sources import has_files, read_source
from mmreason.data.step import Drop, StepContext
from mmreason.errors import UserError, nearest
from mmreason.project import load_module
from mmreason.records import Sample

rows = load_module(Path(__file__).parent / "vqa_rows.py")


def pictures_of(context: StepContext, spec: str) -> frozenset[str] | None:
    """Names of all pictures of "source:split"; None where its files are not at hand. Raises UserError for unknown ones.

    All languages of SLAKE are read: its English test pictures are in the Chinese training part.
    """
    name, _, part = spec.partition(":")
    domain = context.domain
    if name not in domain.sources:
        raise UserError(f"step shared_pictures: no source {name!r} in {spec!r}{nearest(name, domain.sources)}")
    if part not in domain.source(name).files:
        raise UserError(
            f"step shared_pictures: no split {part!r} in {spec!r}{nearest(part, domain.source(name).files)}"
        )
    if not has_files(domain, name, part, context.data_dir):
        return None
    options = {"subset": True} | ({"lang": "all"} if domain.source(name).reader.endswith(":slake") else {})
    found = read_source(domain, name, part, context.data_dir, options, need_media=False)
    return frozenset(item.source.document for item in found if isinstance(item, Sample))


def shared_pictures(
    stream: Iterable[Sample | Drop], context: StepContext, against: Sequence[str], action: str = "flag"
) -> Iterator[Sample | Drop]:
    """Flag (metadata `picture_in`) or drop the rows whose picture is also in one of the parts `against`.

    A part that is not at hand cannot be compared with and is counted as `not_at_hand`. The flags file tells rows and
    pictures for each part. Raises UserError for an unknown action, source or split.
    """
    if action not in rows.ACTIONS:
        raise UserError(f"step shared_pictures: action is {action!r}, expected one of {', '.join(rows.ACTIONS)}")
    known = {spec: pictures_of(context, spec) for spec in against}
    counts = Counter({f"{spec} not_at_hand": 1 for spec, names in known.items() if names is None})
    seen: dict[str, set[str]] = {spec: set() for spec in known}
    dataset = ""
    for item in stream:
        if isinstance(item, Drop):
            yield item
            continue
        dataset, picture = item.source.dataset, item.source.document
        inside = [spec for spec, names in known.items() if names is not None and picture in names]
        for spec in inside:
            counts[f"{spec} rows"] += 1
            seen[spec].add(picture)
        if inside and action == "drop":
            yield Drop(item.id, "shared_pictures", "picture_in_evaluation", f"{picture} in {inside}", item.to_dict())
        else:
            yield item.with_meta(picture_in=inside) if inside else item
    counts.update({f"{spec} pictures": len(names) for spec, names in seen.items() if names})
    rows.tell(context, dataset, "shared_pictures", counts)
