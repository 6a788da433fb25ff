"""Published sets of values for the `grpo` section, one YAML file each in training/algorithms/. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from mmreason.errors import UserError, nearest
from mmreason.project import project_dir

PLAIN = "grpo"
"""The algorithm of a recipe that names none; its values are the defaults of GrpoSettings."""


def list_algorithms() -> dict[str, Path]:
    """Name -> file, found by folder."""
    return {path.stem: path for path in sorted((project_dir() / "training" / "algorithms").glob("*.yaml"))}


def read_algorithm(name: str) -> dict[str, Any]:
    """Keys of the `grpo` section that an algorithm sets. Raises UserError for an unknown name."""
    known = list_algorithms()
    if name not in known:
        raise UserError(f"grpo.algorithm: no algorithm {name!r}{nearest(str(name), known)}")
    values: dict[str, Any] = yaml.safe_load(known[name].read_text(encoding="utf-8"))
    return values


def with_algorithm(values: dict[str, Any]) -> dict[str, Any]:
    """A recipe's values with those of its `grpo.algorithm` under the keys that its `grpo` section does not set.

    Values without a `grpo` section come back as they are. Raises UserError for an unknown algorithm.
    """
    section = values.get("grpo")
    if not isinstance(section, dict):
        return values
    return {**values, "grpo": {**read_algorithm(section.get("algorithm", PLAIN)), **section}}


def summary(path: Path) -> str:
    """What an algorithm is: the comment on its first line."""
    return path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
