"""The pool of `data.rl_source=variance` as a flow: stored answers, resumed, re-used under another rule."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmreason.config import Domain, Recipe, load_domain
from mmreason.data.passrate import pool_path
from mmreason.errors import UserError
from mmreason.project import load_module, project_dir
from mmreason.records import Answer, AnswerKind, Message, Role, Rollout, Sample, Source, Stop
from mmreason.records.io import read_samples, write_samples
from mmreason.run.folder import RunFolder

rl = load_module(project_dir() / "data_pipelines" / "rl.py")
KINDS = ("split", "never", "always", "wild")


def recipe(**selection: Any) -> Recipe:
    values = {
        "system": "temporal-r1",
        "model": {"tiny": {"vocab": 400}},
        "data": {
            "pipelines": [],
            "embedded": [],
            "rl_source": "variance",
            "rl_kinds": ["interval"],
            "selection": {"k": 4, **selection},
        },
        "task": {"rewards": [{"term": "temporal_r1/rewards.py:dual"}]},
        "grpo": {"optim": {"lr": 1e-4}, "steps": 1},
        "eval": {"suites": []},
    }
    return Recipe.model_validate(values)


def question(kind: str, number: int) -> Sample:
    answer = Answer(AnswerKind.INTERVAL, "[[10, 20]]")
    name = f"{kind}{number}"
    made = Sample(name, Source("d", "t", "", name), (Message.of(Role.USER, "when ?"),), answer)
    return made.with_meta(duration=40.0, prompt_tokens=3)


class Engine:
    """Answers whose overlap is known: 1 and 0.5 by turns; 0; 1; or no JSON in three of four."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def generate(self, samples: Any, sampling: Any, n: int = 1, seed: int = 0, on_done: Any = None) -> Any:
        self.asked += [sample.id for sample in samples]
        return [[self._answer(sample.id, k) for k in range(n)] for sample in samples]

    def _answer(self, name: str, k: int) -> Rollout:
        kind = name.rstrip("0123456789")
        end = {"split": (20, 15)[k % 2], "never": 5, "always": 20, "wild": 20}[kind]
        start = 1 if kind == "never" else 10
        block = "soon" if kind == "wild" and k else f'{{"start_time": "{start}", "end_time": "{end}"}}'
        return Rollout((), (), (), f"<think>so</think><answer>{block}</answer>", Stop.EOS)


@pytest.fixture
def video() -> Domain:
    from mmreason.config import with_task

    return with_task(load_domain(project_dir() / "domains" / "video"), recipe().task)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path / "run")
    write_samples(made.data / "rl.parquet", [question(kind, number) for kind in KINDS for number in range(10)])
    write_samples(made.data / "sft.parquet", [])
    return made


def test_reasons_numbers_and_raw_answers_are_on_disk(folder: RunFolder, video: Domain) -> None:
    facts = rl.main(recipe(), video, folder, Engine(), "start model")
    assert facts["reasons"] == {"kept": 10, "never_near": 10, "nearly_solved": 10, "unread": 10}
    pool = read_samples(pool_path(recipe(), folder))
    assert {sample.id for sample in pool} == {f"split{number}" for number in range(10)}
    assert all(s.metadata["sigma"] == 0.25 and s.difficulty == 0.25 and s.response is None for s in pool)
    assert json.loads((folder.data / "variance.json").read_text())["by_type"]["interval"]["kept"] == 10
    rows = [json.loads(line) for line in (folder.data / "selection.jsonl").read_text().splitlines()]
    assert len(rows) == 40 and rows[0]["mean"] == 0.75
    (chunk,) = (folder.data / "trials").iterdir()
    stored = json.loads(chunk.read_text())["trials"]["split0"]
    assert len(stored) == 4 and stored[0]["text"].startswith("<think>so</think>") and stored[1]["credit"] == 0.5


def test_another_rule_needs_no_new_answers(folder: RunFolder, video: Domain) -> None:
    rl.main(recipe(), video, folder, Engine(), "start model")
    again = Engine()
    facts = rl.main(recipe(rule="lowest", keep=10), video, folder, again, "start model")
    assert again.asked == [] and facts["reasons"] == {"kept": 10, "not_drawn": 30}
    changed = Engine()
    rl.main(recipe(), video, folder, changed, "another model")
    assert len(changed.asked) == 40, "other weights, other answers"


