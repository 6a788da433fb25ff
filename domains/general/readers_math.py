"""Mathematics on pictures: MathVista, MathVerse, MATH-Vision, We-Math, DynaMath."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmreason.data.lines import Row
from mmreason.data.sources import take_options
from mmreason.data.step import ReadRequest
from mmreason.errors import UserError
from mmreason.project import load_module
from mmreason.records import Answer, AnswerKind, Sample

released = load_module(Path(__file__).parent / "released.py")

_CHOICES = re.compile(r"\nChoices:\s*\n", re.IGNORECASE)
_LINE = re.compile(r"^([A-H])\s*[:.]\s*(.*)$")
_OPTION = re.compile(r";\s*(?=[A-H]\s*\.)")
_EQUATION = re.compile(r"^\s*[A-Za-z. ]+\$?=(.+)$", re.DOTALL)
_UNIT = re.compile(r"\\(?:mathrm|text)\s*\{[^{}]*\}(\s*\^\s*\{?\d\}?)?|(?<=[\d}])\s*(units|cm|mm|m|km)(\^\d)?\b")
_VARIANT = re.compile(r"(?:trial|variant)_?(\d+)", re.IGNORECASE)
_STEPS = re.compile(r"([23])steps_(\d|multi)")


def _vista_answer(row: Row) -> Answer:
    """The gold of a choice is the option's text; where options repeat, the first of them."""
    gold, choices = row.need("answer", str), row.values.get("choices")
    if choices:
        options = released.lettered(row.texts("choices"), row)
        letter = next((letter for letter, text in options.items() if text == gold), "")
        answer: Answer = released.choice(row, letter or gold, options)
        return answer
    number: Answer = released.number(gold)
    return Answer(AnswerKind.MATH, gold) if row.need("answer_type", str) == "list" else number


def mathvista(request: ReadRequest) -> Iterator[Sample]:
    """MathVista: data/testmini.json, {pid: record}, pictures in images/ beside it; or records one a line."""
    take_options(request)
    for path in request.files:
        for row in released.rows(path, request, "pid"):
            unit, kind, about = row.fill("unit", str, ""), row.need("answer_type", str), row.inner("metadata")
            question = row.need("question", str) + (f" (Unit: {unit})" if unit else "")
            kept = {key: about.need(key, str) for key in ("task", "context", "grade", "source", "category")}
            yield released.sample(
                request,
                row.need("pid", str),
                question,
                _vista_answer(row),
                (released.attach(request, row, row.need("image", str)),),
                answer_type=kind,
                precision=row.values.get("precision"),
                released_answer=row.need("answer", str),
                skills=about.texts("skills"),
                picture_of=kept.pop("source"),
                **kept,
            )


def _verse_options(question: str) -> tuple[str, dict[str, str]]:
    """(question, letter -> option) where the text ends in lines of choices."""
    stem, *listed = _CHOICES.split(question)
    lines = [_LINE.match(line.strip()) for line in "\n".join(listed).splitlines() if line.strip()]
    if not lines or not all(lines):
        return question, {}
    return stem.strip(), {line.group(1): line.group(2) for line in lines if line}


def plain_gold(gold: str) -> str:
    """A gold as a model would give it: without a name in front, dollar signs and units."""
    bare = gold.strip().strip("$").strip()
    named = _EQUATION.match(bare)
    bare = (named.group(1) if named else bare).strip().strip("$").strip()
    return _UNIT.sub("", bare.replace("\\%", "%")).strip().strip("$").strip() or gold


def _verse_answer(row: Row, options: dict[str, str]) -> Answer:
    """Letters for choice questions, several where the gold has several lines; else a number or an expression."""
    gold = row.need("answer", str)
    letters = re.findall(r"[A-H]", gold) if re.fullmatch(r"[()\sA-H]+", gold) else []
    if letters and row.need("question_type", str) == "multi-choice":
        return Answer(AnswerKind.CHOICE, "".join(sorted(letters)), options, multi=len(letters) > 1)
    if len(re.findall(r"[A-Za-z]{4,}", re.sub(r"\\[A-Za-z]+", "", gold))) > 1:
        return Answer(AnswerKind.FREE, gold)
    return Answer(AnswerKind.MATH, plain_gold(gold))


def mathverse(request: ReadRequest) -> Iterator[Sample]:
    """MathVerse: testmini.json (788 problems in five versions) and testmini_text_only.json, pictures in images/.

    Vision Only has no question in its text: the picture holds it, and the text only points there.
    """
    take_options(request)
    for path in request.files:
        for row in released.rows(path, request):
            version, about = row.need("problem_version", str), row.inner("metadata")
            question, options = _verse_options(row.need("question", str))
            picture = row.fill("image", str, "")
            media = (released.attach(request, row, f"images/{picture}"),) if picture else ()
            yield released.sample(
                request,
                row.need("sample_index", str),
                question.strip() or "Answer the question in the picture.",
                _verse_answer(row, options),
                media,
                f"mathverse-{row.need('problem_index', str)}",
                problem_version=version,
                subject=about.need("subject", str),
                subfield=about.need("subfield", str),
                released_answer=row.need("answer", str),
            )


