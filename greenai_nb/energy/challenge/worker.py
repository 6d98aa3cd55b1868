"""The process in which an entry of the challenge is metered.

It never sees a label. ``task.json`` and ``images.npy`` in the folder of the second argument say what to
do; ``answer.json`` there will hold what was metered, or a sentence on why nothing was.
"""

import dataclasses
import json
import os
import runpy
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy import ndarray as Array
from torch import Tensor

from greenai_nb.energy.meter import Meter

TASK, IMAGES, ANSWER = "task.json", "images.npy", "answer.json"
CLASSES = 10
CHANGED = 1e-3  # batches are cut anew in each round, and rounding may then turn a tie

Predict = Callable[[Tensor], Any]


class EntryError(Exception):
    """What is wrong with an entry, as a sentence for the one who wrote it."""


def main(file: Path, folder: Path) -> None:
    """Meter an entry and leave the answer in the folder, whatever the entry raises."""
    task = json.loads((folder / TASK).read_bytes())
    images = torch.from_numpy(np.load(folder / IMAGES, allow_pickle=False))
    torch.set_num_threads(task["threads"])
    try:
        answer = metered(loaded(file), images, task)
    except EntryError as problem:
        answer = {"problem": str(problem)}
    except BaseException as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == str(file)]
        where = f" (line {lines[-1]})" if lines else ""
        answer = {"problem": f"{type(error).__name__}: {error}{where}"}
    (folder / ANSWER).write_text(json.dumps(answer))


def loaded(file: Path) -> Predict:
    """The function ``predict`` of a file, whose folder is where it works and imports from."""
    os.chdir(file.parent)
    sys.path.insert(0, str(file.parent))
    predict = runpy.run_path(str(file)).get("predict")
    if not callable(predict):
        raise EntryError("there is no function predict(images) in it")
    return predict


def metered(predict: Predict, images: Tensor, task: dict[str, Any]) -> dict[str, Any]:
    """Classes of all images, and a reading of each round; each passes over them in a new order.

    Two passes are not metered: the first compiles and loads, the second tells how many passes a round
    needs to last ``round_s``. The check of every answer is metered with it.
    """
    batch, generator = task["batch"], torch.Generator().manual_seed(task["seed"])
    classes = classify(predict, images.split(batch))
    start = time.perf_counter()
    classify(predict, images.split(batch))
    passes = max(1, round(task["round_s"] / (time.perf_counter() - start)))
    readings = []
    for _ in range(task["rounds"]):
        order = torch.randperm(len(images), generator=generator)
        batches = images[order].split(batch)
        with Meter(task["backend"]) as meter:
            answers = [classify(predict, batches) for _ in range(passes)]
        readings.append(dataclasses.asdict(meter.reading))
        changed = max(float(np.mean(answer != classes[order])) for answer in answers)
        if changed > CHANGED:
            what = f"{changed:.1%} of the images got another class in another order"
            raise EntryError(f"{what}: the class of an image must depend on that image alone")
    return {"classes": classes.tolist(), "images": passes * len(images), "readings": readings}


def classify(predict: Predict, batches: Sequence[Tensor]) -> Array:
    """The classes that predict gives for batches; raises ``EntryError`` for what is no class."""
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
