"""Leak checks of several sets: JSON with every pair, and tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from typing import Any

from rich.console import Console
from rich.table import Table

from mmreason.leaks.compare import Facts, compare
from mmreason.leaks.inside import THINGS, matrix, repeats
from mmreason.leaks.media import RowSet, compare_media

WIDTH = 120
SHOWN_FAULTS = 3
NOTES = {
    "same_text": "the whole text equal, spacing and case aside",
    "same_question": "the same question of the same document",
    "twin": "the other form, open or multiple choice, of a question",
    "near_text": "nearly the same text with the same numbers",
    "reworded": "the same document, numbers and answer, put a little differently",
    "media": "another question about a picture or clip that is evaluated",
    "same_item": "the same question and answer on the same picture or clip",
    "reworded_item": "a similar question with the same answer on it",
    "same_answer": "another question with the same answer on it",
    "other_answer": "the same question with another answer on it",
}


def check(train: Sequence[RowSet], evaluation: Sequence[RowSet]) -> Facts:
    """Compare every training set with every evaluation set; what leaks.json holds. Each medium is read once."""
    sets = list({one.name: one for one in (*train, *evaluation)}.values())
    compared = compare_media(sets)
    named = {one.name: one for one in compared.sets}
    return {
        "pairs": [compare(named[a.name], named[b.name], compared) for a in train for b in evaluation],
        "sets": {one.name: repeats(one, compared) for one in compared.sets},
        "matrix": {"sets": list(named), **{thing: matrix(compared.sets, thing) for thing in THINGS}},
        "not_comparable": compared.told_faults(),
    }


def _row(table: Table, name: str, train: int, evaluation: Any, note: str = "") -> None:
    table.add_row(name, f"{train:,}", evaluation if isinstance(evaluation, str) else f"{evaluation:,}", note)


def _media_rows(table: Table, name: str, facts: Facts) -> None:
    if not facts["train"] and not facts["eval"]:
        return
    how = ", ".join(f"{count} {kind}" for kind, count in facts["how"].items() if count)
    _row(table, name, facts["train_shared"], facts["eval_shared"], f"of {facts['train']} and {facts['eval']}; {how}")
    _row(table, f"rows on shared {name}", facts["train_rows"], facts["eval_rows"])
    unread = facts["not_comparable"]
    if unread["train"] or unread["eval"]:
        _row(
            table, f"{name} not comparable", len(unread["train"]), len(unread["eval"]), "missing or broken, not passed"
        )


def _pair_table(facts: Facts) -> Table:
    rows = facts["rows"]
    table = Table(title=f"{facts['train']} against {facts['eval']}", title_justify="left")
    for name, justify in (("", "left"), ("training", "right"), ("evaluation", "right"), ("", "left")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    _row(table, "rows", rows["train"], rows["eval"])
    leaks = facts["leaks"]
    known = len({pair["eval"] for pair in leaks["pairs"]})
    _row(table, "leaked rows", leaks["train_rows"], known, "what decontamination drops")
    for kind, count in leaks["kinds"].items():
        _row(table, f"  {kind}", count, "", NOTES[kind])
    for kind, note in (("same", "words equal"), ("near", "Jaccard >= 0.8"), ("runs", "half of the 13-word runs")):
        group = facts["questions"][kind]
        _row(table, f"question {kind}", group["train_rows"], group["eval_rows"], f"{note}, whatever it is asked of")
    shared = facts["documents"]
    if shared["train"] and shared["eval"]:
        note = f"{shared['shared']} documents, of {shared['train']} and {shared['eval']}"
        _row(table, "rows of shared documents", shared["train_rows"], shared["eval_rows"], note)
    _media_rows(table, "pictures", facts["pictures"])
    _media_rows(table, "clips", facts["clips"])
    for kind, count in facts["answers"]["kinds"].items():
        if count:
            table.add_row(f"  {kind}", "", f"{count:,}", NOTES[kind])
    asked = facts["answers"]["lookup"]
    if asked["asked"]:
        note = "right by copying the answer of the most alike question on it"
        table.add_row("lookup without learning", "", f"{asked['right']:,} of {asked['asked']:,}", note)
    return table


def _matrix_table(names: list[str], thing: str, counts: list[list[int]]) -> Table:
    table = Table()
    table.add_column(f"rows that share {thing}")
    for index in range(len(names)):
        table.add_column(f"[{index + 1}]", justify="right")
    for index, line in enumerate(counts):
        table.add_row(f"[{index + 1}] {names[index]}", *(f"{count:,}" for count in line))
    return table


def _repeat_line(name: str, facts: Facts) -> str:
    rows, stems, pictures, clips = (facts[key] for key in ("same_row", "same_question", "pictures", "clips"))
    told = [f"{facts['rows']:,} rows", f"{rows['rows']:,} repeat as a whole ({rows['groups']:,} groups)"]
    told.append(f"{stems['rows']:,} share a question's words ({stems['groups']:,} groups)")
    if facts["other_answer"]:
        told.append(f"{facts['other_answer']:,} repeat with another answer")
    told += [
        f"{media['files']:,} {what} show {media['distinct']:,} different"
        for what, media in (("pictures", pictures), ("clips", clips))
        if media["files"]
    ]
    return f"{name}: {'; '.join(told)}"


def text(facts: Facts) -> str:
    """The report for a terminal; pairs stand in the JSON alone."""
    out = StringIO()
    console = Console(file=out, width=WIDTH, highlight=False, markup=False, emoji=False)
    for pair in facts["pairs"]:
        console.print(_pair_table(pair))
    names = facts["matrix"]["sets"]
    console.print("Rows of the line that share something with the column; diagonal: with another row of their set.")
    for thing in THINGS:
        counts = facts["matrix"][thing]
        if any(map(any, counts)):
            console.print(_matrix_table(names, thing, counts))
    for name in names:
        console.print(_repeat_line(name, facts["sets"][name]), soft_wrap=True)
    faults = facts["not_comparable"]
    for fault in faults[:SHOWN_FAULTS]:
        console.print(f"not comparable: {fault['why']}", soft_wrap=True)
    if len(faults) > SHOWN_FAULTS:
        console.print(f"not comparable: {len(faults) - SHOWN_FAULTS} more media, listed in leaks.json", soft_wrap=True)
    return out.getvalue()
