"""The embedded ledgers: one right answer an item, an exact solver, and one that errs as often as it was told."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mmreason.config import Domain, load_domain
from mmreason.data.sources import read_source
from mmreason.errors import UserError
from mmreason.project import load_module, project_dir
from mmreason.records import AnswerKind, Outcome, Sample
from mmreason.rewards.grade import grade

FINANCE = project_dir() / "domains" / "finance"
ledger = load_module(FINANCE / "dianjin_r1" / "ledger.py")
FORMS = ("mcq", "open")


@pytest.fixture(scope="module")
def domain() -> Domain:
    return load_domain(FINANCE)


def items(domain: Domain, split: str = "train", **options: Any) -> list[Sample]:
    found = read_source(domain, "ledger", split, None, {"items": 600, **options})
    return [item for item in found if isinstance(item, Sample)]


def outcomes(samples: list[Sample], solver: Any, attempt: int = 0) -> list[Outcome]:
    return [grade(solver(sample, attempt), sample.answer).outcome for sample in samples]


# Worked out by hand.
BY_HAND = [
    ("difference", 1, "2 - 5 = -3", "-3"),
    ("growth", 0, "1 + 5 = 6; 6 + 2 = 8; 3 + 2 = 5; 5 + 5 = 10; 10 - 8 = 2; 2 / 8 = 25%", "25%"),
    ("share", 2, "3 + 2 = 5; 5 + 5 = 10; 5 / 10 = 50%", "50%"),
    ("max", 0, "highest of 3 2 5 = 5", "5"),
    ("yesno", 0, "1 + 5 = 6; 6 + 2 = 8; 3 + 2 = 5; 5 + 5 = 10; 10 > 8 = yes", "yes"),
]


@pytest.mark.parametrize(("task", "row", "steps", "answer"), BY_HAND)
def test_the_way_through_an_item(task: str, row: int, steps: str, answer: str) -> None:
    work = ledger.solve(ledger.Item(task, row, last=(1, 5, 2), this=(3, 2, 5)))
    assert (work.steps, work.answer) == (steps, answer)


def test_the_ledger_as_text() -> None:
    item = ledger.Item("difference", 1, last=(1, 5, 2), this=(3, 2, 5))
    assert item.text == "rent 1 3; wages 5 2; fuel 2 5"
    assert item.question == "what is the change in wages ?"


@pytest.mark.parametrize("form", FORMS)
def test_an_exact_solver_is_right_everywhere(domain: Domain, form: str) -> None:
    found = outcomes(items(domain, form=form), ledger.solver({"error_rate": 0.0}))
    assert Counter(found) == {Outcome.RIGHT: 600}


@pytest.mark.parametrize("form", FORMS)
def test_the_solver_errs_as_often_as_told_and_stubbornly(domain: Domain, form: str) -> None:
    """The wrong items are the same at every attempt: they become the RL pool."""
    samples, solver = items(domain, form=form), ledger.solver({"error_rate": 0.2})
    first, later = outcomes(samples, solver), outcomes(samples, solver, attempt=2)
    assert first == later
    wrong = Counter(first)[Outcome.WRONG]
    guessed = 0.05 if form == "mcq" else 0.0  # a wrong result that no option shows is guessed, at times rightly
    assert 0.2 - guessed - 0.05 < wrong / 600 < 0.25  # three standard errors are 0.049
    assert Outcome.UNREAD not in first


def test_a_slip_is_cured_by_a_later_attempt(domain: Domain) -> None:
    samples, solver = items(domain, form="open"), ledger.solver({"error_rate": 0.0, "slip_rate": 0.3})
    wrong = [Counter(outcomes(samples, solver, attempt))[Outcome.WRONG] / 600 for attempt in range(2)]
    assert all(0.3 - 0.06 < share < 0.3 + 0.06 for share in wrong)
    tries = [outcomes(samples, solver, attempt) for attempt in range(6)]
    assert all(Outcome.RIGHT in of_item for of_item in zip(*tries, strict=True))
    assert tries[0] == outcomes(samples, solver, 0)


@pytest.mark.parametrize("form", FORMS)
def test_skipped_work_changes_no_answer(domain: Domain, form: str) -> None:
    """A check of answers cannot see it; the option decides for each attempt anew."""
    samples = items(domain, form=form, items=300)
    whole, bare, some = (ledger.solver({"error_rate": 0.2, "skip_rate": rate}) for rate in (0.0, 1.0, 0.4))
    assert outcomes(samples, whole) == outcomes(samples, bare) == outcomes(samples, some)
    assert {bare(sample, 0).partition("</think>")[0] for sample in samples} == {f"<think>{ledger.SKIPPED}"}
    skipped = [[ledger.SKIPPED in some(sample, attempt) for sample in samples] for attempt in range(2)]
    assert 0.4 - 0.085 < sum(skipped[0]) / 300 < 0.4 + 0.085
    assert skipped[0] != skipped[1]


@pytest.mark.parametrize("split", ["train", "test"])
def test_options_are_distinct_and_one_is_right(domain: Domain, split: str) -> None:
    for sample in items(domain, split, form="mcq"):
        options = sample.answer.options
        assert list(options) == list("ABCD")
        assert len(set(options.values())) == 4
        assert len({len(text) for text in options.values()}) == 1 or sample.metadata["task"] == "yesno"
        right = ledger.solve(ledger.make_item(sample.evidence["item"])).option
        assert [letter for letter, text in options.items() if text == right] == [sample.answer.gold]


def test_no_letter_and_no_task_is_favoured(domain: Domain) -> None:
    samples = items(domain, form="mcq")
    letters = Counter(sample.answer.gold for sample in samples)
    assert all(0.25 - 0.055 < letters[letter] / 600 < 0.25 + 0.055 for letter in "ABCD")
    tasks = Counter(sample.metadata["task"] for sample in samples)
    assert all(0.2 - 0.05 < tasks[task] / 600 < 0.2 + 0.05 for task in ledger.TASKS)


def test_a_wrong_chain_ends_in_a_wrong_answer(domain: Domain) -> None:
    """Slips are whole chains with another end; a slip that happened upon the right answer would not be one."""
    for sample in items(domain, form="open"):
        item = ledger.make_item(sample.evidence["item"])
        found = ledger.slips(item, ledger.random.Random(0))
        assert found
        assert all(slip.answer != ledger.solve(item).answer for slip in found)


@pytest.mark.parametrize("form", FORMS)
def test_the_same_seed_makes_the_same_items(domain: Domain, form: str) -> None:
    one = items(domain, form=form, items=50)
    assert one == items(domain, form=form, items=50)
    assert one == items(domain, form=form, items=80)[:50]
    other = items(domain, form=form, items=50, world=1)
    assert [sample.question for sample in one] != [sample.question for sample in other]


def test_splits_are_other_ledgers_and_both_forms_share_theirs(domain: Domain) -> None:
    train, test = items(domain, form="open"), items(domain, "test", form="open")
    assert not {sample.source.document for sample in train} & {sample.source.document for sample in test}
    for one, other in zip(train, items(domain, form="mcq"), strict=True):
        assert (one.question, one.source.document) == (other.question, other.source.document)
        assert one.id != other.id
    assert {sample.answer.kind for sample in train} == {AnswerKind.NUMBER}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"form": "open", "itmes": 5}, r"ledger: unknown option 'itmes' \(did you mean 'items'\?\)"),
        ({"form": "mqc"}, "form is 'mqc', expected 'mcq' or 'open'"),
    ],
)
def test_wrong_reader_options_are_one_line(domain: Domain, options: dict[str, Any], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        list(read_source(domain, "ledger", "train", None, options))


def test_wrong_solver_options_are_one_line() -> None:
    with pytest.raises(UserError, match=r"unknown 'eror_rate' \(did you mean 'error_rate'\?\)"):
        ledger.solver({"eror_rate": 0.1})


def test_nothing_is_read_from_disk(domain: Domain, tmp_path: Path) -> None:
    assert domain.source("ledger").files == {}
    assert len(list(read_source(domain, "ledger", "train", tmp_path, {"form": "open", "items": 3}))) == 3
