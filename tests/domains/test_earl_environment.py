"""EARL's environment: what is shown after which call, what is kept of it, controls, and a game with a real engine."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmreason.errors import UserError
from mmreason.models.codec import Codec
from mmreason.models.medium import Medium
from mmreason.project import load_module, project_dir
from mmreason.records import SegmentKind, Stop
from mmreason.rollout.environment import Setting, load_environment
from mmreason.rollout.replay import replay

games = load_module(Path(__file__).parent / "earl_games.py")
select, heard, tool = games.select, games.heard, games.tool

ANSWER = "\\boxed{B}"
DEMAND = "\nNo more frames can be selected. Give the final answer in \\boxed{} now."


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Codec:
    return games.make_codec(tmp_path_factory.mktemp("earl"))


def texts(reply: Any) -> list[str]:
    """The reply's parts, with "#" for a picture."""
    return [part if isinstance(part, str) else "#" for part in reply.parts]


def told(codec: Codec, *turns: str, gold: Any = (2.5,), **options: Any) -> list[dict[str, Any]]:
    rollout, _ = heard(tool(codec, **options), games.question(codec.media_root, gold=gold), [*turns, ANSWER])
    return rollout.extras["turns"]


def test_a_selection_shows_frames_around_it_numbered_anew(codec: Codec) -> None:
    """Grid frames 2, 6, 10, ... of 64: the third's neighbours are at 1.5 and 3.5 s, eight parts of 0.25 s between."""
    game, sample = tool(codec), games.question(codec.media_root)
    _, (reply, end) = heard(game, sample, [select(3), ANSWER])
    assert end is None and not reply.done
    assert texts(reply) == ["\nFrames 1 to 8 around the selected ones, 56 x 56 pixels each:\n"] + [
        text for number in range(1, 9) for text in (f"{number} ", "#")
    ]
    shown = [part for part in reply.parts if isinstance(part, Medium)]
    assert shown == codec.frames(sample.media[0], range(6, 14))
    assert reply.info == {
        "kind": "call",
        "error": "",
        "shown": {"frames": list(range(2, 64, 4)), "seconds": [place + 0.5 for place in range(16)]},
        "selected": [2],
        "gold": [2],
        "iou": 1.0,
        "refined": {
            "frames": [6, 7, 8, 9, 10, 11, 12, 13],
            "seconds": [1.5, 1.75, 2.0, 2.25, 2.5, 2.75, 3.0, 3.25],
            "intervals": [[1.5, 3.5]],
            "tokens": 32,
        },
    }
    assert json.loads(json.dumps(reply.info)) == reply.info


def test_the_second_round_goes_by_the_frames_of_the_first_and_demands_the_answer(codec: Codec) -> None:
    """Frames 6 to 13 are shown; 1.75 to 2.25 s lie around the third, and hold three frames."""
    game, sample = tool(codec), games.question(codec.media_root)
    rollout, (_, reply, _) = heard(game, sample, [select(3), select(3), ANSWER])
    assert reply.info["shown"]["frames"] == [6, 7, 8, 9, 10, 11, 12, 13]
    assert reply.info["refined"]["frames"] == [7, 8, 9]
    assert reply.info["gold"] == [2, 3, 4, 5, 6] and reply.info["iou"] == 0.2  # 2.0 to 3.0 s, half a second round 2.5
    assert texts(reply)[-1] == DEMAND and texts(reply)[1:3] == ["1 ", "#"]
    assert rollout.extras["turns"][2] == {}


def test_captions_are_the_clips_unless_the_settings_state_one(codec: Codec) -> None:
    sample = games.question(codec.media_root)
    _, (reply, _) = heard(tool(codec, caption="at {seconds:.2f}: "), sample, [select(3), ANSWER])
    assert texts(reply)[1] == "at 1.50: "
    as_video = replace(sample, media=(replace(sample.media[0], caption=""),))
    _, (reply, _) = heard(tool(codec, caption=""), as_video, [select(3), ANSWER])
    assert texts(reply)[3] == "Frame 2 (1.8 s): "


