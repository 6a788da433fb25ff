"""The data flows on the embedded ledgers: every row accounted for, drops on disk, the same files twice."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmreason.config import load_domain
from mmreason.config.domain import Domain
from mmreason.config.recipe import Recipe
from mmreason.data.sources import read_source
from mmreason.errors import UserError
from mmreason.project import load_module, project_dir
from mmreason.records import Rollout, Sample, Stop
from mmreason.records.io import read_samples, write_samples
from mmreason.rewards.terms import score
from mmreason.run.folder import RunFolder

cold_start = load_module(project_dir() / "data_pipelines" / "cold_start.py")
rl = load_module(project_dir() / "data_pipelines" / "rl.py")
decontaminate = load_module(project_dir() / "data_pipelines" / "decontaminate.py")
ITEMS = 120
SETS = ("sft", "sft_unverified", "rl", "rl_other")


def recipe(**data: Any) -> Recipe:
    teacher = {"solver": "dianjin_r1/ledger.py:solver", "options": {"error_rate": 0.3}}
    values = {
        "system": "dianjin-r1",
        "model": {"tiny": {"vocab": 400}},
        "data": {"pipelines": [], "embedded": ["ledger_mcq", "ledger_open"], "teacher": teacher, **data},
        "sft": {"optim": {"lr": 1e-3}},
        "grpo": {"optim": {"lr": 1e-4}, "steps": 1},
        "eval": {"suites": []},
        "options": {"ledger": {"items": ITEMS}},
    }
    return Recipe.model_validate(values)


@pytest.fixture(scope="module")
def finance() -> Domain:
    return load_domain(project_dir() / "domains" / "finance")


def questions(domain: Domain, split: str, items: int, form: str = "open") -> list[Sample]:
    options = {"items": items, "form": form}
    return [s for s in read_source(domain, "ledger", split, None, options) if isinstance(s, Sample)]


@pytest.fixture(scope="module")
def built(finance: Domain, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, dict[str, Any]]:
    """A run whose evaluation set knows five training questions in their open form."""
    folder = RunFolder(tmp_path_factory.mktemp("run"))
    leaked = [replace(s, id=f"eval-{s.id}") for s in questions(finance, "train", 5)]
    known = [*questions(finance, "test", 20), *leaked]
    return folder, cold_start.main(recipe(), finance, folder, eval_samples=known)


def drops(folder: RunFolder) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder.data / "dropped.jsonl").read_text(encoding="utf-8").splitlines()]


def test_every_row_is_in_one_set_or_dropped_with_a_reason(built: tuple[RunFolder, dict[str, Any]]) -> None:
    folder, report = built
    sets = {name: read_samples(folder.data / f"{name}.parquet") for name in SETS}
    left = drops(folder)
    ends = Counter([*(s.id for name in ("sft", "rl", "rl_other") for s in sets[name]), *(d["id"] for d in left)])
    assert len(ends) == 2 * ITEMS == report["totals"]["read"] and set(ends.values()) == {1}
    for entry in report["datasets"]:
        gone = sum(count for reasons in entry["dropped"].values() for count in reasons.values())
        assert entry["read"] == ITEMS == entry["sft"] + entry["rl"] + entry["rl_other"] + gone
        assert entry["licence"] == "Apache-2.0" and entry["use"] == "train"


def test_sets_hold_what_they_promise(built: tuple[RunFolder, dict[str, Any]], finance: Domain) -> None:
    folder, _ = built
    settings = recipe().grpo.reward  # type: ignore[union-attr]
    taught = read_samples(folder.data / "sft.parquet")
    assert all(score(s.response or "", s.answer, settings).reward == 1.0 for s in taught), "verified chains alone"
    pool = read_samples(folder.data / "rl.parquet")
    assert pool and all(s.response is None and s.answer.kind == "choice" for s in pool)
    assert all(s.metadata["source"] == "teacher_failed" and s.metadata["attempts"] == 3 for s in pool)
    assert all(s.answer.kind == "number" for s in read_samples(folder.data / "rl_other.parquet"))
    first = read_samples(folder.data / "sft_unverified.parquet")
    assert len(first) == len(taught) + len(pool) + len(read_samples(folder.data / "rl_other.parquet"))
    wrong = sum(score(s.response or "", s.answer, settings).reward == 0.0 for s in first)
    assert 0.15 < wrong / len(first) < 0.4, "the control arm keeps the teacher's errors"
    assert all("prompted" in s.metadata for s in (*taught, *pool)), "prompts are final"


def test_leaks_and_their_twins_are_dropped_and_reported(built: tuple[RunFolder, dict[str, Any]]) -> None:
    folder, report = built
    leaks = [drop for drop in drops(folder) if drop["step"] == "decontaminate"]
    assert len(leaks) == 10 and {drop["reason"] for drop in leaks} == {"same_text", "same_question"}
    told = json.loads((folder.data / "decontamination.json").read_text(encoding="utf-8"))
    assert told["dropped"] == 10 and told["kinds"]["same_text"] == 5 and len(told["pairs"]) == 10
    assert report["totals"]["dropped"]["decontaminate"] == {"same_question": 5, "same_text": 5}


def test_documents_and_hashes(built: tuple[RunFolder, dict[str, Any]]) -> None:
    folder, report = built
    documents = json.loads((folder.data / "train_documents.json").read_text(encoding="utf-8"))
    assert set(documents.values()) <= {1, 2} and len(documents) == ITEMS - 5
    assert set(report["files"]) == {f"{name}.parquet" for name in SETS}


def test_the_same_run_twice_gives_the_same_bytes(built: tuple[RunFolder, dict[str, Any]], finance: Domain) -> None:
    folder, report = built
    leaked = [replace(s, id=f"eval-{s.id}") for s in questions(finance, "train", 5)]
    again = cold_start.main(recipe(), finance, folder, eval_samples=[*questions(finance, "test", 20), *leaked])
    assert again["files"] == report["files"]
    assert [entry["reused"] for entry in again["datasets"]] == [True, True]


def test_long_rows_are_dropped_under_the_stage_they_are_too_long_for(finance: Domain, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    short = recipe(max_prompt_tokens=20)
    report = cold_start.main(short, finance, folder)
    assert report["totals"]["rl"] == 0 and report["totals"]["sft"] > 0
    assert set(report["totals"]["dropped"]) - {"duplicate"} == {"too_long_rl"}
    assert all("at most 20" in drop["detail"] for drop in drops(folder) if drop["step"] == "too_long_rl")


def test_training_on_an_eval_set_is_refused(finance: Domain, tmp_path: Path) -> None:
    entry = finance.sources["ledger"].model_copy(update={"use": "eval"})
    barred = finance.model_copy(update={"sources": {**finance.sources, "ledger": entry}})
    with pytest.raises(UserError, match="training on an evaluation set is refused"):
        cold_start.main(recipe(), barred, RunFolder(tmp_path / "run"))


class HalfRight:
    """An engine that answers every third question right always, every third never, every third half of the time."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.asked: list[str] = []
        self.stop_after = stop_after

    def generate(self, samples: Any, sampling: Any, n: int = 1, seed: int = 0, on_done: Any = None) -> Any:
        if self.stop_after is not None and len(self.asked) >= self.stop_after:
            raise KeyboardInterrupt
        self.asked += [sample.id for sample in samples]
        return [[self._answer(sample, k) for k in range(n)] for sample in samples]

    def _answer(self, sample: Sample, k: int) -> Rollout:
        luck = sum(sample.id.encode()) % 3
        right = luck == 0 or (luck == 2 and k % 2 == 0)
        text = f"<think>so</think><answer>\\boxed{{{sample.answer.gold if right else 'nothing'}}}</answer>"
        return Rollout((), (), (), text, Stop.EOS)


