"""Save entries to the challenge as files, without ever overwriting a file.

A name that is taken gets a number: ``mine.py``, ``mine 2.py``, ... Content that exists already is
reused, so a cell that runs twice leaves one file.
"""

import io
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path

import numpy as np
from torch import nn

from greenai_nb.files import write_atomic

NETWORK = """import numpy, torch
from torch import nn
net = nn.Sequential({layers})
net.load_state_dict({{name: torch.from_numpy(w) for name, w in numpy.load("{stem}.npz").items()}})
net.eval()

@torch.inference_mode()
def predict(images):
    return net(images).argmax(1)
"""


def save(text: str, folder: Path, name: str) -> Path:
    """Save an entry's text in its own file; returns the path. Raises ``OSError`` as writing does."""
    return _keep(folder, name, lambda stem: {".py": text.encode()})


def save_network(net: nn.Sequential, folder: Path, name: str) -> Path:
    """Save a network's weights beside an entry that loads them and predicts; returns the entry's path.

    The entry writes the layers out, so they must be torch's own: fold or pack a network first. Raises
    ``TypeError`` for other layers, and ``OSError`` as writing does.
    """
    if foreign := [type(layer).__name__ for layer in net if not hasattr(nn, type(layer).__name__)]:
        raise TypeError(f"an entry writes out layers of torch.nn, and {foreign[0]} is none")
    layers, weights = ", ".join(f"nn.{layer!r}" for layer in net), io.BytesIO()
    arrays = {key: weight.numpy(force=True) for key, weight in net.state_dict().items()}
    np.savez(weights, allow_pickle=False, **arrays)

    def contents(stem: str) -> Mapping[str, bytes]:
        entry = NETWORK.format(layers=layers, stem=stem)
        return {".npz": weights.getvalue(), ".py": entry.encode()}

    return _keep(folder, name, contents)


def _keep(folder: Path, name: str, contents: Callable[[str], Mapping[str, bytes]]) -> Path:
    """Write the files under the first name that is free, or that already holds the same content."""
    for number in count(1):
        stem = name if number == 1 else f"{name} {number}"
        files = {folder / f"{stem}{ending}": content for ending, content in contents(stem).items()}
        if all(not path.exists() or path.read_bytes() == content for path, content in files.items()):
            break
    for path, content in files.items():
        if not path.exists():
            write_atomic(path, content)
    return folder / f"{stem}.py"
