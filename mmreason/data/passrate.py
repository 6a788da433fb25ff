"""Answers of a policy to RL candidates, in chunks that can be stored one by one: what pools are chosen from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from mmreason.config import Recipe
from mmreason.data.selection import Trial
from mmreason.records import Outcome, Sample
from mmreason.rewards.reward import Reward
from mmreason.rewards.terms import Terms
from mmreason.rollout.engine import Engine
from mmreason.run.folder import RunFolder

CHUNK = 64
"""Questions a chunk; a stopped run repeats at most one."""
TASK = "task"
"""Part in which a reward term states what an answer earned without its format; selection goes by it."""
SAMPLED = ("passrate", "variance")
"""Values of `data.rl_source` whose pool is chosen from the start model's own answers."""


def pool_path(recipe: Recipe, folder: RunFolder) -> Path:
    """The RL pool that a run trains on."""
    source = recipe.data.rl_source
    return folder.data / (f"rl_{source}.parquet" if source in SAMPLED else "rl.parquet")


def num_answers(recipe: Recipe) -> int:
    """Answers a question."""
    return recipe.data.selection.k if recipe.data.rl_source == "variance" else recipe.data.passrate_k


def plan_mark(recipe: Recipe, protocol_hash: str, samples: Sequence[Sample], model: str | Path) -> str:
    """Digest of what the answers depend on: model, protocol, sampling, questions in order."""
    assert recipe.grpo is not None
    weights = [
        (path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(Path(model).glob("*.safetensors"))
    ]
    parts = {
        "model": weights or str(model),
        "protocol": protocol_hash,
        "sampling": recipe.grpo.sampling.model_dump(),
        "k": num_answers(recipe),
        "seed": recipe.seeds.sampling,
        "ids": [sample.id for sample in samples],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def chunk_trials(
    recipe: Recipe, samples: Sequence[Sample], engine: Engine, reward: Reward, start: int
) -> dict[str, list[Trial]]:
    """Sample id -> its answers, graded by the training reward; right means well-formed and right."""
    assert recipe.grpo is not None
    seed = recipe.seeds.sampling * 1_000_003 + start
    answers = engine.generate(samples, recipe.grpo.sampling, n=num_answers(recipe), seed=seed)
    made: dict[str, list[Trial]] = {}
    for sample, group in zip(samples, answers, strict=True):
        made[sample.id] = [_trial(answer.text, reward(answer, sample)) for answer in group]
    return made


def _trial(text: str, terms: Terms) -> Trial:
    right = bool(terms.format and terms.accuracy)
    credit = terms.parts.get(TASK, terms.verdict.credit)
    return Trial(text, credit, right, terms.verdict.outcome is Outcome.UNREAD)


def to_json(trials: dict[str, list[Trial]]) -> dict[str, list[dict[str, object]]]:
    """As a chunk's file holds them."""
    return {name: [asdict(trial) for trial in group] for name, group in trials.items()}


def from_json(stored: dict[str, list[dict[str, object]]]) -> dict[str, list[Trial]]:
    """Inverse of `to_json`."""
    return {name: [Trial(**trial) for trial in group] for name, group in stored.items()}  # type: ignore[arg-type]
