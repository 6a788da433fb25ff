"""report.html: one self-contained page about a run, made from its folder alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmreason.records import MediaRef
from mmreason.report.curves import interval_chart, line_chart, outcome_bar
from mmreason.report.data_tables import data_sets, leaks
from mmreason.report.gather import Row, RunView, flat, gather, main_stages, media_root, reconstructed, stage_records
from mmreason.report.measures import measures
from mmreason.report.metric_notes import METRIC_NOTES, in_order
from mmreason.report.render import render_html
from mmreason.report.reward_bar import reward_bar, span
from mmreason.report.shown_media import FrameSheet
from mmreason.report.timeline import timeline
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
    """One entry a suite: its stages side by side, and the details of the last stage that is no control."""
    found = []
    for suite in view.suites:
        rows = [_stage_row(stage, suites[suite]) for stage, suites in view.results.items() if suite in suites]
        strict = [(row["stage"], row["summary"]["strict"]) for row in rows]
        chart = interval_chart([(stage, value["mean"], value["low"], value["high"]) for stage, value in strict])
        stage = main_stages(view.stages_of(suite))[-1]
        last = next(row for row in rows if row["stage"] == stage)
        entry = {"name": suite, "rows": rows, "last": last, "chart": chart}
        found.append({**entry, "constant": best_constant(last["summary"])})
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


def transcripts(folder: RunFolder, view: RunView, sheet: FrameSheet) -> list[Row]:
    """For each suite, the same questions as answered by every stage; chosen by the outcome of the last stage.

    Controls are left out: their answers would bury those of the model itself.
    """
    found = []
    for suite in view.suites:
        stages = {stage: stage_records(folder, stage, suite) for stage in main_stages(view.stages_of(suite))}
        last = stages[list(stages)[-1]]
        found.append(
            {"suite": suite, "questions": [_question(name, stages, last[name], sheet) for name in _pick(last)]}
        )
    return found


def _question(name: str, stages: dict[str, dict[str, Row]], last: Row, sheet: FrameSheet) -> Row:
    """One question with every stage's first answer to it."""
    answered = {stage: records[name]["runs"][0] for stage, records in stages.items() if name in records}
    media = [MediaRef(**one) for one in last["media"]]
    looks = timeline(sheet, media, last.get("evidence", {}), list(answered.values()))
    scale = span(list(answered.values()))
    answers = [
        {"stage": stage, **run, "output": cut(run["output"]), "turns": turns, "bar": reward_bar(run, *scale)}
        for (stage, run), turns in zip(answered.items(), looks.rows, strict=True)
    ]
    question = cut(last["doc"]["question"] or "(not kept: the authors ask that questions are not republished)")
    return {
        "id": name,
        "question": question,
        "gold": last["target"],
        "answers": answers,
        "axis": looks.axis,
        "pictures": [] if looks.axis else [shown for ref in media for shown in sheet.pictures(ref)],
        "num_media": len(media),
    }


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
    sheet = FrameSheet(media_root(folder, view.manifest))
    return render_html(
        "report.html.j2",
        view=view,
        facts=_facts(view),
        scores=scores(view),
        curves=curves(view.metrics),
        measures=measures(folder, view),
        transcripts=transcripts(folder, view, sheet),
        sheet=sheet,
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
