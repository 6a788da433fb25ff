"""MedEvalKit's rules for multiple choice, faults included.

Choices never abstain: where no letter and no option is read, the option that difflib finds nearest to the answer
counts, the first of equals, so that an empty answer says A. MMMU's short answers are compared letter by letter and can
never be right (5 of the 150 medical ones are lost); `mmmu_fixed` parses them as MMMU does. Its guess for an unread
choice is not seeded; here the seed is MMMU's.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from mmreason.records import AnswerKind, Sample
from mmreason.suites.reference import mmmu as official_mmmu
from mmreason.suites.reference.medevalkit import ORIGIN, blocks, last_box, parsed
from mmreason.suites.reference.vqa_words import nearest
from mmreason.suites.references import Reference


def choice_equal(choices: Sequence[str], letter: str, response: str) -> bool:
    """Whether the response picks the option called `letter`; `choices` as the prompt prints them."""
    letters = [chr(ord("a") + place) for place in range(len(choices))]
    lower, answer, said = [choice.lower() for choice in choices], letter.strip().lower(), response.lower()
    parts = said.split("\n\n")
    if parts[0] in letters:
        said = parts[0]
    elif parts[-1].split(".")[0] in letters:
        said = parts[-1].split(".")[0]
    said = parsed(said).strip().lower().replace("\n", "")
    head = said.split(".")[0].split(":")[-1]
    if head == answer:
        return True
    if head in letters:
        return lower[letters.index(head)] == answer
    if head in lower:
        return answer in letters and head == lower[letters.index(answer)]
    place = nearest(lower, said) or 0
    return letters[place] == answer or lower[place] == answer


def shown_choices(sample: Sample) -> list[str]:
    """The options as the file prints them where it carries letters, else "A. text"."""
    printed = sample.metadata.get("choices")
    return list(map(str, printed)) if printed else [f"{key}. {text}" for key, text in sample.answer.options.items()]


def _choice(output: str, sample: Sample, rng: random.Random) -> bool:
    return choice_equal(shown_choices(sample), sample.answer.gold, output)


def _tagged(output: str, sample: Sample, rng: random.Random) -> bool:
    return choice_equal(shown_choices(sample), sample.answer.gold, blocks(output))


def _mmmu_cut(output: str) -> str:
    said = blocks(output) if "<answer>" in output else output
    box = last_box(said)
    return (said if box == "None" else box).strip()


def _mmmu(output: str, sample: Sample, rng: random.Random) -> bool:
    if sample.answer.kind is not AnswerKind.CHOICE:
        return False
    letter = official_mmmu.read_choice(_mmmu_cut(output), sample.answer.options)
    return (letter or rng.choice(list(sample.answer.options))) == sample.answer.gold


def _mmmu_fixed(output: str, sample: Sample, rng: random.Random) -> bool:
    if sample.answer.kind is AnswerKind.CHOICE:
        return _mmmu(output, sample, rng)
    golds = [sample.answer.gold, *sample.answer.aliases.get("also", [])]
    return official_mmmu.open_equal(_mmmu_cut(output), golds)


untagged = Reference(ORIGIN.format("utils.py, PMC_VQA/PMC_VQA.py"), _choice)
tagged = Reference(ORIGIN.format("utils.py, OmniMedVQA/OmniMedVQA.py, MedXpertQA/MedXpertQA.py"), _tagged)
mmmu = Reference(ORIGIN.format("MMMU/eval_val.py"), _mmmu, seed=official_mmmu.SEED)
mmmu_fixed = Reference(f"{mmmu.origin}, short answers parsed", _mmmu_fixed, seed=official_mmmu.SEED)
