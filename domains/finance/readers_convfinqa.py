"""ConvFinQA: conversations or single turns as released, and a compact form of last turns.

Released: {pre_text, post_text, table, id, annotation: {dialogue_break, turn_program, exe_ans_list}}; turn files add
{cur_dial, cur_program, exe_ans, turn_ind}. Compact: {id, questions, answer, text, table, golden_text, golden_table,
programs} with the table as lines of cells parted by " | " and the programs as arithmetic.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmreason.data.lines import Row, read_rows
from mmreason.data.sources import take_options
from mmreason.data.step import Drop, ReadRequest
from mmreason.project import load_module
from mmreason.records import Message, Role, Sample, Source

tables = load_module(Path(__file__).parent / "report_tables.py")
programs = load_module(Path(__file__).parent / "readers_finqa.py")

KNOWN_BAD = {("Double_AOS/2004/page_11.pdf", 0), ("Double_VLO/2018/page_25.pdf", 0)}
"""(conversation, turn) whose gold is wrong, reported to the authors [czyssrs/ConvFinQA issue 5]."""

_STATEMENT = re.compile(r"\s*(\w+)\s*=\s*(\S+)(?:\s*([-+*/]|\*\*|>)\s*(\S+))?\s*")
_OPERATIONS = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide", "**": "exp", ">": "greater"}


@dataclass(frozen=True, slots=True)
class Turn:
    """One question of a conversation with what went before."""

    conversation: str
    index: int
    questions: list[str]
    """All questions up to this one, itself last."""
    history: list[float | str]
    """Gold answers of the earlier turns where they are shown; else empty."""
    program: str
    gold: float | str


def as_program(arithmetic: str) -> str:
    """'x0 = 6823 - 6161; ans = x0 / 6161' as 'subtract(6823, 6161), divide(#0, 6161)'; "" if it is of another form."""
    steps: list[str] = []
    names: dict[str, str] = {}
    for statement in arithmetic.split(";"):
        match = _STATEMENT.fullmatch(statement)
        if match is None:
            return ""
        name, first, sign, second = match.groups()
        if sign is None:
            return names.get(first, first) if not steps and first not in names else ""
        steps.append(f"{_OPERATIONS[sign]}({names.get(first, first)}, {names.get(second, second)})")
        names[name] = f"#{len(steps) - 1}"
    return ", ".join(steps)


def _text(turn: Turn) -> str:
    earlier = turn.questions[:-1]
    answers = [f" {answer}" for answer in turn.history] or [""] * len(earlier)
    lines = [question + answer for question, answer in zip(earlier, answers, strict=True)]
    return "\n".join([*lines, turn.questions[-1]])


def _sample(
    turn: Turn, context: str, table: list[list[str]], row: Row, request: ReadRequest, options: dict[str, Any]
) -> Sample | Drop:
    identity = f"{turn.conversation}#{turn.index}"
    fault = programs.check_program(turn.program, table, turn.gold) if turn.program else None
    if fault and options["mismatch"] == "drop":
        return Drop(f"{request.name}-{identity}", "read", fault[0], fault[1], row.values)
    evidence: dict[str, Any] = {"table": table, "exe_ans": turn.gold}
    if "(" in turn.program:  # a bare number is read off the report: nothing to execute
        evidence["program"] = turn.program
    known_bad = (turn.conversation, turn.index) in KNOWN_BAD
    return Sample(
        id=f"{request.name}-{identity}",
        source=Source("convfinqa", request.split, request.entry.licence, identity, tables.document_key(table)),
        messages=(Message.of(Role.USER, f"{context}\n{_text(turn)}"),),
        answer=programs.number_answer(turn.questions[-1], "" if fault else turn.program, turn.gold),
        evidence=evidence,
        metadata={
            "question": _text(turn),
            "protocol": options["protocol"],
            "turn": turn.index,
            "kind": "program" if "(" in turn.program else "number selection",
            "known_bad": known_bad,
        },
    )


def _compact(row: Row, request: ReadRequest, options: dict[str, Any]) -> Iterator[Sample | Drop]:
    if options["protocol"] != "last_turn":
        row.fail(f"the compact form holds last turns alone, not {options['protocol']!r}")
    questions, gold = row.texts("questions"), tables.gold_value(row, "answer")
    parts = ("golden_text", "golden_table") if options["context"] == "gold" else ("text", "table")
    text = "\n".join(shown for shown in (row.need(part, str).strip() for part in parts) if shown)
    table = [[cell.strip() for cell in line.split(" | ")] for line in row.need("table", str).splitlines()]
    arithmetic = row.texts("programs")[-1]
    program = as_program(arithmetic)
    if program and programs.check_program(program, table, gold):
        program = ""  # ours is a translation of the arithmetic: where it fails, the gold still stands
    turn = Turn(row.need("id", str), len(questions) - 1, questions, [], program, gold)
    yield _sample(turn, text, table, row, request, options)


def _turns(row: Row, protocol: str) -> Iterator[Turn]:
    """The turns of one released record that the protocol asks for."""
    notes, identity = row.inner("annotation"), row.need("id", str)
    questions, golds = notes.texts("dialogue_break"), notes.need("exe_ans_list", list)
    steps = notes.texts("turn_program")
    if not len(questions) == len(golds) == len(steps) or not questions:
        row.fail(f"{len(questions)} questions, {len(steps)} programs, {len(golds)} answers; expected one each a turn")
    values = [tables.gold_value(Row({"exe_ans_list": gold}, row.path, row.line), "exe_ans_list") for gold in golds]
    if "cur_dial" in row.values:
        wanted = [row.need("turn_ind", int)]
        if not 0 <= wanted[0] < len(questions):
            row.fail(f"turn_ind is {wanted[0]}, the conversation has {len(questions)} turns")
    else:
        wanted = list(range(len(questions)))
    for k in wanted:
        shown = values[:k] if protocol == "all_turns_gold_history" else []
        if protocol == "all_turns_gold_history" or k == len(questions) - 1:
            yield Turn(identity, k, questions[: k + 1], shown, steps[k], values[k])


def _released(row: Row, request: ReadRequest, options: dict[str, Any]) -> Iterator[Sample | Drop]:
    if options["context"] == "gold":
        row.fail("the released form is read with context: full")
    table = row.table("table")
    shown = [*row.texts("pre_text"), tables.render(table, options["table"]), *row.texts("post_text")]
    context = "\n".join(part for part in shown if part.strip())
    for turn in _turns(row, options["protocol"]):
        yield _sample(turn, context, table, row, request, options)


def convfinqa(request: ReadRequest) -> Iterator[Sample | Drop]:
    """Options: protocol (last_turn: earlier questions without answers, or all_turns_gold_history: every turn, earlier
    ones with their gold answers), context (full, or gold in the compact form), table (markdown or sentences), mismatch
    (drop or keep turns whose program does not execute to the answer)."""
    options = take_options(
        request,
        protocol=("last_turn", "all_turns_gold_history"),
        context=("full", "gold"),
        table=("markdown", "sentences"),
        mismatch=("drop", "keep"),
    )
    for path in request.files:
        for row in read_rows(path):
            yield from (_released if "annotation" in row.values else _compact)(row, request, options)
