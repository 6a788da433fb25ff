"""Recipes derived from a recipe: other settings by dotted key, and each stage of a chain as a run of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmreason.config.recipe import Recipe, Stage
from mmreason.config.strict import validate


def with_settings(recipe: Recipe, settings: Mapping[str, Any], what: str) -> Recipe:
    """The recipe with settings by dotted key. Raises UserError naming `what` for one that does not exist."""
    return validate(Recipe, _assigned(_plain(recipe), settings), what)


def stage_recipe(recipe: Recipe, stage: Stage, start: Path | None = None) -> Recipe:
    """One stage of a chain as a recipe with this training alone, which begins at the checkpoint `start`, by default at
    the recipe's model. Where that is drawn at random its vision tower learns in the first stage and then, unless
    `model.freeze_vision` is false, stays. Raises UserError naming the stage for settings that do not fit."""
    values = _plain(recipe)
    values.pop("stages", None)
    values.pop("grpo" if stage.kind == "sft" else "sft", None)
    values = _assigned(values, stage.settings)
    if start is not None:
        own = {key: value for key, value in values["model"].items() if key != "tiny"}
        values["model"] = {**own, "path": str(start)}
    return validate(Recipe, values, f"stage {stage.name}")


def _plain(recipe: Recipe) -> dict[str, Any]:
    return recipe.model_dump(mode="json", exclude_unset=True)


def _assigned(values: dict[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in settings.items():
        *parents, last = key.split(".")
        place = values
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return values
