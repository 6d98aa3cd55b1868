"""A network layer by layer: measured time beside counted operations.

Each layer is replayed alone on the input that it gets in a forward pass, and then the pass goes on, so
that memory holds no more than in the pass itself. Timing the layers within one single pass would mostly
time the clock. A replayed layer finds its numbers in the processor's cache and writes into memory
that it has just freed; in the pass both may be cold, and the system hands out new pages. So the whole
takes up to twice as long as its layers, and the difference has a row of its own.

Source: Rodrigues et al., *SyNERGY* (2018), and García-Martín et al., *Estimation of energy consumption
in machine learning* (2019), for energy by layer.
"""

import contextlib
import dataclasses
import math
import statistics
import time
import timeit
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn

from greenai_nb.checks import whole
from greenai_nb.energy.derived import derived_by_layer
from greenai_nb.nets.counts import Net, count, leaves
from greenai_nb.nets.packed.net import PackedNet

# Long enough that neither the clock's resolution nor the cost of reading it matters.
WINDOW_S = 2e-3


def layer_table(net: Net, images: Float[Tensor, "batch *shape"], repeats: int = 9) -> pd.DataFrame:
    """CPU time and derived energy of each layer beside its counts; the rows sum to the whole.

    ``cpu_s`` is measured: CPU seconds of a layer for one pass over ``images``, on one thread, the
    median of the repeats. ``derived_j`` is ``derived_energy``'s model with its defaults. ``cpu_share``
    and ``derived_share`` are parts of the whole, and all other columns are those of ``count``. The last
    row, ``rest``, is what the pass takes beyond its layers: cold caches, new pages of memory, functions
    inside modules, calls. It is below zero where layers are slower alone.

    To divide the joules of the whole, multiply by ``cpu_share``; they keep its provenance. Raises
    ``ValueError`` for fewer than one repeat, and what ``count`` raises.
    """
    whole(repeats=repeats)
    counts = count(net, images)
    # The C library reuses freed memory. Otherwise a layer with outputs of megabytes would get new
    # pages from the system at every call, which cost more than the layer.
    pieces = [torch.empty(30, 2**18), *(torch.empty(2**18) for _ in range(48))]
    del pieces
    with _in_use(net) as ready, torch.inference_mode():
        seconds = _replayed(ready, images, repeats)
        whole_s = _seconds(partial(ready, images), repeats)
    cpu_s = [seconds[key] for key in zip(counts["layer"], counts["kind"], strict=True)]
    table = counts.assign(cpu_s=cpu_s, derived_j=derived_by_layer(counts)["derived_j"])
    rest = dict.fromkeys(table, 0) | {"layer": "rest", "kind": "", "cpu_s": whole_s - sum(cpu_s)}
    table = pd.concat([table, pd.DataFrame([rest])], ignore_index=True)
    table["cpu_share"] = table["cpu_s"] / whole_s
    table["derived_share"] = table["derived_j"] / table["derived_j"].sum()
    first = ["layer", "kind", "cpu_s", "cpu_share", "derived_j", "derived_share"]
    return table[[*first, *counts.columns.drop(["layer", "kind"])]]


def _replayed(net: Net, images: Tensor, repeats: int) -> dict[tuple[str, str], float]:
    """CPU seconds by layer and kind, from one pass that waits at each layer until it is timed."""
    seconds: dict[tuple[str, str], float] = defaultdict(float)
    if isinstance(net, PackedNet):
        x: Any = images
        for stage in net.stages:
            seconds[stage.name, type(stage).__name__] += _seconds(partial(stage, x), repeats)
            x = stage(x)
        return seconds

    def replay(name: str, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        mine = [x.clone() for x in inputs]  # a layer that works in place must not change the pass
        seconds[name, type(layer).__name__] += _seconds(partial(layer.forward, *mine), repeats)

    with contextlib.ExitStack() as hooks:
        for name, layer in leaves(net).items():
            hooks.callback(layer.register_forward_pre_hook(partial(replay, name)).remove)
        net(images)
    return seconds


def _seconds(call: Callable[[], object], repeats: int) -> float:
    """CPU seconds of a call, the median of windows that each hold as many calls as fill them."""
    call()
    timer = timeit.Timer(call, timer=time.thread_time)
    calls = math.ceil(WINDOW_S / max(timer.timeit(1), WINDOW_S / 1000))
    return statistics.median(timer.repeat(repeats, calls)) / calls


@contextlib.contextmanager
def _in_use(net: Net) -> Iterator[Net]:
    """The network in evaluation mode on one thread, whose CPU time is then the total."""
    threads = torch.get_num_threads()
    training = [] if isinstance(net, PackedNet) else [m for m in net.modules() if m.training]
    torch.set_num_threads(1)
    try:
        yield dataclasses.replace(net, threads=1) if isinstance(net, PackedNet) else net.eval()
    finally:
        torch.set_num_threads(threads)
        for module in training:
            module.training = True
