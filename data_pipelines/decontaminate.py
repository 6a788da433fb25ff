"""Compare a training set with evaluation sets, and write the training set without what they know.

    python data_pipelines/decontaminate.py TRAIN.parquet OUT EVAL.parquet [EVAL.parquet ...]

OUT gets clean.parquet, dropped.jsonl and decontamination.json (counts by kind, pairs of ids, shared documents).
The cold-start flow does the same on its way; this is for sets that were built elsewhere.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmreason.data.decontaminate import contamination_report, decontaminate
from mmreason.errors import USER_ERROR_EXIT, UserError
from mmreason.records.io import read_samples, write_samples
from mmreason.run.files import write_json, write_jsonl


def main(train: Path, out: Path, evaluation: Sequence[Path]) -> dict[str, Any]:
    """Read, compare, write; returns what decontamination.json holds."""
    if not evaluation:
        raise UserError("no evaluation file was named; give at least one")
    rows = read_samples(train)
    known = [sample for path in evaluation for sample in read_samples(path)]
    clean, pairs = decontaminate(rows, known)
    kinds = {pair.train: pair for pair in pairs}
    write_samples(out / "clean.parquet", clean)
    write_jsonl(
        out / "dropped.jsonl",
        (
            {
                "id": row.id,
                "step": "decontaminate",
                "reason": kinds[row.id].kind.value,
                "detail": f"evaluation row {kinds[row.id].eval}",
                "row": row.to_dict(),
            }
            for row in rows
            if row.id in kinds
        ),
    )
    report = contamination_report(rows, known, clean, pairs)
    write_json(out / "decontamination.json", report)
    return report


if __name__ == "__main__":
    if len(sys.argv) < 4:
        raise SystemExit(__doc__)
    try:
        result = main(Path(sys.argv[1]), Path(sys.argv[2]), [Path(name) for name in sys.argv[3:]])
    except UserError as error:
        print(f"mmreason: {error}", file=sys.stderr)
        raise SystemExit(USER_ERROR_EXIT) from None
    print(f"{result['dropped']} of {result['train']} training rows are known to the evaluation: {result['kinds']}")
