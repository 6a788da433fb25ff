"""What medical VQA tables print beside one accuracy: closed and open apart, by two rules; sides mixed up.

Also the answer that needs no image: the commonest training answer to the same question text.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher

from mmreason.records import Sample
from mmreason.rewards.extract import read_answer
from mmreason.suites.reference.forms import mean
from mmreason.suites.reference.llava_med import is_closed
from mmreason.suites.reference.vqa_words import gold_text
from mmreason.suites.references import Scored

_LEFT = re.compile(r"\bleft\b|左", re.IGNORECASE)
_RIGHT = re.compile(r"\bright\b|右", re.IGNORECASE)


def sides(text: str) -> set[str]:
    """The sides that a text names."""
    return {name for name, pattern in (("left", _LEFT), ("right", _RIGHT)) if pattern.search(text)}


def wrong_side(output: str | None, sample: Sample) -> bool:
    """Whether gold and answer name one side each, and not the same: overlap measures hardly see it."""
    gold, said = sides(gold_text(sample)), sides(read_answer(output or "", lenient=True).text or "")
    return len(gold) == len(said) == 1 and gold != said


def _right(scored: Iterable[Scored]) -> float:
    """Share of full credit; words in another order have it too, but are no closed answers."""
    values = [float((one.value or 0.0) >= 1.0) for one in scored]
    return sum(values) / len(values) if values else 0.0


def by_form(scored: Sequence[Scored]) -> dict[str, float]:
    """Closed accuracy, open exact match and mean token F1 (item F1 of sets), under the annotation and the yes/no rule.

    `yes_no` are the closed questions of the yes/no rule, `rest` the others; how many they are stands with the groups.
    """
    shut = [one for one in scored if is_closed(one.sample)]
    free = [one for one in scored if not is_closed(one.sample)]
    plain = [one for one in scored if one.sample.metadata.get("form") == "yes_no"]
    rest = [one for one in scored if one.sample.metadata.get("form") != "yes_no"]
    sided = [one for one in free if len(sides(gold_text(one.sample))) == 1]
    return {
        "closed": _right(shut),
        "open_em": _right(free),
        "open_f1": mean(free),
        "yes_no": _right(plain),
        "rest_f1": mean(rest),
        "wrong_side": sum(wrong_side(one.output, one.sample) for one in sided) / max(1, len(sided)),
    }


def blind(train: Iterable[tuple[str, str]], questions: Sequence[str]) -> list[str]:
    """For each question the commonest answer to the same text in training, the first of equals.

    A text that training does not have gets the commonest answer of all. `train`: (question, answer) pairs; texts are
    compared in lower case without outer spaces.
    """
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    overall: Counter[str] = Counter()
    for question, answer in train:
        answers[question.strip().lower()][answer.strip().lower()] += 1
        overall[answer.strip().lower()] += 1
    found = (answers.get(question.strip().lower(), overall) for question in questions)
    return [seen.most_common(1)[0][0] for seen in found]


def lookup(rows: Iterable[tuple[str, str, str]], asked: Sequence[tuple[str, str]]) -> list[str]:
    """For each (image, question) the answer of the training question about the same image that reads most alike.

    `rows`: (image, question, answer). No learning at all: what it scores is how far training rows repeat test answers.
    """
    by_image: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for image, question, answer in rows:
        by_image[image].append((question.lower(), answer))
    found = []
    for image, question in asked:
        near = max(
            by_image[image], key=lambda row: SequenceMatcher(None, question.lower(), row[0]).ratio(), default=None
        )
        found.append(near[1] if near else "")
    return found
