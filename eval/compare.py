"""Compare two results of the same suite, question by question."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmreason.errors import UserError
from mmreason.run.progress import say
from mmreason.suites.paired import compare_records
from mmreason.suites.results import read_records, read_results


def _check_alike(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """What differs and should be known; another suite or version cannot be compared at all."""
    for key in ("suite", "version"):
        if a[key] != b[key]:
            raise UserError(f"cannot compare: {key} is {a[key]!r} in the first results and {b[key]!r} in the second")
    return [
        f"{key} differs: {a.get(key)} and {b.get(key)}"
        for key in ("protocol", "reader_version")
        if a.get(key) != b.get(key)
    ]


def _line(found: dict[str, Any]) -> str:
    gain = found["difference"]
    p = "" if found["mcnemar_p"] is None else f", McNemar p = {found['mcnemar_p']:.4f}"
    return (
        f"{found['suite']} {found['metric']}: {100 * found['a']:.1f} % -> {100 * found['b']:.1f} %, "
        f"difference {100 * gain['mean']:+.1f} [{100 * gain['low']:+.1f}, {100 * gain['high']:+.1f}] points on "
        f"{found['questions']} questions; {found['only_b_right']} gained, {found['only_a_right']} lost{p}"
    )


def main(a: Path, b: Path, metric: str = "acc") -> dict[str, Any]:
    """Print and return b - a for two results files written by `mmreason eval` or `mmreason score`.

    Raises UserError for results of different suites, versions or questions, or without `metric`.
    """
    first, second = (read_results(path)["mmreason"] for path in (a, b))
    warnings = _check_alike(first, second)
    records_a, records_b = read_records(a), read_records(b)
    for path, records in ((a, records_a), (b, records_b)):
        if metric not in records[0]["metrics"]:
            raise UserError(f"{path} has no metric {metric!r}; it has {', '.join(records[0]['metrics'])}")
    found = {"suite": first["suite"], **compare_records(records_a, records_b, metric), "warnings": warnings}
    for warning in warnings:
        say(f"warning: {warning}")
    print(_line(found))
    return found
