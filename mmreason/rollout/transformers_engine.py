"""Sampling with transformers: each prompt is prefilled once, its cache expanded to its answers, finished rows leave.

Axes: R requests, N rows (R x n), A position axes (3 for mRoPE), L tokens held in the cache, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedModel

from mmreason.config.recipe import Sampling
from mmreason.errors import UserError
from mmreason.groups.attention import use_tree_attention
from mmreason.models.codec import Codec, Encoded
from mmreason.models.families import Features, family_of, plain
from mmreason.models.load import load_model
from mmreason.models.medium import Medium, distinct
from mmreason.models.rows import make_rows
from mmreason.records import Rollout, Sample, Stop
from mmreason.rollout.draw import draw
from mmreason.rollout.engine import PLAIN, Asked, Request
from mmreason.rollout.held import Held, Written, last_position, write
from mmreason.rollout.pieces import media_spans
from mmreason.rollout.shared_cache import SharedCache
from mmreason.run.processes import rank

FeatureSource = Callable[[Sequence[Medium]], list[Features]]
"""Features of each medium, in order."""


class TransformersEngine:
    """Samples from a live model, so that training needs no weight transfer.

    `batch` bounds the answers decoded at once. `prefills` counts prompts forwarded: one a group, whatever `n`, and one
    for all requests of a batch that go on from the same prompt. `vision_passes` counts media sent through the tower:
    each content once a batch, none where `features` gives what the tower made of them.
    """

    def __init__(
        self, model: PreTrainedModel, codec: Codec, batch: int = 128, features: FeatureSource | None = None
    ) -> None:
        use_tree_attention(model)
        self.model = model
        self.codec = codec
        self.batch = batch
        self.features = features
        self.prefills = 0
        self.vision_passes = 0
        self.syncs = 0

    @classmethod
    def load(cls, path: str | Path, dtype: str = "float32", media_root: Path | None = None) -> TransformersEngine:
        """An engine of its own for a checkpoint on disk."""
        return cls(load_model(path, dtype).eval(), Codec.load(path, media_root))

    def sync(self, weights: Callable[[], Iterable[tuple[str, torch.Tensor]]]) -> None:
        """Nothing to hand over: the model it samples from is the one that was updated."""

    def generate(
        self,
        samples: Sequence[Sample],
        sampling: Sampling,
        n: int = 1,
        seed: int = 0,
        on_done: Callable[[int], None] | None = None,
    ) -> list[list[Rollout]]:
        """See `rollout.engine.Engine`. Prompts of like length are batched together; order is kept."""
        requests = [Request(sample, self.codec.encode(sample)) for sample in samples]
        return self._sample(requests, sampling, n, seed, PLAIN, on_done)

    def extend(
        self, requests: Sequence[Request], sampling: Sampling, n: int = 1, seed: int = 0, asked: Asked = PLAIN
    ) -> list[list[Rollout]]:
        """See `rollout.engine.Engine`; everything that can be asked is done.

        With `asked.heat` the temperature used at each id is in `extras["temperatures"]`, and `logprobs` and
        `entropies` are at it.
        """
        for request in requests:
            media_spans(request.prompt.ids, request.prompt.media, self.codec, request.sample.id)
            media_spans(request.begun, request.media, self.codec, request.sample.id)
        return self._sample(requests, sampling, n, seed, asked, None)

    @torch.no_grad()
    def _sample(
        self,
        requests: Sequence[Request],
        sampling: Sampling,
        n: int,
        seed: int,
        asked: Asked,
        on_done: Callable[[int], None] | None,
    ) -> list[list[Rollout]]:
        if asked.heat is not None and sampling.temperature == 0.0:
            raise UserError("a temperature by token was asked for, but the sampling is greedy; set a temperature")
        training = self.model.training
        self.model.eval()
        order = _by_prompt(requests)
        out: list[list[Rollout]] = [[] for _ in requests]
        width = max(self.batch // n, 1)
        for start in range(0, len(order), width):
            chunk = order[start : start + width]
            own = seed * 1_000_003 + start + rank() * 1_000_000_007  # each process draws its own
            generator = torch.Generator(self.model.device).manual_seed(own)
            rows = self._decode([requests[index] for index in chunk], sampling, n, generator, asked)
            for place, index in enumerate(chunk):
                out[index] = rows[place * n : (place + 1) * n]
            if on_done is not None:
                on_done(len(chunk) * n)
        self.model.train(training)
        return out

    def _decode(
        self, requests: list[Request], sampling: Sampling, n: int, generator: torch.Generator, asked: Asked
    ) -> list[Rollout]:
        limit = sampling.max_new_tokens if asked.max_new_tokens is None else asked.max_new_tokens
        ends = torch.tensor([self.codec.eos_id, *asked.stop_ids], device=self.model.device)
        written = [Written() for _ in range(len(requests) * n)]
        alive = list(range(len(written)))
        held = self._begin(requests).repeat(n)
        for step in range(limit):
            drawn = draw(self._banned(held.logits), sampling, generator, asked.heat)
            write([written[row] for row in alive], drawn, asked)
            keep = torch.isin(drawn.token, ends, invert=True).nonzero().squeeze(-1)
            if len(keep) == 0 or step + 1 == limit:
                break
            token = drawn.token
            if len(keep) < len(alive):
                alive = [alive[index] for index in keep.tolist()]
                held, token = held.take(keep), token[keep]
            held.attention = torch.cat([held.attention, held.attention.new_ones(len(alive), 1)], dim=1)
            held.position = held.position + 1
            held.logits = self._forward(token.unsqueeze(-1), held.attention, held.position, held.cache)
        return [self._rollout(requests[row // n], done, asked) for row, done in enumerate(written)]

    def _begin(self, requests: list[Request]) -> Held:
        """Forward each distinct prompt once, then what is begun after it, request by request."""
        prompts = {_key(request.prompt): request.prompt for request in requests}
        rows = make_rows(list(prompts.values()), [()] * len(prompts), self.codec.pad_id, self.model.device)
        positions = family_of(self.model).positions(self.model, rows.ids, rows.attention, rows.media)
        cache = DynamicCache(config=plain(self.model).config.get_text_config())
        logits = self._forward(rows.ids, rows.attention, positions, cache, rows.media)
        self.prefills += len(prompts)
        held = Held(logits, cache, rows.attention, last_position(positions))
        if len(prompts) < len(requests):
            place = {key: index for index, key in enumerate(prompts)}
            held = held.take(torch.tensor([place[_key(r.prompt)] for r in requests], device=logits.device))
        return self._go_on(held, requests) if any(request.begun for request in requests) else held

    def _go_on(self, held: Held, requests: list[Request]) -> Held:
        """Forward the begun ids, padded on the left: their columns stand behind the prompts' and end together.

        Positions are those of prompt and begun ids as one row.
        """
        pad, device, none = self.codec.pad_id, self.model.device, [()] * len(requests)
        begun = make_rows([Encoded(list(r.begun), r.media) for r in requests], none, pad, device)
        joined = [Encoded([*r.prompt.ids, *r.begun], (*r.prompt.media, *r.media)) for r in requests]
        whole = make_rows(joined, none, pad, device)
        positions = family_of(self.model).positions(self.model, whole.ids, whole.attention, whole.media)
        attention = torch.cat([held.attention, begun.attention], dim=1)
        there = positions[..., -begun.ids.shape[1] :]
        logits = self._forward(begun.ids, attention, there, held.cache, begun.media)
        logits = torch.where(begun.attention.any(1, keepdim=True), logits, held.logits)
        return Held(logits, held.cache, attention, last_position(positions))

    def _forward(
        self,
        ids: torch.Tensor,
        attention: torch.Tensor,
        positions: torch.Tensor,
        cache: DynamicCache | SharedCache,
        media: Sequence[Medium] = (),
    ) -> torch.Tensor:
        """Logits [N, V] after the last column of ids [N, L]; `attention` covers what the cache holds too."""
        family = family_of(self.model)
        held: dict[str, Any] = {"attention_mask": attention, "past_key_values": cache, "use_cache": True}
        if isinstance(cache, SharedCache):
            held = {"attention_mask": attention.new_zeros(1, 1, 1, 1), "use_cache": False, "shared": cache}
        hidden = family.decoder(self.model)(
            **family.embed(self.model, ids, self._features(media)), position_ids=positions, **held
        ).last_hidden_state[:, -1:]
        logits: torch.Tensor = plain(self.model).get_output_embeddings()(hidden)
        return logits[:, -1]

    def _features(self, media: Sequence[Medium]) -> Features | None:
        if not media:
            return None
        if self.features is not None:
            return Features.cat(self.features(media))
        unique = distinct(media)
        self.vision_passes += len(unique)
        made = dict(zip((m.key for m in unique), family_of(self.model).features(self.model, unique), strict=True))
        return Features.cat([made[medium.key] for medium in media])

    def _banned(self, logits: torch.Tensor) -> torch.Tensor:
        """A sampled visual token would stand for a picture that is not there."""
        logits = logits.double() if logits.dtype == torch.float64 else logits.float()
        logits[:, self.codec.visual_ids] = -torch.inf
        return logits

    def _rollout(self, request: Request, done: Written, asked: Asked) -> Rollout:
        last = done.ids[-1] if done.ids else None
        ended = Stop.CUT if last in asked.stop_ids else Stop.LENGTH
        extras: dict[str, Any] = {"temperatures": done.temperatures} if asked.heat is not None else {}
        return Rollout(
            tuple(request.prompt.ids),
            tuple(done.ids),
            tuple(done.logprobs),
            self.codec.decode(done.ids),
            Stop.EOS if last == self.codec.eos_id else ended,
            entropies=tuple(done.entropies),
            extras=extras,
        )


def _key(prompt: Encoded) -> tuple[tuple[int, ...], tuple[str, ...]]:
    return tuple(prompt.ids), tuple(medium.key for medium in prompt.media)


def _by_prompt(requests: Sequence[Request]) -> list[int]:
    """Order of decoding: prompts of like length together, equal ones side by side."""
    first: dict[Any, int] = {}
    where = [first.setdefault(_key(request.prompt), index) for index, request in enumerate(requests)]
    return sorted(range(len(where)), key=lambda i: (len(requests[i].prompt.ids), where[i], len(requests[i].begun)))
