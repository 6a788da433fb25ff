"""The command line as a process: plans, lists, one-line errors, exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Cli

ROOT = Path(__file__).resolve().parents[1]


def one_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Exit code 2, one line on stderr that holds all `words`, nothing on stdout."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("mmreason: ")
    assert done.stderr.count("\n") == 1
    assert [word for word in words if word not in done.stderr] == []


@pytest.mark.parametrize("profile", ["cpu", "gpu1", "paper"])
def test_every_profile_prints_its_plan(cli: Cli, tmp_path: Path, profile: str) -> None:
    done = cli("run", "dianjin-r1", "--profile", profile, "--dry-run", "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    for word in ("data -> ", "-> grpo -> eval_grpo -> report", "data/decontamination.json", "card.md", "settings"):
        assert word in done.stdout
    assert not (tmp_path / "out").exists()


def test_the_paper_is_launched_in_several_processes(cli: Cli) -> None:
    done = cli("run", "dianjin-r1", "--profile", "paper", "--dry-run")
    launch = [line for line in done.stdout.splitlines() if "accelerate" in line]
    assert [" sft " in launch[0], " grpo " in launch[1]] == [True, True]
    assert "--num_processes 8" in launch[0]
    assert "--profile paper" in launch[0]


def test_a_plan_loads_no_torch() -> None:
    code = (
        "import sys; sys.argv = ['mmreason', 'run', 'dianjin-r1', '--profile', 'paper', '--dry-run']\n"
        "from mmreason.cli import main\ntry:\n    main()\n"
        "except SystemExit:\n    pass\nprint('loaded', sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "loaded []", done.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["run", "dianjin"], ["'dianjin'", "did you mean 'dianjin-r1'"]),
        (["run", "dianjin-r1", "--profile", "gpu"], ["no profile 'gpu'"]),
        (["run", "dianjin-r1", "grpo.stepz=3"], ["'grpo.stepz'", "did you mean 'steps'"]),
        (["run", "dianjin-r1", "grpo.algorithm=dapoo"], ["no algorithm 'dapoo'", "did you mean 'dapo'"]),
        (["run", "dianjin-r1", "grpo.methods=[sirren]"], ["no method 'sirren'", "did you mean 'siren'"]),
        (["run", "dianjin-r1", "grpo.methods=[siren, pear]"], ["pear", "set grpo.advantage to centred"]),
        (["run", "dianjin-r1", "data.embedded=[ledger_mqc]"], ["'ledger_mqc'", "did you mean 'ledger_mcq'"]),
        (["run", "dianjin-r1", "eval.embedded_suites=[ledger_opne]"], ["'ledger_opne'", "did you mean 'ledger_open'"]),
        (["run", "dianjin-r1", "data.embedded=[]"], ["data.embedded is empty"]),
        (["run", "dianjin-r1", "--data", "no/such/folder"], ["no data folder no/such/folder", "--data"]),
        (["eval", "--model", "no/model", "--suite", "ledger_open"], ["no transformers checkpoint at no/model"]),
        (["eval", "--model", "no/model", "--suite", "ledger_opne"], ["did you mean 'ledger_open'"]),
        (["score", "--suite", "ledger_open", "--predictions", "none.jsonl"], ["none.jsonl"]),
        (["compare", "a.json", "b.json"], ["a.json"]),
        (["view", "no/run"], ["no run folder no/run"]),
    ],
)
def test_mistakes_are_one_line(cli: Cli, words: list[str], expected: list[str]) -> None:
    one_line(cli(*words), *expected)


def test_training_on_an_evaluation_set_is_refused(cli: Cli, own_domain: Path) -> None:
    file = own_domain / "sources.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("use: train", "use: eval"), encoding="utf-8")
    one_line(cli("run", str(own_domain)), "own", "use: eval", "refused")


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("systems", ["dianjin-r1", "finance"]),
        ("suites", ["ledger_open", "finqa"]),
        ("methods", ["sft", "grpo"]),
        ("recipes", ["domains/finance/dianjin_r1/recipe.yaml", "cpu, gpu1, paper", "training/recipe.yaml"]),
        ("models", ["dianjin-r1", "Qwen2.5-7B-Instruct", "tiny"]),
    ],
)
def test_lists(cli: Cli, what: str, words: list[str]) -> None:
    done = cli("list", what)
    assert done.returncode == 0, done.stderr
    assert [word for word in words if word not in done.stdout] == []


def test_unknown_words_are_the_users_mistake(cli: Cli) -> None:
    assert cli("list", "nothing").returncode == 2
    assert cli("walk").returncode == 2
    assert cli("run").returncode == 2


def test_the_doctor_finds_this_machine_well(cli: Cli) -> None:
    done = cli("doctor")
    assert "torch" in done.stdout
    assert done.returncode == (1 if "bad " in done.stdout else 0)
