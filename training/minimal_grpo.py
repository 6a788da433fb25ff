"""GRPO without options, for reading: one file, one loop. `training/grpo.py` is the real one.

    python training/minimal_grpo.py CHECKPOINT data/rl.parquet [STEPS]

Each step
1. draws prompts and samples a group of answers to each,
2. scores them, and takes from each score the mean of its group, in units of the group's deviation: the advantage of
   every token of that answer,
3. remembers how likely each token was, and goes over the answers in two halves, one optimiser update each; in the
   second the policy has moved, and the ratio to where it was is clipped.

Left out, and found in the real one: sharing of the prompt within a group (here every answer forwards it again), media
that are forwarded once, a reference policy, filters, plug-ins, several processes, resume, metrics.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from transformers import PreTrainedModel

from mmreason.config.recipe import RewardSettings, Sampling
from mmreason.curriculum.sampler import take
from mmreason.models.codec import Codec
from mmreason.models.load import load_model
from mmreason.models.rows import Rows, make_rows, response_logprobs
from mmreason.records.io import read_samples
from mmreason.rewards.terms import score
from mmreason.rollout.transformers_engine import TransformersEngine

PROMPTS, GROUP, UPDATES = 8, 8, 2
RATE, CLIP, MAX_NORM = 2e-4, 0.2, 1.0


def group_advantage(rewards: torch.Tensor) -> torch.Tensor:
    """(r - mean) / (std + 1e-6) over each group [P, G]; exactly 0 where all rewards are equal."""
    centred = rewards - rewards.mean(1, keepdim=True)
    scaled = centred / (rewards.std(1, keepdim=True, correction=0) + 1e-6)
    return torch.where(rewards.amax(1, keepdim=True) > rewards.amin(1, keepdim=True), scaled, 0.0)


def grpo_loss(logp: torch.Tensor, old: torch.Tensor, advantage: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean over all tokens of -min(ratio A, clip(ratio) A); [N, T] in, advantage [N, 1]."""
    ratio = (logp - old).exp()
    clipped = ratio.clamp(1.0 - CLIP, 1.0 + CLIP)
    token = -torch.minimum(ratio * advantage, clipped * advantage)
    return torch.where(mask, token, 0.0).sum() / mask.sum()


def logprobs(model: PreTrainedModel, rows: Rows, codec: Codec) -> torch.Tensor:
    """Log-probability of each answer token [N, T]; ids that the engine never samples have none."""
    return response_logprobs(model, rows, banned=codec.visual_ids)[0]


def main(checkpoint: str, prompts: str, steps: int = 20) -> None:
    """Print the mean reward of each step."""
    model, codec = load_model(checkpoint), Codec.load(checkpoint)
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
        answers = [answer.ids for group in groups for answer in group]
        parts = torch.arange(len(answers)).chunk(UPDATES)
        rows = [make_rows([encoded[i] for i in p], [answers[i] for i in p], codec.pad_id, model.device) for p in parts]
        with torch.no_grad():
            old = [logprobs(model, part, codec) for part in rows]

        for index, part in enumerate(rows):
            loss = grpo_loss(logprobs(model, part, codec), old[index], advantage[parts[index]], part.mask)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM)
            adamw.step()
            adamw.zero_grad()
        print(f"step {step + 1}: reward {float(rewards.mean()):.3f}, loss {float(loss.detach()):.4f}")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        raise SystemExit("usage: python training/minimal_grpo.py CHECKPOINT RL_PARQUET [STEPS]")
    main(sys.argv[1], sys.argv[2], *(int(steps) for steps in sys.argv[3:]))
