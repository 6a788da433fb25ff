"""The cold start's teacher for made-up scenes: traces that call the frame tool, mediocre on purpose, and their check.

Families and shares are [reconstructed after Pixel Reasoner's templates]. By default the right frame is selected in
about half of the traces, so that RL has something to mend. An answer that was not seen is the gold one all the same: a
policy that imitates it guesses.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmreason.config.strict import validate
from mmreason.data.judge import Judgement
from mmreason.project import load_module
from mmreason.records import Outcome, Sample
from mmreason.rewards.grade import grade
from mmreason.rollout.replay import turns_of

_HERE = Path(__file__).parent
calls = load_module(_HERE / "calls.py")
captions = load_module(_HERE / "data_captions.py")
sights = load_module(_HERE / "data_sights.py")
tables = load_module(_HERE / "data_table.py")
writing = load_module(_HERE / "traces_writing.py")


def solver(options: dict[str, Any]) -> Callable[[Sample, int], str | None]:
    """The teacher: (sample, attempt) -> the turns of a trace, joined; None for questions whose answer is a time.

    Rows of captions (`data_captions.py`) are answered at once.

    Raises UserError naming an option that is wrong.
    """
    made = validate(writing.TraceOptions, options, "data.teacher.options")

    def respond(sample: Sample, attempt: int) -> str | None:
        if sample.metadata.get("family") == captions.FAMILY:
            return writing.boxed(captions.thought(sample), sample)
        if sample.metadata.get("family") not in sights.FAMILIES:
            return None
        return "".join(writing.Writer(sample, made, random.Random(f"{made.seed}:{sample.id}:{attempt}")).turns())

    return respond


def verify(sample: Sample, response: str) -> Judgement:
    """The check of a trace (`data.teacher.verify`): each turn thinks, every turn but the last is a call that the
    environment answers, at least one of them with frames, and the answer in the last turn is right.

    A trace that an endpoint played (`data_play.py`) was answered by the environment when it was made.
    """
    turns = turns_of(response)
    played = response == sample.evidence.get("trace")
    fault = "" if played else _fault(turns, tables.Table(sample).play(turns))
    if fault:
        return Judgement(False, False, fault, "replay")
    verdict = grade(turns[-1], sample.answer, lenient=True)
    return Judgement(verdict.outcome is Outcome.RIGHT, True, verdict.why, "replay")


def _fault(turns: Sequence[str], notes: Sequence[dict[str, Any]]) -> str:
    """What is wrong with the form of a trace, empty if nothing."""
    if not turns:
        return "the trace is empty"
    bare = [turn for turn in turns if not (turn.startswith("<think>") and "</think>" in turn)]
    if bare:
        return f"turn {turns.index(bare[0]) + 1} does not begin with a thought"
    if calls.is_call(turns[-1]):
        return "the trace ends with a call"
    if len(notes) < len(turns) or notes[-1]:
        return f"the environment ends the trace at turn {len(notes)} of {len(turns)}"
    if len(turns) > 1 and not any(note["refined"] for note in notes[:-1]):
        return f"no call is answered with frames: {notes[-2]['error']}"
    return ""
