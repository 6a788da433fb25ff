"""Releases that travel with the package: small, free, whole, and of use to an installed copy without a network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from mmreason.release.listing import read_kept
from mmreason.release.names import pull_named, resolve_model, shipped, shipped_dir

NAMES = sorted(shipped())
LIMIT = 4_000_000
# Every way out leads to a port that nobody listens on.
DEAD = {key: "http://127.0.0.1:9" for key in ("http_proxy", "https_proxy", "all_proxy", "HF_ENDPOINT")}


def installed_cli(installed: Path, cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The installed copy in an empty folder, without a network."""
    kept = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"}
    environment = {**kept, **DEAD, **{key.upper(): value for key, value in DEAD.items()}}
    environment |= {"PYTHONPATH": str(installed), "MMREASON_CACHE": str(cwd / "cache"), "NO_PROXY": ""}
    command = [sys.executable, "-m", "mmreason.cli", *words]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)


def results(folder: Path, suite: str) -> Any:
    return json.loads((folder / "evaluation" / f"{suite}.json").read_text(encoding="utf-8"))["mmreason"]


def test_there_is_one_for_dianjin() -> None:
    assert "tiny-dianjin-r1" in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_it_is_small_and_alone(name: str) -> None:
    """One revision each: older ones would stay in every installation."""
    folders = [path for path in (shipped_dir() / name).iterdir() if path.name != "refs"]
    assert [path.name for path in folders] == [shipped()[name].revision]
    assert sum(path.stat().st_size for path in folders[0].rglob("*") if path.is_file()) <= LIMIT


@pytest.mark.parametrize("name", NAMES)
def test_it_is_free_and_its_card_says_what_its_results_say(name: str) -> None:
    folder = pull_named(name)
    card = ModelCard.load(folder / "README.md").data
    assert card.license == "apache-2.0"
    assert "Apache License" in (folder / "LICENSE").read_text(encoding="utf-8")
    assert card.model_name == name
    for entry in (one for one in card.eval_results if one.metric_type == "accuracy"):
        strict = results(folder, entry.dataset_type)["summary"]["strict"]
        assert entry.metric_value == strict["mean"]
        assert (entry.metric_args["low"], entry.metric_args["high"]) == (strict["low"], strict["high"])
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["settings"]["data_dir"] is None  # embedded data alone


@pytest.mark.parametrize("name", NAMES)
def test_it_loads_and_answers(name: str) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = resolve_model(name)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    chat = [{"role": "user", "content": "hello"}]
    ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    out = model.generate(**ids, max_new_tokens=64, do_sample=False)
    assert "<think>" in tokenizer.decode(out[0, ids["input_ids"].shape[1] :])


def test_an_installed_copy_pulls_without_a_network(installed: Path, tmp_path: Path) -> None:
    done = installed_cli(installed, tmp_path, "pull", "tiny-dianjin-r1")
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.strip())
    assert folder.is_relative_to(tmp_path / "cache")
    assert read_kept(folder) == shipped()["tiny-dianjin-r1"]
    listed = installed_cli(installed, tmp_path, "list", "models")
    assert f"tiny-dianjin-r1  {folder.name}  pulled, {folder}" in listed.stdout
    wrong = installed_cli(installed, tmp_path, "pull", "tiny-dianjin")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "did you mean 'tiny-dianjin-r1'?" in wrong.stderr


@pytest.mark.slow
def test_an_installed_copy_reaches_the_score_of_the_card(installed: Path, tmp_path: Path) -> None:
    """The whole suite again, with the settings of the run: the score lies inside the card's interval."""
    words = ("--suite", "ledger_open", "--system", "dianjin-r1", "--out", str(tmp_path / "out"))
    done = installed_cli(installed, tmp_path, "eval", "--model", "tiny-dianjin-r1", *words)
    assert done.returncode == 0, done.stderr
    folder = installed_cli(installed, tmp_path, "pull", "tiny-dianjin-r1").stdout.strip()
    block = json.loads((tmp_path / "out" / "eval" / "model" / "ledger_open.json").read_text(encoding="utf-8"))[
        "mmreason"
    ]
    claimed = results(Path(folder), "ledger_open")["summary"]["strict"]
    assert claimed["low"] <= block["summary"]["strict"]["mean"] <= claimed["high"]
    assert block["coverage"] == results(Path(folder), "ledger_open")["coverage"]
