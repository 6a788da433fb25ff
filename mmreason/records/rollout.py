"""One sampled answer: exact ids, who wrote which of them, and where it forked from another answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmreason.models.medium import Medium


class Stop(StrEnum):
    """Why generation ended."""

    EOS = "eos"
    """The model closed its turn."""
    LENGTH = "length"
    """Cut by max_new_tokens."""
    ENVIRONMENT = "environment"
    """Ended by the environment or its limit of turns."""
    CUT = "cut"
    """Cut on purpose by a rollout stage, to be continued."""


class SegmentKind(StrEnum):
    """Who wrote a run of tokens."""

    MODEL = "model"
    """The policy; trained."""
    TOOL = "tool"
    """An environment's reply, text or pictures; never trained."""
    ECHOED = "echoed"
    """An environment's reply that is trained as if the policy had written it: a control, to show what masking does."""
    INJECTED = "injected"
    """Text that a rollout stage put in; never trained."""
    HINT = "hint"
    """A piece of a reference solution in the answer's place; never trained."""
    SHARED = "shared"
    """The policy's own text that a branch took over and another row trains; counts as length."""
    TEACHER = "teacher"
    """Another model's answer; trained as external data."""

    @property
    def trained(self) -> bool:
        return self in (SegmentKind.MODEL, SegmentKind.TEACHER, SegmentKind.ECHOED)


@dataclass(frozen=True, slots=True)
class Segment:
    """Tokens [start, end) of one rollout."""

    start: int
    end: int
    kind: SegmentKind = SegmentKind.MODEL
    turn: int = 0


@dataclass(frozen=True, slots=True)
class Rollout:
    """One answer with the exact ids of the engine; never decoded and tokenised again."""

    prompt_ids: tuple[int, ...]
    """The prompt that the update conditions on."""
    ids: tuple[int, ...]
    """Ids after the prompt, tool and injected ones included, the end-of-turn token too when `stop` is EOS."""
    logprobs: tuple[float, ...]
    """Engine log-probability of each id at the sampling temperature, before top-p cuts; 0 where the policy did not
    write it."""
    text: str
    """Decoded without special tokens; of an answer with tool turns, without what the tools wrote."""
    stop: Stop
    segments: tuple[Segment, ...] = ()
    """In order, covering `ids`; empty means one MODEL segment."""
    media: tuple[Medium, ...] = ()
    """Pictures and clips inside `ids`, in order (a tool's reply)."""
    parent: int = -1
    """Index in the group of the rollout that this one forked from, -1 for a root."""
    fork: int = 0
    """The first `fork` ids are the parent's."""
    entropies: tuple[float, ...] = ()
    """Entropy of the policy at each id in nats where the engine was asked for it."""
    sub_group: int = -1
    """Part of the group it belongs to (budget, hint level), -1 for none."""
    external: bool = False
    """Not sampled from the policy: `logprobs` say nothing, ratios and their clip do not apply."""
    same_context: bool = True
    """Whether it was sampled from `prompt_ids`; otherwise `logprobs` are no behaviour probabilities for the update."""
    extras: dict[str, Any] = field(default_factory=dict)

    @property
    def pieces(self) -> tuple[Segment, ...]:
        """The segments; one MODEL segment where none are given."""
        return self.segments or (Segment(0, len(self.ids)),)

    @property
    def trained(self) -> list[bool]:
        """For each id whether it carries loss."""
        return [piece.kind.trained for piece in self.pieces for _ in range(piece.start, piece.end)]

    @property
    def num_model_tokens(self) -> int:
        """Length as penalties and statistics count it: without tool and injected text."""
        own = (SegmentKind.MODEL, SegmentKind.SHARED, SegmentKind.TEACHER)
        return sum(piece.end - piece.start for piece in self.pieces if piece.kind in own)


def talk_of(rollout: Rollout) -> list[dict[str, Any]]:
    """What was said in each turn, with what the environment noted of it; empty for an answer of one plain turn."""
    said, told = rollout.extras.get("said", []), rollout.extras.get("turns", [])
    return [{"said": text, **(told[turn] if turn < len(told) else {})} for turn, text in enumerate(said)]
