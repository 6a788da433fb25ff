"""What an evaluation says under MedCCO's protocol: closed accuracy, open S with lambda 0.7, and what S does not see.

    python domains/medical/medcco/measures.py RUN        a table of every stage and suite of a run folder

The paper reports open answers by S_0.7, the same family of scores that it trains with (its reviews object). Beside it
stand exact match, answers in other words that mean the same (made-up scans know), and answers on the wrong side.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from mmreason.errors import UserError
from mmreason.project import load_module
from mmreason.run.folder import RunFolder
from mmreason.run.manifest import read_manifest
from mmreason.suites.reference.medical_forms import sides

_HERE = Path(__file__).parent
rewards = load_module(_HERE / "rewards.py")
Record = Mapping[str, Any]
COLUMNS = {
    "closed": "closed accuracy",
    "open": "open, right",
    "exact": "open, exact",
    "s": "open, S 0.7",
    "side": "wrong side",
}


def is_closed(record: Record) -> bool:
    """By the annotation that the scans and readers leave, choices and judgements always."""
    marked = record["doc"]["metadata"].get("answer_type")
    return record["kind"] in ("choice", "judgement") or marked == "closed"


def said(run: Mapping[str, Any]) -> str:
    """The short answer of an output."""
    return str(rewards.reading.read_said(run["output"] or "").text)


def reported(run: Mapping[str, Any], gold: str, own: Any) -> float:
    """S_0.7 of an open answer, without the guards of training."""
    found = rewards.mixed(said(run), gold, own)
    return float(rewards.REPORTED * found.lexical + (1 - rewards.REPORTED) * found.semantic)


def exact(run: Mapping[str, Any], gold: str) -> bool:
    """Whether an answer is the reference in its own words."""
    words = rewards.conflict.plain_words
    return bool(words(said(run)) == words(gold))


def wrong_side(run: Mapping[str, Any], gold: str) -> float | None:
    """1 where the answer names the one side that the reference does not, 0 for its side or none; None for references
    without one."""
    true, told = sides(gold), sides(said(run))
    return None if len(true) != 1 else float(len(told) == 1 and told != true)


def answers(records: Iterable[Record], own: Any) -> list[dict[str, Any]]:
    """One entry an answer: {id, closed, and of COLUMNS what applies to it}."""
    made = []
    for record in records:
        gold = str(record["target"])
        for run in record["runs"]:
            right, shut = float(run["outcome"] == "right"), is_closed(record)
            graded = {"open": right, "exact": float(exact(run, gold)), "s": reported(run, gold, own)}
            entry = {"closed": right} if shut else graded
            side = None if shut else wrong_side(run, gold)
            made.append({"id": record["id"], "right": right, **entry, **({} if side is None else {"side": side})})
    return made


def summarise(given: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Mean of each measure over the answers that it applies to; those that apply to none are left out."""
    found = {name: [float(one[name]) for one in given if name in one] for name in COLUMNS}
    return {name: fmean(values) for name, values in found.items() if values}


def read_records(path: Path) -> list[dict[str, Any]]:
    """The scored questions of one evaluation. Raises UserError where it has not been made."""
    if not path.is_file():
        raise UserError(f"no evaluation {path}; run `mmreason run medcco` first")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def table(run: Path) -> str:
    """Markdown of every stage and suite under a run folder. Raises UserError where there is none."""
    files = sorted(run.glob("**/eval/*/*.samples.jsonl"))
    if not files:
        raise UserError(f"{run} holds no evaluation (eval/STAGE/SUITE.samples.jsonl); give the folder of a run")
    lines = ["| stage | suite | " + " | ".join(COLUMNS.values()) + " |", "|---" * (len(COLUMNS) + 2) + "|"]
    for path in files:
        home = path.parent.parent.parent
        options = read_manifest(RunFolder(home))["settings"]["recipe"]["options"]
        made = summarise(answers(read_records(path), rewards.settings.of(options)))
        cells = [f"{100 * made[name]:.1f}" if name in made else "" for name in COLUMNS]
        name = path.name.removesuffix(".samples.jsonl")
        stage = f"{home.relative_to(run).as_posix()} {path.parent.name}"
        lines.append(f"| {stage} | {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python domains/medical/medcco/measures.py RUN")
    try:
        print(table(Path(sys.argv[1])))
    except UserError as error:
        raise SystemExit(str(error)) from None
