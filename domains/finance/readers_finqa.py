"""FinQA, as its authors release it and in the compact form with retrieved context.

Released: a JSON array of {pre_text, post_text, table, id, qa: {question, program, exe_ans, gold_inds, ...}}.
Compact: one {id, question, context, table, program, exe_ans} a line.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmreason.data.lines import Row, read_rows
from mmreason.data.sources import take_options
from mmreason.data.step import Drop, ReadRequest
from mmreason.errors import UserError
from mmreason.project import load_module
from mmreason.records import Answer, AnswerKind, Message, Role, Sample, Source
from mmreason.rewards.program import ProgramError

tables = load_module(Path(__file__).parent / "report_tables.py")

RETRIEVED = 5
"""Facts kept from the released retriever scores, as FinQA's generator does."""


def number_answer(question: str, program: str, gold: float | str) -> Answer:
    """The gold of a program question; a program that multiplies by 100 for a percentage has its gold with the sign."""
    asks_percent, times_100 = (False, False) if isinstance(gold, str) else tables.percent_form(question, program)
    return Answer(AnswerKind.NUMBER, f"{gold}%" if times_100 else str(gold), asks_percent=asks_percent or times_100)


def check_program(program: str, table: list[list[str]], gold: float | str) -> tuple[str, str] | None:
    """(reason, detail) for a program that does not execute to the gold, None if it does."""
    try:
        value = tables.program_value(program, table)
    except ProgramError as error:
        unknown = "unknown operation" in str(error)
        return ("program_unknown_operation" if unknown else "program_invalid"), str(error)
    return None if tables.same_value(value, gold) else ("program_mismatch", f"executes to {value}, exe_ans is {gold}")


def _facts(row: Row, table: list[list[str]]) -> list[tuple[str, str]]:
    """(text_i or table_i, sentence) in document order; the table's header is no fact."""
    before = row.texts("pre_text")
    texts = [(f"text_{k}", text) for k, text in enumerate([*before, *row.texts("post_text")])]
    cells = [(f"table_{k}", tables.row_sentence(table[0], line)) for k, line in enumerate(table) if k and line]
    return [*texts[: len(before)], *cells, *texts[len(before) :]]


def _retrieved(row: Row, qa: Row) -> set[str]:
    """Ids of the facts that the released retriever found: the generator's input, else the best scores."""
    model_input: list[Any] = qa.fill("model_input", list, [])
    if model_input:
        return {str(fact[0]) for fact in model_input if isinstance(fact, list) and fact}
    scored = [
        (float(found.need("score", object)), found.need("ind", str))  # type: ignore[arg-type]
        for key in ("table_retrieved", "text_retrieved")
        if row.values.get(key)
        for found in row.inners(key)
    ]
    if not scored:
        row.fail("no retrieved context (qa.model_input, table_retrieved); use the option context: full or gold")
    return {ind for _, ind in sorted(scored, reverse=True)[:RETRIEVED]}


def _chosen(row: Row, qa: Row, context: str) -> set[str]:
    if context == "retrieved":
        return _retrieved(row, qa)
    named = qa.need("gold_inds", object)
    if not isinstance(named, dict | list):
        row.fail(f"qa.gold_inds is {type(named).__name__}, expected fact ids such as text_1, table_2")
    return set(named)


def _context(row: Row, qa: Row, table: list[list[str]], context: str, style: str) -> str:
    """The report text shown with the question."""
    if context == "full":
        shown = [*row.texts("pre_text"), tables.render(table, style), *row.texts("post_text")]
        return "\n".join(part for part in shown if part.strip())
    chosen = _chosen(row, qa, context)
    facts = [(name, text) for name, text in _facts(row, table) if name in chosen]
    rows = [line for k, line in enumerate(table) if k and f"table_{k}" in chosen]
    if style == "sentences" or not rows:
        return "\n".join(text for _, text in facts)
    texts = [text for name, text in facts if name.startswith("text_")]
    return "\n".join([*texts, tables.render([table[0], *rows], style)])


def _sample(row: Row, request: ReadRequest, options: dict[str, Any]) -> Sample | Drop:
    released = "qa" in row.values
    qa, table, identity = (row.inner("qa") if released else row), row.table("table"), row.need("id", str)
    question, program, gold = qa.need("question", str), qa.need("program", str), tables.gold_value(qa, "exe_ans")
    fault = check_program(program, table, gold)
    if fault and options["mismatch"] == "drop":
        return Drop(f"{request.name}-{identity}", "read", fault[0], fault[1], row.values)
    context = options["context"] if options["context"] != "auto" else "full" if released else "retrieved"
    if released:
        text = _context(row, qa, table, context, options["table"])
    elif context == "retrieved":
        text = "\n".join(row.texts("context"))
    else:
        raise UserError(f"{row.where}: the compact form holds retrieved context alone, not {context!r}")
    style = options["table"] if released else "sentences"
    page = {"report": identity.rpartition("-")[0]} if "/" in identity else {}
    return Sample(
        id=f"{request.name}-{identity}",
        source=Source("finqa", request.split, request.entry.licence, identity, tables.document_key(table)),
        messages=(Message.of(Role.USER, f"{text}\n{question}"),),
        answer=number_answer(question, "" if fault else program, gold),
        evidence={"program": program, "table": table, "exe_ans": gold},
        metadata={"question": question, "context": context, "table": style, **page},
    )


def finqa(request: ReadRequest) -> Iterator[Sample | Drop]:
    """Options: context (full, gold or retrieved; by default what the form offers), table (markdown or sentences),
    mismatch (what becomes of rows whose program does not execute to exe_ans: drop, or keep them for evaluation).
    """
    options = take_options(
        request,
        context=("auto", "full", "gold", "retrieved"),
        table=("markdown", "sentences"),
        mismatch=("drop", "keep"),
    )
    for path in request.files:
        for row in read_rows(path):
            yield _sample(row, request, options)