def test_texts_may_be_bare(codec: Codec) -> None:
    game = tool(codec, intro="", demand="answer .", max_rounds=1)
    _, (reply, _) = heard(game, games.question(codec.media_root), [select(3), ANSWER])
    assert texts(reply)[0] == "1 " and texts(reply)[-1] == "answer ."


def test_an_error_says_why_and_counts(codec: Codec) -> None:
    game, sample = tool(codec), games.question(codec.media_root)
    _, (first, second, third) = heard(game, sample, [select(17), select(17), select(3)])
    assert texts(first) == ["\nExecution error: frame 17 is not among 1 to 16\n"]
    assert texts(second) == [*texts(first), DEMAND]
    assert third.done and third.info["error"] == "no call is left"
    assert first.info["gold"] is None and first.info["refined"] is None


def test_selections_without_labels_have_no_iou(codec: Codec) -> None:
    (turn, _) = told(codec, select(3), gold=None)
    assert turn["gold"] is None and turn["iou"] is None and turn["refined"]["frames"]


def test_a_round_that_shows_no_gold_has_no_iou(codec: Codec) -> None:
    first, second, _ = told(codec, select(10), select(1))
    assert (first["gold"], first["iou"]) == ([2], 0.0)
    assert (second["gold"], second["iou"]) == (None, None)


def test_gold_of_another_grid_is_found_on_this_one(codec: Codec) -> None:
    """2.25 and 2.75 s of a grid of 32 are both the third frame of 16."""
    (turn, _) = told(codec, select(3), gold=[2.25, 2.75, 7.75])
    assert turn["gold"] == [2, 7] and turn["iou"] == 0.5


def test_shuffled_gold_keeps_number_and_distance(codec: Codec) -> None:
    (plain, _), (moved, _) = (told(codec, select(3), gold=[2.5, 3.5, 7.5], shuffled_gold=on) for on in (False, True))
    assert plain["gold"] == [2, 3, 7]
    step = (moved["gold"][0] - 2) % 16
    steps = {step for step in range(16) if sorted((place + step) % 16 for place in (2, 3, 7)) == moved["gold"]}
    assert len(steps) == 1 and steps != {0}, step


def test_no_resampling_returns_the_selected_frames(codec: Codec) -> None:
    first, second, _ = told(codec, select(3, 9), select(2), control="no_resampling")
    assert first["refined"] == {"frames": [10, 34], "seconds": [2.5, 8.5], "intervals": [], "tokens": 8}
    assert second["shown"]["frames"] == [10, 34] and second["refined"]["frames"] == [34]
    assert second["gold"] == [0]


def test_random_selection_is_of_equal_size_and_by_sample_and_turn(codec: Codec) -> None:
    runs = [told(codec, select(3, 4, 5), select(1, 2), control="random_selection") for _ in range(2)]
    assert runs[0] == runs[1]
    first, second, _ = runs[0]
    assert len(first["selected"]) == 3 and len(second["selected"]) == 2
    assert first["selected"] != [2, 3, 4] and first["named"] == [2, 3, 4]
    other = replace(games.question(codec.media_root), id="q8")
    rollout, _ = heard(tool(codec, control="random_selection"), other, [select(3, 4, 5), ANSWER])
    assert rollout.extras["turns"][0]["selected"] != first["selected"]


def test_an_oracle_selects_the_gold_frames_and_at_most_as_many_as_a_call_may(codec: Codec) -> None:
    (turn, _) = told(codec, select(16), control="oracle")
    assert turn["selected"] == [2] and turn["iou"] == 1.0 and turn["named"] == [15]
    many = [place + 0.5 for place in range(10)]
    (turn, _) = told(codec, select(16), gold=many, control="oracle")
    assert turn["selected"] == [0, 1, 3, 4, 5, 6, 8, 9]
    (turn, _) = told(codec, select(16), gold=None, control="oracle")
    assert turn["selected"] == [15]


