"""What a run folder holds, read into plain values; what is not there is named, so that a page can say it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from mmreason.config.recipe import Recipe
from mmreason.records import Sample
from mmreason.records.io import read_samples
from mmreason.run.folder import RunFolder
from mmreason.run.metrics import read_metrics
from mmreason.suites.results import read_records, read_results

STAGES = ("base", "sft", "grpo")
_HEAVY = ("prompt_ids", "ids", "logprobs")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RunView:
    """A run folder as read. Absent files are empty values here and a sentence in `missing`."""

    name: str
    manifest: Row
    metrics: list[Row]
    data_report: Row
    decontamination: Row
    results: dict[str, dict[str, Row]]
    """Stage -> suite -> results file."""
    rollout_files: list[Path]
    missing: list[str]

    @property
    def recipe(self) -> Row:
        """The resolved recipe, empty without a manifest."""
        return dict(self.manifest.get("settings", {}).get("recipe", {}))

    @property
    def domain(self) -> Row:
        """domain.yaml as the run read it, empty without a manifest."""
        return dict(self.manifest.get("settings", {}).get("domain", {}))

    @property
    def stages(self) -> list[str]:
        return list(self.results)

    @property
    def suites(self) -> list[str]:
        """Suites of any stage, in the order in which they first appear."""
        return list(dict.fromkeys(suite for found in self.results.values() for suite in found))

    def stages_of(self, suite: str) -> list[str]:
        """Stages that were evaluated on the suite."""
        return [stage for stage, suites in self.results.items() if suite in suites]


def main_stages(stages: Iterable[str]) -> list[str]:
    """Those that train or begin a run, without the controls of their evaluation; all where none is."""
    stages = list(stages)
    return [stage for stage in stages if stage in STAGES] or stages


def _json(path: Path, missing: list[str], what: str) -> Row:
    if not path.is_file():
        missing.append(f"{what} ({path.name}) is not there")
        return {}
    found = json.loads(path.read_text(encoding="utf-8"))
    return found if isinstance(found, dict) else {"rows": found}


def _results(folder: RunFolder) -> dict[str, dict[str, Row]]:
    present = [path.name for path in folder.eval.iterdir() if path.is_dir()] if folder.eval.is_dir() else []
    ordered = [stage for stage in STAGES if stage in present] + sorted(set(present) - set(STAGES))
    files = {stage: sorted((folder.eval / stage).glob("*.json")) for stage in ordered}
    found = {stage: {path.stem: read_results(path) for path in paths} for stage, paths in files.items()}
    return {stage: suites for stage, suites in found.items() if suites}


def _evaluated(manifest: Row, planned: Sequence[str]) -> list[str]:
    """The models that the run was to evaluate: with --data on its suites, else on the embedded ones."""
    settings = manifest.get("settings", {})
    asked = settings.get("recipe", {}).get("eval", {})
    if not asked.get("suites" if settings.get("data_dir") else "embedded_suites"):
        return []
    return ["base", *planned] if asked.get("base", True) else list(planned)


def gather(folder: RunFolder) -> RunView:
    """Read everything of a run but its sample records and rollouts, which are read when shown."""
    missing: list[str] = []
    manifest = _json(folder.manifest, missing, "The manifest")
    data_report = _json(folder.data / "report.json", missing, "The data report")
    decontamination = _json(folder.data / "decontamination.json", missing, "The decontamination report")
    metrics, results = read_metrics(folder.metrics), _results(folder)
    rollouts = sorted(folder.rollouts.glob("step_*.parquet"))
    trained = {row["stage"] for row in metrics}
    planned = [stage for stage in STAGES[1:] if manifest.get("settings", {}).get("recipe", {}).get(stage)]
    missing += [f"Training stage {stage} has no metrics yet" for stage in planned if stage not in trained]
    missing += [f"Training stage {stage} is not finished" for stage in sorted(trained) if not folder.is_done(stage)]
    missing += [f"Stage {stage} is not evaluated" for stage in _evaluated(manifest, planned) if stage not in results]
    if "grpo" in trained and not rollouts:
        missing.append("No rollouts are saved")
    return RunView(folder.path.name, manifest, metrics, data_report, decontamination, results, rollouts, missing)


def stage_records(folder: RunFolder, stage: str, suite: str) -> dict[str, Row]:
    """Sample id -> scored record of one evaluated suite."""
    return {record["id"]: record for record in read_records(folder.eval / stage / f"{suite}.json")}


def read_rollouts(path: Path) -> list[Row]:
    """Rows of one rollout file without token ids and log-probabilities."""
    columns = [name for name in pq.read_schema(path).names if name not in _HEAVY]
    return list(pq.read_table(path, columns=columns).to_pylist())


def media_root(folder: RunFolder, manifest: Row) -> Path | None:
    """The data folder of the run; without one its made pictures or the domain's own; None without a manifest."""
    given, domain = manifest.get("settings", {}).get("data_dir"), manifest.get("domain", {}).get("folder")
    if not given and folder.made.is_dir():
        return folder.made
    return Path(given or domain) if given or domain else None


def rl_samples(folder: RunFolder) -> dict[str, Sample]:
    """Sample id -> sample of every RL pool that lies in the run's data folder."""
    return {sample.id: sample for path in sorted(folder.data.glob("rl*.parquet")) for sample in read_samples(path)}


def flat(values: Any, prefix: str = "") -> dict[str, Any]:
    """Nested settings as dotted keys; lists stay whole."""
    if not isinstance(values, dict) or not values:
        return {prefix: values}
    pairs = (flat(value, f"{prefix}.{key}" if prefix else str(key)) for key, value in values.items())
    return {key: value for part in pairs for key, value in part.items()}


def reconstructed(recipe: Row) -> list[Row]:
    """Settings that the paper leaves open: fields whose description says [reconstructed], and the recipe's own list
    (`options.reconstructed`: key -> reason)."""
    settings = flat(recipe)
    described = _descriptions(Recipe.model_json_schema())
    rows = [
        {"key": key, "value": settings[key], "why": text}
        for key, text in described.items()
        if "[reconstructed" in text and key in settings
    ]
    own = recipe.get("options", {}).get("reconstructed", {})
    return rows + [{"key": key, "value": settings.get(key, ""), "why": why} for key, why in own.items()]


def _descriptions(schema: Row) -> dict[str, str]:
    """Dotted key -> description over a pydantic JSON schema; optional settings models are followed."""
    definitions = schema.get("$defs", {})
    found: dict[str, str] = {}
    pending = [("", schema)]
    while pending:
        prefix, node = pending.pop()
        for name, field in node.get("properties", {}).items():
            key = f"{prefix}{name}"
            found[key] = field.get("description", "")
            links = [option["$ref"] for option in (field, *field.get("anyOf", [])) if "$ref" in option]
            pending += [(f"{key}.", definitions[link.rsplit("/", 1)[1]]) for link in links]
    return found
