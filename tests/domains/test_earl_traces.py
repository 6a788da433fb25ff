"""The cold start's traces: what they say is seen is there, they err as often as told, and the check finds bad ones."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mmreason.errors import UserError
from mmreason.media.frame_rules import FrameRule
from mmreason.project import load_module
from mmreason.records import AnswerKind, Sample
from mmreason.rollout.replay import turns_of

rows = load_module(Path(__file__).parent / "earl_rows.py")
traces = load_module(rows.EARL / "traces.py")
captions = load_module(rows.EARL / "data_captions.py")
refused = load_module(rows.EARL / "data_refused.py")
sights, tables, scenes = traces.sights, traces.tables, captions.scenes
STEADY = {"wrong_frame": 0.0, "junk": 0.0, "hasty": 0.0}
FAMILIES = ("what", "count", "direction", "order")


def written(samples: Sequence[Sample], **options: Any) -> list[str]:
    respond = traces.solver(options)
    return [respond(sample, 0) for sample in samples]


def shown_at_the_end(sample: Sample, trace: str) -> list[int]:
    """Clip frames that the last turn speaks of."""
    table = tables.Table(sample)
    refined = [note["refined"]["frames"] for note in table.play(turns_of(trace)) if note.get("refined")]
    return refined[-1] if refined else list(table.grid)


def first_selection(trace: str) -> list[int]:
    found = re.search(r"<tool_call>(.*?)</tool_call>", trace)
    return [number - 1 for number in json.loads(found[1])["arguments"]["target_frames"]] if found else []


def test_a_trace_by_hand(tmp_path: Path) -> None:
    (sample,) = rows.scenes(tmp_path, 1)
    event = next(one for one in sample.metadata["events"] if one["colour"] == sample.metadata["colour"])
    table = tables.Table(sample)
    assert table.grid == tuple(range(8, 256, 16))
    place = table.gold()[0]
    middle = 16 * place + 8  # between the neighbours 16 frames on both sides eight frames stand four apart
    assert table.brought((place,)) == [middle - 14 + 4 * step for step in range(8)]
    seen = [frame for frame in table.brought((place,)) if event["flashes"][0] <= frame < event["flashes"][0] + 4]
    sight = sights.look(sample, table.brought((place,)))
    number = table.brought((place,)).index(seen[0]) + 1
    assert len(seen) == 1 and sight.answer == sample.answer.gold
    assert sight.words == f"{event['colour']} {event['shape']} {number} ."


@pytest.mark.parametrize("family", FAMILIES)
def test_every_trace_passes_its_check_and_is_the_same_again(tmp_path: Path, family: str) -> None:
    samples = rows.scenes(tmp_path, 25, family)
    made = written(samples)
    assert all(traces.verify(sample, trace).accepted for sample, trace in zip(samples, made, strict=True))
    assert made == written(samples)
    assert made != written(samples, seed=1) or family == "order"


@pytest.mark.parametrize("family", FAMILIES)
def test_what_steady_traces_say_is_what_the_frames_show(tmp_path: Path, family: str) -> None:
    for sample in rows.scenes(tmp_path, 25, family):
        (trace,) = written([sample], **STEADY)
        last = turns_of(trace)[-1]
        sight = sights.look(sample, shown_at_the_end(sample, trace))
        assert last == f"<think>{sight.words}</think>\\boxed{{{sample.answer.gold}}}"
        assert sight.answer == sample.answer.gold, "the answer follows from what is seen"


def test_what_slips_say_is_seen_too(tmp_path: Path) -> None:
    samples = rows.scenes(tmp_path, 30)
    made = written(samples, wrong_frame=1.0)
    for sample, trace in zip(samples, made, strict=True):
        sight = sights.look(sample, shown_at_the_end(sample, trace))
        assert f"<think>{sight.words}</think>\\boxed" in trace
    assert sum("no shape ." in turns_of(trace)[-1] for trace in made) > 10


def test_the_right_frame_is_selected_about_half_the_time(tmp_path: Path) -> None:
    samples = rows.scenes(tmp_path, 200)
    right = [
        bool(set(first_selection(trace)) & set(sample.evidence["gold_frames"]))
        for sample, trace in zip(samples, written(samples), strict=True)
    ]
    assert 0.4 < sum(right) / len(right) < 0.65


def kind(sample: Sample, trace: str) -> str:
    """one, two, again or at_once, from what happened."""
    notes = tables.Table(sample).play(turns_of(trace))[:-1]
    hits = [bool(note["kind"] == "call" and set(note["selected"]) & set(note["gold"] or [])) for note in notes]
    return {0: "at_once", 1: "one"}.get(len(notes), "two" if hits[:1] == [True] else "again")


def test_families_have_their_shares(tmp_path: Path) -> None:
    samples = rows.scenes(tmp_path, 200)
    found = Counter(kind(*pair) for pair in zip(samples, written(samples, **STEADY), strict=True))
    wanted = {"one": 100, "two": 50, "again": 30, "at_once": 20}
    assert all(abs(found[name] - count) < 16 for name, count in wanted.items()), found


def test_again_begins_with_a_frame_beside_or_with_one_that_is_not_there(tmp_path: Path) -> None:
    shares = {"again": 1.0}
    kinds = Counter()
    for sample in rows.scenes(tmp_path, 30):
        (trace,) = written([sample], shares=shares, **STEADY)
        first, second = tables.Table(sample).play(turns_of(trace))[:2]
        kinds[first["kind"]] += 1
        assert first["kind"] == "error" or not set(first["selected"]) & set(first["gold"])
        assert second["kind"] == "call" and second["refined"]
        assert ("again ." in trace) == (first["kind"] == "error")
    assert kinds["call"] and kinds["error"]


def test_with_the_tool_off_a_trace_says_what_the_grid_shows(tmp_path: Path) -> None:
    for sample in refused.refused(rows.scenes(tmp_path, 12), None):
        (trace,) = written([sample])
        first, second = turns_of(trace)
        (note, nothing) = tables.Table(sample).play([first, second])
        assert note["error"] == "the tool is disabled" and nothing == {}
        words = sights.look(sample, tables.Table(sample).grid).words
        assert second == f"<think>{words}</think>\\boxed{{{sample.answer.gold}}}"
        assert sample.answer.kind is AnswerKind.FREE and set(first_selection(trace)) <= set(
            sample.evidence["gold_frames"]
        )


def test_one_round_allows_no_second_look(tmp_path: Path) -> None:
    samples = [one.with_meta(earl={**rows.SMALL, "max_rounds": 1}) for one in rows.scenes(tmp_path, 12)]
    assert {len(turns_of(trace)) for trace in written(samples, shares={"two": 1.0}, **STEADY)} == {2}


def test_first_thoughts_can_name_the_frames(tmp_path: Path) -> None:
    samples = [one for one in rows.scenes(tmp_path, 12) if len(one.evidence["gold_frames"]) == 2]
    for sample, trace in zip(samples, written(samples, shares={"one": 1.0}, names=True, **STEADY), strict=True):
        first, second = (place + 1 for place in sample.evidence["gold_frames"])
        assert trace.startswith(f"<think>find {sample.metadata['colour']} . at {first} {second} .</think><tool_call>")


def test_options_letters_and_questions_for_times(tmp_path: Path) -> None:
    (sample,) = rows.scenes(tmp_path, 1, choice=True)
    (trace,) = written([sample], **STEADY)
    assert trace.endswith(f"\\boxed{{{sample.answer.gold}}}") and sample.answer.options[sample.answer.gold] in trace
    assert written(rows.scenes(tmp_path, 1, "when")) == [None]
    with pytest.raises(UserError, match="wrong_frames"):
        traces.solver({"wrong_frames": 0.5})
    with pytest.raises(UserError, match="at least one of them above 0"):
        traces.solver({"shares": {"one": 0.0}})
    with pytest.raises(UserError, match="no gold frames"):
        written([rows.at(sample)])


CALL = '<think>find it .</think><tool_call>{"name": "select_frames", "arguments": {"target_frames": [%s]}}</tool_call>'
BAD = [
    ("", "empty"),
    ("<think>x</think>\\boxed{nothing}", ""),
    ("\\boxed{GOLD}", "turn 1 does not begin with a thought"),
    (CALL % 3, "ends with a call"),
    (CALL % 99 + "<think>x</think>\\boxed{GOLD}", "no call is answered with frames: frame 99"),
    (CALL % 3 + CALL % 3 + CALL % 3 + "<think>x</think>\\boxed{GOLD}", "ends the trace at turn 3 of 4"),
    ("<think>x</think>\\boxed{GOLD}" + CALL % 3, "ends with a call"),
    (CALL % 3 + "<think>x</think>no box", ""),
]


@pytest.mark.parametrize(("trace", "why"), BAD)
def test_bad_traces_are_refused(tmp_path: Path, trace: str, why: str) -> None:
    (sample,) = rows.scenes(tmp_path, 1)
    judgement = traces.verify(sample, trace.replace("GOLD", sample.answer.gold))
    assert not judgement.accepted and why in judgement.why
    assert traces.verify(sample, (CALL % 3) + f"<think>x</think>\\boxed{{{sample.answer.gold}}}").accepted


def test_scanning_thoughts_tell_every_frame_that_is_shown(tmp_path: Path) -> None:
    for sample in rows.scenes(tmp_path, 25):
        (trace,) = written([sample], scan=True)
        thoughts = re.findall("<think>(.*?)</think>", trace)
        refined = [
            note["refined"]["frames"] for note in tables.Table(sample).play(turns_of(trace)) if note.get("refined")
        ]
        pairs = [
            f"{sights.scan(sample, frames)} {sights.look(sample, frames).words}"
            for frames in (tables.Table(sample).grid, *refined)
        ]
        assert [thought for thought in thoughts if thought != "again ."] == pairs


def test_a_scan_by_hand(tmp_path: Path) -> None:
    (sample,) = rows.scenes(tmp_path, 1)
    event = next(one for one in sample.metadata["events"] if one["colour"] == sample.metadata["colour"])
    flash, colour = event["flashes"][0], event["colour"]
    words = sights.scan(sample, [event["first"] - 1, event["first"], flash, flash + 4])
    seen = f"{colour} {colour}"
    marked = f"2 {seen} here 2 3 {seen} {event['shape']} here 3 4 {seen} here 4"
    assert words == f"1 {colour} none {marked} . here 2 3 4 ."
    assert sights.scan(sample, [event["first"] - 1]) == f"1 {colour} none . here none ."


def test_captions_show_the_answer_and_say_what_each_frame_shows(tmp_path: Path) -> None:
    samples = rows.scenes(tmp_path, 12)
    made = list(captions.captions(samples, rows.context(tmp_path), rows=2))
    assert [row.metadata["twin_of"] for row in made] == [sample.id for sample in samples for _ in range(2)]
    for row in made:
        frames = FrameRule.parse(row.media[0].frame_rule).frames
        shown = [scenes.describe(row, frame) for frame in frames]
        assert len(frames) == 16 and sum(one.shape != "none" for one in shown) == 8
        assert any(one.shape == "none" for one in shown) and row.answer.kind == "free"
        (trace,) = written([row])
        assert captions.thought(row).startswith(sights.scan(row, frames) + f" {row.metadata['colour']} ")
        assert trace == f"<think>{captions.thought(row)}</think>\\boxed{{{row.metadata['shape']}}}"
        assert sights.look(row.with_meta(family="what"), frames).answer == row.answer.gold
        assert traces.verify(row, trace).accepted
    with pytest.raises(UserError, match="dense 0"):
        list(captions.captions(samples, rows.context(tmp_path), dense=0.0))
