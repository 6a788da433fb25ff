"""A tiny cold start whose answers are right about half the time, and RL from it, for tests of training/grpo.py.

As a script, `small_grpo.py PROJECT PLAN.json`: runs `mmreason grpo` as each entry of the plan says, {"out": folder,
"moments": [...], "words": [...]}, once for each moment and each time in a process of its own. A moment is when that
process kills itself with SIGKILL, for example "step:3"; see `arm`.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
from accelerate.utils import extract_model_from_parallel

from mmreason import cli
from mmreason.cli_job import resolve
from mmreason.models.learner import Learner
from mmreason.project import load_module, project_dir
from mmreason.records import Answer, AnswerKind, Message, Role, Sample, Source
from mmreason.records.io import write_samples
from mmreason.run.files import write_json
from mmreason.run.folder import RunFolder
from mmreason.run.metrics import Metrics

DOMAIN = """\
name: small
prompts: {default: prompt.txt}
"""
SOURCES = """\
own: {title: Made for a test, licence: Apache-2.0, commercial: true, use: train, reader: "mmreason.data.own:read",
      files: {train: [rows.jsonl]}}
"""
REWARDS = '''\
def kind_words(rollout, sample):
    """Between 0 and 1."""
    return rollout.text.count("so") / (1 + len(rollout.text))
'''
SIZES = {"hidden": 32, "layers": 1, "heads": 2, "kv_heads": 2, "ffn": 32, "vocab": 320}
WORDS = (
    *(f"model.tiny.{key}={value}" for key, value in SIZES.items()),
    *("launch.threads=1", "sft.target=chain", "sft.max_steps=60", "sft.batch=16", "sft.micro_batch=16"),
    *("sft.optim={lr: 0.01, warmup: 0.1}", "eval.suites=[]", "grpo.optim={lr: 0.001}", "grpo.steps=2"),
    *("grpo.prompts=4", "grpo.group_size=4", "grpo.sampling={max_new_tokens: 14}", "grpo.alarms.repeat_every=1"),
)
SOURCE = Source("own", "train", "Apache-2.0", "0")
GOLDS = "1212127127"
"""Of ten questions; the cold start answers 1 or 2 by chance, so that nobody solves those with a 7."""


def answer(word: str, digit: str) -> str:
    return f"<think>{word}</think><answer>\\boxed{{{digit}}}</answer>"


def questions() -> list[Sample]:
    """With what ghpo and ampo look for."""
    return [
        Sample(
            f"q{n}",
            SOURCE,
            (Message.of(Role.USER, f"which of them has shop {n} ?"),),
            Answer(AnswerKind.NUMBER, gold),
            metadata={"solution": f"count, then say {gold}", "teachers": [answer("so", gold), answer("so so so", "3")]},
        )
        for n, gold in enumerate(GOLDS)
    ]


def make_project(root: Path) -> Path:
    """A domain and a cold start in `root`, seconds of work; tests take a `fresh` run folder each."""
    domain = root / "small"
    domain.mkdir(parents=True)
    files = {"domain.yaml": DOMAIN, "sources.yaml": SOURCES, "prompt.txt": "{question}", "rewards.py": REWARDS}
    row = json.dumps({"id": "a", "question": "1 + 1 ?", "answer": "2"})  # the generic recipe looks for pictures
    for name, text in (files | {"rows.jsonl": row + "\n"}).items():
        (domain / name).write_text(text, encoding="utf-8")
    folder = RunFolder(root / "cold")
    texts = [answer(" ".join(["so"] * words), digit) for words in (1, 2, 4) for digit in "12"]
    write_samples(folder.data / "sft.parquet", [q.with_response(text) for q in questions() for text in texts])
    write_samples(folder.data / "rl.parquet", questions())
    write_json(folder.data / "media_root.json", {"path": str(root)})
    run_flow("training/sft.py", domain, folder.path)
    return root


def fresh(project: Path, out: Path) -> Path:
    """A run folder that holds the cold start and the prompts alone."""
    shutil.copytree(project / "cold" / "data", out / "data")
    shutil.copytree(project / "cold" / "checkpoints" / "sft" / "final", out / "checkpoints" / "sft" / "final")
    return out


def run_flow(name: str, domain: Path, out: Path, *words: str) -> None:
    """A flow in this process."""
    job = resolve(str(domain), "cpu", None, out, [*WORDS, *words])
    torch.set_num_threads(1)
    load_module(project_dir() / name).main(job.recipe, job.domain, RunFolder(out))


def grpo(project: Path, out: Path, *words: str) -> int:
    """Exit code of `mmreason grpo` in this process; what is no mistake of the user's is raised."""
    given, sys.argv = sys.argv, ["mmreason", "grpo", str(project / "small"), "--out", str(out), *WORDS, *words]
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    finally:
        sys.argv = given
    return 0


def metrics(out: Path) -> list[dict[str, Any]]:
    """Rows without their timings."""
    lines = (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [{key: value for key, value in json.loads(line).items() if key != "time"} for line in lines]


def rollouts(out: Path, step: int) -> list[dict[str, Any]]:
    return list(pq.read_table(out / "rollouts" / f"step_{step:06d}.parquet").to_pylist())


def weights(out: Path) -> bytes:
    return (out / "checkpoints" / "grpo" / "final" / "model.safetensors").read_bytes()


def weights_before(out: Path) -> bytes:
    return (out / "checkpoints" / "sft" / "final" / "model.safetensors").read_bytes()


# The script


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(moment: str) -> None:
    """Make this process die: step:N after the row of step N was written, row:N in the middle of that row, save:N
    between the files of the checkpoint of step N; `end` is no death."""
    what, _, number = moment.partition(":")
    if what == "end":
        return
    log, moments = Metrics.log, Learner._moments

    def last_row(self: Metrics, step: int, values: Any, seconds: Any) -> None:
        if step == int(number) and what == "row":
            self._handle.write('{"stage": "grpo", "step": ')
            self._handle.flush()
            die()
        log(self, step, values, seconds)
        if step == int(number) and what == "step":
            die()
        if step == int(number) and what == "save":
            Learner._moments = dying  # type: ignore[method-assign]

    def dying(self: Learner) -> Any:
        die()
        return moments(self)

    Metrics.log = last_row  # type: ignore[method-assign]


def live(moment: str, run: Callable[[], int]) -> str:
    """Run in a child; how it ended."""
    child = os.fork()
    if child == 0:
        arm(moment)
        os._exit(run())
    _, status = os.waitpid(child, 0)
    return f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit {os.WEXITSTATUS(status)}"


def warm_up() -> None:
    """Import once what every child would; nothing is computed here, so that a child finds torch untouched."""
    load_module(project_dir() / "training" / "grpo.py")
    for name in ("mmreason.models.tiny", "peft", "pyarrow.dataset"):
        importlib.import_module(name)
    extract_model_from_parallel(torch.nn.Identity())  # imports DeepSpeed where it is installed, as saving a model does


def main(project: str, plan: str) -> None:
    """Prints a line for each process: "ended OUT MOMENT: how"."""
    warm_up()
    for entry in json.loads(Path(plan).read_text(encoding="utf-8")):
        run = partial(grpo, Path(project), Path(entry["out"]), *entry["words"])
        for moment in entry["moments"]:
            print(f"ended {Path(entry['out']).name} {moment}: {live(moment, run)}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
