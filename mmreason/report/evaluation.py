"""evaluation.html: one self-contained page about the suites that a model was evaluated on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmreason.errors import UserError
from mmreason.records import MediaRef
from mmreason.report.bars import Bar, suite_bars
from mmreason.report.curves import outcome_bar
from mmreason.report.html import best_constant, cut
from mmreason.report.render import render_html
from mmreason.report.reward_bar import reward_bar, span
from mmreason.report.shown_media import FrameSheet
from mmreason.report.timeline import timeline
from mmreason.run.files import write_text
from mmreason.suites.results import read_records, read_results

EXAMPLES = 2
"""Questions shown of each outcome, per suite."""
OUTCOMES = ("right", "wrong", "unread")

Row = dict[str, Any]


def _marks(summary: Row) -> tuple[tuple[str, float], ...]:
    word, share = best_constant(summary)
    chance = summary["chance"]
    others = [one for one in summary.get("baselines", []) if one["name"] != "constant"]
    drawn = [(one["name"].replace("_", " "), one["mean"]) for one in others]
    return ((f"always {word}", share), *((("chance", chance),) if chance is not None else ()), *drawn)


def _bar(block: Row) -> Bar:
    strict = block["summary"]["strict"]
    return Bar(block["title"], strict["mean"], strict["low"], strict["high"], _marks(block["summary"]))


def _examples(path: Path, sheet: FrameSheet) -> list[Row]:
    """The first questions of each outcome with what was shown to the model."""
    records = read_records(path)
    picked = [
        record
        for outcome in OUTCOMES
        for record in [r for r in records if r["runs"][0]["outcome"] == outcome][:EXAMPLES]
    ]
    return [_example(record, sheet) for record in picked]


def _example(record: Row, sheet: FrameSheet) -> Row:
    run = record["runs"][0]
    question = record["doc"]["question"] or "(not kept: the authors ask that questions are not republished)"
    media = [MediaRef(**one) for one in record["media"]]
    looks = timeline(sheet, media, record.get("evidence", {}), [run])
    return {
        **run,
        "id": record["id"],
        "question": cut(question),
        "gold": record["target"],
        "output": cut(run["output"]),
        "media": [] if looks.axis else [shown for ref in media for shown in sheet.pictures(ref)],
        "num_media": len(media),
        "axis": looks.axis,
        "turns": looks.rows[0],
        "bar": reward_bar(run, *span([run])),
    }


def _suite(path: Path, sheet: FrameSheet) -> Row:
    block = read_results(path)["mmreason"]
    summary = block["summary"]
    word, share = best_constant(summary)
    return {
        "name": block["suite"],
        "block": block,
        "summary": summary,
        "bar": outcome_bar(summary["right"], summary["wrong"], summary["unread"]),
        "constant": (word, share),
        "examples": _examples(path, sheet),
    }


def evaluation_html(paths: Sequence[Path], model: str, root: Path | None = None) -> str:
    """The page as text; `root` is where media paths begin, None shows none."""
    sheet = FrameSheet(root)
    suites = [_suite(path, sheet) for path in paths]
    bars = suite_bars([_bar(suite["block"]) for suite in suites])
    uses = list(dict.fromkeys(use for suite in suites if (use := suite["block"].get("intended_use"))))
    return render_html(
        "evaluation.html.j2", model=model, suites=suites, bars=bars, intended_use=uses, sheet=sheet.markup()
    )


def write_evaluation(folder: Path, model: str, root: Path | None = None, weights: str | None = None) -> Path:
    """Write evaluation.html into a folder of results files and return its path. Raises UserError when it has none.

    `weights`: hash of the model (`model_hash`); results of other models in the same folder are left out.
    """
    paths = sorted(path for path in folder.glob("*.json") if path.with_suffix(".samples.jsonl").is_file())
    if weights is not None:
        paths = [path for path in paths if read_results(path)["mmreason"].get("key", {}).get("model") == weights]
    if not paths:
        raise UserError(f"{folder} holds no results files: run `mmreason eval` first")
    path = folder / "evaluation.html"
    write_text(path, evaluation_html(paths, model, root))
    return path
