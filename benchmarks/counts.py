"""Time our counts of large networks beside torch's count of a real pass, and table their layers."""

import statistics
import time
from collections.abc import Callable

import torch
from _report import Row, report
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from greenai_nb import machine
from greenai_nb.energy.layer_table import layer_table
from greenai_nb.nets.counts import count
from greenai_nb.nets.inception import inception_v3
from greenai_nb.nets.mobilenet import mobilenet_v2

NETS = (("MobileNetV2", mobilenet_v2, 224), ("Inception-v3", inception_v3, 299))
ROUNDS = 5
GOAL_S, GOAL_MB = 1.0, 1000


def by_torch(net: nn.Module, images: Tensor) -> int:
    """Multiply-accumulates of a real pass, as torch counts them."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        net(images)
    return counter.get_total_flops() // 2


def seconds(call: Callable[..., object], *arguments: object) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - start


def main() -> None:
    """Time the first and later counts of both networks, and table the larger one."""
    torch.set_num_threads(1)
    rows = []
    for name, build, size in NETS:
        net, images = build().eval(), torch.rand(1, 3, size, size)
        first = seconds(count, net, images)
        assert count(net, images)["macs"].sum() == by_torch(net, images)
        later, passes = [], []
        for _ in range(ROUNDS):
            later.append(seconds(count, net, images))
            passes.append(seconds(by_torch, net, images))
        rows += [
            Row(f"{name}, first count", first, "s", f"under {GOAL_S:g}", first < GOAL_S),
            Row(f"{name}, later counts", statistics.median(later), "s", "recorded", True),
            Row(f"{name}, a pass counted by torch", statistics.median(passes), "s", "recorded", True),
        ]
    table = layer_table(net, images)
    peak_mb = machine.peak_ram_mb()
    rest = float(table["cpu_share"].iloc[-1])
    rows += [
        Row("Inception-v3, beyond its layers", rest, "of CPU time", "recorded", True),
        Row("peak memory of this process", peak_mb, "MB", f"under {GOAL_MB}", peak_mb < GOAL_MB),
    ]
    report(__file__, rows)


if __name__ == "__main__":
    main()
