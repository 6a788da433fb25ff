"""HallusionBench's sums over labels that a judge gave: aAcc, qAcc, fAcc, easy, hard, consistency

The judge (a language model that calls an answer correct, incorrect or unclear) is left out: labels come from the
predictions file. `judged` is the repository's result JSON, rows with category, subcategory, set_id, figure_id,
question_id and the label 0, 1 or 2 under "gpt4v_output_gpt_check" (or "correctness"); `predictions` is the same file
before judging, with the answer under "model_prediction".
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from mmreason.records import Sample
from mmreason.suites.reference.forms import field, grouped, mean, named, objects
from mmreason.suites.references import Reference, Scored

ORIGIN = "tianyi-lab/HallusionBench evaluation.py, utils.py@744007c, on stored labels of its judge"
QUESTION = ("category", "subcategory", "set_id", "question_id")
FIGURE = ("category", "subcategory", "set_id", "figure_id")
ID = ("category", "subcategory", "set_id", "figure_id", "question_id")
EDITED = "2"
"""Value of visual_input where the figure was edited against common knowledge."""
_LABELS = {"0": 0, "1": 1, "2": 2, "incorrect": 0, "correct": 1, "unclear": 2}


def label(output: str) -> int | None:
    """0 incorrect, 1 correct, 2 unclear; None where the output is no label."""
    return _LABELS.get(output.strip().lower())


def _without_figure(sample: Sample) -> bool:
    return sample.metadata["category"] == "VS" and str(sample.metadata["figure_id"]) == "0"


def _judged(output: str, sample: Sample, rng: random.Random) -> bool:
    """Unclear counts as correct where no figure is shown with a question of the supplement part."""
    given = label(output)
    return given == 1 or (given == 2 and _without_figure(sample))


def _all_right(scored: Sequence[Scored], keys: tuple[str, ...]) -> float:
    parts = grouped(scored, *keys).values()
    return sum(all(one.value == 1.0 for one in part) for part in parts) / len(parts) if parts else 0.0


def _share(parts: Iterable[Sequence[Scored]], holds: Callable[[float], bool]) -> float:
    shares = [mean(part) for part in parts]
    return sum(map(holds, shares)) / len(shares) if shares else 0.0


def _bias(scored: Sequence[Scored]) -> dict[str, float]:
    """Share of yes answers above that of yes golds, and the share of no golds among the wrong answers."""
    golds = [one.sample.answer.gold == "yes" for one in scored]
    said = [(one.value == 1.0) == gold for one, gold in zip(scored, golds, strict=True)]
    wrong = [gold for one, gold in zip(scored, golds, strict=True) if one.value != 1.0]
    return {
        "yes_difference": (sum(said) - sum(golds)) / len(scored),
        "false_positive_share": 1 - sum(wrong) / len(wrong) if wrong else 0.0,
    }


def accuracies(scored: Sequence[Scored]) -> dict[str, float]:
    """Questions (aAcc), groups of one question over figures (qAcc), figures (fAcc), easy and hard questions.

    `mean_of_three` is what leaderboards of other toolkits print; the authors print the others. Easy and hard are
    shares of question groups whose questions of that side are all right, as their program counts them.
    """
    if not scored:
        return {"aAcc": 0.0}
    figures = grouped([one for one in scored if not _without_figure(one.sample)], *FIGURE).values()
    sides = {
        name: [one for one in scored if (str(one.sample.metadata["visual_input"]) == EDITED) is hard]
        for name, hard in (("easy", False), ("hard", True))
    }
    three = {"aAcc": mean(scored), "qAcc": _all_right(scored, QUESTION), "fAcc": _share(figures, lambda s: s == 1.0)}
    return {
        **three,
        **{name: _all_right(part, QUESTION) for name, part in sides.items()},
        "mean_of_three": sum(three.values()) / 3,
        "figures_inconsistent": _share(figures, lambda share: 0.0 < share < 1.0),
        "figures_wrong": _share(figures, lambda share: share == 0.0),
        **_bias(scored),
    }


official = Reference(ORIGIN, _judged, accuracies, applies=lambda output: label(output) is not None)


def _rows(path: Path, *names: str) -> list[tuple[str, str, Any]]:
    return [
        (where, "_".join(str(field(where, row, key)) for key in ID), field(where, row, *names))
        for where, row in objects(path)
    ]


def judged(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """Labels 0, 1, 2 as outputs."""
    return named(samples, _rows(path, "gpt4v_output_gpt_check", "correctness"))


def predictions(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """Answers as outputs."""
    return named(samples, _rows(path, "model_prediction"))
