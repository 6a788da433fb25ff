"""TempCompass: the authors' matching rules without their model judge, and stored verdicts with it

`predictions`: predictions/<model>/<task>.json, {video: {aspect: [{"question", "answer", "prediction"}, ...]}};
`judgements`: auto_eval_results/<model>/<task>.json, the same with "gt-answer", "video-llm-prediction" and "rating".
An answer of null, a refusal, is wrong in both.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mmreason.errors import UserError
from mmreason.records import Sample
from mmreason.suites.predictions import collect, parse_json, read_text
from mmreason.suites.reference.forms import field, mean, means, text
from mmreason.suites.reference.judged import answer_of, is_judged, verdict_of, with_verdict
from mmreason.suites.references import Reference, Scored

ORIGIN = "llyx97/TempCompass {}@e1b4631, --disable_llm"
_ASPECTS = ("action", "direction", "speed", "order", "attribute_change")
_LETTERS = "ABCD"


def choice_equal(said: str, gold: str) -> bool:
    """The released answer itself, a lone letter, or what stands before 'A.' or 'A)' at the start. A to D only."""
    if said == gold or (said in tuple(_LETTERS)):
        return said in (gold, gold[0])
    return any(said[:2] == f"{letter}{mark}" for mark in ".)" for letter in _LETTERS) and said[0] == gold[0]


def verdict_equal(said: str, gold: str) -> bool:
    """By the first letters: 'yes', or 'no', which 'not sure' begins with too."""
    lower = said.lower()
    return (lower.startswith("yes") and gold == "yes") or (lower.startswith("no") and gold == "no")


def caption_equal(said: str, question: str, gold: str) -> bool:
    """A whole option, its caption, or its name; where an answer fits several forms the last found decides."""
    lines = question.split("\n")[1:]
    parts = [line.split(": ") for line in lines]
    names = [part[0] for part in parts]
    names += [name.replace("Sentence ", "").replace("Option ", "").replace("Caption ", "") for name in names]
    behind = said.split(") ")[1] if ") " in said else said
    fits = [line for line in lines if line == said]
    fits += [part[1] for part in parts if part[1] in (said, behind)]
    fits += [name for name in names if name in (said, said.replace(".", ""))]
    wanted = (gold, gold.split(":")[0], gold.split(": ")[1], gold.split(": ")[0].split()[1])
    return bool(fits) and fits[-1] in wanted


def _clean(output: str) -> str:
    return answer_of(output).replace("</s>", "").strip()


def _choice(output: str, sample: Sample, rng: random.Random) -> bool:
    return choice_equal(_clean(output), sample.metadata["answer_text"])


def _verdict(output: str, sample: Sample, rng: random.Random) -> bool:
    return verdict_equal(_clean(output), sample.metadata["answer_text"])


def _caption(output: str, sample: Sample, rng: random.Random) -> bool:
    return caption_equal(_clean(output), sample.metadata["released_question"], sample.metadata["answer_text"])


def _stored(output: str, sample: Sample, rng: random.Random) -> bool:
    return verdict_of(output) == "1"


def aspects(scored: Sequence[Scored]) -> dict[str, float]:
    """Accuracy over all questions, and of each aspect."""
    found = means(scored, "aspect")
    return {"avg": mean(scored), **{name: found[name] for name in _ASPECTS if name in found}}


multi_choice = Reference(ORIGIN.format("eval_multi-choice.py"), _choice, aspects)
yes_no = Reference(ORIGIN.format("eval_yes_no.py"), _verdict, aspects)
caption_matching = Reference(ORIGIN.format("eval_caption_matching.py"), _caption, aspects)
with_judge = Reference(
    "llyx97/TempCompass auto_eval_results@e1b4631, ratings as stored", _stored, aspects, applies=is_judged
)


def predictions(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """The authors' predictions; a null is an empty answer."""
    return _collected(path, samples, "answer", lambda where, row: text(field(where, row, "prediction", "response")))


def judgements(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """The authors' results, each answer with the rating that rules or judge gave it."""
    return _collected(path, samples, "gt-answer", _judgement)


def _judgement(where: str, row: dict[str, Any]) -> str:
    rating = field(where, row, "rating")
    if rating not in (0, 1):
        raise UserError(f"{where}: rating is {rating!r}, expected 0 or 1")
    return with_verdict(text(field(where, row, "video-llm-prediction")), str(rating))


def _collected(
    path: Path, samples: Sequence[Sample], gold: str, read: Callable[[str, dict[str, Any]], str]
) -> dict[str, list[str]]:
    """Rows by their place in the file, which is that of the released questions; question and gold must agree."""
    known = {(sample.media[0].path, _place(sample)): sample for sample in samples}
    folder, found = Path(samples[0].media[0].path).parent, []
    for video, aspect, place, row in _rows(path):
        where = f"{path} {video} {aspect} {place}"
        sample = known.get((str(folder / f"{video}.mp4"), f"{aspect}-{place}"))
        if sample is None:
            found.append((where, f"{video}-{aspect}-{place}", [""]))  # for `match_predictions` to refuse
            continue
        asked = (sample.metadata["released_question"], sample.metadata["answer_text"])
        if (field(where, row, "question"), field(where, row, gold)) != asked:
            raise UserError(f"{where} asks {row['question'][:60]!r}, but {sample.id} asks {asked[0][:60]!r}")
        found.append((where, sample.id, [read(where, row)]))
    return collect(found)


def _place(sample: Sample) -> str:
    """'<aspect>-<number>' at the end of the released id."""
    return "-".join(sample.source.row.split("-")[-2:])


def _rows(path: Path) -> Iterator[tuple[str, str, int, dict[str, Any]]]:
    value = parse_json(read_text(path), str(path))
    if not isinstance(value, dict):
        raise UserError(f"{path} is {type(value).__name__}, expected one object of videos")
    for video, of_video in value.items():
        if not isinstance(of_video, dict):
            raise UserError(f"{path}: under {video!r} is {type(of_video).__name__}, expected an object of aspects")
        for aspect, rows in of_video.items():
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise UserError(f"{path}: under {video!r}, {aspect!r} is no list of objects")
            yield from ((video, aspect, place, row) for place, row in enumerate(rows))
