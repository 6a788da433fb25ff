"""Rows of a training set that an evaluation set knows: exact, renamed, re-spaced and lightly reworded copies.

A question is a leak when its text is (nearly) that of an evaluation question *and* it is asked of the same thing:
"what was the change in net sales from 2016 to 2017" is a different question of every report. A reproduction found
37 of 4,851 public FinQA training rows in the test split under other ids; `same_question` is that kind.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from mmreason.data.text import jaccard, normal, numbers, question_of, shingles
from mmreason.leaks.media import UNREAD, Compared, identities
from mmreason.leaks.text import NEAR, SHINGLE, NearTexts
from mmreason.records import Sample
from mmreason.run.progress import progress

REWORDED = 0.5
"""Jaccard similarity of the words of two questions about one document with one gold answer and the same numbers
[reconstructed]."""


class Leak(StrEnum):
    """Why a training row is dropped, strongest first."""

    SAME_TEXT = "same_text"
    """Context, question and options equal, spacing, case and punctuation aside."""
    SAME_QUESTION = "same_question"
    """The same question of the same document under another id or context (the 37 rows)."""
    TWIN = "twin"
    """The other form (open or multiple choice) of an evaluation question."""
    NEAR_TEXT = "near_text"
    """Nearly the same context, question and options, with the same numbers in the question."""
    REWORDED = "reworded"
    """The same document, numbers and gold answer, the question put a little differently."""
    MEDIA = "media"
    """Another question about a picture or clip that the evaluation asks about."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A training row and the evaluation row that knows it."""

    kind: Leak
    train: str
    eval: str
    similarity: float


@dataclass(frozen=True, slots=True)
class _Key:
    """A sample as it is compared."""

    sample: Sample
    text: str
    question: str
    numbers: tuple[str, ...]
    document: str
    twins: frozenset[str]
    media: tuple[str, ...]
    """What each picture and clip is known by, in order; a file that was not read by its path."""

    def words(self) -> frozenset[str]:
        return shingles(self.question, 1)

    def all_shingles(self) -> frozenset[str]:
        return shingles(self.text, SHINGLE)


def _key(sample: Sample) -> _Key:
    if "prompted" in sample.metadata:
        raise ValueError(f"sample {sample.id} carries a prompt's wording; decontaminate compares bare questions")
    options = " ".join(sorted(sample.answer.options.values()))
    question = question_of(sample)
    twin = sample.metadata.get("twin_of", sample.id)
    own = f"{sample.source.dataset}/{sample.source.split}/{sample.source.row}"
    media = tuple(reference.sha256 or UNREAD + reference.path for reference in sample.media)
    return _Key(
        sample,
        normal(f"{sample.question} {options} {' '.join(media)}"),
        normal(question),
        numbers(question),
        sample.source.document,
        frozenset({sample.id, str(twin), own}),
        media,
    )


