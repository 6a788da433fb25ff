"""`mmreason leaks`: training sets against suites, and the training rows that no suite knows."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmreason.config import load_domain
from mmreason.data.decontaminate import Leak
from mmreason.errors import UserError
from mmreason.leaks.compare import Facts
from mmreason.leaks.media import RowSet
from mmreason.leaks.report import check, text
from mmreason.leaks.sets import Place, read_set
from mmreason.records.io import read_samples, write_samples
from mmreason.run.files import write_json, write_jsonl

REPORT = "leaks.json"


@contextmanager
def _made(out: Path | None) -> Iterator[Path]:
    """Where generated sets put their pictures: beside the report, or for as long as it takes."""
    if out is not None:
        yield out / "made"
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def check_leaks(
    train: list[str], suites: list[str], data: Path | None, out: Path | None, domain: Path | None, clean: bool
) -> str:
    """Compare and write `out`/leaks.json; with `clean` also clean.parquet and dropped.jsonl. Returns the tables."""
    if data is not None and not data.is_dir():
        raise UserError(f"no data folder {data}: give an existing one with --data, or leave it out")
    if clean and (out is None or len(train) != 1 or not train[0].endswith(".parquet")):
        raise UserError("--clean writes one Parquet file without its leaks: give one .parquet as --train, and --out")
    with _made(out) as made:
        place = Place(data.resolve() if data else None, load_domain(domain) if domain else None, made)
        sides = [[read_set(name, place) for name in names] for names in (train, suites)]
        facts = check(*sides)
    if out is not None:
        write_json(out / REPORT, facts)
        if clean:
            write_clean(sides[0][0], facts, out)
    return text(facts) + (f"report: {out / REPORT}\n" if out is not None else "")


def write_clean(train: RowSet, facts: Facts, out: Path) -> None:
    """The rows that no suite knows, as they were, and beside them what left with the reason."""
    order = {kind.value: index for index, kind in enumerate(Leak)}
    reasons: dict[str, tuple[str, str]] = {}
    for pair in sorted((p for one in facts["pairs"] for p in one["leaks"]["pairs"]), key=lambda p: order[p["kind"]]):
        reasons.setdefault(pair["train"], (pair["kind"], pair["eval"]))
    rows = read_samples(Path(train.name))
    write_samples(out / "clean.parquet", [row for row in rows if row.id not in reasons])
    dropped = [(row, *reasons[row.id]) for row in rows if row.id in reasons]
    write_jsonl(
        out / "dropped.jsonl",
        (
            {"id": row.id, "step": "leaks", "reason": kind, "detail": f"evaluation row {known}", "row": row.to_dict()}
            for row, kind, known in dropped
        ),
    )
