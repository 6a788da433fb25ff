"""MLVU: the character before the first bracket, and the unweighted mean of the tasks

`dev_results`: test_all_choice.json of the dev part, {"acc_dict", "res_list": [{"pred", "gt", "question", "video"}]};
`test_results`: test_res.json of the test part, [{"question_id", "question_type", "option"}].
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from mmreason.errors import UserError
from mmreason.records import Sample
from mmreason.suites.predictions import collect, parse_json, read_text
from mmreason.suites.reference import mcq_extract
from mmreason.suites.reference.forms import field, mean, means, named, objects, text
from mmreason.suites.references import Reference, Scored

DEV = "JUNJIE99/MLVU evaluation/multiple_choice_evaluation/choice_bench.py@fd060c1"
TEST = "JUNJIE99/MLVU evaluation_test/test_bench.py@fd060c1"
LMMS = f"{mcq_extract.ORIGIN}, lmms_eval/tasks/mlvu/utils.py"
TASKS = {"dev": 7, "test": 9}
"""Tasks of the two parts: lmms-eval divides by all of them, whether they have questions or not."""


def bracketed(output: str) -> str:
    """The one character before the first closing bracket, else the whole output."""
    place = output.find(")")
    return output if place < 0 else output[max(place - 1, 0) : place]


def _dev(output: str, sample: Sample, rng: random.Random) -> bool:
    return bracketed(output) == sample.answer.gold


def _test(output: str, sample: Sample, rng: random.Random) -> bool:
    return output.strip().partition(")")[0].strip() == sample.answer.gold


def _lmms(output: str, sample: Sample, rng: random.Random) -> bool:
    """Letters A to D, for the test part with its six options too."""
    return mcq_extract.extract(output) == sample.answer.gold


def m_avg(scored: Sequence[Scored]) -> dict[str, float]:
    """Unweighted mean of the tasks, the mean over questions beside it."""
    found = means(scored, "task")
    return {"m_avg": sum(found.values()) / len(found), "acc": mean(scored)}


def _over(tasks: int, scored: Sequence[Scored]) -> dict[str, float]:
    return {"m_avg": sum(means(scored, "task").values()) / tasks, "acc": mean(scored)}


def _over_dev(scored: Sequence[Scored]) -> dict[str, float]:
    return _over(TASKS["dev"], scored)


def _over_test(scored: Sequence[Scored]) -> dict[str, float]:
    return _over(TASKS["test"], scored)


dev = Reference(DEV, _dev, m_avg)
test = Reference(f"{TEST}, equality assumed of the server's side", _test, m_avg)
lmms_eval_dev = Reference(LMMS, _lmms, _over_dev)
lmms_eval_test = Reference(LMMS, _lmms, _over_test)


def dev_results(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """Results of the dev part, found by video and question."""
    value = parse_json(read_text(path), str(path))
    rows = value.get("res_list") if isinstance(value, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{path} has no list of objects under 'res_list'")
    ids = {(_file(sample), _shown(sample)): sample.id for sample in samples}
    found = []
    for number, row in enumerate(rows, start=1):
        where = f"{path} row {number}"
        video, question = (str(field(where, row, key)) for key in ("video", "question"))
        key = (Path(video).name, question)
        found.append((where, ids.get(key, f"{key[0]}: {question}"), [text(field(where, row, "pred"))]))
    return collect(found)


def _file(sample: Sample) -> str:
    return Path(sample.media[0].path).name


def _shown(sample: Sample) -> str:
    """The question as the authors' program writes it, options included."""
    options = "".join(f"({letter}) {option}\n" for letter, option in sample.answer.options.items())
    return f"Question: {sample.metadata['question']}\nOptions:\n{options}".rstrip()


def test_results(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """Results of the test part."""
    found = ((where, field(where, row, "question_id"), field(where, row, "option")) for where, row in objects(path))
    return named(samples, found)
