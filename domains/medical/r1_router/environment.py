"""The environment of R1-Router: a plan is answered by passages of the base it names, an answer by the next demand.

    question -> plan -> passages -> answer -> plan -> ... -> final answer                      (arXiv 2505.22095)

One conversation holds it all. A sample that is a single step of a teacher's trajectory ends with its one turn: its
history stands in the prompt, and nothing is retrieved.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmreason.errors import UserError
from mmreason.project import load_module
from mmreason.records import Rollout, Sample
from mmreason.rollout.environment import Reply, Setting

_HERE = Path(__file__).parent
desks = load_module(_HERE / "desk.py")


def router(setting: Setting) -> Router:
    """The environment of a recipe: `environment: r1_router/environment.py:router`."""
    return Router(setting)


class Router:
    """Answers plans from the knowledge bases of `options.r1_router`. They are opened with the first question: steps
    of trajectories need none."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self._desk = None
        own = desks.settings.of(setting.options)
        self.stop = own.stop
        if setting.max_turns is not None and setting.max_turns < own.max_turns:
            raise UserError(
                f"task.max_turns is {setting.max_turns}, {own.rounds} rounds need {own.max_turns}: a plan and an "
                "answer each, and the final answer"
            )

    def reply(self, sample: Sample, rollout: Rollout, turn: int) -> Reply | None:
        """To one answer; see `reply_all`."""
        return self.reply_all([(sample, rollout)], turn)[0]

    def reply_all(self, asked: Sequence[tuple[Sample, Rollout]], turn: int) -> list[Reply | None]:
        """To the last turn of each; a base is searched once for all. `info` is the desk's note."""
        whole = [place for place, (sample, _) in enumerate(asked) if "step" not in sample.evidence]
        replies: list[Reply | None] = [None] * len(asked)
        if not whole:
            return replies
        turns = [
            (asked[place][0], asked[place][1].extras["said"][-1], asked[place][1].extras["turns"]) for place in whole
        ]
        for place, told in zip(whole, self.desk.answer_all(turns), strict=True):
            replies[place] = Reply((told.text,), info=told.note) if told.note["next"] else None
        return replies

    @property
    def desk(self) -> desks.Desk:
        """The knowledge bases, opened once."""
        if self._desk is None:
            setting = self.setting
            self._desk = desks.open_desk(setting.options, _HERE.parent, setting.codec.media_root, setting.seed)
        return self._desk
