"""The sample: prompt and response, and dictionaries that come back as the same record."""

from __future__ import annotations

import json

import pytest

from mmreason.records import Answer, AnswerKind, MediaRef, Message, Outcome, Part, Role, Sample, Source, Unread, Verdict

RICH = Sample(
    id="r-1",
    source=Source("finqa", "train", "MIT", "17", document="AAPL/2019/page_3"),
    messages=(
        Message.of(Role.SYSTEM, "只回答数字。"),
        Message.of(Role.USER, "Which bar is higher?", images=2),
        Message.of(Role.ASSISTANT, "<answer>B</answer>"),
    ),
    answer=Answer(
        AnswerKind.CHOICE,
        "AB",
        options={"A": "left", "B": "right"},
        multi=True,
        aliases={"yes": ["true", "是"]},
        lang="zh",
    ),
    media=(MediaRef("a" * 64, "image", "p/1.png", 12, 3136, 12544), MediaRef("b" * 64, "video", "v.mp4", 0)),
    evidence={"table": [["year", "2019"], ["net", "5"]], "program": "add(1, 2)"},
    difficulty=0.25,
    metadata={"pipeline": "finqa", "attempts": 2},
)


def test_there_and_back_through_json() -> None:
    assert Sample.from_dict(json.loads(json.dumps(RICH.to_dict()))) == RICH


def test_prompt_response_and_question() -> None:
    assert RICH.response == "<answer>B</answer>"
    assert RICH.prompt == RICH.messages[:2]
    assert RICH.question == "Which bar is higher?"
    bare = RICH.without_response()
    assert bare.response is None
    assert bare.prompt == bare.messages == RICH.messages[:2]
    assert bare.with_response("<answer>B</answer>").messages == RICH.messages


def test_a_new_response_replaces_the_old_one() -> None:
    assert RICH.with_response("x").with_response("y").messages == (*RICH.prompt, Message.of(Role.ASSISTANT, "y"))


def test_metadata_are_added_to_a_copy() -> None:
    made = RICH.with_meta(attempts=3, teacher="solver")
    assert made.metadata == {"pipeline": "finqa", "attempts": 3, "teacher": "solver"}
    assert RICH.metadata["attempts"] == 2


def test_pictures_come_before_the_text() -> None:
    assert Message.of(Role.USER, "?", images=1).parts == (Part("image", media=0), Part("text", "?"))


@pytest.mark.parametrize("key", ["kind", "role"])
def test_foreign_words_are_refused(key: str) -> None:
    row = json.loads(json.dumps(RICH.to_dict()))
    (row["answer"] if key == "kind" else row["messages"][0])[key] = "riddle"
    with pytest.raises(ValueError, match="riddle"):
        Sample.from_dict(row)


def test_verdicts() -> None:
    assert Verdict.right("3", "equal").score == 1.0
    assert Verdict.wrong("4", "other").score == 0.0
    assert Verdict.of(True, "3", "").outcome is Outcome.RIGHT
    unread = Verdict.no_read(Unread.TIMEOUT, "slow")
    assert (unread.score, unread.outcome, unread.unread) == (0.0, Outcome.UNREAD, Unread.TIMEOUT)
