"""One object says how a question is put and how its answer is read; its hash goes with every result."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mmreason.config import Domain, MediaRule
from mmreason.errors import UserError
from mmreason.records import MediaRef, Message, Part, Role, Sample
from mmreason.rewards.grounded import asks_window

if TYPE_CHECKING:
    from mmreason.suites.suite import AskedAs

READER_VERSION = 2
"""Raise it whenever a grader or the reading of answers changes verdicts: scores under two versions differ."""

_HOLES = re.compile(r"\{question\}|\{options\}")
_MARKS = re.compile(r"<image (\d+)>")


@dataclass(frozen=True)
class Protocol:
    """Templates by '<kind>.<lang>', '<lang>' or 'default', with {question} and {options} as the two holes."""

    system_prompt: str | None
    templates: dict[str, str]
    option: str = "{letter}. {text}"
    """One option of a choice; one a line."""
    prefill: str = ""
    """Beginning of the assistant's turn, written for the model."""
    put_back: str = ""
    """What of the prefill counts as output."""
    stop: tuple[str, ...] = ()
    """Outputs are cut before the first of these."""
    max_new_tokens: int | None = None
    """In place of the sampling's own limit."""
    media: dict[str, Any] = field(default_factory=dict)
    """Frame rule and pixel bounds (`MediaRule`) of pictures and clips that state none of their own."""
    ladder: bool = False
    """Also read answers that stand in no box and no answer block: for questions put without asking for one."""
    reader_version: int = READER_VERSION

    @classmethod
    def of(cls, domain: Domain) -> Protocol:
        """The protocol that a domain declares."""
        texts = {
            key: (domain.folder / name).read_text(encoding="utf-8").rstrip("\n")
            for key, name in domain.file.prompts.items()
        }
        for key, text in texts.items():
            _check(text, str(domain.folder / domain.file.prompts[key]))
        return cls(domain.file.system_prompt, texts, media=_rule_of(domain.file.media))

    def having(self, templates: dict[str, str], media: MediaRule | None) -> Protocol:
        """This protocol with some templates and the way of looking at media replaced."""
        for key, text in templates.items():
            _check(text, f"prompt {key!r} of the suite")
        rule = self.media if media is None else _rule_of(media)
        return replace(self, templates={**self.templates, **templates}, media=rule)

    def as_asked(self, asked: AskedAs) -> Protocol:
        """The authors' way to ask: their template, system prompt, options, prefill; answers read by the ladder."""
        templates = {**asked.templates, "default": asked.template}
        for text in templates.values():
            _check(text, "the authors' template")
        return replace(
            self,
            system_prompt=asked.system,
            templates=templates,
            option=asked.options,
            prefill=asked.prefill,
            put_back=asked.put_back,
            stop=tuple(asked.stop),
            max_new_tokens=asked.max_new_tokens,
            ladder=True,
        )

    @property
    def hash(self) -> str:
        """First 16 hex digits of the SHA-256 over all fields."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """All fields and the hash, as checkpoints and results keep them."""
        return {"hash": self.hash, **asdict(self)}

    def template(self, sample: Sample) -> str:
        """The most specific template for the sample's answer kind and language."""
        kind, lang = sample.answer.kind.value, sample.answer.lang
        multi = [f"{kind}-multi.{lang}"] if sample.answer.multi else []
        timed = [f"{kind}-timed.{lang}"] if asks_window(sample) else []
        for key in (*timed, *multi, f"{kind}.{lang}", lang, kind, "default"):
            if key in self.templates:
                return self.templates[key]
        raise UserError(f"sample {sample.id}: no prompt for {kind}.{lang}; declare one of it, {lang!r} or 'default'")

    def apply(self, sample: Sample) -> Sample:
        """Put the sample's bare question into the template.

        Media stay before the text, except those that the text itself places: with metadata `inline_images` a mark
        '<image k>' in question or options stands for medium k, counted from 1.
        """
        if "prompted" in sample.metadata:
            raise ValueError(f"sample {sample.id} already carries the prompt of protocol {sample.metadata['prompted']}")
        template = self.template(sample)
        options = "\n".join(self.option.format(letter=key, text=text) for key, text in sample.answer.options.items())
        if options and "{options}" not in template:
            template += "\n{options}"
        messages = list(sample.messages)
        last = max(index for index, message in enumerate(messages) if message.role is Role.USER)
        holes = {"{question}": messages[last].text, "{options}": options}
        # One pass, so that braces in a question are text and not holes.
        text = _HOLES.sub(lambda hole: holes[hole.group()], template)
        messages[last] = replace(messages[last], parts=_with_media(sample, messages[last], text))
        if self.system_prompt and messages[0].role is not Role.SYSTEM:
            messages.insert(0, Message.of(Role.SYSTEM, self.system_prompt))
        ruled = tuple(self._ruled(ref) for ref in sample.media)
        return replace(sample, messages=tuple(messages), media=ruled).with_meta(prompted=self.hash)

    def _ruled(self, ref: MediaRef) -> MediaRef:
        """The reference with the protocol's rule where it states none."""
        bounds = {key: value for key, value in self.media.items() if value and not getattr(ref, key)}
        if ref.kind != "video":
            bounds = {key: value for key, value in bounds.items() if key in ("min_pixels", "max_pixels")}
        return replace(ref, **bounds)


def _rule_of(media: MediaRule) -> dict[str, Any]:
    """The rule's fields. An empty caption is left out: released protocols without one keep their hash."""
    return {key: value for key, value in media.model_dump().items() if value or key != "caption"}


def _check(text: str, where: str) -> None:
    if "{question}" not in text:
        raise UserError(f"{where}: the template has no {{question}}")


def _with_media(sample: Sample, message: Message, text: str) -> tuple[Part, ...]:
    """The message's media, then the text; media that the text places stand there and nowhere else."""
    if not sample.metadata.get("inline_images"):
        return (*(part for part in message.parts if part.type != "text"), Part("text", text))
    body = _placed(sample, text)
    placed = {part.media for part in body if part.type != "text"}
    front = [Part(ref.kind, media=index) for index, ref in enumerate(sample.media) if index not in placed]
    return (*front, *body)


def _placed(sample: Sample, text: str) -> list[Part]:
    """The text with its marks turned into media. Raises UserError for a mark without a medium."""
    parts, end = [], 0
    for mark in _MARKS.finditer(text):
        index = int(mark.group(1)) - 1
        if not 0 <= index < len(sample.media):
            raise UserError(f"sample {sample.id}: {mark.group()} in the text, but {len(sample.media)} media")
        if mark.start() > end:
            parts.append(Part("text", text[end : mark.start()]))
        parts.append(Part(sample.media[index].kind, media=index))
        end = mark.end()
    return [*parts, Part("text", text[end:])] if end < len(text) else parts
