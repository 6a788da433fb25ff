"""What stands before each frame of a clip whose frames are shown one by one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import Formatter

from mmreason.errors import UserError

_HOLES = ("number", "seconds")
_FORM = re.compile(r"0?\d?(\.\d)?[df]?")
"""Width, decimals and kind; short, so that a caption from a file cannot ask for a gigabyte of blanks."""


def captions(template: str, seconds: Sequence[float]) -> list[str]:
    """The template for each frame: {number} counts from 1, {seconds} is when the frame appears in the clip.

    Raises UserError for a template with another hole or form.
    """
    _check(template)
    return [template.format(number=number, seconds=second) for number, second in enumerate(seconds, start=1)]


def _check(template: str) -> None:
    good = "write for example 'Frame {number} ({seconds:.1f} s): '"
    try:
        for _, name, form, turned in Formatter().parse(template):
            if name is not None and (name not in _HOLES or turned or not _FORM.fullmatch(form or "")):
                raise UserError(f"caption {template!r} has a hole for {name!r} in form {form!r}; {good}")
        template.format(number=1, seconds=0.0)
    except ValueError as error:
        raise UserError(f"caption {template!r} cannot be filled ({error}); {good}") from None
