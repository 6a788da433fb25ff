"""Whether a run folder can be published: all that a release needs, or one line that names everything missing."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmreason.errors import UserError
from mmreason.release.licence import absent_licence, choose_licence
from mmreason.release.weights import absent_files, absent_weights, read_json
from mmreason.report.card import base_model_name, released_stage
from mmreason.report.data_tables import data_sets
from mmreason.report.gather import RunView, gather
from mmreason.run.folder import RunFolder
from mmreason.suites.answers import model_hash

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """A run that can be published."""

    folder: RunFolder
    view: RunView
    stage: str
    checkpoint: Path
    protocol: Row
    """All fields and the hash."""
    sets: list[Row]
    results: dict[str, Row]
    """Suite -> results of the published weights."""
    licence: str


def examine(run: Path, licence: str | None) -> Source:
    """Check a run folder for release.

    Raises UserError that names every missing field and file, or the reason why these weights may not be published.
    """
    if not (run / "manifest.json").is_file():
        raise UserError(f"{run} is not a run folder: it has no manifest.json; name the folder given to --out")
    folder = RunFolder(run)
    view = gather(folder)
    sets = data_sets(view.data_report)
    refuse_eval_sets(sets)
    stage = finished_stage(folder, view)
    if stage is None:
        raise UserError(f"{run} cannot be published: no training stage of it is finished; run it to its end first")
    checkpoint = folder.final(stage)
    absent = absent_weights(checkpoint) + absent_files(checkpoint)
    protocol = full_protocol(checkpoint)
    if protocol is None:
        absent.append("protocol (protocol.json with all its fields)")
    absent += absent_fields(view, sets) + absent_licence(licence, base_model_name(view), sets)
    absent += absent_evaluation(view, stage, checkpoint) if checkpoint.is_dir() else []
    if not (folder.path / "report.html").is_file():
        absent.append("evaluation report (report.html)")
    if absent or protocol is None:
        raise UserError(f"{run} cannot be published, it lacks: {'; '.join(absent)}")
    chosen = choose_licence(licence, sets)
    return Source(folder, view, stage, checkpoint, protocol, sets, view.results[stage], chosen)


def finished_stage(folder: RunFolder, view: RunView) -> str | None:
    """The last training stage, if it is finished: an earlier one is not what the recipe asked for."""
    planned = [stage for stage in ("grpo", "sft") if view.recipe.get(stage)]
    stage = released_stage(folder, view)
    return stage if stage is not None and stage == planned[0] and folder.is_done(stage) else None


def refuse_eval_sets(sets: list[Row]) -> None:
    """Raise UserError when a training set is declared for evaluation alone; no option lifts that."""
    names = [one["name"] for one in sets if one.get("use") == "eval"]
    if names:
        raise UserError(f"trained on {', '.join(names)}, declared 'use: eval': weights made of them are not published")


def full_protocol(checkpoint: Path) -> Row | None:
    """protocol.json with all fields, its hash checked; None when the checkpoint keeps none or the hash alone.

    Raises UserError when hash and fields disagree.
    """
    file = checkpoint / "protocol.json"
    if not file.is_file():
        return None
    kept = read_json(file)
    fields = {key: value for key, value in kept.items() if key != "hash"}
    if "templates" not in fields:
        return None
    found = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]
    if found != kept.get("hash"):
        raise UserError(f"{file}: the fields have hash {found}, the file says {kept.get('hash')}: it was edited")
    return kept


def absent_fields(view: RunView, sets: list[Row]) -> list[str]:
    """Card fields that the run leaves empty."""
    model = view.recipe.get("model", {})
    absent = [] if model.get("path") or model.get("tiny") else ["card field: base model"]
    absent += [] if sets else ["card field: data sets (data/report.json)"]
    absent += [f"card field: licence of data set {one['name']}" for one in sets if not one.get("licence")]
    if not view.domain.get("intended_use"):
        absent.append("card field: intended use (intended_use in domain.yaml)")
    return absent


def absent_evaluation(view: RunView, stage: str, checkpoint: Path) -> list[str]:
    """Planned suites without results of these very weights: none may be left out of a card."""
    settings = view.manifest.get("settings", {})
    key = "suites" if settings.get("data_dir") else "embedded_suites"
    planned = settings.get("recipe", {}).get("eval", {}).get(key) or []
    results = view.results.get(stage, {})
    absent = [f"evaluation of {suite} (eval/{stage}/{suite}.json)" for suite in planned if suite not in results]
    if not planned and not results:
        absent.append(f"evaluation (eval/{stage} holds no results)")
    have = model_hash(checkpoint) if results else ""
    for suite, row in results.items():
        block = row["mmreason"]
        if not {"mean", "low", "high"} <= block.get("summary", {}).get("strict", {}).keys():
            absent.append(f"card field: metrics of {suite} (strict accuracy with its interval)")
        elif (seen := block.get("key", {}).get("model")) != have:
            absent.append(f"evaluation of {suite} with these weights (it is of model {seen}, the weights are {have})")
    return absent