def math_vision(request: ReadRequest) -> Iterator[Sample]:
    """MATH-Vision: data/test.jsonl and testmini.jsonl, pictures in images/ beside the file or its folder.

    One picture a question, whatever the number of marks in its text: it stands at the first mark.
    """
    take_options(request)
    for path in request.files:
        for row in released.rows(path, request):
            gold, listed = str(row.values.get("answer")).strip(), row.texts("options")
            options = released.lettered(listed, row)
            answer = released.choice(row, gold, options) if options else Answer(AnswerKind.MATH, _bare(gold))
            yield released.sample(
                request,
                row.need("id", str),
                _one_mark(row.need("question", str)),
                answer,
                (released.attach(request, row, row.need("image", str)),),
                inline=True,
                subject=row.need("subject", str),
                level=str(row.values.get("level")),
                released_answer=str(row.values.get("answer")),
            )


def _bare(gold: str) -> str:
    """A gold without a box of its own and without words for its unit."""
    boxed = re.fullmatch(r"\$?\\boxed\{(.*)\}\$?", gold)
    return re.sub(r"\{(?:degrees|squareinches|inches)\}$", "", boxed.group(1) if boxed else gold)


def _one_mark(question: str) -> str:
    """The first mark as '<image 1>', further ones deleted; put in front where there is none."""
    head, mark, tail = re.split(r"(<image ?\d+>)", question, maxsplit=1) if "<image" in question else ("", "", question)
    return f"{head}<image 1>{'' if mark else chr(10)}{re.sub(r'<image ?[0-9]+>', '', tail)}"


def _math_options(row: Row) -> dict[str, str]:
    """'A. 1; B. 2' as letter -> option."""
    parts = [part.strip().partition(".") for part in _OPTION.split(row.need("option", str))]
    return {letter.strip(): text.strip() for letter, _, text in parts}


def we_math(request: ReadRequest) -> Iterator[Sample]:
    """We-Math: data/testmini.json, pictures under data/ as image_path says. Rows are evaluated as given.

    A problem's rows share its ID; `part` is a step's number or "multi", the composite question.
    """
    take_options(request)
    for path in request.files:
        for row in released.rows(path, request):
            problem, key = row.need("ID", str), row.need("key", str)
            step = _STEPS.fullmatch(key)
            if step is None:
                row.fail(f"key {key!r} is none of 2steps_1 ... 3steps_multi")
            yield released.sample(
                request,
                f"{problem}-{key}",
                row.need("question", str),
                released.choice(row, row.need("answer", str), _math_options(row)),
                (released.attach(request, row, row.need("image_path", str)),),
                f"we_math-{problem}",
                key=key,
                steps=int(step.group(1)),
                part=step.group(2),
                concept=row.need("knowledge concept", str),
            )


def _dyna_answer(row: Row, kind: str) -> Answer:
    gold = row.need("answer", str)
    if kind == "multiple choice":
        return Answer(AnswerKind.CHOICE, gold)
    if kind not in ("float", "int") and re.fullmatch(r"[(\[].*[)\]]|[xy] ?=.*", gold.strip()):
        return Answer(AnswerKind.MATH, gold)
    answer: Answer = released.number(gold) if kind in ("float", "int") else released.short(gold)
    return answer


def _variant(path: Path, row: Row) -> str:
    """The row's own variant, else the last trial<k> or variant<k> in the path, else 1."""
    named: list[Any] = _VARIANT.findall(str(path))
    return str(row.values.get("variant") or (named[-1] if named else 1))


def dynamath(request: ReadRequest) -> Iterator[Sample]:
    """DynaMath: one dataset.json a variant, in folders trial1 ... trial10 with pictures in image/; or one a line.

    The ten variants of a seed question are one document.
    """
    take_options(request)
    for path in request.files:
        for row in released.rows(path, request):
            seed, kind, variant = row.need("id", str), row.need("answer_type", str), _variant(path, row)
            yield released.sample(
                request,
                f"{seed}-{variant}",
                row.need("question", str),
                _dyna_answer(row, kind),
                (released.attach(request, row, row.need("image", str)),),
                f"dynamath-{seed}",
                variant=int(variant),
                answer_type=kind,
                subject=row.need("subject", str),
                level=row.need("level", str),
            )


def geometry3k(request: ReadRequest) -> Iterator[Sample]:
    """Geometry3K in the compact form of the authors' examples: plane geometry with four choices."""
    take_options(request)
    for path in request.files:
        for row in released.rows(path, request):
            if "image" not in row.values:
                raise UserError(f"{row.where}: no field 'image'")
            types = row.texts("problem_type_graph")
            yield released.sample(
                request,
                str(row.values.get("id")),
                row.need("problem_text", str),
                released.choice(row, row.need("answer", str), released.lettered(row.texts("choices"), row)),
                (released.attach(request, row, row.need("image", str)),),
                shape=types[0] if types else "(none)",
            )
