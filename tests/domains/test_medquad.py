"""MedQuAD as free questions."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from mmreason.config import load_domain
from mmreason.data.sources import read_source
from mmreason.data.step import Drop
from mmreason.project import project_dir
from mmreason.records import AnswerKind, Sample


def test_repeated_ids_and_empty_answers(tmp_path: Path) -> None:
    same = {"doc_id": "GARD-1", "qid": "1-1", "focus": "Rotor syndrome", "qtype": "causes", "source": "GARD"}
    rows = [
        {**same, "question": "What causes Rotor syndrome?", "answer": "Two genes."},
        {**same, "question": "What brings it about?", "answer": "Two genes."},
        {**same, "qid": "1-2", "question": "How is it treated?", "answer": " "},
    ]
    path = tmp_path / "medquad" / "medquad.jsonl.gz"
    path.parent.mkdir()
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    domain = load_domain(project_dir() / "domains" / "medical")
    first, second, third = read_source(domain, "medquad", "part", tmp_path)
    assert isinstance(first, Sample) and isinstance(second, Sample) and isinstance(third, Drop)
    assert (first.id, second.id) == ("medquad-GARD-1/1-1", "medquad-GARD-1/1-1/2")
    assert (first.answer.kind, first.answer.gold, first.source.document) == (
        AnswerKind.FREE,
        "Two genes.",
        "Rotor syndrome",
    )
    assert (third.reason, first.metadata["qtype"]) == ("empty_answer", "causes")
