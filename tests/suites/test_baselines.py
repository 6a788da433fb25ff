"""What stands beside a score: constants by hand, and the same model without pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mmreason.config import Domain, Recipe, load_domain
from mmreason.config.recipe import Sampling
from mmreason.models.codec import Encoded
from mmreason.project import load_module, project_dir
from mmreason.records import Answer, AnswerKind, Message, Rollout, Sample, Source, Stop
from mmreason.rollout.engine import Request
from mmreason.run.files import write_jsonl
from mmreason.run.folder import RunFolder
from mmreason.suites.beside import commonest, constant_rows
from mmreason.suites.question_only import skipped, without_media
from mmreason.suites.results import describe

run = load_module(project_dir() / "eval" / "run.py")
SUITE = """\
name: colours
version: 1
title: Colours
split: test
baselines: [constants, question_only]
"""
SOURCES = """\
own:
  title: Ten rows
  licence: Apache-2.0
  commercial: true
  use: eval
  reader: mmreason.data.own:read
  files: {test: [rows.jsonl]}
"""


def made(kind: AnswerKind, *golds: str) -> list[Sample]:
    return [Sample(f"{kind}-{n}", Source("s", "test", "", str(n)), (), Answer(kind, g)) for n, g in enumerate(golds)]


def scored(samples: Sequence[Sample], values: Sequence[float]) -> list[dict[str, Any]]:
    return [
        {"id": sample.id, "acc": value, "runs": [{}], "interval_by": "question", "document": ""}
        for sample, value in zip(samples, values, strict=True)
    ]


def test_constants_by_hand() -> None:
    """Four of six are "yes" or "Left"; one word gets three of six, one word a kind five."""
    samples = made(AnswerKind.JUDGEMENT, "yes", "yes", "no", "yes") + made(AnswerKind.SPAN, "Left", "left")
    assert commonest(samples) == {"judgement": "yes", "span": "Left"}
    single, kinds = constant_rows(samples, scored(samples, [1, 1, 1, 1, 1, 0]), {"no": {}, "yes": {}})
    assert (single["said"], single["mean"]) == ("always yes", 0.5)
    assert kinds["said"] == "the commonest answer of each kind: yes to judgement, Left to span"
    assert kinds["mean"] == pytest.approx(5 / 6, abs=1e-6) and kinds["gain"]["mean"] == 0.0
    assert single["gain"]["mean"] == pytest.approx(2 / 6, abs=1e-6)
    assert single["gain"]["low"] < 2 / 6 < single["gain"]["high"] and single["low"] < 0.5 < single["high"]


def test_a_commonest_answer_that_is_no_usual_constant_is_tried() -> None:
    samples = made(AnswerKind.CHOICE, "F", "F", "A")
    (only,) = constant_rows(samples, scored(samples, [1, 0, 1]), {"A": {}, "B": {}})
    assert (only["said"], only["mean"]) == ("always F", pytest.approx(2 / 3, abs=1e-6))


class Looking:
    """Gives the gold where it is shown a picture, else always A."""

    class codec:
        visual_ids: tuple[int, ...] = ()
        merge = 1

        @staticmethod
        def encode(sample: Sample) -> Encoded:
            return Encoded([ord(letter) for letter in sample.question])

        @staticmethod
        def media_counts() -> dict[str, int]:
            return {}

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, str]] = []

    def extend(self, requests: Sequence[Request], sampling: Sampling, n: int = 1, seed: int = 0) -> list[list[Rollout]]:
        found = []
        for sample in (request.sample for request in requests):
            self.asked.append((sample.id, len(sample.media), sample.question))
            text = f"<answer>\\boxed{{{sample.answer.gold if sample.media else 'A'}}}</answer>"
            found.append([Rollout((1,), (2,), (-0.1,), text, Stop.EOS)] * n)
        return found


@pytest.fixture
def colours(tmp_path: Path) -> Domain:
    """Ten questions about pictures, six of them A, in a domain of their own."""
    folder = tmp_path / "colours"
    (folder / "suites").mkdir(parents=True)
    (folder / "suites" / "colours.yaml").write_text(SUITE)
    (folder / "sources.yaml").write_text(SOURCES)
    (folder / "domain.yaml").write_text("name: colours\nprompts: {default: prompt.txt}\n")
    (folder / "prompt.txt").write_text("{question}\n{options}")
    options = {"A": "red", "B": "blue"}
    rows = []
    for n in range(10):
        letter = "AB"[n >= 6]
        Image.new("RGB", (28, 28 + n), options[letter]).save(folder / f"{n}.png")
        rows.append({"id": str(n), "question": f"Which? ({n})", "answer": letter, "options": options})
        rows[-1]["images"] = [f"{n}.png"]
    write_jsonl(folder / "rows.jsonl", rows)
    return load_domain(folder)


def recipe_with(**settings: Any) -> Recipe:
    values = {"model": {"tiny": {}}, "data": {"pipelines": [], "embedded": []}, "system": "test"}
    return Recipe.model_validate({**values, "eval": {"suites": ["colours"], **settings}})


def test_question_only_is_asked_without_pictures_and_stands_beside(colours: Domain, tmp_path: Path) -> None:
    engine, folder = Looking(), RunFolder(tmp_path / "run")
    arguments = (colours, folder, "sft", engine, ["colours"], colours.folder, "some-model")
    results = run.evaluate(recipe_with(), *arguments)["colours"]
    constant, blind = results["mmreason"]["summary"]["baselines"]
    assert results["mmreason"]["summary"]["strict"]["mean"] == 1.0
    assert (constant["said"], constant["mean"], blind["name"], blind["mean"]) == ("always A", 0.6, "question_only", 0.6)
    assert blind["gain"]["mean"] == pytest.approx(0.4) and blind["gain"]["low"] > 0
    seen, unseen = engine.asked[:10], engine.asked[10:]
    assert [(name, text) for name, _, text in seen] == [(name, text) for name, _, text in unseen]
    assert {shown for _, shown, _ in seen} == {1} and {shown for _, shown, _ in unseen} == {0}
    assert "question only 60.0 %" in describe(results)
    assert len((folder.eval / "sft" / "colours.question_only.samples.jsonl").read_text().splitlines()) == 10
    assert not list((folder.eval / "sft").glob("*answers*"))
    run.evaluate(recipe_with(), *arguments)
    assert len(engine.asked) == 20, "a finished evaluation is not asked again"


def test_a_recipe_switches_it_off(colours: Domain, tmp_path: Path) -> None:
    engine = Looking()
    run.evaluate(
        recipe_with(baselines=[]), colours, RunFolder(tmp_path / "run"), "sft", engine, ["colours"], colours.folder, "m"
    )
    assert len(engine.asked) == 10


def test_why_there_is_none(colours: Domain) -> None:
    plain = made(AnswerKind.CHOICE, "A")
    assert skipped(plain, None) == "no question shows a picture or clip"
    shown = Sample("x", Source("s", "test", "", "0"), (Message.of("user", "q?", 1),), Answer(AnswerKind.CHOICE, "A"))
    assert without_media(shown).messages[0].text == "q?" and len(without_media(shown).messages[0].parts) == 1
