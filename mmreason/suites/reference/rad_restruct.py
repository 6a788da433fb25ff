"""Rad-ReStruct: a report is one vector of 0 and 1 over all its possible answers (2,470), and is right as a whole.

Answers to the questions along the gold path are put into that vector; below a "no" everything is no or unselected,
whatever was answered, and a question that was not asked counts as no. The original lets the model choose the path
itself; an answer "yes" where the gold says no therefore costs here its own two classes and none below. F1, precision
and recall are means over the classes that occur in the gold AND over the four average rows of scikit-learn's report,
as in the original; a precision without predictions counts as 1. A report enters once for each of its images.

`medevalkit` is that toolkit's version: it keeps the first gold only, and one dictionary for all questions of a report,
so that the last question stands for all of them.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mmreason.records import AnswerKind, Sample
from mmreason.rewards.choice import read_letters
from mmreason.rewards.extract import read_answer
from mmreason.rewards.judgement import yes_no
from mmreason.suites.reference.forms import mean
from mmreason.suites.reference.medevalkit import ORIGIN as MEDEVALKIT
from mmreason.suites.reference.medevalkit import blocks, last_box, yes_no_equal
from mmreason.suites.reference.medevalkit_choice import choice_equal
from mmreason.suites.references import Reference, Scored

ORIGIN = "ChantalMP/Rad-ReStruct evaluation/evaluator_radrestruct.py@b293158, on the gold path"
UNSELECTED = ("unspecified", "no selection")
Vector = NDArray[np.int8]


def picked(output: str | None, sample: Sample) -> set[str]:
    """The options that an output states; none where it cannot be read."""
    read = read_answer(output or "", multi=True, lenient=True).text
    if read is None:
        return set()
    if sample.answer.kind is AnswerKind.JUDGEMENT:
        said = yes_no(read)
        return set() if said is None else {"yes" if said else "no"}
    letters = [read_letters(line, sample.answer.options) or frozenset() for line in read.splitlines()]
    return {sample.answer.options[letter] for one in letters for letter in one if letter in sample.answer.options}


def golds(sample: Sample) -> set[str]:
    """The options of the gold."""
    return {str(answer) for answer in sample.metadata["answers"]}


def _number(sample: Sample) -> int:
    return int(sample.source.row.rsplit("-", 1)[1])


def _settled(said: set[str], sample: Sample) -> set[str]:
    """What is selected once the option for "nothing" has been put right."""
    if sample.answer.kind is AnswerKind.JUDGEMENT:
        return said if len(said) == 1 else {"no"}
    nothing = next((one for one in UNSELECTED if one in sample.evidence["slots"]), None)
    if nothing is None or sample.metadata["answer_form"] != "multi_choice":
        return said
    return said - {nothing} if len(said) > 1 else said or {nothing}


def vector(samples: Sequence[Sample], chosen: Sequence[set[str]], absent: Vector) -> Vector:
    """One report's vector; `absent` is that of a report in which every question is answered no."""
    out = absent.copy()
    positive: dict[int, bool] = {}
    for sample, said in zip(samples, chosen, strict=True):
        above = sample.evidence
        ruled_out = any(positive.get(above[key]) is False for key in ("topic", "finding", "previous"))
        binary = sample.answer.kind is AnswerKind.JUDGEMENT
        selected = ({"no"} if binary else set()) if ruled_out else _settled(said, sample)
        if binary:
            positive[_number(sample)] = selected == {"yes"}
        for option, place in above["slots"].items():
            out[place] = option in selected
    return out


def _absent(sample: Sample) -> Vector:
    """The vector of a report in which every question is answered no."""
    out = np.zeros(sample.evidence["classes"], dtype=np.int8)
    out[sample.evidence["noes"]] = 1
    return out


def tables(scored: Sequence[Scored]) -> tuple[Vector, Vector]:
    """(predictions, golds), each of shape (images of all reports, classes)."""
    reports: dict[str, list[Scored]] = defaultdict(list)
    for one in scored:
        reports[one.sample.source.document].append(one)
    said, wanted = [], []
    for items in reports.values():
        samples = [one.sample for one in items]
        images, absent = int(samples[0].metadata["images"]), _absent(samples[0])
        said += [vector(samples, [picked(one.output, one.sample) for one in items], absent)] * images
        wanted += [vector(samples, [golds(sample) for sample in samples], absent)] * images
    return np.stack(said), np.stack(wanted)


def _ratio(top: NDArray[np.int64], bottom: NDArray[np.int64]) -> NDArray[np.float64]:
    """Top over bottom; 1 where the bottom is 0."""
    return np.where(bottom > 0, top / np.maximum(bottom, 1), 1.0)


def _shares(both: NDArray[np.int64], said: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.float64]:
    """Rows precision, recall and F1 of counts."""
    return np.stack([_ratio(both, said), _ratio(both, wanted), _ratio(2 * both, said + wanted)])


def report_numbers(said: Vector, wanted: Vector) -> dict[str, float]:
    """Flat accuracy, whole reports, and the means that the original prints."""
    hits = (said & wanted).astype(np.int64)
    by_class = [part.astype(np.int64).sum(axis=0) for part in (hits, said, wanted)]
    by_row = [part.astype(np.int64).sum(axis=1) for part in (hits, said, wanted)]
    classes, support = _shares(*by_class), by_class[2]
    averages = [
        _shares(*(counts.sum(keepdims=True) for counts in by_class))[:, 0],
        classes.mean(axis=1),
        (classes * support).sum(axis=1) / max(1, int(support.sum())),
        _shares(*by_row).mean(axis=1),
    ]
    precision, recall, f1 = np.concatenate([classes[:, support > 0], np.stack(averages, axis=1)], axis=1).mean(axis=1)
    return {
        "report_acc": float((said == wanted).all(axis=1).mean()),
        "f1": float(f1),
        "precision": float(precision),
        "recall": float(recall),
        "acc": float((said == wanted).mean()),
    }


def reports(scored: Sequence[Scored]) -> dict[str, float]:
    """`report_numbers` of the answers, an unread one selecting nothing (or no)."""
    return report_numbers(*tables(scored))


def _official(output: str, sample: Sample, rng: random.Random) -> bool:
    return picked(output, sample) == golds(sample)


def _medevalkit(output: str, sample: Sample, rng: random.Random) -> bool:
    box = last_box(output)
    said = (box if box != "None" else blocks(output) if "<answer>" in output else output).lower().strip()
    answer = str(sample.metadata["answer"]).lower().strip()
    if sample.metadata["answer_form"] in ("yes_no", "single_choice"):
        return yes_no_equal(answer, said)
    return choice_equal(list(sample.metadata["choices"]), answer, said)


def _last_stands_for_all(scored: Sequence[Scored]) -> dict[str, float]:
    sizes: dict[str, int] = defaultdict(int)
    for one in scored:
        sizes[one.sample.source.document] += int(one.sample.metadata["images"])
    last = [one for one in scored if one.sample.metadata["last"]]
    weighted = sum(sizes[one.sample.source.document] * (one.value or 0.0) for one in last)
    return {"acc": weighted / max(1, sum(sizes.values())), "acc_fixed": mean(scored)}


official = Reference(ORIGIN, _official, total=reports)
medevalkit = Reference(MEDEVALKIT.format("Radrestruct/Radrestruct.py"), _medevalkit, total=_last_stands_for_all)
