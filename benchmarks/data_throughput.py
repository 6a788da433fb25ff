"""FinQA-shaped rows a second through the data stage on one core, without teacher and near-duplicate search.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/data_throughput.py --data DIR [--rows 10000] [--save]

The rows of DIR/finqa are repeated with new ids and new years until there are enough. Timed: read, execute each gold
program, filters, kept and dropped to disk. Clock and CPU time are both kept: on a busy machine only the second says
what one core does. `--save` writes benchmarks/results/data_throughput_<date>.json.
"""

from __future__ import annotations

import argparse
import datetime
import gzip
import json
import os
import platform
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from mmreason.config import load_domain
from mmreason.config.recipe import Recipe
from mmreason.data.pipeline import build_dataset, load_dataset
from mmreason.data.step import StepContext
from mmreason.project import project_dir

DEMANDED = 2000
RESULTS = Path(__file__).parent / "results"


def replicate(source: Path, target: Path, count: int) -> None:
    """Write `count` rows to `target`; copies differ in id and in a word of the question, so none is a duplicate."""
    with gzip.open(source, "rt", encoding="utf-8") as handle:
        rows = [json.loads(line) for line in handle]
    target.parent.mkdir(parents=True)
    with gzip.open(target, "wt", encoding="utf-8", compresslevel=1) as handle:
        for index in range(count):
            row = dict(rows[index % len(rows)])
            turn = index // len(rows)
            row["id"] = f"{row['id']}-copy{turn}"
            row["question"] = f"{row['question']} copy {turn}"
            handle.write(json.dumps(row) + "\n")


def measure(data: Path, count: int) -> dict[str, Any]:
    """Rows and seconds of one build."""
    domain = load_domain(project_dir() / "domains" / "finance")
    settings: dict[str, Any] = {
        "system": "benchmark",
        "model": {"tiny": {}},
        "data": {"pipelines": ["finqa"], "embedded": []},
        "eval": {"suites": []},
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        replicate(data / "finqa" / "train.jsonl.gz", folder / "data" / "finqa" / "train.jsonl.gz", count)
        context = StepContext(Recipe.model_validate(settings), domain, folder / "data", folder / "work")
        begun, begun_cpu = time.perf_counter(), time.process_time()
        built = build_dataset(load_dataset("finqa", domain), context)
        wall, cpu = time.perf_counter() - begun, time.process_time() - begun_cpu
    counts = {"rows": built.facts["read"], "kept": built.facts["kept"]}
    return {**counts, "wall_seconds": round(wall, 3), "cpu_seconds": round(cpu, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds finqa/train.jsonl.gz")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--save", action="store_true")
    arguments = parser.parse_args()
    found = measure(arguments.data, arguments.rows)
    rate, rate_cpu = found["rows"] / found["wall_seconds"], found["rows"] / found["cpu_seconds"]
    print(f"{found['rows']} rows: {rate:.0f} rows/s by the clock, {rate_cpu:.0f} a CPU second (demanded: {DEMANDED})")
    if arguments.save:
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
        today = datetime.date.today().isoformat()
        result = {
            "claim": "data stage, FinQA-shaped rows a second on one core",
            "date": today,
            "command": "OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/data_throughput.py --data DIR --save",
            "commit": commit.stdout.strip(),
            "hardware": {"machine": platform.machine(), "cpus": os.cpu_count(), "load": round(os.getloadavg()[0], 2)},
            "python": platform.python_version(),
            **found,
            "rows_per_second": round(rate),
            "rows_per_cpu_second": round(rate_cpu),
            "demanded": DEMANDED,
        }
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"data_throughput_{today}.json"
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        print(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


if __name__ == "__main__":
    main()
