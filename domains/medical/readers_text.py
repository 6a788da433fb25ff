"""English and Chinese medical exam questions: MedQA, MedMCQA, MMLU, MMLU-Pro, MedXpertQA, Medbullets, CareQA, CMB,
CMExam, JMED. Literature questions (PubMedQA, MIRAGE) are in readers_literature_text.py."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from string import ascii_uppercase

from mmreason.data.lines import Row, describe, read_rows
from mmreason.data.sources import take_options
from mmreason.data.step import Drop, ReadRequest
from mmreason.errors import UserError
from mmreason.project import load_module
from mmreason.records import Sample

shared = load_module(Path(__file__).parent / "readers_shared_text.py")

MULTI = "多项选择题"
_MARK = "\nAnswer Choices:"


def medqa(request: ReadRequest) -> Iterator[Sample | Drop]:
    """MedQA-USMLE with 4 or 5 options.

    Forms: the authors' lines (`options` by letter, `answer_idx`), the Hub's `sent1`/`ending0..3`/`label`, and a
    compact one with `id`. A question is named by its place in the file, counted from 0000, as MIRAGE does.
    """
    take_options(request)
    for path in request.files:
        for row in shared.rows_of(path):
            identity = f"{row.line - 1:04d}" if "sent1" in row.values else row.fill("id", str, f"{row.line - 1:04d}")
            if "sent1" in row.values:
                question, options = row.need("sent1", str), _endings(row)
                gold = shared.indexed(row, "label", list(options), 0)
            else:
                question, options = row.need("question", str), shared.options_of(row, "options")
                gold = row.need("answer_idx" if "answer_idx" in row.values else "answer", str)
            step = row.fill("meta_info", str, row.fill("step", str, ""))
            yield shared.choice(row, request, identity, question, options, gold, **({"step": step} if step else {}))


def _endings(row: Row) -> dict[str, str]:
    keys = [key for key in row.values if key.startswith("ending")]
    options: dict[str, str] = shared.lettered([row.need(key, str) for key in sorted(keys)])
    return options


def medmcqa(request: ReadRequest) -> Iterator[Sample | Drop]:
    """MedMCQA. `cop` counts from 0 on the Hub (split validation) and from 1 in the authors' own JSON (split dev)."""
    take_options(request)
    first = 1 if request.split == "dev" else 0
    for path in request.files:
        for row in shared.rows_of(path):
            if "options" in row.values:
                options, gold = shared.options_of(row, "options"), row.need("answer", str)
            else:
                options = shared.lettered([row.need(key, str) for key in ("opa", "opb", "opc", "opd")])
                gold = shared.indexed(row, "cop", "ABCD", first)
            subject = row.fill("subject_name", str, row.fill("subject", str, ""))
            extra = {"subject": subject, "choice_type": row.fill("choice_type", str, "")}
            told = {"explanation": row.values.get("exp") or row.values.get("explanation")}
            question, identity = row.need("question", str), row.need("id", str)
            yield shared.choice(row, request, identity, question, options, gold, "en", told, **extra)


def mmlu(request: ReadRequest) -> Iterator[Sample | Drop]:
    """The six medical subjects of MMLU, one file each: the Hub's parquet (`answer` from 0), the authors' CSV without a
    header (question, four options, letter), and a compact form. Named <subject>-<place in its file, from 000>."""
    take_options(request)
    for path in request.files:
        for row in _csv_rows(path) if path.suffix == ".csv" else shared.rows_of(path):
            subject = row.fill("subject", str, path.stem.removesuffix("_test"))
            identity = row.fill("id", str, f"{subject}-{row.line - 1:03d}")
            if "options" in row.values:
                options, gold = shared.options_of(row, "options"), row.need("answer", str)
            else:
                options = shared.lettered(row.texts("choices"))
                gold = row.values["answer"] if path.suffix == ".csv" else shared.indexed(row, "answer", "ABCD", 0)
            question = row.need("question", str)
            key = shared.stem_key(
                "\n".join((question, *options.values()))
            )  # one stem is asked with two sets of options
            yield shared.choice(row, request, identity, question, options, gold, document=key, subject=subject)


def _csv_rows(path: Path) -> Iterator[Row]:
    for number, cells in enumerate(csv.reader(io.StringIO(shared.text_of(path), newline="")), start=1):
        if len(cells) != 6:
            raise UserError(f"{path}, row {number}: {len(cells)} cells, expected question, four options and a letter")
        yield Row({"question": cells[0], "choices": cells[1:5], "answer": cells[5].strip()}, path, number)


def mmlu_pro(request: ReadRequest) -> Iterator[Sample | Drop]:
    """MMLU-Pro; the split is a category (health, biology). Options "N/A" fill up and are none, as in the original."""
    take_options(request)
    for path in request.files:
        for row in shared.rows_of(path):
            if row.need("category", str) != request.split:
                continue
            options = shared.lettered([text for text in row.texts("options") if text != "N/A"])
            gold, place = row.need("answer", str), row.need("answer_index", int)
            if place >= len(options) or ascii_uppercase[place] != gold:
                row.fail(f"answer {gold!r} and answer_index {place} do not name the same option")
            told = {"explanation": row.values.get("cot_content")}
            identity, extra = str(row.need("question_id", int)), {"src": row.fill("src", str, "")}
            yield shared.choice(row, request, identity, row.need("question", str), options, gold, "en", told, **extra)


