"""What the thoughts of a policy of the made-up scans tell of the lesions, right or wrong answers aside.

    python domains/medical/scans_seen.py RUN        a row for every stage and suite of a run folder or a chain of them

A lesion counts as found where the thought tells its zone with a size, a shade and a shape, whatever these are.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mmreason.project import load_module

world = load_module(Path(__file__).parent / "scans_world.py")

_KINDS = ("size", "shade", "shape")
_TOLD = re.compile(
    rf"({'|'.join(map(' '.join, world.ZONES))}) ({'|'.join(world.SIZES)}) ({'|'.join(world.SHADES)}) (\w+)"
)
COLUMNS = ("lesions", "found", *_KINDS, "invented", "as concluded")


def seen(records: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """Counts over all answers: lesions, those found and told right by size, shade and shape, zones told that hold none,
    answers, and those that say what their own thought concludes (plain wordings alone)."""
    counts: Counter[str] = Counter()
    for record in records:
        lesions = {one["zone"]: one for one in record["doc"]["metadata"]["lesions"]}
        for run in record["runs"]:
            thought, _, answer = run["output"].partition("</think>")
            told = {zone: dict(zip(_KINDS, words, strict=True)) for zone, *words in _TOLD.findall(thought)}
            counts.update(answers=1, lesions=len(lesions), invented=len(told.keys() - lesions.keys()))
            counts["found"] += len(told.keys() & lesions.keys())
            counts.update(
                kind
                for zone in told.keys() & lesions.keys()
                for kind in _KINDS
                if told[zone][kind] == lesions[zone][kind]
            )
            said = answer.partition("<answer>")[2].partition("</answer>")[0].strip()
            counts["as concluded"] += said == thought.rpartition(" so ")[2].strip()
    return counts


def table(run: Path) -> str:
    """Markdown: shares of the lesions, of the answers in the last column."""
    lines = [f"| stage | suite | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 2) + "|"]
    for path in sorted(run.glob("**/eval/*/scans_*.samples.jsonl")):
        counts = seen(map(json.loads, path.read_text(encoding="utf-8").splitlines()))
        shares = [f"{100 * counts[kind] / max(1, counts['lesions']):.0f} %" for kind in COLUMNS[1:-1]]
        concluded = f"{100 * counts['as concluded'] / max(1, counts['answers']):.0f} %"
        stage = path.parent.relative_to(run).as_posix().replace("/eval", "")
        row = [stage, path.name.partition(".")[0], str(counts["lesions"]), *shares, concluded]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        raise SystemExit("usage: python domains/medical/scans_seen.py RUN, the folder of a run")
    print(table(Path(sys.argv[1])))
