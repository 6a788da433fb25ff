"""Samples to ids once, before training; what is too long leaves with a reason and is kept on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmreason.errors import UserError
from mmreason.models.codec import Codec, Encoded
from mmreason.records import Sample
from mmreason.run.files import write_jsonl
from mmreason.run.progress import progress


@dataclass(frozen=True, slots=True)
class Example:
    """A sample with its ids; `response` is empty for RL."""

    sample: Sample
    prompt: Encoded
    response: list[int]


def encode_all(
    samples: Sequence[Sample], codec: Codec, max_prompt: int, max_total: int, dropped: Path
) -> list[Example]:
    """Encode; samples over a limit go to the JSONL file `dropped`. Raises UserError when nothing is left."""
    kept, long = [], []
    with progress("encode", len(samples)) as tick:
        for sample in samples:
            response = codec.encode_response(sample.response) if sample.response is not None else []
            example = Example(sample, codec.encode(sample), response)
            size = len(example.prompt.ids)
            if size > max_prompt or size + len(response) > max_total:
                row = {"id": sample.id, "reason": "too_long", "prompt_tokens": size, "response_tokens": len(response)}
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
