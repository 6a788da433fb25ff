from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from chat_server import completion, say, send_json, serve
from making import choice, endpoint, sample

from mmreason.config.recipe import Endpoint
from mmreason.data.endpoint import Chat
from mmreason.data.judge import JUDGE_TRIES, endpoint_judge, judge_locally, parse_object
from mmreason.records import AnswerKind

WANTED = {"answer_match": bool, "reasoning_consistent": bool}
AGREE = '{"answer_match": true, "reasoning_consistent": true, "why": "ok"}'


def response(answer: str, think: str = "so it is") -> str:
    return f"<think>{think}</think><answer>\\boxed{{{answer}}}</answer>"


PARSE_CASES = [
    (AGREE, True, "as asked"),
    (f"```json\n{AGREE}\n```", True, "fenced"),
    (f"Let me see {{x}}. Verdict: {AGREE} done", True, "text and a stray brace around it"),
    ('{"answer_match": "true", "reasoning_consistent": true}', None, "a string is not a boolean"),
    ('{"answer_match": 1, "reasoning_consistent": 1}', None, "a number is not a boolean"),
    ('{"answer_match": true}', None, "half a verdict"),
    ("\\boxed{1}", None, "the released counter's form"),
    ("I agree, both are true.", None, "prose"),
    ("", None, "nothing"),
    ('{"answer_match": true, "reasoning_consistent": tr', None, "cut"),
]


@pytest.mark.parametrize(("text", "expected", "origin"), PARSE_CASES)
def test_parse_object(text: str, expected: bool | None, origin: str) -> None:
    found = parse_object(text, WANTED)
    assert (found["answer_match"] if found else None) is expected, origin


def test_the_last_verdict_counts() -> None:
    no = AGREE.replace("true", "false")
    assert parse_object(f"{AGREE} wait, no: {no}", WANTED) == {
        "answer_match": False,
        "reasoning_consistent": False,
        "why": "ok",
    }


LOCAL_CASES = [
    (response("12"), True, "right"),
    (response("13"), False, "wrong"),
    ("\\boxed{12}", False, "right without the form"),
    (response("12", think=""), False, "right without a chain"),
    ("<think>cut", False, "cut"),
]


@pytest.mark.parametrize(("text", "expected", "origin"), LOCAL_CASES)
def test_local_judge(text: str, expected: bool, origin: str) -> None:
    assert judge_locally(sample(), text).accepted is expected, origin


def test_local_judge_executes_the_gold_program() -> None:
    table = [["", "2017", "2016"], ["revenue", "112", "100"]]
    good = sample(evidence={"program": "subtract(112, 100)", "table": table})
    bad = sample(evidence={"program": "subtract(112, 90)", "table": table})
    broken = sample(evidence={"program": "subtrct(112, 100)", "table": table})
    assert judge_locally(good, response("12")).accepted
    assert not judge_locally(bad, response("12")).reasoning_consistent
    assert not judge_locally(broken, response("12")).accepted


def judge_with(log: Any, folder: Path) -> Any:
    return endpoint_judge(Chat(Endpoint(**endpoint(log.url)), folder / "judge.sqlite", role="judge", backoff_s=0.001))


FREE = sample("f", "why do prices rise?", "too much money", AnswerKind.FREE)
MCQ = choice("c", "which?", ["x", "y", "z"], "B", evidence={"explanation": "y because of z"})


def test_garbage_of_a_judge_is_never_agreement(tmp_path: Path) -> None:
    with serve(say("Both answers agree: true!")) as log:
        said = judge_with(log, tmp_path)(FREE, "<think>t</think><answer>money</answer>")
        assert not said.accepted and not said.parsed and len(log.bodies) == JUDGE_TRIES


def test_garbage_is_asked_again(tmp_path: Path) -> None:
    def script(body: Any, seen: int, handler: Any) -> None:
        send_json(handler, completion("hm" if seen == 0 else AGREE))

    with serve(script) as log:
        assert judge_with(log, tmp_path)(FREE, "<think>t</think><answer>money</answer>").accepted
        assert len(log.bodies) == 2


def test_letters_are_ours_and_reasoning_is_the_judges(tmp_path: Path) -> None:
    verdict = '{"answer_match": true, "reasoning_consistent": false, "why": "contradicts"}'
    with serve(say(verdict)) as log:
        judge = judge_with(log, tmp_path)
        wrong = judge(MCQ, response("A"))
        assert not wrong.accepted and not log.bodies  # wrong letters cost no call
        said = judge(MCQ, response("B"))
        assert said.answer_match and not said.reasoning_consistent and said.by == "test-model"
        assert "y because of z" in log.prompts()[0]


def test_numbers_cost_no_call(tmp_path: Path) -> None:
    with serve(say(AGREE)) as log:
        assert judge_with(log, tmp_path)(sample(), response("12")).by == "grader"
        assert not log.bodies


def test_a_malformed_free_answer_is_rejected_before_the_judge(tmp_path: Path) -> None:
    with serve(say(AGREE)) as log:
        assert not judge_with(log, tmp_path)(FREE, "money").accepted
        assert not log.bodies
