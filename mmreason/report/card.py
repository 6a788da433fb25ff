"""card.md: the model card of a run, made from its folder alone through model_cards/card.md.j2."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup

from mmreason.project import project_dir
from mmreason.report.data_tables import data_sets, leaks
from mmreason.report.gather import Row, RunView, gather, reconstructed
from mmreason.report.render import render_markdown
from mmreason.run.files import write_text
from mmreason.run.folder import RunFolder

MOST_VALUES = 30
"""Values of a key up to which the card breaks a score down by it; the report shows all."""


@dataclass(frozen=True, slots=True)
class Publication:
    """What a card says once the weights are published."""

    name: str
    licence: str


def released_stage(folder: RunFolder, view: RunView) -> str | None:
    """The last training stage that finished: the model that the card is about; None when none did."""
    finished = [stage for stage in ("grpo", "sft") if folder.final(stage).is_dir() and view.recipe.get(stage)]
    return finished[0] if finished else None


def licence_of(sets: list[Row]) -> str:
    """'other' as soon as one training set forbids commercial use: the weights inherit its terms."""
    return "apache-2.0" if sets and all(one.get("commercial") for one in sets) else "other"


def base_model_name(view: RunView) -> str | None:
    """The model that training began with; of a folder its name alone. None for one built from sizes."""
    path = view.recipe.get("model", {}).get("path")
    if not path:
        return None
    return Path(path).name if Path(path).is_absolute() or Path(path).is_dir() else str(path)


def reads_pictures(folder: RunFolder, view: RunView, stage: str | None) -> bool:
    """Whether the released model takes pictures: its config says, and before there is one the recipe's tiny sizes."""
    config = folder.final(stage) / "config.json" if stage else None
    if config is not None and config.is_file():
        return "vision_config" in json.loads(config.read_text(encoding="utf-8"))
    return "_vl" in (view.recipe.get("model", {}).get("tiny") or {}).get("family", "")


def suite_entry(results: Row, task: str, title: str) -> Row:
    """One suite of a `model-index`: strict accuracy with its interval, unread rate, scores of published scorers.

    Values are shares from 0 to 1.
    """
    block, summary = results["mmreason"], results["mmreason"]["summary"]
    strict = summary["strict"]
    args = {"low": strict["low"], "high": strict["high"], "level": 0.95, "interval": strict.get("method", "")}
    metrics = [
        {"type": "accuracy", "name": "strict accuracy", "value": strict["mean"], "args": args},
        {"type": "unread_rate", "name": "unread answers", "value": summary["unread_rate"]},
    ]
    metrics += [
        {"type": name, "name": f"{name} (published scorer)", "value": next(iter(score["numbers"].values()))}
        for name, score in summary.get("official", {}).items()
    ]
    data = {"name": block.get("title") or block["suite"], "type": block["suite"]}
    data["args"] = {"version": block["version"], "questions": block["coverage"], "protocol": block.get("protocol")}
    return {"task": {"type": task, "name": title}, "dataset": data, "metrics": metrics}


def model_index(view: RunView, stage: str | None, name: str, task: str) -> list[Row]:
    """The `model-index` of a card: one entry a suite that the released stage was evaluated on."""
    title = view.domain.get("title") or task
    entries = [suite_entry(results, task, title) for results in view.results.get(stage or "", {}).values()]
    return [{"name": name, "results": entries}] if entries else []


def front_matter(
    view: RunView, sets: list[Row], stage: str | None, vision: bool, publication: Publication | None
) -> Markup:
    """The YAML head that model hubs read. Dumped, not templated, so that no value can break out of it."""
    system = str(view.manifest.get("system", ""))
    task = "image-text-to-text" if vision else "text-generation"
    values: dict[str, Any] = {
        "library_name": "transformers",
        "pipeline_tag": task,
        "license": publication.licence if publication else licence_of(sets),
        "tags": ["mmreason", "grpo", system],
    }
    if base := base_model_name(view):
        values["base_model"] = base
    if sets:
        values["datasets"] = [one["name"] for one in sets]
    if index := model_index(view, stage, publication.name if publication else system, task):
        values["model-index"] = index
    return Markup(yaml.safe_dump(values, sort_keys=False, allow_unicode=True).strip())


def method(view: RunView) -> list[str]:
    """What was done, one sentence a stage, with the settings that decide it."""
    recipe, lines = view.recipe, []
    if sft := recipe.get("sft"):
        length = f"{sft['max_steps']} steps" if sft["max_steps"] else f"{sft['epochs']:g} epochs"
        lines.append(
            f"Cold start: supervised fine-tuning on the {sft['target']}, {length}, batch {sft['batch']}, "
            f"learning rate {sft['optim']['lr']:g}, loss on the response alone."
        )
    if grpo := recipe.get("grpo"):
        lines.append(
            f"RL: GRPO, {grpo['steps']} steps of {grpo['prompts']} prompts with {grpo['group_size']} answers each, "
            f"reward mode {grpo['reward']['mode']}, learning rate {grpo['optim']['lr']:g}, "
            f"KL weight {grpo['kl_beta']:g}, prompts from {recipe['data']['rl_source']}."
        )
    return lines


def score_rows(view: RunView) -> list[Row]:
    """One row a suite and stage."""
    return [
        {"suite": suite, "stage": stage, "block": results["mmreason"], "summary": results["mmreason"]["summary"]}
        for suite in view.suites
        for stage, suites in view.results.items()
        if (results := suites.get(suite)) is not None
    ]


def breakdowns(view: RunView, stage: str | None) -> list[Row]:
    """The released stage's score by each key that a suite breaks it down by, where there are 2 to 30 values."""
    return [
        {"suite": suite, "key": key, "rows": group["rows"]}
        for suite, results in view.results.get(stage or "", {}).items()
        for key, group in results["mmreason"]["summary"].get("groups", {}).items()
        if 2 <= len(group["rows"]) <= MOST_VALUES
    ]


def beside(view: RunView, stage: str | None) -> list[Row]:
    """The baselines of every suite that the released stage was evaluated on."""
    return [
        {"suite": suite, **one}
        for suite, results in view.results.get(stage or "", {}).items()
        for one in results["mmreason"]["summary"].get("baselines", [])
    ]


def card_markdown(folder: RunFolder, publication: Publication | None = None) -> str:
    """The card as text: of the run, or of its release under a name."""
    view = gather(folder)
    sets = data_sets(view.data_report)
    stage = released_stage(folder, view)
    vision = reads_pictures(folder, view, stage)
    return render_markdown(
        project_dir() / "model_cards" / "card.md.j2",
        view=view,
        front_matter=front_matter(view, sets, stage, vision, publication),
        stage=stage,
        vision=vision,
        base=base_model_name(view),
        publication=publication,
        checkpoint=publication.name if publication else f"checkpoints/{stage}/final" if stage else None,
        system=view.manifest.get("system") or view.name,
        sets=sets,
        limited=[one["name"] for one in sets if not one.get("commercial")],
        leaks=leaks(view.decontamination),
        method=method(view),
        scores=score_rows(view),
        breakdowns=breakdowns(view, stage),
        beside=beside(view, stage),
        reconstructed=reconstructed(view.recipe),
    )


def write_card(folder: RunFolder) -> Path:
    """Write card.md into the run folder and return its path. What a stopped run lacks is said in the card."""
    path = folder.path / "card.md"
    write_text(path, card_markdown(folder))
    return path
