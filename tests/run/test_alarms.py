"""Alarms on made-up curves: each goes off where it must, stays silent before, and is the same after a resume."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mmreason.config.strict import validate
from mmreason.errors import UserError
from mmreason.run.alarms import ALARMS, Alarms, AlarmSettings


def names(lines: list[str]) -> list[str]:
    return [line.partition(":")[0] for line in lines]


HEALTHY: dict[str, Any] = {
    "entropy": 1.0,
    "zero_advantage_groups": 0.7,
    "groups/all_right": 0.3,
    "groups/all_wrong": 0.4,
    "mismatch/gap_mean": 0.004,
    "mismatch/weight_max": 100.0,
    "ratio/first_gap": 0.02,
    "clip_frac": 0.2,
    "truncated": 0.3,
    "len/ratio": 1.2,
    "accuracy": 0.5,
    "grad_norm": 0.1,
}
"""Each number at the limit that it may reach."""


def warmed(steps: int = 60, **settings: Any) -> Alarms:
    alarms = Alarms(AlarmSettings(**settings))
    for step in range(1, steps + 1):
        assert alarms.check(step, HEALTHY) == []
    return alarms


@pytest.mark.parametrize(
    ("key", "value", "alarm"),
    [
        ("entropy", 0.5, "entropy"),
        ("zero_advantage_groups", 0.71, "zero_variance"),
        ("mismatch/gap_mean", 0.0081, "gap"),
        ("mismatch/gap_mean", 0.051, "gap"),
        ("mismatch/weight_max", 101.0, "engine_weight"),
        ("ratio/first_gap", 0.021, "first_ratio"),
        ("clip_frac", 0.21, "clip_frac"),
        ("truncated", 0.31, "truncated"),
        ("grad_norm", 1.1, "grad_norm"),
    ],
)
def test_each_alarm_goes_off_over_its_limit(key: str, value: float, alarm: str) -> None:
    lines = warmed().check(61, {**HEALTHY, key: value})
    assert names(lines) == [alarm]
    assert ";" not in lines[0] and "\n" not in lines[0]


def test_longer_wrong_answers_with_falling_accuracy() -> None:
    """Both must hold: longer wrong answers alone may be harder prompts."""

    def run(fall: float) -> list[str]:
        alarms = Alarms(AlarmSettings(window=20))
        found = []
        for step in range(1, 41):
            values = {"len/ratio": 1.0 + 0.02 * step, "accuracy": 0.6 - fall * step}
            found += [(step, line) for line in alarms.check(step, values)]
        return [f"{step} {line}" for step, line in found]

    first = run(0.005)
    assert len(first) == 1 and first[0].startswith("21 length_hacking: wrong answers went from 1.11 to 1.31")
    assert run(0.0) == []


def test_entropy_looks_back_one_window() -> None:
    """A slow fall is training; the same fall within the window is a collapse."""
    slow, fast = Alarms(), Alarms()
    steps = range(1, 201)
    assert [slow.check(step, {"entropy": 2.0 * 0.99**step}) for step in steps] == [[]] * 200
    first = next(step for step in steps if fast.check(step, {"entropy": 2.0 * 0.98**step}))
    assert first == 36  # 0.98^35 = 0.49 of the largest, which is that of step 1


def test_a_small_gap_may_double() -> None:
    alarms = Alarms()
    for step in range(1, 31):
        assert alarms.check(step, {"mismatch/gap_mean": 1e-6}) == []
    assert alarms.check(31, {"mismatch/gap_mean": 9e-4}) == []
    assert names(alarms.check(32, {"mismatch/gap_mean": 1.1e-3})) == ["gap"]


def test_a_median_needs_a_past() -> None:
    alarms = Alarms()
    for step in range(1, 10):
        assert alarms.check(step, {"grad_norm": 0.01 if step < 9 else 50.0}) == []


def test_the_remedy_for_groups_without_variance_depends_on_them() -> None:
    worse = {"zero_advantage_groups": 0.9, "groups/all_right": 0.8, "groups/all_wrong": 0.1}
    assert "take harder prompts" in Alarms().check(1, worse)[0]
    assert "take easier prompts" in Alarms().check(1, {**worse, "groups/all_wrong": 0.85})[0]


def test_an_alarm_is_repeated_only_now_and_then() -> None:
    alarms = Alarms(AlarmSettings(repeat_every=5))
    given = [step for step in range(1, 14) if alarms.check(step, {"truncated": 0.9})]
    assert given == [1, 6, 11]


def test_alarms_can_be_switched_off_by_name() -> None:
    assert Alarms(AlarmSettings(off=frozenset({"truncated"}))).check(1, {"truncated": 0.9}) == []
    with pytest.raises(UserError, match=r"no alarm is called 'truncate' \(did you mean 'truncated'\?\)"):
        validate(AlarmSettings, {"off": ["truncate"]}, "alarms")


def test_a_metric_that_is_absent_raises_no_alarm() -> None:
    """The cold start logs few of them."""
    assert Alarms().check(1, {"loss": 3.0, "alarms": "earlier: words"}) == []


def test_a_resumed_run_warns_as_the_whole_one() -> None:
    rows = [
        {
            **HEALTHY,
            "entropy": 0.97**step,
            "grad_norm": 0.1 if step % 29 else 5.0,
            "truncated": 0.2 + step / 200,
            "accuracy": 0.5 - step / 500,
            "len/ratio": 1.0 + step / 50,
        }
        for step in range(1, 121)
    ]
    whole = Alarms()
    expected = [whole.check(step, row) for step, row in enumerate(rows, 1)]
    assert {name for lines in expected for name in names(lines)} >= {
        "entropy",
        "grad_norm",
        "truncated",
        "length_hacking",
    }
    first = Alarms()
    got = [first.check(step, row) for step, row in enumerate(rows[:47], 1)]
    second = Alarms()
    second.load(json.loads(json.dumps(first.state())))
    got += [second.check(step, row) for step, row in enumerate(rows[47:], 48)]
    assert got == expected
    assert second.state() == whole.state()


def test_the_past_is_bounded() -> None:
    state = warmed(200, window=10).state()
    assert {len(values) for values in state["past"].values()} == {10}
    assert len(ALARMS) == 9
