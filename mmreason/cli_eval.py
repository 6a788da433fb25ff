"""`mmreason eval`: a checkpoint on suites, outside a run."""

from __future__ import annotations

from pathlib import Path

from mmreason.cli_job import generic_recipe
from mmreason.config import Domain, find_system, load_domain, load_recipe, with_task
from mmreason.errors import UserError
from mmreason.project import load_module, project_dir
from mmreason.run.folder import RunFolder
from mmreason.run.lock import locked


def _domain(system: str | None, recipe_path: Path, recipe_domain: str, suites: list[str]) -> Domain:
    """The domain that declares the sources: the system's, a folder's, or the one that the first suite names."""
    from mmreason.suites.suite import load_suite

    if system is not None:
        own = recipe_path == generic_recipe()
        return load_domain(Path(system) if own else recipe_path.parent / recipe_domain)
    named = load_suite(suites[0]).domain
    if named is None:
        raise UserError(f"suite {suites[0]!r} belongs to no domain: name a system or a domain folder with --system")
    return load_domain(project_dir() / "domains" / named)


def evaluate_model(
    model: str,
    suites: list[str],
    system: str | None,
    profile: str,
    data: Path | None,
    out: Path,
    pairs: list[str],
) -> None:
    """Write eval/model/<suite>.json and evaluation.html under `out`. `model` is a folder or a released name."""
    from mmreason.data.sources import data_root
    from mmreason.release.names import resolve_model
    from mmreason.report.evaluation import write_evaluation

    path = find_system(system) if system is not None else generic_recipe()
    recipe = load_recipe(path, profile, pairs)
    domain = with_task(_domain(system, path, recipe.domain, suites), recipe.task)
    if data is not None and not data.is_dir():
        raise UserError(f"no data folder {data}: give an existing one with --data, or leave it out")
    if data is None and path == generic_recipe() and system is not None:
        data = Path(system)
    folder = RunFolder(out)
    with locked(folder.path):
        path = resolve_model(model)
        flow = load_module(project_dir() / "eval" / "run.py")
        done = flow.main(recipe, domain, folder, "model", suites, data, path)
        weights = next(iter(done.values()))["mmreason"]["key"]["model"]
        root = data_root(domain, data, folder.made)
        print(f"report: {write_evaluation(folder.eval / 'model', Path(model).name, root, weights)}")
