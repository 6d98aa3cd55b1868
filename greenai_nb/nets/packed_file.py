"""Keep a packed network in a file, without pickle: arrays in an npz, and one JSON text that orders them.

The file holds what the network computes with, by layer: binary weights as bits, thresholds as integers,
float layers as floats. It is packed for the kernel of the processor that loads it.
"""

import io
import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy import ndarray as Array
from torch import nn

from greenai_nb.nets.kernels.product import pack_weights
from greenai_nb.nets.pack import ScaleUnits
from greenai_nb.nets.packed import (
    BinaryStage,
    FlattenSigns,
    FloatStage,
    OrPool,
    PackedNet,
    Stage,
    ToSigns,
)

FORMAT = 1
INDEX = "network"
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    KeyError,
    TypeError,
    ValueError,
    RuntimeError,
)
SETTINGS = {
    nn.Conv2d: ("in_channels", "out_channels", "kernel_size", "stride", "padding"),
    nn.Linear: ("in_features", "out_features"),
    nn.BatchNorm1d: ("num_features", "eps"),
    nn.BatchNorm2d: ("num_features", "eps"),
    nn.ReLU: (),
    nn.MaxPool2d: ("kernel_size", "stride", "padding"),
    nn.AvgPool2d: ("kernel_size", "stride", "padding"),
    nn.Flatten: ("start_dim", "end_dim"),
}
LAYERS = {kind.__name__: kind for kind in SETTINGS}


class PackedFileError(ValueError):
    """A file that is no packed network, or a damaged one."""


def to_bytes(net: PackedNet) -> bytes:
    """The content of a packed network's file."""
    arrays: dict[str, Array] = {}
    stages = [_describe(stage, f"{place}", arrays) for place, stage in enumerate(net.stages)]
    index = json.dumps({"format": FORMAT, "stages": stages})
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays | {INDEX: np.array(index)})
    return buffer.getvalue()


def from_bytes(content: bytes, kernel: str | None = None) -> PackedNet:
    """A packed network from its file's content, for the fastest kernel unless one is named.

    Raises ``PackedFileError`` for content that is damaged, cut short or something else.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
        index = json.loads(str(arrays[INDEX]))
        if index["format"] != FORMAT:
            raise PackedFileError(f"the file has format {index['format']}, this version reads {FORMAT}")
        return PackedNet([_build(entry, arrays, kernel) for entry in index["stages"]])
    except PackedFileError:
        raise
    except DAMAGE as error:
        raise PackedFileError(f"this is no packed network, or it is damaged: {error}") from error


def save(net: PackedNet, path: Path) -> None:
    """Write a packed network; the file appears whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(to_bytes(net))
    partial.replace(path)


def load(path: Path, kernel: str | None = None) -> PackedNet:
    """Read a packed network from a file, as ``from_bytes`` does."""
    try:
        return from_bytes(path.read_bytes(), kernel)
    except PackedFileError as error:
        raise PackedFileError(f"{path}: {error}") from error


def sizes(net: PackedNet) -> dict[str, int]:
    """Bytes that each layer needs, by its name in the network that was packed."""
    return {stage.name: stage.size_bytes for stage in net.stages if stage.size_bytes}


def _describe(stage: Stage, place: str, arrays: dict[str, Array]) -> dict[str, Any]:
    entry: dict[str, Any] = {"kind": type(stage).__name__, "name": stage.name}
    if isinstance(stage, FloatStage):
        layer = stage.layer
        settings = {name: getattr(layer, name) for name in SETTINGS[type(layer)]}
        entry |= {"layer": type(layer).__name__, "settings": settings}
        for name, tensor in layer.state_dict().items():
            arrays[f"{place}/{name}"] = tensor.numpy()
        entry["bias"] = getattr(layer, "bias", None) is not None
    elif isinstance(stage, OrPool):
        entry |= {"kernel": stage.kernel, "stride": stage.stride}
    held: dict[str, Array | None] = {}
    if isinstance(stage, ToSigns | BinaryStage):
        held = {"thresholds": stage.thresholds, "flips": stage.flips}
    if isinstance(stage, BinaryStage):
        entry |= {"stride": stage.stride, "padding": stage.padding, "pool": stage.pool}
        entry |= {"length": stage.weights.length}
        held["bits"] = stage.weights.bits
        held["sums"] = None if stage.sums is None else stage.sums.numpy().astype(np.int32)
        held["scale"] = next((factor.numpy() for factor in stage.tail.parameters()), None)
    arrays |= {f"{place}/{name}": array for name, array in held.items() if array is not None}
    return entry | {"place": place}


def _build(entry: dict[str, Any], arrays: dict[str, Array], kernel: str | None) -> Stage:
    kind, name, place = entry["kind"], entry["name"], entry["place"]
    held = {key.split("/", 1)[1]: array for key, array in arrays.items() if key.startswith(f"{place}/")}
    if kind == "OrPool":
        return OrPool(name, entry["kernel"], entry["stride"])
    if kind == "ToSigns":
        return ToSigns(name, held.get("thresholds"), held.get("flips"))
    if kind == "FlattenSigns":
        return FlattenSigns(name)
    if kind == "FloatStage":
        biased = {"bias": entry["bias"]} if entry["layer"] in ("Conv2d", "Linear") else {}
        layer = LAYERS[entry["layer"]](**entry["settings"], **biased)
        layer.load_state_dict({key: torch.from_numpy(array) for key, array in held.items()})
        return FloatStage(name, layer.eval())
    if kind != "BinaryStage":
        raise PackedFileError(f"a stage of kind {kind!r} is not known to this version")
    sums = torch.from_numpy(held["sums"]).float() if "sums" in held else None
    tail = [ScaleUnits(torch.from_numpy(held["scale"]))] if "scale" in held else []
    return BinaryStage(
        name,
        pack_weights(held["bits"], entry["length"], kernel),
        sums,
        entry["stride"],
        entry["padding"],
        tuple(entry["pool"]) if entry["pool"] else None,
        held.get("thresholds"),
        held.get("flips"),
        nn.Sequential(*tail),
    )
