"""lm-eval's requests as questions: what is asked how often, and an answer that remembers why it ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lm_eval.api.instance import Instance

from mmreason.config.recipe import Sampling
from mmreason.errors import UserError
from mmreason.protocol import Protocol
from mmreason.records import Sample
from mmreason.suites.contexts import content_hash


class Said(str):
    """An answer as text, with why it ended, how many tokens it has, and its turns where it has several."""

    stop: str
    tokens: int
    turns: list[dict[str, Any]] | None
    visual: int
    """Both as in `scoring.Output`."""

    def __new__(
        cls, text: str, stop: str = "", tokens: int = 0, turns: list[dict[str, Any]] | None = None, visual: int = 0
    ) -> Said:
        said = super().__new__(cls, text)
        said.stop, said.tokens, said.turns, said.visual = stop, tokens, turns, visual
        return said


@dataclass(frozen=True, slots=True)
class Ask:
    """One question, how often it is asked, and where its answers go."""

    places: list[int]
    arguments: tuple[Any, ...]
    sampling: Sampling
    stop: tuple[str, ...]

    @property
    def sample(self) -> Sample | None:
        """Our own sample, None for a request of another library's task."""
        found: Sample | None = self.arguments[2].get("sample") if len(self.arguments) > 2 else None
        return found

    @property
    def protocol(self) -> Protocol | None:
        found: Protocol | None = self.arguments[2].get("protocol") if len(self.arguments) > 2 else None
        return found

    @property
    def about(self) -> str:
        """What the question is about; those about the same thing are asked side by side."""
        sample = self.sample
        if sample is not None:
            return repr(sample.media) if sample.media else sample.source.document
        pictures = self.arguments[2].get("visual", []) if len(self.arguments) > 2 else []
        return repr([content_hash(picture) for picture in pictures])


def joined(requests: Sequence[Instance], sampling: Sampling) -> Iterator[Ask]:
    """Requests with their repetitions joined."""
    start = 0
    while start < len(requests):
        end = start + 1
        while end < len(requests) and requests[end] is requests[start]:
            end += 1
        arguments = requests[start].args
        own, stop = _generation(sampling, dict(arguments[1]))
        yield Ask(list(range(start, end)), arguments, own, stop)
        start = end


def _generation(sampling: Sampling, given: dict[str, Any]) -> tuple[Sampling, tuple[str, ...]]:
    """lm-eval's generation arguments over ours. Raises UserError for one that we do not know."""
    until = given.pop("until", None) or ()
    stop = (until,) if isinstance(until, str) else tuple(until)
    changes: dict[str, Any] = {}
    for key, value in given.items():
        if key in ("max_gen_toks", "max_new_tokens"):
            changes["max_new_tokens"] = int(value)
        elif key == "do_sample":
            changes |= {} if value else {"temperature": 0.0}
        elif key in ("temperature", "top_p"):
            changes.setdefault(key, float(value))
        else:
            raise UserError(f"generation argument {key!r} is not known; max_gen_toks, temperature, top_p, until are")
    return sampling.model_copy(update=changes), stop
