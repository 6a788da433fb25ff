"""Sampling with transformers: each prompt is prefilled once, its keys serve all its answers, finished rows leave.

Axes: R requests, N rows (R x n), V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from mmreason.config.recipe import Sampling
from mmreason.errors import UserError
from mmreason.models.codec import Codec, Encoded
from mmreason.models.load import load_model
from mmreason.records import Rollout, Sample, Stop
from mmreason.rollout.contexts import Row
from mmreason.rollout.draw import draw
from mmreason.rollout.engine import PLAIN, Asked, Request
from mmreason.rollout.forwards import FeatureSource, Forwards
from mmreason.rollout.held import Held, Written, write
from mmreason.rollout.kept import Kept, half_of_free, key_of
from mmreason.rollout.pieces import media_spans
from mmreason.rollout.stops import Stops
from mmreason.run.processes import rank


class TransformersEngine:
    """Samples from a live model, so that training needs no weight transfer.

    `batch` bounds the answers decoded at once, `keep_bytes` what a game keeps between its turns (None: half of the
    memory that is free when it begins). `prefills` counts prompts forwarded: one a group, whatever `n`, one for all
    requests of a batch that go on from the same prompt, and inside a `session` one a game.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        codec: Codec,
        batch: int = 128,
        features: FeatureSource | None = None,
        keep_bytes: int | None = None,
    ) -> None:
        self.model = model
        self.codec = codec
        self.batch = batch
        self.keep_bytes = keep_bytes
        self.forwards = Forwards(model, codec, features)
        self.prefills = 0
        self.syncs = 0
        self._kept: Kept | None = None

    @property
    def forwarded_tokens(self) -> int:
        """Ids through the decoder outside decoding: prompts, begun answers, what an environment replied."""
        return self.forwards.tokens

    @property
    def vision_passes(self) -> int:
        """Media sent through the tower: each content once a batch, in a session once; none where `features` gives
        what the tower made of them."""
        return self.forwards.vision_passes

    @classmethod
    def load(cls, path: str | Path, dtype: str = "float32", media_root: Path | None = None) -> TransformersEngine:
        """An engine of its own for a checkpoint on disk."""
        return cls(load_model(path, dtype).eval(), Codec.load(path, media_root))

    def sync(self, weights: Callable[[], Iterable[tuple[str, torch.Tensor]]]) -> None:
        """Nothing to hand over: the model it samples from is the one that was updated."""

    @contextmanager
    def session(self) -> Iterator[TransformersEngine]:
        """Inside the block each call goes on from the keys and values of the call before, where they are of use.

        For answers of several turns: the weights must stay as they are. Nothing is held after the block; a session
        inside another is part of it.
        """
        if self._kept is not None:
            yield self
            return
        device = self.model.device
        self._kept = Kept(half_of_free(device) if self.keep_bytes is None else self.keep_bytes)
        try:
            yield self
        finally:
            self._kept = None

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
        if self._kept is not None:
            self._kept.begin(requests)
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
        stops = Stops(self.codec.tokenizer, sampling.stop) if sampling.stop else None
        rows, logits = self._begin(requests)
        held = Held.of(rows, logits, n)
        for step in range(limit):
            drawn = draw(self._banned(held.logits), sampling, generator, asked.heat)
            write([written[row] for row in alive], drawn, asked)
            going = torch.isin(drawn.token, ends, invert=True) & (step + 1 < limit)
            if stops is not None:
                going &= ~_stopped(stops, drawn.token, [written[row].ids for row in alive], held.logits.shape[-1])
            if self._kept is not None:
                for place in (~going).nonzero().squeeze(-1).tolist():
                    row = alive[place]
                    self._keep(requests[row // n], rows[row // n], written[row], held, place)
            keep, token = going.nonzero().squeeze(-1), drawn.token
            if len(keep) == 0:
                break
            if len(keep) < len(alive):
                alive = [alive[index] for index in keep.tolist()]
                held, token = held.take(keep), token[keep]
            held.position = held.position + 1
            held.logits = self.forwards.step(token, held.position, held.cache)
        return [self._rollout(requests[row // n], done, asked, stops) for row, done in enumerate(written)]

    def _begin(self, requests: list[Request]) -> tuple[list[Row], torch.Tensor]:
        """A row for each request with all it has begun, and the logits [R, V] after it.

        Each distinct prompt that no earlier call forwarded is forwarded once, then what is begun, request by request.
        """
        keys = [key_of(request.prompt) for request in requests]
        places = dict(self._kept.prompts) if self._kept is not None else {}
        prompts = {key: r.prompt for key, r in zip(keys, requests, strict=True) if key not in places}
        if prompts:
            block = self.forwards.prompts(list(prompts.values()), self._kept)
            self.prefills += len(prompts)
            places |= {key: (block, index) for index, key in enumerate(prompts)}
            if self._kept is not None:
                self._kept.put_block(list(prompts), block)
        held = [None if self._kept is None else self._kept.take(request) for request in requests]
        rows = [row or Row.fresh(*places[key]) for row, key in zip(held, keys, strict=True)]
        logits = [row.block.logits[row.index] for row in rows]
        begun = [index for index, request in enumerate(requests) if request.begun]
        if begun:
            parts = [_left(requests[index], rows[index]) for index in begun]
            grown, after = self.forwards.onward([rows[index] for index in begun], parts, self._kept)
            for index, row, last in zip(begun, grown, after, strict=True):
                rows[index], logits[index] = row, last
        return rows, torch.stack(logits)

    def _keep(self, request: Request, row: Row, done: Written, held: Held, place: int) -> None:
        """Hand a finished turn to the next call; its last id was drawn but not forwarded."""
        assert self._kept is not None
        key = key_of(request.prompt)
        if key in self._kept.prompts:
            position = held.position[..., place : place + 1, :]
            ids = (*row.ids, *done.ids[:-1])
            self._kept.put_row(key, Row(row.block, row.index, position, ids, row.media, held.cache.tail(place)))

    def _banned(self, logits: torch.Tensor) -> torch.Tensor:
        """A sampled visual token would stand for a picture that is not there."""
        logits = logits.double() if logits.dtype == torch.float64 else logits.float()
        logits[:, self.codec.visual_ids] = -torch.inf
        return logits

    def _rollout(self, request: Request, done: Written, asked: Asked, stops: Stops | None) -> Rollout:
        last = done.ids[-1] if done.ids else None
        closed = last in asked.stop_ids or (stops is not None and bool(done.ids) and stops.reached(done.ids))
        ended = Stop.CUT if closed else Stop.LENGTH
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


def _stopped(stops: Stops, token: torch.Tensor, ids: Sequence[Sequence[int]], size: int) -> torch.Tensor:
    """bool [N]: rows whose drawn token [N], the last of `ids`, completes a stop text; `size` is the vocabulary's."""
    maybe = stops.candidates(size)[token.cpu()]
    reached = [bool(may) and stops.reached(own) for may, own in zip(maybe.tolist(), ids, strict=True)]
    return torch.tensor(reached, device=token.device)


def _left(request: Request, row: Row) -> Encoded:
    """What the request has begun beyond what the row holds."""
    return Encoded(list(request.begun[len(row.ids) :]), request.media[len(row.media) :])


def _by_prompt(requests: Sequence[Request]) -> list[int]:
    """Order of decoding: prompts of like length together, equal ones side by side."""
    first: dict[Any, int] = {}
    where = [first.setdefault(key_of(request.prompt), index) for index, request in enumerate(requests)]
    return sorted(range(len(where)), key=lambda i: (len(requests[i].prompt.ids), where[i], len(requests[i].begun)))
