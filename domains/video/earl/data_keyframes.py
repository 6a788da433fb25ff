"""Gold frames from a teacher that sees the grid, the question and the answer.

The paper asks GPT-4o for key frames F_key with 1 <= |F_key| <= 8 and lets people delete what is irrelevant:
F_gold = F_key without F_irrelevant. Here a second pass of an endpoint stands in for the people; like them it can only
delete. Prompts are ours: the paper's are not released. Replies are checked strictly and asked for again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmreason.data.endpoint import Chat, text_part
from mmreason.data.judge import parse_object
from mmreason.data.step import Drop, StepContext
from mmreason.data.workers import map_stream
from mmreason.errors import UserError
from mmreason.media.clips import open_clip
from mmreason.project import load_module
from mmreason.records import Sample

frames = load_module(Path(__file__).parent / "data_frames.py")
gold = load_module(Path(__file__).parent / "gold.py")

_KEY = """Above are the {count} frames of a video, numbered 1 to {count}. A question about the video and its correct
answer follow. Name the frames that show the evidence for the answer: as few as are needed, at least 1, at most {most}.
Reply with one JSON object and nothing else: {{"frames": [numbers]}}

Question: {question}
Correct answer: {answer}"""
_IRRELEVANT = """Above are frames of a video that somebody chose as evidence for the answer to a question. Name
those that are irrelevant to it; the list may be empty. Reply with one JSON object and nothing else:
{{"irrelevant": [numbers]}}

Question: {question}
Correct answer: {answer}"""


def from_teacher(
    stream: Iterable[Sample | Drop],
    context: StepContext,
    grid: int | None = None,
    tries: int = 3,
    review: bool = True,
    max_pixels: int = frames.MAX_PIXELS,
) -> Iterator[Sample | Drop]:
    """Data step: gold frames from the endpoint `options.earl_teacher`, reviewed by `options.earl_reviewer` (by the
    teacher itself where there is none).

    Drops: `unreadable_reply` (`tries` replies of one pass break the rules), `no_gold_frame` (the review leaves none).
    Raises UserError without an endpoint, EndpointStopped when its retries are spent; replies are kept for the next run.
    """
    if tries < 1:
        raise UserError(f"from_teacher: tries is {tries}, expected at least 1")
    teacher = frames.need_endpoint(context, "from_teacher")
    reviewer = (frames.endpoint_of(context, frames.REVIEWER) or teacher) if review else None
    labeller = Labeller(context, gold.Grids(context, grid), teacher, reviewer, tries, max_pixels)
    try:
        yield from map_stream(stream, labeller.label, teacher.endpoint.concurrency)
    finally:
        for chat in {teacher, reviewer or teacher}:
            chat.close()


@dataclass(frozen=True, slots=True)
class Labeller:
    """Who is asked for key frames, and how. Safe to use from several threads."""

    context: StepContext
    grids: Any
    teacher: Chat
    reviewer: Chat | None
    """None: nothing is deleted."""
    tries: int
    max_pixels: int

    def label(self, sample: Sample) -> Sample | Drop:
        """The sample with its gold frames, or why it has none."""
        grid = self.grids.of(sample)
        shown = grid.at_hand(sample)
        clip = open_clip(self.grids.root(sample), replace(sample.media[0], frame_rule=f"centres:{len(shown)}"))
        images = frames.pictures(clip, shown, self.max_pixels)
        words = {"question": frames.asked(sample), "answer": frames.gold_text(sample)}
        everything = list(range(1, len(shown) + 1))
        content = frames.numbered(images, grid.times, everything)
        task = _KEY.format(count=len(shown), most=gold.MOST, **words)
        key = ask_numbers(self.teacher, [*content, text_part(task)], "frames", everything, 1, self.tries)
        if key is None:
            return _drop(sample, "unreadable_reply", f"no 1 to {gold.MOST} frames in {self.tries} replies")
        kept = sorted(key)
        if self.reviewer is not None:
            places = [number - 1 for number in kept]
            chosen = frames.numbered([images[at] for at in places], [grid.times[at] for at in places], kept)
            task = _IRRELEVANT.format(**words)
            out = ask_numbers(self.reviewer, [*chosen, text_part(task)], "irrelevant", kept, 0, self.tries)
            if out is None:
                return _drop(sample, "unreadable_reply", f"no irrelevant ones of {kept} in {self.tries} replies")
            kept = [number for number in kept if number not in out]
        if not kept:
            return _drop(sample, "no_gold_frame", f"the review found all of {sorted(key)} irrelevant")
        made: Sample = gold.labelled(
            sample,
            grid,
            [number - 1 for number in kept],
            gold.Label.TEACHER,
            self.context,
            key_frames=[number - 1 for number in sorted(key)],
        )
        return made


def _drop(sample: Sample, reason: str, detail: str) -> Drop:
    return Drop(sample.id, "from_teacher", reason, detail, sample.to_dict())


def ask_numbers(
    chat: Chat, content: Sequence[dict[str, Any]], key: str, allowed: Sequence[int], least: int, tries: int
) -> list[int] | None:
    """The list under `key` of a reply's JSON: `least` to 8 different numbers out of `allowed`; None after `tries`."""
    for attempt in range(tries):
        reply = chat.ask([{"role": "user", "content": list(content)}], attempt)
        found = parse_object(reply.content, {key: list})
        numbers = found[key] if found is not None else None
        if numbers is not None and _numbers_hold(numbers, allowed, least):
            return list(numbers)
    return None


def _numbers_hold(numbers: list[Any], allowed: Sequence[int], least: int) -> bool:
    whole = all(type(number) is int and number in allowed for number in numbers)  # a bool is an int to isinstance
    return whole and len(set(numbers)) == len(numbers) and least <= len(numbers) <= gold.MOST