def test_a_stopped_pool_goes_on(folder: RunFolder, video: Domain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rl, "CHUNK", 8)
    first = Engine()

    def stop(*args: Any, **kwargs: Any) -> Any:
        if len(first.asked) >= 24:
            raise KeyboardInterrupt
        return Engine.generate(first, *args, **kwargs)

    monkeypatch.setattr(first, "generate", stop)
    with pytest.raises(KeyboardInterrupt):
        rl.main(recipe(), video, folder, first, "start model")
    second = Engine()
    rl.main(recipe(), video, folder, second, "start model")
    assert len(second.asked) == 16 and not set(first.asked) & set(second.asked)


OWN = """
from mmreason.data.selection import Drawn

def first(samples, trials, *, options, seed, before):
    kept = [one for one in samples if sum(trial.credit for trial in trials[one.id]) == options["wanted"]][:3]
    rows = [{"id": one.id, "kept": one in kept} for one in samples]
    return Drawn(kept[::-1], rows, {"seed": seed, "round": before.get("round", 0) + 1})
"""


def test_a_rule_of_the_systems_own_gets_the_answers_and_what_came_before(
    folder: RunFolder, video: Domain, tmp_path: Path
) -> None:
    (tmp_path / "own.py").write_text(OWN, encoding="utf-8")
    chosen = recipe(rule=f"{tmp_path}/own.py:first").model_copy(update={"options": {"wanted": 4}})
    begin = tmp_path / "before" / "checkpoints" / "grpo" / "final"  # another run's model, trained on a pool of its own
    begin.mkdir(parents=True)
    facts = rl.main(chosen, video, folder, Engine(), begin)
    assert (facts["kept"], facts["candidates"], facts["round"], facts["k"]) == (3, 40, 1, 4)
    assert [one.id for one in read_samples(pool_path(chosen, folder))] == ["always2", "always1", "always0"]
    rows = [json.loads(line) for line in (folder.data / "selection.jsonl").read_text().splitlines()]
    assert len(rows) == 40 and sum(row["kept"] for row in rows) == 3

    (tmp_path / "before" / "data").mkdir()
    (tmp_path / "before" / "data" / "variance.json").write_text('{"round": 6}', encoding="utf-8")
    again = Engine()
    assert rl.main(chosen, video, folder, again, begin)["round"] == 7
    assert again.asked == [], "the rule changes nothing about the answers"
    own = folder.final("sft")
    own.mkdir(parents=True)
    assert rl.main(chosen, video, folder, Engine(), own)["round"] == 1, "its own pool is not the one before"

    none = chosen.model_copy(update={"options": {"wanted": 9}})
    with pytest.raises(UserError, match=r"own\.py:first keeps none of 40 questions"):
        rl.main(none, video, folder, Engine(), begin)
    lost = recipe(rule="temporal_r1/settings.py:firts")
    with pytest.raises(UserError, match=r"has no 'firts'"):
        rl.main(lost, video, folder, Engine(), begin)


def test_an_empty_choice_and_a_source_without_a_pool_are_refused(folder: RunFolder, video: Domain) -> None:
    with pytest.raises(UserError, match="keeps none of 40 questions"):
        rl.main(recipe(sigma_min=0.9), video, folder, Engine(), "start model")
    other = recipe().model_copy(update={"data": recipe().data.model_copy(update={"rl_source": "all"})})
    with pytest.raises(UserError, match="needs no pool"):
        rl.main(other, video, folder, Engine(), "start model")


def test_no_more_are_asked_than_that(folder: RunFolder) -> None:
    drawn = [sample.id for sample in rl.candidates(recipe(asked=7), folder)]
    every = [sample.id for sample in rl.candidates(recipe(), folder)]
    assert len(drawn) == len(set(drawn)) == 7 and drawn == [name for name in every if name in drawn] != every[:7]
    assert drawn == [sample.id for sample in rl.candidates(recipe(asked=7), folder)]
    assert every == [sample.id for sample in rl.candidates(recipe(asked=len(every)), folder)]
