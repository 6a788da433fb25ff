from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from chat_server import Log, completion, send_json, serve
from making import choice, context, domain, endpoint, recipe, sample

from mmreason.data.distil import Teacher, as_response, distil, make_teacher, sort_lessons, teach
from mmreason.data.endpoint import Reply
from mmreason.data.judge import judge_locally
from mmreason.data.material import boxed_gold, program_chain, write_chain
from mmreason.records import AnswerKind, Sample
from mmreason.rewards.format import check_format
from mmreason.rewards.grade import grade
from mmreason.rewards.program import ProgramError

TABLE = [["", "2017", "2016"], ["revenue", "$ 112.0", "$ 100.0"], ["costs", "-9 ( 9 )", "-8 ( 8 )"]]


def response(answer: str) -> str:
    return f"<think>so</think><answer>\\boxed{{{answer}}}</answer>"


def scripted(*answers: str | None, attempts: int = 3) -> tuple[Teacher, list[int]]:
    """A teacher that gives these answers in turn, and the attempts it was asked for."""
    asked: list[int] = []

    def ask(one: Sample, attempt: int) -> str | None:
        asked.append(attempt)
        answer = answers[attempt]
        return None if answer is None else response(answer)

    return Teacher("scripted", ask, judge_locally, attempts, 1), asked


def test_the_first_accepted_chain_ends_the_attempts() -> None:
    teacher, asked = scripted("13", "12", "12")
    lesson = teach(sample(), teacher)
    assert asked == [0, 1] and lesson.accepted == response("12") and lesson.first == response("13")
    made = sort_lessons([lesson])
    (row,) = made.sft
    assert row.response == response("12") and not made.rl
    assert row.metadata["attempts"] == 2 and row.metadata["teacher"] == "scripted"
    assert [verdict["accepted"] for verdict in row.metadata["verdicts"]] == [False, True]
    assert made.unverified[0].response == response("13")


def test_three_failures_make_an_rl_question_without_a_chain() -> None:
    teacher, asked = scripted("1", "2", "3")
    made = sort_lessons([teach(sample(), teacher)])
    (row,) = made.rl
    assert asked == [0, 1, 2] and not made.sft
    assert row.response is None and row.metadata["source"] == "teacher_failed" and row.answer.gold == "12"
    assert made.unverified[0].response == response("1")


def test_no_material_goes_to_rl_under_its_own_name() -> None:
    teacher, _ = scripted(None)
    made = sort_lessons([teach(sample(), teacher)])
    assert made.rl[0].metadata["source"] == "no_chain_material" and not made.unverified and not made.sft


def test_answer_only_training_takes_rows_without_a_chain() -> None:
    teacher, _ = scripted(None)
    made = sort_lessons([teach(sample(), teacher)], answers_suffice=True)
    assert made.sft[0].response == "<answer>\\boxed{12}</answer>" and made.sft[0].metadata["teacher"] == "gold_answer"
    failed, _ = scripted("1", "2", "3")
    assert not sort_lessons([teach(sample(), failed)], answers_suffice=True).sft


REPLIES = [
    (Reply("<think>a</think><answer>b</answer>"), "<think>a</think><answer>b</answer>", "as asked"),
    (Reply("<think>a</think>\n\nb \\boxed{1}"), "<think>a</think><answer>b \\boxed{1}</answer>", "no answer tags"),
    (Reply("b \\boxed{1}", reasoning="a"), "<think>a</think><answer>b \\boxed{1}</answer>", "separate reasoning"),
    (Reply("a</think>b"), "<think>a</think><answer>b</answer>", "think tag opened by the template"),
    (Reply("b"), "<think></think><answer>b</answer>", "no reasoning at all: the format check rejects it"),
]


@pytest.mark.parametrize(("reply", "expected", "origin"), REPLIES)
def test_replies_in_think_answer_form(reply: Reply, expected: str, origin: str) -> None:
    assert as_response(reply) == expected, origin


def test_program_chain_by_steps() -> None:
    program = "subtract(112.0, 100.0), divide(#0, 100.0), multiply(#1, const_100)"
    assert program_chain(program, TABLE) == (
        "Step 1: 112.0 - 100.0 = 12.\nStep 2: 12 / 100.0 = 0.12.\nStep 3: 0.12 * 100 = 12."
    )
    assert program_chain("table_sum(costs, none)", TABLE) == "Step 1: the sum of costs in the table is -17."
    assert program_chain("greater(112, const_m1)", TABLE) == "Step 1: 112 > -1 = yes."
    with pytest.raises(ProgramError):
        program_chain("subtract(1, 2), frobnicate(#0, 2)", TABLE)


