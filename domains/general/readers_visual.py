"""Charts, hallucinations, preferences between pictures, and questions over knowledge bases."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from mmreason.data.lines import Row
from mmreason.data.sources import take_options
from mmreason.data.step import Drop, ReadRequest
from mmreason.project import load_module
from mmreason.records import Answer, AnswerKind, Sample
from mmreason.rewards.judgement import FAMILIES

released = load_module(Path(__file__).parent / "released.py")

YES_NO = FAMILIES[0]
PREFERENCE = "Which image fits the prompt better and looks better?"
PICTURE_ROUTES = ("dyn_vqa", "infoseek", "webqa")
"""Of R1-Router's six sets, those that ask about a picture."""


def _chart_answer(gold: str) -> Answer:
    """A number, a list, yes or no, else words."""
    if gold.strip().casefold() in ("yes", "no"):
        return Answer(AnswerKind.JUDGEMENT, gold.strip().casefold(), aliases=YES_NO)
    if re.fullmatch(r"\[.*\]", gold.strip()):
        items = [item.strip().strip("'\"") for item in gold.strip()[1:-1].split(",")]
        return Answer(AnswerKind.SET, json.dumps(items, ensure_ascii=False))
    answer: Answer = released.short(gold)
    return answer


def chartqa(request: ReadRequest) -> Iterator[Sample]:
    """ChartQA: test/test_human.json and test/test_augmented.json, {imgname, query, label}, pictures in test/png/."""
    take_options(request)
    for path in request.files:
        half = "human" if "human" in path.name else "augmented"
        for row in released.rows(path, request):
            image, gold = row.need("imgname", str), row.need("label", str)
            yield released.sample(
                request,
                f"{half}-{row.line - 1}",
                row.need("query", str),
                _chart_answer(gold),
                (released.attach(request, row, f"png/{image}"),),
                f"chartqa-{image}",
                half=half,
                released_answer=gold,
            )


def _figure(row: Row, request: ReadRequest) -> tuple[object, ...]:
    name = row.fill("filename", str, "")
    return (released.attach(request, row, f"hallusion_bench/{name.removeprefix('./')}"),) if name else ()


def hallusionbench(request: ReadRequest) -> Iterator[Sample]:
    """HallusionBench: HallusionBench.json, pictures unpacked to hallusion_bench/ beside it; 178 rows have none."""
    take_options(request)
    keys = ("category", "subcategory", "set_id", "figure_id", "question_id")
    for path in request.files:
        for row in released.rows(path, request):
            parts = {key: str(row.need(key, str)) for key in keys}
            yield released.sample(
                request,
                "_".join(parts.values()),
                row.need("question", str),
                Answer(AnswerKind.JUDGEMENT, "yes" if row.need("gt_answer", str) == "1" else "no", aliases=YES_NO),
                _figure(row, request),
                "-".join(["hallusionbench", *list(parts.values())[:4]]),
                visual_input=row.need("visual_input", str),
                details=row.need("gt_answer_details", str),
                **parts,
            )


def _pair(row: Row, request: ReadRequest, first: int, second: int, swapped: bool) -> Sample:
    """One pair of pictures of a prompt, in one of its two orders. The lower rank is the better picture."""
    names, ranks = row.texts("generations"), row.need("ranking", list)
    shown = (second, first) if swapped else (first, second)
    better = "1" if ranks[shown[0]] < ranks[shown[1]] else "2"
    prompt, identity = row.need("prompt", str), row.need("id", str)
    found: Sample = released.sample(
        request,
        f"{identity}-{first}-{second}{'-swapped' if swapped else ''}",
        f"Prompt: {prompt}\nImage 1: <image 1>\nImage 2: <image 2>\n{PREFERENCE}",
        Answer(AnswerKind.CHOICE, "AB"[int(better) - 1], {"A": "image 1", "B": "image 2"}),
        tuple(released.attach(request, row, names[index]) for index in shown),
        f"{request.name}-{identity}",
        inline=True,
        order="swapped" if swapped else "as released",
        pair=f"{identity}-{first}-{second}",
    )
    return found


def imagereward(request: ReadRequest) -> Iterator[Sample | Drop]:
    """ImageReward: test.json, {id, prompt, generations, ranking}: every pair of pictures of a prompt, in both orders.

    Pairs of equal rank leave as drops.
    """
    take_options(request)
    for path in request.files:
        for row in released.rows(path, request):
            ranks = row.need("ranking", list)
            if len(ranks) != len(row.texts("generations")):
                row.fail(f"{len(ranks)} ranks for {len(row.texts('generations'))} pictures")
            for first in range(len(ranks)):
                for second in range(first + 1, len(ranks)):
                    if ranks[first] == ranks[second]:
                        yield Drop(f"{request.name}-{row.need('id', str)}-{first}-{second}", "read", "tie")
                        continue
                    yield _pair(row, request, first, second, swapped=False)
                    yield _pair(row, request, first, second, swapped=True)


def _route_golds(row: Row, dataset: str) -> list[str]:
    """The accepted answers: of InfoSeek those for evaluation, a range as its two ends."""
    key = "answer_eval" if dataset == "infoseek" else "answer"
    value = row.values.get(key)
    golds = value if isinstance(value, list) else [value]
    if golds and isinstance(golds[0], dict):
        return [str(end) for end in golds[0].get("range", [])]
    return [str(gold) for gold in golds if gold is not None]


def _route_answer(golds: list[str], ranged: bool) -> Answer:
    words = {gold.casefold().strip(" .") for gold in golds} & YES_NO.keys()
    if len(words) == 1:
        return Answer(AnswerKind.JUDGEMENT, words.pop(), aliases=YES_NO)
    if ranged:
        low, high = map(float, golds)
        return Answer(AnswerKind.SPAN, str((low + high) / 2), aliases={"also": golds})
    answer: Answer = released.short(*golds)
    return answer


def r1_router(request: ReadRequest) -> Iterator[Sample | Drop]:
    """One of R1-Router's six question sets, datasets/<set>.jsonl of its repository; rows are numbered where they have
    no id of their own. Pictures, where a set has them, lie in images/<image_id>.jpg beside the file.
    """
    take_options(request)
    dataset = request.name.removeprefix("r1_router_")
    for path in request.files:
        for row in released.loose_lines(path):
            identity = str(row.values.get("data_id") or row.values.get("question_id") or f"{row.line:05d}")
            golds = _route_golds(row, dataset)
            if not golds:
                yield Drop(f"{request.name}-{identity}", "read", "no_answer")
                continue
            image = row.values.get("image_id")
            media = (
                (released.attach(request, row, f"images/{image}.jpg"),) if dataset in PICTURE_ROUTES and image else ()
            )
            raw = row.values.get("answer_eval")
            ranged = dataset == "infoseek" and isinstance(raw, list) and bool(raw) and isinstance(raw[0], dict)
            yield released.sample(
                request,
                identity,
                row.need("question", str),
                _route_answer(golds, ranged),
                media,
                golds=golds,
                ranged=ranged,
            )
