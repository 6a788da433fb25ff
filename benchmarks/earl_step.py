"""One EARL step, ours against a naive one: seconds of rollout and update beside what the saved work allows.

    python benchmarks/earl_step.py [--threads N] [--clip FILE] [--repeats 3] [--save]

One prompt with 32 frames of a clip, 8 rollouts of two selections (two frames each, 16 refined frames back) and an
answer, 64 ids a turn, through the environment of domains/video/earl; then one update. Qwen2.5-VL, 4 layers x 256 above
a frozen tower of 4 x 128, frames of at most 168 x 168 pixels, float32. Both sides say the same ids, see
`earl_step_side.py`; that their rollouts are equal and their gradients' norms too is checked.

The naive side decodes the clip once, as ours does, but every turn forwards the whole context of each rollout with all
of its frames through the tower, and updates on duplicated rows, frames again with each row. Decoding is ours on both.

The bound comes from the counts of the run alone. Work of a frame: weights of the tower times the patches (of the
merger, times the merged tokens) that they are applied to. Work of a token: weights of the decoder's layers; three times
that in the update, whose backward pass costs two forward passes (the tower's none, it is frozen). To both sides is
added what is the same: decoded tokens and the head. bound = work of the naive side / work of ours. Attention, which
grows faster than the tokens, is not in it, nor is anything that is done in Python.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import torch
from earl_step_side import CAPTION, GROUP, LENGTH, SIDE, TURNS, WORDS, Side, Step, sample_of, script_of, write_clip

from mmreason.config.recipe import TinyModel
from mmreason.models.codec import Codec
from mmreason.models.tiny import build_tiny
from mmreason.models.tokenizer import train_tokenizer

DEMANDED = 0.7
PHASES = ("rollout", "update")
SIDES = ("ours", "naive")
SIZES = TinyModel(
    family="qwen2_5_vl",
    hidden=256,
    layers=4,
    heads=4,
    kv_heads=2,
    ffn=768,
    vocab=1024,
    max_pixels=SIDE * SIDE,
    vision_hidden=128,
    vision_layers=4,
)


def weights_of(module: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


def work(side: Side, step: Step) -> dict[str, float]:
    """Multiplications of each phase from its counts, see the module's docstring."""
    inner = side.model.model
    frame = side.prompt.media[0]
    patches, merger = len(frame.pixels), weights_of(inner.visual.merger)
    a_frame = patches * (weights_of(inner.visual) - merger) + frame.num_tokens(side.codec.merge) * merger
    a_token, head = weights_of(inner.language_model.layers), side.model.lm_head.weight.numel()
    said = GROUP * TURNS * LENGTH
    same = said * (a_token + head), 3 * said * head
    tokens = step.tokens["rollout"] * a_token, 3 * step.tokens["update"] * a_token
    return {phase: step.frames[phase] * a_frame + tokens[index] + same[index] for index, phase in enumerate(PHASES)}


def check(ours: Step, naive: Step, first: bool) -> None:
    """The same answers; the same gradient while the weights are the same. Raises AssertionError."""
    for a, b in zip(ours.rollouts, naive.rollouts, strict=True):
        assert a.ids == b.ids and [m.key for m in a.media] == [m.key for m in b.media], "unlike rollouts"
        assert len(a.extras["said"]) == TURNS and len(a.media) > 16, "not two selections and an answer"
    assert not first or abs(ours.gradient / naive.gradient - 1) < 1e-3, (ours.gradient, naive.gradient)


def _medians(steps: list[dict[str, float]]) -> dict[str, float]:
    """Of each phase, and of the step as their sum."""
    phases = {phase: median(step[phase] for step in steps) for phase in PHASES}
    return {**phases, "step": sum(phases.values())}


