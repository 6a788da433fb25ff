"""Our side of `grpo_step_trl.py`: the parts of training/grpo.py, without its files.

python benchmarks/step_ours.py FOLDER (packed | cache | naive)
"""

from __future__ import annotations

import functools
import sys
import time
from pathlib import Path
from typing import Any

import torch
from step_side import (
    CLIP,
    GROUP,
    LENGTH,
    RATE,
    Line,
    Tower,
    digest,
    facts_of,
    given,
    peak_mib,
    reward_of,
    sample_of,
    tower_seconds,
)

from mmreason.config.recipe import GrpoSettings, Optim, Sampling
from mmreason.models.codec import Codec
from mmreason.models.encode import Example
from mmreason.models.learner import Learner
from mmreason.models.load import load_model
from mmreason.models.policy import Policy
from mmreason.objectives.compose import compose
from mmreason.objectives.credit import advantages, loss_weights
from mmreason.objectives.diagnostics_update import UpdateSums
from mmreason.objectives.method import Context
from mmreason.objectives.update import grow, update
from mmreason.records import Rollout, Sample, Verdict
from mmreason.rewards.terms import Terms
from mmreason.rollout.collect import Judged, collect
from mmreason.rollout.transformers_engine import TransformersEngine


def without(ids: list[int], head: object, args: object, logits: torch.Tensor) -> torch.Tensor:
    """Hook of the head: while sampling, `ids` cannot be drawn, so that every answer has the full length."""
    banned = torch.tensor(ids, device=logits.device)
    return logits if torch.is_grad_enabled() else logits.index_fill(-1, banned, torch.finfo(logits.dtype).min)


def terms_of(answer: Rollout, sample: Sample) -> Terms:
    """The reward in the shape in which our loop asks for it."""
    return Terms(1.0, 0.0, reward_of(answer.text), Verdict.wrong("", ""), "", False)


def ours(line: Line, folder: Path, path: Any) -> None:
    """Take steps for as long as they are asked for."""
    codec = Codec.load(folder / "model", folder)
    model: Any = load_model(folder / "model").train()
    model.lm_head.register_forward_hook(functools.partial(without, [codec.eos_id]))
    tower, sample = Tower(model), sample_of(folder)
    sampling = Sampling(max_new_tokens=LENGTH)
    grpo = GrpoSettings(
        optim=Optim(lr=RATE),
        steps=1000,
        prompts=1,
        group_size=GROUP,
        sampling=sampling,
        clip_low=CLIP,
        clip_high=CLIP,
        kl_beta=0.0,
        loss_mean="token",
        path=path,
    )
    policy = Policy(model, codec, path)
    engine = TransformersEngine(model, codec, features=policy.features)
    learner, composition = Learner(policy, grpo.optim, grpo.steps, folder), compose(grpo)
    pool = [Example(sample, codec.encode(sample), [])]

    def our_step(number: int) -> dict[str, Any]:
        clock, cpu = [time.perf_counter()], time.process_time()
        policy.begin_step()
        ctx = Context(number, grpo.steps, number, GROUP, sampling, {}, engine, codec, Judged(terms_of))
        batch = collect(pool, number, 0, grpo, composition, ctx).batch
        clock.append(time.perf_counter())
        grown = grow(policy, batch)
        advantage = advantages(batch, grpo, composition, ctx)
        weights = loss_weights(batch, grpo, composition, ctx)
        update(learner, batch, grown, advantage, weights, grpo, composition, ctx, number, UpdateSums())
        policy.forget(updated=True)
        clock.append(time.perf_counter())
        took = {"seconds": clock[2] - clock[0], "cpu_seconds": time.process_time() - cpu}
        phases = {"rollout and reward": clock[1] - clock[0], "update": clock[2] - clock[1]}
        return {**took, "phases": phases, "tokens": int(batch.mask.sum()), **tower.take()}

    line.tell(facts_of(model, "torch", "transformers"))
    number = 0
    while line.wait():
        number += 1
        line.tell(our_step(number))
    seconds = tower_seconds(model, codec, sample, 1)
    line.tell({"prompt": digest(pool[0].prompt.ids), "peak_mib": peak_mib(), "tower_seconds": seconds})


if __name__ == "__main__":
    ours(*given(), sys.argv[2])
