"""Fixed numbers for `tests/objectives/test_trl_fixed.py`: what TRL's own code makes of one small batch.

    python benchmarks/trl_losses.py [PATH]        (the Python that has TRL 1.16; tests/objectives/trl_losses.json)

A GRPOTrainer on a tiny text model gets eight answers of unequal lengths (two groups of four) from a rollout function;
its `_get_per_token_logps_and_entropies` gives prescribed log-probabilities in place of the model's. Advantages, weights
against the mismatch with the engine, loss and the loss's gradient at the log-probabilities then come from TRL.
All in float64, but for advantages and rewards, which TRL keeps in float32.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoTokenizer
from trl import GRPOConfig, GRPOTrainer

from mmreason.config.recipe import TinyModel
from mmreason.models.load import load_model
from mmreason.models.tiny import build_tiny
from mmreason.models.tokenizer import train_tokenizer

OUT = Path(__file__).parent.parent / "tests" / "objectives" / "trl_losses.json"
GROUP, WIDTH = 4, 12
LENGTHS = [5, 12, 1, 8, 3, 12, 7, 10]
REWARDS = [1.0, 0.0, 0.0, 1.0, 0.5, 0.25, 1.5, -0.5]
CASES: dict[str, dict[str, Any]] = {
    "grpo": {"loss_type": "grpo"},
    "grpo_kl": {"loss_type": "grpo", "beta": 0.04},
    "grpo_two_sided": {"loss_type": "grpo", "delta": 1.4},
    "bnpo": {"loss_type": "bnpo"},
    "dr_grpo": {"loss_type": "dr_grpo", "scale_rewards": "none"},
    "dr_grpo_kl": {"loss_type": "dr_grpo", "scale_rewards": "none", "beta": 0.1},
    "dapo": {"loss_type": "dapo", "epsilon_high": 0.28},
    "dapo_kl": {"loss_type": "dapo", "epsilon_high": 0.28, "beta": 0.04},
    "gspo": {"loss_type": "grpo", "importance_sampling_level": "sequence", "epsilon": 3e-2, "epsilon_high": 4e-2},
    "gspo_kl": {"loss_type": "grpo", "importance_sampling_level": "sequence", "epsilon": 3e-2, "beta": 0.04},
    "cispo": {"loss_type": "cispo", "epsilon_high": 1.28},
    "batch_scale": {"loss_type": "dapo", "scale_rewards": "batch"},
    "tis": {
        "loss_type": "dapo",
        "vllm_importance_sampling_mode": "token_truncate",
        "vllm_importance_sampling_clip_max": 1.2,
    },
    "mis": {
        "loss_type": "dapo",
        "vllm_importance_sampling_mode": "token_mask",
        "vllm_importance_sampling_clip_min": 0.8,
        "vllm_importance_sampling_clip_max": 1.25,
    },
    "tis_sequence": {
        "loss_type": "dapo",
        "vllm_importance_sampling_mode": "sequence_truncate",
        "vllm_importance_sampling_clip_max": 1.2,
    },
}
"""GRPOConfig per case; where it says nothing, epsilon is 0.2 on both sides, beta 0, and the divergence goes without the
ratio (which multiplies it by TRL's default)."""
DEFAULTS = {"epsilon": 0.2, "beta": 0.0, "use_bias_correction_kl": False}
NORMALISATION = {
    "grpo": "sum over a row / its tokens, then mean over rows",
    "bnpo": "sum / tokens of the micro-batch",
    "dr_grpo": "sum / (rows x max_completion_length)",
    "dapo": "sum / tokens of the whole generation batch, over processes and accumulation",
    "cispo": "as dapo; the ratio is cut at epsilon_high itself, not at 1 + epsilon_high, and carries no gradient",
    "kl": "k3 from the reference, added per token times beta before the mean",
    "weights": "times exp(old - sampling), per token or per row (sum), cut or set to 0 outside its bounds; before KL",
    "advantage": "(r - mean) / (s + 1e-4), s with ddof 1 over the group or batch; 'none' leaves the division out",
}


def inputs() -> dict[str, torch.Tensor]:
    """Log-probabilities [8, 12] of four policies, zero after each answer's end; four decimals, exact in JSON."""
    torch.manual_seed(29)  # one at which every clip acts, on both sides, for rows of both signs
    mask = torch.arange(WIDTH) < torch.tensor(LENGTHS)[:, None]
    old = -torch.rand(mask.shape, dtype=torch.float64).mul(4.0)
    spread = {"logp": 0.2, "ref": 0.3, "sampling": 0.15}
    drawn = {name: old + scale * torch.randn(mask.shape, dtype=torch.float64) for name, scale in spread.items()}
    held = {"old": old, **drawn}
    return {name: torch.where(mask, values.clamp_max(-0.001), 0.0).round(decimals=4) for name, values in held.items()}


class Fixed(GRPOTrainer):
    """TRL's trainer with the model's log-probabilities prescribed."""

    def _get_per_token_logps_and_entropies(self, model: Any, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, ...]:
        name = "logp" if torch.is_grad_enabled() else "ref" if model is self.ref_model else "old"
        return self.given[name], torch.zeros_like(self.given[name]), None


def answers(prompts: list[str], trainer: Any) -> dict[str, Any]:
    """Rollout function: any ids of the wanted lengths, with the engine's log-probabilities."""
    logprobs = [row[:length].tolist() for row, length in zip(trainer.given["sampling"], LENGTHS, strict=True)]
    ids = [[30 + index] * length for index, length in enumerate(LENGTHS)]
    return {"prompt_ids": [[20, 21]] * len(prompts), "completion_ids": ids, "logprobs": logprobs}


def compute(folder: Path, settings: dict[str, Any], given: dict[str, torch.Tensor]) -> dict[str, Any]:
    """Advantages, loss and gradient under one configuration."""
    config = GRPOConfig(
        str(folder / "out"),
        use_cpu=True,
        bf16=False,
        per_device_train_batch_size=len(LENGTHS),
        num_generations=GROUP,
        max_completion_length=WIDTH,
        report_to="none",
        **{**DEFAULTS, **settings},
    )
    rows = [{"prompt": f"p{index // GROUP}"} for index in range(len(LENGTHS))]
    trainer = Fixed(
        model=load_model(folder / "model"),
        reward_funcs=lambda completions, **_: REWARDS,
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(folder / "model"),
        rollout_func=answers,
    )
    trainer.given = {name: values.clone() for name, values in given.items()}
    trainer.given["logp"].requires_grad_()
    trainer.current_gradient_accumulation_steps = 1  # set by Trainer's loop, which does not run here
    if any(name.startswith("vllm") for name in settings):
        trainer.use_vllm, trainer._last_loaded_step = True, trainer.state.global_step  # no engine to hand weights to
    trainer.model.train()
    batch = trainer._generate_and_score_completions(rows)
    if "old_per_token_logps" not in batch:  # left out where a step updates once; here policies differ
        batch["old_per_token_logps"] = given["old"]
    loss = trainer._compute_loss(trainer.model, batch)
    loss.backward()
    weights = batch.get("importance_sampling_ratio")
    return {
        "settings": {**DEFAULTS, **settings},
        "advantages": batch["advantages"].tolist(),
        "weights": None if weights is None else weights.tolist(),
        "loss": loss.item(),
        "gradient": trainer.given["logp"].grad.tolist(),
    }


def main() -> None:
    given = inputs()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sizes = TinyModel(hidden=32, layers=1, heads=2, kv_heads=1, ffn=32, vocab=300)
        build_tiny(sizes, train_tokenizer(["p0 p1"], sizes.vocab), 0, folder / "model")
        cases = {name: compute(folder, settings, given) for name, settings in CASES.items()}
    held = {
        "versions": {name: version(name) for name in ("trl", "torch", "transformers")},
        "normalisation": NORMALISATION,
        "group": GROUP,
        "max_completion_length": WIDTH,
        "lengths": LENGTHS,
        "rewards": REWARDS,
        "inputs": {name: values.tolist() for name, values in given.items()},
        "cases": cases,
    }
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else OUT
    path.write_text(_compact(held) + "\n", encoding="utf-8")
    for case, found in cases.items():
        print(f"{case:18} loss {found['loss']:+.6f}")


def _compact(held: dict[str, Any]) -> str:
    """JSON with one line for each innermost list."""
    text = json.dumps(held, indent=1)
    return re.sub(r"\[[^\[\]{}]*\]", lambda match: re.sub(r"\s+", " ", match.group()), text)


if __name__ == "__main__":
    main()
