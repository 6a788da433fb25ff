r"""MedEvalKit's rules for free answers to medical questions with images, faults included.

The answer is the last box, else all answer blocks, then what follows the last "answer is", "answer:", ... Faults kept:
precision, recall and F1 stand under each other's names (F1 under precision, precision under recall, recall under F1);
the accuracy of open questions is divided by their number twice (the printed one is 1/n of it);
SLAKE's yes/no rule looks for a lower-case gold, and SLAKE prints "Yes" and "No". Where the original stops on an empty
answer the values here are 0. `slake_fixed` and `vqa_fixed` repair
columns and case. Its choices are in
`medevalkit_choice`, its judge's verdicts in `medevalkit_judged`.

Predictions (`results`): the array that it saves, [{"question", "answer", "response", ...}, ...], in the order of the
test file. It has no ids, so rows are matched by order and their question is checked.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from mmreason.errors import UserError
from mmreason.records import Sample
from mmreason.rewards.overlap import f1 as harmonic
from mmreason.suites.reference.forms import field, mean, objects, text
from mmreason.suites.reference.llava_med import is_closed
from mmreason.suites.reference.rouge_sets import rouge_sets
from mmreason.suites.reference.vqa_words import gold_text, sentence_bleu
from mmreason.suites.references import Reference, Scored

ORIGIN = "alibaba-damo-academy/MedEvalKit utils/{}@9b12e3b"
_ANCHORS = ("**answer**:", "**answer**", "*answer*:", "**answer:**", "answer is", "answer:")
_LATER = ("答案:", "final answer", "final answer is")
_BLOCKS = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
OPEN_COLUMNS = ("em", "bleu1", "bleu2", "bleu3", "bleu4", "rouge1", "rouge2", "rougel", "precision", "recall", "f1")


@lru_cache(maxsize=8192)
def last_box(output: str) -> str:
    """Content of the last box that is closed, whatever braces it holds; "None" where there is none, as text."""
    _, opened, rest = output.rpartition("\\boxed{")
    depth = 0
    for place, letter in enumerate(rest if opened else ""):
        depth += (letter == "{") - (letter == "}")
        if depth < 0:
            return rest[:place].strip()
    return "None"


def blocks(output: str) -> str:
    """All answer blocks, joined by spaces; the output itself where none holds anything."""
    return " ".join(_BLOCKS.findall(output)).strip() or output


@lru_cache(maxsize=8192)
def parsed(response: str) -> str:
    """The lower-case text that is compared. A mention of "boxed" without a box leaves the text "None"."""
    response = response.lower()
    if "boxed" in response:
        response = last_box(response)
    elif "<answer>" in response:
        response = blocks(response)
    for anchor in (*_ANCHORS, *_LATER):
        response = response.rsplit(anchor, 1)[-1]
    return response


def _cut(output: str) -> str:
    box = last_box(output)
    return box if box != "None" else blocks(output) if "<answer>" in output else output


def yes_no_equal(answer: str, response: str) -> bool:
    """Exactly one of the substrings yes and no, and the gold as a substring."""
    said = parsed(response).replace("\n", "").replace(".", "")
    return ("yes" in said) != ("no" in said) and answer.lower() in said


def _same(answer: str, response: str) -> bool:
    return parsed(response).replace("\n", "").replace(".", "") == answer.lower()


def open_columns(answer: str, response: str) -> dict[str, float]:
    """The eleven measures of one open answer, under their right names; all 0 for an answer without words."""
    gold, said = answer.lower(), parsed(response)
    words, wanted = set(said.lower().split()), set(gold.split())
    if not words or not wanted or not said.replace(".", ""):
        return dict.fromkeys(OPEN_COLUMNS, 0.0)
    cut, target = ([*one.lower().replace(".", " .").split(" ")] for one in (said, gold))
    found = {"em": float(said == gold)}
    found |= {f"bleu{n}": sentence_bleu(target, cut, [1 / n] * n) for n in (1, 2, 3, 4)}
    found |= rouge_sets(said, gold)
    common = len(words & wanted)
    shares = (common / len(words), common / len(wanted), harmonic(common, len(words), len(wanted)))
    return found | dict(zip(("precision", "recall", "f1"), shares, strict=True))


def _rotated(row: dict[str, float]) -> dict[str, float]:
    return {**row, "precision": row["f1"], "recall": row["precision"], "f1": row["recall"]}


def _vqa_pair(output: str, sample: Sample) -> tuple[str, str]:
    return gold_text(sample).lower().strip(), _cut(output).lower().strip()


def _slake_pair(output: str, sample: Sample) -> tuple[str, str]:
    return gold_text(sample), _cut(output)


def vqa_closed(sample: Sample) -> bool:
    """VQA-RAD and PathVQA are parted by the yes/no rule."""
    return gold_text(sample).lower().strip() in ("yes", "no")


def vqa_right(output: str, sample: Sample, rng: random.Random) -> bool:
    """Exactly one of the substrings yes and no, and the gold; open answers by equality."""
    answer, response = _vqa_pair(output, sample)
    return yes_no_equal(answer, response) if vqa_closed(sample) else answer == parsed(response)


def slake_right(output: str, sample: Sample, rng: random.Random) -> bool:
    """Equality, but for a gold that is printed in lower case, which no released one is."""
    answer, response = _slake_pair(output, sample)
    if not is_closed(sample):
        return answer.lower() == parsed(response)
    return yes_no_equal(answer, response) if answer in ("yes", "no") else _same(answer, response)


def _slake_fixed(output: str, sample: Sample, rng: random.Random) -> bool:
    answer, response = _slake_pair(output, sample)
    return yes_no_equal(answer, response) if answer.lower() in ("yes", "no") else slake_right(output, sample, rng)


Rule = Callable[[str, Sample, random.Random], bool]
Total = Callable[[Sequence[Scored]], dict[str, float]]
Pair = Callable[[str, Sample], tuple[str, str]]


def _table(closed: Callable[[Sample], bool], pair: Pair, faithful: bool) -> Total:
    """The printed table: accuracy of all, closed and open, then the mean of each open column."""

    def numbers(scored: Sequence[Scored]) -> dict[str, float]:
        shut = [one for one in scored if closed(one.sample)]
        free = [one for one in scored if not closed(one.sample)]
        divisor = max(1, len(free)) if faithful else 1
        found = {"acc": mean(scored), "close": mean(shut), "open": mean(free) / divisor}
        rows = [open_columns(*pair(one.output or "", one.sample)) for one in free]
        rows = [_rotated(row) for row in rows] if faithful else rows
        return found | {name: sum(row[name] for row in rows) / len(rows) for name in OPEN_COLUMNS if rows}

    return numbers


vqa = Reference(
    ORIGIN.format("VQA_RAD/VQA_RAD.py and PATH_VQA/PATH_VQA.py"),
    vqa_right,
    total=_table(vqa_closed, _vqa_pair, faithful=True),
)
vqa_fixed = Reference(f"{vqa.origin}, columns repaired", vqa_right, total=_table(vqa_closed, _vqa_pair, faithful=False))
slake = Reference(ORIGIN.format("SLAKE/SLAKE.py"), slake_right, total=_table(is_closed, _slake_pair, faithful=True))
slake_fixed = Reference(
    f"{slake.origin}, columns and case repaired", _slake_fixed, total=_table(is_closed, _slake_pair, faithful=False)
)


def matched(path: Path, samples: Sequence[Sample]) -> list[tuple[str, dict[str, Any], Sample]]:
    """(place, saved row, sample) by order. Raises UserError for other numbers or a row that asks another question."""
    rows = objects(path)
    if len(rows) != len(samples):
        raise UserError(
            f"{path} has {len(rows)} answers, the suite {len(samples)} questions; MedEvalKit saves all, in order"
        )
    for (where, row), sample in zip(rows, samples, strict=True):
        asked, known = row.get("question"), sample.metadata["question"]
        if asked is not None and str(asked).strip() != known and str(known) not in str(asked):
            raise UserError(f"{where} asks {asked!r:.120}, the suite's question here is {known!r:.120}")
    return [(where, row, sample) for (where, row), sample in zip(rows, samples, strict=True)]


def results(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """Sample id -> response of a saved results file, by order. Raises UserError where a row asks another question."""
    return {sample.id: [text(field(where, row, "response"))] for where, row, sample in matched(path, samples)}
