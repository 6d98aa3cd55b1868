"""How long the walk takes, how much memory a kernel needs, and how fast the package imports."""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _report import Row, report

from greenai_nb import machine

IMPORT_TRIES = 9


def seconds(*command: str) -> float:
    """Wall seconds of a command that must succeed."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def import_seconds() -> float:
    """Median time of ``import greenai_nb``, as the interpreter measures it inside itself."""
    code = "import time; t = time.perf_counter(); import greenai_nb; print(time.perf_counter() - t)"
    tries = [
        float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout)
        for _ in range(IMPORT_TRIES)
    ]
    return statistics.median(tries)


def walk(profile: str, out: Path, limit_s: float) -> list[Row]:
    """The walk of one size in a new folder, and a second call that has nothing to do."""
    command = ("-m", "greenai_nb.suite", "run", "--profile", profile, "--out", str(out))
    first, second = seconds(*command), seconds(*command)
    stamps = [json.loads(path.read_text())["metadata"]["greenai"] for path in out.glob("*.ipynb")]
    peak = max(stamp["peak_ram_mb"] for stamp in stamps)
    cores = f"{machine.cores()} cores"
    return [
        Row(f"walk at {profile} size, {cores}", first, "s", f"at most {limit_s:g}", first <= limit_s),
        Row(f"second call at {profile} size", second, "s", "under 3", second < 3),
        Row(f"largest kernel at {profile} size", peak, "MB", "at most 1000", peak <= 1000),
    ]


def main() -> None:
    """Measure, print and write."""
    start = import_seconds()
    rows = [Row("import greenai_nb, median", start, "s", "under 0.1", start < 0.1)]
    with tempfile.TemporaryDirectory() as folder:
        rows += walk("ci", Path(folder) / "ci", 90)
        rows += walk("tutorial", Path(folder) / "tutorial", 300)
    report(__file__, rows)


if __name__ == "__main__":
    main()
