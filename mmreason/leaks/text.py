"""Texts that are nearly the same, and runs of words that one text shares with another."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from datasketch import MinHash, MinHashLSH

from mmreason.data.text import jaccard, shingles, words

NEAR = 0.8
"""Jaccard similarity from which two texts are near-duplicates [reconstructed]."""
PERMUTATIONS = 64
BANDS = (16, 4)
"""Bands and rows of the MinHash search: a pair at NEAR is missed once in 4,000; the exact value then decides."""
SHINGLE = 3
"""Words a shingle; a CJK character is a word."""
RUN = 13
"""Words in a run whose repetition is no accident, the length that published contamination checks use."""
SHARED_RUNS = 0.5
"""Share of an evaluation question's runs in one training row from which the row is listed."""

_EMPTY = MinHash(num_perm=PERMUTATIONS)
"""Copied for each text: drawing the permutations costs more than hashing a text."""


def _minhash(found: frozenset[str]) -> MinHash:
    sketch = _EMPTY.copy()
    sketch.update_batch([shingle.encode() for shingle in found])
    return sketch


class NearTexts:
    """Sets of shingles that can be asked for those within NEAR of another."""

    def __init__(self, texts: Iterable[frozenset[str]]) -> None:
        self.texts = list(texts)
        self._lsh = MinHashLSH(num_perm=PERMUTATIONS, params=BANDS)
        for index, found in enumerate(self.texts):
            self._lsh.insert(index, _minhash(found))

    def near(self, found: frozenset[str]) -> Iterator[tuple[int, float]]:
        """(position, exact Jaccard similarity) of the texts at NEAR or above, by position."""
        for index in sorted(self._lsh.query(_minhash(found))):
            similarity = jaccard(found, self.texts[index])
            if similarity >= NEAR:
                yield index, similarity


def stem_shingles(stem: str) -> frozenset[str]:
    """Shingles of a question; questions under SHINGLE words are compared as a whole."""
    return shingles(stem, SHINGLE)


def runs(text: str, size: int = RUN) -> set[tuple[str, ...]]:
    """All runs of `size` words; empty for a shorter text."""
    found = words(text)
    return {tuple(found[start : start + size]) for start in range(len(found) - size + 1)}


class SharedRuns:
    """Evaluation questions by their runs of RUN words, to be found inside longer training texts."""

    def __init__(self, questions: Sequence[str]) -> None:
        self._of_run: dict[tuple[str, ...], list[int]] = defaultdict(list)
        self._num_runs: list[int] = []
        for index, question in enumerate(questions):
            found = runs(question)
            self._num_runs.append(len(found))
            for run in found:
                self._of_run[run].append(index)
        self.too_short = self._num_runs.count(0)
        """Questions under RUN words: they have no run and are compared as wholes alone."""

    def shared(self, text: str) -> Iterator[tuple[int, float]]:
        """(position, share of its runs that stand in `text`) of the questions at SHARED_RUNS or above."""
        found = (index for run in runs(text) for index in self._of_run.get(run, ()))
        for index, count in sorted(Counter(found).items()):
            share = count / self._num_runs[index]
            if share >= SHARED_RUNS:
                yield index, share
