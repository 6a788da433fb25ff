"""Verdicts a second of the graders on one core, on outputs that differ from one another.

    OMP_NUM_THREADS=1 python benchmarks/grader_throughput.py [--seconds 1] [--save]

Prints one line a case; CPU seconds of this process are counted. Golds repeat as they do in training (several answers
a question); outputs do not, so caches on the prediction cannot help. The reasoning before the answer is 2,000
characters long. `--save` writes benchmarks/results/grader_throughput_<date>.json.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from mmreason.config.recipe import RewardSettings
from mmreason.records import Answer, AnswerKind
from mmreason.rewards.grade import grade
from mmreason.rewards.terms import score

REASONING = "The revenue of 2019 is 1,202.9 and of 2018 it is 1,107.7, so the change is 95.2. " * 25
OPTIONS = {"A": "total assets", "B": "Asset-backed Commercial paper", "C": "gross margin", "D": "net assets"}
SETTINGS = RewardSettings()


def _output(index: int, answer: str) -> str:
    return f"<think>{REASONING}{index}</think>\n<answer>\\boxed{{{answer}}}</answer>"


def _letters(index: int) -> str:
    return "ABCD"[index % 4]


def _option_text(index: int) -> str:
    letter = _letters(index)
    return f"{letter}. {OPTIONS[letter]}"


CASES: dict[str, tuple[Callable[[int], str], Answer]] = {
    "choice, bare letter": (_letters, Answer(AnswerKind.CHOICE, "B", OPTIONS)),
    "choice, option text": (_option_text, Answer(AnswerKind.CHOICE, "B", OPTIONS)),
    "number, plain": (lambda i: f"{i / 100:.2f}", Answer(AnswerKind.NUMBER, "0.93464", asks_percent=True)),
    "number, percent": (lambda i: f"{i / 100:.2f}%", Answer(AnswerKind.NUMBER, "0.93464")),
    "number, money": (lambda i: f"\\${i + 1:,}.5 million", Answer(AnswerKind.NUMBER, "1234.5", scale="million")),
    "number, Chinese": (lambda i: f"{i / 10}亿元", Answer(AnswerKind.NUMBER, "120000000")),
    "number, yes/no": (lambda i: f"Yes, by {i}", Answer(AnswerKind.NUMBER, "yes")),
    "judgement": (lambda i: ("未发现违规", "违规")[i % 2], Answer(AnswerKind.JUDGEMENT, "违规")),
    "interval": (lambda i: f"{i % 50}s to {i % 50 + 4}.5s", Answer(AnswerKind.INTERVAL, "[[10, 20]]")),
    "box": (lambda i: f"[{i % 90}, 20, {i % 90 + 50}, 80]", Answer(AnswerKind.BOX, "[10, 20, 60, 80]")),
    "OCR, 30 characters": (
        lambda i: f"Invoice {i:08d} Total Due: $45",
        Answer(AnswerKind.OCR, "invoice 00012345 total due: $45"),
    ),
    "math, rational": (lambda i: f"\\frac{{{i}}}{{7}}", Answer(AnswerKind.MATH, "\\frac{3}{7}")),
}


def _rate(run: Callable[[int], object], seconds: float) -> float:
    run(0)  # builds patterns and caches of the gold
    start = time.process_time()
    for count in _until(start + seconds):
        run(count)
    return (count + 1) / (time.process_time() - start)


def _until(deadline: float) -> Iterator[int]:
    for index in itertools.count():
        if index % 64 == 0 and time.process_time() > deadline:
            return
        yield index


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="CPU time per case")
    parser.add_argument("--save", action="store_true", help="write a dated result")
    arguments = parser.parse_args()
    rates: dict[str, dict[str, int]] = {}
    print(f"{'case':22s} {'grade/s':>10s} {'score/s':>10s}")
    for name, (render, answer) in CASES.items():
        plain = _rate(lambda i, r=render, a=answer: grade(_output(i, r(i)), a), arguments.seconds)
        whole = _rate(lambda i, r=render, a=answer: score(_output(i, r(i)), a, SETTINGS), arguments.seconds)
        rates[name] = {"grade_per_s": round(plain), "score_per_s": round(whole)}
        print(f"{name:22s} {plain:10,.0f} {whole:10,.0f}", flush=True)
    if arguments.save:
        print(f"wrote {_save(rates)}")


def _save(rates: dict[str, dict[str, int]]) -> Path:
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    path = Path(__file__).parent / "results" / f"grader_throughput_{today}.json"
    path.parent.mkdir(exist_ok=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=path.parent, capture_output=True, text=True, check=True)
    result = {
        "date": today,
        "commit": commit.stdout.strip() + " and the working tree after it",
        "command": "OMP_NUM_THREADS=1 python benchmarks/grader_throughput.py --save",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "load_average": [round(load, 1) for load in os.getloadavg()],
        "unit": "verdicts per CPU second on one core; outputs of about 2,000 characters, all different",
        "rates": rates,
    }
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    main()
