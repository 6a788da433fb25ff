"""What one turn of the model is: a call of the frame tool, a call that fails, or the final answer.

Format and rules are those of the Hermes calls that Qwen's models know, as Pixel Reasoner's code uses them (EARL's own
are unknown): a turn is a call if it ends, up to ten characters, with the closing tag, and the last call in it counts.
Anything else is the final turn, look-alikes of the tags included. Time is linear in the text.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

TOOL = "select_frames"
ARGUMENT = "target_frames"
OPEN, CLOSE = "<tool_call>", "</tool_call>"
SLACK = 10
"""Characters that may stand behind the closing tag, blanks at the very end not counted [Pixel Reasoner]."""
LONGEST_CALL = 2000
"""Characters of a call that is parsed: eight frames take a twentieth of it, and nesting cannot go deep."""
_SHOWN = 24
"""Characters of what the model wrote that a reason repeats."""


class Kind(StrEnum):
    """What a turn is."""

    CALL = "call"
    ANSWER = "answer"
    ERROR = "error"
    """A call that cannot be executed."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn as read."""

    kind: Kind
    selected: tuple[int, ...] = ()
    """Places among the frames shown, from 0, ascending, each once; empty unless `kind` is CALL."""
    error: str = ""
    """Why the call fails, as the model is told."""


class _Refused(Exception):
    """A call that cannot be executed; the reason is its text."""


def is_call(text: str) -> bool:
    """Whether the turn ends with a closed tool call."""
    text = text.rstrip()
    return CLOSE in text[-len(CLOSE) - SLACK :]


def read_turn(text: str, shown: int, most: int) -> Turn:
    """Read a turn that was said when `shown` frames could be named, at most `most` of them at once.

    Frames are named from 1; naming one twice names it once.
    """
    if not is_call(text):
        return Turn(Kind.ANSWER)
    try:
        return Turn(Kind.CALL, _selection(_arguments(_last_call(text)), shown, most))
    except _Refused as refused:
        return Turn(Kind.ERROR, error=str(refused))


def write_call(selected: list[int] | tuple[int, ...]) -> str:
    """The call that names these places, counted from 0."""
    arguments = {ARGUMENT: [place + 1 for place in selected]}
    return f"{OPEN}{json.dumps({'name': TOOL, 'arguments': arguments})}{CLOSE}"


def _last_call(text: str) -> str:
    """What stands between the last opening tag and the closing tag at the end."""
    close = text.rstrip().rfind(CLOSE)
    start = text.rfind(OPEN, 0, close)
    body = text[start + len(OPEN) : close]
    if start < 0 or CLOSE in body:
        raise _Refused("the tool call is closed but was not opened")
    if len(body) > LONGEST_CALL:
        raise _Refused(f"the tool call has {len(body)} characters, at most {LONGEST_CALL} are read")
    return body


def _arguments(body: str) -> dict[str, Any]:
    """The arguments of a call of our tool."""
    try:
        call = json.loads(body, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise _Refused("the tool call is no valid JSON") from None
    if not isinstance(call, dict) or "name" not in call:
        raise _Refused(f'the tool call is no object with "name" and "arguments": found {_short(call)}')
    if call["name"] != TOOL:
        raise _Refused(f"unknown tool {_short(call['name'])}, the only one is {TOOL}")
    arguments = call.get("arguments")
    if not isinstance(arguments, dict) or ARGUMENT not in arguments:
        raise _Refused(f'the arguments must be {{"{ARGUMENT}": [numbers]}}')
    return arguments


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; one that states a key twice has no single meaning."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _selection(arguments: dict[str, Any], shown: int, most: int) -> tuple[int, ...]:
    named = arguments[ARGUMENT]
    if not isinstance(named, list):
        raise _Refused(f"{ARGUMENT} must be a list of frame numbers, found {_short(named)}")
    odd = [number for number in named if type(number) is not int]  # a bool is an int to isinstance
    if odd:
        raise _Refused(f"frame numbers must be whole numbers, found {_short(odd[0])}")
    outside = [number for number in named if not 1 <= number <= shown]
    if outside:
        raise _Refused(f"frame {_short(outside[0])} is not among 1 to {shown}")
    places = sorted({number - 1 for number in named})
    if not places:
        raise _Refused("no frame is named")
    if len(places) > most:
        raise _Refused(f"{len(places)} frames are named, at most {most} can be")
    return tuple(places)


def _short(value: Any) -> str:
    """A value as ASCII JSON, cut."""
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
