"""Questions on the biomedical literature: PubMedQA (yes, no, maybe) and MIRAGE (five sets as lettered choices)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmreason.data.lines import Row, read_rows
from mmreason.data.sources import take_options
from mmreason.data.step import Drop, ReadRequest
from mmreason.project import load_module
from mmreason.records import Answer, AnswerKind, Message, Role, Sample, Source

shared = load_module(Path(__file__).parent / "readers_shared_text.py")

DECISIONS = ("yes", "no", "maybe")
PARTS = ("mmlu", "medqa", "medmcqa", "pubmedqa", "bioasq")


def pubmedqa(request: ReadRequest) -> Iterator[Sample | Drop]:
    """PubMedQA, labelled part, as a reasoning-required question: abstract sections without the conclusion.

    Forms: ori_pqal.json with test_ground_truth.json, which names the 500 test questions; or compact lines. The
    conclusion (LONG_ANSWER) is never shown; evidence keeps it with the two annotators' answers.
    """
    take_options(request)
    records, *truths = request.files
    if not truths:
        yield from (_question(row, request, row.need("pmid", str)) for row in read_rows(records))
        return
    articles, truth = shared.document_of(records), shared.document_of(truths[0])
    for pmid in truth.values:
        row = _lower(articles.inner(pmid))
        if row.need("final_decision", str) != truth.need(pmid, str):
            row.fail(f"{pmid} is decided {row.values['final_decision']!r}, {truths[0].name} has {truth.values[pmid]!r}")
        yield _question(row, request, pmid)


def _lower(row: Row) -> Row:
    """The released record with field names as in the compact form."""
    return Row({key.lower(): value for key, value in row.values.items()}, row.path, row.line)


def _question(row: Row, request: ReadRequest, pmid: str) -> Sample | Drop:
    gold, question = row.need("final_decision", str), row.need("question", str).strip()
    if gold not in DECISIONS:
        return Drop(f"{request.name}-{pmid}", "read", "no_decision", repr(gold), row.values)
    context = "\n".join(row.texts("contexts"))
    kept = ("long_answer", "reasoning_required_pred", "reasoning_free_pred")
    return Sample(
        id=f"{request.name}-{pmid}",
        source=Source(request.name, request.split, request.entry.licence, pmid, f"pmid-{pmid}"),
        messages=(Message.of(Role.USER, f"{context}\nQuestion: {question}"),),
        answer=Answer(AnswerKind.JUDGEMENT, gold, aliases={label: [label] for label in DECISIONS}),
        evidence={key: row.values[key] for key in kept if row.values.get(key)},
        metadata={"question": question, "decision": gold, "year": str(row.values.get("year") or "")},
    )


def mirage(request: ReadRequest) -> Iterator[Sample | Drop]:
    """MIRAGE's benchmark.json: {part: {id: {question, options, answer}}}; the split is a part, or `all`.

    Parts come in the order of the original's table, questions in the order of their sorted ids, as it scores them.
    """
    take_options(request)
    benchmark = shared.document_of(request.files[0])
    for part in PARTS if request.split == "all" else (request.split,):
        questions = benchmark.inner(part)
        for identity in sorted(questions.values):
            yield _mirage_choice(questions.inner(identity), request, part, identity)


def _mirage_choice(row: Row, request: ReadRequest, part: str, identity: str) -> Sample | Drop:
    options: dict[str, Any] = shared.options_of(row, "options")
    question, gold, name = row.need("question", str), row.need("answer", str), f"{part}-{identity}"
    found: Sample | Drop = shared.choice(row, request, name, question, options, gold, part=part, part_id=identity)
    return found
