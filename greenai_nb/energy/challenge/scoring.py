"""The workshop's competition: in each band of accuracy, the least energy per image wins.

An entry is a Python file with a function ``predict(images)``: a tensor of (n, 1, 28, 28) in [0, 1] goes
in, n integer classes come out. It may load files from its own folder when it is imported, which
is not metered. It runs in a fresh process without the labels, but with your permissions: read a
stranger's entry before you score it. The labels of a public data set can be looked up, so for a prize,
score on images of your own.
"""

import contextlib
import math
import os
import signal
import stat
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from jaxtyping import Float, Int64
from torch import Tensor

from greenai_nb.checks import positive, whole
from greenai_nb.energy.challenge import worker
from greenai_nb.energy.meter import backend_factory
from greenai_nb.energy.reading import Reading, same_provenance

BANDS = (98, 97, 95, 90, 0)  # a band holds accuracies from here up to the one before, in percent
COLUMNS = ["place", "entry", "band", "accuracy_percent", "energy_uj", "low_uj", "high_uj", "provenance"]
COLUMNS += ["cpu_us", "spread_percent", "machine", "problem"]
MAX_ANSWER = 10_000_000  # bytes; a class takes two
UNREADABLE = "its process left an answer that cannot be read"


@dataclass(frozen=True)
class Score:
    """Accuracy of an entry as a share, and readings of ``images`` images each, or its ``problem``."""

    name: str
    accuracy: float = math.nan
    images: int = 0
    readings: tuple[Reading, ...] = ()
    problem: str = ""

    def __str__(self) -> str:
        if self.problem:
            return f"{self.name}: not scored. {self.problem}"
        energy_uj, how = 1e6 * self.median.energy_j / self.images, self.median.provenance
        return f"{self.name}: {self.accuracy:.2%} right, {energy_uj:.3g} µJ an image ({how})"

    @property
    def median(self) -> Reading:
        """The reading of the round whose energy is the median."""
        return sorted(self.readings)[len(self.readings) // 2]


def score(
    file: Path,
    images: Float[Tensor, "images 1 height width"],
    labels: Int64[Tensor, " images"],
    *,
    batch: int = 100,
    rounds: int = 7,
    round_s: float = 0.25,
    limit_s: float = 60.0,
    threads: int = 1,
    seed: int = 0,
    backend: str = "auto",
) -> Score:
    """Accuracy and energy of an entry, from rounds of batches in a fresh process.

    A round passes over the images in an order drawn from ``seed``, as often as fits into ``round_s``.
    ``backend`` is that of ``Meter``. Whatever goes wrong, a crash, an exit, a wrong answer, more than
    ``limit_s`` seconds in all, becomes a sentence in the score's ``problem``. Raises ``ValueError``
    for a number that is not positive, an unknown back end, and more or fewer labels than images.
    """
    whole(batch=batch, rounds=rounds, threads=threads, images=len(images))
    positive(round_s=round_s, limit_s=limit_s)
    if len(images) != len(labels):
        raise ValueError(f"there must be a label for each image, got {len(labels)} for {len(images)}")
    backend_factory(backend, {})
    file = Path(file).resolve()
    if not file.is_file():
        return Score(file.stem, problem=f"there is no file {file.name}")
    with tempfile.TemporaryDirectory() as folder:
        task = worker.Task(batch, rounds, round_s, threads, seed, backend)
        Path(folder, worker.TASK).write_bytes(msgspec.json.encode(task))
        np.save(Path(folder, worker.IMAGES), images.numpy(force=True))
        answer = _run(file, Path(folder), limit_s)
    if answer.problem:
        return Score(file.stem, problem=answer.problem)
    if (len(answer.classes), len(answer.readings)) != (len(labels), rounds) or answer.images < 1:
        return Score(file.stem, problem=f"{UNREADABLE}, which has other lengths than were asked for")
    right = float(np.mean(np.array(answer.classes) == labels.numpy(force=True)))
    return Score(file.stem, right, answer.images, tuple(answer.readings))


def leaderboard(scores: Sequence[Score]) -> pd.DataFrame:
    """The table of scores: by band from the highest, then by energy from the least, failures last.

    Energies are those of the median round, in microjoules per image, with the bounds of its reading.
    ``spread_percent`` is the spread of CPU time over the rounds: smaller differences mean nothing.
    Raises ``ProvenanceError`` where energies were obtained in several ways: they cannot be ranked.
    """
    done = [each for each in scores if not each.problem]
    same_provenance("ranked", *(reading for each in done for reading in each.readings))
    done.sort(key=lambda each: (_band(each), each.median.energy_j / each.images))
    rows = [_row(each) | {"place": place} for place, each in enumerate(done, 1)]
    rows += [{"entry": each.name, "problem": each.problem} for each in scores if each.problem]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"place": "Int64"})


def _band(score: Score) -> int:
    return next(band for band, low in enumerate(BANDS) if 100 * score.accuracy >= low)


def _row(score: Score) -> dict[str, Any]:
    band, reading, cpu_s = _band(score), score.median, [each.cpu_s for each in score.readings]
    return {
        "entry": score.name,
        "band": f"{BANDS[band]} to {BANDS[band - 1]} %" if band else f"{BANDS[0]} % and more",
        "accuracy_percent": 100 * score.accuracy,
        "energy_uj": 1e6 * reading.energy_j / score.images,
        "low_uj": 1e6 * reading.low_j / score.images,
        "high_uj": 1e6 * reading.high_j / score.images,
        "provenance": reading.provenance,
        "cpu_us": 1e6 * statistics.median(cpu_s) / score.images,
        "spread_percent": 100 * (max(cpu_s) - min(cpu_s)) / statistics.median(cpu_s),
        "machine": sum(score.readings[1:], score.readings[0]).contamination,
        "problem": "",
    }


def _run(file: Path, folder: Path, limit_s: float) -> worker.Answer:
    """The answer of an entry's process, which is ended with all that it started before this returns."""
    command = [sys.executable, "-P", "-m", worker.__name__, str(file), str(folder)]
    log = folder / "log.txt"
    with log.open("w") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return worker.Answer(problem=f"it took more than {limit_s:g} s and was stopped")
        finally:
            _end(process)
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        path = folder / worker.ANSWER
        about = path.lstat()  # reading a pipe might not end, and a link may lead anywhere
        if not stat.S_ISREG(about.st_mode) or about.st_size > MAX_ANSWER:
            return worker.Answer(problem=f"{UNREADABLE}: no file of at most {MAX_ANSWER} bytes")
        try:
            return msgspec.json.decode(path.read_bytes(), type=worker.Answer)
        except (OSError, ValueError) as error:
            return worker.Answer(problem=f"{UNREADABLE} ({error})")
    ended = f"ended with code {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"
    last = log.read_text(errors="replace").strip().splitlines()[-1:] if log.is_file() else []
    said = f"its process {ended} before it had answered{''.join(f': {x}' for x in last)}"
    return worker.Answer(problem=said)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process, and on POSIX everything in its session."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()
