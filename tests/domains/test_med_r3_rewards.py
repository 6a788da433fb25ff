"""Med-R3's rewards against numbers made by hand: graphs, shape, stages, the released class."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmreason.errors import UserError
from mmreason.project import load_module
from mmreason.records import Answer, AnswerKind, Message, Role, Rollout, Sample, Source, Stop

HOME = Path(__file__).parents[2] / "domains" / "medical" / "med_r3"
graphs = load_module(HOME / "graphs.py")
rewards = load_module(HOME / "rewards.py")
settings = load_module(HOME / "settings.py")
shape = load_module(HOME / "shape.py")

CHAIN = [["gout", "test", "urate", True], ["urate", "drug", "allopurinol", True]]
SAMPLE = Sample(
    "q",
    Source("own", "train", "", "0"),
    (Message.of(Role.USER, "drug of test of gout ?"),),
    Answer(AnswerKind.SPAN, "allopurinol"),
    evidence={"references": [{"triples": CHAIN, "text": "gout test urate . urate drug allopurinol ."}]},
)
GOOD = (
    "<think><search>test gout</search> test gout urate . drug urate allopurinol .</think><answer>allopurinol</answer>"
)
WRONG = GOOD.replace("<answer>allopurinol", "<answer>colchicine")
HITS = [
    {"id": "1", "source": "guideline", "score": 1.0, "rank": 1, "text": "guideline : test gout urate"},
    {"id": "2", "source": "encyclopaedia", "score": 0.5, "rank": 2, "text": "drug urate colchicine"},
]


def call(hits: list[dict[str, Any]], kind: str = "search") -> dict[str, Any]:
    return {"kind": kind, "query": "q", "base": "text", "hits": hits, "error": ""}


def terms(text: str, stage: str, *turns: dict[str, Any], stop: Stop = Stop.EOS, **own: Any) -> Any:
    rollout = Rollout((), tuple(range(20)), (0.0,) * 20, text, stop, extras={"said": [text], "turns": list(turns)})
    return rewards.reward(rollout, SAMPLE, options={"med_r3": {"stage": stage, "penalty": 0.0, **own}})


def test_paths_lead_from_roots() -> None:
    graph = graphs.triples([["a", "r", "b"], ["b", "s", "c"], ["a", "t", "c"]])
    assert graphs.paths(graph, 1) == {("a", "r", "b"), ("a", "t", "c")}
    assert graphs.paths(graph, 2) == {("a", "r", "b"), ("a", "t", "c"), ("a", "r", "b", "s", "c")}
    circle = graphs.triples([["a", "r", "b"], ["b", "r", "a"]])
    assert graphs.paths(circle, 3) == {("a", "r", "b"), ("b", "r", "a")}
    both = graphs.paths(circle | graphs.triples([["x", "r", "y"]]), 3)
    assert both == {("a", "r", "b"), ("b", "r", "a"), ("x", "r", "y")}


def test_likeness_of_graphs() -> None:
    one = graphs.triples([["a", "r", "b"], ["b", "s", "c"]])
    other = graphs.triples([["a", "r", "b"], ["b", "s", "d"]])
    assert graphs.logic(one, other, 2) == pytest.approx(1 / 3)  # a-r-b of {a-r-b, a-r-b-s-c, a-r-b-s-d}
    assert graphs.statistics(one, other) == pytest.approx(2 / 4)
    assert graphs.logic(one, one, 3) == graphs.statistics(one, one) == 1.0
    assert graphs.logic(frozenset(), frozenset(), 3) == 0.0


def test_statements_of_a_thought() -> None:
    think = "<search> guide test gout</search>\n<document>sign gout x .</document> Test Gout urate . so drug urate b ."
    assert graphs.stated(think) == {("gout", "test", "urate")}
    assert graphs.stated(" test gout urate . drug urate b .") == {("gout", "test", "urate"), ("urate", "drug", "b")}
    assert graphs.stated("no statement here at all .") == frozenset()


@pytest.mark.parametrize(
    ("text", "think", "answer", "form"),
    [
        ("<think>a <search>q</search> b</think><answer> c </answer>", "a  b", "c", 1.0),
        ("a</think>\n<answer>c</answer>", "a", "c", 1.0),
        ("<think>a</think>c", "a", "", 0.0),
        ("<think>a</think><answer></answer>", "a", "", 0.0),
        ("a <answer>c</answer>", "", "", 0.0),
        ("<think>a<search>q</think><answer>c</answer>", "a<search>q", "c", 0.0),
        ("<think>a</think><answer><search>q</search> c</answer>", "a", "<search>q</search> c", 0.5),
        ("<think>a</think><think>b</think><answer>c</answer>", "a", "", 0.0),
    ],
)
def test_parts_of_an_answer(text: str, think: str, answer: str, form: float) -> None:
    found = shape.parts_of(text)
    assert (found.think, found.answer, found.form) == (think, answer, form)


def test_shape_by_hand() -> None:
    full = 1 - math.exp(-2)
    assert shape.length_share("ab", "ab") == pytest.approx((1 - math.exp(-1)) / full)
    assert shape.length_share("abcdef", "ab") == pytest.approx(1.0)
    assert shape.length_share("", "ab") == shape.length_share("ab", "") == 0.0
    assert shape.same_language("x" * 200 + "\u75db" + "y" * 100, "pain ?") == 0.5
    assert shape.same_language("", "pain ?") == 0.0
    assert shape.overlong(11264, 11264, 3072) == 0.0 and shape.overlong(11264 + 1536, 11264, 3072) == -0.5


def test_stages_by_hand() -> None:
    """The thought states both facts: reason 1. One call, whose guideline holds the whole first fact: Q 1, B 1/2."""
    turns = [call(HITS)]
    assert terms(GOOD, "outcome", *turns).reward == 1.0
    assert terms(GOOD, "reasoning", *turns).reward == pytest.approx(1 + 0.4)
    assert terms(GOOD, "retrieval", *turns).reward == pytest.approx(1 + 0.4 * 1.0 + 0.2 * 0.5)
    assert terms(GOOD, "joint", *turns).reward == pytest.approx(1 + 0.2 + 0.2)
    assert terms(GOOD, "released", *turns).reward == pytest.approx(1 + 0.8)


def test_the_gate_and_what_a_wrong_answer_earns() -> None:
    """Reasoning credit stands behind the answer in our stages, not in the released class (0.1 + 0.8)."""
    assert terms(WRONG, "reasoning", call(HITS)).reward == 0.0
    assert terms(WRONG, "joint", call(HITS)).reward == 0.0
    assert terms(WRONG, "released", call(HITS)).reward == pytest.approx(0.9)
    assert terms(WRONG, "retrieval", call(HITS)).reward == pytest.approx(0.5)  # evidence is paid for itself


def test_evidence_by_weight_and_relevance() -> None:
    worse = terms(GOOD, "retrieval", call(HITS[1:]))
    assert worse.parts["evidence"] == pytest.approx(0.5 * 2 / 3)  # encyclopaedia; "drug urate" of the three words
    assert worse.parts["bridge"] == 0.0
    both = terms(GOOD, "retrieval", call(HITS), call([]))
    assert both.parts["evidence"] == pytest.approx(0.5) and both.parts["reliable"] == 1.0
    costly = terms(GOOD, "retrieval", *[call(HITS)] * 4)
    assert costly.reward == pytest.approx(1 + 0.4 + 0.1 - 2 * 0.02)
    assert settings.MedR3Settings().weight("medquad/GARD") == 0.9
    assert settings.MedR3Settings().weight("blog") == 0.6


def test_malformed_searches_and_form() -> None:
    forged = terms(GOOD, "joint", call([], "forged"))
    assert forged.reward == -0.1 and forged.parts["malformed"] == 1.0
    assert set(forged.parts) <= set(terms(GOOD, "joint", call([], "down")).parts)
    assert terms(GOOD, "joint", call([], "down")).parts["down"] == 1.0
    assert terms(GOOD, "joint", call([], "bad")).reward == -0.1
    bare = GOOD.replace("<answer>", "").replace("</answer>", "")
    assert terms(bare, "joint", call(HITS)).reward == 0.0 and terms(bare, "released", call(HITS)).reward == 0.1
    assert terms(GOOD, "joint", call(HITS), stop=Stop.LENGTH).format == 0.0


def test_penalties_are_taken_always() -> None:
    made = terms(GOOD, "joint", call(HITS), penalty=0.1)
    think = GOOD.partition("</search>")[2].partition("</think>")[0]
    share = shape.length_share(think, "allopurinol")
    assert made.reward == pytest.approx(1.4 - 0.1 * (1 - share))
    none = terms("so", "released", penalty=0.1)
    assert none.reward == pytest.approx(0.1 - 4 * 0.1)


@given(st.sampled_from(["reasoning", "joint", "retrieval"]), st.integers(0, 6), st.booleans())
def test_a_right_answer_is_worth_more_than_any_wrong_one(stage: str, calls: int, right: bool) -> None:
    good = terms(GOOD, stage, *[call([])] * calls).reward
    assert good > terms(WRONG, stage, *[call(HITS)] * 2).reward


def test_without_references_and_wrong_settings() -> None:
    bare = Sample("b", SAMPLE.source, SAMPLE.messages, SAMPLE.answer)
    rollout = Rollout((), (1,), (0.0,), GOOD, Stop.EOS, extras={"said": [GOOD], "turns": [call(HITS)]})
    made = rewards.reward(rollout, bare, options={"med_r3": {"stage": "joint", "penalty": 0.0}})
    assert made.parts["reason"] == 0.0 and made.reward == pytest.approx(1.0 + 0.2 * made.parts["evidence"])
    with pytest.raises(UserError, match=r"options\.med_r3"):
        rewards.reward(rollout, bare, options={"med_r3": {"stages": "joint"}})