def row(ours: list[Step], naive: list[Step], sides: tuple[Side, Side]) -> dict[str, Any]:
    """Medians of all repeats but the first, ratios and bounds, by the clock and by processor time."""
    both = (ours, naive)
    clock = [_medians([step.seconds for step in steps[1:]]) for steps in both]
    cpu = [_medians([step.cpu_seconds for step in steps[1:]]) for steps in both]
    works = [_medians([work(side, steps[-1])]) for side, steps in zip(sides, both, strict=True)]
    faster, faster_cpu, bound = ({p: b[p] / a[p] for p in a} for a, b in (clock, cpu, works))
    own = sides[0].prompt.media
    distinct = {m.key for m in own} | {m.key for rollout in ours[-1].rollouts for m in rollout.media}
    return {
        "prompt_tokens": len(sides[0].prompt.ids),
        "rollout_tokens": [len(rollout.ids) for rollout in ours[-1].rollouts],
        "frames_of_a_rollout": [len(own) + len(rollout.media) for rollout in ours[-1].rollouts],
        "seconds": dict(zip(SIDES, clock, strict=True)),
        "cpu_seconds": dict(zip(SIDES, cpu, strict=True)),
        "frames": {"ours": ours[-1].frames, "naive": naive[-1].frames},
        "tokens": {"ours": ours[-1].tokens, "naive": naive[-1].tokens},
        "prefills_a_group": sides[0].engine.prefills / len(ours),
        "distinct_frames": len(distinct),
        "tower_passes_per_distinct_frame": sum(ours[-1].frames.values()) / len(distinct),
        "bound": bound,
        "times_faster": faster,
        "times_faster_cpu": faster_cpu,
        "share_of_bound": {phase: faster[phase] / bound[phase] for phase in bound},
        "share_of_bound_cpu": {phase: faster_cpu[phase] / bound[phase] for phase in bound},
    }


def measure(clip: Path | None, repeats: int) -> dict[str, Any]:
    """Both sides in turn, one round to warm up."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shown = folder / ("clip.mp4" if clip is None else clip.name)
        if clip is None:
            write_clip(shown)
        else:
            shutil.copy(clip, shown)
        numbers = " ".join(CAPTION.format(number=n, seconds=n * 0.3) for n in range(33))
        calls = '<tool_call>{"name": "select_frames", "arguments": {"target_frames": [3, 7]}}</tool_call>\n'
        texts = [" ".join(WORDS), numbers, calls, "Frames 1 to 16 around the selected ones, 112 x 112 pixels each"]
        build_tiny(SIZES, train_tokenizer(texts * 8, SIZES.vocab), 0, folder / "model")
        sample = sample_of(folder, shown.name)
        script = script_of(Codec.load(folder / "model"))
        sides = Side(folder, sample, script, naive=False), Side(folder, sample, script, naive=True)
        steps: tuple[list[Step], list[Step]] = ([], [])
        for number in range(1, repeats + 2):
            for side, taken in zip(sides, steps, strict=True):
                taken.append(side.step(number))
            check(steps[0][-1], steps[1][-1], number == 1)
        return row(*steps, sides)


def main() -> None:
    """Print the numbers; with --save write them to results/."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clip", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--save", action="store_true")
    words = parser.parse_args()
    torch.set_num_threads(words.threads)
    before, found = os.getloadavg()[0], measure(words.clip, words.repeats)
    load = {"before": round(before, 2), "after": round(os.getloadavg()[0], 2)}
    print(json.dumps({**found, "load": load}, indent=1))
    if words.save:
        save(found, load, words)


def save(found: dict[str, Any], load: dict[str, float], words: argparse.Namespace) -> None:
    """results/earl_step_<date>.json."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    today = datetime.now(UTC).date().isoformat()
    result = {
        "claim": f"rollout, update and step each at least {DEMANDED} of what the saved work allows",
        "date": today,
        "command": f"python benchmarks/earl_step.py --threads {words.threads} --repeats {words.repeats} --save",
        "clip": "encoded by the script" if words.clip is None else words.clip.name,
        "commit": commit,
        "hardware": {"machine": platform.machine(), "cpus": psutil.cpu_count(), "threads": words.threads},
        "load": load,
        "torch": torch.__version__,
        **found,
    }
    file = Path(__file__).parent / "results" / f"earl_step_{today}.json"
    file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
