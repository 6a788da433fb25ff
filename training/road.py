"""The whole road of one run, as a list of stages: data, cold start, RL, evaluation, report.

A stage that finished left a mark in the run folder and is skipped; a stage that stopped half-way continues from its
own checkpoints. `mmreason run` walks the list, `mmreason data|sft|grpo` one stage of it.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmreason.config import Domain, Recipe
from mmreason.errors import UserError
from mmreason.project import load_module, project_dir
from mmreason.run.files import write_json
from mmreason.run.folder import RunFolder
from mmreason.run.manifest import finish_stage


@dataclass(frozen=True)
class Road:
    """What every stage is handed."""

    recipe: Recipe
    domain: Domain
    folder: RunFolder
    data_dir: Path | None
    launch: Callable[[str], list[str]] | None
    """Stage -> command that runs it in several processes; None: in this process."""

    @property
    def suites(self) -> list[str]:
        return self.recipe.eval.suites if self.data_dir else self.recipe.eval.embedded_suites


def flow(name: str) -> Any:
    """A flow file of the project, loaded by reference."""
    return load_module(project_dir() / name)


def data(road: Road) -> dict[str, Any]:
    """Cold-start and RL sets, decontaminated against every question of the suites, whatever `eval.limit` asks."""
    from mmreason.data.sources import data_root
    from mmreason.suites.reading import suite_questions
    from mmreason.suites.suite import load_suite

    share = road.recipe.data.eval_fraction
    suites = [load_suite(name, road.domain) for name in road.suites]
    questions = [
        sample
        for suite in suites
        for sample in suite_questions(suite, road.domain, road.data_dir, None, share, road.folder.made, subset=True)
    ]
    built = flow("data_pipelines/cold_start.py").main(
        road.recipe, road.domain, road.folder, data_dir=road.data_dir, eval_samples=questions
    )
    write_json(
        road.folder.data / "media_root.json", {"path": str(data_root(road.domain, road.data_dir, road.folder.made))}
    )
    return dict(built["totals"])


def sft(road: Road) -> None:
    """Cold start on the verified chains."""
    flow("training/sft.py").main(road.recipe, road.domain, road.folder)


def pool(road: Road) -> None:
    """RL prompts chosen by several answers of the start model to each."""
    from mmreason.models.load import load_model
    from mmreason.models.run_codec import load_run_codec
    from mmreason.rollout.transformers_engine import TransformersEngine

    start = base(road) if road.recipe.sft is None else road.folder.final("sft")
    codec = load_run_codec(start, road.folder.media_root)
    engine = TransformersEngine(load_model(start, road.recipe.model.dtype).eval(), codec)
    flow("data_pipelines/rl.py").main(road.recipe, road.domain, road.folder, engine, start)


def grpo(road: Road) -> None:
    """RL from the cold start."""
    flow("training/grpo.py").main(road.recipe, road.domain, road.folder)


def evaluate(road: Road, stage: str) -> None:
    """Scores of one stage's model on every suite."""
    model = base(road) if stage == "base" else road.folder.final(stage)
    flow("eval/run.py").main(road.recipe, road.domain, road.folder, stage, road.suites, road.data_dir, model)


def base(road: Road) -> str | Path:
    """The model that the cold start begins with; a tiny one is built here if it is not there yet."""
    from mmreason.models.base import base_model
    from mmreason.records.io import read_samples

    sft = road.recipe.sft
    name = "rl.parquet" if sft is None else "sft_unverified.parquet" if sft.unverified else "sft.parquet"
    return base_model(road.recipe, road.folder, read_samples(road.folder.data / name))


def report(road: Road) -> None:
    """Rollout pages, report and card, from the run folder alone."""
    from mmreason.report.card import write_card
    from mmreason.report.html import write_report
    from mmreason.report.viewer import write_viewer

    if road.folder.rollouts.is_dir():
        write_viewer(road.folder)
    write_report(road.folder)
    write_card(road.folder)


STAGES: dict[str, Callable[[Road], Any]] = {
    "data": data,
    "eval_base": lambda road: evaluate(road, "base"),
    "sft": sft,
    "eval_sft": lambda road: evaluate(road, "sft"),
    "pool": pool,
    "grpo": grpo,
    "eval_grpo": lambda road: evaluate(road, "grpo"),
    "report": report,
}
TRAINING = ("sft", "grpo")
LIGHT = ("data", "report")
"""Stages that need no torch."""


def stages_of(recipe: Recipe, suites: Sequence[str]) -> list[str]:
    """The stages that a recipe asks for, in order; without suites nothing is evaluated."""
    absent = set() if suites else {"eval_base", "eval_sft", "eval_grpo"}
    if not recipe.eval.base:
        absent.add("eval_base")
    if recipe.sft is None:
        absent |= {"sft", "eval_sft"}
    if recipe.grpo is None:
        absent |= {"pool", "grpo", "eval_grpo"}
    if recipe.data.rl_source not in ("passrate", "variance"):
        absent.add("pool")
    return [name for name in STAGES if name not in absent]


def main(
    recipe: Recipe,
    domain: Domain,
    folder: RunFolder,
    *,
    data_dir: Path | None = None,
    only: Sequence[str] | None = None,
    launch: Callable[[str], list[str]] | None = None,
) -> None:
    """Walk the stages in order, or those named in `only`.

    Raises UserError when a stage is asked for that the recipe leaves out.
    """
    road = Road(recipe, domain, folder, data_dir, launch)
    planned = stages_of(recipe, road.suites)
    for name in only or ():
        if name not in planned:
            raise UserError(f"the recipe has no stage {name!r}; it has {', '.join(planned)}")
    for name in only or planned:
        walk(road, name)


def walk(road: Road, name: str) -> None:
    """One stage: skip it when done, run it (launched or here), mark it, put it into the manifest."""
    if road.folder.is_done(name) and name != "report":
        print(f"{name}: finished before, not run again", file=sys.stderr)
        return
    print(f"{name}: starts", file=sys.stderr)
    begun = time.monotonic()
    if name not in LIGHT:
        prepare_torch(road.recipe)
    if name in TRAINING and road.launch is not None:
        run_launched(name, road.launch(name))
        facts = None
    else:
        facts = STAGES[name](road)
    if int(os.environ.get("RANK", "0")) != 0:
        return  # in a launched stage the first process alone writes
    if not road.folder.is_done(name) or name == "report":
        road.folder.mark_done(name, **(facts or {}))
    seconds = time.monotonic() - begun
    finish_stage(road.folder, name, seconds)
    print(f"{name}: done in {seconds:.0f} s", file=sys.stderr)


def prepare_torch(recipe: Recipe) -> None:
    """Fix the CPU threads, so that a resumed run adds up in the same order, and keep foreign bars off the terminal."""
    import torch
    from transformers.utils import logging

    logging.disable_progress_bar()
    if recipe.launch.threads is not None:
        torch.set_num_threads(recipe.launch.threads)


def run_launched(name: str, command: list[str]) -> None:
    """Run a stage in several processes and wait. Raises RuntimeError with the exit code when it fails."""
    import torch

    gc.collect()  # the model of the evaluation before: the launched processes need its memory
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    done = subprocess.run(command, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{name} failed with exit code {done.returncode}: {' '.join(command)}")
