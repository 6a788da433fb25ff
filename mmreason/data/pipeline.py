"""Run one data set: read, a list of steps, kept and dropped on disk with counts by step and reason."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field

import mmreason
from mmreason.config import Domain, read_yaml
from mmreason.config.strict import Strict, validate
from mmreason.data.sources import data_root, read_source, source_files
from mmreason.data.step import Drop, StepContext
from mmreason.errors import UserError, nearest
from mmreason.project import load_ref, project_dir
from mmreason.records import Sample
from mmreason.records.io import write_samples
from mmreason.run.files import file_sha256, replacing, write_json

STEPS = {
    "ambiguity": "mmreason.data.ambiguity:ambiguity",
    "answerable": "mmreason.data.filters:answerable",
    "difficulty": "mmreason.data.filters:difficulty",
    "duplicate": "mmreason.data.filters:duplicate",
    "holdout": "mmreason.data.holdout:holdout",
    "length": "mmreason.data.filters:length",
    "to_open": "mmreason.data.open_questions:to_open",
    "workflow": "mmreason.data.compliance:workflow",
}
"""Name in a data-set YAML -> step. A domain's own step needs no entry: {ref: "steps.py:mine"}."""

NEEDS_JUDGE = frozenset({"ambiguity"})
"""Steps left out, and reported as left out, when the recipe has no judge endpoint."""

Bound = Callable[[Iterable[Sample | Drop]], Iterator[Sample | Drop]]


class DatasetFile(Strict):
    """One YAML of data_pipelines/: which split of which source, through which steps."""

    name: str
    source: str
    """Key in the domain's sources.yaml."""
    split: str
    options: dict[str, Any] = Field(default_factory=dict)
    """Passed to the reader; `recipe.options.<name>` overrides single keys."""
    steps: list[str | dict[str, Any]] = Field(default_factory=list)
    """'name', {name: {options}} or {ref: 'file.py:function', ...options}, in order."""


@dataclass(frozen=True, slots=True)
class Built:
    """Where a finished data set lies, and its counts."""

    name: str
    kept: Path
    dropped: Path
    facts: dict[str, Any]
    """read, kept, dropped {step: {reason: n}}, steps, skipped, files {name: sha256}, fingerprint."""
    reused: bool


def load_dataset(name: str, domain: Domain) -> DatasetFile:
    """By name from data_pipelines/, or a YAML path relative to the domain folder."""
    folder = project_dir() / "data_pipelines"
    path = domain.folder / name if name.endswith((".yaml", ".yml")) else folder / f"{name}.yaml"
    if not path.is_file():
        known = [file.stem for file in folder.glob("*.yaml")]
        raise UserError(f"no data set {name!r} ({path}){nearest(name, known)}")
    return validate(DatasetFile, read_yaml(path), str(path))


def parse_step(entry: str | dict[str, Any], dataset: str) -> tuple[str, str, dict[str, Any]]:
    """(name, reference, options) of one entry of `steps`."""
    if isinstance(entry, dict) and "ref" in entry:
        return entry["ref"], entry["ref"], {key: value for key, value in entry.items() if key != "ref"}
    if isinstance(entry, dict) and len(entry) != 1:
        raise UserError(f"data set {dataset}: step {entry!r} has {len(entry)} keys; write one name with its options")
    name, options = (entry, {}) if isinstance(entry, str) else next(iter(entry.items()))
    if name not in STEPS:
        raise UserError(f"data set {dataset}: unknown step {name!r}{nearest(name, STEPS)}")
    if not isinstance(options or {}, dict):
        raise UserError(f"data set {dataset}: step {name!r} is given {options!r}, expected options as key: value")
    return name, STEPS[name], options or {}


def bind_steps(dataset: DatasetFile, context: StepContext) -> tuple[list[Bound], dict[str, str]]:
    """The callable steps, and those left out with why."""
    teacher = context.recipe.data.teacher
    has_judge = teacher is not None and teacher.judge is not None
    bound: list[Bound] = []
    skipped: dict[str, str] = {}
    for entry in dataset.steps:
        name, ref, options = parse_step(entry, dataset.name)
        if name in NEEDS_JUDGE and not has_judge:
            skipped[name] = "no judge endpoint in data.teacher.judge"
        else:
            function = load_ref(ref, context.domain.folder)
            _check_options(name, function, options)
            bound.append(partial(function, context=context, **options))
    return bound, skipped


def _check_options(name: str, function: Callable[..., Any], options: dict[str, Any]) -> None:
    """Refuse options that the step does not take, and missing ones, before anything is read."""
    known = list(inspect.signature(function).parameters.values())[2:]
    for key in options:
        if key not in {parameter.name for parameter in known}:
            raise UserError(f"step {name!r} has no option {key!r}{nearest(key, [p.name for p in known])}")
    needed = [p.name for p in known if p.default is p.empty and p.kind is not p.VAR_KEYWORD and p.name not in options]
    if needed:
        raise UserError(f"step {name!r} needs the option {needed[0]!r}")


