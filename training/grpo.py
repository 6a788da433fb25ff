"""GRPO and its relatives, flat: draw prompts, roll out, score, filter, advantage, log-probs, loss, update, log, save.

    mmreason grpo dianjin-r1 --out runs/mine        (after `mmreason sft`)

`grpo.algorithm` and the fields beside it choose the settled base, `grpo.methods` adds published changes; each is one
file of `mmreason/objectives/methods/`. Every prompt and picture is computed once a group (`mmreason/groups/`).
`training/minimal_grpo.py` is the same without options; `training/README.md` explains every metric.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from statistics import fmean
from typing import Any, cast

import torch

from mmreason.config import Domain, Recipe
from mmreason.config.recipe import GrpoSettings, Sampling
from mmreason.data.passrate import pool_path
from mmreason.errors import UserError
from mmreason.models.base import base_model
from mmreason.models.distributed import check_towers, make_learner
from mmreason.models.encode import encode_all
from mmreason.models.load import load_model, prepare_for_training
from mmreason.models.policy import Policy
from mmreason.models.run_codec import load_run_codec, media_counts
from mmreason.objectives.batch import Batch
from mmreason.objectives.compose import Composition, check_processes, compose
from mmreason.objectives.credit import advantages, charge_divergence, loss_weights
from mmreason.objectives.diagnostics import advantage_metrics, kept_metrics, rollout_metrics
from mmreason.objectives.diagnostics_update import UpdateSums
from mmreason.objectives.method import Context, Need
from mmreason.objectives.passes import frozen_passes, teacher_forced
from mmreason.objectives.reference import Reference, make_reference
from mmreason.objectives.update import grow, in_updates, row_means, update
from mmreason.protocol import Protocol
from mmreason.records.io import read_samples
from mmreason.rewards.judge import load_judge
from mmreason.rewards.reward import load_reward
from mmreason.rollout.collect import Collected, Judged, collect, rows_of
from mmreason.rollout.engine import TrainingEngine
from mmreason.rollout.make import make_engine
from mmreason.rollout.playing import with_environment
from mmreason.rollout.record import write_rollouts
from mmreason.run import processes
from mmreason.run.alarms import Alarms
from mmreason.run.files import write_json
from mmreason.run.folder import RunFolder
from mmreason.run.metrics import Metrics
from mmreason.run.progress import progress
from mmreason.run.trackers import line, open_trackers


def main(recipe: Recipe, domain: Domain, folder: RunFolder) -> None:
    """Train `checkpoints/grpo/final` from `checkpoints/sft/final` on the RL pool; goes on from the newest step."""
    grpo = recipe.grpo
    if grpo is None:
        raise UserError(f"the recipe of {recipe.system} has no 'grpo' section")
    composition = compose(grpo, domain.folder)
    pool = pool_path(recipe, folder)
    samples = read_samples(pool)
    if not samples:
        raise UserError(f"{pool} holds no prompts: {folder.data / 'report.json'} says where the rows went")

    processes.connect()
    first = folder.final("sft")
    cold = first if first.is_dir() else processes.main_first(lambda: base_model(recipe, folder, samples))
    codec = load_run_codec(cold, folder.media_root)
    model = prepare_for_training(load_model(cold, recipe.model.dtype), recipe.model, recipe.seeds.weights).train()
    policy = Policy(model, codec, grpo.path)
    reference = make_reference(grpo, policy, cold, codec, recipe.model.dtype)
    limit = recipe.data.max_prompt_tokens
    examples = encode_all(samples, codec, limit, limit, folder.data / "too_long_grpo.jsonl")
    check_towers(examples, recipe.launch)
    judge = load_judge(grpo.reward, folder.data / "cache")
    reward = load_reward(grpo.reward, domain, recipe.options, opened_think=codec.opens_think, judge=judge)
    per_update = grpo.prompts_per_update or grpo.prompts
    count = grpo.steps * -(-grpo.prompts // per_update)
    learner = make_learner(policy, grpo.optim, count, folder.checkpoints / "grpo", recipe.launch)
    weights_folder = folder.path / "weights"
    engine = make_engine(recipe, cold, model, codec, learner.whole, folder=weights_folder, features=policy.features)
    engine = cast(TrainingEngine, with_environment(engine, domain, recipe.options, recipe.seeds.sampling))
    check_processes(composition, learner.whole)
    alarms = Alarms(grpo.alarms)
    start, updates = learner.resume()
    drawn, values = restore(learner.kept(), composition, reference, alarms)
    metrics = Metrics(folder.metrics, "grpo", start)
    trackers = open_trackers(grpo.trackers, folder.path, recipe.model_dump(mode="json"), start)

    with progress("GRPO", grpo.steps, start) as tick:
        for step in range(start + 1, grpo.steps + 1):
            watch, seed = Watch(), recipe.seeds.sampling * 1_000_003 + step
            torch.manual_seed(seed)  # dropout of adapters, the same after a resume
            policy.begin_step()
            judged, counted = Judged(partial(reward, progress=step / grpo.steps)), (engine.prefills, engine.syncs)
            ctx = Context(step, grpo.steps, seed, grpo.group_size, grpo.sampling, values, engine, codec, judged)
            ctx.score = partial(teacher_forced, learner.model, pad_id=codec.pad_id, grpo=grpo)
            ctx.sampling = limited(grpo.sampling, composition, ctx)

            engine.sync(learner.weights)
            got = collect(examples, drawn, recipe.seeds.data, grpo, composition, ctx)
            batch, drawn = got.batch.take(rows_of(got.batch, got.kept)), got.drawn
            watch.lap("rollout")

            grown = grow(policy, batch)
            needs = composition.needs(step) | own_needs(grpo, per_update)
            batch.aux |= frozen_passes(learner.model, reference, grown, batch, grpo, needs)
            for method in composition.all("predict", step):
                batch.aux |= method.predict(batch, ctx)
            watch.lap("logprobs")

            batch = charge_divergence(batch, grpo, ctx)
            advantage = advantages(batch, grpo, composition, ctx)
            sums, parts, rules = UpdateSums(grpo.mismatch_cap, grpo.dual_clip), [], (grpo, composition, ctx)
            for chosen in in_updates(got.kept, grown, batch, per_update // processes.size()):
                rows = [row for one in chosen for row in one.rows]
                weights = torch.zeros_like(advantage)
                weights[rows] = loss_weights(batch.take(rows), *rules)
                updates += 1
                parts.append(update(learner, batch, chosen, advantage, weights, *rules, updates, sums, first=not parts))
                policy.forget(updated=True)
                if reference is not None:
                    reference.follow()
            finish(composition, batch, advantage, ctx)
            watch.lap("update")

            own = torch.zeros(len(got.batch), dtype=advantage.dtype)
            own[rows_of(got.batch, got.kept)] = row_means(advantage, batch.mask)
            write_rollouts(folder.rollouts / f"step_{step:06d}.parquet", step, got, own)
            values = {
                **measure(got, batch, advantage, sums, ctx),
                **{key: fmean(part[key] for part in parts) for key in parts[0]},
                **processes.means(policy.counters()),
                "prefills": int(processes.total(engine.prefills - counted[0])),
                "weight_syncs": engine.syncs - counted[1],
            }
            warnings = alarms.check(step, values)
            told = {"alarms": "; ".join(warnings)} if warnings else {}
            metrics.log(step, {**values, **media_counts(codec), **told}, watch.laps)
            for tracker in trackers:
                tracker.log(step, values)
            if step % grpo.save_every == 0 or step == grpo.steps:
                kept = {"drawn": drawn, "values": values, "methods": composition.state(), "alarms": alarms.state()}
                learner.save(step, updates, kept, reference.tensors() if reference is not None else None)
            for warning in warnings:
                print(f"step {step}: {warning}", file=sys.stderr)
            tick(note=line(values, watch.laps))

    metrics.close()
    for tracker in trackers:
        tracker.close()
    learner.export(codec, folder.final("grpo"))
    write_json(folder.final("grpo") / "protocol.json", Protocol.of(domain).to_dict())


def finish(composition: Composition, batch: Batch, advantage: torch.Tensor, ctx: Context) -> None:
    """What methods do once the policy has moved."""
    for method in composition.all("fit", ctx.step):
        method.fit(batch, ctx)
    for method in composition.all("remember", ctx.step):
        method.remember(batch, advantage, ctx)
    for method in composition.all("observe", ctx.step):
        method.observe(batch, ctx)


def measure(got: Collected, batch: Batch, advantage: torch.Tensor, sums: UpdateSums, ctx: Context) -> dict[str, float]:
    """The step in numbers: all that was sampled, what was kept, advantages, the update, the methods' counters."""
    names = processes.union([*ctx.logged])
    logged = {name: processes.total(ctx.logged.get(name, 0.0)) / processes.size() for name in names}
    return {
        "attempts": got.attempts,
        **rollout_metrics(got.batch, ctx.sampling.max_new_tokens, got.terms, gather=processes.gather),
        **(kept_metrics(got.batch, batch, processes.gather) if len(batch) < len(got.batch) else {}),
        **advantage_metrics(batch, advantage, total=processes.total, largest=processes.largest),
        **sums.result(processes.total, processes.largest),
        **logged,
    }


