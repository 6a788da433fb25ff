"""Seconds of one whole GRPO step, ours and TRL's: the same tiny Qwen2.5-VL, pictures, prompt and reward, on the CPU.

    OMP_NUM_THREADS=2 python benchmarks/grpo_step_trl.py --trl-python PATH [--images 4 16] [--steps 7] [--save]

PATH is the Python of an environment that has TRL 1.16 beside what mmreason needs (`benchmarks/step_trl.py` says more).
A step is one prompt, 8 answers of exactly 64 tokens, a reward, one update of all weights: float32, no KL, token mean.
Every side is a process of its own that stays alive; the sides take their steps in turn, so that a busy machine
burdens all alike. The clock runs inside the process, from the word to go until the weights have changed. CPU seconds
compare work on a busy machine, best with OMP_NUM_THREADS=1: threads that wait for each other count as busy.

`tower` counts pictures through the vision tower over the pictures of the prompt. `bound` is G(P+R)/(P+GR), what
computing each distinct token once can save. `tower_seconds` is the tower alone, forward once and forward with
backward once, over as many pictures as that side sends through it; `saved_by_tower` is its share of the saving.
`ratio_without_processor` takes TRL's processing of pictures (each step anew, for each answer) out of its seconds.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image
from step_side import GROUP, LENGTH, SIDE, sample_of

from mmreason.config.recipe import TinyModel
from mmreason.models.codec import Codec
from mmreason.models.tiny import build_tiny
from mmreason.models.tokenizer import train_tokenizer

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PROMPT_TOKENS = {4: 1068}
"""The prompt is filled up to so many tokens where the number of pictures has one."""
DEMANDED = {4: 5.0, 16: 6.5}
WARM_UP = 2
SIZES = TinyModel(family="qwen2_5_vl", ffn=256, vocab=512, max_pixels=SIDE * SIDE)
QUESTION = "Which of the pictures has the largest red part, and where ?"


def draw(folder: Path, count: int) -> None:
    """Pictures of coloured squares, 448 x 448."""
    rng = np.random.default_rng(0)
    for index in range(count):
        blocks = rng.integers(0, 256, (SIDE // 28, SIDE // 28, 3), dtype=np.uint8)
        Image.fromarray(blocks.repeat(28, 0).repeat(28, 1)).save(folder / f"{index}.png")


def prepare(folder: Path, count: int) -> int:
    """Write model, pictures and question to `folder`; the length of the prompt in tokens."""
    draw(folder, count)
    build_tiny(SIZES, train_tokenizer([QUESTION] * 4, SIZES.vocab), 0, folder / "model")
    codec = Codec.load(folder / "model", folder)
    text, wanted = QUESTION, PROMPT_TOKENS.get(count, 0)
    while True:
        (folder / "task.json").write_text(json.dumps({"text": text, "images": count}), encoding="utf-8")
        length = len(codec.encode(sample_of(folder)).ids)
        if wanted and length > wanted:
            raise SystemExit(f"the prompt cannot be filled to {wanted} tokens, it has {length}")
        if length >= wanted:
            return length
        text += " and"


class Worker:
    """One side in a process of its own, asked and answered line by line."""

    def __init__(self, python: str, side: str, folder: Path) -> None:
        script = HERE / ("step_trl.py" if side == "trl" else "step_ours.py")
        command = [python, str(script), str(folder), side]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **_environment()}
        )
        self.facts = self.answer()

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{' '.join(map(str, self.process.args))} ended early; its error stands above")
        found: dict[str, Any] = json.loads(line)
        return found

    def ask(self, word: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return self.answer()


def _environment() -> dict[str, str]:
    path = os.pathsep.join([str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    threads = os.environ.get("OMP_NUM_THREADS", "2")
    return {"PYTHONPATH": path, "OMP_NUM_THREADS": threads, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def measure(count: int, sides: dict[str, str], steps: int) -> dict[str, Any]:
    """All sides on `count` pictures. `sides` maps a side to its Python."""
    with tempfile.TemporaryDirectory() as name:
        length = prepare(Path(name), count)
        workers = {side: Worker(python, side, Path(name)) for side, python in sides.items()}
        turns = [{side: worker.ask("step") for side, worker in workers.items()} for _ in range(WARM_UP + steps)]
        ends = {side: worker.ask("end") for side, worker in workers.items()}
    prompts = {end["prompt"] for end in ends.values()}
    if len(prompts) != 1:
        raise SystemExit(f"the sides do not see one prompt: {prompts}")
    return {
        "images": count,
        "prompt_tokens": length,
        "bound": round(GROUP * (length + LENGTH) / (length + GROUP * LENGTH), 2),
        "demanded": DEMANDED.get(count),
        "sides": {
            side: {**workers[side].facts, **ends[side], **summary([turn[side] for turn in turns[WARM_UP:]])}
            for side in sides
        },
    }


def summary(steps: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians, the seconds they come from, and the counts, which are the same in every step."""
    phases = {key: round(median(step["phases"][key] for step in steps), 4) for key in steps[0]["phases"]}
    seconds = [round(step["seconds"], 4) for step in steps]
    counts = {key: sorted({step[key] for step in steps}) for key in ("tower_calls", "pictures", "tokens")}
    if any(len(values) > 1 for values in counts.values()) or counts["tokens"] != [GROUP * LENGTH]:
        raise SystemExit(f"steps differ, or answers have not {LENGTH} tokens each: {counts}")
    return {
        "median_seconds": round(median(seconds), 4),
        "seconds": seconds,
        "median_cpu_seconds": round(median(step["cpu_seconds"] for step in steps), 4),
        "phases": phases,
        **{key: values[0] for key, values in counts.items()},
    }


