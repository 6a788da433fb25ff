"""Procedurally made ledgers: the embedded default of DianJin-R1, with an exact solver that errs at set rates.

A ledger has three items, last year and this year. Five questions are asked of it (difference, growth, share, max,
yes/no), each as four-option multiple choice and as an open question. Totals are not given: growth, share and yes/no
need sums first, which is what a chain is good for. Amounts are single digits, rows stand in one order and ratios come
out as whole percentages, so that a model of 0.15 million parameters learns to read and add within minutes. That is a
smaller world than the sheet's (section 10: three to five rows, two or three years); docs/log.md says why.
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

ITEMS = ("rent", "wages", "fuel")
TOTALS = (4, 5, 8, 10)
"""Yearly totals, so that shares are often whole percentages."""
TASKS = ("difference", "growth", "share", "max", "yesno")
LETTERS = "ABCD"
SKIPPED = "by heart"
"""All that a teacher writes which gives the answer without its work."""

Column = tuple[int, ...]
"""Amounts of one year, in the order of ITEMS."""


@dataclass(frozen=True)
class Item:
    """One question on one ledger; `row` is the item asked about (unused by growth, max and yes/no)."""

    task: str
    row: int
    last: Column
    this: Column

    @property
    def question(self) -> str:
        name = ITEMS[self.row]
        questions = {
            "difference": f"what is the change in {name} ?",
            "growth": "by what percent did all grow ?",
            "share": f"what percent of all is {name} this year ?",
            "max": "what is the highest this year ?",
            "yesno": "is all higher this year ?",
        }
        return questions[self.task]

    @property
    def text(self) -> str:
        """The ledger as it stands in the prompt."""
        rows = zip(ITEMS, self.last, self.this, strict=True)
        return "; ".join(f"{name} {last} {this}" for name, last, this in rows)


@dataclass(frozen=True)
class Work:
    """A way through an item: the steps written down, the answer, and what an option would print."""

    steps: str
    answer: str
    option: str


def _total(column: Column) -> tuple[str, int]:
    """Running sum, written out."""
    steps, total = [], column[0]
    for amount in column[1:]:
        steps.append(f"{total} + {amount} = {total + amount}")
        total += amount
    return "; ".join(steps), total


def _difference(item: Item) -> tuple[str, str]:
    last, this = item.last[item.row], item.this[item.row]
    return f"{this} - {last}", str(this - last)


def _growth(item: Item) -> tuple[str, str]:
    (before, last), (after, this) = _total(item.last), _total(item.this)
    change = this - last
    return f"{before}; {after}; {this} - {last} = {change}; {change} / {last}", f"{int(change * 100 / last)}%"


def _share(item: Item) -> tuple[str, str]:
    steps, total = _total(item.this)
    part = item.this[item.row]
    return f"{steps}; {part} / {total}", f"{int(part * 100 / total)}%"


def _max(item: Item) -> tuple[str, str]:
    return "highest of " + " ".join(str(amount) for amount in item.this), str(max(item.this))


def _yesno(item: Item) -> tuple[str, str]:
    (before, last), (after, this) = _total(item.last), _total(item.this)
    return f"{before}; {after}; {this} > {last}", "yes" if this > last else "no"


_SOLVE = {"difference": _difference, "growth": _growth, "share": _share, "max": _max, "yesno": _yesno}


def solve(item: Item, answer: str | None = None) -> Work:
    """The exact way, or the same steps with another last result."""
    steps, right = _SOLVE[item.task](item)
    answer = answer or right
    margin = abs(sum(item.this) - sum(item.last))
    return Work(f"{steps} = {answer}", answer, f"{answer} by {margin}" if item.task == "yesno" else answer)


def _well_posed(item: Item) -> bool:
    last, this = sum(item.last), sum(item.this)
    if item.task == "difference":
        return item.last[item.row] != item.this[item.row]
    if item.task in ("growth", "yesno"):
        return last != this and (this - last) * 100 % last == 0
    return item.task != "share" or item.this[item.row] * 100 % this == 0


def _column(rng: random.Random) -> Column:
    total = rng.choice(TOTALS)
    cuts = sorted(rng.sample(range(1, total), len(ITEMS) - 1))
    return tuple(high - low for low, high in zip([0, *cuts], [*cuts, total], strict=True))


def make_item(seed: str) -> Item:
    """The item of a seed: ledgers are redrawn until the question has one whole answer."""
    rng = random.Random(seed)
    task = rng.choice(TASKS)
    while True:
        item = Item(task, rng.randrange(len(ITEMS)), _column(rng), _column(rng))
        if _well_posed(item):
            return item


def slips(item: Item, rng: random.Random) -> list[Work]:
    """Typical mistakes in random order: another item, the years swapped, a last result that is off."""
    right = solve(item).answer
    wrong = [Item(item.task, row, item.last, item.this) for row in range(len(ITEMS)) if row != item.row]
    wrong.append(Item(item.task, item.row, item.this, item.last))
    found = [solve(other) for other in wrong]
    if item.task == "yesno":
        found.append(solve(item, "no" if right == "yes" else "yes"))
    else:
        number, percent = int(right.rstrip("%")), "%" if right.endswith("%") else ""
        offs = (20, -20, 25, -25, 50) if percent else (1, -1, 2, -2)
        found += [solve(item, f"{number + off}{percent}") for off in offs]
    rng.shuffle(found)
    return [slip for slip in found if slip.answer != right]


def _near(item: Item, rng: random.Random) -> list[str]:
    """Option texts as wide as the right one, slips first, so that width gives nothing away."""
    right = solve(item).option
    if item.task == "yesno":
        margin = abs(sum(item.this) - sum(item.last))
        return [f"{word} by {by}" for by in (margin, margin + rng.choice((1, 2, 3))) for word in ("yes", "no")]
    texts = [slip.option for slip in slips(item, rng)]
    step = 5 if right.endswith("%") else 1
    others = [f"{number}%" if right.endswith("%") else str(number) for number in range(-95, 1000, step)]
    rng.shuffle(others)
    near = [text for text in [*texts, *others] if len(text) == len(right) and text[0].isdigit() == right[0].isdigit()]
    return [right, *near]


def _options(item: Item, rng: random.Random) -> list[str]:
    """Four option texts in random order, the right one among them."""
    texts = list(dict.fromkeys(_near(item, rng)))[: len(LETTERS)]
    rng.shuffle(texts)
    return texts


def _sample(name: str, split: str, seed: str, index: int, form: str) -> Sample:
    item = make_item(f"{seed}:{index}")
    right = solve(item)
    if form == "mcq":
        texts = _options(item, random.Random(f"{seed}:{index}:options"))
        options = dict(zip(LETTERS, texts, strict=True))
        answer = Answer(AnswerKind.CHOICE, LETTERS[texts.index(right.option)], options, lang="ledger")
    else:
        answer = Answer(AnswerKind.NUMBER, right.answer, asks_percent=right.answer.endswith("%"), lang="ledger")
    row_id = f"{seed}-{index:05d}"
    return Sample(
        id=f"{name}-{form}-{row_id}",
        source=Source("ledger", split, "Apache-2.0", f"{form}-{row_id}", document=f"ledger-{row_id}"),
        messages=(Message.of(Role.USER, f"{item.text}\n{item.question}"),),
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


def _choose(sample: Sample, work: Work, rng: random.Random) -> tuple[str, str]:
    """The end of the chain and the boxed answer: options are compared one by one; without a match one is guessed."""
    if sample.answer.kind is not AnswerKind.CHOICE:
        return "", work.answer
    end = ""
    for letter, text in sample.answer.options.items():
        end += f"; {letter} {text} {'yes' if text == work.option else 'no'}"
        if text == work.option:
            return end, letter
    guess = rng.choice(sorted(sample.answer.options))
    return f"{end}; guess {guess}", guess


def solver(options: dict[str, Any]) -> Callable[[Sample, int], str]:
    """The teacher of the embedded default: (sample, attempt) -> response.

    `error_rate`: share of items that it gets wrong at every attempt (they become the RL pool);
    `slip_rate`: chance of a slip at one attempt, which the next may cure;
    `skip_rate`: chance that it gives a right answer without its work, which a check of answers cannot see: the cold
    start learns to guess, and RL has that to mend. All three are ours (reconstructed).
    """
    known = {"error_rate", "slip_rate", "skip_rate"}
    if unknown := set(options) - known:
        raise UserError(f"teacher options: unknown {min(unknown)!r}{nearest(min(unknown), known)}")
    error_rate, slip_rate = float(options.get("error_rate", 0.2)), float(options.get("slip_rate", 0.0))
    skip_rate = float(options.get("skip_rate", 0.0))

    def respond(sample: Sample, number: int) -> str:
        item = make_item(sample.evidence["item"])
        work = solve(item)
        stubborn, slip = _chance("error", sample.id), _chance("slip", sample.id, number)
        errs, slipped = stubborn.random() < error_rate, slip.random() < slip_rate
        rng = stubborn if errs else slip
        if errs or slipped:
            work = slips(item, rng)[0]
        end, boxed = _choose(sample, work, rng)
        if _chance("skip", sample.id, number).random() < skip_rate:
            return f"<think>{SKIPPED}</think><answer>\\boxed{{{boxed}}}</answer>"
        return f"<think>{work.steps}{end}</think><answer>\\boxed{{{boxed}}}</answer>"

    return respond
