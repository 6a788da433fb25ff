"""Sums over scored records: accuracy with interval, unread by cause, groups, leakage by document, constants."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from mmreason.records import AnswerKind, Sample
from mmreason.rewards.grade import grade
from mmreason.suites.intervals import Interval, bootstrap, cluster_bootstrap, wilson
from mmreason.suites.rules import rule
from mmreason.suites.suite import Suite

Record = dict[str, Any]

_LETTERS = ("A", "B", "C", "D")
_WORDS = ("0", "0.0", "1", "100", "yes", "no")
CONSTANTS = {AnswerKind.CHOICE: _LETTERS, AnswerKind.MATH: ("0", "1", "100")}
"""Constant answers tried for a kind; judgements try each gold label, other kinds the numbers and yes/no."""


def _runs(records: Iterable[Record]) -> list[Record]:
    return [run for record in records for run in record["runs"]]


def _single(records: Sequence[Record]) -> bool:
    return all(len(record["runs"]) == 1 and record["interval_by"] == "question" for record in records)


def accuracy(records: Sequence[Record], metric: str = "acc") -> Interval:
    """Mean of a 0/1 metric: Wilson for one answer a question, else bootstrap over documents (or questions)."""
    values = [record[metric] for record in records]
    if _single(records):
        return wilson(round(sum(values)), len(values))
    return cluster_bootstrap(values, [record["document"] or record["id"] for record in records])


def _as_dict(interval: Interval) -> dict[str, Any]:
    return {key: round(value, 6) if isinstance(value, float) else value for key, value in interval._asdict().items()}


def _share(runs: Sequence[Record], holds: Callable[[Record], bool]) -> float:
    return round(sum(map(holds, runs)) / len(runs), 6)


def outcomes(records: Sequence[Record]) -> dict[str, Any]:
    """Counts of right, wrong and unread answers, and the unread by cause."""
    runs = _runs(records)
    found = Counter(run["outcome"] for run in runs)
    causes = Counter(run["unread"] for run in runs if run["unread"])
    return {
        "answers": len(runs),
        **{name: found[name] for name in ("right", "wrong", "unread")},
        "unread_rate": round(found["unread"] / len(runs), 6),
        "unread_causes": {name: causes[name] for name in ("prediction", "gold", "timeout")},
    }


def _part(records: Sequence[Record]) -> dict[str, Any]:
    return {"questions": len(records), **outcomes(records), "acc": _as_dict(accuracy(records))}


def groups(records: Sequence[Record], key: str) -> dict[str, Any]:
    """One table: value -> counts and accuracy; `macro` is the plain mean over the values, `micro` over questions."""
    parts: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        parts[record["groups"][key]].append(record)
    rows = {value: _part(part) for value, part in sorted(parts.items())}
    macro = sum(row["acc"]["mean"] for row in rows.values()) / len(rows)
    micro = sum(record["acc"] for record in records) / len(records)
    return {"rows": rows, "macro": round(macro, 6), "micro": round(micro, 6)}


def by_training_document(records: Sequence[Record]) -> dict[str, Any] | None:
    """The score where a question's document also fed training, and where not; None when nobody can tell."""
    if any(record["document_in_train"] is None for record in records):
        return None
    parts = {
        "in_train": [record for record in records if record["document_in_train"]],
        "not_in_train": [record for record in records if not record["document_in_train"]],
    }
    return {name: _part(part) if part else {"questions": 0} for name, part in parts.items()}


def letters(records: Sequence[Record]) -> dict[str, Any] | None:
    """For single choices: how often each letter is gold and is answered, and the accuracy on each gold letter."""
    choices = [record for record in records if record["kind"] == "choice" and len(record["target"]) == 1]
    if not choices:
        return None
    gold = Counter(record["target"] for record in choices)
    read = Counter(run["read"] or "(unread)" for run in _runs(choices))
    right = {letter: sum(r["acc"] for r in choices if r["target"] == letter) / count for letter, count in gold.items()}
    return {
        "gold": dict(sorted(gold.items())),
        "answered": dict(sorted(read.items())),
        "acc_by_gold": {letter: round(value, 6) for letter, value in sorted(right.items())},
    }


def constants(suite: Suite, samples: Sequence[Sample]) -> dict[str, dict[str, float]]:
    """What a model would score that always gives the same answer, under every rule of the suite."""
    kinds = sorted({sample.answer.kind for sample in samples})
    labels = sorted({sample.answer.gold for sample in samples if sample.answer.kind is AnswerKind.JUDGEMENT})
    words = {**CONSTANTS, AnswerKind.JUDGEMENT: tuple(labels)}
    tried = dict.fromkeys(word for kind in kinds for word in words.get(kind, _WORDS))
    return {word: _constant_scores(suite, samples, word) for word in tried}


def _constant_scores(suite: Suite, samples: Sequence[Sample], word: str) -> dict[str, float]:
    text = f"<think>constant</think><answer>\\boxed{{{word}}}</answer>"
    hits = {"strict": [grade(text, sample.answer).score > 0 for sample in samples]}
    for name in suite.metrics:
        if name != "strict":
            hits[name] = [rule(name)(text, sample) for sample in samples]
    return {name: round(sum(found) / len(samples), 6) for name, found in hits.items()}


def summarise(suite: Suite, samples: Sequence[Sample], records: Sequence[Record]) -> dict[str, Any]:
    """Everything said of one suite. Shares are over answers, accuracies over questions (mean of their answers).

    A missing or unread answer counts as not right in every accuracy, and is counted apart beside it.
    """
    runs = _runs(records)
    return {
        "questions": len(records),
        "runs_per_question": max(len(record["runs"]) for record in records),
        "strict": _as_dict(accuracy(records)),
        "official": {name: _as_dict(accuracy(records, name)) for name in suite.metrics if name != "strict"},
        **outcomes(records),
        "format_rate": _share(runs, lambda run: run["format"] > 0),
        "think_empty_share": _share(runs, lambda run: run["think_empty"]),
        "cut_share": _share(runs, lambda run: run["stop"] == "length"),
        "mean_tokens": round(sum(run["tokens"] for run in runs) / len(runs), 2),
        "reward": _as_dict(_reward(records)),
        "groups": {key: groups(records, key) for key in suite.group_by},
        "by_training_document": by_training_document(records),
        "letters": letters(records),
        "constants": constants(suite, samples),
    }


def _reward(records: Sequence[Record]) -> Interval:
    values = [sum(run["reward"] for run in record["runs"]) / len(record["runs"]) for record in records]
    if _single(records):
        return bootstrap(values)
    return cluster_bootstrap(values, [record["document"] or record["id"] for record in records])
