"""The learning check through both update paths: the same first steps in float64, the same means in float32.

python benchmarks/learning_paths.py REPRODUCED [--save]

REPRODUCED is the folder of a finished `mmreason reproduce shapes`: its cold starts are trained again, with two updates
a step so that ratios and clips act.

float64: seed 0, 20 steps, path packed and naive: equal token ids, losses to 1e-8.
float32: every seed, 40 steps, both paths: mean reward of the last five steps, and the spread over seeds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import psutil
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[1]
STEPS, LAST, PROVED = 40, 5, 20


def trained(source: Path, out: Path, seed: int, path: str, dtype: str, steps: int) -> Path:
    """GRPO from the cold start of `source` into `out`."""
    for name in ("data", "checkpoints/sft/final"):
        shutil.copytree(source / name, out / name)
    words = [f"grpo.path={path}", f"model.dtype={dtype}", f"grpo.steps={steps}", "grpo.prompts_per_update=8"]
    words += [f"seeds.{kind}={seed}" for kind in ("weights", "data", "sampling")]
    command = [sys.executable, "-m", "mmreason.cli", "grpo", "shapes", "--out", str(out), *words]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL)
    return out


def rows(out: Path) -> list[dict[str, Any]]:
    """The metrics of RL."""
    lines = (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [row for row in map(json.loads, lines) if row["stage"] == "grpo"]


def ids(out: Path) -> list[list[int]]:
    """Token ids of every rollout."""
    return [
        row for file in sorted((out / "rollouts").glob("*.parquet")) for row in pq.read_table(file)["ids"].to_pylist()
    ]


def proof(source: Path, folder: Path) -> dict[str, Any]:
    """Both paths in float64 from the cold start of seed 0."""
    paths = ("packed", "naive")
    one, other = (trained(source, folder / f"f64_{path}", 0, path, "float64", PROVED) for path in paths)
    pairs = list(zip(rows(one), rows(other), strict=True))
    gaps = {key: max(abs(a[key] - b[key]) for a, b in pairs) for key in ("loss", "grad_norm", "entropy")}
    return {
        "steps": len(pairs),
        "rollouts": len(ids(one)),
        "same_ids": ids(one) == ids(other),
        "largest_loss": max(abs(a["loss"]) for a, _ in pairs),
        "clipped": max(a["clip_frac"] for a, _ in pairs),
        "largest_gap": gaps,
        "update_seconds": {
            p: fmean(r["time"]["update"] for r in rows(o)) for p, o in zip(paths, (one, other), strict=True)
        },
    }


def means(seeds: list[Path], folder: Path) -> dict[str, list[float]]:
    """Path -> mean reward of the last steps, seed by seed."""
    return {
        path: [
            fmean(
                row["reward"] for row in rows(trained(s, folder / f"f32_{path}_{n}", n, path, "float32", STEPS))[-LAST:]
            )
            for n, s in enumerate(seeds)
        ]
        for path in ("packed", "naive")
    }


def main() -> None:
    """Print the comparison; with --save write it to results/."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reproduced", type=Path)
    parser.add_argument("--save", action="store_true")
    words = parser.parse_args()
    seeds = sorted(words.reproduced.glob("seed*"))
    with tempfile.TemporaryDirectory() as name:
        exact = proof(seeds[0], Path(name))
        reward = means(seeds, Path(name))
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=ROOT)
    result = {
        "claim": "packed and naive give the same first steps in float64 and the same means in float32",
        "date": date.today().isoformat(),
        "command": "python benchmarks/learning_paths.py REPRODUCED --save",
        "commit": commit.stdout.strip(),
        "hardware": {"machine": platform.machine(), "cpus": psutil.cpu_count(), "threads": 1},
        "float64": exact,
        "float32_last_reward": reward,
        "float32_mean": {path: fmean(values) for path, values in reward.items()},
        "float32_deviation_over_seeds": {path: stdev(values) for path, values in reward.items() if len(values) > 1},
    }
    print(json.dumps(result, indent=1))
    if words.save:
        file = ROOT / "benchmarks" / "results" / f"learning_paths_{date.today().isoformat()}.json"
        file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
