"""One suite, one model: questions, answers, scores, results file; resumable."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmreason.config import Domain, Recipe
from mmreason.config.recipe import RewardSettings
from mmreason.errors import UserError
from mmreason.protocol import Protocol
from mmreason.rewards.reward import load_reward
from mmreason.rollout.engine import Engine
from mmreason.run.folder import RunFolder
from mmreason.suites.generations import draw_answers, model_hash, samples_hash
from mmreason.suites.results import read_results, results_json, write_results
from mmreason.suites.rules import applicable
from mmreason.suites.scoring import score_outputs
from mmreason.suites.reading import SuiteData, read_suite
from mmreason.suites.suite import Suite, suite_domain
from mmreason.suites.summary import summarise


def say(text: str) -> None:
    """One line to the person at the terminal; stdout stays free for results."""
    print(text, file=sys.stderr)


def train_documents(folder: RunFolder) -> dict[str, int] | None:
    """Document -> training rows cut from it, as the data stage wrote it; None when this run has no data stage."""
    path = folder.data / "train_documents.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def trained_protocol(model: Path | str) -> str | None:
    """The protocol hash that a checkpoint was trained under (protocol.json beside its weights), if it has one."""
    path = Path(model) / "protocol.json"
    return str(json.loads(path.read_text(encoding="utf-8"))["hash"]) if path.is_file() else None


def _key(suite: Suite, data: SuiteData, protocol: Protocol, recipe: Recipe, model: Path | str) -> dict[str, Any]:
    """What makes two evaluations the same one: saved answers and finished results are reused only under it."""
    settings = recipe.eval
    return {
        "suite": suite.name,
        "version": suite.version,
        "questions": samples_hash(data.samples),
        "protocol": protocol.hash,
        "model": model_hash(model),
        "sampling": settings.sampling.model_dump(),
        "runs": settings.runs,
        "batch": settings.batch,
        "seed": recipe.seeds.sampling,
    }


def _config(recipe: Recipe, model: Path | str) -> dict[str, Any]:
    settings = recipe.eval
    return {
        "model": "mmreason",
        "model_args": {"path": Path(model).name if Path(model).is_dir() else str(model)},
        "model_dtype": recipe.model.dtype,
        "batch_size": settings.batch,
        "limit": settings.limit,
        "gen_kwargs": {**settings.sampling.model_dump(), "runs": settings.runs},
        "random_seed": recipe.seeds.sampling,
        "bootstrap_iters": 0,
    }


def _git_hash(folder: RunFolder) -> str | None:
    if not folder.manifest.is_file():
        return None
    commit = json.loads(folder.manifest.read_text(encoding="utf-8")).get("commit")
    return None if commit is None else str(commit)


def describe(results: Mapping[str, Any]) -> str:
    """One line of a results file: accuracy with interval, unread rate, coverage."""
    block = results["mmreason"]
    summary = block["summary"]
    strict = summary["strict"]
    return (
        f"{block['suite']}: {100 * strict['mean']:.1f} % [{100 * strict['low']:.1f}, {100 * strict['high']:.1f}], "
        f"unread {100 * summary['unread_rate']:.1f} %, {block['coverage']}"
    )


def evaluate_suite(
    suite: Suite,
    recipe: Recipe,
    domain: Domain,
    folder: RunFolder,
    stage: str,
    engine: Engine,
    data_dir: Path | None,
    model: Path | str,
) -> dict[str, Any]:
    """Answer and score one suite; the results are returned and lie at eval/<stage>/<suite>.json.

    Finished results under the same key are returned as they are; a stopped evaluation continues.
    """
    if recipe.eval.runs > 1 and recipe.eval.sampling.temperature == 0:
        raise UserError("eval.runs is over 1 at temperature 0: all answers would be equal; set eval.sampling")
    data = read_suite(suite, domain, data_dir, recipe.eval.limit, recipe.data.eval_fraction, made=folder.made)
    protocol = Protocol.of(suite_domain(suite, domain))
    key = _key(suite, data, protocol, recipe, model)
    path = folder.eval / stage / f"{suite.name}.json"
    if path.is_file() and read_results(path)["mmreason"]["key"] == key:
        say(f"eval {stage} {suite.name}: finished before, not run again")
        return read_results(path)
    trained = trained_protocol(model)
    if trained not in (None, protocol.hash):
        say(f"eval {stage} {suite.name}: protocol {protocol.hash} differs from the checkpoint's {trained}")
    title = f"eval {stage} {suite.name}"
    partial = path.with_name(f"{suite.name}.answers.jsonl")
    outputs = draw_answers(engine, data.samples, recipe.eval, recipe.seeds.sampling, partial, key, title)
    reward = load_reward(recipe.grpo.reward if recipe.grpo else RewardSettings(), domain)
    suite = applicable(suite, (output.text for answers in outputs for output in answers))
    records = score_outputs(suite, data.samples, outputs, reward, train_documents(folder))
    provenance = {
        "stage": stage,
        "key": key,
        "git_hash": _git_hash(folder),
        "protocol": protocol.hash,
        "reader_version": protocol.reader_version,
        "trained_protocol": trained,
        "protocol_differs": trained not in (None, protocol.hash),
        "available": data.available,
        "dropped": data.dropped,
    }
    results = results_json(suite, summarise(suite, data.samples, records), records, _config(recipe, model), provenance)
    write_results(path, results, records)
    partial.unlink()  # the samples file holds every answer now
    say(describe(results))
    return results
