"""The child process of `guard`: requests on standard input, a line of JSON each; answers on standard output.

An answer is the length of its header (4 bytes), the header as JSON, and as many bytes as that announces.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mmreason.errors import UserError
from mmreason.media import video


def main() -> None:
    """Serve until standard input ends, which it does when the parent is gone."""
    memory = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (memory, resource.getrlimit(resource.RLIMIT_AS)[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, whose end ends this loop
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not stand among the answers
    for line in sys.stdin.buffer:
        request = json.loads(line)
        path = Path(request["path"])
        try:
            if request["do"] == "probe":
                _probe(out, path)
            else:
                _read(out, path, request["indices"])
        except UserError as error:
            _send(out, {"error": str(error)})
        except MemoryError:
            told = f"clip {str(path)!r} needs over {memory >> 20} MiB to read; re-encode it smaller or leave it out"
            _send(out, {"error": told})
        out.flush()


def _probe(out: BinaryIO, path: Path) -> None:
    info = video.probe(path)
    names = ("frames", "fps", "duration", "width", "height", "first")
    _send(out, {"info": {name: getattr(info, name) for name in names}}, info.times)


def _read(out: BinaryIO, path: Path, indices: list[int]) -> None:
    """Each frame as soon as it is decoded, then for each wanted index the place of its frame among those sent."""
    sent = 0

    def send(frame: np.ndarray) -> int:
        nonlocal sent
        _send(out, {"shape": frame.shape}, frame)
        sent += 1
        return sent - 1

    places = video.read_frames(path, indices, send)
    _send(out, {"places": places})


def _send(out: BinaryIO, header: dict[str, Any], data: np.ndarray | None = None) -> None:
    size = data.nbytes if data is not None else 0
    text = json.dumps({**header, "bytes": size}).encode()
    out.write(len(text).to_bytes(4, "big") + text)
    if data is not None:
        out.write(np.ascontiguousarray(data).data.cast("B"))


if __name__ == "__main__":
    main()
