"""rollouts.html: what the model wrote during RL, grouped by prompt, with the parts of each reward."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from mmreason.errors import UserError
from mmreason.records import Sample
from mmreason.report.gather import Row, gather, read_rollouts, rl_samples
from mmreason.report.html import cut
from mmreason.report.render import render_html
from mmreason.report.shown_media import thumbnails
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


def _pictures(root: Path | None, sample: Sample) -> list[Markup]:
    if root is None or not root.is_dir():
        return []
    return [shown for ref in sample.media for shown in thumbnails(root, ref)]


def _group(rows: list[Row], sample: Sample | None, root: Path | None) -> Row:
    rewards = [row["reward"] for row in rows]
    return {
        "id": rows[0]["sample_id"],
        "question": cut(rows[0]["question"]),
        "gold": rows[0]["gold"],
        "pictures": _pictures(root, sample) if sample else [],
        "num_media": len(sample.media) if sample else 0,
        "mean": sum(rewards) / len(rewards),
        "dead": len(set(rewards)) == 1,
        "rows": [{**row, "text": cut(row["text"])} for row in rows],
    }


def step_groups(path: Path, samples: dict[str, Sample], root: Path | None, count: int) -> dict[str, Any]:
    """The first `count` prompts of one step with their rollouts, and how many there were."""
    groups: dict[Any, list[Row]] = {}
    for row in read_rollouts(path):
        groups.setdefault(row["group"], []).append(row)
    shown = [_group(rows, samples.get(rows[0]["sample_id"]), root) for rows in list(groups.values())[:count]]
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


def _media_root(folder: RunFolder, manifest: Row) -> Path | None:
    """The data folder of the run; without one its made pictures or the domain's own; None without a manifest."""
    given, domain = manifest.get("settings", {}).get("data_dir"), manifest.get("domain", {}).get("folder")
    if not given and folder.made.is_dir():
        return folder.made
    return Path(given or domain) if given or domain else None


def write_viewer(folder: RunFolder, steps: Sequence[int] | None = None, groups: int = GROUPS) -> Path:
    """Write rollouts.html into the run folder and return its path.

    Raises UserError when the run has no rollouts, or none of a step asked for.
    """
    view = gather(folder)
    if not view.rollout_files:
        raise UserError(f"{folder.path} holds no rollouts: they are written by the RL stage")
    samples = rl_samples(folder)
    root = _media_root(folder, view.manifest)
    chosen = _chosen(view.rollout_files, steps)
    shown = [step_groups(path, samples, root, groups) for path in chosen]
    page = render_html("rollouts.html.j2", view=view, steps=shown, num_steps=len(view.rollout_files))
    path = folder.path / "rollouts.html"
    write_text(path, page)
    return path
