"""Med-R3's made-up world, its teacher, the data step, and what is measured: by hand and in the real environment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mmreason.config import SourceEntry
from mmreason.config.recipe import TinyModel
from mmreason.data.step import Drop, ReadRequest
from mmreason.errors import UserError
from mmreason.models.codec import Codec
from mmreason.models.tiny import build_tiny
from mmreason.models.tokenizer import train_tokenizer
from mmreason.project import load_module
from mmreason.records import Answer, AnswerKind, Message, Role, Sample, SegmentKind, Source, Stop
from mmreason.rollout.environment import Setting
from mmreason.rollout.replay import replay, turns_of

HOME = Path(__file__).parents[2] / "domains" / "medical" / "med_r3"
world = load_module(HOME / "world.py")
teacher = load_module(HOME / "teacher.py")
environment = load_module(HOME / "environment.py")
opening = load_module(HOME / "data_open.py")
rewards = load_module(HOME / "rewards.py")
measures = load_module(HOME / "measures.py")
compared = load_module(HOME / "reproduce_measures.py")

ENTRY = SourceEntry(title="", licence="Apache-2.0", commercial=True, use="train", reader="med_r3/world.py:read")
SMALL = {"diseases": 24, "known": 4, "signs": 6, "tests": 6, "drugs": 6, "items": 80}
OPTIONS = {"search": {"bases": {"text": {"made": world.PASSAGES}}, "top": 1, "forced": "\n</think><answer>"}}


def rows(split: str, root: Path | None = None, **options: Any) -> list[Sample]:
    request = ReadRequest("med_r3_world", split, [], ENTRY, {**SMALL, **options}, root=root)
    return list(world.read(request))


def test_what_is_searched_for_in_the_test_is_asked_about_in_no_other_split() -> None:
    own = world.WorldSettings(**SMALL)
    made = world.make(own)
    assert len(made.known) == 4 and len(made.tested) == 6 and len(made.trained) == 14
    assert not {*made.known, *made.trained} & {*made.tested}
    train, test = rows("train"), rows("test")
    asked = {split: {s.question.split()[-2] for s in own} for split, own in (("train", train), ("test", test))}
    assert asked["train"] & asked["test"] == set(made.known)
    assert not {s.question for s in train} & {s.question for s in test}


def test_gold_answers_follow_from_the_facts() -> None:
    made = world.make(world.WorldSettings(**SMALL))
    for sample in rows("test"):
        *_, disease, _ = sample.question.split()
        wanted = made.facts[disease, "sign"] if "sign" in sample.question else made.facts[disease, "test"]
        if sample.metadata["hops"] == 2:
            wanted = made.facts[wanted, "drug"]
        assert sample.answer.gold == wanted


def test_sources_err_as_often_as_they_are_said_to() -> None:
    own = world.WorldSettings(diseases=400, known=0)
    found = world.passages(own, world.make(own))
    for source, share in own.sources.items():
        wrong = [not passage.metadata["right"] for passage in found if passage.source == source]
        assert sum(wrong) / len(wrong) == pytest.approx(share, abs=0.05)


def test_a_world_without_anything_to_search_is_refused() -> None:
    with pytest.raises(UserError, match="leaves fewer than 4 to search for"):
        rows("train", known=23)


def test_traces_play_in_the_environment(tmp_path: Path) -> None:
    """What a trace says it found is what the index brings, whatever source it asks; its answer follows from it."""
    samples = rows("train", tmp_path)
    build_tiny(
        TinyModel(hidden=32, layers=1, heads=2, kv_heads=1, vocab=400),
        train_tokenizer([" sign of"], 400),
        0,
        tmp_path / "m",
    )
    codec = Codec.load(tmp_path / "m", tmp_path)
    tool = environment.search(Setting(OPTIONS, codec, 0, 6))
    say = teacher.solver({"world": SMALL, "guess": 0.2})
    searched = 0
    for sample in samples[:30]:
        trace = say(sample, 0)
        turns = turns_of(trace, tool.stop)
        played = replay(codec, sample, codec.encode(sample), tool, turns, 6)
        assert played.stop is Stop.EOS and played.text.replace("</search>\n", "</search>") == trace
        for turn, note in zip(played.extras["said"][1:], played.extras["turns"], strict=False):
            _, _, relation, one, value = note["hits"][0]["text"].split()
            assert turn.startswith(f" {relation} {one} {value} .")
            searched += 1
        made = rewards.reward(played, sample, options={"med_r3": {"stage": "joint", "penalty": 0.0}})
        assert made.accuracy == float(f"<answer> {sample.answer.gold}<" in trace) and made.parts["form"] == 1.0
        if made.accuracy and "search" in trace:
            assert made.parts["reason"] == pytest.approx(1.0) or sample.metadata["disputed"]
    assert searched > 20


def test_results_that_are_trained_as_a_control(tmp_path: Path) -> None:
    rows("train", tmp_path)
    build_tiny(
        TinyModel(hidden=32, layers=1, heads=2, kv_heads=1, vocab=400),
        train_tokenizer([" sign of"], 400),
        0,
        tmp_path / "m",
    )
    codec = Codec.load(tmp_path / "m", tmp_path)
    tool = environment.search(Setting({**OPTIONS, "med_r3": {"results_trained": True}}, codec, 0, 6))
    sample = rows("train")[0]
    turns = ["<think><search> guideline sign daa</search>", " so</think><answer> x</answer>"]
    played = replay(codec, sample, codec.encode(sample), tool, turns, 6)
    assert [piece.kind for piece in played.segments] == [SegmentKind.MODEL, SegmentKind.ECHOED, SegmentKind.MODEL]
    assert all(played.trained) and "document" not in played.text


def test_habits_of_the_teacher() -> None:
    samples = rows("train")
    unknown = [s for s in samples if not s.metadata["known"]]
    careful, guesses = (
        teacher.solver({"world": SMALL, "guess": 0.0, "look_up": 0.0}),
        teacher.solver({"world": SMALL, "guess": 1.0}),
    )
    assert all(careful(s, 0).count("<search>") == s.metadata["hops"] for s in unknown)
    assert not any("<search>" in guesses(s, 0) for s in unknown)
    known = [s for s in samples if s.metadata["known"]]
    assert all("<search>" not in careful(s, 0) and careful(s, 0).endswith(f" {s.answer.gold}</answer>") for s in known)


def choice(stem: str, **options: str) -> Sample:
    answer = Answer(AnswerKind.CHOICE, "A", options or {"A": "urate", "B": "iron", "C": "copper"}, lang="en")
    return Sample(stem[:9], Source("own", "train", "", "0"), (Message.of(Role.USER, stem),), answer)


def test_open_where_possible() -> None:
    """By rule: a question that stands alone is opened; others stay closed with the reason."""
    opens = choice("What does gout raise?")
    closed = [
        choice("Gout raises all, EXCEPT?"),
        choice("Which of the following does gout raise?"),
        choice("How much is it?", A="3 to 5 mg", B="8 mg", C="9 mg"),
        replace(choice("Is gout a disease?"), answer=Answer(AnswerKind.JUDGEMENT, "yes")),
    ]
    dropped = Drop("x", "read", "broken")
    closed = [replace(sample, id=f"c{n}") for n, sample in enumerate(closed)]
    context = SimpleNamespace(recipe=SimpleNamespace(data=SimpleNamespace(teacher=None)))
    made = list(opening.open_where_possible(iter([opens, *closed, dropped]), context, by="rule"))
    assert made[0].answer.kind is AnswerKind.FREE and made[0].answer.gold == "urate"
    assert made[0].metadata["wrong_options"] == "iron; copper"
    assert opening.fault_of(choice("Which joint is least involved?")) == "negated"
    assert opening.fault_of(choice("What is the cause of gout?")) == ""
    reasons = [sample.metadata["not_opened"] for sample in made[1:-1]]
    assert reasons == ["negated", "points_at_options", "vague", "not_multiple_choice"]
    assert [sample.answer for sample in made[1:-1]] == [sample.answer for sample in closed]
    assert made[-1] is dropped


def run(right: bool, *kinds: str, reliable: float = 0.0) -> dict[str, Any]:
    turns = [{"said": "a", "kind": kind} for kind in kinds] + [{"said": "b"}]
    parts = {"reliable": reliable, "evidence": 0.5}
    return {"outcome": "right" if right else "wrong", "turns": turns, "tokens": 10, "parts": parts}


def test_measures_by_hand() -> None:
    runs = [run(True, "search", "search", reliable=1.0), run(False), run(False, "forced"), run(True, "down")]
    made = measures.summarise(measures.answers([{"runs": runs}]))
    assert made["accuracy"] == 0.5 and made["calls"] == 0.75 and made["searched"] == 0.5
    assert made["reliable"] == 0.5 and made["forced"] == made["down"] == 0.25
    searches, by_calls = measures.tables({"sft": [{"runs": runs}], "grpo": [{"runs": runs[:1]}]})
    assert [row[0] for row in searches["rows"]] == ["sft", "grpo"]
    assert by_calls["rows"] == [["sft", 0, 3, pytest.approx(1 / 3)], ["sft", 2, 1, 1.0], ["grpo", 2, 1, 1.0]]


def test_columns_of_the_reproduction() -> None:
    told = {"known": False, "hops": 2, "disputed": False}
    given = {
        "a": {**measures.answers([{"runs": [run(True, "search", reliable=1.0)]}])[0], **told},
        "b": {**measures.answers([{"runs": [run(False)]}])[0], **told, "hops": 1},
        "c": {**measures.answers([{"runs": [run(True)]}])[0], **told, "known": True},
    }
    made = compared.measure(given)
    assert (made["unknown"], made["unknown 2"], made["known"], made["reliable"]) == (0.5, 1.0, 1.0, 1.0)
    assert made["searched known"] == 0.0 and "disputed" not in made
