"""Warnings about a run that goes wrong, from the numbers of its steps (zoo, end of section 5).

Each alarm is a function of the present values and of what came before. Held-out accuracy is not measured during a run,
so reward hacking and sharpening, which need it, have none here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from statistics import fmean, median
from typing import Any

from pydantic import Field, field_validator

from mmreason.config.strict import Strict
from mmreason.errors import nearest

WATCHED = ("entropy", "mismatch/gap_mean", "grad_norm", "len/ratio", "accuracy")
"""Metrics whose past an alarm needs."""
Past = Mapping[str, list[float]]
"""Metric -> its values so far, the newest last, without the present one."""


class AlarmSettings(Strict):
    """When to warn. Every limit holds for one step, medians and means for the steps before it."""

    off: frozenset[str] = frozenset()
    """Alarms not wanted, for example `truncated` where the length limit is the training signal."""
    repeat_every: int = Field(default=50, ge=1)
    """Steps before the same alarm is given again [reconstructed: no number seen]."""
    window: int = Field(default=50, ge=2)
    """Steps that an alarm looks back [published for entropy, reconstructed for the others]."""
    least: int = Field(default=10, ge=2)
    """Steps that a median or mean of the past is made of at least [reconstructed: no number seen]."""
    entropy_factor: float = 0.5
    """Share of the largest entropy of the window [published]."""
    zero_variance: float = 0.7
    """Share of groups without variance [published]."""
    gap_factor: float = 2.0
    """Times the median gap between engine and trainer [published; the median is reconstructed]."""
    gap_least: float = 1e-3
    """Gaps below it are rounding and may double [reconstructed: float32 shows under 1e-4]."""
    gap_limit: float = 0.05
    """Mean gap to look into whatever came before [recalled]."""
    weight_max: float = 100.0
    """Largest engine weight exp(l_old - l_roll) of a token [published]."""
    first_gap: float = 0.02
    """|ratio - 1| before any update has been made [published: 2e-2 in bfloat16]."""
    clip_frac: float = 0.2
    """Share of clipped tokens [published]."""
    truncated: float = 0.3
    """Share of answers cut by the limit [published]."""
    length_rise: float = 0.1
    """Relative rise of len/ratio from the older to the newer half of the window [reconstructed: no number seen]."""
    accuracy_fall: float = 0.02
    """Fall of the accuracy over the same halves [reconstructed: no number seen]."""
    grad_factor: float = 10.0
    """Times the running median of the gradient norm [published]."""

    @field_validator("off")
    @classmethod
    def _known(cls, off: frozenset[str]) -> frozenset[str]:
        for name in sorted(off - ALARMS.keys()):
            raise ValueError(f"no alarm is called {name!r}{nearest(name, ALARMS)}")
        return off


class Alarms:
    """Looks at each step once. Its state is a function of the rows seen, so a resumed run gives the same warnings."""

    def __init__(self, settings: AlarmSettings | None = None) -> None:
        self.settings = settings or AlarmSettings()
        self._past: dict[str, list[float]] = {key: [] for key in WATCHED}
        self._given: dict[str, int] = {}

    def check(self, step: int, values: Mapping[str, Any]) -> list[str]:
        """One line for each alarm that goes off at this step and was not given in the last `repeat_every` steps."""
        lines = []
        for name, alarm in ALARMS.items():
            if name in self.settings.off or step - self._given.get(name, -math.inf) < self.settings.repeat_every:
                continue
            if line := alarm(values, self._past, self.settings):
                self._given[name] = step
                lines.append(f"{name}: {line}")
        for key in WATCHED:
            if key in values:
                self._past[key] = [*self._past[key], float(values[key])][-self.settings.window :]
        return lines

    def state(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"past": {key: list(held) for key, held in self._past.items()}, "given": dict(self._given)}

    def load(self, state: Mapping[str, Any]) -> None:
        """Inverse of `state`."""
        self._past = {key: [float(value) for value in state["past"].get(key, [])] for key in WATCHED}
        self._given = {name: int(step) for name, step in state["given"].items()}


def _entropy(values: Mapping[str, Any], past: Past, s: AlarmSettings) -> str:
    now, before = values.get("entropy"), max(past["entropy"], default=0.0)
    if now is None or now > s.entropy_factor * before or before == 0.0:
        return ""
    return f"{now:.3g} after {before:.3g} within {s.window} steps, exploration ends (raise clip_high or temperature)"


def _zero_variance(values: Mapping[str, Any], past: Past, s: AlarmSettings) -> str:
    now = values.get("zero_advantage_groups", 0.0)
    if now <= s.zero_variance:
        return ""
    right, wrong = values.get("groups/all_right", 0.0), values.get("groups/all_wrong", 0.0)
    need = "harder" if right > wrong else "easier"
    return f"{now:.0%} of the groups teach nothing ({right:.0%} all right, {wrong:.0%} all wrong), take {need} prompts"


def _gap(values: Mapping[str, Any], past: Past, s: AlarmSettings) -> str:
    now, before = values.get("mismatch/gap_mean", 0.0), past["mismatch/gap_mean"]
    if now > s.gap_limit:
        return f"engine and trainer differ by {now:.3g} nats a token, over {s.gap_limit:g} (same weights and dtype?)"
    usual = median(before) if len(before) >= s.least else math.inf
    if now <= max(s.gap_factor * usual, s.gap_least):
        return ""
    return f"engine and trainer differ by {now:.3g} nats a token after {usual:.3g} (are weights synced?)"


def _length_hacking(values: Mapping[str, Any], past: Past, s: AlarmSettings) -> str:
    ratios, right = past["len/ratio"], past["accuracy"]
    if min(len(ratios), len(right)) < s.window:
        return ""
    half = s.window // 2
    older, newer = fmean(ratios[:-half]), fmean(ratios[-half:])
    fall = fmean(right[:-half]) - fmean(right[-half:])
    if newer < (1.0 + s.length_rise) * older or fall < s.accuracy_fall:
        return ""
    return (
        f"wrong answers went from {older:.2f} to {newer:.2f} times the length of right ones while accuracy fell by "
        f"{fall:.3f} (read the rollouts, or set grpo.loss_mean to constant)"
    )


def _gradient(values: Mapping[str, Any], past: Past, s: AlarmSettings) -> str:
    now, before = values.get("grad_norm", 0.0), past["grad_norm"]
    usual = median(before) if len(before) >= s.least else math.inf
    if now <= s.grad_factor * usual:
        return ""
    return f"{now:.3g} against a running median of {usual:.3g} (look at the rows with the largest ratio)"


def _above(key: str, limit: str, text: str) -> Callable[[Mapping[str, Any], Past, AlarmSettings], str]:
    """An alarm for one metric over one limit; `text` takes the value and the limit."""

    def alarm(values: Mapping[str, Any], past: Past, s: AlarmSettings) -> str:
        now, bound = values.get(key, 0.0), getattr(s, limit)
        return text.format(now=now, bound=bound) if now > bound else ""

    return alarm


ALARMS: dict[str, Callable[[Mapping[str, Any], Past, AlarmSettings], str]] = {
    "entropy": _entropy,
    "zero_variance": _zero_variance,
    "gap": _gap,
    "engine_weight": _above(
        "mismatch/weight_max", "weight_max", "a token weighs {now:.3g}, over {bound:g} (set grpo.mismatch)"
    ),
    "first_ratio": _above(
        "ratio/first_gap", "first_gap", "ratios differ from 1 by {now:.3g} before any update, over {bound:g}"
    ),
    "clip_frac": _above(
        "clip_frac", "clip_frac", "{now:.0%} of the tokens are clipped, over {bound:.0%} (fewer updates a step?)"
    ),
    "truncated": _above(
        "truncated", "truncated", "{now:.0%} of the answers are cut, over {bound:.0%} (raise max_new_tokens)"
    ),
    "length_hacking": _length_hacking,
    "grad_norm": _gradient,
}
