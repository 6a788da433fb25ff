"""The readers of medical passages, on rows of the released shapes and on the real MedQuAD."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmreason.errors import UserError
from mmreason.retrieval.make import read_named

MEDICAL = Path(__file__).resolve().parents[2] / "domains" / "medical"


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")  # the released files have no last line end
    return path


def test_medquad_passages_hold_the_answer_and_not_the_question(tmp_path: Path) -> None:
    row = {"doc_id": "GARD-1", "qid": "1-1", "source": "GARD", "focus": "Rotor syndrome", "qtype": "treatment"}
    first = row | {"question": "What is Rotor syndrome ?", "answer": " A disorder of the liver. "}
    rows = [first, first | {"answer": "None needed."}, first | {"answer": "  "}, first | {"qid": None}]
    corpus = read_named("corpora.py:medquad", MEDICAL, [write(tmp_path / "m.jsonl", rows)])
    assert [(p.id, p.text) for p in corpus.passages] == [
        ("GARD-1/1-1", " A disorder of the liver. "),
        ("GARD-1/1-1/2", "None needed."),
    ]
    passage = corpus.passages[0]
    assert passage.contents == passage.text and passage.source == "medquad/GARD"
    assert passage.metadata["focus"] == "Rotor syndrome" and "question" not in passage.metadata
    assert corpus.report.counts() == {"empty": 1, "field": 1}


def test_a_question_that_an_answer_begins_with_is_cut_off(tmp_path: Path) -> None:
    answers = {
        "What causes 22q11.2 deletion syndrome?  It is a  piece. Is it? Yes.": "It is a  piece. Is it? Yes.",
        "It has no cause. Or has it? No.": "It has no cause. Or has it? No.",
        "What are the symptoms of nothing?": "What are the symptoms of nothing?",
        "Is it " + "very " * 80 + "long? Yes.": "Is it " + "very " * 80 + "long? Yes.",
    }
    base = {"doc_id": "GARD-1", "source": "GARD"}
    rows: list[dict[str, object]] = [base | {"qid": str(n), "answer": text} for n, text in enumerate(answers)]
    elsewhere = "See: How is anemia treated? A page."
    rows.append(base | {"qid": "x", "source": "GHR", "answer": elsewhere})
    path = write(tmp_path / "m.jsonl", rows)
    cut = read_named("corpora.py:medquad", MEDICAL, [path]).passages
    assert [passage.text for passage in cut] == [*answers.values(), elsewhere]
    assert cut[0].metadata["restated"] + cut[0].text == next(iter(answers))
    assert all("restated" not in passage.metadata for passage in cut[1:])
    whole = read_named("corpora.py:medquad_released", MEDICAL, [path]).passages
    assert [passage.text for passage in whole] == [*answers, elsewhere]


@pytest.mark.parametrize("name", ["textbooks", "statpearls", "pubmed", "wikipedia"])
def test_medrag_chunks(name: str, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"id": "b_0", "title": "Biochemistry", "content": "Enzymes. ", "contents": "Biochemistry. Enzymes. "},
        {"id": "b_1", "title": "Biochemistry", "content": "Lipids.", "PMID": 12, "wiki_id": "3"},
        {"id": " ", "title": "x", "content": "x"},
        {"id": "b_2", "content": "no title"},
    ]
    write(tmp_path / "chunk" / "b.jsonl", rows)
    corpus = read_named(f"corpora.py:{name}", MEDICAL, [tmp_path])
    first, second = corpus.passages
    assert (first.id, first.title, first.text, first.source) == ("b_0", "Biochemistry", "Enzymes. ", name)
    assert first.contents == "Biochemistry\nEnzymes. "
    assert second.metadata == {"pubmed": {"PMID": 12}, "wikipedia": {"wiki_id": "3"}}.get(name, {})
    assert corpus.report.counts() == {"field": 2}


def test_the_real_medquad_is_read_whole(real_data: Path) -> None:
    path = real_data / "medquad" / "medquad.jsonl.gz"
    if not path.is_file():
        pytest.skip("medquad is not under MMREASON_DATA")
    corpus = read_named("corpora.py:medquad", MEDICAL, [path])
    assert len(corpus.passages) == corpus.report.rows == 13713 and not corpus.report.aside
    assert sum(passage.id.count("/") == 2 for passage in corpus.passages) == 34
    assert sum("restated" in passage.metadata for passage in corpus.passages) == 3318
    with pytest.raises(UserError, match="has no 'medquat'"):
        read_named("corpora.py:medquat", MEDICAL, [path])
