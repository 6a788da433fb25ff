"""Between samples and ids: chat template, picture tensors, and a check that pictures make the tokens they promised."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from mmreason.errors import UserError
from mmreason.media.files import open_image
from mmreason.models.medium import Medium
from mmreason.models.tokenizer import IMAGE_PAD, VIDEO_PAD
from mmreason.records import MediaRef, Sample


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
    ) -> None:
        self.tokenizer = tokenizer
        self.images = images
        self.media_root = media_root
        vocabulary = tokenizer.get_vocab()
        self.visual_ids = [vocabulary[token] for token in (IMAGE_PAD, VIDEO_PAD) if token in vocabulary]
        """Ids that stand for visual features; sampling must never produce them."""
        self.eos_id: int = tokenizer.eos_token_id
        self.pad_id: int = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id

    @classmethod
    def load(cls, path: str | Path, media_root: Path | None = None) -> Codec:
        """From a checkpoint folder or hub name."""
        tokenizer = AutoTokenizer.from_pretrained(path)
        if not tokenizer.chat_template:
            raise UserError(f"the tokenizer of {path} has no chat template; use an instruction model")
        try:
            images = Qwen2VLImageProcessorPil.from_pretrained(path)
        except OSError:
            images = None  # a text-only checkpoint has no preprocessor_config.json
        return cls(tokenizer, images, media_root)

    @property
    def opens_think(self) -> bool:
        """Whether the chat template itself writes the opening think tag of an answer."""
        chat = [{"role": "user", "content": "?"}]
        text = self.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        return str(text).rstrip().endswith("<think>")

    def encode(self, sample: Sample) -> Encoded:
        """The sample's prompt with the opening of the assistant's turn. Raises UserError on picture trouble."""
        text = str(self.tokenizer.apply_chat_template(self._chat(sample), tokenize=False, add_generation_prompt=True))
        if not sample.media:
            return Encoded(self.tokenizer.encode(text, add_special_tokens=False))
        media = self._pictures(sample)
        pieces = text.split(IMAGE_PAD)
        if len(pieces) != len(media) + 1:
            places = len(pieces) - 1
            raise UserError(f"sample {sample.id}: {len(media)} pictures, {places} places for them in the text")
        marks = [IMAGE_PAD * medium.num_tokens(self.merge) for medium in media]
        full = pieces[0] + "".join(mark + piece for mark, piece in zip(marks, pieces[1:], strict=True))
        return Encoded(self.tokenizer.encode(full, add_special_tokens=False), media)

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

    def num_tokens(self, ref: MediaRef) -> int:
        """Visual tokens that a picture makes under this checkpoint's processor; reads the file."""
        return self.picture(ref).num_tokens(self.merge)

    def _chat(self, sample: Sample) -> list[dict[str, Any]]:
        """Messages for the template: plain strings where no media are, so that text-only templates work."""
        chat: list[dict[str, Any]] = []
        for message in sample.prompt:
            if all(part.type == "text" for part in message.parts):
                chat.append({"role": message.role.value, "content": message.text})
                continue
            content = [
                {"type": "text", "text": part.text} if part.type == "text" else {"type": part.type}
                for part in message.parts
            ]
            chat.append({"role": message.role.value, "content": content})
        return chat

    def _pictures(self, sample: Sample) -> tuple[Medium, ...]:
        if self.images is None:
            raise UserError(f"sample {sample.id} has {len(sample.media)} pictures, but the model reads text only")
        order = [
            sample.media[part.media] for message in sample.prompt for part in message.parts if part.type == "image"
        ]
        media = tuple(self.picture(ref) for ref in order)
        for ref, medium in zip(order, media, strict=True):
            count = medium.num_tokens(self.merge)
            if ref.tokens and ref.tokens != count:
                raise UserError(
                    f"sample {sample.id}: {ref.path} was recorded with {ref.tokens} visual tokens, "
                    f"this model's processor makes {count}; build the data again for this model"
                )
        return media

    def picture(self, ref: MediaRef) -> Medium:
        """The patches of a picture file. Raises UserError where the checkpoint has no processor."""
        if self.images is None or self.media_root is None:
            raise UserError(f"{ref.path}: no picture processor or no data folder to read it from")
        return self.patches(open_image(self.media_root, ref))

    def patches(self, picture: Image.Image) -> Medium:
        """The patches of a picture in memory, for example one that a tool returns."""
        assert self.images is not None
        made = self.images(images=[picture], return_tensors="pt")
        frames, rows, columns = made["image_grid_thw"][0].tolist()
        return Medium(made["pixel_values"], (frames, rows, columns))
