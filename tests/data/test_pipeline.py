from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from making import context

import mmreason.data.pipeline as pipeline
from mmreason.config import load_domain
from mmreason.data.pipeline import DatasetFile, build_dataset, load_dataset, parse_step
from mmreason.data.step import StepContext
from mmreason.errors import UserError
from mmreason.project import load_ref, project_dir
from mmreason.records.io import read_samples

READER = """
from mmreason.data.step import Drop
from mmreason.records import Answer, AnswerKind, Message, Role, Sample, Source

def read(request):
    for index in range(request.options.get("items", 6)):
        row = f"r{index}"
        if index == 4:
            yield Drop(row, "read", "program_mismatch", "made up", {"row": index})
            continue
        text = f"how much is item {min(index, 2)} of the ledger of this whole long year together ?"
        source = Source("made", request.split, "Apache-2.0", row)
        yield Sample(row, source, (Message.of(Role.USER, text),), Answer(AnswerKind.NUMBER, str(index)))
"""
STEPS = """
from dataclasses import replace

def lose(stream, context):
    for index, item in enumerate(stream):
        if index != 1:
            yield item

def twins(stream, context):
    for item in stream:
        yield item
        if hasattr(item, "answer"):
            yield replace(item, id=item.id + "-b").with_meta(twin_of=item.id)

def stop(stream, context):
    for index, item in enumerate(stream):
        if index == 3:
            raise KeyboardInterrupt
        yield item
"""


@pytest.fixture
def run(tmp_path: Path) -> StepContext:
    (tmp_path / "reader.py").write_text(READER, encoding="utf-8")
    (tmp_path / "steps.py").write_text(STEPS, encoding="utf-8")
    return context(tmp_path)


def dataset(*steps: Any, **options: Any) -> DatasetFile:
    return DatasetFile(name="set1", source="made", split="train", options=options, steps=list(steps))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_kept_and_dropped_add_up_and_lie_on_disk(run: StepContext) -> None:
    built = build_dataset(dataset("duplicate", {"length": {"min_tokens": 3}}), run)
    assert built.facts["read"] == 6 and built.facts["kept"] == 3
    assert built.facts["dropped"] == {"duplicate": {"duplicate": 2}, "read": {"program_mismatch": 1}}
    assert [sample.id for sample in read_samples(built.kept)] == ["r0", "r1", "r2"]
    drops = lines(built.dropped)
    assert [(drop["id"], drop["reason"], drop["detail"]) for drop in drops] == [
        ("r3", "duplicate", "same as r2"),
        ("r4", "program_mismatch", "made up"),
        ("r5", "duplicate", "same as r2"),
    ]
    assert drops[0]["row"]["answer"]["gold"] == "3"


def test_a_finished_set_is_reused_until_something_changes(run: StepContext, tmp_path: Path) -> None:
    first = build_dataset(dataset("duplicate"), run)
    assert not first.reused and build_dataset(dataset("duplicate"), run).reused
    assert not build_dataset(dataset("duplicate", {"length": {}}), run).reused, "other steps"
    assert not build_dataset(dataset("duplicate", items=3), run).reused, "other options"
    assert build_dataset(dataset("duplicate", items=3), run).reused
    (tmp_path / "reader.py").write_text(READER + "\n# changed\n", encoding="utf-8")
    assert not build_dataset(dataset("duplicate", items=3), run).reused, "other reader"


def test_a_stopped_build_leaves_no_set_and_the_next_run_makes_it(run: StepContext) -> None:
    with pytest.raises(KeyboardInterrupt):
        build_dataset(dataset({"ref": "steps.py:stop"}), run)
    folder = run.work_dir / "sets" / "set1"
    assert not list(folder.glob("*")), "neither whole nor half files"
    assert build_dataset(dataset("duplicate"), run).facts["kept"] == 3


def test_a_stopped_rebuild_does_not_leave_old_facts_beside_new_rows(run: StepContext) -> None:
    build_dataset(dataset(), run)
    with pytest.raises(KeyboardInterrupt):
        build_dataset(dataset({"ref": "steps.py:stop"}), run)
    assert not (run.work_dir / "sets" / "set1" / "facts.json").exists()


def test_a_step_that_loses_rows_is_caught(run: StepContext) -> None:
    with pytest.raises(UserError, match="a step lost 1 rows without a reason, first r1"):
        build_dataset(dataset({"ref": "steps.py:lose"}), run)


def test_a_step_may_add_linked_rows(run: StepContext) -> None:
    built = build_dataset(dataset({"ref": "steps.py:twins"}), run)
    assert built.facts["read"] == 6 and built.facts["kept"] == 10


BAD_STEPS = [
    ("duplicat", "unknown step 'duplicat' \\(did you mean 'duplicate'\\?\\)"),
    ({"length": {}, "duplicate": {}}, "has 2 keys"),
    ({"length": 15}, "is given 15, expected options"),
]


@pytest.mark.parametrize(("entry", "message"), BAD_STEPS)
def test_wrong_steps_are_named(entry: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_step(entry, "set1")


def test_wrong_step_option_and_missing_reference(run: StepContext) -> None:
    with pytest.raises(UserError, match=r"step 'length' has no option 'min_token' \(did you mean 'min_tokens'\?\)"):
        build_dataset(dataset({"length": {"min_token": 3}}), run)
    with pytest.raises(UserError, match=r"steps\.py has no 'los'"):
        build_dataset(dataset({"ref": "steps.py:los"}), run)


def test_judge_steps_without_a_judge_are_reported_as_left_out(run: StepContext) -> None:
    built = build_dataset(dataset("ambiguity", "duplicate"), run)
    assert built.facts["skipped"] == {"ambiguity": "no judge endpoint in data.teacher.judge"}


def test_recipe_options_override_single_reader_options(run: StepContext) -> None:
    over = run.recipe.model_copy(update={"options": {"set1": {"items": 2}, "made": {"items": 5}}})
    built = build_dataset(dataset(items=6), StepContext(over, run.domain, None, run.work_dir))
    assert built.facts["read"] == 2


def test_every_shipped_yaml_is_valid(run: StepContext) -> None:
    paths = sorted((project_dir() / "data_pipelines").glob("*.yaml"))
    assert len(paths) >= 9
    domains = [load_domain(file.parent) for file in (project_dir() / "domains").glob("*/domain.yaml")]
    for path in paths:
        shipped = load_dataset(path.stem, run.domain)
        assert shipped.name == path.stem
        home = next((domain.folder for domain in domains if shipped.source in domain.sources), run.domain.folder)
        for entry in shipped.steps:
            name, reference, _ = parse_step(entry, shipped.name)
            assert name in pipeline.STEPS or callable(load_ref(reference, home))


def test_unknown_set_and_unknown_key(run: StepContext, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no data set 'finqaa'.*did you mean 'finqa'"):
        load_dataset("finqaa", run.domain)
    (tmp_path / "mine.yaml").write_text("name: mine\nsource: made\nsplit: train\nstep: []\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"unknown key 'step' \(did you mean 'steps'\?\)"):
        load_dataset("mine.yaml", run.domain)


def test_a_full_disk_is_one_line_and_keeps_what_stood_there(run: StepContext, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    import mmreason.records.io as io

    built = build_dataset(dataset("duplicate"), run)
    before = built.kept.read_bytes()

    def full(*args: Any, **more: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(io.pq, "write_table", full)
    with pytest.raises(UserError, match=r"no space left to write .*kept\.parquet"):
        build_dataset(dataset(), run)
    assert built.kept.read_bytes() == before
