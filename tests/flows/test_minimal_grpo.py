"""The loop to read first runs as a reader would run it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from mmreason.config.recipe import TinyModel
from mmreason.data.step import ReadRequest
from mmreason.models.tiny import build_tiny
from mmreason.models.tokenizer import train_tokenizer
from mmreason.project import load_module, project_dir
from mmreason.records.io import write_samples


def test_two_steps_print_a_reward_each(tmp_path: Path) -> None:
    ledger = load_module(project_dir() / "domains" / "finance" / "dianjin_r1" / "ledger.py")
    samples = list(ledger.read(ReadRequest("ledger", "train", [], None, {"form": "open", "items": 20})))
    write_samples(tmp_path / "rl.parquet", samples)
    tokenizer = train_tokenizer((sample.question for sample in samples), 320)
    build_tiny(TinyModel(hidden=32, layers=1, heads=2, kv_heads=2, ffn=32), tokenizer, 0, tmp_path / "model")
    flow = project_dir() / "training" / "minimal_grpo.py"
    command = [sys.executable, str(flow), str(tmp_path / "model"), str(tmp_path / "rl.parquet"), "2"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(project_dir())})
    assert done.returncode == 0, done.stderr
    assert [line.split(":")[0] for line in done.stdout.splitlines() if line.startswith("step")] == ["step 1", "step 2"]
