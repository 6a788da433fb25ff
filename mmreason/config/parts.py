"""Settings that several stages share."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from mmreason.config.strict import Strict


class Optim(Strict):
    """AdamW."""

    lr: float
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    max_grad_norm: float = 1.0
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup: float = 0.0
    """Share of the steps spent warming up."""


class Endpoint(Strict):
    """An OpenAI-compatible chat endpoint (teacher or judge)."""

    base_url: str
    model: str
    api_key_env: str = "OPENAI_API_KEY"
    """Name of the environment variable that holds the key; unset means no key is sent."""
    temperature: float = 0.6
    top_p: float = 0.95
    max_tokens: int = 4096
    timeout_s: float = 120.0
    retries: int = 5
    concurrency: int = 16


class Sampling(Strict):
    """How answers are sampled."""

    temperature: float = 1.0
    later_temperature: float | None = Field(default=None, gt=0.0)
    """Of the model's turns after the first, where an environment replies; None: the same."""
    top_p: float = 1.0
    max_new_tokens: int = 256
    stop: tuple[str, ...] = ()
    """Texts that end an answer right behind the token that completes one, see `rollout.stops`; an environment adds its
    own."""

    @field_validator("stop")
    @classmethod
    def _some_text(cls, stop: tuple[str, ...]) -> tuple[str, ...]:
        if "" in stop:
            raise ValueError("stop holds an empty text, which would end every answer before it begins; take it out")
        return stop

    @model_validator(mode="after")
    def _not_after_greedy(self) -> Sampling:
        if self.temperature == 0.0 and self.later_temperature is not None:
            raise ValueError("later_temperature beside temperature 0: greedy answers are greedy in all turns; drop it")
        return self
