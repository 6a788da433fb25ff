"""What training rows on the same picture or clip give away about a question's answer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum

from mmreason.data.text import jaccard, normal, question_of, words
from mmreason.leaks.media import identities
from mmreason.records import AnswerKind, Sample

SIMILAR_CLOSED = 0.5
"""Jaccard similarity of the words of two questions from which a shared yes or no is no accident [reconstructed]."""
SIMILAR_OPEN = 0.3
"""The same for answers in words. On VQA-RAD's rows, template rewordings reach it for 222 of the 247 that have a
free-form row with the same answer; for yes and no 291 of 488 reach theirs."""
_CLOSED_WORDS = frozenset({"yes", "no", "true", "false", "是", "否", "有", "没有", "对", "错"})


class Given(StrEnum):
    """How a training row knows an evaluation question about the same picture or clip, strongest first."""

    SAME_ITEM = "same_item"
    """The same question with the same answer."""
    REWORDED_ITEM = "reworded_item"
    """A similar question with the same answer: the template rows of VQA-RAD."""
    SAME_ANSWER = "same_answer"
    """Another question with the same answer."""
    OTHER_ANSWER = "other_answer"
    """The same question with another answer: one of the two is wrong."""


@dataclass(frozen=True, slots=True)
class GivenPair:
    """An evaluation row and the training row that says the most about it."""

    kind: Given
    train: str
    eval: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Asked:
    """A row as it is compared here."""

    id: str
    question: str
    words: frozenset[str]
    answer: str
    closed: bool


def asked(sample: Sample) -> Asked:
    """Choices answer with the text of their options, since letters may be shuffled."""
    answer, question = sample.answer, question_of(sample)
    gold = " ; ".join(sorted(answer.options.get(letter, letter) for letter in answer.gold)) if answer.options else ""
    told = normal(gold or answer.gold)
    closed = answer.kind in (AnswerKind.CHOICE, AnswerKind.JUDGEMENT) or told in _CLOSED_WORDS
    return Asked(sample.id, question, frozenset(words(question)), told, closed)


def by_medium(samples: Iterable[Sample]) -> dict[str, list[Asked]]:
    """Identity of a picture or clip -> the rows that ask about it."""
    found: dict[str, list[Asked]] = defaultdict(list)
    for sample in samples:
        for medium in sorted(identities(sample)):
            found[medium].append(asked(sample))
    return found


def beside(sample: Sample, rows: dict[str, list[Asked]]) -> list[Asked]:
    """Training rows that share a picture or clip with the sample, each once."""
    return list({row.id: row for medium in sorted(identities(sample)) for row in rows.get(medium, ())}.values())


def _judge(row: Asked, other: Asked) -> tuple[Given, float] | None:
    same_answer = row.answer == other.answer
    if normal(row.question) == normal(other.question):
        return (Given.SAME_ITEM if same_answer else Given.OTHER_ANSWER), 1.0
    if not same_answer:
        return None
    similarity = jaccard(row.words, other.words)
    near = similarity >= (SIMILAR_CLOSED if row.closed else SIMILAR_OPEN)
    return (Given.REWORDED_ITEM if near else Given.SAME_ANSWER), similarity


def given(train: dict[str, list[Asked]], evaluation: Sequence[Sample]) -> list[GivenPair]:
    """The strongest pair of every evaluation row that training rows on its picture or clip say something about."""
    order = list(Given)
    pairs: list[GivenPair] = []
    for sample in evaluation:
        row, best = asked(sample), None
        for other in beside(sample, train):
            judged = _judge(row, other)
            if judged is None:
                continue
            rank = (-order.index(judged[0]), judged[1])
            if best is None or rank > best[0]:
                best = (rank, GivenPair(judged[0], other.id, sample.id, round(judged[1], 4)))
        if best is not None:
            pairs.append(best[1])
    return pairs


def lookup(train: dict[str, list[Asked]], evaluation: Sequence[Sample]) -> tuple[int, int]:
    """(right, asked) of answering each question on a known picture with the answer of the training row whose question
    is the most alike: what a table scores that has learnt nothing. First maximum of difflib's ratio on lower case."""
    right = total = 0
    for sample in evaluation:
        others = beside(sample, train)
        if others:
            row, total = asked(sample), total + 1
            best = max(others, key=lambda other: _ratio(row.question, other.question))
            right += best.answer == row.answer
    return right, total


def _ratio(question: str, other: str) -> float:
    return SequenceMatcher(None, question.lower(), other.lower()).ratio()
