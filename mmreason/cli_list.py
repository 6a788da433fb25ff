"""`mmreason list`: what can be run, found by folder; there is no central list."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmreason.config import list_systems, read_yaml
from mmreason.project import project_dir


def _systems() -> Iterator[str]:
    for name, path in list_systems().items():
        yield f"{name}  {path.parent.parent.name}  {read_yaml(path).get('paper', '')}".rstrip()


def _suites() -> Iterator[str]:
    from mmreason.suites.suite import list_suites, load_suite

    for name in list_suites():
        suite = load_suite(name)
        count = f"{suite.released_count} questions of {suite.split}" if suite.released_count else suite.split
        note = "  (no outside check of the score)" if suite.reader_only else ""
        yield f"{name}  v{suite.version}  {suite.title}, {count}{note}"


def _methods() -> Iterator[str]:
    from mmreason.objectives import catalogue

    yield "flows:"
    for path in sorted((project_dir() / "training").glob("*.py")):
        doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        yield f"  {path.stem}  {doc.splitlines()[0] if doc else ''}".rstrip()
    yield from catalogue.lines()


def _recipe_files() -> list[Path]:
    root = project_dir()
    return [*list_systems().values(), root / "training" / "recipe.yaml"]


def _recipes() -> Iterator[str]:
    for path in _recipe_files():
        profiles = read_yaml(path).get("profiles", {})
        yield f"{path.relative_to(project_dir())}  profiles {', '.join(profiles)}"
    for path in sorted((project_dir() / "data_pipelines").glob("*.yaml")):
        yield f"{path.relative_to(project_dir())}  data set"


def _model(values: dict[str, Any]) -> str:
    model = values.get("model", {})
    return str(model["path"]) if model.get("path") else "tiny, built from sizes"


def _models() -> Iterator[str]:
    """Released models that are here, then the base models of the recipes."""
    from mmreason.release import names

    yield from names.lines()
    for path in _recipe_files():
        values = read_yaml(path)
        system = path.parent.name.replace("_", "-") if path.parent.name != "training" else "own data"
        for profile, over in values.get("profiles", {}).items():
            yield f"{system}  {profile}  {_model({**values, **(over or {})})}"


LISTS = {"systems": _systems, "suites": _suites, "methods": _methods, "recipes": _recipes, "models": _models}


def lines(what: str) -> Iterator[str]:
    """Lines of one list."""
    return LISTS[what]()
