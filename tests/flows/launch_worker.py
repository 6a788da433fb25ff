"""What test_launch.py runs alone and in two processes: the SFT flow, then GRPO updates on rows that are given."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import torch

from mmreason.cli_job import Job, resolve
from mmreason.models.codec import Codec
from mmreason.models.distributed import make_learner
from mmreason.models.load import load_model
from mmreason.project import load_module, project_dir
from mmreason.records.io import read_samples
from mmreason.run import processes
from mmreason.run.files import write_json
from mmreason.run.folder import RunFolder

UPDATES, PROMPTS, ANSWERS = 4, 4, 2


def grpo_updates(job: Job, folder: RunFolder) -> list[dict[str, float]]:
    """Four updates; each has four prompts with two answers of unequal length and opposite advantage."""
    flow: Any = load_module(project_dir() / "training" / "grpo.py")
    grpo = job.recipe.grpo
    assert grpo is not None
    model = load_model(folder.final("sft")).train()
    codec = Codec.load(folder.final("sft"))
    learner = make_learner(model, grpo.optim, UPDATES, folder.checkpoints / "given", job.recipe.launch)
    samples = read_samples(folder.data / "rl.parquet")
    draw = random.Random(0)
    rows = []
    for place in range(UPDATES * PROMPTS):
        prompt = codec.encode(samples[place % len(samples)])
        answers = [[draw.randrange(20, 300) for _ in range(draw.randrange(2, 9))] for _ in range(ANSWERS)]
        rows.append([(prompt, ids) for ids in answers])
    logs = []
    for number in range(1, UPDATES + 1):
        mine = processes.share(rows[(number - 1) * PROMPTS : number * PROMPTS])
        pairs = [pair for group in mine for pair in group]
        old = flow.frozen_logprobs(learner.model, pairs, codec, grpo)
        reference = [value - 0.1 for value in old]
        advantages = [1.0, -1.0] * len(mine)
        parts = zip(pairs, advantages, old, reference, strict=True)
        given = [flow.Row(*pair, *rest) for pair, *rest in parts]
        logs.append(flow.update(learner, given, codec, grpo, number))
    return logs


def main(domain: str, out: str, *pairs: str) -> None:
    """Leave metrics.jsonl, checkpoints/sft/final and grpo.json in `out`, whose data/ is there."""
    torch.set_num_threads(1)
    job = resolve(domain, "cpu", None, Path(out), list(pairs))
    folder = RunFolder(job.out)
    load_module(project_dir() / "training" / "sft.py").main(job.recipe, job.domain, folder)
    logs = grpo_updates(job, folder)
    if processes.is_main():
        write_json(folder.path / "grpo.json", logs)


if __name__ == "__main__":
    main(*sys.argv[1:])
