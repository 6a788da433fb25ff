"""VLMEvalKit's rules in front of its judge: option matcher, yes/no, exact numbers. Its judge model is left out.

Where the toolkit would ask a language model, the answer counts as wrong: the numbers are lower bounds of its own, and
equal them with `exact_matching` where the toolkit has that mode (We-Math, MMMU, MMStar, HallusionBench).
"""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Sequence
from typing import Any

from mmreason.records import AnswerKind, Sample
from mmreason.suites.reference import dynamath as dyna
from mmreason.suites.reference import hallusionbench as hallusion
from mmreason.suites.reference.latex_value import value
from mmreason.suites.reference.logicvista import skills
from mmreason.suites.reference.math_vision import levels
from mmreason.suites.reference.mathverse import versions
from mmreason.suites.reference.mathvista import tasks
from mmreason.suites.reference.mmmu import disciplines
from mmreason.suites.reference.mmstar import abilities
from mmreason.suites.reference.vqa_words import strip_marks
from mmreason.suites.reference.we_math import four_dimensions
from mmreason.suites.references import Reference, Rule, Scored, Total

ORIGIN = "open-compass/VLMEvalKit vlmeval/{}@e8e78f0, without its judge"
_REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)
_SPACED = str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))
_VERBOSE = re.compile(r"(?i)(?:correct\s+)?answer\s+is\s+\**([ABCD])\**")


def infer_option(answer: str, options: dict[str, str]) -> str | None:
    """The only option letter among the words, if it is one of the last five; "Z" for a refusal."""
    if "Failed to obtain answer via API" in answer:
        return None
    if any(refusal in answer for refusal in _REFUSALS):
        return "Z"
    words = answer.translate(_SPACED).split()
    named = [letter for letter in options if letter in words]
    if len(named) == 1 and words.index(named[0]) > len(words) - 5:
        return named[0]
    if not named and "Z" in words:
        return "Z"
    said = _VERBOSE.search(answer)
    return said.group(1).upper() if said and said.group(1).upper() in options else None


def infer_text(answer: str, options: dict[str, str]) -> str | None:
    """The only option whose text occurs in an answer of at most twice the options' length."""
    lower = answer.lower()
    if len(lower) > 2 * sum(map(len, options.values())):
        return None
    found = [letter for letter, text in options.items() if text.lower() in lower]
    return found[0] if len(found) == 1 else None


def infer(answer: str, options: dict[str, str]) -> str | None:
    """Option matcher of the toolkit: by letter, else by text."""
    return infer_option(answer, options) or infer_text(answer, options)


def _letter(output: str, sample: Sample, rng: random.Random) -> bool:
    return infer(output, sample.answer.options) == sample.answer.gold


def _mmmu(output: str, sample: Sample, rng: random.Random) -> bool:
    """Open items as a choice between the gold and "Other Answers"; a gold that is itself a capital stays the key."""
    if sample.answer.kind is AnswerKind.CHOICE:
        return _letter(output, sample, rng)
    golds = [sample.answer.gold, *sample.answer.aliases.get("also", [])]
    shown = golds[0] if len(golds) == 1 else str(golds)
    key = shown if re.fullmatch("[A-Z]", shown) else "A"
    return infer(output, {"A": shown, "B": "Other Answers"}) == key


def _mathvista(output: str, sample: Sample, rng: random.Random) -> bool:
    """Whole numbers by int(), decimals exactly, lists never."""
    kind, gold = sample.metadata["answer_type"], str(sample.metadata["released_answer"])
    if sample.answer.options:
        return _letter(output, sample, rng)
    try:
        if kind == "integer":
            return int(output) == int(gold)
        return kind == "float" and float(output) == float(gold)
    except ValueError:
        return False


def _same_value(gold: str, said: str) -> bool:
    """Equal as text, else as constants to 1e-6."""
    gold, said = gold.lower().strip(), said.lower().strip()
    if gold == said:
        return True
    one, other = value(gold), value(said)
    return one is not None and other is not None and abs(one - other) < 1e-6


def _math_vision(output: str, sample: Sample, rng: random.Random) -> bool:
    """The letter alone for choices; else to 1e-6 where the authors round to two decimals."""
    if sample.answer.options:
        return _letter(output, sample, rng)
    return _same_value(str(sample.metadata["released_answer"]), output)


