"""Published scorers of moments and of grounded answers, on answers worked out by hand or returned by the originals."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmreason.errors import UserError
from mmreason.records import Answer, AnswerKind, MediaRef, Message, Role, Sample, Source
from mmreason.suites.reference import grounding, nextgqa, qvhighlights, rextime
from mmreason.suites.reference.spans import clipped, grounded, raw_windows, said_windows
from mmreason.suites.references import Reference, Scored


def moment(*windows: list[float], name: str = "s", **metadata: Any) -> Sample:
    """A question for these seconds."""
    evidence = metadata.pop("evidence", {})
    return Sample(
        id=name,
        source=Source("d", "t", "l", name),
        messages=(Message.of(Role.USER, "q"),),
        answer=Answer(AnswerKind.INTERVAL, json.dumps(windows)),
        media=(MediaRef("", "video", f"clips/{name}.mp4", 0),),
        evidence=evidence,
        metadata={"question": "q", "duration": 30.0, **metadata},
    )


def grounded_choice(gold: str, *windows: list[float], name: str = "s") -> Sample:
    """A choice that these seconds show."""
    options = {"A": "one", "B": "two", "C": "three", "D": "four", "E": "five"}
    sample = moment(*windows, name=name, evidence={"windows": list(windows)}, type="CW")
    return Sample(
        sample.id, sample.source, sample.messages, Answer(AnswerKind.CHOICE, gold, options), sample.media,
        sample.evidence, metadata=sample.metadata,
    )  # fmt: skip


def values(one: Reference, outputs: list[str | None], samples: list[Sample]) -> list[float | None]:
    return [scored.value for scored in one.run(outputs, samples)]


# (answer, the window that Temporal-R1's evaluation reads, and lmms-eval's)
WINDOWS = [
    ("The event happens in the 2.5 - 7.0 seconds.", (2.5, 7.0), (2.5, 7.0)),
    ("from 3 to 7", (3.0, 7.0), (3.0, 7.0)),
    ("7 - 3", (3.0, 7.0), (3.0, 7.0)),
    ("It starts at 3 seconds and ends at 7 seconds.", None, None),
    ("start time: 3\nend time: 7", (3.0, 7.0), (3.0, 7.0)),
    ("00:00:03 - 00:00:07", (0.0, 3.0), (3.0, 7.0)),
    ("starts at 00:00:03\nends at 00:00:07", (0.0, 0.0), (3.0, 7.0)),
    ("it happens at 3s - 7s", None, (3.0, 7.0)),
    ("3\u20137 s", None, (3.0, 7.0)),
    ("<think>maybe 1 - 2</think><answer>3 - 7</answer>", (1.0, 2.0), (1.0, 2.0)),
    ("tomorrow 4 - 5", (4.0, 5.0), (4.0, 5.0)),
    ("[3, 7]", None, None),
    ("nothing", None, None),
    ("", None, None),
]


@pytest.mark.parametrize(("output", "temporal_r1", "lmms"), WINDOWS)
def test_windows_as_the_public_scorers_read_them(output: str, temporal_r1: Any, lmms: Any) -> None:
    assert grounding.temporal_r1_window(output) == temporal_r1
    assert grounding.lmms_window(output) == lmms


# (answer, tIoU of the reward with gold 2 to 6 of 30 seconds)
REWARDS = [
    ('<think>t</think><answer>{"start_time": "2.0", "end_time": "6.0"}</answer>', 1.0),
    ('<answer>{"start_time": 2, "end_time": 4}</answer>', 0.5),
    ('<answer>{"start_time": "6.0", "end_time": "2.0"}</answer>', 0.0),
    ('<answer>{"start_time": "2.0s", "end_time": "6.0"}</answer>', 0.0),
    ('<answer>{"start_time": "2.0"}</answer>', 0.0),
    ("<answer>2 - 6</answer>", 0.0),
    ('{"start_time": "2.0", "end_time": "6.0"}', 0.0),
    ('<answer>{"start_time": "2", "end_time": "32"}</answer>', 4 / 30),
    ('<answer>["2", "6"]</answer>', 0.0),
]


@pytest.mark.parametrize(("output", "expected"), REWARDS)
def test_the_reward_of_temporal_r1(output: str, expected: float) -> None:
    assert values(grounding.temporal_r1_json, [output], [moment([2.0, 6.0])]) == [pytest.approx(expected)]


def test_public_scorers_count_a_question_released_twice_once() -> None:
    samples = [moment([2.0, 6.0], name="a"), moment([2.0, 6.0], name="a"), moment([0.0, 10.0], name="b")]
    outputs: list[str | None] = ["2 - 6", "2 - 4", None]
    assert grounding.temporal_r1.total(grounding.temporal_r1.run(outputs, samples)) == {
        "mIoU": 0.25, "R1@0.3": 0.5, "R1@0.5": 0.5, "R1@0.7": 0.0
    }  # fmt: skip


def test_strict_moments_count_every_question_and_cut_to_the_video() -> None:
    samples = [moment([20.0, 30.0], name=name) for name in "abcde"]
    outputs = ["[[20, 40]]", "[[20, 30]]", "[[20, 22], [28, 30]]", "no idea", None]
    answers = [f"<answer>\\boxed{{{one}}}</answer>" if one else None for one in outputs]
    scored = [
        Scored(sample, text, value)
        for sample, text, value in zip(samples, answers, [0.5, 1.0, 0.4, 0.0, 0.0], strict=True)
    ]
    numbers = grounding.moments(scored)
    assert numbers["mIoU"] == pytest.approx((0.5 + 1.0) / 5) and numbers["R1@0.5"] == 0.4 and numbers["R1@0.7"] == 0.2
    assert numbers["mIoU clipped"] == pytest.approx(2.0 / 5) and numbers["R1@0.7 clipped"] == 0.4
    assert numbers["without_window"] == 0.4 and numbers["beyond_end"] == 0.2


def test_windows_in_answers() -> None:
    both = grounded("B", [[3.0, 7.5]])
    assert both == "<answer><time>[[3.0, 7.5]]</time>\\boxed{B}</answer>" and said_windows(both) == [(3.0, 7.5)]
    assert said_windows("<think><time>[1, 2]</time></think><answer><time>3 to 7</time>B</answer>") == [(3.0, 7.0)]
    assert said_windows(grounded("B", [])) is None and said_windows(None) is None
    assert said_windows(grounded("", [[7, 3]])) is None and raw_windows(grounded("", [[7, 3]])) == [(7.0, 3.0)]
    assert clipped([(-2.0, 5.0), (29.0, 40.0), (31.0, 33.0)], moment([0.0, 1.0])) == [(0.0, 5.0), (29.0, 30.0)]


def test_nextgqa_leaves_ungrounded_questions_out_and_strictly_they_stay() -> None:
    samples = [grounded_choice("B", [2.0, 6.0], [10.0, 14.0], name=name) for name in "abcd"]
    outputs = [grounded("B", [[10, 18]]), grounded("B", []), grounded("A", [[2, 6]]), grounded("B", [[3, 3]])]
    scored = nextgqa.official.run(list(outputs), samples)
    assert [one.value for one in scored] == [1.0, 1.0, 0.0, 1.0]
    official = nextgqa.official.total(scored)
    # a window of no length inside the gold counts as wholly inside, with an IoU of 0
    assert official["Acc@GQA"] == pytest.approx(2 / 3) and official["mIoP"] == pytest.approx((0.5 + 1 + 1) / 3)
    assert official["mIoU"] == pytest.approx((0.5 + 1 + 0) / 3) and official["Acc@QA"] == 0.75
    strict = nextgqa.table(scored)
    assert strict["Acc@GQA"] == 0.25 and strict["mIoP"] == pytest.approx(1.5 / 4)


def test_nextgqa_overlaps_of_the_original() -> None:
    assert nextgqa.official_overlap((2.0, 6.0), (4.0, 8.0)) == (pytest.approx(1 / 3), 0.5)
    assert nextgqa.official_overlap((2.0, 6.0), (8.0, 9.0)) == (pytest.approx(-2 / 7), -2.0)
    assert nextgqa.official_overlap((2.0, 6.0), (5.0, 3.0)) == (-0.5, 0.0)  # reversed
    assert nextgqa.best([(2.0, 6.0), (8.0, 9.0)], (10.0, 11.0)) == (0.0, 0.0)


def test_nextgqa_files(tmp_path: Path) -> None:
    samples = [grounded_choice("B", [2.0, 6.0], name="v_1"), grounded_choice("A", [2.0, 6.0], name="v_2")]
    (tmp_path / "test-res.json").write_text(
        '{"v_1": {"prediction": 1, "answer": 1}, "v_2": {"prediction": 4, "answer": 0}}'
    )
    (tmp_path / "test_ground.json").write_text('{"v_1": [2.0, 5.5]}')
    found = nextgqa.grounds(tmp_path / "test_ground.json", samples)
    assert found == {"v_1": [grounded("B", [[2.0, 5.5]])], "v_2": ["<answer>\\boxed{E}</answer>"]}
    (tmp_path / "one.json").write_text('{"v_1": {"prediction": 1, "answer": 1, "location": [2.0, 3.1, 5.5]}}')
    assert nextgqa.located(tmp_path / "one.json", samples) == {"v_1": [grounded("B", [[2.0, 5.5]])]}
    (tmp_path / "one.json").write_text('{"v_1": {"prediction": 9, "answer": 1, "location": [2.0, 5.5]}}')
    with pytest.raises(UserError, match="prediction is 9, expected an index from 0 to 4"):
        nextgqa.located(tmp_path / "one.json", samples)


def test_rextime_figures_and_file(tmp_path: Path) -> None:
    samples = [grounded_choice("A", [0.0, 10.0], name=name) for name in ("anet_val1", "qvh_val2", "qvh_val3")]
    rows = [
        {"qid": "anet_val1", "pred_relevant_windows": [[0.0, 5.0], [5.0, 10.0]], "ans": "A"},
        {"qid": "qvh_val2", "pred_relevant_windows": [[10.0, 0.0]], "ans": "A"},
        {"qid": "qvh_val3", "ans": "B"},
    ]
    path = tmp_path / "submission.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = rextime.submission(path, samples)
    scored = rextime.official.run([found[sample.id][0] for sample in samples], samples)
    numbers = rextime.official.total(scored)
    assert numbers["VQA"] == pytest.approx(2 / 3) and numbers["mIoU"] == pytest.approx(0.5 / 3)
    assert numbers["VQA,mIoU@0.5"] == pytest.approx(1 / 3) and numbers["R1@0.7"] == 0.0


def test_average_precision_of_qvhighlights_by_hand() -> None:
    gold = np.array([[0.0, 10.0], [20.0, 30.0]])
    said = np.array([[0.0, 10.0, 0.9], [0.0, 9.0, 0.8], [20.0, 26.0, 0.7]])
    # At 0.5 hits are 1, 0, 1: the envelope is 1 up to recall 1/2, then 2/3. From 0.65 on the last window misses.
    found = qvhighlights.average_precision(said, gold)
    assert found[0] == pytest.approx(0.5 + 0.5 * 2 / 3) and found[2] == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert found[3] == pytest.approx(0.5) and found[-1] == pytest.approx(0.5)


def test_clip_precision_merges_equal_scores() -> None:
    truth = np.array([1.0, 0.0, 1.0, 0.0])
    assert qvhighlights.clip_precision(truth, np.array([0.9, 0.1, 0.8, 0.2])) == 1.0
    # Equal scores are one step: precision 1 at recall 1/2, then 1/2 at recall 1.
    assert qvhighlights.clip_precision(truth, np.array([0.9, 0.5, 0.5, 0.5])) == pytest.approx(0.75)
    assert qvhighlights.clip_precision(np.ones(3), np.zeros(3)) == 1.0
    assert qvhighlights.clip_precision(np.zeros(3), np.ones(3)) == 0.0


def _highlight(name: str, *windows: list[float]) -> Sample:
    ratings = {"relevant_clip_ids": [0, 1, 5], "saliency_scores": [[4, 4, 4], [2, 3, 1], [0, 2, 4]]}
    return moment(*windows, name=name, evidence=ratings, duration=20.0)


def test_qvhighlights_submission_and_table(tmp_path: Path) -> None:
    samples = [_highlight("7", [0.0, 4.0], [10.0, 12.0]), _highlight("8", [10.0, 12.0])]
    rows = [
        {
            "qid": 7,
            "pred_relevant_windows": [[0, 4, 0.5], [10, 12, 0.9]],
            "pred_saliency_scores": [9, 8, 0, 0, 0, 7, 0, 0, 0, 0],
        },
        {"qid": 8, "pred_relevant_windows": [[0, 3, 0.9]], "pred_saliency_scores": [0.0] * 9 + [1.0]},
    ]
    path = tmp_path / "submission.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = qvhighlights.submission(path, samples)
    assert said_windows(found["7"][0]) == [(0.0, 4.0)]
    scored = qvhighlights.official.run([found[sample.id][0] for sample in samples], samples)
    numbers = qvhighlights.official.total(scored)
    assert numbers["MR-full-R1@0.5"] == 0.5 and numbers["MR-full-mAP"] == 0.5
    assert numbers["HL-min-VeryGood-Hit1"] == 0.5 and numbers["MR-long-mAP"] == 0.0
    assert qvhighlights.table([Scored(samples[0], None, None)])["MR-full-mAP"] == 0.0


def test_broken_rankings_are_no_rankings(tmp_path: Path) -> None:
    for output in ("<ranked>no</ranked>", "<ranked>{}</ranked>", '<ranked>{"pred_relevant_windows": [[1]]}</ranked>'):
        assert qvhighlights.ranking(output) is None
    path = tmp_path / "submission.jsonl"
    path.write_text('{"qid": 7, "pred_relevant_windows": [[0, 4]]}\n')
    with pytest.raises(
        UserError, match=r"line 1: pred_relevant_windows is \[\[0, 4\]\], expected a list of \[start, end, score"
    ):
        qvhighlights.submission(path, [_highlight("7", [0.0, 4.0])])


LONG = [
    "1" * 200_000,
    "1 " * 100_000,
    "<answer>" * 40_000,
    "<time>" * 40_000,
    " " * 200_000 + "x",
    "1" + " " * 200_000,
    "1." * 100_000,
]


@pytest.mark.parametrize("output", LONG, ids=range(len(LONG)))
def test_long_answers_are_read_in_linear_time(output: str) -> None:
    sample = moment([2.0, 6.0])
    for one in (grounding.temporal_r1, grounding.lmms_eval, grounding.temporal_r1_json, qvhighlights.official):
        assert one.score(output, sample, random.Random(0)) == 0.0
    assert nextgqa.table([Scored(grounded_choice("B", [2.0, 6.0]), output, 0.0)])["Acc@QA"] == 0.0


def test_windows_of_a_model_count_in_the_order_given() -> None:
    sample = _highlight("7", [0.0, 4.0])
    scored = qvhighlights.official.run(["<answer>\\boxed{[[10, 12], [0, 4]]}</answer>"], [sample])
    numbers = qvhighlights.official.total(scored)
    assert numbers["MR-full-R1@0.5"] == 0.0 and numbers["MR-full-mAP"] == 0.5
    assert not any(name.startswith("HL") for name in numbers)


def test_charades_submission(tmp_path: Path) -> None:
    samples = [moment([2.0, 6.0], name="AAAAA"), moment([2.0, 6.0], name="BBBBB")]
    path = tmp_path / "s.json"
    path.write_text(json.dumps({"AAAAA.mp4>>>q>>>[2.0, 6.0]": "2 - 6", "BBBBB.mp4>>>q>>>(2.0, 6.0)": "none"}))
    assert grounding.submission(path, samples) == {"AAAAA": ["2 - 6"], "BBBBB": ["none"]}
    path.write_text(json.dumps({"CCCCC.mp4>>>q>>>[2.0, 6.0]": "2 - 6"}))
    assert list(grounding.submission(path, samples)) == ["CCCCC.mp4>>>q>>>[2.0, 6.0]"]


def test_random_fall_backs_are_none_here() -> None:
    """Every rule here ignores its generator: an unread answer earns nothing."""
    sample = moment([2.0, 6.0])
    for one in (grounding.temporal_r1, grounding.lmms_eval, grounding.temporal_r1_json, qvhighlights.official):
        assert one.score("no idea", sample, random.Random(0)) == 0.0
