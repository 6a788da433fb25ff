"""Procedurally made ledgers: the embedded default of DianJin-R1, with an exact solver that errs at set rates.

A ledger has two to four items and their total, last year and this year. Five questions are asked of it (difference,
growth, share, max, yes/no), each as four-option multiple choice and as an open question. Amounts are small and
ratios come out as whole percentages, so that a model of under a million parameters can learn the arithmetic.
Smaller than the sheet's world (section 10: three to five rows, two or three years), which such a model was not
seen to read within the minutes of a CPU run (docs/log.md).
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from mmreason.data.step import ReadRequest
from mmreason.errors import UserError, nearest
from mmreason.records import Answer, AnswerKind, Message, Role, Sample, Source

ITEMS = ("rent", "wages", "taxes", "fuel", "goods", "fees", "loans", "travel")
TOTALS = (5, 10, 20)
"""Yearly totals, so that shares are whole percentages."""
TASKS = ("difference", "growth", "share", "max", "yesno")
LETTERS = "ABCD"

Ledger = dict[str, tuple[int, int]]
"""Item (or "total") -> amount of last year and of this year."""


@dataclass(frozen=True)
class Item:
    """One question on one ledger, and the rows it needs in order."""

    task: str
    rows: tuple[str, ...]
    ledger: Ledger
    question: str

    @property
    def amounts(self) -> list[tuple[int, int]]:
        return [self.ledger[row] for row in self.rows]


def operands(task: str, amounts: list[tuple[int, int]]) -> tuple[int, int]:
    """The two numbers that a task compares: one row's two years, or two rows of this year."""
    return (amounts[0][1], amounts[1][1]) if task in ("share", "yesno") else amounts[0]


def value(task: str, first: int, second: int) -> str:
    """The answer for two operands, as printed; ratios are cut to whole percentages."""
    results = {
        "difference": str(second - first),
        "growth": f"{int((second - first) * 100 / first)}%",
        "share": f"{int(first * 100 / second)}%",
        "max": str(max(first, second)),
        "yesno": "yes" if first > second else "no",
    }
    return results[task]


def show(row: str, amounts: tuple[int, int]) -> str:
    """One row as it stands in the prompt and in the chain."""
    return f"{row} {amounts[0]} {amounts[1]}"


def work(task: str, read: list[str], first: int, second: int, answer: str) -> str:
    """The chain: copy the rows, then compute."""
    steps = {
        "difference": f"{second} - {first} = {answer}",
        "growth": f"{second} - {first} = {second - first}; {second - first} / {first} = {answer}",
        "share": f"{first} / {second} = {answer}",
        "max": f"higher {answer}",
        "yesno": f"{first} > {second} {answer}",
    }
    return "read " + "; ".join([*read, steps[task]])


def _make_ledger(rng: random.Random) -> Ledger:
    names = rng.sample(ITEMS, rng.choice((2, 3, 4)))
    columns = []
    for _ in range(2):
        total = rng.choice(TOTALS)
        cuts = sorted(rng.sample(range(1, total), len(names) - 1))
        columns.append([high - low for low, high in zip([0, *cuts], [*cuts, total], strict=True)] + [total])
    return dict(zip([*names, "total"], zip(*columns, strict=True), strict=True))


def _ask(task: str, rng: random.Random, ledger: Ledger) -> Item:
    name, other = rng.sample([row for row in ledger if row != "total"], 2)
    rows = {"share": (name, "total"), "yesno": (name, other)}.get(task, (name,))
    questions = {
        "difference": f"what is the change in {name} ?",
        "growth": f"by what percent did {name} grow ?",
        "share": f"what percent of the total is {name} this year ?",
        "max": f"what is the higher {name} of both years ?",
        "yesno": f"is {name} higher than {other} this year ?",
    }
    return Item(task, rows, ledger, questions[task])


def _well_posed(item: Item) -> bool:
    first, second = operands(item.task, item.amounts)
    whole = {"growth": (second - first) * 100 % first == 0, "share": first * 100 % second == 0}
    return first != second and whole.get(item.task, True)


def make_item(seed: str) -> Item:
    """The item of a seed: ledgers are redrawn until the question has one whole answer."""
    rng = random.Random(seed)
    task = rng.choice(TASKS)
    while True:
        item = _ask(task, rng, _make_ledger(rng))
        if _well_posed(item):
            return item


@dataclass(frozen=True)
class Attempt:
    """A way through an item: rows read, operands, result."""

    rows: tuple[str, ...]
    first: int
    second: int
    answer: str


def solve_right(item: Item) -> Attempt:
    """The exact way."""
    first, second = operands(item.task, item.amounts)
    return Attempt(item.rows, first, second, value(item.task, first, second))


def slips(item: Item, rng: random.Random) -> list[Attempt]:
    """Typical mistakes in random order: another row, operands swapped, last year for this, a result one or two off."""
    right = solve_right(item)
    found = []
    for index in range(len(item.rows)):
        for row in sorted(set(item.ledger) - set(item.rows)):
            rows = (*item.rows[:index], row, *item.rows[index + 1 :])
            first, second = operands(item.task, [item.ledger[name] for name in rows])
            found.append(Attempt(rows, first, second, value(item.task, first, second)))
    swapped = value(item.task, right.second, right.first)
    found.append(Attempt(item.rows, right.second, right.first, swapped))
    if item.task in ("share", "yesno"):
        first, second = item.amounts[0][0], item.amounts[1][0]
        found.append(Attempt(item.rows, first, second, value(item.task, first, second)))
    if item.task != "yesno":
        number, percent = right.answer.rstrip("%"), "%" if right.answer.endswith("%") else ""
        offs = [f"{int(number) + off}{percent}" for off in (1, -1, 2, -2)]
        found += [Attempt(item.rows, right.first, right.second, off) for off in offs]
    rng.shuffle(found)
    return [slip for slip in found if slip.answer != right.answer]


