"""A cache of trainings: each result in a file, without pickle, under a hash of all that determines it.

A training is determined by the images and labels, the network as given, the settings with their seed,
the source of the trainer and of the network's layers, the processor, the versions of torch, numpy and
numba, torch's default type and its number of threads. Two notebooks that ask for the same training share
it, and a cell that is run again gets it back at once.

Files lie in the folder that GREENAI_STORE names (``off`` remembers nothing), or in the user's cache. One
that is damaged, or holds another result, is set aside with a warning; where a file cannot be written,
the work is done anyway. Fits cut short by an interrupt are not kept. If GREENAI_TRAINED_SINCE is set, a
time in seconds since 1970, only later results count.
"""

import functools
import hashlib
import inspect
import io
import json
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import FunctionType
from typing import Any, ParamSpec, TypeVar

import numpy as np
import pandas as pd
import torch
from numpy import ndarray as Array
from torch import Tensor, nn

from greenai_nb.data.datasets import Dataset, Split
from greenai_nb.files import write_atomic
from greenai_nb.learn.fit import Fit
from greenai_nb.machine import card, is_interactive
from greenai_nb.nets.weights import copied
from greenai_nb.sources import digest

FOLDER_VARIABLE, SINCE_VARIABLE = "GREENAI_STORE", "GREENAI_TRAINED_SINCE"
OFF, ABOUT, PACKAGE = "off", "about", "greenai_nb"
SPLITS = ("train", "validation", "test")
UNUSED_DAYS = 30
COMPUTES = ("processor", "instructions", "torch", "numpy", "numba")

P = ParamSpec("P")
Result = TypeVar("Result", Fit, pd.DataFrame, Dataset)


def remembered(work: Callable[P, Result]) -> Callable[P, Result]:
    """Wrap a function so that it returns stored results instead of computing them again.

    It takes a network, a fit or a data set first, and returns a fit, a table or a data set.
    ``Fit.remembered`` says whether a fit came from the store.
    """

    @functools.wraps(work)
    def recall(*arguments: P.args, **named: P.kwargs) -> Result:
        asked = inspect.signature(work).bind(*arguments, **named)
        asked.apply_defaults()
        key = _key(work, asked.arguments) if (home := folder()) else None
        if home is None or key is None:
            return work(*arguments, **named)
        path, net = home / f"{key}.npz", next(iter(asked.arguments.values()))
        result: Result | None = _read(path, net)
        if result is not None:
            return result
        with _alone(path):
            result = _read(path, net)
            if result is None:
                result = work(*arguments, **named)
                if not getattr(result, "interrupted", False):
                    _write(path, result)
        return result

    return recall


def folder() -> Path | None:
    """Where results are kept; None where none are."""
    home = os.environ.get(FOLDER_VARIABLE)
    if home == OFF:
        return None
    if not home:
        import pooch

        return Path(pooch.os_cache("greenai-nb")) / "trainings"
    return Path(home)


def _key(work: Callable[..., Any], arguments: Mapping[str, Any]) -> str | None:
    """The hash of all that determines a result; None where part of it cannot be hashed."""
    total, modules = hashlib.sha256(), {work.__module__}
    try:
        for piece in _pieces(dict(arguments), modules):
            total.update(len(piece).to_bytes(8) + piece)
    except (TypeError, AttributeError, NotImplementedError):  # the last from tensors without values
        return None
    source = digest(*sorted(modules))
    machine = card()
    about = [source, work.__qualname__, torch.get_num_threads(), str(torch.get_default_dtype())]
    about += [machine[name] for name in COMPUTES]
    total.update(json.dumps(about).encode())
    return total.hexdigest()[:32]


