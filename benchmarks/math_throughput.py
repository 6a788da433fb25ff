"""Verdicts a second on mathematical answers, ours beside plain math-verify in the same run, and where they differ.

    OMP_NUM_THREADS=1 python benchmarks/math_throughput.py --data DATA [--golds 200] [--save]

DATA holds math_text/math500.jsonl.gz. Each gold is rendered in several right and wrong ways; the hard cases M1-M40 are
added. Plain math-verify: parse(gold), parse(output), verify, one after the other in this process with its default
settings and its own time limits. Ours: `grade`, one after the other, one caller. Both by the clock, both warm; golds
come in the order of training, all answers to one question together. `--save` writes a dated result.
"""

from __future__ import annotations

import argparse
import datetime
import gzip
import json
import logging
import os
import platform
import random
import re
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import yaml
from math_verify import parse, verify

from mmreason.records import Answer, AnswerKind
from mmreason.rewards.grade import grade

ROOT = Path(__file__).resolve().parents[1]
Row = tuple[str, str, str]
"""Gold, output, rendering."""

REASONS = {
    "number system": "2516_8 and 2516_9 differ (M39, M40): plain drops the base, or takes it for a variable's index",
    "unit": "units that both sides give must agree: plain drops them",
    "tiny": "1/2^98 and 1/2^99 differ (M27): plain rounds both to nothing",
    "several boxes": "the last box counts (M4, M6): plain makes a set of unwrapped boxes",
    "relation": "an inequality does not stand for an interval (M12), nor an expression for an equation",
    "part": "a part of a find-all answer is wrong, and so is one bracketed otherwise",
    "notation": "read here, not by plain: e-notation (M32), assignments of lists, text, unboxed lines (M28, M29)",
    "percent": "a percent sign for a bare gold needs a question that asks for one (M18 asks)",
    "words": "an answer in words may be assigned to a name: plain compares the text before it too",
}


def _perturbed(gold: str, noise: random.Random) -> str:
    numbers = list(re.finditer(r"\d+", gold))
    if not numbers:
        return f"2({gold})"
    place = noise.choice(numbers)
    return f"{gold[: place.start()]}{int(place.group()) + noise.randint(1, 9)}{gold[place.end() :]}"


def _renderings(gold: str, noise: random.Random) -> dict[str, str]:
    """Ways to write one gold: eight that keep its value and four that do not, as far as they apply."""
    plain = "=" not in gold and "," not in gold and "\\in" not in gold
    wrong = _perturbed(gold, noise)
    all_ways = {
        "as is": gold,
        "again": f" {gold} ",
        "display fractions": gold.replace("\\frac", "\\dfrac"),
        "brackets sized": gold.replace("(", "\\left(").replace(")", "\\right)"),
        "no spaces": re.sub(r"(?<![a-z]) | (?![a-zA-Z])", "", gold) if "\\text" not in gold else gold,
        "assigned": f"k = {gold}" if plain else gold,
        "in dollars": f"${gold}$",
        "plus zero": f"{gold} + 0" if plain and "\\text" not in gold and "_" not in gold else gold,
        "digits changed": wrong,
        "digits changed, assigned": f"k = {wrong}" if plain else wrong,
        "negated": f"-({gold})" if plain and not gold.startswith("-") else wrong,
        "one more": f"{gold} + 1" if plain and "\\text" not in gold else wrong,
    }
    return all_ways


def rows(data: Path, count: int, seed: int = 0) -> list[Row]:
    """The benchmark's (gold, output, rendering) rows."""
    noise = random.Random(seed)
    with gzip.open(data / "math_text" / "math500.jsonl.gz", "rt", encoding="utf-8") as lines:
        golds = [str(json.loads(line)["answer"]) for line in lines]
    noise.shuffle(golds)
    rendered = [
        (gold, f"So the answer is \\boxed{{{text}}}.", way)
        for gold in golds[:count]
        for way, text in _renderings(gold, noise).items()
    ]
    table = yaml.safe_load((ROOT / "tests" / "rewards" / "hard_cases.yaml").read_text("utf-8"))["rows"]
    return rendered + [
        (row["gold"], row["output"], row["id"]) for row in table if row["kind"] == "math" and row["gold"]
    ]


