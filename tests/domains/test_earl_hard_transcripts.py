"""The table of hard transcripts: what EARL's environment makes of them, and what they earn.

16 grid frames are shown and the third is the only gold one; B is right. Unless a row says more turns, the answer
`\\boxed{B}` follows a turn that is answered. Rewards are those of the early weights, 0.5 for a selection and 0.2 x IoU:
1.7 for a pure selection, 1.0 for one that misses, 0.5 for none, with the right answer; -1 for no readable answer.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mmreason.models.codec import Codec
from mmreason.project import load_module
from mmreason.records import Stop

games = load_module(Path(__file__).parent / "earl_games.py")
calls, rewards, select = games.calls, games.rewards, games.select

GOOD = select(3)
ZERO_WIDTH = "\u200b"


def call(body: str) -> str:
    return f"<tool_call>{body}</tool_call>"


def named(frames: str) -> str:
    return call(f'{{"name": "select_frames", "arguments": {{"target_frames": {frames}}}}}')


NOT_OURS = '{"name": "select_frames", "arguments": '
UNOPENED = "the tool call is closed but was not opened"
NO_JSON = "the tool call is no valid JSON"
WHOLE = "frame numbers must be whole numbers, found "
NO_ARGUMENTS = 'the arguments must be {"target_frames": [numbers]}'

# name: first turn, what it is, places selected, error, reward
TURNS = {
    "a call": (GOOD, "call", (2,), "", 1.7),
    "after a thought": ("<think>the third.</think>" + GOOD, "call", (2,), "", 1.7),
    "ten characters behind it": (GOOD + "0123456789", "call", (2,), "", 1.7),
    "eleven behind it": (GOOD + "0123456789.", "answer", (), "", -1.0),
    "blank lines behind it": (GOOD + "\n" * 30, "call", (2,), "", 1.7),
    "a long text behind it": (GOOD + " So it must be \\boxed{B}.", "answer", (), "", 0.5),
    "a short box behind it": (GOOD + "\\boxed{A}", "call", (2,), "", 1.7),
    "an answer before it": ("\\boxed{A} " + GOOD, "call", (2,), "", 1.7),
    "inside the box": ("\\boxed{" + GOOD + "}", "call", (2,), "", 1.7),
    "inside the answer block": ("<answer>" + GOOD + "</answer>", "call", (2,), "", 1.7),
    "two calls": (select(3) + select(9), "call", (8,), "", 1.0),
    "a bad call, then a good one": (select(99) + GOOD, "call", (2,), "", 1.7),
    "a good call, then a bad one": (GOOD + select(99), "error", (), "frame 99 is not among 1 to 16", 0.5),
    "in a closed thought": ("<think>" + GOOD + " no need.</think>\\boxed{B}", "answer", (), "", 0.5),
    "in an open thought": ("<think>look: " + GOOD, "call", (2,), "", 1.7),
    "a misss": (select(9), "call", (8,), "", 1.0),
    "two frames, one gold": (select(3, 4), "call", (2, 3), "", 1.6),
    "three frames, one gold": (select(2, 3, 4), "call", (1, 2, 3), "", 1.0 + 0.2 / 3),
    # frames
    "any order": (select(4, 3), "call", (2, 3), "", 1.6),
    "one twice": (select(3, 3, 3), "call", (2,), "", 1.7),
    "eight": (select(*range(1, 9)), "call", tuple(range(8)), "", 1.025),
    "nine": (select(*range(1, 10)), "error", (), "9 frames are named, at most 8 can be", 0.5),
    "nine, of which two are one": (select(1, *range(1, 9)), "call", tuple(range(8)), "", 1.025),
    "beyond the last": (select(17), "error", (), "frame 17 is not among 1 to 16", 0.5),
    "one of two beyond the last": (select(3, 17), "error", (), "frame 17 is not among 1 to 16", 0.5),
    "zero": (select(0), "error", (), "frame 0 is not among 1 to 16", 0.5),
    "a negative one": (select(-1), "error", (), "frame -1 is not among 1 to 16", 0.5),
    "a string": (named('["3"]'), "error", (), WHOLE + '"3"', 0.5),
    "a float": (named("[3.0]"), "error", (), WHOLE + "3.0", 0.5),
    "a power of ten": (named("[1e0]"), "error", (), WHOLE + "1.0", 0.5),
    "a truth value": (named("[true]"), "error", (), WHOLE + "true", 0.5),
    "nothing": (named("[null]"), "error", (), WHOLE + "null", 0.5),
    "no number": (named("[NaN]"), "error", (), WHOLE + "NaN", 0.5),
    "a list in the list": (named("[[3]]"), "error", (), WHOLE + "[3]", 0.5),
    "no list": (named("3"), "error", (), "target_frames must be a list of frame numbers, found 3", 0.5),
    "an object": (named('{"3": 1}'), "error", (), 'target_frames must be a list of frame numbers, found {"3": 1}', 0.5),
    "an empty list": (named("[]"), "error", (), "no frame is named", 0.5),
    "4,000 digits": (named(f"[{'9' * 1800}]"), "error", (), f"frame {'9' * 24}... is not among 1 to 16", 0.5),
    "10,000 digits": (
        named(f"[{'9' * 10_000}]"),
        "error",
        (),
        "the tool call has 10061 characters, at most 2000 are read",
        0.5,
    ),
    # the call
    "single quotes": (call("{'name': 'select_frames'}"), "error", (), NO_JSON, 0.5),
    "a comma too many": (named("[3,]"), "error", (), NO_JSON, 0.5),
    "empty": (call(""), "error", (), NO_JSON, 0.5),
    "fullwidth digits": (named("[\uff13]"), "error", (), NO_JSON, 0.5),
    "a control character": (call('{"name": "select\x01frames"}'), "error", (), NO_JSON, 0.5),
    "a key twice": (call(NOT_OURS + '{"target_frames": [3], "target_frames": [9]}}'), "error", (), NO_JSON, 0.5),
    "deep nesting": (named("[" * 1900), "error", (), NO_JSON, 0.5),
    "text": (call('"select_frames"'), "error", (), 'the tool call is no object with "name" and "arguments"', 0.5),
    "no name": (call('{"arguments": {"target_frames": [3]}}'), "error", (), "the tool call is no object", 0.5),
    "another tool": (call('{"name": "crop", "arguments": {}}'), "error", (), 'unknown tool "crop", the only one', 0.5),
    "a name that is none": (call('{"name": ["select_frames"]}'), "error", (), 'unknown tool ["select_frames"]', 0.5),
    "no arguments": (call('{"name": "select_frames"}'), "error", (), NO_ARGUMENTS, 0.5),
    "arguments as text": (call(NOT_OURS + '"{\\"target_frames\\": [3]}"}'), "error", (), NO_ARGUMENTS, 0.5),
    "another argument": (call(NOT_OURS + '{"frames": [3]}}'), "error", (), NO_ARGUMENTS, 0.5),
    "an argument more": (call(NOT_OURS + '{"target_frames": [3], "why": "x"}}'), "call", (2,), "", 1.7),
    # tags
    "never closed": (GOOD.removesuffix("</tool_call>"), "answer", (), "", -1.0),
    "never opened": (GOOD.removeprefix("<tool_call>"), "error", (), UNOPENED, 0.5),
    "opened twice": ("<tool_call>" + GOOD, "call", (2,), "", 1.7),
    "closed twice": (GOOD + "</tool_call>", "error", (), UNOPENED, 0.5),
    "nested": ("<tool_call>" + GOOD + "</tool_call>", "error", (), UNOPENED, 0.5),
    "fullwidth brackets": (GOOD.replace("<", "\uff1c").replace(">", "\uff1e"), "answer", (), "", -1.0),
    "a zero-width character": (GOOD.replace("tool", "to" + ZERO_WIDTH + "ol"), "answer", (), "", -1.0),
    "a zero-width character in the name": (GOOD.replace("ct_f", "ct_" + ZERO_WIDTH + "f"), "error", (), "unknown", 0.5),
    "a Cyrillic o": (GOOD.replace("tool", "t\u043eol"), "answer", (), "", -1.0),
    "capitals": (GOOD.replace("tool_call", "TOOL_CALL"), "answer", (), "", -1.0),
    "blanks in the tag": (GOOD.replace("</tool_call>", "< /tool_call>"), "answer", (), "", -1.0),
    # answers
    "an answer": ("<think>a square.</think>\\boxed{B}", "answer", (), "", 0.5),
    "in small letters": ("\\boxed{b}", "answer", (), "", 0.5),
    "with its text": ("\\boxed{(B) a square}", "answer", (), "", 0.5),
    "an answer block": ("<answer>B</answer>", "answer", (), "", 0.5),
    "two boxes": ("\\boxed{A} is wrong. Rather this one: \\boxed{B}", "answer", (), "", 0.5),
    "two boxes, the last wrong": ("\\boxed{B} at first. Now I see that it is \\boxed{A}", "answer", (), "", -1.0),
    "text behind the box": ("\\boxed{B} because A and C are round.", "answer", (), "", 0.5),
    "a hedge": ("\\boxed{A} or \\boxed{B}", "answer", (), "", -1.0),
    "no answer": ("<think>hm.</think>", "answer", (), "", -1.0),
    "nothing at all": ("", "answer", (), "", -1.0),
}


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Codec:
    return games.make_codec(tmp_path_factory.mktemp("earl"))


@pytest.mark.parametrize("name", TURNS)
def test_what_a_turn_is_and_earns(codec: Codec, name: str) -> None:
    turn, kind, selected, error, reward = TURNS[name]
    read = calls.read_turn(turn, 16, 8)
    assert (read.kind, read.selected) == (kind, selected)
    assert read.error.startswith(error) and bool(read.error) == bool(error)
    sample = games.question(codec.media_root)
    rollout, _ = games.heard(games.tool(codec), sample, [turn, "\\boxed{B}"])
    assert rewards.purity(rollout, sample, progress=0.25, options={}).reward == pytest.approx(reward)


# Around the third frame come the clip's frames 6 to 13; 8 to 12 are within half a second of the gold time, 2.5 s.
# name: turns, why the rollout ended, kinds told, reward
GAMES = {
    "never stops": (["so " * 500], Stop.LENGTH, [], -1.0),
    "never stops after a pure selection": ([GOOD, "so " * 500], Stop.LENGTH, ["call"], -0.3),
    "cut right behind an answer": (["\\boxed{B} " * 9], Stop.LENGTH, [], -1.0),
    "cut in a call": ([GOOD[:30]], Stop.LENGTH, [], -1.0),
    "two pure selections": ([GOOD, select(3, 4, 5, 6, 7), "\\boxed{B}"], Stop.EOS, ["call", "call"], 1.7),
    "the second half pure": ([GOOD, select(3), "\\boxed{B}"], Stop.EOS, ["call", "call"], 1.62),  # IoU (1 + 0.2) / 2
    "the second misses": ([GOOD, select(1), "\\boxed{B}"], Stop.EOS, ["call", "call"], 1.6),
    "no gold left in the second": ([select(9), select(1), "\\boxed{B}"], Stop.EOS, ["call", "call"], 1.0),
    "the grid is gone": ([GOOD, select(16), "\\boxed{B}"], Stop.EOS, ["call", "error"], 1.7),
    "a failed call, then a good one": ([select(17), GOOD, "\\boxed{B}"], Stop.EOS, ["error", "call"], 1.7),
    "two failed calls": ([select(17), "</tool_call>", "\\boxed{B}"], Stop.EOS, ["error", "error"], 0.5),
    "a third call": ([GOOD, GOOD, GOOD], Stop.ENVIRONMENT, ["call", "call", "error"], -1.0 + 0.5 + 0.2 * 0.6),
    "a third call behind an answer": (
        [GOOD, GOOD, "\\boxed{B}" + GOOD],
        Stop.ENVIRONMENT,
        ["call"] * 2 + ["error"],
        -0.38,
    ),
    "a wrong answer on pure evidence": ([GOOD, "\\boxed{A}"], Stop.EOS, ["call"], -0.3),
    "an answer in an early turn does not count": (["\\boxed{B}" + GOOD, "I do not know."], Stop.EOS, ["call"], -0.3),
}


@pytest.mark.parametrize("name", GAMES)
def test_what_a_game_earns(codec: Codec, name: str) -> None:
    turns, stop, kinds, reward = GAMES[name]
    sample = games.question(codec.media_root)
    rollout, _ = games.heard(games.tool(codec), sample, turns, stop)
    assert [turn["kind"] for turn in rollout.extras["turns"] if turn] == kinds
    assert rollout.extras["said"] == turns
    assert rewards.purity(rollout, sample, progress=0.25, options={}).reward == pytest.approx(reward)


@pytest.mark.parametrize("text", ["<tool_call>" * 400_000, "</tool_call>" * 400_000, "{" * 5_000_000, "[" * 9 + GOOD])
def test_reading_a_turn_takes_no_time(text: str) -> None:
    begun = time.perf_counter()
    calls.read_turn(text + "</tool_call>", 16, 8)
    assert time.perf_counter() - begun < 0.5


def test_a_written_call_is_read_back() -> None:
    assert calls.read_turn(calls.write_call([2, 8]), 16, 8) == calls.Turn(calls.Kind.CALL, (2, 8))
