"""What test_launch.py runs alone and in two processes: the SFT flow, then GRPO updates on rows that are given."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import torch

from mmreason.cli_job import Job, resolve
from mmreason.models.codec import Codec
from mmreason.models.distributed import make_learner
from mmreason.models.load import load_model
from mmreason.models.policy import Policy
from mmreason.objectives.batch import make_batch
from mmreason.objectives.compose import Composition
from mmreason.objectives.credit import advantages, loss_weights
from mmreason.objectives.diagnostics_update import UpdateSums
from mmreason.objectives.method import Context, Need
from mmreason.objectives.passes import frozen_passes
from mmreason.objectives.update import grow, update
from mmreason.project import load_module, project_dir
from mmreason.records import Rollout, Stop
from mmreason.records.io import read_samples
from mmreason.run import processes
from mmreason.run.files import write_json
from mmreason.run.folder import RunFolder

UPDATES, PROMPTS, ANSWERS = 4, 4, 2


def grpo_updates(job: Job, folder: RunFolder) -> list[dict[str, float]]:
    """Four updates; each has four prompts with two answers of unequal length and opposite rewards."""
    grpo = job.recipe.grpo
    assert grpo is not None
    codec = Codec.load(folder.final("sft"))
    policy = Policy(load_model(folder.final("sft")).train(), codec, grpo.path)
    learner = make_learner(policy, grpo.optim, UPDATES, folder.checkpoints / "given", job.recipe.launch)
    samples = read_samples(folder.data / "rl.parquet")
    draw = random.Random(0)
    rows = []
    for place in range(UPDATES * PROMPTS):
        sample = samples[place % len(samples)]
        answers = [tuple(draw.randrange(20, 300) for _ in range(draw.randrange(2, 9))) for _ in range(ANSWERS)]
        rows.append([(sample, codec.encode(sample), ids) for ids in answers])
    logs = []
    for number in range(1, UPDATES + 1):
        mine = processes.share(rows[(number - 1) * PROMPTS : number * PROMPTS])
        given = [(index, *row) for index, group in enumerate(mine) for row in group]
        batch = make_batch(
            [Rollout(tuple(prompt.ids), ids, (0.0,) * len(ids), "", Stop.EOS) for _, _, prompt, ids in given],
            [sample for _, sample, _, _ in given],
            [index for index, _, _, _ in given],
            [1.0, 0.0] * len(mine),
            [1.0, 0.0] * len(mine),
        )
        ctx, none, sums = Context(number, UPDATES, 0, ANSWERS, grpo.sampling), Composition(), UpdateSums()
        grown = grow(policy, batch)
        batch.aux |= frozen_passes(learner.model, None, grown, batch, grpo, frozenset({Need.LOGP_OLD}))
        batch.aux["logp_ref"] = batch.aux["logp_old"] - 0.1
        spread, weights = advantages(batch, grpo, none, ctx), loss_weights(batch, grpo, none, ctx)
        made = update(learner, batch, grown, spread, weights, grpo, none, ctx, number, sums)
        logs.append({**made, **sums.result(processes.total, processes.largest)})
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
