"""What is published says nothing of the machine that made it: paths are cut, the facts beside them stay."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

from mmreason.project import project_dir

_PATH = re.compile(r"((?:-{0,2}[\w.-]+=)?)((?:~/|[A-Za-z]:\\|/[^/\n]+/)[^\n]*)")
"""A string that is a path from the root (of two steps at least) or a home folder, a setting's name before it or not.
Only whole strings: what reads like a path inside a prompt or an answer is text."""


_PICTURE = re.compile(r'<img alt="picture of the question"[^>]*>')
"""As `report.shown_media` writes it; its bytes are inline base64, so no '>' stands inside."""


def without_pictures(page: str) -> str:
    """A report without the data sets' pictures: what a model may learn from may not always be passed on."""
    return _PICTURE.sub("<small>(picture of the data set, not republished)</small>", page)


def known_roots(run: Path, manifest: dict[str, Any]) -> dict[str, str]:
    """Folder -> word that stands for it: the run, its data, base model, domain, the project, home, temporary files."""
    roots = {str(run): "RUN", str(project_dir()): "PROJECT"}
    if data := manifest.get("settings", {}).get("data_dir"):
        roots[str(data)] = "DATA"
    if domain := manifest.get("domain", {}).get("folder"):
        roots[str(domain)] = "DOMAIN"
    model = manifest.get("settings", {}).get("recipe", {}).get("model", {}).get("path")
    if model and Path(model).is_absolute():
        roots[str(model)] = Path(model).name
    return roots | {str(Path.home()): "HOME", tempfile.gettempdir(): "TMP"}


def scrub_text(text: str, roots: dict[str, str]) -> str:
    """Put the words for the known folders, the longest first; all else stays, addresses such as a.org/tmp too."""
    for folder in sorted((root for root in roots if len(root) > 1), key=len, reverse=True):
        text = re.sub(rf"(?<![\w./-]){re.escape(folder)}(?![\w-])", roots[folder].replace("\\", "\\\\"), text)
    return text


def scrub(value: Any, roots: dict[str, str]) -> Any:
    """The same for every string of a JSON value; of a string that is another absolute path the last step stays."""
    if isinstance(value, dict):
        return {key: scrub(item, roots) for key, item in value.items()}
    if isinstance(value, list):
        return [scrub(item, roots) for item in value]
    if not isinstance(value, str):
        return value
    text = scrub_text(value, roots)
    path = _PATH.fullmatch(text)
    return path.group(1) + re.split(r"[/\\]", path.group(2).rstrip("/\\"))[-1] if path else text


def public_manifest(manifest: dict[str, Any], roots: dict[str, str]) -> dict[str, Any]:
    """The manifest without paths, host and kernel build; versions, seeds, hashes and settings whole."""
    domain = {key: value for key, value in manifest.get("domain", {}).items() if key != "folder"}
    starts = [{**start, "hardware": _hardware(start)} for start in manifest.get("starts", [])]
    kept: dict[str, Any] = scrub(
        {**manifest, "domain": domain, "hardware": _hardware(manifest), "starts": starts}, roots
    )
    return kept


def _hardware(part: dict[str, Any]) -> dict[str, Any]:
    """Hardware with the system's name alone in place of its build."""
    hardware = dict(part.get("hardware", {}))
    return hardware | ({"platform": str(hardware["platform"]).split("-")[0]} if "platform" in hardware else {})