def _pieces(value: Any, modules: set[str]) -> Iterator[bytes]:
    """Bytes that identify a value; the package's modules that it runs are added to ``modules``.

    Raises ``TypeError`` for what has no such form, and for functions, classes and hooks from outside
    the package and torch, which may read variables that no key can cover.
    """
    yield f"<{type(value).__name__}>".encode()
    match value:
        case nn.Module():
            for name, layer in value.named_modules():
                yield name.encode()
                yield from _pieces(type(layer), modules)
                if any(held for key, held in vars(layer).items() if key.endswith("_hooks")):
                    raise TypeError(f"{name} has hooks")
                own = {key: held for key, held in vars(layer).items() if key[0] != "_"}
                yield from _pieces({key: own[key] for key in own if key != "training"}, modules)
            yield from _pieces(dict(value.state_dict()), modules)
            yield from _pieces([weight.requires_grad for weight in value.parameters()], modules)
        case Tensor():
            array = np.ascontiguousarray(value.numpy(force=True))
            yield f"{value.device} {array.dtype} {array.shape}".encode() + array.tobytes()
        case Fit():
            yield from _pieces(value.net, modules)
        case FunctionType() | type():
            name = f"{value.__module__}.{value.__qualname__}"
            if value.__module__.split(".")[0] not in (PACKAGE, "torch") or "<" in name:
                raise TypeError(f"{name} may read what no key knows")
            if value.__module__.startswith(PACKAGE):
                modules.add(value.__module__)
            yield name.encode()
        case dict():
            yield str(len(value)).encode()
            for key in sorted(value):
                yield key.encode()
                yield from _pieces(value[key], modules)
        case list() | tuple():
            yield str(len(value)).encode()
            for item in value:
                yield from _pieces(item, modules)
        case str() | int() | float() | bool() | None | np.generic():
            yield repr(value).encode()
        case _ if is_dataclass(value):
            names = [field.name for field in fields(value)]
            yield from _pieces({name: getattr(value, name) for name in names}, modules)
        case _:
            raise TypeError(f"{value!r} has no bytes that tell it from another")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait while another run does the same training; where locking fails, go on without a lock."""
    from filelock import FileLock, Timeout

    lock = FileLock(path.with_suffix(".lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if is_interactive():
                print("another run is training the same network: waiting for it")
            lock.acquire()
    except OSError as error:
        warnings.warn(f"trainings cannot be kept in {path.parent} ({error.strerror})", stacklevel=4)
        yield
        return
    try:
        yield
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)


def _write(path: Path, result: Fit | pd.DataFrame | Dataset) -> None:
    """Store a result, and delete those that nobody has asked for in a month."""
    about: dict[str, Any] = {"key": path.stem, "made": time.time()}
    tables, arrays = dict[str, pd.DataFrame](), dict[str, Array]()
    if isinstance(result, Fit):
        about["settings"] = dict(result.settings)
        tables |= {"trace": result.trace, "moves": result.moves}
        state = result.net.state_dict().items()
        arrays |= {f"net/{name}": tensor.numpy(force=True) for name, tensor in state}
    elif isinstance(result, Dataset):
        about["data"] = {name: value for name, value in vars(result).items() if name not in SPLITS}
        for name in SPLITS:
            arrays |= {f"{name}/{part}": each.numpy() for part, each in vars(vars(result)[name]).items()}
    else:
        tables["table"] = result
    for name, table in tables.items():
        for column, values in table.items():
            is_number = values.to_numpy().dtype.kind in "ifb"
            arrays[f"{name}/{column}"] = values.to_numpy(None if is_number else str)
    arrays[ABOUT] = np.array(json.dumps(about, default=np.generic.item))
    buffer = io.BytesIO()
    (np.savez if "data" in about else np.savez_compressed)(buffer, allow_pickle=False, **arrays)
    try:
        write_atomic(path, buffer.getvalue())
        for old in path.parent.glob("*.npz"):
            if old.stat().st_mtime < time.time() - UNUSED_DAYS * 86_400:
                old.unlink(missing_ok=True)
    except OSError as error:
        warnings.warn(f"this training is not kept in {path.parent} ({error.strerror})", stacklevel=4)


def _read(path: Path, net: Any) -> Any:
    """The result in a file, a fit's network as a copy of ``net``; None where there is none."""
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        about = json.loads(str(arrays.pop(ABOUT)))
        if about["key"] != path.stem:
            raise ValueError("it is another training's")
        result = _unpacked(arrays, about, net)
    except Exception as error:  # from zip, numpy, JSON or us, by where the damage is
        aside = path.with_suffix(".damaged")
        warnings.warn(f"a training that was kept cannot be read ({error}): see {aside}", stacklevel=4)
        with suppress(OSError):
            path.replace(aside)
        return None
    if about["made"] < float(os.environ.get(SINCE_VARIABLE, "-inf")):
        return None
    with suppress(OSError):  # the folder may be read-only
        os.utime(path)
    return result


def _unpacked(arrays: Mapping[str, Array], about: Mapping[str, Any], net: Any) -> Any:
    parts: dict[str, dict[str, Array]] = {}
    for name, array in arrays.items():
        part, _, rest = name.partition("/")
        parts.setdefault(part, {})[rest] = array
    if "data" in about:
        splits = {
            name: Split(**{key: torch.from_numpy(each) for key, each in parts[name].items()})
            for name in SPLITS
        }
        names = tuple(about["data"]["class_names"])
        return Dataset(**{**about["data"], **splits, "class_names": names})
    if "settings" not in about:
        return pd.DataFrame(parts["table"])
    trained = copied(net)
    trained.load_state_dict({name: torch.from_numpy(array) for name, array in parts["net"].items()})
    trace, moves = pd.DataFrame(parts["trace"]), pd.DataFrame(parts.get("moves", {}))
    return Fit(trained.eval(), trace, about["settings"], moves, remembered=True)
