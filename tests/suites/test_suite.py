"""The suites themselves: each names what exists, cuts are stable, coverage is said as it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmreason.config import Domain, load_domain
from mmreason.config.recipe import RewardSettings
from mmreason.data.holdout import held_out
from mmreason.data.sources import read_source
from mmreason.errors import UserError
from mmreason.project import load_module, project_dir
from mmreason.records import Sample
from mmreason.rewards.reward import load_reward
from mmreason.suites.reading import coverage, is_official, read_suite, suite_questions, suite_samples
from mmreason.suites.rules import applicable, scorer
from mmreason.suites.scoring import Output, score_outputs
from mmreason.suites.suite import Suite, list_suites, load_suite, source_name, suite_domain


@pytest.fixture(scope="module")
def finance() -> Domain:
    return load_domain(project_dir() / "domains" / "finance")


def _own_suite(folder: Path, **more: object) -> Domain:
    """Put a suite of one's own into a domain folder."""
    (folder / "suites").mkdir()
    values = {"name": "mine", "version": 1, "title": "Mine", "split": "train", **more}
    (folder / "suites" / "mine.yaml").write_text(json.dumps(values), encoding="utf-8")
    return load_domain(folder)


@pytest.mark.parametrize("name", list_suites())
def test_every_suite_names_a_declared_split_and_known_rules(name: str, finance: Domain) -> None:
    suite = load_suite(name)
    assert suite.metrics[0] == "strict"
    applicable(suite, [])
    if suite.domain is not None:
        domain = suite_domain(suite, finance)
        entry = domain.source(source_name(suite, domain))
        assert not entry.files or suite.split in entry.files
        assert all(split in entry.files for split in suite.also)
        assert suite.licence and (entry.use == "eval" or suite.held_out or suite.split != "train")


def test_suites_of_ones_own_domain(own_domain: Path) -> None:
    domain = _own_suite(own_domain, group_by=["kind"])
    assert "mine" in list_suites(domain) and "mine" not in list_suites()
    samples = suite_samples(load_suite("mine", domain), domain, None)
    assert len(samples) == 20 and all("prompted" in sample.metadata for sample in samples)
    assert sum(len(sample.media) for sample in samples) == 8


def test_held_out_rows_are_those_that_training_leaves(own_domain: Path) -> None:
    domain = load_domain(own_domain)
    rows = [row for row in read_source(domain, "own", "train", None) if isinstance(row, Sample)]
    asked = {sample.id for sample in suite_samples(load_suite("own", domain), domain, None, eval_fraction=0.4)}
    assert asked == {row.id for row in rows if held_out(row, 0.4)} and 0 < len(asked) < 20


def test_no_held_out_row_is_an_error_that_says_what_to_do(own_domain: Path) -> None:
    domain = load_domain(own_domain)
    with pytest.raises(UserError, match=r"none of 20 rows of own is held out at data.eval_fraction 0.0"):
        suite_samples(load_suite("own", domain), domain, None, eval_fraction=0.0)


def test_limits_are_nested_and_keep_the_order_of_the_file(own_domain: Path) -> None:
    domain = _own_suite(own_domain)
    suite = load_suite("mine", domain)
    whole, small, large = (
        [sample.id for sample in suite_samples(suite, domain, None, limit)] for limit in (None, 5, 9)
    )
    assert len(small) == 5 and set(small) < set(large) < set(whole)
    assert large == [name for name in whole if name in set(large)]


def test_questions_are_bare_for_decontamination(own_domain: Path) -> None:
    domain = _own_suite(own_domain)
    bare, put = (read(load_suite("mine", domain), domain, None)[0] for read in (suite_questions, suite_samples))
    assert bare.id == put.id and bare.question in put.question and bare.question != put.question
    assert "prompted" not in bare.metadata


def test_rows_that_a_reader_refuses_are_counted(finance: Domain, tmp_path: Path) -> None:
    row = {"id": "a", "question": "what is 1 plus 2 ?", "context": [], "table": [["x", "1"]], "exe_ans": 3.0}
    rows = [
        {**row, "program": "add(1, 2)", "arguments": []},
        {**row, "id": "b", "program": "add(2, 2)", "arguments": []},
    ]
    (tmp_path / "finqa").mkdir()
    path = tmp_path / "finqa" / "val.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in rows), encoding="utf-8")
    entry = finance.source("finqa").model_copy(update={"files": {"val": ["finqa/val.jsonl"]}})
    domain = finance.model_copy(update={"sources": {**finance.sources, "finqa": entry}})
    data = read_suite(load_suite("finqa"), domain, tmp_path, subset=True)
    assert len(data.samples) == 1 and data.dropped == {"program_mismatch": 1}


