"""Trainings remembered: a fit under a hash of all that determines it, in one file without pickle.

A training is determined by the images and labels, the network as given, the settings with their seed,
the source of the trainer and of the network's layers, torch's version and its number of threads. Two
notebooks that ask for the same training share it, and a cell that is run again gets it back at once.

Files lie in the folder that GREENAI_STORE names (``off`` remembers nothing), or in the user's cache. One
that is damaged, or is another training's, is left aside with a warning; where a file cannot be written,
the training goes on without. Fits that an interrupt cut short are not kept. GREENAI_TRAINED_SINCE, a time
in seconds since 1970, lets only later trainings count.
"""

import functools
import hashlib
import inspect
import io
import json
import os
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass, replace
from pathlib import Path
from types import FunctionType
from typing import Any, ParamSpec

import numpy as np
import pandas as pd
import torch
from torch import nn

from greenai_nb.data.datasets import Dataset
from greenai_nb.files import write_atomic
from greenai_nb.learn.fit import Fit
from greenai_nb.sources import digest

FOLDER_VARIABLE, SINCE_VARIABLE = "GREENAI_STORE", "GREENAI_TRAINED_SINCE"
OFF, ABOUT, PACKAGE = "off", "about", "greenai_nb"
UNUSED_DAYS = 30
PLAIN = (str, int, float, bool, tuple, list, type(None))
DAMAGE = (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile)

P = ParamSpec("P")


def remembered(train: Callable[P, Fit]) -> Callable[P, Fit]:
    """A trainer that trains only what it has not trained before; ``Fit.remembered`` says which."""

    @functools.wraps(train)
    def recall(*arguments: P.args, **named: P.kwargs) -> Fit:
        home = folder()
        asked = inspect.signature(train).bind(*arguments, **named)
        asked.apply_defaults()
        net, data, *_ = asked.arguments.values()
        key = _key(train, net, data, asked.arguments) if home and isinstance(net, nn.Module) else None
        if home is None or key is None:
            return train(*arguments, **named)
        path = home / f"{key}.npz"
        if fit := _read(path, net):
            return fit
        with _alone(path):
            fit = _read(path, net)
            if fit is None:
                fit = train(*arguments, **named)
                if not fit.interrupted:
                    _write(path, fit)
        return fit

    return recall


def folder() -> Path | None:
    """Where trainings are kept; None where none are."""
    home = os.environ.get(FOLDER_VARIABLE)
    if home == OFF:
        return None
    if not home:
        import pooch

        return Path(pooch.os_cache("greenai-nb")) / "trainings"
    return Path(home)


def _key(
    train: Callable[..., Fit], net: nn.Module, data: Dataset, asked: Mapping[str, Any]
) -> str | None:
    """The hash of all that determines a training; None where some of it cannot be told."""
    settings = {name: value for name, value in asked.items() if value is not net and value is not data}
    try:
        layers = [_layer(name, layer) for name, layer in net.named_modules()]
        plain = json.dumps(settings, default=_plain, sort_keys=True)
    except (TypeError, OSError):
        return None
    modules = {train.__module__, *(type(layer).__module__ for layer in net.modules())}
    about = [
        digest(*(name for name in modules if name.startswith(PACKAGE))),
        train.__qualname__,
        plain,
        layers,
        torch.__version__,
        torch.get_num_threads(),
    ]
    total = hashlib.sha256(json.dumps(about).encode())
    tensors = [*net.state_dict().items()]
    for name, split in (("train", data.train), ("validation", data.validation)):
        tensors += [(f"{name} images", split.images), (f"{name} labels", split.labels)]
    for name, tensor in tensors:
        array = np.ascontiguousarray(tensor.numpy(force=True))
        total.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    return total.hexdigest()[:32]


def _layer(name: str, layer: nn.Module) -> list[Any]:
    """A layer by its class and all that it holds beside its weights.

    Raises ``TypeError`` or ``OSError`` for what has no text that would tell it from another.
    """
    held = {key: value for key, value in vars(layer).items() if not key.startswith("_")}
    held.pop("training")
    return [name, _code(type(layer)), json.dumps(held, default=_plain, sort_keys=True)]


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, FunctionType | functools.partial) or isinstance(value, type):
        return _code(value)
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} has no plain form")


def _code(thing: Any) -> str:
    """A class or function by its name, and by its source where no module of a library has it."""
    name = f"{thing.__module__}.{thing.__qualname__}"
    known = thing.__module__.split(".")[0] in (PACKAGE, "torch") and "<" not in name
    return name if known else name + inspect.getsource(thing)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait while another run trains the same; where no lock can be had, go on without one."""
    from filelock import FileLock, Timeout

    lock = FileLock(path.with_suffix(".lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print("another run trains the same network: waiting for it")
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


def _write(path: Path, fit: Fit) -> None:
    """Keep a fit, and forget what nobody has asked for in a month."""
    arrays = {f"net/{name}": tensor.numpy(force=True) for name, tensor in fit.net.state_dict().items()}
    for name, table in (("trace", fit.trace), ("moves", fit.moves)):
        arrays |= {f"{name}/{column}": _column(table[column]) for column in table}
    about = {"key": path.stem, "trained": time.time(), "settings": dict(fit.settings)}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays, **{ABOUT: np.array(json.dumps(about))})
    try:
        write_atomic(path, buffer.getvalue())
        for old in path.parent.glob("*.npz"):
            if old.stat().st_mtime < time.time() - UNUSED_DAYS * 86_400:
                old.unlink(missing_ok=True)
    except OSError as error:
        warnings.warn(f"this training is not kept in {path.parent} ({error.strerror})", stacklevel=4)


def _column(values: pd.Series) -> np.ndarray:
    array = values.to_numpy()
    return array if array.dtype.kind in "ifb" else array.astype(str)


def _read(path: Path, net: nn.Module) -> Fit | None:
    """The fit in a file, as a copy of ``net`` with its weights; None where there is none to be had."""
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
        about = json.loads(str(arrays.pop(ABOUT)))
        if about["key"] != path.stem:
            raise ValueError("it is another training's")
        trained = _like(net, {n[4:]: torch.from_numpy(a) for n, a in arrays.items() if n[:4] == "net/"})
        trace, moves = (
            pd.DataFrame({n.split("/")[1]: a for n, a in arrays.items() if n.startswith(f"{table}/")})
            for table in ("trace", "moves")
        )
        if about["trained"] < float(os.environ.get(SINCE_VARIABLE, "-inf")):
            return None
    except DAMAGE as error:
        aside = path.with_suffix(".damaged")
        warnings.warn(f"a training that was kept cannot be read ({error}): see {aside}", stacklevel=4)
        try:
            path.replace(aside)
        except OSError:
            pass
        return None
    try:
        os.utime(path)
    except OSError:  # a folder that may only be read
        pass
    fit = Fit(trained, trace, about["settings"], moves)
    return replace(fit, remembered=True)


def _like(net: nn.Module, state: Mapping[str, torch.Tensor]) -> nn.Module:
    import copy

    trained = copy.deepcopy(net)
    trained.load_state_dict(state)
    return trained.eval()
