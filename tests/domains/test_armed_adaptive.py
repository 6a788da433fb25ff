"""ARMed's map and its buffer: unit vectors, properties, order of events, several processes, resume."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmreason.errors import UserError
from mmreason.objectives.advantage import estimate
from mmreason.objectives.compose import load_methods
from mmreason.objectives.method import hooks_of
from mmreason.project import load_module
from mmreason.run import processes

made = load_module(Path(__file__).parent / "armed_batches.py")
adaptive = load_module(made.MEDICAL / "armed" / "adaptive.py")
anchoring, MapSettings = adaptive.anchoring, adaptive.settings.MapSettings
EIGHT = [0.80, 0.82, 0.84, 0.86, 0.88, 0.90, 0.92, 0.94]
SMALL = {"warmup": 8, "history": 16}
QUICK = settings(max_examples=50, deadline=None)
scores = st.floats(0.0, 1.0, allow_subnormal=False)


def method(seen: list[float] | None = None, **own: Any) -> Any:
    made_method = adaptive.Adaptive(MapSettings(**{**SMALL, **own}))
    made_method.history = list(seen or [])
    return made_method


def test_the_map_on_eight_values() -> None:
    anchors = anchoring.anchors(EIGHT, MapSettings())
    assert [anchoring.quantile(EIGHT, q) for q in (0.25, 0.5, 0.75)] == pytest.approx([0.835, 0.87, 0.905])
    assert anchors.tau == pytest.approx(0.87) and anchors.slope == pytest.approx(0.0318584, abs=1e-7)
    mapped = [anchors.apply(s) for s in (0.80, 0.87, 0.90, 0.95, 1.0)]
    assert mapped == pytest.approx([0.1000, 0.5000, 0.7194, 0.9249, 0.9834], abs=5e-5)


def test_collapsed_similarities_spread_as_calculated() -> None:
    """s ~ N(.90, .029) maps to a deviation of 0.283."""
    rng = random.Random(0)
    values = [rng.gauss(0.90, 0.029) for _ in range(20_000)]
    anchors = anchoring.anchors(values, MapSettings())
    assert torch.tensor([anchors.apply(s) for s in values]).std().item() == pytest.approx(0.283, abs=0.003)


def test_a_history_of_equal_values_is_no_step() -> None:
    assert anchoring.anchors([0.9] * 8, MapSettings()).slope == 0.005


def test_the_line_between_two_quantiles() -> None:
    anchors = anchoring.anchors(EIGHT, MapSettings(q_low=0.25, q_high=0.75))
    assert [anchors.apply(s) for s in (0.0, 0.835, 0.87, 0.905, 1.0)] == pytest.approx([0, 0, 0.5, 1, 1])


@QUICK
@given(st.lists(scores, min_size=4, max_size=40), scores, scores)
def test_the_map_rises_and_stays_in_bounds(history: list[float], one: float, other: float) -> None:
    for own in (MapSettings(), MapSettings(q_low=0.1, q_high=0.9)):
        anchors = anchoring.anchors(history, own)
        low, high = anchors.apply(min(one, other)), anchors.apply(max(one, other))
        assert 0.0 <= low <= high <= 1.0


@QUICK
@given(scores, st.floats(0.02, 0.5))
def test_quartiles_of_a_symmetric_history_map_to_quarters(middle: float, half: float) -> None:
    history = [middle - 2 * half, middle - half, middle, middle + half, middle + 2 * half]
    anchors = anchoring.anchors(history, MapSettings())
    mapped = [anchors.apply(value) for value in (middle - half, middle, middle + half)]
    assert mapped == pytest.approx([0.25, 0.5, 0.75])


@QUICK
@given(st.lists(scores, min_size=4, max_size=8), st.floats(0.5, 20), st.floats(-3, 3))
def test_normalised_advantages_undo_an_affine_stretch(values: list[float], stretch: float, shift: float) -> None:
    """Of the reward as a whole; which is why the controls matter, and why the sum with the text is what collapses."""
    values = [*values, min(values) + 0.5]  # a group without a spread has no advantage anyway
    plain, stretched = (made.scored([0.0] * len(values)) for _ in range(2))
    plain.reward = torch.tensor(values, dtype=torch.float64)
    stretched.reward = plain.reward * stretch + shift
    rows = torch.ones(len(values), dtype=torch.bool)
    one, other = (estimate(batch, "group", rows) for batch in (plain, stretched))
    torch.testing.assert_close(one, other, atol=1e-2, rtol=1e-3)  # the epsilon of the division


def added(own: Any, near: list[float], **columns: Any) -> list[float]:
    found: torch.Tensor = own.reward(made.scored(near, **columns), made.context())
    return found.tolist()


def test_reward_is_share_times_the_map() -> None:
    assert added(method(EIGHT), [0.80, 0.90]) == pytest.approx([0.45 * 0.1000, 0.45 * 0.7194], abs=5e-5)


def test_caps_exact_matches_and_worthless_rows() -> None:
    columns = {"cap": [0.25, 1.0, 1.0], "exact": [0.0, 1.0, 0.0], "share": [0.45, 0.45, 0.0]}
    assert added(method(EIGHT), [1.0, 0.0, 1.0], **columns) == pytest.approx([0.45 * 0.25, 0.45, 0.0])


def test_controls() -> None:
    near, group = [0.83, 0.915, 1.0, 0.9], [0, 0, 0, 1]
    assert added(method(map="raw"), near, group=group) == pytest.approx([0.45 * s for s in near])
    assert added(method(map="affine"), near, group=group)[:3] == pytest.approx([0, 0.225, 0.45])
    assert added(method(map="minmax"), near, group=group) == pytest.approx([0, 0.225, 0.45, 0.225])
    warming = added(method(EIGHT[:7]), near, group=group)
    assert warming == added(method(map="affine"), near, group=group)


def step(own: Any, near: list[float], **columns: Any) -> list[float]:
    batch, ctx = made.scored(near, **columns), made.context()
    found: list[float] = own.reward(batch, ctx).tolist()
    own.observe(batch, ctx)
    return found


def test_scoring_moves_nothing_and_a_finished_step_does() -> None:
    own = method(EIGHT)
    assert added(own, [0.9]) == added(own, [0.9]) and own.history == EIGHT
    before = step(own, [0.99, 0.98])
    assert own.history == [*EIGHT, 0.99, 0.98] and added(own, [0.99, 0.98]) != before


def test_evaluation_has_no_way_to_the_buffer(tmp_path: Path) -> None:
    """The reward that evaluation loads is the term alone; the buffer belongs to a method, which only training has."""
    own, sample = method(EIGHT), made.question("left lung")
    for said in ("lung", "left lung", "heart"):
        made.rewards.text(made.answered(said), sample, options=made.NO_ENCODER)
    assert own.history == EIGHT and not hasattr(made.rewards, "history")


def test_what_was_not_compared_stays_out_and_the_oldest_leave() -> None:
    own = method(EIGHT, history=9)
    step(own, [0.5, 0.6, 0.7], compared=[1.0, 0.0, 1.0])
    assert own.history == [*EIGHT[1:], 0.5, 0.7]


def test_a_refill_is_counted_once() -> None:
    own, ctx = method(), made.context()
    own.reward(made.scored([0.1]), ctx)
    own.reward(made.scored([0.1, 0.2]), ctx)
    own.observe(made.scored([0.2]), ctx)
    assert own.history == [0.1, 0.2]


@QUICK
@given(st.lists(scores, min_size=8, max_size=30), st.lists(scores, min_size=1, max_size=6))
def test_a_resumed_run_grades_the_next_answers_bit_for_bit_the_same(history: list[float], near: list[float]) -> None:
    own = method(history, history=32)
    step(own, near)
    again = method(history=32)
    again.load(json.loads(json.dumps(own.state())))
    assert again.history == own.history and added(again, near) == added(own, near)


def test_all_processes_hold_the_buffer_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups are dealt out in turn; what is gathered is put back into the order of one process."""
    near, group = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0, 0, 1, 1, 2, 2]
    alone = method()
    step(alone, near, group=group)
    parts = [[4, 5, 0, 1], [2, 3]]
    batches = [made.scored(near, group=group).take(rows) for rows in parts]
    columns = [torch.cat([_rows(batch) for batch in batches])]
    monkeypatch.setattr(processes, "gather", lambda rows: columns[0])
    for batch in batches:
        own, ctx = method(), made.context()
        own.reward(batch, ctx)
        own.observe(batch, ctx)
        assert own.history == alone.history == near


