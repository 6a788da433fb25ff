"""Short answers about made-up scans: how they are worded, whether two mean the same, whether the side is the wrong one.

An answer is a list of (kind, word) of the lexicon: "upper left" is [("row", "upper"), ("column", "left")].
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from itertools import islice, permutations, product
from pathlib import Path

from mmreason.project import load_module
from mmreason.records import AnswerKind, Sample
from mmreason.rewards.extract import read_answer
from mmreason.rewards.words import normalise

world = load_module(Path(__file__).parent / "scans_world.py")

Meaning = tuple[tuple[str, str], ...]
"""(kind, word), in the order in which they are said."""
FILLERS = frozenset("the a an at in on of and is it there lesion lesions side zone".split())
"""Words that an answer may hold besides; all others it is wrong with, or a list of all words would be right."""
MOST_WORDINGS = 128
_SIDES = frozenset({"left", "right"})


def phrase(meaning: Iterable[Sequence[str]]) -> str:
    """The plain wording: "large ring"."""
    return " ".join(word for _, word in meaning)


def wordings(meaning: Sequence[Sequence[str]]) -> list[str]:
    """Phrases of synonyms that mean the same, the plain one first, MOST_WORDINGS at most; pairs of row and column in
    both orders."""
    groups = [world.KINDS[kind][word] for kind, word in meaning]
    orders = permutations(range(2)) if [kind for kind, _ in meaning] == ["row", "column"] else [range(len(groups))]
    said = (" ".join(words[place] for place in order) for order in orders for words in product(*groups))
    return list(islice(dict.fromkeys(said), MOST_WORDINGS))


def reworded(meaning: Sequence[Sequence[str]], rate: float, rng: random.Random) -> str:
    """Each word replaced at `rate` by another synonym, where it has one."""
    said = []
    for kind, word in meaning:
        others = world.KINDS[kind][word][1:]
        said.append(rng.choice(others) if others and rng.random() < rate else word)
    return " ".join(said)


def alternatives(meaning: Sequence[Sequence[str]]) -> list[Meaning]:
    """All answers of the same kinds that mean something else."""
    kinds = [kind for kind, _ in meaning]
    found = (tuple(zip(kinds, words, strict=True)) for words in product(*(world.KINDS[kind] for kind in kinds)))
    return [other for other in found if phrase(other) != phrase(meaning)]


def meaning_of(text: str) -> frozenset[tuple[str, str]] | None:
    """What a short answer says, order and synonyms aside; None where it holds a foreign word or none of the lexicon."""
    found = [world.kind_of(word) for word in normalise(text).split() if word not in FILLERS]
    return None if not found or None in found else frozenset(found)


def answer_text(output: str, sample: Sample) -> str:
    """The answer that a reply gives, as text: of a letter its option. Empty where none is read."""
    read = (read_answer(output, lenient=True).text or "").strip()
    options = sample.answer.options
    if sample.answer.kind is not AnswerKind.CHOICE:
        return read
    return options.get(read.strip(" .()").upper(), read)


def right_with_synonyms(output: str, sample: Sample) -> bool:
    """Whether a reply, or a bare answer, means what the sample's metadata says (`meaning`).

    Every part must be named, no other of any kind, in any order. Of a description, a sentence of several lesions, the
    words must be the same ones in the same order.
    """
    said = answer_text(output, sample)
    meaning = sample.metadata["meaning"]
    if not meaning:
        return bool(normalise(said)) and normalise(said) == normalise(sample.metadata["answer"])
    return meaning_of(said) == frozenset((kind, word) for kind, word in meaning)


def sides(text: str) -> frozenset[str]:
    """Left and right, as far as a text names them."""
    return _SIDES & set(normalise(text).split())


def has_side(sample: Sample) -> bool:
    """Whether the gold of a question names one side."""
    return len(sides(sample.metadata["answer"])) == 1


def wrong_side(output: str, sample: Sample) -> bool:
    """Whether the gold names one side and the answer only the other."""
    gold, said = sides(sample.metadata["answer"]), sides(answer_text(output, sample))
    return len(gold) == len(said) == 1 and gold != said


def rates(outputs: Sequence[str], samples: Sequence[Sample]) -> dict[str, float]:
    """Shares over one reply a sample: `exact` (the reference's own words), `synonyms` (`right_with_synonyms`),
    `wrong_side` among the `sided` questions whose gold names a side; and how many there are of both.

    Raises ValueError where replies and samples differ in number.
    """
    both = list(zip(outputs, samples, strict=True))
    exact = sum(normalise(answer_text(out, one)) == normalise(one.metadata["answer"]) for out, one in both)
    sided = [(out, one) for out, one in both if has_side(one)]
    return {
        "count": len(both),
        "exact": exact / max(1, len(both)),
        "synonyms": sum(right_with_synonyms(out, one) for out, one in both) / max(1, len(both)),
        "sided": len(sided),
        "wrong_side": sum(wrong_side(out, one) for out, one in sided) / max(1, len(sided)),
    }
