"""CMExam's two scorers of answers: letters or option texts anywhere in the first line, and a pattern of its own.

`lora` over-collects: every letter that occurs counts, so that long answers are wrong. `labelled` reads what stands
between "答案：" and a full-width comma; an answer without it leaves the denominator, since the original passes through
a CSV in which an empty answer is no value.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Sequence

from mmreason.records import Sample
from mmreason.suites.references import Reference, Scored

ORIGIN = "williamliujl/CMExam src/evaluation/{}@fadb22c"
NO_ANSWER = "无答案"
_LABELLED = re.compile(r"答案：(.*)，")
_NO_VALUE = frozenset(
    "#N/A|#N/A N/A|#NA|-1.#IND|-1.#QNAN|-NaN|-nan|1.#IND|1.#QNAN|<NA>|N/A|NA|NULL|NaN|None|n/a|nan|null|".split("|")
)
"""What the original's CSV reader takes for no value."""


def collected(output: str, options: dict[str, str]) -> str:
    """Letters of the options whose letter or first word occurs in the text, or in its first line where it explains."""
    text = output.split("\n")[0].strip() if "解释" in output else output
    found = [letter for letter, option in options.items() if letter in text or option.split()[0] in text]
    return "".join(found) or NO_ANSWER


def labelled_answer(output: str) -> str:
    """What stands between the first "答案：" and the last full-width comma of its line; empty where nothing does."""
    found = _LABELLED.search(output)
    return found.group(1) if found and found.group(1) not in _NO_VALUE else ""


def _collected(output: str, sample: Sample) -> str:
    return collected(output, sample.answer.options)


def _labelled(output: str, sample: Sample) -> str:
    return labelled_answer(output)


def _gold(sample: Sample) -> str:
    return str(sample.metadata.get("answer", sample.answer.gold))


def _lora(output: str, sample: Sample, rng: random.Random) -> bool:
    return _collected(output, sample) == _gold(sample)


def _gpt(output: str, sample: Sample, rng: random.Random) -> bool | None:
    said = labelled_answer(output)
    return said == _gold(sample) if said else None


def weighted(truth: Sequence[str], said: Sequence[str]) -> dict[str, float]:
    """Accuracy; precision, recall and F1 of each answer string weighted by how often it is gold, as scikit-learn's."""
    golds, answers = Counter(truth), Counter(said)
    hits = Counter(gold for gold, one in zip(truth, said, strict=True) if gold == one)
    share = {gold: count / len(truth) for gold, count in golds.items()}
    precision = sum(share[gold] * hits[gold] / answers[gold] for gold in golds if answers[gold])
    f1 = sum(share[gold] * 2 * hits[gold] / (count + answers[gold]) for gold, count in golds.items())
    recall = hits.total() / len(truth)
    return {"acc": recall, "precision": precision, "recall": recall, "f1": f1}


def _numbers(read: Callable[[str, Sample], str], unread: str) -> Callable[[Sequence[Scored]], dict[str, float]]:
    def total(scored: Sequence[Scored]) -> dict[str, float]:
        counted = [one for one in scored if one.value is not None]
        said = [unread if one.output is None else read(one.output, one.sample) for one in counted]
        return weighted([_gold(one.sample) for one in counted], said) if counted else {"acc": 0.0}

    return total


lora = Reference(ORIGIN.format("evaluate_lora_result.py"), _lora, _numbers(_collected, NO_ANSWER))
labelled = Reference(
    ORIGIN.format("evaluate_gpt_result.py, evaluate_chatglm_result.py"), _gpt, _numbers(_labelled, ""), missing=None
)
