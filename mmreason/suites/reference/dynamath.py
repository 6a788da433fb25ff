"""DynaMath's scoring of JSON answers, and worst case, average and robustness over the variants

Predictions file: `report` is the repository's report of one variant, {"1": {"response": {"short answer": ...}, ...},
...}, named so that its path holds "trial<k>" or "variant<k>" with the variant's number; or an array of such rows with
"id" and "variant". The response is given on as JSON.
"""

from __future__ import annotations

import json
import math
import random
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmreason.errors import UserError
from mmreason.records import Sample
from mmreason.suites.predictions import collect
from mmreason.suites.reference.forms import field, mean, objects
from mmreason.suites.references import Reference, Scored

ORIGIN = "DynaMath/DynaMath evaluation/gpt4o/gpt_4o_json_eval.py@598c3c3"
OPEN_SOURCE = "DynaMath/DynaMath evaluation/opensource_json_eval.py@598c3c3"
VARIANTS = 10
ABSOLUTE = 0.001
_VARIANT = re.compile(r"(?:trial|variant)_?(\d+)", re.IGNORECASE)


def _parsed(text: str, strict: bool) -> Any:
    try:
        return json.loads(text, strict=strict)
    except (ValueError, RecursionError):
        return None


def short_answer(output: str) -> str | None:
    """The field "short answer" of an output that is JSON as a whole; None: the program would stop or find nothing."""
    found = _parsed(output, strict=True)
    return str(found.get("short answer")) if isinstance(found, dict) else None


def lenient_answer(output: str) -> str | None:
    """As the program for open models reads it: the outermost braces without backslashes, else the last line less its
    last character."""
    start, end = output.find("{"), output.rfind("}")
    inner = output[start : end + 1].replace("\\", "") if 0 <= start < end else output
    found = _parsed(inner, strict=False)
    if found is None:
        return inner.split("\n")[-1][:-1]
    return str(found.get("short answer")) if isinstance(found, dict) else None


def _float(text: str) -> float:
    """A number, one with a factor pi multiplied out. Raises ValueError."""
    head, pi, _ = text.partition("\u03c0")
    return float(head) * math.pi if pi else float(text)


def shown_number(answer: str) -> float:
    """The first word as a number. Raises ValueError."""
    return float(answer) if answer.isdigit() else _float(answer.split(" ")[0])


def equal(answer: str, sample: Sample) -> bool:
    """By answer type: |difference| <= 0.001; the letter, or it among the first three characters; containment."""
    kind, gold = sample.metadata["answer_type"], sample.answer.gold
    if kind == "float":
        try:
            return abs(shown_number(answer) - float(gold)) <= ABSOLUTE
        except ValueError:
            return False
    if kind == "multiple choice":
        return answer == gold if len(answer) == 1 else gold in answer[:3]
    return gold in answer


def _official(output: str, sample: Sample, rng: random.Random) -> bool:
    answer = short_answer(output)
    return answer is not None and equal(answer, sample)


def _open_source(output: str, sample: Sample, rng: random.Random) -> bool:
    answer = lenient_answer(output)
    return answer is not None and equal(answer, sample)


def _relative(output: str, sample: Sample, rng: random.Random) -> bool:
    answer = short_answer(output)
    if answer is None or sample.metadata["answer_type"] != "float":
        return answer is not None and equal(answer, sample)
    try:
        return math.isclose(shown_number(answer), float(sample.answer.gold), rel_tol=1e-3, abs_tol=ABSOLUTE)
    except ValueError:
        return False


def variants(scored: Sequence[Scored]) -> dict[str, float]:
    """Worst case (share of seeds right in all ten variants), average, robustness (worst / average), each variant.

    Seeds with fewer than ten variants have no worst case: `worst_case` and `robustness` are then left out, and
    `seeds_short_of_ten` says how many there are.
    """
    seeds: dict[str, dict[int, float]] = defaultdict(dict)
    by_variant: dict[int, list[Scored]] = defaultdict(list)
    for one in scored:
        variant = int(one.sample.metadata["variant"])
        seeds[one.sample.source.document][variant] = one.value or 0.0
        by_variant[variant].append(one)
    average = mean(scored)
    short = sum(len(found) != VARIANTS for found in seeds.values())
    numbers = {"average": average, "seeds": float(len(seeds)), "seeds_short_of_ten": float(short)}
    if seeds and not short:
        worst = sum(all(value == 1.0 for value in found.values()) for found in seeds.values()) / len(seeds)
        numbers = {"worst_case": worst, "robustness": worst / average if average else 0.0, **numbers}
    return {**numbers, **{f"variant_{key}": mean(part) for key, part in sorted(by_variant.items())}}


official = Reference(ORIGIN, _official, variants)
open_source = Reference(OPEN_SOURCE, _open_source, variants)
relative = Reference(f"{ORIGIN}, with 0.001 relative too (ours)", _relative, variants)


def _response(response: Any) -> str:
    return response if isinstance(response, str) else json.dumps(response, ensure_ascii=False)


def report(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """{"1": {"response": ...}, ...} of the variant in the path, or [{"id", "variant", "response"}, ...]."""
    ids = {(sample.source.document, str(sample.metadata["variant"])): sample.id for sample in samples}
    named = _VARIANT.findall(str(path))
    pairs = []
    for where, row in objects(path):
        seed = str(field(where, row, "id"))
        variant = str(row.get("variant", named[-1] if named else ""))
        if not variant:
            raise UserError(
                f"{where}: no 'variant', and {path.name} names none as trial<k>; say which of the ten it is"
            )
        name = ids.get((f"dynamath-{seed}", variant), f"dynamath-{seed}-{variant}")
        pairs.append((where, name, [_response(field(where, row, "response"))]))
    return collect(pairs)