class EvalIndex:
    """The evaluation side, ready to be asked about training rows."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self.keys = [_key(sample) for sample in samples]
        self._by_text = {key.text: key for key in reversed(self.keys)}
        self._by_twin = {twin: key for key in reversed(self.keys) for twin in key.twins}
        self._by_document: dict[str, list[_Key]] = defaultdict(list)
        for key in self.keys:
            if key.document:
                self._by_document[key.document].append(key)
        self._by_media = {medium: key for key in reversed(self.keys) for medium in identities(key.sample)}
        self._near_texts = NearTexts(key.all_shingles() for key in self.keys)

    @property
    def documents(self) -> set[str]:
        """Documents that evaluation questions were cut from."""
        return set(self._by_document)

    def find(self, sample: Sample) -> Pair | None:
        """The strongest leak of a training sample, None when it is clean."""
        key = _key(sample)
        if key.text in self._by_text:
            return Pair(Leak.SAME_TEXT, sample.id, self._by_text[key.text].sample.id, 1.0)
        named = self._by_document.get(key.document, []) if key.document else []
        beside = [other for other in named if not _on_other_media(key, other)]
        for other in beside:
            if other.question == key.question:
                return Pair(Leak.SAME_QUESTION, sample.id, other.sample.id, 1.0)
        for twin in sorted(key.twins & self._by_twin.keys()):
            return Pair(Leak.TWIN, sample.id, self._by_twin[twin].sample.id, 1.0)
        return self._near(key) or self._reworded(key, beside) or self._media(key)

    def _near(self, key: _Key) -> Pair | None:
        best: tuple[float, _Key] | None = None
        for index, similarity in self._near_texts.near(key.all_shingles()):
            other = self.keys[index]
            if other.media != key.media:
                continue  # one question about two pictures is two questions
            if other.numbers != key.numbers or jaccard(key.words(), other.words()) < NEAR:
                continue
            if best is None or similarity > best[0]:
                best = (similarity, other)
        return Pair(Leak.NEAR_TEXT, key.sample.id, best[1].sample.id, round(best[0], 4)) if best else None

    def _reworded(self, key: _Key, beside: Sequence[_Key]) -> Pair | None:
        gold = normal(key.sample.answer.gold)
        for other in beside:
            if other.numbers != key.numbers or normal(other.sample.answer.gold) != gold:
                continue
            similarity = jaccard(key.words(), other.words())
            if similarity >= REWORDED:
                return Pair(Leak.REWORDED, key.sample.id, other.sample.id, round(similarity, 4))
        return None

    def _media(self, key: _Key) -> Pair | None:
        shown = sorted(identities(key.sample) & self._by_media.keys())
        return Pair(Leak.MEDIA, key.sample.id, self._by_media[shown[0]].sample.id, 1.0) if shown else None


def _on_other_media(key: _Key, other: _Key) -> bool:
    """Both show something and nothing in common: two pictures of a page, or two sets that number their pictures."""
    shown, known = identities(key.sample), identities(other.sample)
    return bool(shown and known) and not shown & known


def decontaminate(
    train: Sequence[Sample], evaluation: Sequence[Sample], compared: Compared | None = None
) -> tuple[list[Sample], list[Pair]]:
    """Clean training samples in order, and a pair for every one that was left out.

    Both sides are bare, as readers give them. Pictures and clips are told by the hash of their file, or with
    `compared`, of [train, evaluation] in this order, by what they show; samples come back as they were.
    Raises ValueError for a sample with a prompt's wording around it.
    """
    known_train, known = (one.samples for one in compared.sets) if compared else (train, evaluation)
    index = EvalIndex(known)
    found: dict[str, Pair] = {}
    with progress("decontaminate", total=len(train)) as tick:
        for sample in known_train:
            pair = index.find(sample) if index.keys else None
            if pair is not None:
                found[sample.id] = pair
            tick()
    for sample in train:  # the other form of a leaked question is leaked too
        twin = str(sample.metadata.get("twin_of", ""))
        for here, there in ((sample.id, twin), (twin, sample.id)):
            if there in found and here not in found and here:
                found[here] = Pair(Leak.TWIN, here, found[there].eval, found[there].similarity)
    return [sample for sample in train if sample.id not in found], [found[s.id] for s in train if s.id in found]


def contamination_report(
    train: Sequence[Sample],
    evaluation: Sequence[Sample],
    clean: Sequence[Sample],
    pairs: Sequence[Pair],
    compared: Compared | None = None,
) -> dict[str, Any]:
    """Counts by kind, all pairs, and what is reported only: rows that share a document without being a leak, and
    with `compared` the media that could not be looked at."""
    eval_documents = {sample.source.document for sample in evaluation if sample.source.document}
    train_documents = {sample.source.document for sample in clean if sample.source.document}
    counts = {kind.value: sum(pair.kind is kind for pair in pairs) for kind in Leak}
    return {
        "train": len(train),
        "eval": len(evaluation),
        "dropped": len(pairs),
        "kinds": counts,
        "thresholds": {"near_text": NEAR, "reworded": REWORDED, "reconstructed": True},
        "same_document": {
            "documents": len(eval_documents & train_documents),
            "train_rows": sum(sample.source.document in eval_documents for sample in clean),
            "eval_rows": sum(sample.source.document in train_documents for sample in evaluation),
            "eval_rows_without": sum(sample.source.document not in train_documents for sample in evaluation),
        },
        "media": {"alike": len(compared.alike), "not_comparable": compared.told_faults()} if compared else None,
        "pairs": [asdict(pair) for pair in pairs],
    }
