"""card.md: the model card of a run, made from its folder alone through model_cards/card.md.j2."""

from __future__ import annotations

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


def released_stage(folder: RunFolder, view: RunView) -> str | None:
    """The last training stage that finished: the model that the card is about; None when none did."""
    finished = [stage for stage in ("grpo", "sft") if folder.final(stage).is_dir() and view.recipe.get(stage)]
    return finished[0] if finished else None


def licence_of(sets: list[Row]) -> str:
    """'other' as soon as one training set forbids commercial use: the weights inherit its terms."""
    return "apache-2.0" if sets and all(one.get("commercial") for one in sets) else "other"


def front_matter(view: RunView, sets: list[Row]) -> Markup:
    """The YAML head that model hubs read. Dumped, not templated, so that no value can break out of it."""
    model = view.recipe.get("model", {})
    tiny = model.get("tiny") or {}
    values: dict[str, Any] = {
        "library_name": "transformers",
        "pipeline_tag": "image-text-to-text" if "_vl" in tiny.get("family", "") else "text-generation",
        "license": licence_of(sets),
        "tags": ["mmreason", "grpo", str(view.manifest.get("system", ""))],
    }
    if model.get("path"):
        values["base_model"] = model["path"]
    if sets:
        values["datasets"] = [one["name"] for one in sets]
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


def card_markdown(folder: RunFolder) -> str:
    """The card as text."""
    view = gather(folder)
    sets = data_sets(view.data_report)
    stage = released_stage(folder, view)
    return render_markdown(
        project_dir() / "model_cards" / "card.md.j2",
        view=view,
        front_matter=front_matter(view, sets),
        stage=stage,
        checkpoint=f"checkpoints/{stage}/final" if stage else None,
        system=view.manifest.get("system") or view.name,
        sets=sets,
        limited=[one["name"] for one in sets if not one.get("commercial")],
        leaks=leaks(view.decontamination),
        method=method(view),
        scores=score_rows(view),
        reconstructed=reconstructed(view.recipe),
    )


def write_card(folder: RunFolder) -> Path:
    """Write card.md into the run folder and return its path. What a stopped run lacks is said in the card."""
    path = folder.path / "card.md"
    write_text(path, card_markdown(folder))
    return path