PERCENT_CASES = [
    ("0.93464", True, "\\boxed{93.464%}", "FinQA's ratio for a percent question"),
    ("-0.125", True, "\\boxed{-12.5%}", "negative"),
    ("12.0", False, "\\boxed{12.0}", "no percentage asked"),
    ("yes", True, "\\boxed{yes}", "a comparison"),
]


@pytest.mark.parametrize(("gold", "asks", "expected", "origin"), PERCENT_CASES)
def test_boxed_gold(gold: str, asks: bool, expected: str, origin: str) -> None:
    one = sample(gold=gold, asks_percent=asks)
    assert boxed_gold(one) == expected, origin
    assert grade(f"<think>x</think><answer>{expected}</answer>", one.answer).score == 1.0, origin


MATERIAL = [
    (sample(gold="12.0", evidence={"program": "subtract(112.0, 100.0)", "table": TABLE}), "gold_program"),
    (choice("c", "哪个？", ["甲", "乙", "丙"], "B", evidence={"explanation": "因为乙。"}, lang="zh"), "explanation"),
    (sample(gold="-12.6", evidence={"derivation": "44.1-56.7"}, scale="million"), "derivation"),
    (
        sample(
            gold="违规",
            kind=AnswerKind.JUDGEMENT,
            evidence={"chain": "我先看。"},
            aliases={"违规": ["违规"], "合规": ["合规"]},
        ),
        "workflow",
    ),
]


@pytest.mark.parametrize(("one", "name"), MATERIAL, ids=[name for _, name in MATERIAL])
def test_chains_from_released_material_pass_our_own_judge(tmp_path: Path, one: Sample, name: str) -> None:
    teacher = make_teacher(recipe(), domain(tmp_path), tmp_path / "cache", embedded=False)
    (row,) = sort_lessons([teach(one, teacher)]).sft
    assert row.metadata["teacher"] == name and check_format(row.response or "").ok


def test_material_is_absent_or_empty() -> None:
    assert write_chain(sample(), 0) is None
    assert write_chain(choice("c", "?", ["x", "y", "z"], "A", evidence={"explanation": "  "}), 0) is None


def test_the_solver_teaches_the_embedded_sets_alone(tmp_path: Path) -> None:
    (tmp_path / "solver.py").write_text(
        "def make(options):\n    return lambda s, k: f'{options[\"x\"]}{k}'\n", encoding="utf-8"
    )
    settings = {"solver": "solver.py:make", "options": {"x": "y"}, "attempts": 2}
    embedded = make_teacher(recipe(settings), domain(tmp_path), tmp_path / "cache", embedded=True)
    assert embedded.ask(sample(), 1) == "y1" and embedded.attempts == 2
    assert make_teacher(recipe(settings), domain(tmp_path), tmp_path / "cache", embedded=False).name == "material"


def teach_through(log: Log, folder: Path, samples: list[Sample], **settings: Any) -> Any:
    run = context(folder, {"endpoint": endpoint(log.url, **settings)})
    return distil(samples, make_teacher(run.recipe, run.domain, folder / "cache", embedded=False))


def test_teacher_endpoint_three_draws_then_rl(tmp_path: Path) -> None:
    """Two questions: one is learnt at the second draw, one never; every draw is a request of its own, once."""

    def script(body: dict[str, Any], seen: int, handler: Any) -> None:
        hard = "hard" in body["messages"][-1]["content"]
        answer = "12" if seen == 1 and not hard else "0"
        send_json(handler, completion(f"\\boxed{{{answer}}}", reasoning="let me see"))

    rows = [sample("easy", "easy question?"), sample("hard", "hard question?")]
    with serve(script) as log:
        made = teach_through(log, tmp_path, rows)
        assert [row.id for row in made.sft] == ["easy"] and [row.id for row in made.rl] == ["hard"]
        assert made.sft[0].response == "<think>let me see</think><answer>\\boxed{12}</answer>"
        assert len(log.bodies) == 5
        again = teach_through(log, tmp_path, rows)
        assert again == made and len(log.bodies) == 5


def test_a_cut_chain_is_a_failed_attempt(tmp_path: Path) -> None:
    with serve(lambda b, s, h: send_json(h, completion("<think>on and on", finish="length"))) as log:
        made = teach_through(log, tmp_path, [sample()])
        assert not made.sft and made.rl[0].metadata["attempts"] == 3 and len(log.bodies) == 3


def test_order_does_not_depend_on_who_answers_first(tmp_path: Path) -> None:
    def script(body: dict[str, Any], seen: int, handler: Any) -> None:
        time.sleep(0.05 if "number 0" in body["messages"][-1]["content"] else 0)
        send_json(handler, completion("\\boxed{12}", reasoning="so"))

    rows = [sample(f"s{index}", f"number {index}?") for index in range(8)]
    with serve(script) as log:
        assert [row.id for row in teach_through(log, tmp_path, rows).sft] == [row.id for row in rows]
