"""lmms-eval's SLAKE: exact match after clean-up, for open and closed questions, English and Chinese alike.

The Chinese list takes "normal" for yes and "abnormal" for no; several items count in the printed order only.
"""

from __future__ import annotations

import random
import re
import string
from collections.abc import Sequence
from functools import lru_cache

from mmreason.records import Sample
from mmreason.suites.reference.vqa_words import gold_text
from mmreason.suites.references import Reference, Scored, counted_mean

_WIDE = "！？｡。＂＃＄％＆＇（）＊＋，－／：；＜＝＞＠［＼］＾＿｀｛｜｝～、，；：《》？【】"
_SPACES = str.maketrans(dict.fromkeys(string.punctuation + _WIDE, " "))
_YES = {"yes", "yeah", "yep", "true", "是", "是的", "有", "包含", "可以", "能", "会", "正常"}
_NO = {"no", "nope", "false", "否", "不是", "没有", "无", "不包含", "不能", "不会", "不可以", "不正常", "异常"}


@lru_cache(maxsize=8192)
def clean(text: str) -> str:
    """Lower case, bracketed parts dropped, punctuation as spaces, x-ray joined, a lone polarity as yes or no."""
    bare = re.sub(r"\([^)]*\)", " ", text.strip().lower())
    bare = re.sub(r"（[^）]*）", " ", bare)
    bare = " ".join(bare.translate(_SPACES).split())
    if bare in ("x ray", "xray"):
        return "xray"
    return "yes" if bare in _YES else "no" if bare in _NO else bare


def _score(output: str, sample: Sample, rng: random.Random) -> bool:
    return clean(output) == clean(gold_text(sample))


def _numbers(scored: Sequence[Scored]) -> dict[str, float]:
    """Accuracy of all, then by answer type, modality and content type, as the task lists them."""
    found = counted_mean(scored)
    for key in ("answer_type", "modality", "content_type"):
        for value in sorted({str(one.sample.metadata.get(key, "")).lower() for one in scored} - {""}):
            part = [one for one in scored if str(one.sample.metadata.get(key, "")).lower() == value]
            found[f"{key}:{value}"] = counted_mean(part)["acc"]
    return found


exact = Reference("EvolvingLMMs-Lab/lmms-eval lmms_eval/tasks/slake/utils.py@75571cf", _score, total=_numbers)
