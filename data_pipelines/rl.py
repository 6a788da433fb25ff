"""The RL pool by the start model's own answers: several a question are sampled, graded, stored, and a rule chooses.

    mmreason grpo dianjin-r1 data.rl_source=passrate         0 < right/k < 1 stays
    mmreason grpo temporal-r1 data.rl_source=variance        by `data.selection`: spread of the answers' credit
    mmreason run fleming-r1                                  by a rule of the system itself, `data.selection.rule`

The start model is the cold start, or the base model where the recipe has none. Leaves rl_<source>.parquet,
<source>.json (what was dropped and why), for variance also selection.jsonl (every candidate's numbers), and trials/
with all raw outputs: finished chunks are kept, so that a stopped run goes on where it was and another rule needs no new
answers.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from mmreason.config import Domain, Recipe
from mmreason.config.recipe import RewardSettings
from mmreason.config.selection import Rule
from mmreason.data.passrate import CHUNK, SAMPLED, chunk_trials, from_json, num_answers, plan_mark, pool_path, to_json
from mmreason.data.selection import Drawn, Trial, choose
from mmreason.errors import UserError
from mmreason.project import load_ref
from mmreason.protocol import Protocol
from mmreason.records import Sample
from mmreason.records.io import read_samples, write_samples
from mmreason.rewards.reward import load_reward
from mmreason.rollout.engine import Engine
from mmreason.run.files import write_json, write_jsonl
from mmreason.run.folder import RunFolder
from mmreason.run.progress import progress

Trials = Mapping[str, Sequence[Trial]]


def main(
    recipe: Recipe, domain: Domain, folder: RunFolder, engine: Engine, model: str | Path | None = None
) -> dict[str, Any]:
    """Sample, grade, choose; returns what the facts file holds. `model`: where the engine's weights lie."""
    if recipe.grpo is None or recipe.data.rl_source not in SAMPLED:
        source = None if recipe.grpo is None else recipe.data.rl_source
        raise UserError(
            f"recipe {recipe.system}: RL source {source} needs no pool; set data.rl_source to passrate or variance"
        )
    samples, start = candidates(recipe, folder), Path(model or folder.final("sft"))
    trials = answers(recipe, domain, folder, engine, samples, start)
    kept, facts = _rule(recipe, domain, start)(recipe, folder, samples, trials)
    write_samples(pool_path(recipe, folder), kept)
    facts = {"k": num_answers(recipe), "candidates": len(samples), "kept": len(kept), **facts}
    write_json(folder.data / f"{recipe.data.rl_source}.json", facts)
    return facts


def _rule(
    recipe: Recipe, domain: Domain, start: Path
) -> Callable[[Recipe, RunFolder, Sequence[Sample], Trials], tuple[list[Sample], dict[str, Any]]]:
    if recipe.data.rl_source == "passrate":
        return by_passes
    own = not isinstance(recipe.data.selection.rule, Rule)
    return partial(by_reference, domain=domain, start=start) if own else by_variance


def candidates(recipe: Recipe, folder: RunFolder) -> list[Sample]:
    """The training questions of the RL kinds that fit the prompt limit, what the teacher failed and what it taught; of
    them as many as `data.selection.asked` lets be answered, any."""
    kinds, limit = set(recipe.data.rl_kinds), recipe.data.max_prompt_tokens
    failed, taught = read_samples(folder.data / "rl.parquet"), read_samples(folder.data / "sft.parquet")
    fitting = [s for s in taught if s.answer.kind.value in kinds and s.metadata["prompt_tokens"] <= limit]
    known = {sample.id for sample in failed}  # rows without a chain may stand in both sets
    every = [*failed, *(sample.without_response() for sample in fitting if sample.id not in known)]
    most = recipe.data.selection.asked
    if recipe.data.rl_source != "variance" or most is None or most >= len(every):
        return every
    drawn = random.Random(f"asked {recipe.seeds.data}").sample(range(len(every)), most)
    return [every[place] for place in sorted(drawn)]


