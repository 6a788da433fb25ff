"""`eval/score.py`: a predictions file without a model, its faults, and the paired comparison of two of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mmreason.config import load_domain
from mmreason.errors import UserError
from mmreason.project import load_module, project_dir
from mmreason.records import Sample
from mmreason.suites.paired import compare_records
from mmreason.suites.reading import suite_samples
from mmreason.suites.results import read_records
from mmreason.suites.suite import load_suite

score = load_module(project_dir() / "eval" / "score.py")
compare = load_module(project_dir() / "eval" / "compare.py")

SUITE = "ledger_mcq"


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return suite_samples(load_suite(SUITE), load_domain(project_dir() / "domains" / "finance"), None)


def _write(path: Path, samples: list[Sample], answer: Callable[[int, Sample], str]) -> Path:
    rows = [
        {"id": s.id, "output": f"<think>t</think><answer>\\boxed{{{answer(i, s)}}}</answer>"}
        for i, s in enumerate(samples)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_gold_as_prediction_is_all_right(samples: list[Sample], tmp_path: Path) -> None:
    results = score.main(SUITE, _write(tmp_path / "gold.jsonl", samples, lambda _, s: s.answer.gold))
    summary = results["mmreason"]["summary"]
    assert summary["strict"]["mean"] == 1.0 and summary["right"] == 300 and summary["format_rate"] == 1.0
    assert results["mmreason"]["coverage"] == "all 300 of test"
    assert results["mmreason"]["protocol"] is None, "nobody knows how a foreign model was asked"
    assert (tmp_path / f"gold.{SUITE}.json").is_file() and (tmp_path / f"gold.{SUITE}.samples.jsonl").is_file()


def test_the_constant_answer_audit_equals_scoring_that_answer(samples: list[Sample], tmp_path: Path) -> None:
    results = score.main(SUITE, _write(tmp_path / "b.jsonl", samples, lambda _, s: "B"))
    summary = results["mmreason"]["summary"]
    assert summary["constants"]["B"]["strict"] == summary["strict"]["mean"]
    assert summary["letters"]["answered"] == {"B": 300}
    assert summary["letters"]["acc_by_gold"] == {"A": 0.0, "B": 1.0, "C": 0.0, "D": 0.0}
    shares = [rules["strict"] for rules in summary["constants"].values()]
    assert list(summary["constants"]) == ["A", "B", "C", "D"] and sum(shares) == pytest.approx(1.0, abs=1e-5)


def test_groups_add_up(samples: list[Sample], tmp_path: Path) -> None:
    results = score.main(SUITE, _write(tmp_path / "b.jsonl", samples, lambda _, s: "B"))
    summary = results["mmreason"]["summary"]
    table = summary["groups"]["task"]
    assert sum(row["questions"] for row in table["rows"].values()) == 300
    assert sum(row["right"] for row in table["rows"].values()) == summary["right"]
    assert table["micro"] == summary["strict"]["mean"]
    means = [row["acc"]["mean"] for row in table["rows"].values()]
    assert table["macro"] == pytest.approx(sum(means) / len(means), abs=1e-5)


def test_missing_ids_count_as_not_right_and_are_listed(
    samples: list[Sample], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = score.main(SUITE, _write(tmp_path / "some.jsonl", samples[:297], lambda _, s: s.answer.gold))
    assert results["mmreason"]["missing"] == [sample.id for sample in samples[297:]]
    assert results["results"][SUITE]["acc,none"] == 0.99 and results["results"][SUITE]["unread_rate,none"] == 0.01
    assert "3 of 300 questions have no prediction" in capsys.readouterr().err
    assert read_records(tmp_path / f"some.{SUITE}.json")[-1]["runs"][0]["output"] is None


def test_several_answers_a_question_give_their_mean(samples: list[Sample], tmp_path: Path) -> None:
    path = tmp_path / "two.jsonl"
    texts = ["<think>t</think><answer>\\boxed{A}</answer>", "<think>t</think><answer>\\boxed{B}</answer>"]
    path.write_text("".join(json.dumps({"id": s.id, "output": texts}) + "\n" for s in samples), encoding="utf-8")
    summary = score.main(SUITE, path)["mmreason"]["summary"]
    assert summary["answers"] == 600 and summary["runs_per_question"] == 2
    assert summary["strict"]["method"] == "cluster bootstrap"
    expected = (summary["constants"]["A"]["strict"] + summary["constants"]["B"]["strict"]) / 2
    assert summary["strict"]["mean"] == pytest.approx(expected, abs=1e-5)


# (file content, part of the message)
FAULTS = [
    ("", "holds no predictions"),
    ('{"id": "x", "output": "1"\n', "line 1 is not JSON"),
    ('{"id": "x"}\n', "expected the fields 'id' and 'output'"),
    ('["x"]\n', "line 1 is list"),
    ('{"id": "x", "output": 3}\n', "'output' is 3"),
    ('{"id": "x", "output": "1"}\n\n{"id": "x", "output": "2"}\n', "line 3: id 'x' was given before"),
    ('{"id": "nobody", "output": "1"}\n', "first 'nobody'; its ids look like 'ledger-mcq"),
]


@pytest.mark.parametrize(("content", "message"), FAULTS)
def test_faults_of_a_predictions_file(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        score.main(SUITE, path)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert not list(tmp_path.glob("*.json")), "nothing is written for a refused file"


def test_missing_and_foreign_encoding(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no predictions file"):
        score.main(SUITE, tmp_path / "absent.jsonl")
    (tmp_path / "latin.jsonl").write_bytes(b'{"id": "x", "output": "\xe9"}\n')
    with pytest.raises(UserError, match=r"not UTF-8 \(byte 23\)"):
        score.main(SUITE, tmp_path / "latin.jsonl")


def test_official_needs_a_reference_rule(samples: list[Sample], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no reference rule: score it with --mode strict"):
        score.main(SUITE, _write(tmp_path / "p.jsonl", samples, lambda _, s: "A"), mode="official")


def _flip(index: int, sample: Sample) -> str:
    """Wrong on the first ten questions."""
    return sample.answer.gold if index >= 10 else "ABCD"["BCDA".index(sample.answer.gold)]


def test_compare_counts_gains_and_losses(
    samples: list[Sample], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    score.main(SUITE, _write(tmp_path / "a.jsonl", samples, _flip))
    score.main(SUITE, _write(tmp_path / "b.jsonl", samples, lambda _, s: s.answer.gold))
    found = compare.main(tmp_path / f"a.{SUITE}.json", tmp_path / f"b.{SUITE}.json")
    assert (found["only_b_right"], found["only_a_right"]) == (10, 0)
    assert found["mcnemar_p"] == pytest.approx(2 / 2**10)
    assert found["difference"]["mean"] == pytest.approx(10 / 300) and found["difference"]["low"] > 0
    assert "96.7 % -> 100.0 %" in capsys.readouterr().out


def test_compare_refuses_other_questions(samples: list[Sample], tmp_path: Path) -> None:
    score.main(SUITE, _write(tmp_path / "a.jsonl", samples, lambda _, s: "A"))
    path = tmp_path / f"a.{SUITE}.samples.jsonl"
    lines = path.read_text(encoding="utf-8").split("\n")
    (tmp_path / f"b.{SUITE}.samples.jsonl").write_text("\n".join(lines[:-5]) + "\n", encoding="utf-8")
    (tmp_path / f"b.{SUITE}.json").write_text((tmp_path / f"a.{SUITE}.json").read_text(encoding="utf-8"))
    with pytest.raises(UserError, match="4 only in the first, 0 only in the second"):
        compare.main(tmp_path / f"a.{SUITE}.json", tmp_path / f"b.{SUITE}.json")
    with pytest.raises(UserError, match="has no metric 'f1'; it has acc"):
        compare.main(tmp_path / f"a.{SUITE}.json", tmp_path / f"a.{SUITE}.json", metric="f1")


def test_half_a_surrogate_pair_is_an_unread_answer(samples: list[Sample], tmp_path: Path) -> None:
    path = _write(tmp_path / "p.jsonl", samples, lambda i, s: "\ud800" if i == 0 else s.answer.gold)
    summary = score.main(SUITE, path)["mmreason"]["summary"]
    assert (summary["right"], summary["unread"], summary["questions"]) == (299, 1, 300)


def test_a_metric_that_leaves_questions_out_is_compared_on_the_others(samples: list[Sample], tmp_path: Path) -> None:
    path = _write(tmp_path / "p.jsonl", samples, lambda _, s: s.answer.gold)
    score.main(SUITE, path)
    records = read_records(tmp_path / f"p.{SUITE}.json")
    other = [{**record, "x": 0.5 if index else None} for index, record in enumerate(records)]
    found = compare_records(other, [{**record, "x": 1.0} for record in records], "x")
    assert found["questions"] == 299 and found["mcnemar_p"] is None, "0.5 is no answer that is right or wrong"
