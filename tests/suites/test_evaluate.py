"""An evaluation end to end on the embedded suite, with an engine that answers from a table."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mmreason.config import Domain, Recipe, load_domain
from mmreason.config.recipe import Sampling
from mmreason.errors import UserError
from mmreason.models.codec import Encoded
from mmreason.project import load_module, project_dir
from mmreason.records import Rollout, Sample, Stop
from mmreason.rollout.engine import Request
from mmreason.run.folder import RunFolder
from mmreason.suites.results import read_records, read_results

run = load_module(project_dir() / "eval" / "run.py")


class TextCodec:
    """Characters as ids."""

    visual_ids: tuple[int, ...] = ()
    merge = 1

    def encode(self, sample: Sample) -> Encoded:
        return Encoded([ord(letter) for letter in sample.question])

    def media_counts(self) -> dict[str, int]:
        return {}


class TableEngine:
    """Answers half of the questions right, and can be stopped after some chunks."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.chunks: list[tuple[list[str], int]] = []
        self.stop_after = stop_after

    codec = TextCodec()

    def extend(self, requests: Sequence[Request], sampling: Sampling, n: int = 1, seed: int = 0) -> list[list[Rollout]]:
        if self.stop_after is not None and len(self.chunks) >= self.stop_after:
            raise KeyboardInterrupt
        samples = [request.sample for request in requests]
        self.chunks.append(([sample.id for sample in samples], seed))
        return [[self._answer(sample, (index + seed) % 4) for _ in range(n)] for index, sample in enumerate(samples)]

    def _answer(self, sample: Sample, turn: int) -> Rollout:
        wrong = {"yes": "no", "no": "yes"}.get(sample.answer.gold, "123456")
        texts = [
            f"<think>work</think><answer>\\boxed{{{sample.answer.gold}}}</answer>",
            f"<think></think><answer>\\boxed{{{sample.answer.gold}}}</answer>",
            f"<think>work</think><answer>\\boxed{{{wrong}}}</answer>",
            "<think>no end",
        ]
        stop = Stop.LENGTH if turn == 3 else Stop.EOS
        return Rollout((1,), (2, 3), (-0.1, -0.2), texts[turn], stop)


@pytest.fixture
def recipe() -> Recipe:
    return Recipe.model_validate(
        {
            "system": "test",
            "model": {"tiny": {}},
            "data": {"pipelines": [], "embedded": []},
            "eval": {"suites": [], "embedded_suites": ["ledger_open"], "batch": 8, "limit": 20},
        }
    )


@pytest.fixture
def domain() -> Domain:
    return load_domain(project_dir() / "domains" / "finance")


def _evaluate(recipe: Recipe, domain: Domain, folder: RunFolder, engine: TableEngine) -> dict[str, Any]:
    return run.evaluate(recipe, domain, folder, "sft", engine, ["ledger_open"], None, "some-model")["ledger_open"]


