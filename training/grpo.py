"""GRPO, flat: draw prompts, roll out, score, advantage, log-probs, loss, update, log, save.

    mmreason grpo dianjin-r1 --out runs/mine        (after `mmreason sft`)

Group-relative advantage, clipped ratio, optional k3 divergence from the cold start, token or sequence mean.
`training/minimal_grpo.py` is the same without options; `training/README.md` explains every metric.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

import torch
from transformers import PreTrainedModel

from mmreason.config import Domain, Recipe
from mmreason.config.recipe import GrpoSettings
from mmreason.curriculum.sampler import take
from mmreason.errors import UserError
from mmreason.models.base import base_model
from mmreason.models.codec import Codec, Encoded
from mmreason.models.distributed import check_towers, make_learner
from mmreason.models.encode import encode_all
from mmreason.models.learner import Learner
from mmreason.models.load import load_model, prepare_for_training
from mmreason.models.rows import make_rows, response_logprobs
from mmreason.objectives.advantage import group_advantage
from mmreason.objectives.kl import k3
from mmreason.objectives.reduce import denominator, reduce
from mmreason.objectives.surrogate import clipped_surrogate
from mmreason.protocol import Protocol
from mmreason.records import Outcome, Rollout, Stop, Unread
from mmreason.records.io import read_samples
from mmreason.rewards.judge import load_judge
from mmreason.rewards.reward import load_reward
from mmreason.rewards.terms import Terms
from mmreason.rollout.make import make_engine
from mmreason.rollout.record import write_rollouts
from mmreason.run import processes
from mmreason.run.files import write_json
from mmreason.run.folder import RunFolder
from mmreason.run.metrics import Metrics
from mmreason.run.progress import progress


@dataclass(frozen=True, slots=True)
class Row:
    """One answer in the update. `old` and `reference` are log-probabilities of its tokens under frozen policies."""

    prompt: Encoded
    ids: list[int]
    advantage: float
    old: torch.Tensor
    reference: torch.Tensor | None


@torch.no_grad()
def frozen_logprobs(
    model: PreTrainedModel, rows: list[tuple[Encoded, list[int]]], codec: Codec, grpo: GrpoSettings
) -> list[torch.Tensor]:
    """Log-probabilities of each answer's tokens, one tensor an answer, without gradient."""
    out: list[torch.Tensor] = []
    for start in range(0, len(rows), grpo.micro_batch):
        part = rows[start : start + grpo.micro_batch]
        batch = make_rows([p for p, _ in part], [ids for _, ids in part], codec.pad_id, model.device)
        logp, _ = response_logprobs(model, batch, grpo.sampling.temperature, codec.visual_ids)
        out += [logp[index, : len(ids)].clone() for index, (_, ids) in enumerate(part)]
    return out


def pad(values: list[torch.Tensor], width: int) -> torch.Tensor:
    """Stack rows of log-probabilities, zeros on the right: [N, T]."""
    return torch.stack([torch.nn.functional.pad(value, (0, width - len(value))) for value in values])


def update(learner: Learner, rows: list[Row], codec: Codec, grpo: GrpoSettings, number: int) -> dict[str, float]:
    """One optimiser update on `rows`; every micro-batch of every process divides by the same denominator."""
    total = processes.total(denominator([len(row.ids) for row in rows], grpo.loss_mean))
    tokens = processes.total(sum(len(row.ids) for row in rows))
    sums = dict.fromkeys(("loss", "kl_ref", "entropy", "clip_frac"), 0.0)
    rows = sorted(rows, key=lambda row: len(row.prompt.ids) + len(row.ids))
    for start in range(0, len(rows), grpo.micro_batch):
        micro = rows[start : start + grpo.micro_batch]
        batch = make_rows([r.prompt for r in micro], [r.ids for r in micro], codec.pad_id, learner.model.device)
        logp, entropy = response_logprobs(learner.model, batch, grpo.sampling.temperature, codec.visual_ids)
        width = logp.shape[1]
        advantage = torch.tensor([[row.advantage] for row in micro], device=logp.device)
        old = pad([row.old for row in micro], width)
        loss, cut = clipped_surrogate(logp, old, advantage, grpo.clip_low, grpo.clip_high)
        if grpo.kl_beta > 0.0:
            divergence = k3(logp, pad([row.reference for row in micro if row.reference is not None], width))
            loss = loss + grpo.kl_beta * divergence
            sums["kl_ref"] += float((divergence.detach() * batch.mask).sum()) / tokens
        loss = reduce(loss, batch.mask, grpo.loss_mean, total)
        learner.backward(loss, last=start + grpo.micro_batch >= len(rows))
        sums["loss"] += float(loss.detach())
        sums["entropy"] += float(entropy.sum()) / tokens
        sums["clip_frac"] += float((cut & batch.mask).sum()) / tokens
    return {**{key: processes.total(value) for key, value in sums.items()}, **learner.step(number)}


def describe(groups: list[list[Rollout]], terms: list[list[Terms]], rewards: torch.Tensor) -> dict[str, float]:
    """What a step's rollouts look like, before any update."""
    answers = [answer for group in groups for answer in group]
    flat = [term for group in terms for term in group]
    return {
        "reward": float(rewards.mean()),
        "accuracy": fmean(term.accuracy for term in flat),
        "format": fmean(term.format for term in flat),
        "unread": fmean(term.verdict.outcome is Outcome.UNREAD for term in flat),
        "empty_think": fmean(term.think_empty for term in flat),
        "zero_advantage_groups": float((rewards.amax(1) == rewards.amin(1)).double().mean()),
        "length": fmean(len(answer.ids) for answer in answers),
        "truncated": fmean(answer.stop is Stop.LENGTH for answer in answers),
    }


