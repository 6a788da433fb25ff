"""What answers a model between its turns: the protocol of an environment, its replies, and how one is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

from PIL import Image

from mmreason.errors import UserError
from mmreason.models.codec import Codec
from mmreason.models.medium import Medium
from mmreason.project import load_ref
from mmreason.records import Rollout, Sample
from mmreason.records.rollout import SegmentKind


@dataclass(frozen=True, slots=True)
class Reply:
    """What an environment says to a turn."""

    parts: tuple[str | Image.Image | Medium, ...] = ()
    """Text and pictures in the order in which the model sees them."""
    done: bool = False
    """The answer ends here; the parts are not added."""
    info: dict[str, Any] = field(default_factory=dict)
    """Kept in the rollout's `extras["turns"]`, one entry a turn."""
    inside: bool = False
    """The parts follow the model's text without the template's marks, inside the same assistant turn. A turn that the
    model itself has closed is answered with the marks all the same."""
    kind: SegmentKind = SegmentKind.TOOL
    """INJECTED where graders are to read the parts as part of the answer (an answer tag opened for the model). Neither
    is trained."""


class Environment(Protocol):
    """A tool, a game, a user: answers what the model said.

    It may have two things more. `stop`, a sequence of texts that end a turn (see `Sampling.stop`). `reply_all(asked,
    turn)`, which takes a list of (sample, rollout) and gives the list of replies, where many are cheaper together.
    """

    def reply(self, sample: Sample, rollout: Rollout, turn: int) -> Reply | None:
        """To the end of `rollout`, which holds all turns so far; `turn` counts from 0. None: nothing to say, the
        answer is finished.

        `rollout.extras["said"]` holds the text of each of the model's turns, the last one to be answered now;
        `rollout.extras["turns"]` the info of each reply before.
        """
        ...


@dataclass(frozen=True, slots=True)
class Setting:
    """What an environment may know of the run that it is part of."""

    options: Mapping[str, Any]
    """The recipe's `options`."""
    codec: Codec
    seed: int = 0
    max_turns: int | None = None
    """Turns of the model that are played; None: not known."""


def load_environment(ref: str, folder: Path, setting: Setting) -> Environment:
    """The environment that 'file.py:name' makes of `setting`, relative to a domain's folder. Raises UserError where
    what it makes has no `reply`."""
    made = load_ref(ref, folder)(setting)
    if not callable(getattr(made, "reply", None)):
        raise UserError(f"environment {ref!r} makes a {type(made).__name__} without a method 'reply'")
    return cast(Environment, made)


def stops_of(environment: Environment) -> tuple[str, ...]:
    """Texts with which the environment wants turns to end; none where it declares none."""
    return tuple(getattr(environment, "stop", ()))


def replies_of(environment: Environment, asked: Sequence[tuple[Sample, Rollout]], turn: int) -> list[Reply | None]:
    """A reply to each, in order. Raises RuntimeError naming the sample, or the samples asked about together, where the
    environment fails."""
    together = getattr(environment, "reply_all", None)
    if together is None:
        return [_asked(environment.reply, f"sample {sample.id}", turn, sample, said, turn) for sample, said in asked]
    names = ", ".join(dict.fromkeys(sample.id for sample, _ in asked))
    return list(_asked(together, f"samples {names}", turn, asked, turn))


def _asked(ask: Any, who: str, turn: int, *arguments: Any) -> Any:
    try:
        return ask(*arguments)
    except UserError:
        raise
    except Exception as error:
        raise RuntimeError(f"{who}: the environment failed in turn {turn} ({error!r})") from error
