"""R1-Router's trajectories: the released file, what leaves, the steps as samples, and teachers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mmreason.config.domain import SourceEntry
from mmreason.data.step import Drop, ReadRequest
from mmreason.errors import UserError
from mmreason.project import load_module
from mmreason.records import AnswerKind, Role, Sample

rows = load_module(Path(__file__).parent / "router_rows.py")
teacher, trajectories = rows.teacher, rows.trajectories

PLANNER, READER = "decompose", "answer"
FOUND = "According to the information searched:ter-0: A film.\n\n\n Give me the answer to the Question: who made it?"


def ret(query: str, base: str, problem: str) -> dict[str, Any]:
    answer = {"query": query, "retriever": [base]}
    return {"step_type": "ret", "system": PLANNER, "problem": problem, "answer": answer}


def ans(answer: Any, problem: str) -> dict[str, Any]:
    return {"step_type": "ans", "system": READER, "problem": problem, "answer": answer}


def line(*between: dict[str, Any], golds: Any = ("9 December 1899",), image: str = "") -> dict[str, Any]:
    """A released trajectory of one round."""
    mark = "\n<image>" if image else "\n"
    begun = f"Origin question: When was the director born?{mark}"
    steps = [
        ret("who made it?", "text retriever", begun),
        ans("\nfrank wisbar made it.\n", FOUND + ("<image>" if image else "")),
        *between,
        ret("none", "none", f"{begun}Sub-question1: who made it?"),
        ans(list(golds), f"{begun}Now, give me the final answer."),
    ]
    return {"images": [f"/elsewhere/{image}"] if image else [], "steps": steps}


def read(tmp_path: Path, *lines: Any) -> list[Sample | Drop]:
    folder = tmp_path / "r1_router_released"
    folder.mkdir(exist_ok=True)
    path = folder / "train.jsonl"
    path.write_text("\n".join(json.dumps(one) for one in lines) + "\n", encoding="utf-8")
    entry = SourceEntry(title="t", licence="l", commercial=False, use="train", reader="x.py:y")
    return list(trajectories.released(ReadRequest("routes", "train", [path], entry, {}, root=tmp_path)))


def context(**options: Any) -> Any:
    own = {"r1_router": {**rows.OPTIONS["r1_router"], **options}}
    return SimpleNamespace(recipe=SimpleNamespace(options=own))


def test_a_released_row_becomes_a_trajectory(tmp_path: Path) -> None:
    [sample] = read(tmp_path, line())
    assert isinstance(sample, Sample)
    assert sample.question == "When was the director born?" and sample.answer.gold == "9 December 1899"
    kinds = [step["kind"] for step in sample.evidence["trajectory"]]
    assert kinds == ["plan", "answer", "plan", "final"]
    first = sample.evidence["trajectory"][0]
    assert (first["query"], first["base"], first["shown"]) == ("who made it?", "text retriever", FOUND)


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ({"images": [], "steps": []}, "ends with the accepted answers"),
        (line(golds=()), "no accepted answer"),
        (line({"step_type": "search", "system": "", "problem": "", "answer": ""}), "expected 'ret' or 'ans'"),
        (line(ans(["a", "b"], FOUND)), "the teacher's sentence"),
        (line({"step_type": "ret", "system": "", "problem": "", "answer": {"query": "q"}}), "no field 'retriever'"),
        ({"images": []}, "no field 'steps'"),
    ],
)
def test_a_row_that_is_no_trajectory_leaves_with_its_fault(tmp_path: Path, broken: Any, why: str) -> None:
    kept, dropped = read(tmp_path, line(), broken)
    assert isinstance(kept, Sample) and isinstance(dropped, Drop)
    assert dropped.reason == "no_trajectory" and "row 2" in dropped.detail and why in dropped.detail


def test_the_steps_of_a_released_row_keep_their_prompts(tmp_path: Path) -> None:
    made = list(trajectories.steps(iter(read(tmp_path, line())), context(), form="released", trace=True))
    assert [one.metadata["step_kind"] for one in made] == ["plan", "answer", "plan", "final"]
    second = made[1]
    assert [(message.role, message.text) for message in second.messages] == [
        (Role.SYSTEM, READER),
        (Role.USER, FOUND),
    ]
    assert second.answer.kind is AnswerKind.FREE and second.evidence["step"]["golds"] == ["frank wisbar made it."]
    assert second.evidence["trace"] == "<think></think><answer>frank wisbar made it.</answer>"
    assert made[2].evidence["trace"] == "<think></think><sub-question>None</sub-question><ret>None</ret>"


def test_the_same_steps_as_one_conversation(tmp_path: Path) -> None:
    made = list(trajectories.steps(iter(read(tmp_path, line())), context()))
    own = rows.own()
    assert [message.text for message in made[3].messages] == [
        "When was the director born?",
        "<think></think><sub-question>who made it?</sub-question><ret>Text Retriever</ret>",
        FOUND,
        "<think></think><answer>frank wisbar made it.</answer>",
        own.proceed.format(question="When was the director born?"),
        "<think></think><sub-question>None</sub-question><ret>None</ret>",
        own.finish.format(question="When was the director born?"),
    ]


def test_a_picture_stays_with_the_steps_that_show_it(tmp_path: Path) -> None:
    (tmp_path / "r1_router_released" / "images").mkdir(parents=True)
    rows.world.glyphs.draw("x", None, 28).save(tmp_path / "r1_router_released" / "images" / "oven.png")
    [sample] = read(tmp_path, line(image="oven.png"))
    assert isinstance(sample, Sample) and len(sample.media) == 1
    made = list(trajectories.steps(iter([sample]), context(), form="released"))
    assert all("<image>" not in one.question for one in made)
    assert all([part.type for part in one.messages[-1].parts] == ["image", "text"] for one in made)


def test_repeated_questions_leave_unless_wanted(tmp_path: Path) -> None:
    again = (ret("Who made it? ", "table retriever", "p"), ans("x", FOUND))
    twice = read(tmp_path, line(*again))
    [dropped] = trajectories.checked(iter(twice), context())
    assert isinstance(dropped, Drop) and dropped.reason == "repeated_query"
    assert list(trajectories.checked(iter(twice), context(), repeated=True)) == twice


def test_a_final_answer_counts_by_its_recall() -> None:
    steps = [{"kind": "final", "golds": ["frank wisbar"], "said": "it was frank wisbar, I think"}]
    right = rows.question(trajectory=steps)
    wrong = rows.question(trajectory=[{**steps[0], "said": "wisbar"}])
    assert list(trajectories.checked(iter([right]), context())) == [right]
    [dropped] = trajectories.checked(iter([wrong]), context())
    assert isinstance(dropped, Drop) and dropped.reason == "wrong_answer"


def test_a_teacher_that_keeps_breaking_the_form_is_given_up() -> None:
    said = iter(
        ["no tags", "<think>t</think><sub-question>drug of x ?</sub-question><ret>Text Retriever</ret>", "x", "y"]
    )
    steps, fault = teacher.play(rows.question(), rows.open_desk(), lambda *_: (next(said), ""), tries=2)
    assert fault == "malformed_answer" and [step["kind"] for step in steps] == ["plan"]


def test_the_cold_start_shows_all_but_the_bases() -> None:
    desk = rows.open_desk(stop_at_tags=True)
    [sample] = [one for one in rows.made(count=9) if one.metadata["hops"] == 2 and not one.media][:1]
    question = rows.taught(sample, desk)
    [shown] = trajectories.shown(iter([question]), context())
    assert teacher.solver({"misroute": 1.0})(question, 0) is None
    straight = teacher.solver({})(shown, 0)
    bent = {teacher.solver({"misroute": 1.0, "seed": seed})(shown, 0) for seed in range(80)}
    assert straight in bent and len(bent) == 9  # every pair of bases
    assert teacher.verify(shown, straight).accepted
    turns = [text + "</ret>" for text in straight.split("</ret>")[:1]]
    other = turns[0].replace("Text Retriever", "Table Retriever")
    served = rows.played(shown, desk, [other]).extras["turns"][0]
    asked = rows.played(question, desk, [other]).extras["turns"][0]
    assert served["base"] == shown.metadata["bases"][0] and asked["base"] == "Table Retriever"


def test_unknown_forms_are_told() -> None:
    with pytest.raises(UserError, match="expected 'conversation' or 'released'"):
        list(trajectories.steps(iter([]), context(), form="chat"))
    with pytest.raises(UserError, match="needs the released prompts"):
        desk = rows.open_desk()
        [sample] = [one for one in rows.made(count=3) if one.metadata["hops"] == 1 and not one.media][:1]
        list(trajectories.steps(iter([rows.taught(sample, desk)]), context(), form="released"))


def test_an_endpoint_must_be_named() -> None:
    bare = SimpleNamespace(recipe=SimpleNamespace(options={}))
    with pytest.raises(UserError, match=r"options\.r1_router_teacher"):
        list(teacher.asked(iter([replace(rows.question(), id="a")]), bare))


def test_a_label_is_the_base_that_holds_the_answer() -> None:
    labels = load_module(rows.ROUTER / "labels.py")
    desk = rows.open_desk()
    [sample] = [one for one in rows.made(count=9) if one.metadata["bases"] == [rows.TEXT]][:1]
    hop = sample.metadata["chain"][0]
    query = f"{hop['relation']} of {hop['subject']} ?"
    assert labels.supporting(sample, desk, query, hop["object"]) == [rows.TEXT]
    assert labels.supporting(sample, desk, query, "nobody says this") == []
    wrong = {"kind": "plan", "query": query, "base": "table retriever", "shown": "t"}
    steps = [wrong, {"kind": "answer", "golds": [hop["object"]]}, {"kind": "final", "golds": [hop["object"]]}]
    made = labels._with_labels(replace(sample, evidence={"trajectory": steps}), desk)
    assert made.evidence["trajectory"][0]["base"] == rows.TEXT and made.metadata["relabelled"] == 1


def test_a_picture_that_is_not_there_is_named(tmp_path: Path) -> None:
    [dropped] = read(tmp_path, line(image="gone.jpg"))
    assert isinstance(dropped, Drop) and dropped.reason == "no_picture" and "gone.jpg" in dropped.detail