def compare(sides: dict[str, Any], images: int) -> None:
    """Add to each side its tower passes, and to ours what they gain on TRL."""
    for facts in sides.values():
        facts["tower"] = facts["pictures"] / images
    base = sides.get("trl")
    for facts in (facts for side, facts in sides.items() if base and side != "trl"):
        theirs, own = base["median_seconds"], facts["median_seconds"]
        facts["ratio"] = round(theirs / own, 2)
        facts["ratio_without_processor"] = round((theirs - base["phases"]["processor and reward"]) / own, 2)
        facts["ratio_cpu"] = round(base["median_cpu_seconds"] / facts["median_cpu_seconds"], 2)
        facts["saved_by_tower"] = round((base["tower_seconds"] - facts["tower_seconds"]) / (theirs - own), 3)


def show(found: dict[str, Any]) -> None:
    """Print the setting, then two lines a side."""
    head = f"{found['images']} pictures, prompt {found['prompt_tokens']} tokens, {GROUP} answers of {LENGTH} tokens"
    print(f"{head}; bound {found['bound']}, demanded {found['demanded']}")
    for side, facts in found["sides"].items():
        phases = ", ".join(f"{key} {value:.3f}" for key, value in facts["phases"].items())
        print(f"  {side:7}{facts['median_seconds']:.3f} s ({phases}), CPU {facts['median_cpu_seconds']:.3f} s")
        tower = f"tower passes {facts['tower']:.0f}, alone {facts['tower_seconds']:.3f} s; peak {facts['peak_mib']} MiB"
        gain = f"; {facts['ratio']:.2f} times faster" if "ratio" in facts else ""
        more = ("ratio_without_processor", "ratio_cpu", "saved_by_tower")
        gain += "".join(f", {key} {facts[key]}" for key in more if key in facts)
        print(f"         {tower}{gain}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trl-python", help="Python of the environment with TRL; without it only our sides run")
    parser.add_argument("--images", type=int, nargs="+", default=[4, 16])
    parser.add_argument("--paths", nargs="+", default=["packed", "cache"], choices=["packed", "cache", "naive"])
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/grpo_step_trl_<date>.json")
    arguments = parser.parse_args()
    sides = {"trl": arguments.trl_python} if arguments.trl_python else {}
    sides |= dict.fromkeys(arguments.paths, sys.executable)
    found = []
    for count in arguments.images:
        found.append(measure(count, sides, arguments.steps))
        compare(found[-1]["sides"], count)
        show(found[-1])
    if arguments.save:
        save(found)


def save(found: list[dict[str, Any]]) -> None:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, check=False)
    today = datetime.date.today().isoformat()
    result = {
        "claim": "one whole GRPO step on the CPU against TRL, the same model, pictures, prompt and reward",
        "date": today,
        "command": " ".join(["OMP_NUM_THREADS=" + _environment()["OMP_NUM_THREADS"], "python", *_public(sys.argv)]),
        "commit": commit.stdout.strip() + (" with changes" if changed.stdout.strip() else ""),
        "hardware": {"machine": platform.machine(), "cpus": os.cpu_count(), "load": round(os.getloadavg()[0], 2)},
        "python": platform.python_version(),
        "warm_up": WARM_UP,
        "settings": found,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"grpo_step_trl_{today}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _public(words: list[str]) -> list[str]:
    """The command line without the folders of this machine."""
    hidden = ["benchmarks/grpo_step_trl.py", *words[1:]]
    return ["PATH" if before == "--trl-python" else word for before, word in zip(["", *hidden], hidden, strict=False)]


if __name__ == "__main__":
    main()
