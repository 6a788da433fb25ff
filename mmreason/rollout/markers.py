"""A reply as ids: what the chat template puts around it, its text, its pictures.

What stands between two turns is taken from the chat template once, as ids; an environment's text is tokenised by
itself, and special tokens inside it stay plain text.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from mmreason.errors import UserError
from mmreason.models.codec import Codec
from mmreason.models.medium import Medium
from mmreason.models.tokenizer import IMAGE_PAD
from mmreason.rollout.environment import Reply

_ANSWER, _REPLY = "ANSWERPLACE", "REPLYPLACE"


@dataclass(frozen=True, slots=True)
class Markers:
    """Ids that the chat template puts between an assistant's text and the assistant's next text."""

    opens: tuple[int, ...]
    """Ends the assistant's turn (its first id is the end of turn) and begins the reply."""
    closes: tuple[int, ...]
    """Ends the reply and begins the assistant's next turn."""
    picture: tuple[tuple[int, ...], tuple[int, ...]] | None
    """What stands before and after a picture's placeholders; None for a text-only template."""

    @classmethod
    def of(cls, codec: Codec, role: str = "user") -> Markers:
        """Read from the template of `codec` for replies of `role` ("user", or "tool" where the template has it)."""
        return _read(codec, role)

    @classmethod
    def read(cls, codec: Codec, role: str) -> Markers:
        """As `of`, from the template anew."""
        opens, closes = _between(codec, role, _REPLY)
        ids = tuple(codec.tokenizer.encode(opens, add_special_tokens=False))
        if not ids or ids[0] != codec.eos_id:
            raise UserError(f"the chat template goes on from an answer with {opens!r}, not with the end of turn")
        if codec.images is None:
            return cls(ids, tuple(codec.tokenizer.encode(closes, add_special_tokens=False)), None)
        shown, _ = _between(codec, role, [{"type": "image"}, {"type": "text", "text": _REPLY}])
        before, _, after = shown.removeprefix(opens).partition(IMAGE_PAD)
        encoded = [tuple(codec.tokenizer.encode(text, add_special_tokens=False)) for text in (closes, before, after)]
        return cls(ids, encoded[0], (encoded[1], encoded[2]))


@lru_cache(maxsize=8)
def _read(codec: Codec, role: str) -> Markers:
    """A cold start asks once a trace, a template takes milliseconds."""
    return Markers.read(codec, role)


def _between(codec: Codec, role: str, content: Any) -> tuple[str, str]:
    """Template text from the end of an answer to a reply, and from there to the next answer."""
    chat = [
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": _ANSWER},
        {"role": role, "content": content},
    ]
    text = str(codec.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True))
    opens, found, closes = text.partition(_ANSWER)[2].partition(_REPLY)
    if not found:
        raise UserError(f"the chat template does not show what the role {role!r} says after an answer")
    return opens, closes


def observation(
    codec: Codec, markers: Markers, reply: Reply, ended: bool, sample: str
) -> tuple[list[int], list[Medium]]:
    """Ids of a reply with its markers, and its pictures. `ended`: the model wrote the end of turn itself.

    A reply inside the assistant's turn has no markers, unless that turn has ended.
    """
    inside = reply.inside and not ended
    ids = [] if inside else list(markers.opens[1:] if ended else markers.opens)
    media: list[Medium] = []
    for part in reply.parts:
        if isinstance(part, str):
            ids += codec.tokenizer.encode(part, add_special_tokens=False, split_special_tokens=True)
            continue
        if markers.picture is None:
            raise UserError(f"sample {sample}: the environment replied with a picture, but the model reads text only")
        medium = part if isinstance(part, Medium) else codec.patches(part.convert("RGB"))
        ids += [*markers.picture[0], *[codec.visual_ids[0]] * medium.num_tokens(codec.merge), *markers.picture[1]]
        media.append(medium)
    return ids if inside else [*ids, *markers.closes], media
