"""The pass-rate RL pool: questions that the cold start answers right sometimes, neither always nor never.

    mmreason grpo dianjin-r1 data.rl_source=passrate

k answers a question are sampled from the cold start; 0 < right/k < 1 stays (reconstructed: many questions that the
paper's teacher failed give every answer the same reward, and so no gradient). Leaves rl_passrate.parquet and
passrate.json; finished chunks are kept, so that a stopped run goes on where it was.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmreason.config import Domain, Recipe
from mmreason.data.passrate import CHUNK, chunk_passes, plan_mark
from mmreason.errors import UserError
from mmreason.protocol import Protocol
from mmreason.records import Sample
from mmreason.records.io import read_samples, write_samples
from mmreason.rollout.engine import Engine
from mmreason.run.files import write_json
from mmreason.run.folder import RunFolder
from mmreason.run.progress import progress


def main(recipe: Recipe, domain: Domain, folder: RunFolder, engine: Engine) -> dict[str, Any]:
    """Sample, count, keep; returns what passrate.json holds."""
    if recipe.grpo is None:
        raise UserError(f"recipe {recipe.system} has no grpo part, so it needs no RL pool")
    samples = candidates(recipe, folder)
    work = folder.data / "passrate"
    mark = plan_mark(recipe, Protocol.of(domain).hash, samples, folder.final("sft"))
    passes: dict[str, int] = {}
    with progress("pass rates", total=len(samples)) as tick:
        for start in range(0, len(samples), CHUNK):
            path = work / f"chunk_{start:07d}.json"
            chunk = _stored(path, mark)
            if chunk is None:
                chunk = chunk_passes(recipe, samples[start : start + CHUNK], engine, start)
                write_json(path, {"mark": mark, "passes": chunk})
            passes |= chunk
            tick(min(CHUNK, len(samples) - start))
    return _write(recipe, folder, samples, passes)


def candidates(recipe: Recipe, folder: RunFolder) -> list[Sample]:
    """All training questions of the RL kinds that fit the prompt limit: what the teacher failed and what it taught."""
    kinds, limit = set(recipe.data.rl_kinds), recipe.data.max_prompt_tokens
    failed, taught = read_samples(folder.data / "rl.parquet"), read_samples(folder.data / "sft.parquet")
    fitting = [s for s in taught if s.answer.kind.value in kinds and s.metadata["prompt_tokens"] <= limit]
    known = {sample.id for sample in failed}  # rows without a chain may stand in both sets
    return [*failed, *(sample.without_response() for sample in fitting if sample.id not in known)]


def _stored(path: Path, mark: str) -> dict[str, int] | None:
    """A chunk finished under the same plan."""
    if not path.is_file():
        return None
    stored = json.loads(path.read_text(encoding="utf-8"))
    return stored["passes"] if stored["mark"] == mark else None


def _write(recipe: Recipe, folder: RunFolder, samples: Sequence[Sample], passes: dict[str, int]) -> dict[str, Any]:
    k = recipe.data.passrate_k
    kept = [
        replace(sample, difficulty=1 - passes[sample.id] / k).with_meta(source="passrate", passes=passes[sample.id])
        for sample in samples
        if 0 < passes[sample.id] < k
    ]
    write_samples(folder.data / "rl_passrate.parquet", kept)
    counts = Counter(passes.values())
    facts = {
        "k": k,
        "candidates": len(samples),
        "kept": len(kept),
        "all_wrong": counts[0],
        "all_right": counts[k],
        "by_passes": {str(number): counts[number] for number in range(k + 1)},
    }
    write_json(folder.data / "passrate.json", facts)
    return facts