def answers(
    recipe: Recipe, domain: Domain, folder: RunFolder, engine: Engine, samples: Sequence[Sample], model: str | Path
) -> dict[str, list[Trial]]:
    """Sample id -> graded answers, chunk by chunk; chunks finished under the same plan are read."""
    # Right is well-formed and right whatever the recipe's own composition, unless the domain declares its terms.
    reward = load_reward(RewardSettings(mode="product"), domain, recipe.options)
    mark = plan_mark(recipe, Protocol.of(domain).hash, samples, model)
    trials: dict[str, list[Trial]] = {}
    with progress("answers of the start model", total=len(samples)) as tick:
        for start in range(0, len(samples), CHUNK):
            path = folder.data / "trials" / f"chunk_{start:07d}.json"
            chunk = _stored(path, mark)
            if chunk is None:
                chunk = chunk_trials(recipe, samples[start : start + CHUNK], engine, reward, start)
                write_json(path, {"mark": mark, "trials": to_json(chunk)})
            trials |= chunk
            tick(min(CHUNK, len(samples) - start))
    return trials


def _stored(path: Path, mark: str) -> dict[str, list[Trial]] | None:
    """A chunk finished under the same plan."""
    if not path.is_file():
        return None
    stored = json.loads(path.read_text(encoding="utf-8"))
    return from_json(stored["trials"]) if stored["mark"] == mark else None


def by_passes(
    recipe: Recipe, folder: RunFolder, samples: Sequence[Sample], trials: Trials
) -> tuple[list[Sample], dict[str, Any]]:
    """Neither always nor never right (reconstructed: a group of one reward has no gradient)."""
    k = recipe.data.passrate_k
    passes = {sample.id: sum(trial.right for trial in trials[sample.id]) for sample in samples}
    kept = [
        replace(sample, difficulty=1 - passes[sample.id] / k).with_meta(source="passrate", passes=passes[sample.id])
        for sample in samples
        if 0 < passes[sample.id] < k
    ]
    counts = Counter(passes.values())
    by_count = {str(number): counts[number] for number in range(k + 1)}
    return kept, {"all_wrong": counts[0], "all_right": counts[k], "by_passes": by_count}


def by_variance(
    recipe: Recipe, folder: RunFolder, samples: Sequence[Sample], trials: Trials
) -> tuple[list[Sample], dict[str, Any]]:
    """By the rule of `data.selection`. Raises UserError when it keeps nothing."""
    rule = recipe.data.selection
    chosen = choose(samples, trials, rule, recipe.seeds.data)
    numbers = {row["id"]: row for row in chosen.rows}
    write_jsonl(folder.data / "selection.jsonl", chosen.rows)
    if not chosen.kept:
        raise UserError(f"data.selection.rule={rule.rule} keeps none of {len(samples)} questions: {chosen.counts()}")
    taken = set(chosen.kept)
    kept = [
        replace(sample, difficulty=1 - numbers[sample.id]["mean"]).with_meta(
            source=str(rule.rule), mean=numbers[sample.id]["mean"], sigma=numbers[sample.id]["sigma"]
        )
        for sample in samples
        if sample.id in taken
    ]
    by_type = Counter((row["type"], row["reason"]) for row in chosen.rows)
    table = {kind: {reason: n for (of, reason), n in by_type.items() if of == kind} for kind, _ in by_type}
    return kept, {"rule": str(rule.rule), "reasons": chosen.counts(), "by_type": table}


def by_reference(
    recipe: Recipe, folder: RunFolder, samples: Sequence[Sample], trials: Trials, *, domain: Domain, start: Path
) -> tuple[list[Sample], dict[str, Any]]:
    """By the rule that `data.selection.rule` refers to. Raises UserError when it keeps nothing."""
    rule = str(recipe.data.selection.rule)
    chosen: Drawn = load_ref(rule, domain.folder)(
        samples, trials, options=recipe.options, seed=recipe.seeds.data, before=facts_before(recipe, folder, start)
    )
    write_jsonl(folder.data / "selection.jsonl", chosen.rows)
    if not chosen.kept:
        raise UserError(f"data.selection.rule={rule} keeps none of {len(samples)} questions: {chosen.facts}")
    return chosen.kept, {"rule": rule, **chosen.facts}


def facts_before(recipe: Recipe, folder: RunFolder, start: Path) -> dict[str, Any]:
    """Facts of the pool that the start model, another run's RL checkpoint, was trained on; empty without one."""
    if start.name != "final" or (home := start.resolve().parents[2]) == folder.path:
        return {}
    path = home / folder.data.name / f"{recipe.data.rl_source}.json"
    if not path.is_file():
        return {}
    facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return facts
