"""Cold start: next-token loss on the verified responses, flat from top to bottom.

mmreason sft dianjin-r1 --out runs/mine        (after `mmreason data`)
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from mmreason.config import Domain, Recipe
from mmreason.curriculum.sampler import take
from mmreason.errors import UserError
from mmreason.groups.head import entropy
from mmreason.models.base import base_model
from mmreason.models.distributed import check_towers, make_learner
from mmreason.models.encode import Example, encode_all
from mmreason.models.load import load_model, prepare_for_training
from mmreason.models.policy import Policy
from mmreason.models.rows import example_rows
from mmreason.models.run_codec import load_run_codec, media_counts
from mmreason.models.targets import with_target
from mmreason.protocol import Protocol
from mmreason.records.io import read_samples
from mmreason.rollout.replay import answering
from mmreason.run import processes
from mmreason.run.files import write_json
from mmreason.run.folder import RunFolder
from mmreason.run.metrics import Metrics
from mmreason.run.progress import progress


def micro_batches(batch: Sequence[Example], size: int) -> list[list[Example]]:
    """Cut a batch into forwards of like length, so that little is padded."""
    batch = sorted(batch, key=lambda example: len(example.prompt.ids) + len(example.response))
    return [batch[start : start + size] for start in range(0, len(batch), size)]


def main(recipe: Recipe, domain: Domain, folder: RunFolder) -> None:
    """Train `checkpoints/sft/final` from `data/sft.parquet`; goes on from the newest step found."""
    sft = recipe.sft
    if sft is None:
        raise UserError(f"the recipe of {recipe.system} has no 'sft' section")
    file = folder.data / ("sft_unverified.parquet" if sft.unverified else "sft.parquet")
    samples = read_samples(file)
    if not samples:
        raise UserError(f"{file} holds no samples: {folder.data / 'report.json'} says what was dropped and why")

    processes.connect()
    base = processes.main_first(lambda: base_model(recipe, folder, samples))
    codec = load_run_codec(base, folder.media_root)
    model = prepare_for_training(load_model(base, recipe.model.dtype), recipe.model, recipe.seeds.weights).train()
    examples = encode_all(
        [with_target(sample, sft) for sample in samples],
        codec,
        sft.max_tokens,
        sft.max_tokens,
        folder.data / "too_long_sft.jsonl",
        answering(codec, domain, recipe),
    )
    steps = sft.max_steps or max(round(sft.epochs * len(examples) / sft.batch), 1)
    check_towers(examples, recipe.launch)
    learner = make_learner(Policy(model, codec), sft.optim, steps, folder.checkpoints / "sft", recipe.launch)
    start, _ = learner.resume()
    metrics = Metrics(folder.metrics, "sft", start)

    with progress("cold start", steps, start) as tick:
        for step in range(start + 1, steps + 1):
            began = time.monotonic()
            torch.manual_seed(recipe.seeds.data * 1_000_003 + step)  # dropout of adapters, the same after a resume
            order = take(len(examples), recipe.seeds.data, (step - 1) * sft.batch, sft.batch)
            batch = [examples[index] for index in order]
            tokens = sum(example.num_trained for example in batch)
            loss_sum, entropy_sum = 0.0, 0.0
            micros = micro_batches(processes.share(batch), sft.micro_batch)
            for micro in micros:
                rows = example_rows(micro, codec.pad_id, model.device)
                made = learner.model(rows, extras={"entropy": entropy})
                loss = -made["logp"].sum() / tokens  # the tokens of all processes, so that their gradients add up
                learner.backward(loss, last=micro is micros[-1])
                loss_sum += float(loss.detach())
                entropy_sum += float(made["entropy"].detach().sum()) / tokens
            update = learner.step(step)
            loss_sum, entropy_sum = processes.total(loss_sum), processes.total(entropy_sum)
            values = {"loss": loss_sum, "entropy": entropy_sum, "response_tokens": tokens, **update}
            metrics.log(step, values | media_counts(codec), {"step": time.monotonic() - began})
            if step % sft.save_every == 0 or step == steps:
                learner.save(step, step)
            tick(note=f"loss {loss_sum:.3f}")

    metrics.close()
    learner.export(codec, folder.final("sft"))
    write_json(folder.final("sft") / "protocol.json", Protocol.of(domain).to_dict())