def main(recipe: Recipe, domain: Domain, folder: RunFolder) -> None:
    """Train `checkpoints/grpo/final` from `checkpoints/sft/final` on the RL pool; goes on from the newest step."""
    grpo = recipe.grpo
    if grpo is None:
        raise UserError(f"the recipe of {recipe.system} has no 'grpo' section")
    pool = folder.data / ("rl_passrate.parquet" if recipe.data.rl_source == "passrate" else "rl.parquet")
    samples = read_samples(pool)
    if not samples:
        raise UserError(f"{pool} holds no prompts: {folder.data / 'report.json'} says where the rows went")

    processes.connect()
    first = folder.final("sft")
    cold = first if first.is_dir() else processes.main_first(lambda: base_model(recipe, folder, samples))
    codec = Codec.load(cold, folder.media_root)
    model = prepare_for_training(load_model(cold, recipe.model.dtype), recipe.model, recipe.seeds.weights).train()
    reference = load_model(cold, recipe.model.dtype).eval() if grpo.kl_beta > 0.0 else None
    limit = recipe.data.max_prompt_tokens
    examples = encode_all(samples, codec, limit, limit, folder.data / "too_long_grpo.jsonl")
    judge = load_judge(grpo.reward, folder.data / "cache")
    reward = load_reward(grpo.reward, domain, opened_think=codec.opens_think, judge=judge)
    per_update = grpo.prompts_per_update or grpo.prompts
    count = grpo.steps * -(-grpo.prompts // per_update)
    check_towers(examples, recipe.launch)
    learner = make_learner(model, grpo.optim, count, folder.checkpoints / "grpo", recipe.launch)
    engine = make_engine(recipe, cold, model, codec, learner.whole)
    start, updates = learner.resume()
    metrics = Metrics(folder.metrics, "grpo", start)

    with progress("GRPO", grpo.steps, start) as tick:
        for step in range(start + 1, grpo.steps + 1):
            clock = [time.monotonic()]
            torch.manual_seed(recipe.seeds.sampling * 1_000_003 + step)  # dropout of adapters, same after a resume
            order = take(len(examples), recipe.seeds.data, (step - 1) * grpo.prompts, grpo.prompts)
            batch = processes.share([examples[index] for index in order])
            prompts = [example.sample for example in batch]
            seed = recipe.seeds.sampling * 1_000_003 + step
            counted = engine.prefills, engine.syncs
            engine.sync(learner.weights)
            groups = engine.generate(prompts, grpo.sampling, n=grpo.group_size, seed=seed)
            clock.append(time.monotonic())

            terms = [
                [reward(answer, sample) for answer in group] for group, sample in zip(groups, prompts, strict=True)
            ]
            unread = [s.id for s, group in zip(prompts, terms, strict=True) if group[0].verdict.unread is Unread.GOLD]
            if unread:
                raise UserError(f"RL prompt {unread[0]} has a gold answer no grader reads: build the data again")
            rewards = torch.tensor([[term.reward for term in group] for group in terms], dtype=torch.float64)
            advantages = group_advantage(rewards, grpo.std_normalise).tolist()
            write_rollouts(folder.rollouts / f"step_{step:06d}.parquet", step, prompts, groups, terms, advantages)
            clock.append(time.monotonic())

            pairs = [(e.prompt, list(a.ids)) for e, group in zip(batch, groups, strict=True) for a in group]
            old = frozen_logprobs(learner.model, pairs, codec, grpo)
            ref = frozen_logprobs(reference, pairs, codec, grpo) if reference is not None else [None] * len(pairs)
            gap = max_gap(old, groups)
            flat = [value for group in advantages for value in group]
            rows = [Row(*pair, *rest) for pair, *rest in zip(pairs, flat, old, ref, strict=True)]
            clock.append(time.monotonic())

            size = per_update // processes.size() * grpo.group_size
            parts = []
            for first in range(0, len(rows), size):
                updates += 1
                parts.append(update(learner, rows[first : first + size], codec, grpo, updates))
            clock.append(time.monotonic())

            values = processes.means(describe(groups, terms, rewards))
            values |= {"logprob_gap_max": processes.largest(gap)}
            values |= {"prefills": int(processes.total(engine.prefills - counted[0]))}
            values |= {"weight_syncs": engine.syncs - counted[1]}
            values |= {key: fmean(part[key] for part in parts) for key in parts[0]}
            phases = ("rollout", "reward", "logprobs", "update")
            metrics.log(step, values, dict(zip(phases, (b - a for a, b in pairwise(clock)), strict=True)))
            if step % grpo.save_every == 0 or step == grpo.steps:
                learner.save(step, updates)
            tick(note=f"reward {values['reward']:.3f}")

    metrics.close()
    learner.export(codec, folder.final("grpo"))
    write_json(folder.final("grpo") / "protocol.json", {"hash": Protocol.of(domain).hash})


def max_gap(old: list[torch.Tensor], groups: list[list[Rollout]]) -> float:
    """Largest |log pi_trainer - log pi_engine| over all sampled tokens: the two must see one distribution."""
    answers = [answer for group in groups for answer in group]
    return max(
        float((trainer.cpu() - torch.tensor(answer.logprobs)).abs().max())
        for trainer, answer in zip(old, answers, strict=True)
    )
