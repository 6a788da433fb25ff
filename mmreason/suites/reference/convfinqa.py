"""ConvFinQA's own scorers: FinQA's, where a program of one token is a number.

Predictions (`predictions`): [{"id", "predicted": [token, ..., "EOF"]}, ...] with the turn in the id,
"<conversation>#<turn>" from 0; without it the id must name a conversation of which one turn is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from mmreason.records import Sample
from mmreason.suites.reference import finqa
from mmreason.suites.references import Reference

ORIGIN = "czyssrs/ConvFinQA code/utils/general_utils.py@cf3eed2"

scalar = Reference(f"{ORIGIN}, final answer x as add(x, 0)", finqa.score_scalar)
execution = replace(finqa.execution, origin=ORIGIN, score=partial(finqa.score_execution, bare=True))
program = replace(finqa.program, origin=f"{ORIGIN}, programs", score=partial(finqa.score_program, bare=True))


def predictions(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """The original's predictions file, by turn or by conversation."""
    found = finqa.predictions(path, samples, bare=True)
    whole = {sample.source.row.rpartition("#")[0]: sample.id for sample in samples}
    single = len(whole) == len(samples)
    return {whole.get(name, name) if single else name: outputs for name, outputs in found.items()}
