"""Sums over scored records: accuracy with interval, unread by cause, groups, leakage by document, constants."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from mmreason.errors import UserError
from mmreason.records import Sample
from mmreason.suites.baselines import chance, constants, majority
from mmreason.suites.beside import constant_rows
from mmreason.suites.intervals import Interval, bootstrap, cluster_bootstrap
from mmreason.suites.means import accuracy, as_dict, single
from mmreason.suites.references import Reference, Scored, total
from mmreason.suites.rules import references
from mmreason.suites.suite import Suite

Record = dict[str, Any]


def _runs(records: Iterable[Record]) -> list[Record]:
    return [run for record in records for run in record["runs"]]


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
    return {"questions": len(records), **outcomes(records), "acc": as_dict(accuracy(records))}


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


def official(suite: Suite, records: Sequence[Record], samples: Sequence[Sample]) -> dict[str, Any]:
    """Published scorer -> mean over the items it counts with its interval, how many it leaves out, its own numbers."""
    return {name: _official(name, one, records, samples) for name, one in references(suite).items()}


def _official(name: str, one: Reference, records: Sequence[Record], samples: Sequence[Sample]) -> dict[str, Any]:
    counted = [record for record in records if record[name] is not None]
    runs = [one.total(run) for run in _by_run(records, samples, lambda run: run["official"][name])]
    numbers = {key: round(sum(run[key] for run in runs) / len(runs), 6) for key in runs[0]}
    interval = as_dict(accuracy(counted, name)) if counted else {"mean": 0.0, "low": 0.0, "high": 0.0, "method": ""}
    return {
        **interval,
        "left_out": len(records) - len(counted),
        "numbers": numbers,
        "origin": one.origin,
        "seed": one.seed,
    }


def _by_run(
    records: Sequence[Record], samples: Sequence[Sample], value: Callable[[Record], float | None]
) -> list[list[Scored]]:
    """One list of scored answers a run, in the suite's order."""
    turns = range(len(records[0]["runs"]))
    return [
        [
            Scored(sample, record["runs"][turn]["output"], value(record["runs"][turn]))
            for sample, record in zip(samples, records, strict=True)
        ]
        for turn in turns
    ]


def totals(suite: Suite, records: Sequence[Record], samples: Sequence[Sample]) -> dict[str, dict[str, float]]:
    """The suite's own sums over the strict verdicts (their credit), averaged over the runs."""
    found = {}
    for name in suite.totals:
        runs = [total(name)(run) for run in _by_run(records, samples, lambda run: run["credit"])]
        found[name] = {key: round(sum(run[key] for run in runs) / len(runs), 6) for key in runs[0]}
    return found


def headline(suite: Suite, summary: dict[str, Any]) -> float:
    """The number that `suite.main` names. Raises UserError for a name that the summary does not have."""
    kind, _, key = suite.main.partition(":")
    if suite.main == "micro":
        return float(summary["strict"]["mean"])
    if kind == "macro" and key in summary["groups"]:
        return float(summary["groups"][key]["macro"])
    if kind in summary["totals"] and key in summary["totals"][kind]:
        return float(summary["totals"][kind][key])
    have = ["micro", *(f"macro:{name}" for name in summary["groups"])]
    have += [f"{name}:{number}" for name, numbers in summary["totals"].items() for number in numbers]
    raise UserError(f"suite {suite.name!r}: main is {suite.main!r}, expected one of {', '.join(have)}")


def without_known_bad(suite: Suite, records: Sequence[Record]) -> dict[str, Any] | None:
    """The score on questions whose gold nobody disputes; None where the suite lists no bad gold."""
    kept = [record for record in records if record["id"] not in suite.known_bad]
    return _part(kept) if suite.known_bad and kept else None


def summarise(suite: Suite, samples: Sequence[Sample], records: Sequence[Record]) -> dict[str, Any]:
    """Everything said of one suite. Shares are over answers, accuracies over questions (mean of their answers).

    A missing or unread answer counts as not right in every accuracy, and is counted apart beside it.
    """
    runs = _runs(records)
    summary = {
        "questions": len(records),
        "runs_per_question": max(len(record["runs"]) for record in records),
        "strict": as_dict(accuracy(records)),
        "credit": as_dict(_over_questions(records, "credit")),
        "official": official(suite, records, samples),
        **outcomes(records),
        "format_rate": _share(runs, lambda run: run["format"] > 0),
        "think_empty_share": _share(runs, lambda run: run["think_empty"]),
        "cut_share": _share(runs, lambda run: run["stop"] == "length"),
        "mean_tokens": round(sum(run["tokens"] for run in runs) / len(runs), 2),
        "mean_characters": round(sum(len(run["output"] or "") for run in runs) / len(runs), 2),
        "reward": as_dict(_over_questions(records, "reward")),
        "groups": {key: groups(records, key) for key in suite.group_by},
        "totals": totals(suite, records, samples),
        "without_known_bad": without_known_bad(suite, records),
        "by_training_document": by_training_document(records),
        "letters": letters(records),
        "constants": constants(suite, samples),
        "majority": majority(samples),
        "chance": chance(samples),
    }
    summary["baselines"] = (
        constant_rows(samples, records, summary["constants"]) if "constants" in suite.baselines else []
    )
    return {**summary, "main": {"name": suite.main, "value": headline(suite, summary)}}


def _over_questions(records: Sequence[Record], key: str) -> Interval:
    """Mean of a number of each answer, with a bootstrap over questions, or over documents where they repeat."""
    values = [sum(run[key] for run in record["runs"]) / len(record["runs"]) for record in records]
    if single(records):
        return bootstrap(values)
    return cluster_bootstrap(values, [record["document"] or record["id"] for record in records])