def own_needs(grpo: GrpoSettings, per_update: int) -> frozenset[Need]:
    """What the settled base asks for: the policy before the update, where it is not that of the update."""
    several = per_update < grpo.prompts
    return frozenset({Need.LOGP_OLD}) if several or grpo.kl_place == "reward" else frozenset()


def limited(sampling: Sampling, composition: Composition, ctx: Context) -> Sampling:
    """The sampling with the token limit of this step."""
    method = composition.one("limit", ctx.step)
    return sampling if method is None else sampling.model_copy(update={"max_new_tokens": method.limit(ctx)})


def restore(
    kept: tuple[dict[str, Any], dict[str, torch.Tensor]],
    composition: Composition,
    reference: Reference | None,
    alarms: Alarms,
) -> tuple[int, dict[str, float]]:
    """Give back what a checkpoint kept; the position in the prompts and the metrics of the last step."""
    state, tensors = kept
    if not state:
        return 0, {}
    composition.load(state["methods"])
    alarms.load(state["alarms"])
    if reference is not None:
        reference.load(tensors)
    return state["drawn"], state["values"]


class Watch:
    """Seconds of each phase of a step."""

    def __init__(self) -> None:
        self.last = time.monotonic()
        self.laps: dict[str, float] = {}

    def lap(self, phase: str) -> None:
        """End a phase."""
        now = time.monotonic()
        self.laps[phase], self.last = now - self.last, now
