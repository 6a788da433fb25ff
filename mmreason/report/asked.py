"""ask.html: one question, the answer to it, and what was looked at."""

from __future__ import annotations

from pathlib import Path

from mmreason.records import Rollout, Sample
from mmreason.records.rollout import talk_of
from mmreason.report.html import cut
from mmreason.report.render import render_html
from mmreason.report.shown_media import FrameSheet
from mmreason.report.timeline import timeline
from mmreason.run.files import write_text


def write_asked(
    path: Path, question: str, model: str, sample: Sample, rollout: Rollout, answer: str, root: Path
) -> None:
    """Write the page. `sample` is the question as it was put, whose media lie under `root`; an answer of one plain
    turn looked at the frames of its prompt."""
    sheet = FrameSheet(root)
    turns = talk_of(rollout) or [{"said": rollout.text}]
    looks = timeline(sheet, sample.media, {}, [{"turns": turns}])
    page = render_html(
        "ask.html.j2",
        question=question,
        model=model,
        answer=answer,
        prompt=cut(sample.prompt[-1].text),
        system_prompt=cut(sample.prompt[0].text) if len(sample.prompt) > 1 else "",
        stop=rollout.stop.value,
        tokens=rollout.num_model_tokens,
        axis=looks.axis,
        turns=looks.rows[0],
        pictures=[] if looks.axis else [shown for ref in sample.media for shown in sheet.pictures(ref)],
        sheet=sheet.markup(),
    )
    write_text(path, page)
