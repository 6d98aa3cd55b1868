"""The process in which an entry of the challenge is metered.

It never sees a label. In the folder given as second argument, ``task.json`` and ``images.npy`` say what
to do; ``answer.json`` will hold what was metered, or a sentence on why nothing was.
"""

import contextlib
import os
import runpy
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import psutil
import torch
from numpy import ndarray as Array
from torch import Tensor

from greenai_nb.energy.meter import Meter
from greenai_nb.energy.reading import Reading
from greenai_nb.machine import adopt_orphans

TASK, IMAGES, ANSWER = "task.json", "images.npy", "answer.json"
CLASSES = 10
CHANGED = 1e-3  # each pass has new batches, so rounding may break a tie differently
MAX_COPIES = 2**28  # bytes of a round's images: a container of 2 GB holds them beside the notebook

Predict = Callable[[Tensor], Any]


class Task(msgspec.Struct):
    """What to meter; the arguments of ``scoring.score``."""

    batch: int
    rounds: int
    round_s: float
    threads: int
    seed: int
    backend: str


class Answer(msgspec.Struct, forbid_unknown_fields=True):
    """A class for each image, and a reading of each round of ``images`` images; or the ``problem``."""

    classes: list[Annotated[int, msgspec.Meta(ge=0, lt=CLASSES)]] = []
    images: int = 0
    readings: list[Reading] = []
    problem: str = ""


class EntryError(Exception):
    """What is wrong with an entry, as a sentence for its author."""


def main(file: Path, folder: Path) -> None:
    """Meter an entry and leave the answer in the folder, whatever the entry raises."""
    task = msgspec.json.decode((folder / TASK).read_bytes(), type=Task)
    images = torch.from_numpy(np.load(folder / IMAGES, allow_pickle=False))
    for secret in (TASK, IMAGES):  # the task's seed would give away the order of the images
        (folder / secret).unlink()
    adopt_orphans()
    torch.set_num_threads(task.threads)
    try:
        answer = metered(loaded(file), images, task)
    except EntryError as problem:
        answer = Answer(problem=str(problem))
    except BaseException as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == str(file)]
        where = f" (line {lines[-1]})" if lines else ""
        answer = Answer(problem=f"{type(error).__name__}: {error}{where}")
    (folder / ANSWER).write_bytes(msgspec.json.encode(answer))


def loaded(file: Path) -> Predict:
    """The function ``predict`` of a file, whose folder becomes its working directory and import path."""
    os.chdir(file.parent)
    sys.path.insert(0, str(file.parent))
    predict = runpy.run_path(str(file)).get("predict")
    if not callable(predict):
        raise EntryError("there is no function predict(images) in it")
    return predict


def metered(predict: Predict, images: Tensor, task: Task) -> Answer:
    """Classes of all images, and a reading of each round of passes over them, each in a new order.

    Two passes over mirrored images come first and are not metered: one compiles and loads, the other
    shows how many passes a round needs to last ``round_s``. Each pass has its own copy of the images,
    made outside the meter, and batches of its own, so that neither a changed pixel nor a remembered
    batch helps. The check of every answer is metered. CPU seconds of all threads count; those of
    processes count when they have ended, so a process that still runs after a round is refused.

    An entry that remembers each single image by its pixels, or tampers with the process that it shares
    with the meter, is not detected: read entries before you score them.
    """
    generator = torch.Generator().manual_seed(task.seed)
    mirrored = images.flip(-1)
    classify(predict, mirrored.clone().split(task.batch))
    start = time.perf_counter()
    classify(predict, mirrored.split(task.batch))
    passes = round(task.round_s / (time.perf_counter() - start))
    passes = max(1, min(passes, MAX_COPIES // images.nbytes))
    classes, readings = np.full(len(images), -1), list[Reading]()
    for _ in range(task.rounds):
        orders = [torch.randperm(len(images), generator=generator) for _ in range(passes)]
        copies = [images[order].split(task.batch) for order in orders]
        with Meter(task.backend) as meter:
            answers = [classify(predict, batches) for batches in copies]
            _wait_for_ended_processes()
        readings.append(meter.reading)
        if psutil.Process().children(recursive=True):
            raise EntryError("a process that predict started still runs after it: end it in predict")
        if len(readings) == 1:
            classes[orders[0]] = answers[0]
        pairs = zip(orders, answers, strict=True)
        changed = max(float(np.mean(answer != classes[order])) for order, answer in pairs)
        if changed > CHANGED:
            what = f"{changed:.1%} of the images got another class in another order"
            raise EntryError(f"{what}: the class of an image must depend on that image alone")
    return Answer(classes.tolist(), passes * len(images), readings)


def _wait_for_ended_processes() -> None:
    """Wait for ended processes, since only then do their CPU seconds count."""
    with contextlib.suppress(ChildProcessError, AttributeError):  # there is none, or this is Windows
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def classify(predict: Predict, batches: Sequence[Tensor]) -> Array:
    """The classes that predict gives for batches; raises ``EntryError`` for anything but a class."""
    return np.concatenate([_classes(predict(batch), len(batch)) for batch in batches])


def _classes(answer: Any, count: int) -> Array:
    if answer is None or answer is Ellipsis:
        raise EntryError("not started: predict gives nothing back yet")
    classes = answer.numpy(force=True) if isinstance(answer, Tensor) else np.asarray(answer)
    if classes.shape != (count,):
        hint = ", for instance scores.argmax(1)" if classes.shape == (count, CLASSES) else ""
        shapes = f"shape {classes.shape} for {count} images, expected ({count},)"
        raise EntryError(f"predict gave {shapes}: one class for each image{hint}")
    if not np.issubdtype(classes.dtype, np.integer):
        raise EntryError(f"predict gave {classes.dtype}, expected integers: the classes from 0 to 9")
    low, high = classes.min(), classes.max()
    if low < 0 or high >= CLASSES:
        raise EntryError(f"predict gave classes from {low} to {high}, expected 0 to {CLASSES - 1}")
    return classes


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
