"""Products of signs and a packed network against the best of torch and against this processor.

One thread. The peak of a kind of product is what its instructions reach alone, in registers, in the
same run: see ``_peaks``. Goals are shares of it, so that they hold on any processor. Ratios to torch are
recorded, with torch's share of the peak of its own numbers beside them. Ratios are of medians of sides
that are measured in turn; shares and parts are of the least times, those that nothing else disturbed.
"""

import copy
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numba
import numpy as np
import torch
from _peaks import billions, peaks
from _report import Row, report
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from greenai_nb.nets.architectures import vgg_small, xnor_vgg_small
from greenai_nb.nets.kernels.images import blocks
from greenai_nb.nets.kernels.processor import best_kernel, clock_ghz
from greenai_nb.nets.kernels.product import kernel, pack_signs
from greenai_nb.nets.packed.net import BinaryStage, PackedNet
from greenai_nb.nets.packed.pack import pack

CUBE = (1024, 1024, 1024)
SHAPES = (CUBE, (256, 256, 2304), (256, 256, 6912), (64, 512, 4608), (1, 4096, 4096))
ROUNDS, WINDOW_MS, SHORT = 15, 6.0, (25, 3.0)
BEST, OF_CUBE = 95, 85  # percent of the peak
AROUND = {1: 0.6, 64: 0.4}  # of the products' time, by batch
TOGETHER = 8  # images that a packed network takes through its stages at once


def cpu_ms(call: Callable[[], object], calls: int) -> float:
    """CPU time of a call in milliseconds, over several."""
    start = time.thread_time_ns()
    for _ in range(calls):
        call()
    return (time.thread_time_ns() - start) / 1e6 / calls


def in_turn(
    sides: Sequence[Callable[[], object]], rounds: int = ROUNDS, window_ms: float = WINDOW_MS
) -> np.ndarray:
    """CPU time of a call of each side in milliseconds, measured in turn: rounds x sides."""
    for side in sides:
        side()
    counts = [max(1, round(window_ms / cpu_ms(side, 1))) for side in sides]
    both = [*zip(sides, counts, strict=True)]
    return np.array([[cpu_ms(side, calls) for side, calls in both] for _ in range(rounds)])


def recorded(metric: str, value: float, unit: str) -> Row:
    """A number without a goal."""
    return Row(metric, float(value), unit, "recorded", True)


def sides_of(module: Any, shape: tuple[int, int, int], kinds: Sequence[str]) -> dict[str, Any]:
    """Calls that multiply the same signs: as bits, and as numbers of torch, those in ``kinds``."""
    (m, n, k), rng = shape, np.random.default_rng(0)
    a, b = rng.random((m, k)) < 0.5, rng.random((n, k)) < 0.5
    bits, right = pack_signs(a), module.pack_weights(pack_signs(b))
    left = module.pack_activations(bits)
    x, rows = (torch.from_numpy(2 * side.astype(np.float32) - 1) for side in (a, b))
    columns = rows.T.contiguous()
    out = module.products(left, right, k)
    assert np.array_equal(out[:m, :n], (2 * a.astype(np.int64) - 1) @ (2 * b.astype(np.int64) - 1).T)
    sides = {
        "bits": lambda: module.products(left, right, k, out),
        "packing too": lambda: module.products(module.pack_activations(bits), right, k, out),
        "float32": partial(torch.mm, x, columns),
        "by row": partial(nn.functional.linear, x, rows),
    }
    if "bfloat16" in kinds:
        sides["bfloat16"] = partial(torch.mm, x.bfloat16(), columns.bfloat16())
    if "int8" in kinds and m > 16:
        sides["int8"] = partial(torch._int_mm, x.to(torch.int8), columns.to(torch.int8))
    return sides


def product_rows(name: str) -> list[Row]:
    """Rows for the products of signs: shares of the peak, and ratios to the products of torch."""
    rows, shares, loops = list[Row](), dict[tuple[int, ...], float](), peaks()
    for shape in SHAPES:
        sides, products = sides_of(kernel(name), shape, [*loops]), math.prod(shape) / 1e6
        times = in_turn([*sides.values()], *SHORT)
        ms, least = (dict(zip(sides, of(times, 0), strict=True)) for of in (np.median, np.min))
        for each in (ms, least):
            each["float32"] = min(each["float32"], each.pop("by row"))
        title = " x ".join(map(str, shape)) + (", float bound by memory" if shape[0] == 1 else "")
        for kind in ("float32", "bfloat16", "int8"):
            if kind in ms:
                rows.append(recorded(f"{title}, over {kind}", ms[kind] / ms["bits"], "times"))
            if kind in ms and kind in loops:
                share = 100 * products / least[kind] / billions(*loops[kind][:2])
                rows.append(recorded(f"{title}, {kind} of its own peak", share, "%"))
        ratio = ms["float32"] / ms["packing too"]
        rows.append(recorded(f"{title}, packing too, over float32", ratio, "times"))
        if name in loops:
            shares[shape] = 100 * products / least["bits"] / billions(*loops[name][:2])
            rows.append(recorded(f"{title}, share of the peak", shares[shape], "%"))
    if shares:
        goals = (
            ("best share of the peak", max(shares.values()), BEST),
            ("share of it at 1024 cubed", shares[CUBE], OF_CUBE),
        )
        for metric, share, least_share in goals:
            holds = bool(least_share <= share <= 100)
            rows.append(Row(metric, float(share), "%", f"{least_share} to 100", holds))
    return rows


