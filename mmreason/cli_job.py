"""From what was typed to what will be done: system, profile, data, run folder, all validated. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from mmreason.config import Domain, Recipe, find_system, load_domain, load_recipe, with_task
from mmreason.config.stages import stage_recipe
from mmreason.errors import UserError, nearest, require
from mmreason.project import project_dir
from mmreason.records import Sample


@dataclass(frozen=True, slots=True)
class Job:
    """A validated request."""

    system: str
    """As typed: a system's name, a recipe file or a folder."""
    profile: str
    pairs: tuple[str, ...]
    recipe_path: Path
    recipe: Recipe
    domain: Domain
    data_dir: Path | None
    """Folder of real files; None for the embedded default."""
    out: Path

    @property
    def pipelines(self) -> list[str]:
        """Data-set YAMLs that this run reads."""
        return self.recipe.data.pipelines if self.data_dir else self.recipe.data.embedded

    @property
    def suites(self) -> list[str]:
        """Suites that this run evaluates."""
        return self.recipe.eval.suites if self.data_dir else self.recipe.eval.embedded_suites

    def arguments(self) -> list[str]:
        """The same request as command-line words, for processes that are launched."""
        data = ["--data", str(self.data_dir)] if self.data_dir else []
        return [self.system, "--profile", self.profile, *data, "--out", str(self.out), *self.pairs]


def resolve(system: str, profile: str, data: Path | None, out: Path | None, pairs: list[str]) -> Job:
    """Find, read and validate everything a run names.

    Raises UserError for an unknown system, profile, key, data set or suite, and for a data folder that is not there.
    """
    path = find_system(system)
    recipe = load_recipe(path, profile, pairs, with_data=data is not None)
    own = Path(system).resolve() if _is_own_domain(path) else None
    domain = with_task(load_domain(own or path.parent / recipe.domain), recipe.task)
    if own is not None:
        recipe = recipe.model_copy(update={"system": own.name})
    data_dir = _data_dir(recipe, data, own)
    job = Job(
        system=system if own is None else str(own),
        profile=profile,
        pairs=tuple(pairs),
        recipe_path=path,
        recipe=recipe,
        domain=domain,
        data_dir=data_dir,
        out=(out or Path("runs") / recipe.system).resolve(),
    )
    _check_names(job)
    return job if own is None else _with_pictures(job)


def generic_recipe() -> Path:
    """The recipe for domains that bring none."""
    return project_dir() / "training" / "recipe.yaml"


def _is_own_domain(recipe_path: Path) -> bool:
    """A domain folder without a recipe runs the generic one, and its files lie beside its declaration."""
    return recipe_path == generic_recipe()


def _data_dir(recipe: Recipe, data: Path | None, own: Path | None) -> Path | None:
    chosen = data or (Path(recipe.data.dir) if recipe.data.dir else own)
    if chosen is not None and not chosen.is_dir():
        raise UserError(f"no data folder {chosen}: give an existing one with --data, or leave it out")
    return chosen.resolve() if chosen else None


def _with_pictures(job: Job) -> Job:
    """The generic recipe's tiny model gets a vision tower when a row has a picture."""
    from mmreason.data.pipeline import load_dataset
    from mmreason.data.sources import read_source

    tiny = job.recipe.model.tiny
    if tiny is None or tiny.vision:
        return job
    for dataset in (load_dataset(name, job.domain) for name in job.pipelines):
        rows = read_source(job.domain, dataset.source, dataset.split, job.data_dir, dataset.options)
        if any(isinstance(row, Sample) and row.media for row in rows):
            model = job.recipe.model.model_copy(update={"tiny": tiny.model_copy(update={"family": "qwen2_5_vl"})})
            return replace(job, recipe=job.recipe.model_copy(update={"model": model}))
    return job


def _check_names(job: Job) -> None:
    """Every data set, source and suite that the recipe names must exist and be allowed, before anything is computed."""
    from mmreason.data.pipeline import load_dataset
    from mmreason.data.sources import check_use
    from mmreason.suites.suite import load_suite

    if not job.pipelines:
        key = "data.pipelines" if job.data_dir else "data.embedded"
        way = "" if job.data_dir else "; give the folder of real data with --data"
        raise UserError(f"{job.recipe_path}: {key} is empty, so there is nothing to train on{way}")
    check_use(job.domain, [load_dataset(name, job.domain).source for name in job.pipelines])
    for name in job.suites:
        load_suite(name, job.domain)
    for stage in job.recipe.stages:
        _check_names(replace(job, recipe=stage_recipe(job.recipe, stage)))
    if job.recipe.grpo is not None and job.recipe.grpo.methods:
        from mmreason.objectives.compose import compose  # loads torch, which only recipes with methods pay for here

        compose(job.recipe.grpo, job.domain.folder)
    _check_launch(job)


def _check_launch(job: Job) -> None:
    name = job.recipe.launch.deepspeed
    folder = project_dir() / "training" / "launch"
    if name is not None and not (folder / name).is_file():
        known = [path.name for path in folder.glob("*.json")]
        raise UserError(f"launch.deepspeed: no file {folder / name}{nearest(name, known)}")
    for key, count in _batches(job.recipe).items():
        if count % job.recipe.launch.processes != 0:
            raise UserError(
                f"{key} is {count}, which {job.recipe.launch.processes} processes cannot share equally: "
                f"choose a multiple of launch.processes"
            )


def _batches(recipe: Recipe) -> dict[str, int]:
    """Setting -> number of rows or prompts that the training processes share."""
    sft, grpo = recipe.sft, recipe.grpo
    found = {
        "sft.batch": sft.batch if sft else None,
        "grpo.prompts": grpo.prompts if grpo else None,
        "grpo.prompts_per_update": grpo.prompts_per_update if grpo else None,
    }
    return {key: count for key, count in found.items() if count is not None}


def check_extras(job: Job) -> None:
    """Raise MissingExtra, with its pip line, for an optional package that the settings ask for."""
    if job.recipe.grpo is not None and job.recipe.grpo.engine == "vllm":
        require("vllm", "vllm", "sample with grpo.engine=vllm")
    if job.recipe.launch.deepspeed is not None:
        require("deepspeed", "deepspeed", "train with launch.deepspeed")
