"""What a cold start learns: the verified chain, or the bare answer of the control arm."""

from __future__ import annotations

from mmreason.config.recipe import SftSettings
from mmreason.records import AnswerKind, Sample


def with_target(sample: Sample, settings: SftSettings) -> Sample:
    """The sample with the response that `sft.target` asks for."""
    if settings.target == "chain":
        return sample
    gold = sample.answer.gold
    boxed = gold if sample.answer.kind is AnswerKind.FREE else f"\\boxed{{{gold}}}"
    return sample.with_response(f"<answer>{boxed}</answer>")
