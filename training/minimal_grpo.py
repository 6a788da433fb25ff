"""GRPO without options, for reading: one file, one loop. `training/grpo.py` is the real one.

    python training/minimal_grpo.py CHECKPOINT data/rl.parquet [STEPS]

Each step draws prompts, samples a group of answers to each, scores them, centres the scores within the group, and
takes one policy-gradient step. Because a step updates once on its own samples, the ratio to the old policy is 1 and
clipping never acts, so both are left out; so are the reference model, resume and metrics.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from mmreason.config.recipe import RewardSettings, Sampling
from mmreason.curriculum.sampler import take
from mmreason.models.codec import Codec
from mmreason.models.load import load_model
from mmreason.models.rows import make_rows, response_logprobs
from mmreason.objectives.advantage import group_advantage
from mmreason.records.io import read_samples
from mmreason.rewards.terms import score
from mmreason.rollout.transformers_engine import TransformersEngine

PROMPTS, GROUP, RATE = 8, 8, 2e-4


def main(checkpoint: str, prompts: str, steps: int = 20) -> None:
    """Print the mean reward of each step."""
    model = load_model(checkpoint)
    codec = Codec.load(checkpoint)
    engine = TransformersEngine(model, codec)
    adamw = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.0)
    samples = read_samples(Path(prompts))
    for step in range(steps):
        batch = [samples[index] for index in take(len(samples), 0, step * PROMPTS, PROMPTS)]
        groups = engine.generate(batch, Sampling(max_new_tokens=96), n=GROUP, seed=step)
        rewards = torch.tensor(
            [
                [score(answer.text, sample.answer, RewardSettings()).reward for answer in group]
                for sample, group in zip(batch, groups, strict=True)
            ]
        )
        advantage = group_advantage(rewards).reshape(-1, 1)  # [N, 1]
        encoded = [codec.encode(sample) for sample in batch for _ in range(GROUP)]
        ids = [list(answer.ids) for group in groups for answer in group]
        rows = make_rows(encoded, ids, codec.pad_id, model.device)
        logp, _ = response_logprobs(model, rows, banned=codec.visual_ids)  # [N, T]
        loss = -(advantage * logp).sum() / rows.mask.sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adamw.step()
        adamw.zero_grad()
        print(f"step {step + 1}: reward {float(rewards.mean()):.3f}, loss {float(loss.detach()):.4f}")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        raise SystemExit("usage: python training/minimal_grpo.py CHECKPOINT RL_PARQUET [STEPS]")
    main(sys.argv[1], sys.argv[2], *(int(steps) for steps in sys.argv[3:]))