@numba.njit
def windows_alone(image: Any, window: Any, positions: int, size: int, paired: bool) -> int:
    """What comes before the products of a convolution: windows of packed signs."""
    seen = 0
    for _, _, _, rows in blocks(image, window, positions, size, paired):
        seen += rows.size
    return seen


def parts(packed: PackedNet, images: torch.Tensor) -> dict[str, float]:
    """Milliseconds for a batch of images, by part; they add up to the whole.

    Each stage is timed alone, in turn with its products and its windows. What is left of it are signs
    and pools; what is left of the whole passes between the stages, or is lost to cold caches.
    """
    state, sides, kinds = images[:TOGETHER], [partial(packed, images)], ["whole"]
    times = len(images) / len(state)
    for number, stage in enumerate(packed.stages):
        sides.append(partial(stage, state))
        kinds.append("last layers" if number else "first layer")
        after = stage(state)
        if isinstance(stage, BinaryStage):
            module, panels, length = (
                kernel(stage.weights.kernel),
                stage.weights.panels,
                stage.weights.length,
            )
            plan = stage.plans[state.bits.shape[1:3]]
            positions = len(plan.border[0])
            rows = module.pack_activations(np.zeros((positions, -(-length // 8)), np.uint8))
            product = rows, panels, length, module.products(rows, panels, length)
            sides.append(lambda m=module, given=product: [m.products(*given) for _ in images[:TOGETHER]])
            paired = stage.weights.kernel == "carry_save" and state.bits.shape[-1] % 8 == 0
            size = panels.shape[1] * panels.itemsize
            sides.append(partial(windows_alone, state.bits, plan.window, positions, size, paired))
            kinds[-1:] = ["signs and pools", "products", "windows"]
        state = after
    least = in_turn(sides).min(0)
    ms = dict.fromkeys(("products", "first layer", "windows", "signs and pools", "last layers"), 0.0)
    for kind, found in zip(kinds[1:], least[1:], strict=True):
        ms[kind] += times * float(found)
    ms["signs and pools"] -= ms["products"] + ms["windows"]
    return ms | {"rest": float(least[0]) - sum(ms.values())}


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
def network_rows(name: str) -> list[Row]:
    """Rows for VGG-small, random weights with batch norms that have seen data."""
    torch.manual_seed(0)
    plain, binary = vgg_small(), xnor_vgg_small()
    for net in (plain, binary):
        for _ in range(3):
            net(torch.randn(16, 3, 32, 32))
        net.eval()
    packed, rows, joined = pack(binary, name), list[Row](), folded(plain)
    last = copy.deepcopy(joined).to(memory_format=torch.channels_last)
    for batch, most in AROUND.items():
        x = torch.randn(batch, 3, 32, 32)
        assert torch.allclose(packed(x), binary(x), atol=1e-5)
        in_rows = x.to(memory_format=torch.channels_last)
        pairs = (plain, x), (joined, x), (last, in_rows), (packed, x)
        *floats, ours = np.median(in_turn([partial(net, images) for net, images in pairs]), 0)
        title = f"vgg_small, batch {batch}"
        rows += [
            recorded(f"{title}, over float32", min(floats) / ours, "times"),
            recorded(f"{title}, best float32", min(floats), "ms"),
            recorded(f"{title}, packed", ours, "ms"),
        ]
        found = parts(packed, x)
        rows += [recorded(f"{title}, {part}", ms, "ms") for part, ms in found.items()]
        around = sum(found.values()) / found["products"] - 1
        metric = f"{title}, all but the products, over them"
        rows.append(Row(metric, around, "times", f"at most {most}", around <= most))
    return rows


def main() -> None:
    """Measure with the fastest kernel of this processor."""
    torch.set_num_threads(1)
    name = best_kernel()
    print(f"kernel {name}, clock {clock_ghz():.2f} GHz. Peaks, from registers alone:")
    for kind, (loop, products, instructions) in peaks().items():
        speed = billions(loop, products)
        print(f"{kind}: {products} products a step of {instructions}: {speed:.0f} billion a second")
    report(__file__, product_rows(name) + network_rows(name))


if __name__ == "__main__":
    main()
