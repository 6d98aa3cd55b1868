"""Cut mnist-10k from the official MNIST files; the rule stands in ``mnist_10k/README.md``.

Run ``python tools/cut_mnist_10k.py`` after a change of the rule.
"""

import gzip
import hashlib
import json
from pathlib import Path

import numpy as np

import greenai_nb
from greenai_nb.data import idx
from greenai_nb.data.fetch import fetch
from greenai_nb.data.sources import MNIST

CLASSES, TAKEN, VALIDATION_EVERY = 10, 1200, 6


def selection(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the training and of the validation images among the official training labels."""
    train, validation = [], []
    for digit in range(CLASSES):
        where = np.flatnonzero(labels == digit)
        taken = where[np.arange(TAKEN) * len(where) // TAKEN]
        held = np.arange(TAKEN) % VALIDATION_EVERY == VALIDATION_EVERY - 1
        train.append(taken[~held])
        validation.append(taken[held])
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(validation))


def main() -> None:
    """Write the six files and their provenance into the package."""
    images, labels, test_images, test_labels = (
        idx.parse(gzip.decompress(path.read_bytes())) for path in fetch(MNIST)
    )
    train, validation = selection(labels)
    arrays = {
        "train-images.gz": images[train],
        "train-labels.gz": labels[train],
        "validation-images.gz": images[validation],
        "validation-labels.gz": labels[validation],
        "test-images.gz": test_images,
        "test-labels.gz": test_labels,
    }
    folder = Path(greenai_nb.__file__).parent / "data" / "mnist_10k"
    contents = {file: idx.dump(array) for file, array in arrays.items()}
    for file, content in contents.items():
        (folder / file).write_bytes(gzip.compress(content, mtime=0))
    provenance = {
        "source": "MNIST, LeCun, Cortes and Burges, 1998; selected as mnist_10k/README.md says",
        "sha256": {file: hashlib.sha256(content).hexdigest() for file, content in contents.items()},
        "train": train.tolist(),
        "validation": validation.tolist(),
    }
    (folder / "provenance.json").write_text(json.dumps(provenance, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
