"""A training set against an evaluation set: rows, questions, documents, pictures, clips, answers given away."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from mmreason.data.decontaminate import decontaminate
from mmreason.data.text import normal, question_of
from mmreason.leaks import answers
from mmreason.leaks.media import UNREAD, Compared, File, RowSet, files_of, identities
from mmreason.leaks.text import NearTexts, SharedRuns, stem_shingles
from mmreason.records import Sample

Facts = dict[str, Any]


def by_stem(samples: Iterable[Sample]) -> dict[str, list[str]]:
    """Question without context, options, case, spacing and punctuation -> ids."""
    found: dict[str, list[str]] = defaultdict(list)
    for sample in samples:
        found[normal(question_of(sample))].append(sample.id)
    return found


def _groups(pairs: Iterable[tuple[list[str], list[str], float]]) -> Facts:
    """Groups of (training ids, evaluation ids, similarity) with the rows of both sides counted once."""
    listed = list(pairs)
    return {
        "train_rows": len({row for train, _, _ in listed for row in train}),
        "eval_rows": len({row for _, known, _ in listed for row in known}),
        "groups": [{"train": train, "eval": known, "similarity": round(value, 4)} for train, known, value in listed],
    }


def questions(train: RowSet, evaluation: RowSet) -> Facts:
    """Questions by their words alone, whatever they are asked of: the same, nearly the same, half of their runs of 13
    words in one training row (context included).

    In sets of pictures and reports a template is asked of each, so equal words are no leak by themselves.
    """
    mine, known = by_stem(train.samples), by_stem(evaluation.samples)
    stems = list(known)
    near_texts = NearTexts(stem_shingles(stem) for stem in stems)
    near = [
        (ids, known[stems[index]], similarity)
        for stem, ids in mine.items()
        for index, similarity in near_texts.near(stem_shingles(stem))
        if stems[index] != stem
    ]
    search = SharedRuns(stems)
    by_text: dict[str, list[str]] = defaultdict(list)
    for sample in train.samples:
        by_text[sample.question].append(sample.id)
    shared = [
        (ids, known[stems[index]], share) for text, ids in by_text.items() for index, share in search.shared(text)
    ]
    return {
        "same": _groups((mine[stem], known[stem], 1.0) for stem in stems if stem in mine),
        "near": _groups(near),
        "runs": {**_groups(shared), "eval_too_short": search.too_short},
    }


def documents(train: RowSet, evaluation: RowSet) -> Facts:
    """Reports, pages and dialogues that both sides were cut from."""
    mine = {sample.source.document for sample in train.samples if sample.source.document}
    known = {sample.source.document for sample in evaluation.samples if sample.source.document}
    both = mine & known
    return {
        "train": len(mine),
        "eval": len(known),
        "shared": len(both),
        "train_rows": sum(sample.source.document in both for sample in train.samples),
        "eval_rows": sum(sample.source.document in both for sample in evaluation.samples),
        "ids": sorted(both),
    }


def _copies(train: dict[File, str], evaluation: dict[File, str], compared: Compared) -> list[Facts]:
    """Each evaluation file that training shows too, with the training file that is most like it."""
    likeness = {frozenset((pair.a, pair.b)): pair for pair in compared.alike if pair.how == "near"}
    showing: dict[str, list[File]] = defaultdict(list)
    for file, identity in train.items():
        showing[identity].append(file)
    listed = []
    for file, identity in evaluation.items():
        rank, _, other = min((*_rank(file, other, compared), other) for other in showing[identity])
        near = likeness.get(frozenset((file, other)))
        about = {"similarity": near.similarity, "note": near.note} if near else {}
        listed.append({"train": other[1], "eval": file[1], "how": HOW[rank], **about})
    return listed


HOW = ("file", "pixels", "near")
"""Equal bytes, equal pixels, nearly the same (or linked by a third file that is)."""


def _rank(file: File, other: File, compared: Compared) -> tuple[int, int]:
    """Place in HOW, then whether the names differ: a file is most like itself."""
    (bytes_a, pixels_a), (bytes_b, pixels_b) = compared.marks[file], compared.marks[other]
    how = 0 if bytes_a == bytes_b else 1 if pixels_a and pixels_a == pixels_b else 2
    return how, int(file[1] != other[1])


def media(train: RowSet, evaluation: RowSet, compared: Compared, kind: str) -> Facts:
    """Pictures ("image") or clips ("video") of both sides, by what they show.

    Rows are those whose picture or clip stands on the other side. Files that could not be read are `not_comparable`
    and equal nothing.
    """
    mine, known = files_of(train, kind), files_of(evaluation, kind)
    both = {shown for shown in set(mine.values()) & set(known.values()) if not shown.startswith(UNREAD)}
    pairs = _copies(
        {file: shown for file, shown in mine.items() if shown in both},
        {file: shown for file, shown in known.items() if shown in both},
        compared,
    )
    return {
        "train": len(mine),
        "eval": len(known),
        "train_shared": sum(shown in both for shown in mine.values()),
        "eval_shared": len(pairs),
        "train_rows": sum(bool(identities(sample, kind) & both) for sample in train.samples),
        "eval_rows": sum(bool(identities(sample, kind) & both) for sample in evaluation.samples),
        "how": {how: sum(pair["how"] == how for pair in pairs) for how in HOW},
        "not_comparable": {
            "train": sorted(path for root, path in mine.keys() & compared.faults.keys()),
            "eval": sorted(path for root, path in known.keys() & compared.faults.keys()),
        },
        "pairs": pairs,
    }


def given(train: RowSet, evaluation: RowSet) -> Facts:
    """Evaluation rows whose answer stands in training rows on the same picture or clip, strongest kind each."""
    rows = answers.by_medium(train.samples)
    pairs = answers.given(rows, evaluation.samples)
    right, asked = answers.lookup(rows, evaluation.samples)
    return {
        "kinds": {kind.value: sum(pair.kind is kind for pair in pairs) for kind in answers.Given},
        "lookup": {"asked": asked, "right": right},
        "pairs": [asdict(pair) for pair in pairs],
    }


def compare(train: RowSet, evaluation: RowSet, compared: Compared) -> Facts:
    """Everything that is said of one pair of sets; both are of `compared.sets`, and may be one set."""
    _, pairs = decontaminate(train.samples, evaluation.samples)
    kinds: dict[str, int] = {}
    for pair in pairs:
        kinds[pair.kind.value] = kinds.get(pair.kind.value, 0) + 1
    return {
        "train": train.name,
        "eval": evaluation.name,
        "rows": {"train": len(train.samples), "eval": len(evaluation.samples)},
        "leaks": {"train_rows": len(pairs), "kinds": kinds, "pairs": [asdict(pair) for pair in pairs]},
        "questions": questions(train, evaluation),
        "documents": documents(train, evaluation),
        "pictures": media(train, evaluation, compared, "image"),
        "clips": media(train, evaluation, compared, "video"),
        "answers": given(train, evaluation),
    }