def _mathverse(output: str, sample: Sample, rng: random.Random) -> bool:
    return output.strip() == str(sample.metadata["released_answer"]).strip()


def _logicvista(output: str, sample: Sample, rng: random.Random) -> bool:
    """Capital letters only; compared as one sorted string."""
    gold = "".join(sorted(letter.lower() for letter in sample.metadata["released_answer"].split(", ")))
    return output.isupper() and output.isalpha() and "".join(sorted(output.lower())) == gold


def _dyna_letter(answer: str) -> str | None:
    if len(answer) == 1:
        return answer.upper()
    named = [letter for letter in "ABCDE" if letter in answer.upper()]
    return named[0] if len(named) == 1 else None


def _dyna_read(answer: str, kind: str) -> str | float | None:
    if kind == "multiple choice":
        return _dyna_letter(answer)
    if kind != "float":
        return answer
    try:
        return dyna.shown_number(answer)
    except ValueError:
        return None


def _dyna_parsed(output: str) -> tuple[str, Any]:
    """(the outermost braces without backslashes, or the output so; its "short answer", None where it has none)."""
    start, end = output.find("{"), output.rfind("}")
    inner = (output[start : end + 1] if 0 <= start < end else output).replace("\\", "")
    try:
        found = json.loads(inner, strict=False)
    except (ValueError, RecursionError):
        return inner, None
    return inner, found.get("short answer") if isinstance(found, dict) else None


def _dynamath(output: str, sample: Sample, rng: random.Random) -> bool:
    """Text answers the other way round: right where the gold contains the answer, so that an empty one is right."""
    kind, gold = sample.metadata["answer_type"], sample.answer.gold
    inner, short = _dyna_parsed(output)
    read = (
        _dyna_read(short, kind)
        if isinstance(short, str)
        else short
        if kind not in ("float", "multiple choice")
        else None
    )
    if read is None:
        read = _dyna_read(inner, kind)
    if kind == "float":
        return isinstance(read, float) and math.isfinite(read) and abs(read - float(gold)) <= dyna.ABSOLUTE
    if kind == "multiple choice":
        return read == gold if read is not None else gold in inner[:3].upper()
    return str(read).lower() in gold.lower()


def yes_or_no(output: str) -> str | None:
    """Yes or no where exactly one of the two words occurs."""
    words = set(strip_marks(output.lower()).split())
    found = words & {"yes", "no"}
    return found.pop() if len(found) == 1 else None


def _hallusion(output: str, sample: Sample, rng: random.Random) -> bool | None:
    """Only the 951 questions with a figure are in the toolkit's file."""
    if sample.metadata["visual_input"] == "0":
        return None
    return yes_or_no(output) == sample.answer.gold


def _figures(scored: Sequence[Scored]) -> dict[str, float]:
    """The mean of the three accuracies first, as leaderboards print it."""
    found = hallusion.accuracies([one for one in scored if one.sample.metadata["visual_input"] != "0"])
    return {key: found[key] for key in ("mean_of_three", "aAcc", "fAcc", "qAcc") if key in found}


def _dyna_total(scored: Sequence[Scored]) -> dict[str, float]:
    """The average first: the toolkit's primary number."""
    found = dyna.variants(scored)
    return {"average": found["average"], **found}


def _of(where: str, score: Rule, total: Total) -> Reference:
    return Reference(ORIGIN.format(where), score, total)


mathvista = _of("dataset/utils/mathvista.py", _mathvista, tasks)
mathverse = _of("dataset/utils/mathverse.py", _mathverse, versions)
math_vision = _of("dataset/utils/mathv.py", _math_vision, levels)
we_math = _of("dataset/utils/wemath.py, utils/matching_util.py", _letter, four_dimensions)
dynamath = _of("dataset/dynamath.py", _dynamath, _dyna_total)
logicvista = _of("dataset/utils/logicvista.py", _logicvista, skills)
mmmu = _of("dataset/utils/multiple_choice.py, utils/matching_util.py", _mmmu, disciplines)
mmstar = _of("dataset/utils/multiple_choice.py, utils/matching_util.py", _letter, abilities)
hallusionbench = _of("dataset/image_yorn.py, utils/yorn.py", _hallusion, _figures)