@pytest.mark.parametrize("options", [{"control": "no_tool"}, {"max_rounds": 0}])
def test_without_a_tool_a_call_is_answered_by_the_demand_alone(codec: Codec, options: dict[str, Any]) -> None:
    game, sample = tool(codec, **options), games.question(codec.media_root)
    rollout, replies = heard(game, sample, [select(3), select(3), ANSWER])
    assert texts(replies[0]) == [DEMAND] and replies[1].done
    assert [turn["kind"] for turn in rollout.extras["turns"]] == ["error", "error"]


def test_edges_of_a_second_round(codec: Codec) -> None:
    """The first of the refined frames reaches to the clip's beginning, or only as far as it was sampled from."""
    spans = [told(codec, select(6), select(1), edges=edges)[1]["refined"]["intervals"] for edges in ("clip", "seen")]
    assert spans == [[[0.0, 4.75]], [[4.5, 4.75]]]


def test_a_window_of_a_clip_ends_the_outer_intervals(codec: Codec) -> None:
    sample = games.question(codec.media_root, gold=[5.25])
    part = replace(sample, media=(replace(sample.media[0], start=4.0, end=12.0),))
    rollout, _ = heard(tool(codec), part, [select(1), ANSWER])
    turn = rollout.extras["turns"][0]
    assert turn["shown"]["seconds"][0] == 4.25 and turn["refined"]["intervals"] == [[4.0, 4.75]]


def test_a_clip_of_one_frame(codec: Codec) -> None:
    """The grid is that frame, and a selection brings it back."""
    sample = games.question(codec.media_root, grid=1)
    rollout, _ = heard(tool(codec, grid=1), sample, [select(1), ANSWER])
    turn = rollout.extras["turns"][0]
    assert len(turn["shown"]["frames"]) == 1 and len(turn["refined"]["frames"]) == 8


BAD = [
    ({"media": ()}, "sample q7 has no clip"),
    ({"evidence": {"gold_times": []}}, "sample q7: gold_times are \\[\\], expected a list of seconds"),
    ({"evidence": {"gold_times": ["2.5"]}}, "sample q7: gold_times are"),
]


@pytest.mark.parametrize(("changes", "line"), BAD)
def test_samples_that_cannot_be_played(codec: Codec, changes: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError, match=line):
        heard(tool(codec), replace(games.question(codec.media_root), **changes), [select(3)])


def test_another_grid_than_the_settings_is_refused(codec: Codec) -> None:
    with pytest.raises(UserError, match=r"q7 shows its clip by 'centres:8', options\.earl\.grid expects 'centres:16'"):
        heard(tool(codec), games.question(codec.media_root, grid=8), [select(3)])


def test_a_trace_is_replayed_as_the_rollout_that_says_it(codec: Codec) -> None:
    """Through the real game: ids, segments, pictures, and the notes of each turn."""
    setting = Setting({"earl": games.GAME}, codec)
    game = load_environment("earl/environment.py:frames", project_dir() / "domains" / "video", setting)
    sample = games.question(codec.media_root)
    rollout = replay(codec, sample, codec.encode(sample), game, [select(3), select(2, 3), ANSWER], max_turns=3)
    assert rollout.stop is Stop.EOS and rollout.extras["said"] == [select(3), select(2, 3), ANSWER]
    # 1.5 to 2.25 s are around the second and third of the frames of the first round
    assert [turn.get("refined", {}).get("frames") for turn in rollout.extras["turns"]] == [
        [*range(6, 14)],
        [*range(6, 10)],
        None,
    ]
    assert len(rollout.media) == 12
    kinds = [piece.kind for piece in rollout.segments]
    assert kinds == [SegmentKind.MODEL, SegmentKind.TOOL] * 2 + [SegmentKind.MODEL]
    terms = games.rewards.purity(rollout, sample, progress=0.2, options={"earl": games.GAME})
    assert terms.parts["iou"] == pytest.approx((1 + 1 / 6) / 2) and terms.parts["frames"] == 16 + 12
