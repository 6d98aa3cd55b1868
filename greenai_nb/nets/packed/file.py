"""Save and load packed networks without pickle: arrays in an npz, and a JSON text that describes them.

The file holds what the network computes with, by layer: binary weights as bits, thresholds as integers,
float layers as floats. It is packed for the kernel of the processor that loads it.
"""

import dataclasses
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy import ndarray as Array
from torch import nn

from greenai_nb.files import write_atomic
from greenai_nb.nets.kernels.product import pack_weights
from greenai_nb.nets.packed.levels import PackedLinear
from greenai_nb.nets.packed.net import STAGES, BinaryStage, FloatStage, PackedNet, Stage
from greenai_nb.nets.packed.pack import Scaled
from greenai_nb.nets.quantize import QuantizedActivation

FORMAT = 2
INDEX, CHECKSUM = "network", "sha256"
KINDS = {kind.__name__: kind for kind in STAGES}
SETTINGS = {
    nn.Conv2d: ("in_channels", "out_channels", "kernel_size", "stride", "padding"),
    nn.Linear: ("in_features", "out_features"),
    nn.BatchNorm1d: ("num_features", "eps"),
    nn.BatchNorm2d: ("num_features", "eps"),
    nn.ReLU: (),
    nn.MaxPool2d: ("kernel_size", "stride", "padding"),
    nn.AvgPool2d: ("kernel_size", "stride", "padding"),
    nn.Flatten: ("start_dim", "end_dim"),
    PackedLinear: ("in_features", "out_features", "bits", "levels"),
    QuantizedActivation: ("bits",),
    Scaled: ("shapes",),
}
BIASED = ("Conv2d", "Linear", "PackedLinear")
LAYERS = {kind.__name__: kind for kind in SETTINGS}


class PackedFileError(ValueError):
    """A file that is damaged, or does not hold a packed network."""


def save(net: PackedNet, path: Path) -> None:
    """Write a packed network; the file appears whole or not at all."""
    arrays: dict[str, Array] = {}
    stages = [_describe(stage, f"{number}/", arrays) for number, stage in enumerate(net.stages)]
    arrays[INDEX] = np.array(json.dumps({"format": FORMAT, "stages": stages}))
    arrays[CHECKSUM] = np.array(_digest(arrays))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_atomic(path, buffer.getvalue())


def load(path: Path, kernel: str | None = None) -> PackedNet:
    """Read a packed network from a file, for the fastest kernel unless one is named.

    Raises ``PackedFileError`` for a file that is damaged, cut short, changed or something else.
    """
    content = path.read_bytes()
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = dict(file)
        index = json.loads(str(arrays[INDEX]))
        if index["format"] != FORMAT:
            raise PackedFileError(f"the file has format {index['format']}, this version reads {FORMAT}")
        if arrays.pop(CHECKSUM) != _digest(arrays):
            raise PackedFileError("it was changed after it was saved: save the network again")
        return PackedNet([_build(n, about, arrays, kernel) for n, about in enumerate(index["stages"])])
    except PackedFileError as error:
        raise PackedFileError(f"{path}: {error}") from error
    except Exception as error:  # from zip, numpy, JSON or torch, by where the damage is
        raise PackedFileError(f"{path}: not a packed network, or a damaged one: {error}") from error


def sizes(net: PackedNet) -> dict[str, int]:
    """Bytes that each layer needs, by its name in the network that was packed."""
    return {stage.name: stage.size_bytes for stage in net.stages if stage.size_bytes}


def _digest(arrays: dict[str, Array]) -> str:
    total = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        total.update(f"{name} {array.dtype} {array.shape} ".encode() + array.tobytes())
    return total.hexdigest()


def _describe(stage: Stage, prefix: str, arrays: dict[str, Array]) -> dict[str, Any]:
    """What a stage is, as JSON; its numbers go to ``arrays``, under the prefix."""
    fields = [field.name for field in dataclasses.fields(stage) if field.init]
    about: dict[str, Any] = {"kind": type(stage).__name__}
    about |= {name: getattr(stage, name) for name in fields}
    numbers = {name: about.pop(name) for name in fields if isinstance(about[name], Array)}
    if isinstance(stage, FloatStage):
        layer = stage.layer
        settings = {name: getattr(layer, name) for name in SETTINGS[type(layer)]}
        about |= {"layer": type(layer).__name__, "settings": settings}
        about["bias"] = getattr(layer, "bias", None) is not None
        numbers |= {name: tensor.numpy() for name, tensor in layer.state_dict().items()}
    elif isinstance(stage, BinaryStage):
        numbers["bits"], about["length"] = about.pop("weights").bits, stage.weights.length
    arrays |= {prefix + name: array for name, array in numbers.items()}
    return about


def _build(number: int, about: dict[str, Any], arrays: dict[str, Array], kernel: str | None) -> Stage:
    """The stage with this number in the file, which ``_describe`` put there."""
    kind, prefix = about.pop("kind"), f"{number}/"
    numbers = {key.removeprefix(prefix): arrays[key] for key in arrays if key.startswith(prefix)}
    if kind not in KINDS:
        raise PackedFileError(f"a stage of kind {kind!r} is not known to this version")
    if issubclass(KINDS[kind], FloatStage):
        bias, settings = about.pop("bias"), about.pop("settings")
        settings |= {"bias": bias} if about["layer"] in BIASED else {}
        layer = LAYERS[about["layer"]](**settings)
        layer.load_state_dict({key: torch.from_numpy(numbers.pop(key)) for key in layer.state_dict()})
        about["layer"] = layer.eval()
    if kind == "BinaryStage":
        about["weights"] = pack_weights(numbers.pop("bits"), about.pop("length"), kernel)
        about["pool"] = tuple(about["pool"]) if about["pool"] else None
    return KINDS[kind](**about | numbers)
