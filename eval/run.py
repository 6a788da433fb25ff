"""Evaluate a model of a run on suites: answers, scores with intervals, one results file a suite.

Each suite is resumable: a finished one is skipped while model, protocol, suite version and sampling are the same;
a stopped one continues from its saved answers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmreason.config import Domain, Recipe
from mmreason.config.load import merge
from mmreason.data.sources import data_root
from mmreason.errors import UserError, require
from mmreason.rollout.engine import Engine
from mmreason.rollout.playing import with_environment
from mmreason.run.folder import RunFolder
from mmreason.suites.evaluate import evaluate_suite
from mmreason.suites.reading import check_files
from mmreason.suites.suite import Suite, load_suite


def evaluate(
    recipe: Recipe,
    domain: Domain,
    folder: RunFolder,
    stage: str,
    engine: Engine,
    suites: list[str],
    data_dir: Path | None,
    model: Path | str | None = None,
) -> dict[str, dict[str, Any]]:
    """Suite name -> results of `stage` ('base', 'sft', 'grpo'). `model` is what `engine` runs, by default the stage's.

    All names and files are checked before the first answer is drawn.
    """
    loaded = _load_suites(suites, domain, data_dir)
    path = model or folder.final(stage)
    return {
        suite.name: evaluate_suite(suite, recipe, domain, folder, stage, engine, data_dir, path) for suite in loaded
    }


def _load_suites(names: list[str], domain: Domain, data_dir: Path | None) -> list[Suite]:
    loaded = [load_suite(name, domain) for name in names]
    for suite in loaded:
        check_files(suite, domain, data_dir)
    return loaded


def load_engine(recipe: Recipe, path: Path | str, media_root: Path) -> Engine:
    """The engine that `eval.engine` names, with the model at `path`. Raises MissingExtra where vLLM is absent."""
    from mmreason.models.run_codec import load_run_codec

    if recipe.eval.engine == "transformers":
        from mmreason.models.load import load_model
        from mmreason.rollout.transformers_engine import TransformersEngine

        model = load_model(path, recipe.model.dtype).eval()  # first: it says in one line that there is no checkpoint
        return TransformersEngine(model, load_run_codec(path, media_root))
    require("vllm", "vllm", "evaluate with eval.engine=vllm")
    from mmreason.rollout.vllm_engine import VllmEngine

    longest = recipe.data.max_prompt_tokens + recipe.eval.sampling.max_new_tokens
    return VllmEngine(path, load_run_codec(path, media_root), recipe.model.dtype, longest)


def main(
    recipe: Recipe,
    domain: Domain,
    folder: RunFolder,
    stage: str,
    suites: list[str] | None = None,
    data_dir: Path | None = None,
    model: Path | str | None = None,
) -> dict[str, dict[str, Any]]:
    """Load the model of a stage (or `model`) and evaluate it on `suites`, by default the recipe's."""
    names = suites or (recipe.eval.suites if data_dir else recipe.eval.embedded_suites)
    if not names:
        raise UserError("nothing to evaluate: name suites with --suite, or set eval.suites in the recipe")
    path = model or folder.final(stage)
    if not model and not folder.final(stage).is_dir():
        raise UserError(f"no model at {path}: finish stage {stage!r} first, or name a checkpoint with --model")
    _load_suites(names, domain, data_dir)  # a model takes minutes to load
    plain = load_engine(recipe, path, data_root(domain, data_dir, folder.made))
    made = {}
    for name, options in {"": {}, **recipe.eval.controls}.items():
        chosen = recipe.model_copy(update={"options": merge(recipe.options, options)})
        engine = with_environment(plain, domain, chosen.options, recipe.seeds.sampling)
        label = f"{stage}_{name}" if name else stage
        made |= {label: evaluate(chosen, domain, folder, label, engine, names, data_dir, path)}
    return made[stage]
