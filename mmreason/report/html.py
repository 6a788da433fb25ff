"""report.html: one self-contained page about a run, made from its folder alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmreason.report.curves import interval_chart, line_chart, outcome_bar
from mmreason.report.data_tables import data_sets, leaks
from mmreason.report.gather import Row, RunView, flat, gather, reconstructed, stage_records
from mmreason.report.metric_notes import METRIC_NOTES, in_order
from mmreason.report.render import render_html
from mmreason.run.files import write_text
from mmreason.run.folder import RunFolder

TRANSCRIPTS = 2
"""Questions shown for each outcome of the last stage, per suite."""
MAX_SHOWN = 6000
"""Characters of one output shown in a page; the samples file holds all of it."""


def cut(text: str | None) -> str:
    """An output for a page; a longer one says how much is left out."""
    if text is None:
        return "(no output was given)"
    left = len(text) - MAX_SHOWN
    return text if left <= 0 else f"{text[:MAX_SHOWN]}\n... {left} more characters in the samples file"


def curves(metrics: Sequence[Row]) -> list[Row]:
    """Stage -> one figure for each number that is logged, the telling ones first."""
    found = []
    for stage in dict.fromkeys(row["stage"] for row in metrics):
        rows = [row for row in metrics if row["stage"] == stage]
        keys = in_order(
            {key for row in rows for key, value in row.items() if isinstance(value, int | float)} - {"step"}
        )
        figures = []
        for key in keys:
            points = [(float(row["step"]), float(row[key])) for row in rows if key in row]
            figures.append({"key": key, "note": METRIC_NOTES.get(key, ""), "svg": line_chart(points, key)})
        known = [figure for figure in figures if figure["note"]]
        more = [figure for figure in figures if not figure["note"]]
        found.append(
            {"stage": stage, "steps": rows[-1]["step"], "figures": known or more, "more": more if known else []}
        )
    return found


def _stage_row(stage: str, results: Row) -> Row:
    summary = results["mmreason"]["summary"]
    bar = outcome_bar(summary["right"], summary["wrong"], summary["unread"])
    return {"stage": stage, "block": results["mmreason"], "summary": summary, "bar": bar}


def scores(view: RunView) -> list[Row]:
    """One entry a suite: its stages side by side, and the details of the last stage."""
    found = []
    for suite in view.suites:
        rows = [_stage_row(stage, suites[suite]) for stage, suites in view.results.items() if suite in suites]
        strict = [(row["stage"], row["summary"]["strict"]) for row in rows]
        chart = interval_chart([(stage, value["mean"], value["low"], value["high"]) for stage, value in strict])
        entry = {"name": suite, "rows": rows, "last": rows[-1], "chart": chart}
        found.append({**entry, "constant": best_constant(rows[-1]["summary"])})
    return found


def best_constant(summary: Row) -> tuple[str, float]:
    """The constant answer that scores most under the strict rule, and its share."""
    word, rules = max(summary["constants"].items(), key=lambda item: item[1]["strict"])
    return word, rules["strict"]


def _pick(records: dict[str, Row]) -> list[str]:
    """Ids of the first few questions of each outcome; right, then wrong, then unread."""
    picked = []
    for outcome in ("right", "wrong", "unread"):
        ids = [name for name, record in records.items() if record["runs"][0]["outcome"] == outcome]
        picked += ids[:TRANSCRIPTS]
    return picked


def transcripts(folder: RunFolder, view: RunView) -> list[Row]:
    """For each suite, the same questions as answered by every stage; chosen by the outcome of the last stage."""
    found = []
    for suite in view.suites:
        stages = {stage: stage_records(folder, stage, suite) for stage in view.stages if suite in view.results[stage]}
        last = stages[list(stages)[-1]]
        questions = []
        for name in _pick(last):
            answers = [
                {"stage": stage, **records[name]["runs"][0], "output": cut(records[name]["runs"][0]["output"])}
                for stage, records in stages.items()
                if name in records
            ]
            doc = last[name]["doc"]
            question = cut(doc["question"] or "(not kept: the authors ask that questions are not republished)")
            questions.append({"id": name, "question": question, "gold": last[name]["target"], "answers": answers})
        found.append({"suite": suite, "questions": questions})
    return found


def _short(commit: str) -> str:
    """A hash as twelve digits, its '-dirty' kept; an installed version as it is."""
    head, dash, mark = commit.partition("-")
    return f"{head[:12]}{dash}{mark}" if len(head) == 40 else commit


def _facts(view: RunView) -> dict[str, Any]:
    """The short table under the title."""
    recipe, manifest = view.recipe, view.manifest
    model = recipe.get("model", {})
    tiny = model.get("tiny") or {}
    built = f"tiny, {tiny.get('layers')} layers of {tiny.get('hidden')}, built from a config" if tiny else ""
    starts = manifest.get("starts", [])
    return {
        "System": manifest.get("system"),
        "Model": model.get("path") or built,
        "Started": starts[0]["time"] if starts else None,
        "Starts": len(starts) or None,
        "Commit": _short(str(manifest.get("commit", ""))),
        "Protocol": manifest.get("protocol"),
        "Seeds": ", ".join(f"{key} {value}" for key, value in manifest.get("seeds", {}).items()),
        "Paper": recipe.get("paper"),
    }


def report_html(folder: RunFolder) -> str:
    """The page as text."""
    view = gather(folder)
    rollouts = folder.path / "rollouts.html"
    return render_html(
        "report.html.j2",
        view=view,
        facts=_facts(view),
        scores=scores(view),
        curves=curves(view.metrics),
        transcripts=transcripts(folder, view),
        data_sets=data_sets(view.data_report),
        leaks=leaks(view.decontamination),
        settings=flat(view.recipe),
        reconstructed=reconstructed(view.recipe),
        rollouts_page=rollouts.name if rollouts.is_file() else None,
    )


def write_report(folder: RunFolder) -> Path:
    """Write report.html into the run folder and return its path. What a stopped run lacks is said in the page."""
    path = folder.path / "report.html"
    write_text(path, report_html(folder))
    return path
