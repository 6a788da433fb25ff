"""From a system's name, a profile and key=value pairs to a validated recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from mmreason.config.algorithms import with_algorithm
from mmreason.config.recipe import Recipe
from mmreason.config.strict import validate
from mmreason.errors import UserError, nearest
from mmreason.project import project_dir


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping. Missing file, foreign encoding and bad syntax are UserErrors with the place."""
    if not path.is_file():
        raise UserError(f"no file {path}")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path} holds {type(values).__name__}, expected keys and values")
    return values


def list_systems() -> dict[str, Path]:
    """Hyphenated system name -> recipe file, found by folder."""
    found = sorted((project_dir() / "domains").glob("*/*/recipe.yaml"))
    return {path.parent.name.replace("_", "-"): path for path in found}


def find_system(name: str) -> Path:
    """The recipe file for a system's name, a recipe file, or a folder with recipe.yaml or domain.yaml.

    A domain folder without a recipe of its own runs the generic recipe of `training/`.
    """
    systems = list_systems()
    if name in systems:
        return systems[name]
    path = Path(name)
    if path.is_file():
        return path.resolve()
    if (path / "recipe.yaml").is_file():
        return (path / "recipe.yaml").resolve()
    if (path / "domain.yaml").is_file():
        return project_dir() / "training" / "recipe.yaml"
    raise UserError(f"no system, recipe or domain folder {name!r}{nearest(name, systems)}")


def merge(base: Any, over: Any) -> Any:
    """Deep merge of mappings; anything else is replaced."""
    if isinstance(base, dict) and isinstance(over, dict):
        return {**base, **{key: merge(base.get(key), value) for key, value in over.items()}}
    return over


def _assign(values: dict[str, Any], pair: str) -> None:
    key, separator, text = pair.partition("=")
    if not separator:
        raise UserError(f"{pair!r} is not a setting: write key=value, for example grpo.steps=20")
    *parents, last = key.split(".")
    for parent in parents:
        if not isinstance(values.get(parent), dict):
            values[parent] = {}
        values = values[parent]
    try:
        values[last] = yaml.safe_load(text)
    except yaml.YAMLError:
        raise UserError(f"{key}={text}: the value is not valid YAML") from None


def load_recipe(path: Path, profile: str = "cpu", pairs: list[str] | None = None, *, with_data: bool = False) -> Recipe:
    """Base values, the profile's, its `with_data` part when real data are given, then `key=value` pairs; validated."""
    values = read_yaml(path)
    profiles = values.pop("profiles", {})
    if profile not in profiles:
        raise UserError(f"{path} has no profile {profile!r}{nearest(profile, profiles)}")
    chosen = dict(profiles[profile] or {})
    on_real_rows = chosen.pop("with_data", {})
    values = merge(values, chosen)
    if with_data:
        values = merge(values, on_real_rows)
    for pair in pairs or []:
        _assign(values, pair)
    return validate(Recipe, with_algorithm(values), f"{path} (profile {profile})")