def reader_options(dataset: DatasetFile, context: StepContext) -> dict[str, Any]:
    """The YAML's options, with the recipe's for this source and data set on top."""
    over = context.recipe.options
    extra = [over[key] for key in dict.fromkeys((dataset.source, dataset.name)) if isinstance(over.get(key), dict)]
    return {key: value for options in (dataset.options, *extra) for key, value in options.items()}


def input_hashes(dataset: DatasetFile, context: StepContext) -> dict[str, str]:
    """File -> sha256 of the input files of this split; empty for a generated set."""
    root = data_root(context.domain, context.data_dir)
    paths = source_files(context.domain, dataset.source, dataset.split, context.data_dir)
    return {str(path.relative_to(root)): file_sha256(path) for path in paths}


def fingerprint(dataset: DatasetFile, context: StepContext, files: dict[str, str]) -> str:
    """Digest of everything the result depends on: inputs, YAML, recipe's data part, reader, version."""
    entry = context.domain.source(dataset.source)
    reader = context.domain.folder / entry.reader.partition(":")[0]
    parts = {
        "version": mmreason.__version__,
        "dataset": dataset.model_dump(),
        "options": reader_options(dataset, context),
        "recipe": context.recipe.data.model_dump(exclude={"dir", "pipelines", "embedded"}),
        "seed": context.recipe.seeds.data,
        "entry": entry.model_dump(),
        "reader": file_sha256(reader) if reader.is_file() else entry.reader,
        "files": files,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


class _Tally:
    """Counts a stream and keeps its drops: every row read must end as kept or dropped."""

    def __init__(self) -> None:
        self.read: set[str] = set()
        self.ended: set[str] = set()
        self.kept = 0
        self.reasons: Counter[tuple[str, str]] = Counter()

    def count_read(self, stream: Iterable[Sample | Drop]) -> Iterator[Sample | Drop]:
        for item in stream:
            self.read.add(item.id)
            yield item

    def keep(self, stream: Iterable[Sample | Drop], dropped: Any) -> Iterator[Sample]:
        for item in stream:
            self.ended.add(item.id)
            if isinstance(item, Drop):
                self.reasons[item.step, item.reason] += 1
                dropped.write(drop_line(item) + "\n")
            else:
                self.ended.add(str(item.metadata.get("twin_of", item.id)))
                self.kept += 1
                yield item

    def check(self, dataset: str) -> None:
        lost = sorted(self.read - self.ended)
        if lost:
            raise UserError(
                f"data set {dataset}: a step lost {len(lost)} rows without a reason, first {lost[0]}; yield a Drop"
            )


def drop_line(drop: Drop) -> str:
    """One line of dropped.jsonl."""
    row = {"id": drop.id, "step": drop.step, "reason": drop.reason, "detail": drop.detail, "row": drop.row}
    return json.dumps(row, ensure_ascii=False)


def nested(reasons: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    """{(step, reason): n} as {step: {reason: n}}."""
    table: dict[str, dict[str, int]] = {}
    for (step, reason), count in sorted(reasons.items()):
        table.setdefault(step, {})[reason] = count
    return table


def build_dataset(dataset: DatasetFile, context: StepContext) -> Built:
    """Build a data set into `work_dir/sets/<name>/`, or reuse it if nothing that it depends on has changed."""
    folder = context.work_dir / "sets" / dataset.name
    kept, dropped, facts_path = folder / "kept.parquet", folder / "dropped.jsonl", folder / "facts.json"
    files = input_hashes(dataset, context)
    mark = fingerprint(dataset, context, files)
    if facts_path.is_file():
        facts = json.loads(facts_path.read_text(encoding="utf-8"))
        if facts["fingerprint"] == mark:
            return Built(dataset.name, kept, dropped, facts, reused=True)
        facts_path.unlink()  # a kill between here and the end must not leave old facts beside new rows
    steps, skipped = bind_steps(dataset, context)
    tally = _Tally()
    options, seed = reader_options(dataset, context), context.recipe.seeds.data
    stream: Iterable[Sample | Drop] = tally.count_read(
        read_source(
            context.domain, dataset.source, dataset.split, context.data_dir, options, seed, context.work_dir / "made"
        )
    )
    for step in steps:
        stream = step(stream)
    with replacing(dropped) as beside, beside.open("w", encoding="utf-8") as handle:
        write_samples(kept, tally.keep(stream, handle))
    tally.check(dataset.name)
    facts = {
        "name": dataset.name,
        "source": dataset.source,
        "split": dataset.split,
        "read": len(tally.read),
        "kept": tally.kept,
        "dropped": nested(tally.reasons),
        "steps": dataset.steps,
        "skipped": skipped,
        "files": files,
        "fingerprint": mark,
    }
    write_json(facts_path, facts)
    return Built(dataset.name, kept, dropped, facts, reused=False)
