"""One object says how a question is put and how its answer is read; its hash goes with every result."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, replace

from mmreason.config import Domain
from mmreason.errors import UserError
from mmreason.records import Message, Part, Role, Sample

READER_VERSION = 1
"""Raise it whenever a grader or the reading of answers changes verdicts: scores under two versions differ."""


@dataclass(frozen=True)
class Protocol:
    """Templates by '<kind>.<lang>', '<lang>' or 'default', with {question} and {options} as the two holes."""

    system_prompt: str | None
    templates: dict[str, str]
    reader_version: int = READER_VERSION

    @classmethod
    def of(cls, domain: Domain) -> Protocol:
        """The protocol that a domain declares."""
        texts = {
            key: (domain.folder / name).read_text(encoding="utf-8").rstrip("\n")
            for key, name in domain.file.prompts.items()
        }
        for key, text in texts.items():
            if "{question}" not in text:
                raise UserError(f"{domain.folder / domain.file.prompts[key]}: the template has no {{question}}")
        return cls(domain.file.system_prompt, texts)

    @property
    def hash(self) -> str:
        """First 16 hex digits of the SHA-256 over all fields."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    def template(self, sample: Sample) -> str:
        """The most specific template for the sample's answer kind and language."""
        kind, lang = sample.answer.kind.value, sample.answer.lang
        multi = [f"{kind}-multi.{lang}"] if sample.answer.multi else []
        for key in (*multi, f"{kind}.{lang}", lang, kind, "default"):
            if key in self.templates:
                return self.templates[key]
        raise UserError(f"sample {sample.id}: no prompt for {kind}.{lang}; declare one of it, {lang!r} or 'default'")

    def apply(self, sample: Sample) -> Sample:
        """Put the sample's bare question into the template; media stay where they were."""
        if "prompted" in sample.metadata:
            raise ValueError(f"sample {sample.id} already carries the prompt of protocol {sample.metadata['prompted']}")
        template = self.template(sample)
        options = "\n".join(f"{letter}. {text}" for letter, text in sample.answer.options.items())
        if options and "{options}" not in template:
            template += "\n{options}"
        messages = list(sample.messages)
        last = max(index for index, message in enumerate(messages) if message.role is Role.USER)
        media = tuple(part for part in messages[last].parts if part.type != "text")
        holes = {"{question}": messages[last].text, "{options}": options}
        # One pass, so that braces in a question are text and not holes.
        text = re.sub(r"\{question\}|\{options\}", lambda hole: holes[hole.group()], template)
        messages[last] = replace(messages[last], parts=(*media, Part("text", text)))
        if self.system_prompt and messages[0].role is not Role.SYSTEM:
            messages.insert(0, Message.of(Role.SYSTEM, self.system_prompt))
        return replace(sample, messages=tuple(messages)).with_meta(prompted=self.hash)
