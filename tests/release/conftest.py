"""A run folder whose model is a real tiny checkpoint; only its training and answers are made up."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mmreason.config import load_domain, load_recipe
from mmreason.config.recipe import TinyModel
from mmreason.models.tiny import build_tiny
from mmreason.models.tokenizer import train_tokenizer
from mmreason.project import project_dir
from mmreason.protocol import Protocol
from mmreason.run import manifest
from mmreason.run.files import write_json, write_text
from mmreason.run.folder import RunFolder
from mmreason.suites.answers import model_hash

STRICT = {"mean": 0.75, "low": 0.62, "high": 0.84, "method": "wilson"}
SETS = [{"name": "ledger_open", "licence": "Apache-2.0", "commercial": True, "use": "train", "read": 9, "kept": 8}]


def results(suite: str, model: str) -> dict[str, Any]:
    """A results file, as far as cards and releases read it."""
    summary = {"questions": 60, "strict": STRICT, "official": {}, "unread_rate": 0.05, "format_rate": 0.9}
    block = {"suite": suite, "title": f"Title of {suite}", "version": 1, "coverage": "all 60 of test"}
    block |= {"stage": "grpo", "key": {"model": model}, "protocol": "f" * 16, "summary": summary}
    return {"results": {suite: {"acc,none": 0.75}}, "config": {"model_args": {"path": "/srv/a/b"}}, "mmreason": block}


def make_run(path: Path, family: str = "qwen2") -> RunFolder:
    """A finished run of the ledgers under `path`."""
    recipe_path = project_dir() / "domains" / "finance" / "dianjin_r1" / "recipe.yaml"
    recipe, domain = load_recipe(recipe_path, "cpu", []), load_domain(project_dir() / "domains" / "finance")
    folder = RunFolder(path)
    manifest.start(folder, recipe, domain, None, ["mmreason", "run", "dianjin-r1", "--out", str(path)])
    sizes = TinyModel(family=family, hidden=32, layers=1, ffn=64, vocab=400, vision_hidden=32, vision_layers=1)
    final = folder.final("grpo")
    build_tiny(sizes, train_tokenizer(["rent jan is 4"] * 4, 400), 0, final)
    write_json(final / "protocol.json", Protocol.of(domain).to_dict())
    for stage in ("data", "sft", "grpo"):
        folder.mark_done(stage)
        manifest.finish_stage(folder, stage, 1.0)
    write_json(folder.data / "report.json", {"datasets": SETS})
    for suite in recipe.eval.embedded_suites:
        write_json(folder.eval / "grpo" / f"{suite}.json", results(suite, model_hash(final)))
    write_text(folder.path / "report.html", f"<p>made in {folder.path} from {domain.folder}</p>")
    return folder


@pytest.fixture(scope="session")
def made_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("made") / "run").path


@pytest.fixture
def run(made_run: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(made_run, tmp_path / "run"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and downloads that do not wait between tries."""
    monkeypatch.setenv("MMREASON_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("mmreason.release.download.PAUSE", 0.0)
    return tmp_path / "cache"


@pytest.fixture
def edit(run: Path) -> Any:
    """Change a JSON file of the run through a function."""

    def change(name: str, how: Any) -> None:
        values = json.loads((run / name).read_text(encoding="utf-8"))
        how(values)
        write_json(run / name, values)

    return change
