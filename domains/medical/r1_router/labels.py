"""Another label for routing than the teacher's choice, which is noisy: the base whose passages hold the answer.

Ours, for teachers that are models: every base is asked the teacher's sub-question, and one whose first passages hold
every token of its answer is right [reconstructed: in place of a reader that would have to answer from each].
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmreason.data.step import Drop, StepContext
from mmreason.project import load_module
from mmreason.records import Sample

_HERE = Path(__file__).parent
rewards = load_module(_HERE / "rewards.py")
teacher = load_module(_HERE / "teacher.py")
Step, NONE = rewards.Step, rewards.settings.NONE


def relabelled(stream: Iterable[Sample | Drop], context: StepContext) -> Iterator[Sample | Drop]:
    """Data step, before `trajectories.steps`: the base of each plan becomes one that holds the answer. The teacher's
    stays where it does, or where none does. The passages stay the teacher's; metadata tell how many changed
    (`relabelled`) and how many no base supports (`unsupported`)."""
    desk = teacher.open_desk(context)
    for item in stream:
        yield item if isinstance(item, Drop) else _with_labels(item, desk)


def _with_labels(sample: Sample, desk: Any) -> Sample:
    steps = [dict(step) for step in sample.evidence["trajectory"]]
    changed = unsupported = 0
    for place, step in enumerate(steps[:-1]):
        if step["kind"] != Step.PLAN or step["base"].lower() == NONE or steps[place + 1]["kind"] != Step.ANSWER:
            continue
        holding = supporting(sample, desk, step["query"], steps[place + 1]["golds"][0])
        unsupported += not holding
        if holding and step["base"].lower() not in {name.lower() for name in holding}:
            step["base"] = holding[0]
            changed += 1
    made = replace(sample, evidence={**sample.evidence, "trajectory": steps})
    return made.with_meta(relabelled=changed, unsupported=unsupported)


def supporting(sample: Sample, desk: Any, query: str, answer: str) -> list[str]:
    """Bases of which one of the passages shown for `query` holds every token of the answer."""
    found = []
    for name in desk.bases:
        passages = desk.search(name, query, sample)
        texts = [] if isinstance(passages, str) else [passage.contents for passage in passages]
        if any(rewards.best_shares(text, [answer])[0] == 1.0 for text in texts):
            found.append(name)
    return found
