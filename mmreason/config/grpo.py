"""What a recipe may say about RL. Defaults are plain GRPO; `algorithm` names a published set of values."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from mmreason.config.parts import Endpoint, Optim, Sampling
from mmreason.config.schedule import Coefficient
from mmreason.config.strict import Strict
from mmreason.run.alarms import AlarmSettings


class RewardSettings(Strict):
    """How the terms make one reward."""

    mode: Literal["product", "sum", "accuracy"] = "product"
    """product: format x accuracy (paper and released code); sum: accuracy + w_format x format; accuracy alone."""
    w_format: float = 0.1
    """Weight of the format term in `sum` [a reproduction used 1.0 and 0.1]."""
    judge: Endpoint | None = None
    """Judge for free answers; without one they cannot enter RL."""


class GrpoSettings(Strict):
    """One optimiser step after another on groups of sampled answers."""

    algorithm: str = "grpo"
    """A file of training/algorithms/ whose values stand in for those not set here."""
    methods: list[str | dict[str, Any]] = Field(default_factory=list)
    """Changes on top, by name or {name: settings}; `from` and `until` among the settings bound a phase in steps."""

    optim: Optim
    steps: int
    prompts: int = 16
    """Prompts per rollout step."""
    prompts_per_update: int | None = None
    """Prompts per optimiser update; None: all of them (one update a step)."""
    group_size: int = 8
    sampling: Sampling = Sampling()
    reward: RewardSettings = RewardSettings()
    dynamic_sampling: int = 0
    """Attempts to fill a step with groups that are neither all right nor all wrong [DAPO: 10]; 0 keeps every group."""

    advantage: Literal["group", "centred", "loo", "batch", "lite"] = "group"
    """(r-m)/s of the group; r-m; leave one out; r-m whitened over the batch's tokens; (r-m)/s of the batch."""
    overlong: Literal["keep", "mask"] = "keep"
    """mask: answers cut by the limit carry no loss and leave the group's statistics."""
    overlong_buffer: int = 0
    """DAPO's soft penalty over the last so many tokens before the limit; 0: none."""
    overlong_factor: float = 1.0

    ratio: Literal["token", "sequence", "sequence_token"] = "token"
    """sequence: GSPO's geometric mean; sequence_token: its form for advantages of tokens."""
    surrogate: Literal["clip", "cispo"] = "clip"
    clip_low: Coefficient = 0.2
    clip_high: Coefficient = 0.2
    dual_clip: float | None = None
    """Bound on the loss of tokens with negative advantage, in multiples of the advantage [3; 10 in long chains]."""
    mismatch: Literal["off", "truncate", "mask", "sequence_truncate", "sequence_mask"] = "off"
    """Weight for the gap between engine and trainer: min(w, cap), or tokens (rows) outside [floor, cap] left out."""
    mismatch_cap: float = 2.0
    mismatch_floor: float = 0.5
    mismatch_veto: float = 1e-4
    """Under `mask` and `sequence_mask`: rows with a token weight below this are left out whole."""

    loss_mean: Literal["token", "sequence", "sum", "constant", "prompt"] = "token"
    """Over all tokens; over tokens then answers (GRPO); summed tokens over answers; over answers x the token limit
    (Dr. GRPO); over tokens of a prompt, then prompts."""
    shared_prefix: Literal["divide", "once"] = "divide"
    """Tokens that k answers share weigh 1/k in each, or 1 in the first."""
    kl_beta: Coefficient = 0.001
    """Weight of the divergence from the reference; 0 loads no reference model."""
    kl_estimator: Literal["k1", "k2", "k3", "k3_k2"] = "k3"
    """k3_k2: value of k3 with the gradient of k2."""
    kl_place: Literal["loss", "reward"] = "loss"
    reference: Literal["start", "ema", "adapter_off"] = "start"
    """The cold start; a moving average of the policy; the policy without its LoRA adapters."""
    ema_decay: float = 0.99

    path: Literal["packed", "cache", "naive"] = "packed"
    """How a group is forwarded: one packed token tree; level by level on caches; every row alone (the slow twin)."""
    micro_tokens: int = 16384
    """Distinct tokens of whole groups per forward, per process; a larger group stands alone."""
    save_every: int = 1
    engine: Literal["transformers", "vllm", "vllm_server"] = "transformers"
    server_urls: list[str] = Field(default_factory=list)
    """Of running vLLM servers, for engine vllm_server."""
    trackers: list[Literal["tensorboard", "wandb", "trackio"]] = Field(default_factory=list)
    """Where metrics go besides metrics.jsonl."""
    alarms: AlarmSettings = AlarmSettings()

    @field_validator("mismatch", mode="before")
    @classmethod
    def _off(cls, given: Any) -> Any:
        """YAML reads a bare off as false."""
        return "off" if given is False else given

    @model_validator(mode="after")
    def _together(self) -> GrpoSettings:
        if self.kl_place == "reward" and self.kl_estimator != "k1":
            raise ValueError("kl_place=reward takes the signed k1 estimator: set kl_estimator=k1")
        if self.kl_place == "loss" and self.kl_estimator == "k1" and self.kl_beta != 0.0:
            raise ValueError(
                "k1 as a loss has no gradient in expectation: set kl_estimator=k2 or k3, or kl_place=reward"
            )
        if (self.engine == "vllm_server") != bool(self.server_urls):
            raise ValueError("engine=vllm_server and server_urls belong together: set both or neither")
        if self.group_size < 2 and self.advantage == "loo":
            raise ValueError("advantage=loo leaves one of the group out: set group_size to 2 or more")
        return self
