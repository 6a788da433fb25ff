"""Samples to ids once, before training; what is too long leaves with a reason and is kept on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmreason.errors import UserError
from mmreason.models.codec import Codec, Encoded
from mmreason.models.medium import Medium
from mmreason.records import Rollout, Sample
from mmreason.run.files import write_jsonl
from mmreason.run.progress import progress


@dataclass(frozen=True, slots=True)
class Example:
    """A sample with its ids; `response` is empty for RL."""

    sample: Sample
    prompt: Encoded
    response: list[int]
    media: tuple[Medium, ...] = ()
    """Pictures and clips inside the response: what an environment replied."""
    trained: tuple[bool, ...] = ()
    """For each id of the response whether it carries loss; empty: all do."""

    @property
    def num_trained(self) -> int:
        return sum(self.trained) if self.trained else len(self.response)


Answering = Callable[[Sample, Encoded], Rollout]
"""A sample's response as a rollout, where it is more than text."""


def encode_all(
    samples: Sequence[Sample],
    codec: Codec,
    max_prompt: int,
    max_total: int,
    dropped: Path,
    answering: Answering | None = None,
) -> list[Example]:
    """Encode; samples over a limit go to the JSONL file `dropped`. Raises UserError when nothing is left.

    Responses are text that is tokenised as it is, unless `answering` plays them.
    """
    kept, long = [], []
    with progress("encode", len(samples)) as tick:
        for sample in samples:
            example = _encode(sample, codec, answering)
            size, length = len(example.prompt.ids), len(example.response)
            if size > max_prompt or size + length > max_total:
                row = {"id": sample.id, "reason": "too_long", "prompt_tokens": size, "response_tokens": length}
                long.append({**row, "max_prompt_tokens": max_prompt, "max_tokens": max_total})
            else:
                kept.append(example)
            tick()
    write_jsonl(dropped, long)
    if not kept:
        raise UserError(
            f"none of {len(samples)} samples fits {max_prompt} prompt tokens and {max_total} in all "
            f"({dropped} lists them): raise data.max_prompt_tokens, or give the data stage more rows"
        )
    return kept


def _encode(sample: Sample, codec: Codec, answering: Answering | None) -> Example:
    prompt = codec.encode(sample)
    if sample.response is None:
        return Example(sample, prompt, [])
    if answering is None:
        return Example(sample, prompt, codec.encode_response(sample.response))
    played = answering(sample, prompt)
    return Example(sample, prompt, list(played.ids), played.media, tuple(played.trained))
