"""Results files: the JSON shape of lm-eval (0.4.13) with a block of our own, and one JSON line a question."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmreason.errors import UserError
from mmreason.run.files import write_json, write_jsonl
from mmreason.suites.intervals import stderr
from mmreason.suites.reading import coverage, is_official
from mmreason.suites.suite import Suite

LOWER_IS_BETTER = ("unread_rate", "think_empty_share")


def scored_metrics(suite: Suite, summary: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Metric -> value over all questions, as lm-eval lists them; a question that a scorer leaves out is not in it."""
    names = ["acc", *(name for name in suite.metrics if name != "strict")]
    values = {}
    for name in names:
        scores = [record[name] for record in records if record[name] is not None]
        values[name] = sum(scores) / len(scores) if scores else 0.0
    values |= {"reward": summary["reward"]["mean"], "format": summary["format_rate"]}
    return values | {name: summary[name] for name in LOWER_IS_BETTER}


def task_metrics(suite: Suite, summary: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """lm-eval's 'metric,filter' keys of one task, with standard errors; our filter is always 'none'."""
    values: dict[str, Any] = {"name": suite.name, "alias": suite.title, "sample_len": len(records)}
    for name, value in scored_metrics(suite, summary, records).items():
        values[f"{name},none"] = value
        if name in records[0]:
            error = stderr([record[name] for record in records if record[name] is not None])
            values[f"{name}_stderr,none"] = "N/A" if error is None else error
    return values


def results_json(
    suite: Suite,
    summary: Mapping[str, Any],
    records: Sequence[Mapping[str, Any]],
    config: Mapping[str, Any],
    provenance: Mapping[str, Any],
) -> dict[str, Any]:
    """One results file. `config` is lm-eval's (model, batch_size, limit, gen_kwargs, seeds);
    `provenance` joins our block (stage, model and protocol hash, rows dropped by the reader)."""
    metrics = task_metrics(suite, summary, records)
    scored = [key.removesuffix(",none") for key in metrics if key.endswith(",none") and "_stderr" not in key]
    count = len(records)
    return {
        "results": {suite.name: metrics},
        "group_subtasks": {suite.name: []},
        "configs": {suite.name: suite.model_dump()},
        "versions": {suite.name: suite.version},
        "n-shot": {suite.name: 0},
        "higher_is_better": {suite.name: {name: name not in LOWER_IS_BETTER for name in scored}},
        "n-samples": {suite.name: {"original": suite.released_count or count, "effective": count}},
        "config": dict(config),
        "git_hash": provenance.get("git_hash"),
        "date": time.time(),
        "mmreason": {
            "suite": suite.name,
            "title": suite.title,
            "version": suite.version,
            "licence": suite.licence,
            "coverage": coverage(suite, count, provenance.get("available")),
            "official": is_official(suite, count) and not provenance.get("missing"),
            "reader_only": suite.reader_only,
            **provenance,
            "summary": dict(summary),
        },
    }


def describe(results: Mapping[str, Any]) -> str:
    """One line of a results file: accuracy with interval, unread rate, coverage, what stands beside it."""
    block = results["mmreason"]
    summary = block["summary"]
    beside = "".join(f"; {one['name'].replace('_', ' ')} {_told(one)}" for one in summary.get("baselines", []))
    unread = f"unread {100 * summary['unread_rate']:.1f} %"
    return f"{block['suite']}: {_told(summary['strict'])}, {unread}, {block['coverage']}{beside}"


def _told(interval: Mapping[str, Any]) -> str:
    return f"{100 * interval['mean']:.1f} % [{100 * interval['low']:.1f}, {100 * interval['high']:.1f}]"


def samples_path(results: Path) -> Path:
    """The sample file beside a results file."""
    return results.with_name(f"{results.stem}.samples.jsonl")


def write_results(path: Path, results: Mapping[str, Any], records: Sequence[dict[str, Any]]) -> None:
    """Samples first, then the results: a results file always has its samples."""
    write_jsonl(samples_path(path), records)
    write_json(path, dict(results))


def read_results(path: Path) -> dict[str, Any]:
    """A results file written here. Raises UserError on a missing or foreign file."""
    if not path.is_file():
        raise UserError(f"no results file {path}: run `mmreason eval` or `mmreason score` first")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is not a results file ({error}); expected JSON written by mmreason eval") from None
    if not isinstance(found, dict) or "mmreason" not in found:
        raise UserError(f"{path} has no 'mmreason' block: expected a results file written by mmreason eval or score")
    return found


def read_records(path: Path) -> list[dict[str, Any]]:
    """The scored records of a results file (or of a .samples.jsonl itself)."""
    path = path if path.name.endswith(".samples.jsonl") else samples_path(path)
    if not path.is_file():
        raise UserError(f"no sample file {path}: it is written beside its results file; run the evaluation again")
    lines = path.read_text(encoding="utf-8").split("\n")  # not splitlines: U+2028 may stand inside an output
    return [json.loads(line) for line in lines if line]
