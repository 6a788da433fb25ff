"""What both ways of reaching vLLM share: exact inputs, sampling parameters, and its answers as rollouts.

vLLM is given ids and patches as the trainer will see them. Its own chat template, tokenizer and picture processor are
not used, so nothing can differ between what was sampled from and what is trained on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from mmreason.config.recipe import Sampling
from mmreason.errors import UserError
from mmreason.models.codec import Codec
from mmreason.models.medium import Medium
from mmreason.records import Rollout, Stop
from mmreason.rollout.engine import Asked, Request
from mmreason.rollout.pieces import media_spans
from mmreason.rollout.stops import Stops
from mmreason.run import processes

TOP_K = 20
"""Tokens of which the entropy is made; the most that vLLM reports unless told otherwise (`max_logprobs`)."""
_SEED_SPACE = 2**62


def refuse(asked: Asked) -> None:
    """Raise UserError for a wish that vLLM cannot fulfil."""
    if asked.heat is not None:
        raise UserError(
            "a temperature by token was asked for, which vLLM's interface cannot set: use grpo.engine=transformers"
        )


def limit_of(sampling: Sampling, asked: Asked) -> int:
    """Tokens that may be added."""
    return sampling.max_new_tokens if asked.max_new_tokens is None else asked.max_new_tokens


def place_of(index: int) -> int:
    """Place of this process's request number `index` in the whole batch, see `processes.share`."""
    return index * processes.size() + processes.rank()


def check_room(request: Request, longest: int) -> None:
    """Raise UserError where prompt and begun answer leave no room for a token."""
    used = len(request.prompt.ids) + len(request.begun)
    if used >= longest:
        raise UserError(
            f"sample {request.sample.id}: {used} tokens of prompt and begun answer, the engine has {longest}"
        )


def sampling_fields(codec: Codec, sampling: Sampling, n: int, seed: int, place: int, asked: Asked) -> dict[str, Any]:
    """Fields of vLLM's SamplingParams, JSON-ready. Every answer has a seed of its own, made from its place in the
    whole batch, so the number of processes or servers does not change what is drawn."""
    fields: dict[str, Any] = {
        "n": n,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": limit_of(sampling, asked),
        "seed": (seed * 1_000_003 + place * n) % _SEED_SPACE,
        "logprobs": TOP_K if asked.entropies else 0,  # besides the sampled token
        "ignore_eos": True,  # the one stop is the codec's end of turn, as in every other engine
        "stop_token_ids": [codec.eos_id, *asked.stop_ids],
        "logit_bias": dict.fromkeys(codec.visual_ids, -100.0),
        "detokenize": False,
    }
    if sampling.stop:
        texts = {"stop": list(sampling.stop), "include_stop_str_in_output": True}
        fields |= texts | {"detokenize": True, "skip_special_tokens": False}
    return fields


def media_items(request: Request, codec: Codec) -> list[tuple[Medium, int, int]]:
    """Media of prompt and begun ids with the places of their placeholders [start, end), checked."""
    media = (*request.prompt.media, *request.media)
    spans = media_spans([*request.prompt.ids, *request.begun], media, codec, request.sample.id)
    return [(medium, *span) for medium, span in zip(media, spans, strict=True)]


def placeholder(ids: Sequence[int], start: int, end: int, codec: Codec) -> tuple[int, int, torch.Tensor | None]:
    """Offset, length and, for a clip in several runs, bool [length]: where its features go.

    A clip in several runs (Qwen3-VL, a time stamp before each frame) is told with the mark before its first run, by
    which vLLM finds the runs.
    """
    visual = set(codec.visual_ids)
    mask = [token in visual for token in ids[start:end]]
    if all(mask):
        return start, end - start, None
    return start - 1, end - start + 1, torch.tensor([False, *mask])


def model_inputs(medium: Medium) -> Any:
    """vLLM's record of one processed picture or clip (`MultiModalKwargsItem`)."""
    from vllm.multimodal.inputs import MultiModalFieldConfig, MultiModalKwargsItems

    video = medium.kind == "video"
    pixels, grid = ("pixel_values_videos", "video_grid_thw") if video else ("pixel_values", "image_grid_thw")
    values = {pixels: medium.pixels, grid: torch.tensor([medium.grid])}
    fields = {
        pixels: MultiModalFieldConfig.flat_from_sizes(medium.kind, values[grid].prod(-1)),
        grid: MultiModalFieldConfig.batched(medium.kind, keep_on_cpu=True),
    }
    if video:
        values["second_per_grid_ts"] = torch.tensor([medium.seconds])
        fields["second_per_grid_ts"] = MultiModalFieldConfig.batched("video", keep_on_cpu=True)
    return MultiModalKwargsItems.from_hf_inputs(values, fields)[medium.kind][0]


def to_rollout(
    request: Request,
    codec: Codec,
    ids: Sequence[int],
    logprobs: Sequence[float],
    tops: Sequence[Sequence[float]],
    sampling: Sampling,
    asked: Asked,
) -> Rollout:
    """An answer of vLLM as a record. `tops` holds for each token the log-probabilities of the likeliest ones.

    What a server wrote behind a stop text, as one does that was started for ids alone, is left out.
    """
    length = Stops(codec.tokenizer, sampling.stop).length(ids) if sampling.stop else None
    ids, logprobs, tops = ids[:length], logprobs[:length], tops[:length]
    last = ids[-1] if ids else None
    ended = Stop.CUT if last in asked.stop_ids or length is not None else Stop.LENGTH
    return Rollout(
        tuple(request.prompt.ids),
        tuple(ids),
        tuple(logprobs),
        codec.decode(list(ids)),
        Stop.EOS if last == codec.eos_id else ended,
        entropies=tuple(entropy_of(top) for top in tops) if asked.entropies else (),
    )


def entropy_of(logprobs: Sequence[float]) -> float:
    """Entropy in nats of the listed tokens, what they leave of the mass counted as one token.

    A lower bound: exact where the tail is one token, off by at most (tail mass) x ln(tail tokens).
    """
    probs = [math.exp(value) for value in logprobs]
    rest = 1.0 - sum(probs)
    return -sum(p * math.log(p) for p in [*probs, rest] if p > 0.0)


def empty_groups(requests: Sequence[Request], n: int) -> list[list[Rollout]]:
    """The answers where no token may be added."""
    return [[Rollout(tuple(request.prompt.ids), (), (), "", Stop.LENGTH)] * n for request in requests]
