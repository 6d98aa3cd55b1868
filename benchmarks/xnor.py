"""Products of signs and a packed network against the best float32 of torch, one thread, in turn.

Goals depend on the instruction set of the processor; the line before the table says which it is.
"""

import copy
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from _report import Row, report
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from greenai_nb.nets.architectures import vgg_small, xnor_vgg_small
from greenai_nb.nets.kernels.processor import best_kernel, clock_ghz
from greenai_nb.nets.kernels.product import kernel, pack_signs, pack_weights
from greenai_nb.nets.packed.pack import pack

SHAPES = ((1024, 1024, 1024), (256, 256, 2304), (64, 512, 4608), (1, 4096, 4096))
ROUNDS, CALLS = 7, 5
# Products, products compared with thresholds, and VGG-small with batch 1 and 64.
GOALS = {"carry_save": (27, 30, 23, 15), "lookup": (11, 11, 10, 7), "words": (2, 2, 2, 2)}


def cpu_ms(call: Callable[[], object], calls: int = CALLS) -> float:
    """CPU time of a call in milliseconds, the median of a few."""
    found = []
    for _ in range(calls):
        start = time.thread_time_ns()
        call()
        found.append((time.thread_time_ns() - start) / 1e6)
    return statistics.median(found)


def in_turn(sides: Sequence[Callable[[], object]]) -> list[float]:
    """Median CPU time of each side in milliseconds, measured in turn."""
    for side in sides:
        side()
    rounds = [[cpu_ms(side) for side in sides] for _ in range(ROUNDS)]
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


def _ratio(metric: str, value: float, goal: float, memory_bound: bool) -> Row:
    if memory_bound:
        return Row(metric, value, "times", "recorded: float is bound by memory here", True)
    return Row(metric, value, "times", f"at least {goal:g}", value >= goal)


def product_rows(name: str, goals: Sequence[float]) -> list[Row]:
    """Rows for the products of signs."""
    module, rng, rows = kernel(name), np.random.default_rng(0), []
    shares = []
    for m, n, k in SHAPES:
        a, b = rng.random((m, k)) < 0.5, rng.random((n, k)) < 0.5
        left, right = module.pack_activations(pack_signs(a)), module.pack_weights(pack_signs(b))
        floats = [torch.from_numpy(2 * side.astype(np.float32) - 1) for side in (a, b)]
        columns = floats[1].T.contiguous()
        out = module.products(left, right, k)
        assert np.array_equal(out[:m, :n], (floats[0] @ columns).numpy())
        whole = pack_weights(pack_signs(b), k, name)
        signs, kinds = pack_signs(a), np.zeros(1, np.int32)
        levels = whole.levels(np.zeros((1, n), np.int32))
        assert np.array_equal(whole.reached(signs, kinds, levels), pack_signs(out[:m, :n] >= 0))
        by_column, by_row, packed, fused, bits = in_turn(
            [
                lambda x=floats[0], w=columns: x @ w,
                lambda x=floats[0], w=floats[1]: nn.functional.linear(x, w),
                lambda x=left, w=right, k=k, out=out: module.products(x, w, k, out),
                lambda x=left, w=right, kinds=kinds, levels=levels: module.reached(x, w, kinds, levels),
                lambda x=signs, w=whole, kinds=kinds, levels=levels: w.reached(x, kinds, levels),
            ]
        )
        best, title = min(by_column, by_row), f"{m} x {n} x {k}"
        rows += [
            _ratio(f"products {title}, over float32", best / packed, goals[0], m == 1),
            _ratio(f"signs out {title}, over float32", best / fused, goals[1], m == 1),
            Row(f"signs in and out {title}, over float32", best / bits, "times", "recorded", True),
            Row(f"float32 {title}", 2 * m * n * k / best / 1e6, "GFLOP/s", "recorded", True),
        ]
        shares.append(m * n * k / min(packed, fused) / 1e6 / (module.PEAK * clock_ghz()))
    share = 100 * max(shares)
    wanted = 85 if name == "carry_save" else 50
    rows.append(Row("best share of the derived peak", share, "%", f"at least {wanted}", share >= wanted))
    return rows


def folded(net: nn.Sequential) -> nn.Sequential:
    """A copy in which batch norms that directly follow a convolution are folded into it."""
    layers: list[nn.Module] = []
    for layer in copy.deepcopy(net).eval():
        if isinstance(layer, nn.BatchNorm2d) and isinstance(layers[-1], nn.Conv2d):
            layers[-1] = fuse_conv_bn_eval(layers[-1], layer)
        else:
            layers.append(layer)
    return nn.Sequential(*layers)


@torch.inference_mode()
def network_rows(name: str, goals: Sequence[float]) -> list[Row]:
    """Rows for VGG-small, random weights with batch norms that have seen data."""
    torch.manual_seed(0)
    plain, binary = vgg_small(), xnor_vgg_small()
    for net in (plain, binary):
        for _ in range(3):
            net(torch.randn(16, 3, 32, 32))
        net.eval()
    packed, rows = pack(binary, name), []
    last = copy.deepcopy(folded(plain)).to(memory_format=torch.channels_last)
    for batch, goal in zip((1, 64), goals, strict=True):
        x = torch.randn(batch, 3, 32, 32)
        assert torch.allclose(packed(x[:2]), binary(x[:2]), atol=1e-5)
        joined = folded(plain)
        in_rows = x.to(memory_format=torch.channels_last)
        sides = [
            lambda x=x: plain(x),
            lambda x=x, net=joined: net(x),
            lambda x=in_rows: last(x),
            lambda x=x: packed(x),
        ]
        *floats, ours = in_turn(sides)
        title = f"vgg_small, batch {batch}"
        rows += [
            _ratio(f"{title}, over float32", min(floats) / ours, goal, False),
            Row(f"{title}, best float32", min(floats), "ms", "recorded", True),
            Row(f"{title}, packed", ours, "ms", "recorded", True),
        ]
    return rows


def main() -> None:
    """Measure with the fastest kernel of this processor."""
    torch.set_num_threads(1)
    name = best_kernel()
    print(f"kernel {name}, clock {clock_ghz():.2f} GHz")
    report(__file__, product_rows(name, GOALS[name][:2]) + network_rows(name, GOALS[name][2:]))


if __name__ == "__main__":
    main()
