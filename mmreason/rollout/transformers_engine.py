"""Sampling with transformers: the prompt is prefilled once per group, its cache expanded, finished rows leave."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from transformers import DynamicCache, PreTrainedModel

from mmreason.config.recipe import Sampling
from mmreason.models.codec import Codec, Encoded
from mmreason.models.families import family_of
from mmreason.models.load import load_model
from mmreason.models.rows import make_rows
from mmreason.records import Rollout, Sample, Stop
from mmreason.run.processes import rank


class TransformersEngine:
    """Samples from a live model, so that training needs no weight transfer.

    `batch` bounds the answers decoded at once. `prefills` counts prompts forwarded: one a group, whatever `n`.
    """

    def __init__(self, model: PreTrainedModel, codec: Codec, batch: int = 128) -> None:
        self.model = model
        self.codec = codec
        self.batch = batch
        self.prefills = 0
        self.syncs = 0

    @classmethod
    def load(cls, path: str | Path, dtype: str = "float32", media_root: Path | None = None) -> TransformersEngine:
        """An engine of its own for a checkpoint on disk."""
        return cls(load_model(path, dtype).eval(), Codec.load(path, media_root))

    def sync(self, weights: Callable[[], Iterable[tuple[str, torch.Tensor]]]) -> None:
        """Nothing to hand over: the model it samples from is the one that was updated."""

    @torch.no_grad()
    def generate(
        self,
        samples: Sequence[Sample],
        sampling: Sampling,
        n: int = 1,
        seed: int = 0,
        on_done: Callable[[int], None] | None = None,
    ) -> list[list[Rollout]]:
        """See `rollout.engine.Engine`. Prompts of like length are batched together; order is kept."""
        training = self.model.training
        self.model.eval()
        encoded = [self.codec.encode(sample) for sample in samples]
        order = sorted(range(len(encoded)), key=lambda index: len(encoded[index].ids))
        out: list[list[Rollout]] = [[] for _ in encoded]
        width = max(self.batch // n, 1)
        for start in range(0, len(order), width):
            chunk = order[start : start + width]
            own = seed * 1_000_003 + start + rank() * 1_000_000_007  # each process draws its own
            generator = torch.Generator(self.model.device).manual_seed(own)
            rows = self._decode([encoded[index] for index in chunk], sampling, n, generator)
            for place, index in enumerate(chunk):
                out[index] = rows[place * n : (place + 1) * n]
            if on_done is not None:
                on_done(len(chunk) * n)
        self.model.train(training)
        return out

    def _decode(self, prompts: list[Encoded], sampling: Sampling, n: int, generator: torch.Generator) -> list[Rollout]:
        logits, cache, attention, position = self._prefill(prompts, n)
        alive = list(range(len(prompts) * n))
        ids: list[list[int]] = [[] for _ in alive]
        logprobs: list[list[float]] = [[] for _ in alive]
        for step in range(sampling.max_new_tokens):
            token, logp = draw(self._banned(logits), sampling, generator)
            for row, chosen, value in zip(alive, token.tolist(), logp.tolist(), strict=True):
                ids[row].append(chosen)
                logprobs[row].append(value)
            keep = (token != self.codec.eos_id).nonzero().squeeze(-1)
            if len(keep) == 0 or step + 1 == sampling.max_new_tokens:
                break
            if len(keep) < len(alive):
                alive = [alive[index] for index in keep.tolist()]
                cache.batch_select_indices(keep)
                attention, token, position = attention[keep], token[keep], position[..., keep, :]
            attention = torch.cat([attention, attention.new_ones(len(alive), 1)], dim=1)
            position = position + 1
            logits = self.model(
                input_ids=token.unsqueeze(-1),
                attention_mask=attention,
                position_ids=position,
                past_key_values=cache,
                use_cache=True,
            ).logits[:, -1]
        return [
            self._generation(prompts[row // n], row_ids, row_logprobs)
            for row, (row_ids, row_logprobs) in enumerate(zip(ids, logprobs, strict=True))
        ]

    def _prefill(self, prompts: list[Encoded], n: int) -> tuple[torch.Tensor, DynamicCache, torch.Tensor, torch.Tensor]:
        """Forward each prompt once, then repeat its cache, mask and last position `n` times."""
        rows = make_rows(prompts, [()] * len(prompts), self.codec.pad_id, self.model.device)
        family = family_of(self.model)
        positions = family.positions(self.model, rows.ids, rows.attention, rows.media)
        cache = DynamicCache(config=self.model.config.get_text_config())
        logits = self.model(
            input_ids=rows.ids,
            attention_mask=rows.attention,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
            **family.media(rows.media, rows.ids.device),
        ).logits[:, -1]
        self.prefills += len(prompts)
        if n > 1:
            cache.batch_repeat_interleave(n)
        last = positions.amax(dim=(0, 2)).view(1, -1, 1).expand(3, -1, 1) if positions.dim() == 3 else positions[:, -1:]
        return (
            logits.repeat_interleave(n, 0),
            cache,
            rows.attention.repeat_interleave(n, 0),
            last.repeat_interleave(n, -2),
        )

    def _banned(self, logits: torch.Tensor) -> torch.Tensor:
        """A sampled visual token would stand for a picture that is not there."""
        logits = logits.double() if logits.dtype == torch.float64 else logits.float()
        logits[:, self.codec.visual_ids] = -torch.inf
        return logits

    def _generation(self, prompt: Encoded, ids: list[int], logprobs: list[float]) -> Rollout:
        stop = Stop.EOS if ids and ids[-1] == self.codec.eos_id else Stop.LENGTH
        return Rollout(tuple(prompt.ids), tuple(ids), tuple(logprobs), self.codec.decode(ids), stop)


def draw(logits: torch.Tensor, sampling: Sampling, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """One token a row and its log-probability, both [N], from logits [N, V].

    Temperature 0 is greedy and reports log-probabilities at temperature 1. Top-p keeps the smallest set of tokens
    whose mass reaches `top_p`; the log-probability reported is that before the cut.
    """
    logp = torch.log_softmax(logits / (sampling.temperature or 1.0), dim=-1)
    if sampling.temperature == 0.0:
        token = logp.argmax(-1)
    else:
        token = torch.multinomial(_nucleus(logp.exp(), sampling.top_p), 1, generator=generator).squeeze(-1)
    return token, logp.gather(-1, token.unsqueeze(-1)).squeeze(-1)


def _nucleus(probs: torch.Tensor, top_p: float) -> torch.Tensor:
    """Zero the tail beyond `top_p`; the most likely token always stays."""
    if top_p >= 1.0:
        return probs
    ordered, index = probs.sort(dim=-1, descending=True)
    tail = ordered.cumsum(-1) - ordered >= top_p
    return probs.masked_fill(tail.scatter(-1, index, tail), 0.0)
