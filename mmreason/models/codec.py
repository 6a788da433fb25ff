"""Between samples and ids: chat template, pictures and clips, and a check that they make the tokens they promised."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerBase
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from mmreason.errors import UserError
from mmreason.media.clips import Clip
from mmreason.media.store import MediaStore
from mmreason.models.medium import Medium
from mmreason.models.tokenizer import IMAGE_PAD, VIDEO_PAD, VISION_END, VISION_START
from mmreason.models.visual import Visual
from mmreason.records import MediaRef, Part, Sample

_PLACE = re.compile(f"({re.escape(IMAGE_PAD)}|{re.escape(VIDEO_PAD)})")
_PADS = {"image": IMAGE_PAD, "video": VIDEO_PAD}
_STAMPED = ("qwen3_vl",)
"""Model types for which each step of a clip stands by itself behind its time in words."""

Shown = list[tuple[str, Medium]]
"""What stands in a prompt for one reference: media, each behind a text of its own or none."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A prompt as the model sees it."""

    ids: list[int]
    media: tuple[Medium, ...] = ()
    """Pictures and clips in the order of their placeholders."""


class Codec:
    """Tokenizer and, for vision models, picture processor of one checkpoint."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        images: Qwen2VLImageProcessorPil | None,
        media_root: Path | None,
        stamped: bool = False,
        store: MediaStore | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.images = images
        self.media_root = media_root
        self.stamped = stamped
        """Whether the time of each step of a clip is written into the text."""
        self.visual = Visual(images, media_root, store=store) if images is not None else None
        vocabulary = tokenizer.get_vocab()
        self.visual_ids = [vocabulary[token] for token in (IMAGE_PAD, VIDEO_PAD) if token in vocabulary]
        """Ids that stand for visual features, of pictures first; sampling must never produce them."""
        self.eos_id: int = tokenizer.eos_token_id
        self.pad_id: int = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id

    @classmethod
    def load(cls, path: str | Path, media_root: Path | None = None, store: MediaStore | None = None) -> Codec:
        """From a checkpoint folder or hub name; frames of clips are kept in `store`."""
        tokenizer = AutoTokenizer.from_pretrained(path)
        if not tokenizer.chat_template:
            raise UserError(f"the tokenizer of {path} has no chat template; use an instruction model")
        try:
            images = Qwen2VLImageProcessorPil.from_pretrained(path)
        except OSError:
            images = None  # a text-only checkpoint has no preprocessor_config.json
        stamped = images is not None and AutoConfig.from_pretrained(path).model_type in _STAMPED
        return cls(tokenizer, images, media_root, stamped, store)

    @property
    def opens_think(self) -> bool:
        """Whether the chat template itself writes the opening think tag of an answer."""
        chat = [{"role": "user", "content": "?"}]
        text = self.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        return str(text).rstrip().endswith("<think>")

    def encode(self, sample: Sample) -> Encoded:
        """The sample's prompt with the opening of the assistant's turn. Raises UserError on trouble with media."""
        shown = self._shown(sample)
        chat = self._chat(sample, shown)
        text = str(self.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True))
        if not sample.media:
            return Encoded(self.tokenizer.encode(text, add_special_tokens=False))
        media = tuple(medium for part in _places(sample) for _, medium in shown[part.media])
        pieces = _PLACE.split(text)  # places at odd indices
        found, expected = pieces[1::2], [_PADS[medium.kind] for medium in media]
        if found != expected:
            raise UserError(
                f"sample {sample.id}: {len(media)} pictures or clips, {len(found)} places for them in the text "
                f"({' '.join(found)} where {' '.join(expected)} was expected)"
            )
        pieces[1::2] = [self._marks(medium) for medium in media]
        return Encoded(self.tokenizer.encode("".join(pieces), add_special_tokens=False), media)

    def encode_response(self, text: str) -> list[int]:
        """Ids of an assistant turn with its end token, tokenised apart from the prompt as generation sees it."""
        return [*self.tokenizer.encode(text, add_special_tokens=False), self.eos_id]

    def decode(self, ids: list[int]) -> str:
        """Text without special tokens."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))

    @property
    def merge(self) -> int:
        """Patches a side that make one visual token."""
        return int(self.images.merge_size) if self.images is not None else 1

    @property
    def decodes(self) -> int:
        """Picture and clip files decoded so far; questions on the same frames of a clip decode it once."""
        return self.visual.decodes if self.visual is not None else 0

    def media_counts(self) -> dict[str, int]:
        """`decodes`, `decoded_frames` and what the store did, so far; empty where the model reads text only."""
        return self.visual.counts() if self.visual is not None else {}

    def num_tokens(self, ref: MediaRef) -> int:
        """Visual tokens that a picture or clip makes under this checkpoint's processor; reads the file.

        Of a clip no more than one frame is decoded.
        """
        return self._visual(ref.path).num_tokens(ref)

    def _chat(self, sample: Sample, shown: Mapping[int, Shown]) -> list[dict[str, Any]]:
        """Messages for the template: plain strings where no media are, so that text-only templates work."""
        chat: list[dict[str, Any]] = []
        for message in sample.prompt:
            if all(part.type == "text" for part in message.parts):
                chat.append({"role": message.role.value, "content": message.text})
                continue
            content = [item for part in message.parts for item in _items(part, shown)]
            chat.append({"role": message.role.value, "content": content})
        return chat

    def _marks(self, medium: Medium) -> str:
        """Text in place of one placeholder of the template.

        Where times are written the template's own marks stay around the whole clip, as transformers 5.10 and later
        and vLLM keep them.
        """
        count = medium.num_tokens(self.merge)
        if medium.kind == "image" or not self.stamped:
            return _PADS[medium.kind] * count
        step = VISION_START + VIDEO_PAD * (count // medium.grid[0]) + VISION_END
        return "".join(f"<{second:.1f} seconds>{step}" for second in medium.stamps)

    def _shown(self, sample: Sample) -> dict[int, Shown]:
        """What stands in the prompt for each medium by its index; tokens checked."""
        if not sample.media:
            return {}
        if self.visual is None:
            raise UserError(
                f"sample {sample.id} has {len(sample.media)} pictures or clips, but the model reads text only"
            )
        kinds = {part.media: part.type for part in _places(sample)}
        hidden = sorted(set(range(len(sample.media))) - set(kinds))
        if hidden:
            raise UserError(f"sample {sample.id}: no message shows its medium {hidden[0]}; name it in a part")
        return {index: self._shown_at(sample, kind, index) for index, kind in kinds.items()}

    def _shown_at(self, sample: Sample, kind: str, index: int) -> Shown:
        if not 0 <= index < len(sample.media):
            raise UserError(f"sample {sample.id}: a part shows medium {index}, the sample has {len(sample.media)}")
        ref = sample.media[index]
        if ref.kind != kind:
            raise UserError(f"sample {sample.id}: {ref.path} is recorded as {ref.kind}, its part says {kind}")
        try:
            shown = self._visual(ref.path).shown(ref)
        except UserError as error:
            raise UserError(f"sample {sample.id}: {error}") from None
        count = sum(medium.num_tokens(self.merge) for _, medium in shown)
        if ref.tokens and ref.tokens != count:
            raise UserError(
                f"sample {sample.id}: {ref.path} was recorded with {ref.tokens} visual tokens, "
                f"this model's processor makes {count}; build the data again for this model"
            )
        return shown

    def _visual(self, name: str) -> Visual:
        if self.visual is None:
            raise UserError(f"{name}: no picture processor; the model reads text only")
        return self.visual

    def picture(self, ref: MediaRef) -> Medium:
        """The patches of a picture file or of a clip as one. Raises UserError where the checkpoint has no processor."""
        return self._visual(ref.path).medium(ref)

    def clip(self, ref: MediaRef) -> Clip:
        """The clip of a reference: its frame times and which frames the reference chooses; none is decoded."""
        return self._visual(ref.path).clip(ref)

    def frames(self, ref: MediaRef, indices: Sequence[int]) -> list[Medium]:
        """Any frames of a clip as pictures of their own, see `Visual.frames`; each is decoded once."""
        return self._visual(ref.path).frames(ref, indices)

    def patches(self, picture: Image.Image) -> Medium:
        """The patches of a picture in memory, for example one that a tool returns."""
        return self._visual("a picture").patches(picture)


def _places(sample: Sample) -> list[Part]:
    """The parts of the prompt that show media, in order."""
    return [part for message in sample.prompt for part in message.parts if part.type != "text"]


def _items(part: Part, shown: Mapping[int, Shown]) -> list[dict[str, Any]]:
    """A part as the template takes it; a clip in single frames becomes text and picture by turns."""
    if part.type == "text":
        return [{"type": "text", "text": part.text}]
    items: list[dict[str, Any]] = []
    for caption, medium in shown[part.media]:
        items += [{"type": "text", "text": caption}] if caption else []
        items.append({"type": medium.kind})
    return items