def test_results_hold_three_outcomes_and_the_shape_of_lm_eval(recipe: Recipe, domain: Domain, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    results = _evaluate(recipe, domain, folder, TableEngine())
    task, block = results["results"]["ledger_open"], results["mmreason"]
    assert task["acc,none"] == 0.5 and task["acc_stderr,none"] == pytest.approx((0.25 / 19) ** 0.5)
    assert task["unread_rate,none"] == 0.25 and task["sample_len"] == 20
    assert results["n-samples"] == {"ledger_open": {"original": 300, "effective": 20}}
    assert results["higher_is_better"]["ledger_open"]["acc"] is True
    assert results["higher_is_better"]["ledger_open"]["unread_rate"] is False
    assert results["n-shot"] == {"ledger_open": 0} and results["versions"] == {"ledger_open": 1}
    assert block["coverage"] == "subset 20 of 300 of test" and block["official"] is False
    summary = block["summary"]
    assert (summary["right"], summary["wrong"], summary["unread"]) == (10, 5, 5)
    assert summary["unread_causes"] == {"prediction": 5, "gold": 0, "timeout": 0}
    assert summary["cut_share"] == 0.25 and summary["think_empty_share"] == 0.25
    assert summary["reward"]["mean"] == 0.25, "a right answer behind an empty think block earns nothing"
    assert read_results(folder.eval / "sft" / "ledger_open.json") == json.loads(json.dumps(results))


def test_a_stopped_suite_continues_where_it_was(recipe: Recipe, domain: Domain, tmp_path: Path) -> None:
    folder, whole = RunFolder(tmp_path / "stopped"), RunFolder(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        _evaluate(recipe, domain, folder, TableEngine(stop_after=2))
    assert not (folder.eval / "sft" / "ledger_open.json").exists()
    second, uninterrupted = TableEngine(), TableEngine()
    _evaluate(recipe, domain, folder, second)
    _evaluate(recipe, domain, whole, uninterrupted)
    assert second.chunks == uninterrupted.chunks[2:], "only the third chunk is drawn again"
    names = [folder.eval / "sft" / "ledger_open.json", whole.eval / "sft" / "ledger_open.json"]
    assert read_records(names[0]) == read_records(names[1])
    assert not list((folder.eval / "sft").glob("*answers*")), "the partial file is gone when the suite is done"


def test_a_finished_suite_is_skipped_until_the_model_changes(
    recipe: Recipe, domain: Domain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder(tmp_path)
    _evaluate(recipe, domain, folder, TableEngine())
    again = TableEngine()
    _evaluate(recipe, domain, folder, again)
    assert again.chunks == [] and "finished before" in capsys.readouterr().err
    run.evaluate(recipe, domain, folder, "sft", again, ["ledger_open"], None, "another-model")
    assert len(again.chunks) == 3


def test_another_protocol_than_the_checkpoint_is_said(
    recipe: Recipe, domain: Domain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder(tmp_path)
    model = folder.final("sft")
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    (model / "protocol.json").write_text('{"hash": "0000000000000000"}')
    results = run.evaluate(recipe, domain, folder, "sft", TableEngine(), ["ledger_open"], None)["ledger_open"]
    assert "differs from the checkpoint's 0000000000000000" in capsys.readouterr().err
    assert results["mmreason"]["protocol_differs"] is True


def test_training_documents_split_the_score(recipe: Recipe, domain: Domain, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    first = _evaluate(recipe, domain, folder, TableEngine())
    assert first["mmreason"]["summary"]["by_training_document"] is None, "no list of training documents"
    records = read_records(folder.eval / "sft" / "ledger_open.json")
    seen = {record["document"]: 1 for record in records[:6]}
    folder.data.mkdir()
    (folder.data / "train_documents.json").write_text(json.dumps(seen))
    results = run.evaluate(recipe, domain, folder, "grpo", TableEngine(), ["ledger_open"], None, "some-model")
    split = results["ledger_open"]["mmreason"]["summary"]["by_training_document"]
    assert (split["in_train"]["questions"], split["not_in_train"]["questions"]) == (6, 14)
    assert split["in_train"]["right"] + split["not_in_train"]["right"] == 10


def test_unknown_suite_names_the_nearest_before_any_answer(recipe: Recipe, domain: Domain, tmp_path: Path) -> None:
    engine = TableEngine()
    with pytest.raises(UserError, match="did you mean 'ledger_open'"):
        run.evaluate(recipe, domain, RunFolder(tmp_path), "sft", engine, ["ledger_mcq", "ledger_opne"], None, "m")
    assert engine.chunks == []


def test_several_greedy_answers_are_refused(recipe: Recipe, domain: Domain, tmp_path: Path) -> None:
    twice = recipe.model_copy(update={"eval": recipe.eval.model_copy(update={"runs": 2})})
    with pytest.raises(UserError, match="temperature 0"):
        _evaluate(twice, domain, RunFolder(tmp_path), TableEngine())


def test_scorers_that_no_answer_fits_are_left_out_and_the_evaluation_ends(
    recipe: Recipe, domain: Domain, tmp_path: Path
) -> None:
    """lm-eval asks for the aggregations anew for each metric, also after such a scorer has left the suite."""
    text = (project_dir() / "eval" / "suites" / "ledger_open.yaml").read_text(encoding="utf-8")
    own = tmp_path / "domain"
    shutil.copytree(domain.folder, own)
    (own / "suites").mkdir(exist_ok=True)
    words = text.replace("name: ledger_open", "name: judged").replace("[strict]", "[strict, mathverse.official]")
    (own / "suites" / "judged.yaml").write_text(words, encoding="utf-8")
    found = run.evaluate(
        recipe, load_domain(own), RunFolder(tmp_path / "run"), "sft", TableEngine(), ["judged"], None, "some-model"
    )["judged"]
    assert found["mmreason"]["summary"]["official"] == {} and found["results"]["judged"]["acc,none"] == 0.5


def test_absent_files_are_said_before_anything_is_answered(recipe: Recipe, domain: Domain, tmp_path: Path) -> None:
    engine = TableEngine(stop_after=0)
    with pytest.raises(UserError, match=r"finqa_released/test\.json missing"):
        run.evaluate(recipe, domain, RunFolder(tmp_path), "sft", engine, ["ledger_open", "finqa_test"], tmp_path, "m")
    assert not (tmp_path / "eval").exists()


def test_no_questions_at_all_are_refused(recipe: Recipe) -> None:
    values = recipe.model_dump()
    values["eval"]["limit"] = 0
    with pytest.raises(ValidationError, match="greater than 0"):
        Recipe.model_validate(values)
