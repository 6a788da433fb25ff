"""Pass rates of a policy on RL candidates, in chunks that can be stored one by one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from mmreason.config import Recipe
from mmreason.config.recipe import RewardSettings
from mmreason.records import Sample
from mmreason.rewards.terms import score
from mmreason.rollout.engine import Engine

CHUNK = 64
"""Questions a chunk; a stopped run repeats at most one."""


def plan_mark(recipe: Recipe, protocol_hash: str, samples: Sequence[Sample], model: Path) -> str:
    """Digest of what pass rates depend on: model, protocol, sampling, questions in order."""
    assert recipe.grpo is not None
    weights = [
        (path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(model.glob("*.safetensors"))
    ]
    parts = {
        "model": weights,
        "protocol": protocol_hash,
        "sampling": recipe.grpo.sampling.model_dump(),
        "k": recipe.data.passrate_k,
        "seed": recipe.seeds.sampling,
        "ids": [sample.id for sample in samples],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def chunk_passes(recipe: Recipe, samples: Sequence[Sample], engine: Engine, start: int) -> dict[str, int]:
    """Sample id -> right answers of k; right means well-formed and right, as the product reward says."""
    assert recipe.grpo is not None
    settings = RewardSettings(mode="product")
    seed = recipe.seeds.sampling * 1_000_003 + start
    answers = engine.generate(samples, recipe.grpo.sampling, n=recipe.data.passrate_k, seed=seed)
    return {
        sample.id: sum(score(answer.text, sample.answer, settings).reward > 0 for answer in group)
        for sample, group in zip(samples, answers, strict=True)
    }
