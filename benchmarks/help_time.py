"""Seconds that `mmreason --help` takes, as a process: the claim is under 0.5 s.

python benchmarks/help_time.py
"""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median

RUNS = 10


def main() -> None:
    """Print the median, fastest and slowest of ten runs after one to warm the file cache."""
    seconds = []
    for _ in range(RUNS + 1):
        begun = time.monotonic()
        subprocess.run([sys.executable, "-m", "mmreason.cli", "--help"], check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.monotonic() - begun)
    kept = sorted(seconds[1:])
    print(f"mmreason --help: median {median(kept):.3f} s, fastest {kept[0]:.3f} s, slowest {kept[-1]:.3f} s")


if __name__ == "__main__":
    main()
