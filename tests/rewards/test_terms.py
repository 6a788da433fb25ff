"""Judge mode, kinds without a grader, and what a verdict carries."""

from __future__ import annotations

from mmreason.config.recipe import RewardSettings
from mmreason.records import Answer, AnswerKind, Outcome, Unread, Verdict
from mmreason.rewards.grade import GRADERS, gold_fault, grade
from mmreason.rewards.terms import score

FREE = Answer(AnswerKind.FREE, "Revenue rose because prices rose.")
SETTINGS = RewardSettings()


def _free(text: str) -> str:
    return f"<think>so</think><answer>{text}</answer>"


def test_judge_decides_free_answers_that_differ_from_the_gold() -> None:
    asked: list[str] = []

    def judge(read: str, answer: Answer) -> Verdict:
        asked.append(read)
        return Verdict.of("price" in read, read, "judge")

    assert score(_free("Higher prices."), FREE, SETTINGS, judge=judge).reward == 1.0
    assert score(_free("Lower costs."), FREE, SETTINGS, judge=judge).reward == 0.0
    assert score(_free("revenue rose because prices rose"), FREE, SETTINGS, judge=judge).reward == 1.0
    assert score(_free(""), FREE, SETTINGS, judge=judge).verdict.unread is Unread.PREDICTION
    assert asked == ["Higher prices.", "Lower costs."]


def test_judge_is_not_asked_for_verifiable_answers() -> None:
    def judge(read: str, answer: Answer) -> Verdict:
        raise AssertionError("asked")

    terms = score(_free(r"\boxed{6}"), Answer(AnswerKind.NUMBER, "5"), SETTINGS, judge=judge)
    assert terms.verdict.outcome is Outcome.WRONG


def test_without_a_judge_free_answers_must_be_equal() -> None:
    verdict = grade(_free("Higher prices."), FREE)
    assert verdict.outcome is Outcome.WRONG and "overlap" in verdict.why


def test_every_kind_has_a_grader() -> None:
    assert set(GRADERS) == set(AnswerKind)


def test_verdict_carries_what_was_read_and_why() -> None:
    verdict = grade(_free(r"\boxed{93.5\%}"), Answer(AnswerKind.NUMBER, "0.93464"))
    assert (verdict.read, verdict.why) == (r"93.5\%", "0.935 against 0.93464")


def test_gold_faults_are_found_before_any_rollout() -> None:
    assert gold_fault(Answer(AnswerKind.NUMBER, "0.5")) is None
    assert gold_fault(Answer(AnswerKind.MATH, "")) is not None
    assert gold_fault(Answer(AnswerKind.PROGRAM, "addd(1, 2)")) is not None
