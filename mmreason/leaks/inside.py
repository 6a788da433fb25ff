"""What one set holds twice, and how many rows of each set share something with each other set."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from mmreason.data.text import normal, question_of
from mmreason.leaks import answers
from mmreason.leaks.compare import by_stem
from mmreason.leaks.media import Compared, File, RowSet, files_of, identities
from mmreason.records import Sample

Facts = dict[str, Any]
THINGS = ("questions", "documents", "pictures", "clips")


def repeats(one: RowSet, compared: Compared) -> Facts:
    """What a set holds twice: rows, questions by their words alone, documents, files that show the same."""
    by_row: dict[tuple[str, ...], list[str]] = defaultdict(list)
    golds: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for sample in one.samples:
        row = answers.asked(sample)
        shown = sorted(ref.sha256 for ref in sample.media)
        key = (normal(sample.question), *sorted(map(normal, sample.answer.options.values())), *shown)
        by_row[key].append(sample.id)
        golds[key].add(row.answer)
    groups = [ids for ids in by_row.values() if len(ids) > 1]
    stems = [ids for ids in by_stem(one.samples).values() if len(ids) > 1]
    return {
        "rows": len(one.samples),
        "same_row": {"groups": len(groups), "rows": sum(map(len, groups)), "ids": groups},
        "other_answer": sum(len(found) > 1 for found in golds.values()),
        "same_question": {"groups": len(stems), "rows": sum(map(len, stems))},
        "documents": len({sample.source.document for sample in one.samples if sample.source.document}),
        **{
            name: _repeated(files_of(one, kind), compared) for name, kind in (("pictures", "image"), ("clips", "video"))
        },
    }


def _repeated(files: dict[File, str], compared: Compared) -> Facts:
    showing: dict[str, list[str]] = defaultdict(list)
    for file, shown in files.items():
        showing[shown].append(file[1])
    groups = [paths for paths in showing.values() if len(paths) > 1]
    return {
        "files": len(files),
        "distinct": len(showing),
        "not_comparable": sum(file in compared.faults for file in files),
        "groups": groups,
    }


def keys_of(sample: Sample, thing: str) -> set[str]:
    """What of one kind a row can share with rows of other sets."""
    if thing == "questions":
        return {normal(question_of(sample))}
    if thing == "documents":
        return {sample.source.document} - {""}
    return set(identities(sample, "image" if thing == "pictures" else "video"))


def matrix(sets: list[RowSet], thing: str) -> list[list[int]]:
    """Rows of each set (line) that share a question, document, picture or clip with each set (column).

    On the diagonal: rows that share it with another row of their own set.
    """
    rows = [[keys_of(sample, thing) for sample in one.samples] for one in sets]
    counts = [Counter(key for keys in lines for key in keys) for lines in rows]
    return [
        [sum(any(counts[b][key] > (a == b) for key in keys) for keys in rows[a]) for b in range(len(sets))]
        for a in range(len(sets))
    ]