def _rows(batch: Any) -> torch.Tensor:
    place = torch.arange(len(batch), dtype=torch.float64)
    return torch.stack([batch.group.double(), place, batch.terms["compared"], batch.terms["similarity"]], dim=1)


def test_counters() -> None:
    own, ctx = method(EIGHT), made.context()
    batch = made.scored([0.80, 0.90, 0.85, 0.85], group=[0, 0, 1, 1], cap=[1.0, 0.25, 1.0, 1.0])
    own.name = "adaptive"
    own.reward(batch, ctx)
    own.observe(batch, ctx)
    told = {key.removeprefix("method/adaptive/"): value for key, value in ctx.logged.items()}
    assert told["history"] == 8 and told["tau"] == pytest.approx(0.87) and told["slope"] == pytest.approx(0.0318584)
    assert told["raw_sd"] == pytest.approx(0.025) and told["raw_resolution"] == 0.75 and told["raw_flat"] == 0.5
    assert told["semantic_sd"] == pytest.approx(0.0375) and told["conflicts"] == 0.25
    assert (told["blind_text"], told["blind_guarded"]) == (0.0, 0.0)
    assert told["text_flat"] == told["format_flat"] == 1.0


def test_the_counter_of_blindness_sees_a_reference_with_both_sides() -> None:
    own, ctx = method(), made.context()
    batch = made.scored([0.5], samples=[made.question("left lung, right")])
    own.reward(batch, ctx)
    own.observe(batch, ctx)
    blind = {key.rpartition("/")[2]: value for key, value in ctx.logged.items() if "blind" in key}
    assert blind == {"blind_text": 1.0, "blind_guarded": 0.0}


def test_it_is_found_by_reference_and_refuses_another_reward() -> None:
    [active] = load_methods([{"armed/adaptive.py:Adaptive": {"map": "raw"}}], made.MEDICAL)
    assert active.name == "adaptive" and set(hooks_of(active.method)) == {"reward", "observe"}
    batch = made.scored([0.5])
    del batch.terms["share"]
    with pytest.raises(UserError, match=r"no part 'share'.*armed/rewards\.py:text"):
        active.method.reward(batch, made.context())


@pytest.mark.parametrize(
    ("own", "why"),
    [
        ({"warmup": 32}, "never begin"),
        ({"q_low": 0.2}, "come together"),
        ({"q_low": 0.8, "q_high": 0.2}, "must lie below"),
    ],
)
def test_settings_that_cannot_be(own: dict[str, Any], why: str) -> None:
    with pytest.raises(UserError, match=why):
        load_methods([{"armed/adaptive.py:Adaptive": {**SMALL, **own}}], made.MEDICAL)
