"""One GRPO update by each path: seconds against the duplicated-row twin, against plain training, and peak memory.

python benchmarks/grpo_update.py [--threads N] [--save]

A group of 8 answers to one prompt of 2,048 tokens; answers of 64 and of 256 tokens; Qwen2 of 6 layers x 128, float32.
All sides take updates in turn in one process; medians. `bound` is G(P+R)/(P+GR), what computing each distinct token
once can save in work that is linear in tokens. `plain` is one row of P+GR tokens with the loss on the last GR of them:
ordinary training on as many tokens. Memory is the growth of a fresh process's resident peak over three updates.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import torch

from mmreason.config.recipe import TinyModel
from mmreason.groups.tree import Branch
from mmreason.models.codec import Codec, Encoded
from mmreason.models.load import load_model
from mmreason.models.policy import Policy
from mmreason.models.rows import make_rows
from mmreason.models.tiny import build_tiny
from mmreason.models.tokenizer import train_tokenizer

PROMPT, GROUP, LENGTHS, REPEATS = 2048, 8, (64, 256), 5
PATHS = ("naive", "packed", "cache")
DEMANDED = {64: 6.0, 256: 3.5}
SIZES = TinyModel(hidden=128, layers=6, heads=4, kv_heads=4, ffn=384, vocab=1024)


def updates(folder: Path, length: int, paths: tuple[str, ...]) -> dict[str, Callable[[], None]]:
    """Side -> forward, loss and backward of one update."""
    model, codec = load_model(folder), Codec.load(folder)
    draw = torch.Generator().manual_seed(0)
    prompt = torch.randint(20, 200, (PROMPT,), generator=draw).tolist()
    answers = [torch.randint(20, 200, (length,), generator=draw).tolist() for _ in range(GROUP)]

    def run(policy: Policy, batch: Any) -> None:
        model.zero_grad(set_to_none=True)
        (-policy(batch)["logp"].mean()).backward()

    sides: dict[str, Callable[[], None]] = {}
    for path in paths:
        if path == "plain":
            policy, every = Policy(model, codec), [token for answer in answers for token in answer]
            rows = make_rows([Encoded(prompt)], [every], codec.pad_id, model.device)
            sides[path] = lambda p=policy, b=rows: run(p, b)
        else:
            policy = Policy(model, codec, path)
            trees = [policy.tree([Branch(prompt, ids) for ids in answers])]
            sides[path] = lambda p=policy, b=trees: run(p, b)
    return sides


def seconds(folder: Path, length: int) -> dict[str, float]:
    """Median seconds of each side, in turn, after one round to warm up."""
    sides = updates(folder, length, (*PATHS, "plain"))
    taken: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(REPEATS + 1):
        for side, step in sides.items():
            begun = time.perf_counter()
            step()
            taken[side].append(time.perf_counter() - begun)
    return {side: median(values[1:]) for side, values in taken.items()}


def grown(folder: Path, length: int, path: str) -> float:
    """MiB by which this process's peak grew over what it held before the updates."""
    step = updates(folder, length, (path,))[path]
    before = psutil.Process().memory_info().rss
    for _ in range(3):
        step()
    # Not ru_maxrss, which a child process inherits from its parent.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return (int(status["VmHWM"].split()[0]) * 1024 - before) / 2**20


def measure(folder: Path, length: int, threads: int) -> dict[str, Any]:
    """All numbers for one length of answers."""
    taken = seconds(folder, length)
    memory = {}
    for path in PATHS:
        words = [sys.executable, __file__, "--memory", str(folder), str(length), path, "--threads", str(threads)]
        memory[path] = float(subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()[-1])
    fast = min(("packed", "cache"), key=lambda path: taken[path])
    return {
        "answer": length,
        "bound": GROUP * (PROMPT + length) / (PROMPT + GROUP * length),
        "demanded": DEMANDED[length],
        "seconds": taken,
        "times_faster": {path: taken["naive"] / taken[path] for path in ("packed", "cache")},
        "fastest": fast,
        "seconds_over_plain": {path: taken[path] / taken["plain"] for path in ("packed", "cache")},
        "peak_mib": memory,
        "peak_share_of_naive": {path: memory[path] / memory["naive"] for path in ("packed", "cache")},
    }


def main() -> None:
    """Print the table; with --save write it to results/."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--save", action="store_true")
    parser.add_argument("--memory", nargs=3, metavar=("FOLDER", "LENGTH", "PATH"), help=argparse.SUPPRESS)
    words = parser.parse_args()
    torch.set_num_threads(words.threads)
    if words.memory:
        print(grown(Path(words.memory[0]), int(words.memory[1]), words.memory[2]))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "model"
        build_tiny(SIZES, train_tokenizer(["a b c d e f"], SIZES.vocab), 0, folder)
        rows = [measure(folder, length, words.threads) for length in LENGTHS]
    for row in rows:
        print(json.dumps(row, indent=1))
    if words.save:
        save(rows, words.threads)


def save(rows: list[dict[str, Any]], threads: int) -> None:
    """results/grpo_update_<date>.json."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    result = {
        "claim": "update by the faster path at least 6x (64) and 3.5x (256) the naive twin, memory at most 40 %",
        "date": date.today().isoformat(),
        "command": f"python benchmarks/grpo_update.py --threads {threads} --save",
        "commit": commit,
        "hardware": {"machine": platform.machine(), "cpus": psutil.cpu_count(), "threads": threads},
        "torch": torch.__version__,
        "repeats": REPEATS,
        "prompt": PROMPT,
        "group": GROUP,
        "results": rows,
    }
    file = Path(__file__).parent / "results" / f"grpo_update_{date.today().isoformat()}.json"
    file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
