"""What an update does to the policy: entropies, ratios, clipping, divergences, the gap to the engine (zoo, section 5).

Each micro-batch adds sums, counts and maxima; a mean is taken once, over all micro-batches and processes, so cutting
the batch otherwise changes no number but entropy/top and cov/top, which rank tokens within a micro-batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from mmreason.objectives.diagnostics_tokens import Tokens, collect

MEANS = {
    "entropy": "tokens",
    "entropy/top": "tokens",
    "tokens/external": "tokens",
    "tokens/effective": "weighed",
    "kl/old": "own",
    "cov/top": "own",
    "ratio/mean": "ratio",
    "clip_frac": "ratio",
    "clip/high": "ratio",
    "clip/low": "ratio",
    "clip/dual": "ratio",
    "kl_ref": "reference",
    "kl/ref_k1": "reference",
    "mismatch/gap_mean": "engine",
    "mismatch/kl_k1": "engine",
    "mismatch/kl_k3": "engine",
    "mismatch/weight_mean": "engine",
    "mismatch/over_cap": "engine",
    "mismatch/dropped": "corrected",
    "mismatch/ppl_ratio": "engine_rows",
}
"""Metric -> the count that its sum is divided by; without any such token it is left out."""
PEAKS = (
    "ratio/max",
    "ratio/min",
    "ratio/first_gap",
    "kl/ref_max",
    "logprob_gap_max",
    "mismatch/weight_max",
    "mismatch/ppl_ratio_max",
)
"""Largest values; of ratio/min the negative is kept."""
MOMENTS = ("a", "l", "al", "w", "ww", "rw", "rww")
"""Sums of advantage, log-probability, their product, engine weight and its square, of tokens and of whole rows."""
SUMS = (*MEANS, *dict.fromkeys(MEANS.values()), *MOMENTS)


class UpdateSums:
    """Collects over the micro-batches of one update, or of all updates of a step.

    `cap` is the bound on engine weights that mismatch/over_cap counts, `dual_clip` the second clip or None.
    """

    def __init__(self, cap: float = 2.0, dual_clip: float | None = None) -> None:
        self.cap, self.dual_clip = cap, dual_clip
        self.sums = dict.fromkeys(SUMS, 0.0)
        self.peaks = dict.fromkeys(PEAKS, -math.inf)

    @torch.no_grad()
    def add(self, tokens: Tokens, first: bool = False) -> None:
        """One micro-batch; `first` marks the first update of a step, where ratios must be 1.

        Raises FloatingPointError, naming quantity, sample and token, on NaN or infinity under the mask.
        """
        found, peaks = collect(tokens, self.cap, self.dual_clip, first)
        names, top = list(found), list(peaks)
        numbers = torch.stack([value.double() for value in (*found.values(), *peaks.values())]).tolist()
        for name, value in zip(names, numbers, strict=False):
            self.sums[name] += value
        for name, value in zip(top, numbers[len(names) :], strict=True):
            self.peaks[name] = max(self.peaks[name], value)

    def result(
        self, total: Callable[[float], float] = float, largest: Callable[[float], float] = float
    ) -> dict[str, float]:
        """The metrics; `total` and `largest` reduce over processes, which call them alike whatever they have seen."""
        sums = {name: total(value) for name, value in self.sums.items()}
        peaks = {name: largest(value) for name, value in self.peaks.items()}
        values = {name: sums[name] / sums[count] for name, count in MEANS.items() if sums[count]}
        values |= {name: value for name, value in peaks.items() if value > -math.inf}
        if "ratio/min" in values:
            values["ratio/min"] = -values["ratio/min"]
        if own := sums["own"]:
            values["cov/mean"] = sums["al"] / own - sums["a"] / own * (sums["l"] / own)
        if engine := sums["engine"]:
            values["mismatch/ess"] = sums["w"] ** 2 / (engine * sums["ww"])
            values["mismatch/chi2"] = sums["ww"] / engine - 1.0
            values["mismatch/row_ess"] = sums["rw"] ** 2 / (sums["engine_rows"] * sums["rww"])
        return values
