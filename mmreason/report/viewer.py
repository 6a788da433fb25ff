"""rollouts.html: what the model wrote during RL, grouped by prompt, with the parts of each reward."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmreason.errors import UserError
from mmreason.records import Sample
from mmreason.report.gather import Row, gather, media_root, read_rollouts, rl_samples
from mmreason.report.html import cut
from mmreason.report.render import render_html
from mmreason.report.reward_bar import reward_bar, span
from mmreason.report.shown_media import FrameSheet
from mmreason.report.timeline import timeline
from mmreason.run.files import write_text
from mmreason.run.folder import RunFolder

STEPS = 4
"""Steps shown unless named: the first, the last and some between."""
GROUPS = 8
"""Prompts shown of each step."""


def spread(files: Sequence[Path], count: int) -> list[Path]:
    """`count` files at even distance, the first and the last among them."""
    if len(files) <= count:
        return list(files)
    return [files[round(index * (len(files) - 1) / (count - 1))] for index in range(count)]


def _group(rows: list[Row], sample: Sample | None, sheet: FrameSheet) -> Row:
    rewards = [row["reward"] for row in rows]
    media = sample.media if sample else ()
    looks = timeline(sheet, media, sample.evidence if sample else {}, rows)
    scale = span(rows)
    return {
        "id": rows[0]["sample_id"],
        "question": cut(rows[0]["question"]),
        "gold": rows[0]["gold"],
        "axis": looks.axis,
        "pictures": [] if looks.axis else [shown for ref in media for shown in sheet.pictures(ref)],
        "num_media": len(media),
        "mean": sum(rewards) / len(rewards),
        "dead": len(set(rewards)) == 1,
        "rows": [
            {**row, "text": cut(row["text"]), "turns": turns, "bar": reward_bar(row, *scale)}
            for row, turns in zip(rows, looks.rows, strict=True)
        ],
    }


def step_groups(path: Path, samples: dict[str, Sample], sheet: FrameSheet, count: int) -> dict[str, Any]:
    """The first `count` prompts of one step with their rollouts, and how many there were."""
    groups: dict[Any, list[Row]] = {}
    for row in read_rollouts(path):
        groups.setdefault(row["group"], []).append(row)
    shown = [_group(rows, samples.get(rows[0]["sample_id"]), sheet) for rows in list(groups.values())[:count]]
    step = next(iter(groups.values()))[0]["step"]
    return {"step": step, "total": len(groups), "groups": shown}


def _chosen(files: list[Path], steps: Sequence[int] | None) -> list[Path]:
    if steps is None:
        return spread(files, STEPS)
    by_step = {int(path.stem.removeprefix("step_")): path for path in files}
    absent = [step for step in steps if step not in by_step]
    if absent:
        raise UserError(f"no rollouts of step {absent[0]}; saved are steps {min(by_step)} to {max(by_step)}")
    return [by_step[step] for step in steps]


def write_viewer(folder: RunFolder, steps: Sequence[int] | None = None, groups: int = GROUPS) -> Path:
    """Write rollouts.html into the run folder and return its path.

    Raises UserError when the run has no rollouts, or none of a step asked for.
    """
    view = gather(folder)
    if not view.rollout_files:
        raise UserError(f"{folder.path} holds no rollouts: they are written by the RL stage")
    samples = rl_samples(folder)
    sheet = FrameSheet(media_root(folder, view.manifest))
    chosen = _chosen(view.rollout_files, steps)
    shown = [step_groups(path, samples, sheet, groups) for path in chosen]
    page = render_html(
        "rollouts.html.j2", view=view, steps=shown, num_steps=len(view.rollout_files), sheet=sheet.markup()
    )
    path = folder.path / "rollouts.html"
    write_text(path, page)
    return path