def medxpertqa(request: ReadRequest) -> Iterator[Sample | Drop]:
    """MedXpertQA, text part: options {letter: text} and `label` "A" (Hub), or [{letter, content}] and ["A"] (GitHub).

    The released question ends with the options in its own text; they are cut off there, since the protocol puts them.
    """
    take_options(request)
    for path in request.files:
        for row in shared.rows_of(path):
            options, label = shared.options_of(row, "options"), row.values.get("label")
            gold = "".join(row.texts("label")) if isinstance(label, list) else row.need("label", str)
            extra = {key: row.need(key, str) for key in ("medical_task", "body_system", "question_type")}
            stem = _without_options(row, options)
            yield shared.choice(row, request, row.need("id", str), stem, options, gold, **extra)


def _without_options(row: Row, options: dict[str, str]) -> str:
    """The stem. Raises UserError where the options in the text are not those of the options field."""
    stem, mark, listed = row.need("question", str).rpartition(_MARK)
    expected = " ".join(f"({letter}) {text}" for letter, text in options.items())
    if not mark or listed.split() != expected.split():
        row.fail(f"the question does not end with its answer choices; found {describe(listed)}")
    return stem


def medbullets(request: ReadRequest) -> Iterator[Sample | Drop]:
    """Medbullets with 4 or 5 options, stored by columns. 308 rows of 298 questions: repeats share their document."""
    take_options(request)
    for path in request.files:
        for row in shared.columns_of(path):
            keys = [key for key in ("opa", "opb", "opc", "opd", "ope") if key in row.values]
            options = shared.lettered([row.need(key, str) for key in keys])
            told = {"explanation": row.values.get("explanation"), "link": row.values.get("link")}
            gold = row.need("answer_idx", str)
            yield shared.choice(row, request, f"{row.line:03d}", row.need("question", str), options, gold, "en", told)


def careqa(request: ReadRequest) -> Iterator[Sample | Drop]:
    """CareQA; `cop` counts from 1. The two rows without question and answer are dropped."""
    take_options(request)
    for path in request.files:
        for row in shared.rows_of(path):
            if not isinstance(row.values.get("question"), str):  # null, or NaN where pandas wrote the file
                yield Drop(f"{request.name}-row-{row.line}", "read", "no_question")
                continue
            options = shared.lettered([str(row.values.get(f"op{number}")) for number in range(1, 5)])
            gold, year = shared.indexed(row, "cop", "ABCD", 1), str(int(row.values["year"]))
            extra = {"category": row.need("category", str), "year": year}
            identity = row.need("unique_id", str)
            yield shared.choice(row, request, identity, row.need("question", str), options, gold, **extra)


def cmb(request: ReadRequest) -> Iterator[Sample | Drop]:
    """CMB-Exam: the questions, then in a second file their answers by id; or rows that hold both."""
    take_options(request)
    questions, *others = request.files
    golds = {str(row.need("id", int)): row.need("answer", str) for path in others for row in read_rows(path)}
    for row in shared.rows_of(questions):
        identity = str(row.fill("id", int, row.line))
        gold = golds.get(identity) if golds else row.need("answer", str)
        if gold is None:
            row.fail(f"question {identity} has no answer in {others[0].name}")
        extra = {key: row.need(key, str) for key in ("exam_type", "exam_class", "question_type")} | {"answer": gold}
        told = {"explanation": row.values.get("explanation")}
        options = shared.options_of(row, "option")
        question, several = row.need("question", str), extra["question_type"] == MULTI
        yield shared.choice(row, request, identity, question, options, gold, "zh", told, several, **extra)


def cmexam(request: ReadRequest) -> Iterator[Sample | Drop]:
    """CMExam: CSV with one option a line ("A text"), or the Hub's rows with [{key, value}]; named by their place."""
    take_options(request)
    for path in request.files:
        for row in shared.rows_of(path):
            listed = row.values.get("Options")
            options = _option_lines(row) if isinstance(listed, str) else shared.options_of(row, "Options")
            told = {"explanation": row.values.get("Explanation")}
            gold, field = row.fill("Answer", str, ""), row.fill("Medical Discipline", str, "")
            letters, identity = "".join(filter(str.isalpha, gold)), f"{row.line:05d}"
            question, extra = row.fill("Question", str, ""), {"discipline": field, "answer": gold}
            yield shared.choice(row, request, identity, question, options, letters, "zh", told, **extra)


def _option_lines(row: Row) -> dict[str, str]:
    lines = [line.strip() for line in row.need("Options", str).splitlines() if line.strip()]
    return {line[0]: line[1:].lstrip(" .、．") for line in lines}


def jmed(request: ReadRequest) -> Iterator[Sample | Drop]:
    """JMED: `question`, 21 `options` by letter, `answer` as a letter or a list of one; named by `id` or place."""
    take_options(request)
    for path in request.files:
        for row in shared.rows_of(path):
            answer = row.values.get("answer")
            gold = "".join(row.texts("answer")) if isinstance(answer, list) else row.need("answer", str)
            identity, options = str(row.values.get("id") or f"{row.line:04d}"), shared.options_of(row, "options")
            yield shared.choice(row, request, identity, row.need("question", str), options, gold, "zh")
