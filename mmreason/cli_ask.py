"""`mmreason ask`: one question about pictures or a clip, answered with what the model looked at."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmreason.cli_job import generic_recipe
from mmreason.config import Domain, Recipe, find_system, load_domain, load_recipe, with_task
from mmreason.errors import UserError
from mmreason.project import load_module, project_dir
from mmreason.records import Answer, AnswerKind, MediaRef, Message, Rollout, Sample, Source

if TYPE_CHECKING:
    from mmreason.media.clips import Clip
    from mmreason.protocol import Protocol


@dataclass(frozen=True, slots=True)
class Asked:
    """What was typed."""

    model: str
    question: str
    images: tuple[Path, ...] = ()
    video: Path | None = None
    system: str | None = None
    """Whose prompts, frames and environment apply; None: those that the model was trained with, as far as its folder
    says, in one turn."""
    profile: str = "cpu"
    pairs: tuple[str, ...] = ()


def answer(asked: Asked, out: Path) -> Iterator[str]:
    """Ask, write the page to `out`, and give the lines to print.

    Raises UserError, before the weights are loaded, for a file that is absent or no picture or clip, and for a model
    that reads text only.
    """
    from mmreason.media.clips import open_clip
    from mmreason.release.names import resolve_model
    from mmreason.report.asked import write_asked

    root, media = media_of(asked.images, asked.video)
    recipe, domain = _settings(asked)
    path = resolve_model(asked.model)
    sample = put(asked.question, media, _protocol(path, domain, own=asked.system is not None))
    clips = [open_clip(root, ref) for ref in sample.media if ref.kind == "video"]  # a wrong file is told at once
    _check_model(path, sample.media)
    yield from map(_given, clips)
    rollout = play(recipe, domain, path, root, sample)
    said = final_answer(rollout, sample)
    write_asked(out, asked.question, Path(asked.model).name, sample, rollout, said, root)
    yield from told(rollout)
    yield f"answer: {said or '(nothing)'}"
    yield f"page: {out}"


def media_of(images: Sequence[Path], video: Path | None) -> tuple[Path, tuple[MediaRef, ...]]:
    """The files under the deepest folder that holds them all, and a reference to each. Raises UserError as
    `media_ref`."""
    from mmreason.media.files import media_ref

    given = [(path, "image") for path in images] + ([(video, "video")] if video is not None else [])
    absent = [path for path, _ in given if not path.exists()]
    if absent:
        raise UserError(f"no file {absent[0]}: name a picture with --image or a clip with --video")
    if not given:
        return Path(), ()
    root = Path(os.path.commonpath([path.resolve().parent for path, _ in given]))
    return root, tuple(media_ref(root, str(path.resolve().relative_to(root)), kind) for path, kind in given)


def _settings(asked: Asked) -> tuple[Recipe, Domain]:
    """The system's recipe and domain; without one the generic recipe and our domain for what is shown."""
    path = find_system(asked.system) if asked.system is not None else generic_recipe()
    recipe = load_recipe(path, asked.profile, list(asked.pairs))
    if asked.system is None:
        return recipe, load_domain(project_dir() / "domains" / ("video" if asked.video else "general"))
    folder = Path(asked.system) if path == generic_recipe() else path.parent / recipe.domain
    return recipe, with_task(load_domain(folder), recipe.task)


def _protocol(model: Path, domain: Domain, own: bool) -> Protocol:
    """The domain's protocol; with `own` unset that of the checkpoint where it keeps one."""
    from mmreason.protocol import Protocol

    kept = model / "protocol.json"
    if own or not kept.is_file():
        return Protocol.of(domain)
    values = json.loads(kept.read_text(encoding="utf-8"))
    values.pop("hash", None)
    return Protocol(**{**values, "stop": tuple(values.get("stop", ()))})


def put(question: str, media: tuple[MediaRef, ...], protocol: Protocol) -> Sample:
    """The question under the protocol's template for free answers, or for the first kind that it has one for."""
    answer = Answer(_kind(protocol), "")
    sample = Sample("ask", Source("ask", "", "", ""), (Message.about(question, media),), answer, media)
    return protocol.apply(sample)


def _kind(protocol: Protocol) -> AnswerKind:
    """Free answers where there is a template for them; what else the templates are for otherwise."""
    names = {key.split(".")[0].removesuffix("-multi") for key in protocol.templates}
    if {AnswerKind.FREE.value, "en", "default"} & names:
        return AnswerKind.FREE
    return next((kind for kind in AnswerKind if kind.value in names), AnswerKind.FREE)


def _check_model(model: Path, media: Sequence[MediaRef]) -> None:
    """Read the model's config, which takes a moment, before its weights, which take minutes."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(model)
    except (OSError, ValueError) as error:
        raise UserError(f"no transformers checkpoint at {model}: {str(error).splitlines()[0]}") from None
    if media and not hasattr(config, "vision_config"):
        raise UserError(f"{model} reads text only, it cannot look at {media[0].path}: name a vision-language model")


def play(recipe: Recipe, domain: Domain, model: Path, root: Path, sample: Sample) -> Rollout:
    """One answer of the model, of several turns where the domain declares an environment."""
    from mmreason.rollout.playing import with_environment

    engine = load_module(project_dir() / "eval" / "run.py").load_engine(recipe, model, root)
    playing = with_environment(engine, domain, recipe.options, recipe.seeds.sampling)
    rollout: Rollout = playing.generate([sample], recipe.eval.sampling, 1, recipe.seeds.sampling)[0][0]
    return rollout


def final_answer(rollout: Rollout, sample: Sample) -> str:
    """What the last turn answers: its box or answer block, else what stands behind the reasoning."""
    from mmreason.rewards.extract import after_thinking
    from mmreason.rewards.grade import read

    text = rollout.extras.get("said", [rollout.text])[-1]
    found = read(text, sample.answer, lenient=True).text
    return (found or after_thinking(text) or text).strip()


def _given(clip: Clip) -> str:
    """What the prompt shows of a clip."""
    indices = sorted(set(clip.chosen.indices))
    first, last = clip.info.seconds([indices[0], indices[-1]])
    return f"{clip.path.name}: {len(indices)} frames of {clip.info.duration:.1f} s, from {first:.1f} to {last:.1f} s"


def told(rollout: Rollout) -> Iterator[str]:
    """The turns as lines: what was seen, said, asked for and given."""
    from mmreason.records.rollout import talk_of

    for place, turn in enumerate(talk_of(rollout) or [{"said": rollout.text}], 1):
        yield f"turn {place}: {' '.join(turn['said'].split())}"
        yield from _looked(turn)


def _looked(turn: dict[str, Any]) -> Iterator[str]:
    if turn.get("error"):
        yield f"  refused: {turn['error']}"
    shown, back = turn.get("shown") or {}, turn.get("refined") or {}
    if turn.get("selected"):
        chosen = ", ".join(f"{place + 1} ({shown['seconds'][place]:.1f} s)" for place in turn["selected"])
        yield f"  asked for {len(turn['selected'])} of {len(shown['seconds'])} frames: {chosen}"
    if back:
        seconds = ", ".join(f"{second:.1f}" for second in back["seconds"])
        yield f"  given {len(back['seconds'])} frames, at {seconds} s"
