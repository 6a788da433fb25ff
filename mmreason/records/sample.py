"""Sample and its parts: the record that readers make, pipelines filter, trainers and suites consume."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any


class AnswerKind(StrEnum):
    """What the gold answer is, which decides the grader."""

    CHOICE = "choice"
    """Option letters; `Answer.multi` when several may be right."""
    NUMBER = "number"
    """One number, perhaps a percentage or with a scale word; yes/no golds of comparison programs too."""
    JUDGEMENT = "judgement"
    """One of a few labels with polarity (yes/no, compliant/violation), in `Answer.aliases`."""
    MATH = "math"
    """A mathematical expression in LaTeX."""
    SPAN = "span"
    """A piece of the given text."""
    SET = "set"
    """Several spans, order free."""
    FREE = "free"
    """Free text, judged by a model or by overlap."""
    INTERVAL = "interval"
    """One or more time intervals in seconds, as JSON [[start, end], ...]."""
    BOX = "box"
    """One box in pixels, as JSON [left, top, right, bottom]."""
    FRAMES = "frames"
    """A set of frame numbers or times, as a JSON list."""
    REGRESSION = "regression"
    """A measured number, graded by how near the answer comes."""
    OCR = "ocr"
    """Text read from a picture, graded by characters."""
    PROGRAM = "program"
    """A FinQA program; the gold value is what it executes to."""


class Role(StrEnum):
    """Who speaks a message."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class Answer:
    """The gold answer and what a grader must know to compare with it."""

    kind: AnswerKind
    gold: str
    """Choice: sorted letters ("ACD"). Number: as printed ("0.93464", "-12.5%"). Else the text."""
    options: dict[str, str] = field(default_factory=dict)
    """Letter -> text, for choices."""
    multi: bool = False
    """Several letters may be right."""
    asks_percent: bool = False
    """The question asks for a percentage, so 93.46 may mean 0.9346."""
    scale: str = ""
    """Scale word that the question or table states for bare numbers ("million"), else empty."""
    aliases: dict[str, list[str]] = field(default_factory=dict)
    """Label -> accepted wordings, for judgements; for spans and free text the one key "also" lists other golds."""
    lang: str = "en"
    threshold: float | None = None
    """How much credit counts as right, for kinds with partial credit (least IoU, ...); None: the kind's own."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a sample comes from, so that leakage and licence can be checked."""

    dataset: str
    split: str
    licence: str
    row: str
    """Id of the row in the released file."""
    document: str = ""
    """The report, page or dialogue it was cut from; split by this, never by row."""


@dataclass(frozen=True, slots=True)
class MediaRef:
    """One picture or clip. `tokens` is what the model's processor must produce; checked before each forward."""

    sha256: str
    kind: str
    """"image" or "video"."""
    path: str
    """Relative to the data root; a folder for a clip that comes as single frames."""
    tokens: int
    """Expected placeholder tokens under `min_pixels`/`max_pixels`, of all frames together; 0 until a processor is
    chosen."""
    min_pixels: int = 0
    """Bounds of one picture or frame; 0: the processor's own."""
    max_pixels: int = 0
    frame_rule: str = ""
    """Which frames of a clip are looked at, see `media.frame_rules`; empty for pictures."""
    start: float | None = None
    """Seconds; the part of a clip that is asked about. None: from its beginning."""
    end: float | None = None
    fps: float = 0.0
    """Frames a second of a folder of frames; 0 for files, which carry their own times."""
    total_pixels: int = 0
    """Bound over all frames of a clip together; 0: none."""
    caption: str = ""
    """Text before each frame of a clip whose frames stand one by one as pictures, with the holes {number} (from 1) and
    {seconds}; empty: the clip is one video. See `media.captions`."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a message: text, or a reference into `Sample.media`."""

    type: str
    """"text", "image" or "video"."""
    text: str = ""
    media: int = -1


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of the conversation."""

    role: Role
    parts: tuple[Part, ...]

    @classmethod
    def of(cls, role: Role, text: str, images: int = 0) -> Message:
        """A turn with `images` pictures (media 0..images-1) before its text."""
        pictures = tuple(Part("image", media=index) for index in range(images))
        return cls(role, (*pictures, Part("text", text)))

    @classmethod
    def about(cls, text: str, media: tuple[MediaRef, ...]) -> Message:
        """The user's turn about all of `media`, in order before the text."""
        shown = (Part(ref.kind, media=index) for index, ref in enumerate(media))
        return cls(Role.USER, (*shown, Part("text", text)))

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.parts)


def _fields(record: Any) -> dict[str, Any]:
    """One level of a slotted record; `dataclasses.asdict` copies every table cell, a third of the data stage's time."""
    return {name: getattr(record, name) for name in record.__slots__}


@dataclass(frozen=True, slots=True)
class Sample:
    """One question. An SFT sample's messages end with the assistant's turn; an RL sample's do not."""

    id: str
    source: Source
    messages: tuple[Message, ...]
    answer: Answer
    media: tuple[MediaRef, ...] = ()
    evidence: dict[str, Any] = field(default_factory=dict)
    """Gold evidence where known: times, boxes, facts, program."""
    difficulty: float | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def prompt(self) -> tuple[Message, ...]:
        """The messages without a closing assistant turn."""
        return self.messages[:-1] if self.messages and self.messages[-1].role is Role.ASSISTANT else self.messages

    @property
    def question(self) -> str:
        """Text of the user turns."""
        return "\n".join(m.text for m in self.messages if m.role is Role.USER)

    @property
    def response(self) -> str | None:
        """The closing assistant turn, None for an RL sample."""
        return self.messages[-1].text if self.messages and self.messages[-1].role is Role.ASSISTANT else None

    def with_response(self, text: str) -> Sample:
        """The SFT form of this sample."""
        return replace(self, messages=(*self.prompt, Message.of(Role.ASSISTANT, text)))

    def without_response(self) -> Sample:
        """The RL form of this sample."""
        return replace(self, messages=self.prompt)

    def with_meta(self, **values: Any) -> Sample:
        """A copy with metadata added."""
        return replace(self, metadata={**self.metadata, **values})

    def to_dict(self) -> dict[str, Any]:
        """Plain nested dictionary, JSON-ready. Evidence and metadata are the sample's own, not copies."""
        return {
            **_fields(self),
            "source": _fields(self.source),
            "messages": [{"role": m.role, "parts": [_fields(part) for part in m.parts]} for m in self.messages],
            "answer": _fields(self.answer),
            "media": [_fields(reference) for reference in self.media],
        }

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> Sample:
        """Inverse of `to_dict`."""
        answer = dict(row["answer"])
        answer["kind"] = AnswerKind(answer["kind"])
        return cls(
            id=row["id"],
            source=Source(**row["source"]),
            messages=tuple(
                Message(Role(m["role"]), tuple(Part(**part) for part in m["parts"])) for m in row["messages"]
            ),
            answer=Answer(**answer),
            media=tuple(MediaRef(**ref) for ref in row["media"]),
            evidence=row["evidence"],
            difficulty=row["difficulty"],
            metadata=row["metadata"],
        )
