"""ARMed's rewards on a table in place of a model: what a collapsing similarity costs, in seconds (arXiv 2508.12957).

64 questions with 120 candidate answers each, in clusters of alike meaning; the policy is one logit a candidate. The
scorer gives 0.83 to 0.97 for any two answers, with noise, as a raw BERTScore does; words overlap by chance. Sizes,
scorer and measures are those that the check asks for; vocabulary, clusters and rate are reconstructed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mmreason.project import load_module

_HERE = Path(__file__).parent
anchoring = load_module(_HERE / "anchors.py")
settings = load_module(_HERE / "settings.py")

Floats = npt.NDArray[np.float64]
SEEDS, QUESTIONS, ANSWERS, STEPS, ASKED, GROUP = 6, 64, 120, 400, 16, 8
FLOOR, REACH, NOISE = 0.83, 0.14, 0.012
"""s = FLOOR + REACH q + N(0, NOISE)."""
CLUSTERS, WIDTH, SPREAD = 12, 16, 0.6
"""Of answers to one question; dimensions of a meaning; deviation from the cluster's centre [reconstructed]."""
WORDS, SAID = 30, 3
"""Of the vocabulary, and how many of them an answer says, whatever it means: wordings are many [reconstructed]."""
RATE, EPSILON = 0.3, 1e-4
"""Of the logits [reconstructed]; beside the deviation of a group."""


@dataclass(frozen=True, slots=True)
class Table:
    """What every candidate of every question is worth against the gold, which is candidate 0."""

    quality: Floats
    """[questions, candidates], max(cosine, 0)."""
    near: Floats
    """The scorer's s; 1 for the gold."""
    text: Floats
    """F1 of words."""


def table(rng: np.random.Generator) -> Table:
    """The questions of one seed."""
    centres = rng.normal(size=(QUESTIONS, CLUSTERS, WIDTH))
    cluster = rng.integers(CLUSTERS, size=(QUESTIONS, ANSWERS))
    means = np.take_along_axis(centres, cluster[..., None], axis=1)
    meaning = means + SPREAD * rng.normal(size=means.shape)
    meaning /= np.linalg.norm(meaning, axis=-1, keepdims=True)
    quality = np.maximum(np.einsum("qaw,qw->qa", meaning, meaning[:, 0]), 0.0)
    near = np.clip(FLOOR + REACH * quality + NOISE * rng.normal(size=quality.shape), 0.0, 1.0)
    near[:, 0] = 1.0
    words = rng.permuted(np.broadcast_to(np.arange(WORDS), (QUESTIONS, ANSWERS, WORDS)), axis=-1)[..., :SAID]
    text = (words[:, :, :, None] == words[:, :1, None, :]).any(-1).mean(-1)
    return Table(quality, near, text)


class Adaptive:
    """The map of `anchors.py` with its history, as the method of a recipe holds it."""

    def __init__(self) -> None:
        self.settings = settings.MapSettings()
        self.history: list[float] = []

    def __call__(self, near: Floats) -> Floats:
        ready = len(self.history) >= self.settings.warmup
        mapped = np.vectorize(anchoring.anchors(self.history, self.settings).apply)(near) if ready else _affine(near)
        self.history = anchoring.appended(self.history, near.ravel().tolist(), self.settings.history)
        return np.where(near >= 1.0, 1.0, mapped)


def _affine(near: Floats) -> Floats:
    return np.clip((near - FLOOR) / (1.0 - FLOOR), 0.0, 1.0)


def _minmax(near: Floats) -> Floats:
    low, high = near.min(-1, keepdims=True), near.max(-1, keepdims=True)
    return np.where(high > low, (near - low) / np.maximum(high - low, 1e-12), 0.5)


Reward = Callable[[Floats, Floats], Floats]
"""(text, s), both [asked, group], to rewards."""


def rewards() -> dict[str, Reward]:
    """Arm -> its reward, with a history of its own."""
    first, second = Adaptive(), Adaptive()
    return {
        "text": lambda text, near: text,
        "text + raw": lambda text, near: text + near,
        "text + affine": lambda text, near: text + _affine(near),
        "text + minmax": lambda text, near: text + _minmax(near),
        "text + adaptive": lambda text, near: text + first(near),
        "raw alone": lambda text, near: near,
        "adaptive alone": lambda text, near: second(near),
    }


def learn(table: Table, reward: Reward, standardised: bool, rng: np.random.Generator) -> tuple[float, float]:
    """(probability of the gold, expected quality) after STEPS of policy gradient, means over the questions."""
    logits = np.zeros((QUESTIONS, ANSWERS))
    for _ in range(STEPS):
        asked = rng.choice(QUESTIONS, ASKED, replace=False)
        chance = _softmax(logits[asked])
        drawn = (rng.random((ASKED, GROUP, 1)) > chance.cumsum(-1)[:, None]).sum(-1).clip(max=ANSWERS - 1)
        given = reward(*(np.take_along_axis(part[asked], drawn, axis=1) for part in (table.text, table.near)))
        gain = given - given.mean(-1, keepdims=True)
        gain = gain / (given.std(-1, keepdims=True) + EPSILON) if standardised else gain
        step = -chance * gain.sum(-1, keepdims=True)
        np.add.at(step, (np.arange(ASKED)[:, None], drawn), gain)
        logits[asked] += RATE * step
    final = _softmax(logits)
    return float(final[:, 0].mean()), float((final * table.quality).sum(-1).mean())


def _softmax(logits: Floats) -> Floats:
    raised = np.exp(logits - logits.max(-1, keepdims=True))
    out: Floats = raised / raised.sum(-1, keepdims=True)
    return out


def run(seeds: int = SEEDS) -> dict[str, dict[str, list[list[float]]]]:
    """Arm -> "std" or "centred" -> by seed [probability of the gold, expected quality]."""
    found: dict[str, dict[str, list[list[float]]]] = {arm: {"std": [], "centred": []} for arm in rewards()}
    for seed in range(seeds):
        questions = table(np.random.default_rng([seed, 0]))
        for kind in ("std", "centred"):
            for arm, reward in rewards().items():
                result = learn(questions, reward, kind == "std", np.random.default_rng([seed, 1]))
                found[arm][kind].append(list(result))
    return found


def markdown(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The table of arms: both measures under both advantages, mean and deviation over seeds."""
    lines = [
        f"Bandit: {QUESTIONS} questions, {ANSWERS} answers, {STEPS} steps; P(gold) and expected quality.",
        "",
        "| reward | standardised: gold | quality | centred: gold | quality |",
        "|---|---|---|---|---|",
    ]
    for arm, kinds in found.items():
        values = [np.asarray(kinds[kind])[:, place] for kind in ("std", "centred") for place in (0, 1)]
        cells = [f"{one.mean():.3f} +- {one.std(ddof=1 if len(one) > 1 else 0):.3f}" for one in values]
        lines.append(f"| {arm} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
