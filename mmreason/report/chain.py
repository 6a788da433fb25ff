"""report.html of a chain of stages: every suite's score from stage to stage, with links to the stages' own reports."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmreason.report.curves import interval_chart
from mmreason.report.gather import gather
from mmreason.report.render import render_html
from mmreason.run.files import write_text
from mmreason.run.folder import RunFolder

Homes = Mapping[str, tuple[str, RunFolder]]
"""Stage's name -> (kind of training, run folder), in order."""


def chain_scores(homes: Homes) -> dict[str, list[dict[str, Any]]]:
    """Suite -> one row for each evaluation in order: what was evaluated, strict score with interval, coverage."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for name, (kind, home) in homes.items():
        shown = {"base": "base", kind: name}
        for stage, suites in gather(home).results.items():
            for suite, results in suites.items():
                label = shown.get(stage, stage.replace(kind, name, 1))
                block = results["mmreason"]
                rows.setdefault(suite, []).append({"stage": label, "block": block, **block["summary"]["strict"]})
    return rows


def write_chain(folder: RunFolder, system: str, homes: Homes) -> Path:
    """Write report.html into the chain's folder and return its path."""
    suites = [
        {
            "name": suite,
            "title": rows[0]["block"]["title"],
            "coverage": rows[0]["block"]["coverage"],
            "rows": rows,
            "chart": interval_chart([(row["stage"], row["mean"], row["low"], row["high"]) for row in rows]),
        }
        for suite, rows in chain_scores(homes).items()
    ]
    stages = [{"name": name, "kind": kind, "folder": home.path.name} for name, (kind, home) in homes.items()]
    page = folder.path / "report.html"
    write_text(page, render_html("chain.html.j2", system=system, stages=stages, suites=suites))
    return page
