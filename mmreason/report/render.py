"""The template environment of pages (HTML) and cards (Markdown): everything not marked safe is escaped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

_TEMPLATES = Path(__file__).parent / "templates"
_MARKDOWN = str.maketrans({"<": "&lt;", ">": "&gt;", "|": "\\|", "`": "'", "[": "\\[", "]": "\\]", "\n": " "})


def percent(value: float, digits: int = 1) -> str:
    """0.1234 -> '12.3 %'."""
    return f"{100 * value:.{digits}f} %"


def interval(value: dict[str, Any]) -> str:
    """'12.3 % [10.1, 14.9]' of an interval as results files hold it."""
    return f"{percent(value['mean'])} [{100 * value['low']:.1f}, {100 * value['high']:.1f}]"


def shown(value: Any) -> str:
    """A setting or metadata value in short: absent ones as a dash, numbers without tails."""
    if value is None or value in ("", [], {}):
        return "-"
    if isinstance(value, float):
        return f"{value:g}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _environment(folder: Path, **options: Any) -> Environment:
    environment = Environment(  # autoescape is passed by both callers: HTML on, Markdown through `finalize`
        loader=FileSystemLoader(folder), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, **options
    )
    environment.filters |= {"percent": percent, "interval": interval, "shown": shown}
    return environment


def render_html(template: str, **values: Any) -> str:
    """Render a page of `templates/`; strings from models and data are escaped by the environment."""
    return _environment(_TEMPLATES, autoescape=True).get_template(template).render(**values)


def _plain(value: Any) -> Any:
    """Markdown cannot be broken out of: no tags, table cells, links or lines come from a value."""
    return value if isinstance(value, Markup) else str(value).translate(_MARKDOWN)


def render_markdown(path: Path, **values: Any) -> str:
    """Render a Markdown template file; every value but `Markup` loses what would be markup."""
    return _environment(path.parent, autoescape=False, finalize=_plain).get_template(path.name).render(**values)