# (released, held out, answered, words, official)
COVERAGE = [
    (883, False, 883, "all 883 of val", True),
    (883, False, 183, "subset 183 of 883 of val", False),
    (421, True, 421, "subset 421 of 421 of val", False),
    (None, False, 20, "20 questions of val", False),
]


@pytest.mark.parametrize(("released", "held", "count", "words", "official"), COVERAGE)
def test_coverage(released: int | None, held: bool, count: int, words: str, official: bool) -> None:
    suite = Suite(name="x", version=1, title="X", split="val", released_count=released, held_out=held)
    assert coverage(suite, count) == words and is_official(suite, count) is official
    assert not is_official(suite.model_copy(update={"reader_only": True}), count), "no published scorer to speak for"


def test_faults_of_suite_files(own_domain: Path) -> None:
    domain = _own_suite(own_domain, metrcs=["strict"])
    with pytest.raises(UserError, match=r"unknown key 'metrcs'.*did you mean 'metrics'"):
        load_suite("mine", domain)
    with pytest.raises(UserError, match="did you mean 'finqa'"):
        load_suite("fniqa")
    with pytest.raises(UserError, match=r"no reference scorer 'finqa.scaler'.*did you mean 'scalar'"):
        scorer("finqa.scaler")
    with pytest.raises(UserError, match=r"no module 'fniqa'.*did you mean 'finqa'"):
        scorer("fniqa.scalar@cut")
    (own_domain / "suites" / "other.yaml").write_text("{name: third, version: 1, title: T, split: s}", encoding="utf-8")
    with pytest.raises(UserError, match="name is 'third', expected 'other'"):
        load_suite("other", domain)


def test_program_rules_are_used_only_where_outputs_are_programs() -> None:
    suite = load_suite("finqa")
    numbers = ["<think>t</think><answer>\\boxed{3.1}</answer>", None]
    kept = applicable(suite, numbers).metrics
    assert "finqa.scalar" in kept and not {"finqa.execution", "finqa.program"} & set(kept)
    programs = [*numbers, "<think>t</think><answer>add(1, 2), divide(#0, 3)</answer>"]
    assert applicable(suite, programs).metrics == suite.metrics


def test_gated_questions_are_not_kept(finance: Domain, tmp_path: Path) -> None:
    (tmp_path / "gpqa").mkdir()
    head = "Question,Correct Answer,Incorrect Answer 1,Incorrect Answer 2,Incorrect Answer 3\n"
    (tmp_path / "gpqa" / "gpqa_diamond.csv").write_text(head + "Secret item?,w,x,y,z\n", encoding="utf-8")
    entry = finance.source("gpqa").model_copy(update={"count": {}})
    domain = finance.model_copy(update={"sources": {**finance.sources, "gpqa": entry}})
    suite = load_suite("gpqa")
    samples = suite_samples(suite, domain, tmp_path, subset=True)
    outputs = [[Output(f"<think>t</think><answer>\\boxed{{{s.answer.gold}}}</answer>")] for s in samples]
    records = score_outputs(suite, samples, outputs, load_reward(RewardSettings(), domain))
    assert len(records) == 4 and all(record["acc"] == 1.0 for record in records)
    assert len({json.dumps(record["doc"]["metadata"]["permutation"]) for record in records}) > 1
    assert "Secret" not in json.dumps(records) and all(record["doc_hash"] for record in records)


REAL = [
    "finqa",
    "convfinqa",
    "tatqa",
    "cflue",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("fineval", "math500")),
]


@pytest.mark.parametrize("name", REAL)
def test_gold_as_prediction_is_all_right_on_real_sets(
    name: str, finance: Domain, real_data: Path, tmp_path: Path
) -> None:
    suite = load_suite(name)
    path = tmp_path / "gold.jsonl"
    with path.open("w", encoding="utf-8") as handle:
        for sample in suite_samples(suite, finance, real_data, subset=True):
            text = f"<think>t</think><answer>\\boxed{{{sample.answer.gold}}}</answer>"
            handle.write(json.dumps({"id": sample.id, "output": text}) + "\n")
    summary = load_module(project_dir() / "eval" / "score.py").main(name, path, data_dir=real_data, subset=True)[
        "mmreason"
    ]["summary"]
    assert summary["strict"]["mean"] == 1.0
    assert max(rules["strict"] for rules in summary["constants"].values()) < 0.3