def test_the_pass_rate_pool_keeps_the_questions_between(
    built: tuple[RunFolder, dict[str, Any]], finance: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, report = built
    monkeypatch.setattr(rl, "CHUNK", 16)
    stopped = HalfRight(stop_after=32)
    with pytest.raises(KeyboardInterrupt):
        rl.main(recipe(rl_source="passrate"), finance, folder, stopped)
    engine = HalfRight()
    facts = rl.main(recipe(rl_source="passrate"), finance, folder, engine)
    assert len(stopped.asked) == 32 and not set(stopped.asked) & set(engine.asked), "finished chunks are kept"
    pool = read_samples(folder.data / "rl_passrate.parquet")
    ids = [*stopped.asked, *engine.asked]
    assert {s.id for s in pool} == {id for id in ids if sum(id.encode()) % 3 == 2}
    assert all(s.difficulty == 0.5 and s.response is None and s.metadata["source"] == "passrate" for s in pool)
    assert facts["candidates"] == len(ids) == facts["kept"] + facts["all_wrong"] + facts["all_right"]
    assert len(ids) == report["datasets"][0]["sft"] + report["totals"]["rl"], "choice questions of both sets"


def test_the_decontamination_flow_on_files(finance: Domain, tmp_path: Path) -> None:
    train, known = questions(finance, "train", 30), questions(finance, "train", 4)
    write_samples(tmp_path / "train.parquet", train)
    write_samples(tmp_path / "eval.parquet", [replace(s, id=f"e-{s.id}") for s in known])
    report = decontaminate.main(tmp_path / "train.parquet", tmp_path / "out", [tmp_path / "eval.parquet"])
    assert report["dropped"] == 4 and len(read_samples(tmp_path / "out" / "clean.parquet")) == 26
    with pytest.raises(UserError, match="no sample file"):
        decontaminate.main(tmp_path / "none.parquet", tmp_path / "out", [tmp_path / "eval.parquet"])