def as_option(task: str, attempt: Attempt) -> str:
    """The answer as an option prints it: yes/no carries the margin."""
    return f"{attempt.answer} by {abs(attempt.first - attempt.second)}" if task == "yesno" else attempt.answer


def _options(item: Item, rng: random.Random) -> list[str]:
    """Four option texts, the right one among them."""
    right = solve_right(item)
    if item.task == "yesno":
        margin = abs(right.first - right.second)
        texts = [f"{word} by {by}" for by in (margin, margin + rng.choice((1, 2, 3))) for word in ("yes", "no")]
    else:
        texts = [right.answer]
        for slip in slips(item, rng):
            if slip.answer not in texts and len(texts) < len(LETTERS):
                texts.append(slip.answer)
    rng.shuffle(texts)
    return texts


def _sample(name: str, split: str, seed: str, index: int, form: str) -> Sample:
    item = make_item(f"{seed}:{index}")
    right = solve_right(item)
    rows = "ledger: " + "; ".join(show(row, amounts) for row, amounts in item.ledger.items())
    if form == "mcq":
        texts = _options(item, random.Random(f"{seed}:{index}:options"))
        gold = LETTERS[texts.index(as_option(item.task, right))]
        answer = Answer(AnswerKind.CHOICE, gold, dict(zip(LETTERS, texts, strict=True)), lang="ledger")
    else:
        answer = Answer(AnswerKind.NUMBER, right.answer, asks_percent=right.answer.endswith("%"), lang="ledger")
    row_id = f"{seed}-{index:05d}"
    return Sample(
        id=f"{name}-{form}-{row_id}",
        source=Source("ledger", split, "Apache-2.0", f"{form}-{row_id}", document=f"ledger-{row_id}"),
        messages=(Message.of(Role.USER, f"{rows}\n{item.question}"),),
        answer=answer,
        evidence={"task": item.task, "item": f"{seed}:{index}"},
        metadata={"task": item.task, "form": form},
    )


def read(request: ReadRequest) -> Iterator[Sample]:
    """Reader of the generated set. Options: form (mcq or open), items (how many), world (seed of the ledgers)."""
    known = {"form", "items", "world"}
    if unknown := set(request.options) - known:
        raise UserError(f"{request.name}: unknown option {min(unknown)!r}{nearest(min(unknown), known)}")
    form = request.options.get("form", "open")
    if form not in ("mcq", "open"):
        raise UserError(f"{request.name}: form is {form!r}, expected 'mcq' or 'open'")
    seed = f"{request.split}{request.options.get('world', 0)}"
    for index in range(int(request.options.get("items", 1000))):
        yield _sample(request.name, request.split, seed, index, form)


def _chance(*key: object) -> random.Random:
    return random.Random(hashlib.sha256(repr(key).encode()).hexdigest())


def _choose(item: Item, sample: Sample, attempt: Attempt, rng: random.Random) -> tuple[str, str]:
    """The last words of the chain and the boxed answer; a result that is no option is guessed among them."""
    if sample.answer.kind is not AnswerKind.CHOICE:
        return "", attempt.answer
    shown = as_option(item.task, attempt)
    matches = [letter for letter, text in sample.answer.options.items() if text == shown]
    letter = matches[0] if matches else rng.choice(sorted(sample.answer.options))
    return f"; {letter}. {sample.answer.options[letter]}", letter


def solver(options: dict[str, Any]) -> Callable[[Sample, int], str]:
    """The teacher of the embedded default: (sample, attempt) -> response.

    `error_rate`: share of items that it gets wrong at every attempt (they become the RL pool);
    `slip_rate`: chance of a slip at one attempt, which the next may cure. Both are ours (reconstructed).
    """
    known = {"error_rate", "slip_rate"}
    if unknown := set(options) - known:
        raise UserError(f"teacher options: unknown {min(unknown)!r}{nearest(min(unknown), known)}")
    error_rate, slip_rate = float(options.get("error_rate", 0.2)), float(options.get("slip_rate", 0.0))

    def solve(sample: Sample, number: int) -> str:
        item = make_item(sample.evidence["item"])
        attempt = solve_right(item)
        stubborn, slip = _chance("error", sample.id), _chance("slip", sample.id, number)
        errs, slipped = stubborn.random() < error_rate, slip.random() < slip_rate
        rng = stubborn if errs else slip
        if errs or slipped:
            attempt = slips(item, rng)[0]
        read = [show(row, item.ledger[row]) for row in attempt.rows]
        chain = work(item.task, read, attempt.first, attempt.second, attempt.answer)
        end, boxed = _choose(item, sample, attempt, rng)
        return f"<think>{chain}{end}</think><answer>\\boxed{{{boxed}}}</answer>"

    return solve
