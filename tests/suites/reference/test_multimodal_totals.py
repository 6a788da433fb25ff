"""The sums that papers print: identities on hand-made values, and numbers of the authors' programs."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from mmreason.errors import UserError
from mmreason.records import Answer, AnswerKind, Message, Role, Sample, Source
from mmreason.suites.reference import dynamath, hallusionbench, image_reward, mathverse, mmmu, mmmu_pro, we_math
from mmreason.suites.references import Scored


def _scored(value: float, row: str, document: str = "", gold: str = "A", **metadata: object) -> Scored:
    source = Source("set", "test", "none", row, document or row)
    sample = Sample(row, source, (Message.of(Role.USER, "?"),), Answer(AnswerKind.CHOICE, gold), metadata=metadata)
    return Scored(sample, "x", value)


def _problem(name: str, steps: list[int], final: int) -> list[Scored]:
    parts = [*map(str, range(1, len(steps) + 1)), "multi"]
    return [
        _scored(float(right), f"{name}-{part}", name, part=part, steps=len(steps))
        for part, right in zip(parts, [*steps, final], strict=True)
    ]


def _problems(*rows: tuple[list[int], int]) -> list[Scored]:
    return [one for index, row in enumerate(rows) for one in _problem(f"p{index}", *row)]


def test_we_math_score_both_ways() -> None:
    rows = [(list(steps), final) for k in (2, 3) for steps in itertools.product((0, 1), repeat=k) for final in (0, 1)]
    found = we_math.four_dimensions(_problems(*rows))
    for mode in ("strict", "loose"):
        mastery, general = found[f"complete_mastery_{mode}"], found[f"inadequate_generalisation_{mode}"]
        assert found[f"score_{mode}"] == pytest.approx(mastery + 0.5 * general)
    assert found["score_loose"] > found["score_strict"]
    assert found["insufficient_knowledge_strict"] == found["insufficient_knowledge_loose"] == 10 / 24
    assert found["rote_memorisation_strict"] == 10 / 12 and found["rote_memorisation_loose"] == 2 / 12


@pytest.mark.parametrize(("steps", "final", "score"), [(1, 1, 1.0), (1, 0, 0.5), (0, 0, 0.0)])
def test_we_math_corners(steps: int, final: int, score: float) -> None:
    found = we_math.four_dimensions(_problems(([steps] * 2, final), ([steps] * 3, final)))
    assert found["score_strict"] == found["score_loose"] == score
    assert found["one_step"] == steps and found["two_step"] == found["three_step"] == final


def test_we_math_leaves_incomplete_problems_out_and_says_so() -> None:
    found = we_math.four_dimensions([*_problems(([1, 1], 1)), *_problem("q", [1, 1], 1)[:2]])
    assert (found["problems"], found["incomplete"], found["score_strict"]) == (1.0, 1.0, 1.0)


def _seed(name: str, values: list[int]) -> list[Scored]:
    return [_scored(float(right), f"{name}-{k}", name, variant=k) for k, right in enumerate(values, start=1)]


def test_dynamath_worst_case_average_and_robustness() -> None:
    found = dynamath.variants([*_seed("a", [1] * 10), *_seed("b", [1] * 9 + [0]), *_seed("c", [0] * 10)])
    assert (found["worst_case"], found["average"]) == (1 / 3, 19 / 30)
    assert found["robustness"] == pytest.approx((1 / 3) / (19 / 30))
    lowest = min(value for key, value in found.items() if key.startswith("variant_"))
    assert found["worst_case"] <= lowest <= found["average"]


def test_dynamath_worst_case_needs_ten_variants() -> None:
    found = dynamath.variants([*_seed("a", [1] * 10), *_seed("b", [1] * 9)])
    assert "worst_case" not in found and found["seeds_short_of_ten"] == 1.0


def _question(value: float, parts: tuple[str, str, str, str, str], visual: str, gold: str = "no") -> Scored:
    names = ("category", "subcategory", "set_id", "figure_id", "question_id")
    return _scored(value, "_".join(parts), gold=gold, visual_input=visual, **dict(zip(names, parts, strict=True)))


def test_hallusionbench_groups_by_question_and_by_figure() -> None:
    rows = [
        _question(1, ("VD", "ocr", "0", "0", "0"), "1"),
        _question(0, ("VD", "ocr", "0", "1", "0"), "2"),
        _question(1, ("VD", "ocr", "0", "1", "1"), "2", "yes"),
        _question(1, ("VS", "ocr", "0", "0", "0"), "0"),
        _question(1, ("VS", "ocr", "0", "1", "0"), "1", "yes"),
    ]
    found = hallusionbench.accuracies(rows)
    assert found["aAcc"] == 4 / 5
    assert found["qAcc"] == 2 / 3  # VD ocr 0/0 is not all right; the category is part of the key
    assert found["fAcc"] == 2 / 3  # figure 0 of the supplement shows nothing and is no figure
    assert (found["easy"], found["hard"]) == (1.0, 1 / 2)
    assert found["figures_inconsistent"] == 1 / 3 and found["figures_wrong"] == 0.0
    assert found["mean_of_three"] == pytest.approx((4 / 5 + 2 / 3 + 2 / 3) / 3)
    assert found["yes_difference"] == pytest.approx(1 / 5) and found["false_positive_share"] == 1.0


def test_hallusionbench_excuses_unclear_answers_without_a_figure() -> None:
    shown = _question(0, ("VS", "map", "0", "1", "0"), "1").sample
    absent = _question(0, ("VS", "map", "0", "0", "0"), "0").sample
    labels = ["unclear", "2", "correct", "incorrect", "yes"]
    assert [one.value for one in hallusionbench.official.run(labels, [absent] * 5)] == [1.0, 1.0, 1.0, 0.0, 0.0]
    assert [one.value for one in hallusionbench.official.run(labels, [shown] * 5)] == [0.0, 0.0, 1.0, 0.0, 0.0]


def test_mathverse_overall_leaves_text_only_out() -> None:
    versions = ["Text Dominant", "Text Lite", "Vision Intensive", "Vision Dominant", "Vision Only", "Text Only"]
    rows = [_scored(float(index < 2), name, problem_version=name, subject="s") for index, name in enumerate(versions)]
    found = mathverse.versions(rows)
    assert found["acc"] == 2 / 5 and found["Vision Only"] == 0.0 and found["Text Only"] == 0.0


def test_mmmu_micro_is_the_weighted_mean_of_disciplines() -> None:
    rows = [_scored(1, f"a{k}", discipline="Art and Design") for k in range(3)]
    rows += [_scored(0, f"b{k}", discipline="Business") for k in range(7)]
    assert mmmu.disciplines(rows) == {"acc": 0.3, "Art and Design": 1.0, "Business": 0.0}


def test_mmmu_pro_overall_is_the_mean_of_two_settings() -> None:
    rows = [_scored(1, "a", setting=mmmu_pro.SETTINGS[0]), _scored(0, "b", setting=mmmu_pro.SETTINGS[1])]
    rows += [_scored(0, "c", setting=mmmu_pro.SETTINGS[1])]
    assert mmmu_pro.settings(rows)["overall"] == 0.5
    assert "overall" not in mmmu_pro.settings(rows[:1])


def test_image_pairs_agree_when_both_orders_prefer_one_picture() -> None:
    rows = [
        _scored(value, f"{pair}{order}", pair=pair, order=order)
        for pair, values in (("p", (1, 1)), ("q", (1, 0)))
        for order, value in zip(("as released", "swapped"), values, strict=True)
    ]
    found = image_reward.orders(rows)
    assert (found["acc"], found["order_consistency"], found["as released"]) == (0.75, 0.5, 1.0)


def test_a_report_of_dynamath_names_its_variant(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps({"1": {"response": {"short answer": "B"}}}), encoding="utf-8")
    samples = [_seed("dynamath-1", [1])[0].sample]
    with pytest.raises(UserError, match="names none as trial<k>"):
        dynamath.report(path, samples)
    (tmp_path / "trial1").mkdir()
    named = path.rename(tmp_path / "trial1" / "report.json")
    assert dynamath.report(named, samples) == {samples[0].id: ['{"short answer": "B"}']}