def ours(row: Row) -> bool:
    gold, output, way = row
    answer = Answer(AnswerKind.MATH, gold, asks_percent=way == "M18")
    return grade(output, answer, lenient=way in ("M28", "M29")).score == 1.0


def plain(row: Row) -> bool:
    gold, output, _ = row
    return bool(verify(parse(f"\\boxed{{{gold}}}"), parse(output)))


def reason(row: Row) -> str:
    """Which of `REASONS` explains a difference of verdicts; "" if none does."""
    gold, output, _ = row
    both = gold + output
    tests = {
        "several boxes": output.count("\\boxed") > 1,
        "number system": re.search(r"\d_\{?\d", both),
        "unit": re.search(r"\\(?:text|mbox)\s*\{\s*(?:cm|in|deg|sq|cents|feet|m\b|hours|miles)", both),
        "tiny": "2^{9" in both,
        "percent": "%" in both,
        "words": "\\text" in both,
        "relation": re.search(r"=.*=|[<>]|\\in(?![a-z])", both) or "=" in gold,
        "part": "," in both,
        "notation": re.search(r"\de\d|k =|\*\*|\$|\+ 0|- *\(", both),
    }
    return next((name for name, hit in tests.items() if hit), "")


def _timed(judge: Any, asked: list[Row]) -> tuple[list[bool], float]:
    start = time.perf_counter()
    found = [judge(row) for row in asked]
    return found, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("MMREASON_DATA"), required="MMREASON_DATA" not in os.environ
    )
    parser.add_argument("--golds", type=int, default=200)
    parser.add_argument("--save", action="store_true", help="write a dated result")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)  # math-verify reports every failed parse
    asked = rows(arguments.data, arguments.golds)
    warm: Row = ("1+x", "\\boxed{x+1}", "warm")
    ours(warm), plain(warm)
    mine, mine_seconds = _timed(ours, asked)
    theirs, their_seconds = _timed(plain, asked)
    differing = [(row, one) for row, one, other in zip(asked, mine, theirs, strict=True) if one != other]
    causes = Counter(reason(row) or "unexplained" for row, _ in differing)
    result = {
        "answers": len(asked),
        "ours_per_s": round(len(asked) / mine_seconds, 1),
        "math_verify_per_s": round(len(asked) / their_seconds, 1),
        "ratio": round(their_seconds / mine_seconds, 2),
        "right_by_ours": sum(mine),
        "right_by_math_verify": sum(theirs),
        "same_verdict": len(asked) - len(differing),
        "differences": {cause: {"rows": n, "why": REASONS.get(cause, "")} for cause, n in causes.most_common()},
        "differing_rows": [
            {"gold": gold, "output": output, "rendering": way, "ours": one, "cause": reason((gold, output, way))}
            for (gold, output, way), one in differing
        ],
    }
    print(json.dumps({key: value for key, value in result.items() if key != "differing_rows"}, indent=1))
    for (gold, output, way), one in differing:
        print(f"{reason((gold, output, way)) or '?':14s} ours {one!s:5s} {way}: {gold!r} | {output!r}")
    if arguments.save:
        print(f"wrote {_save(result)}")


def _save(result: dict[str, Any]) -> Path:
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    path = Path(__file__).parent / "results" / f"math_throughput_{today}.json"
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    head = {
        "date": today,
        "commit": commit.strip() + " and the working tree after it",
        "command": "OMP_NUM_THREADS=1 python benchmarks/math_throughput.py --data DATA --save",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "load_average": [round(load, 1) for load in os.getloadavg()],
    }
    path.write_text(json.dumps({**head, **result}, indent=1) + "\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    main()
