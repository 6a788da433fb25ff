"""The README explains every metric and every alarm: what a step logs is looked up in its tables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from mmreason.objectives.batch import make_batch
from mmreason.objectives.diagnostics import advantage_metrics, kept_metrics, rollout_metrics
from mmreason.objectives.diagnostics_tokens import Tokens
from mmreason.objectives.diagnostics_update import MEANS, PEAKS, UpdateSums
from mmreason.objectives.method import Ratio
from mmreason.records import (
    Answer,
    AnswerKind,
    Message,
    Role,
    Rollout,
    Sample,
    Segment,
    SegmentKind,
    Source,
    Stop,
    Verdict,
)
from mmreason.report.metric_notes import METRIC_NOTES
from mmreason.rewards.terms import Terms
from mmreason.run.alarms import ALARMS

README = Path(__file__).resolve().parents[2] / "training" / "README.md"


def first_columns(section: str) -> list[str]:
    """What stands in backticks in the first column of the tables of a section, deeper sections included."""
    _, _, text = README.read_text(encoding="utf-8").partition(f"{section}\n")
    level = section.split(" ")[0]
    text = re.split(rf"^#{{1,{len(level)}}} ", text, flags=re.MULTILINE)[0]
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def metrics() -> list[str]:
    """Names in the tables of metrics; those of the alarms come last."""
    return first_columns("## Every metric")[: -len(first_columns("### Alarms"))]


def explained(key: str) -> bool:
    """Whether a row of the tables names the key; <name> stands for anything, and `pass_rate/0` to its fifth."""
    patterns = [re.sub(r"<\w+>", ".+", name).replace("*", ".+") for name in metrics()]
    return any(re.fullmatch(pattern, re.sub(r"^pass_rate/[0-4]$", "pass_rate/0", key)) for pattern in patterns)


def a_whole_step() -> dict[str, float]:
    """Every function on a batch that has something of everything."""
    source = Source("own", "train", "Apache-2.0", "0")
    sample = Sample("a", source, (Message.of(Role.USER, "?"),), Answer(AnswerKind.NUMBER, "3"))
    turns = (Segment(0, 2), Segment(2, 3, SegmentKind.TOOL), Segment(3, 4, turn=1))
    rollouts = [
        Rollout((1,), (5, 6, 7, 8), (-0.5,) * 4, "", Stop.EOS, segments=turns),
        Rollout((1,), (5, 6, 7, 8), (-0.5,) * 4, "", Stop.LENGTH, parent=0, fork=2),
        Rollout((1,), (5, 6, 7, 8), (0.0,) * 4, "", Stop.EOS, external=True),
    ]
    flags = [1.0, 0.0, 1.0]
    batch = make_batch(rollouts, [sample] * 3, [0] * 3, flags, flags, {"format": flags, "rewards.py:brief": flags})
    terms = [Terms(1.0, flag, flag, Verdict.right("3", ""), "", False) for flag in flags]
    values = torch.randn(3, 4, dtype=torch.float64)
    names = ("logp", "old", "roll", "advantage", "entropy", "reference", "weight", "mismatch")
    given: dict[str, Any] = dict.fromkeys(names, values)
    own = ~batch.external
    sums = UpdateSums()
    sums.add(Tokens(["a"] * 3, batch.mask, own, own, **given, ratio=Ratio(values.exp(), 0.8, 1.2)), first=True)
    return {
        **rollout_metrics(batch, 4, terms),
        **kept_metrics(batch, batch),
        **advantage_metrics(batch, values),
        **sums.result(),
    }


def test_every_number_of_a_step_is_explained() -> None:
    values = a_whole_step()
    assert set(MEANS) | set(PEAKS) <= values.keys(), "the batch above lacks something"
    assert [key for key in values if not explained(key)] == []
    assert len(values) > 75


LOOP = (
    *("loss", "grad_norm", "lr", "response_tokens", "prefills", "weight_syncs", "attempts", "alarms", "time.update"),
    *("prompt_forwards_per_group", "vision_passes_per_group", "unique_token_share", "method/dars/rescued"),
    *(f"media/{name}" for name in ("decodes", "decoded_frames", "hits", "misses", "evictions", "damaged")),
)


def test_what_the_loop_adds_is_explained() -> None:
    assert [key for key in LOOP if not explained(key)] == []
    assert not explained("nonsense")


def test_what_a_page_shows_is_explained() -> None:
    assert [key for key in METRIC_NOTES if not explained(key)] == []


def test_the_tables_name_nothing_twice() -> None:
    names = metrics()
    assert len(set(names)) == len(names)
    assert set(first_columns("### Alarms")) == set(ALARMS)
