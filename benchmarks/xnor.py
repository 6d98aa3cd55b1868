"""Products of signs and a packed network against the best of torch and against this processor.

One thread. The peak of a kind of product is what its instructions reach alone, in registers: see
``_peaks``. Goals are shares of it, so that they hold on any processor. Ratios to torch are recorded,
with torch's share of the peak of its own numbers beside them.

All sides are measured in turn, and the loop of a peak right after its product: the clock depends on the
instructions, and a neighbour on the same core of a virtual machine can double a time for seconds. Ratios
are of medians. Shares and parts are of 10 % quantiles over the rounds, so that undisturbed windows
decide, and a few whose time was counted short spoil nothing. Two undisturbed windows can still differ
in their clock by a percent: that is why a share may come out at up to 101 %.
"""

import copy
import math
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

import numba
import numpy as np
import torch
from _peaks import STEPS, Loop, loops, tiles_allowed
from _report import Row, report
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from greenai_nb.nets.architectures import vgg_small, xnor_vgg_small
from greenai_nb.nets.kernels.images import blocks
from greenai_nb.nets.kernels.processor import best_kernel, clock_ghz, features
from greenai_nb.nets.kernels.product import kernel, pack_signs
from greenai_nb.nets.packed.net import BinaryStage, PackedNet
from greenai_nb.nets.packed.pack import pack

CUBE = (1024, 1024, 1024)
SHAPES = (CUBE, (256, 256, 2304), (256, 256, 6912), (64, 512, 4608), (1, 4096, 4096))
ROUNDS, WINDOW_MS = 15, 6.0
SHORT, LONG = (80, 3.0), (30, 12.0)  # rounds and window: of shares; of parts, which start cold
UNDISTURBED = 0.1  # quantile of the rounds
BEST, OF_CUBE, MOST = 95, 85, 101  # percent of the peak
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


def undisturbed(times: np.ndarray) -> np.ndarray:
    """The 10 % quantile of each side over the rounds."""
    return np.quantile(times, UNDISTURBED, axis=0)


def recorded(metric: str, value: float, unit: str) -> Row:
    """A number without a goal."""
    return Row(metric, float(value), unit, "recorded", True)


def sides_of(name: str, shape: tuple[int, int, int], kinds: Collection[str]) -> dict[str, Any]:
    """Calls that multiply the same signs: as bits, and as numbers of torch, those in ``kinds``."""
    (m, n, k), rng, module = shape, np.random.default_rng(0), kernel(name)
    a, b = rng.random((m, k)) < 0.5, rng.random((n, k)) < 0.5
    bits, right = pack_signs(a), module.pack_weights(pack_signs(b))
    left = module.pack_activations(bits)
    x, rows = (torch.from_numpy(2 * side.astype(np.float32) - 1) for side in (a, b))
    columns = rows.T.contiguous()
    out = module.products(left, right, k)
    assert np.array_equal(out[:m, :n], (2 * a.astype(np.int64) - 1) @ (2 * b.astype(np.int64) - 1).T)
    sides = {
        "packing too": lambda: module.products(module.pack_activations(bits), right, k, out),
        name: lambda: module.products(left, right, k, out),
        "by row": partial(nn.functional.linear, x, rows),
        "float32": partial(torch.mm, x, columns),
    }
    if "bfloat16" in kinds:
        sides["bfloat16"] = partial(torch.mm, x.bfloat16(), columns.bfloat16())
    if "int8" in kinds and m > 16:
        sides["int8"] = partial(torch._int_mm, x.to(torch.int8), columns.to(torch.int8))
    return sides


def within_peak(metric: str, share: float) -> Row:
    """A share of a peak in percent: more than the peak would mean that it is measured wrongly."""
    return Row(metric, float(share), "%", f"at most {MOST}", bool(share <= MOST))


def shape_rows(
    name: str, shape: tuple[int, int, int], peaks: dict[str, Loop]
) -> tuple[list[Row], dict[str, float]]:
    """Rows for the products of one shape, and their shares of the peak of their kind, in percent."""
    sides = dict[str, Callable[[], object]]()
    for kind, call in sides_of(name, shape, peaks).items():
        sides[kind] = call
        if kind in peaks:
            sides[f"peak of {kind}"] = partial(peaks[kind].run, STEPS)
    times = in_turn([*sides.values()], *SHORT)
    ms, calm = (
        dict(zip(sides, found, strict=True)) for found in (np.median(times, 0), undisturbed(times))
    )
    for each in (ms, calm):
        each["float32"] = min(each["float32"], each.pop("by row"))
    shares = {
        kind: 100 * math.prod(shape) / calm[kind] / (STEPS * loop.products / calm[f"peak of {kind}"])
        for kind, loop in peaks.items()
        if kind in calm
    }
    title = " x ".join(map(str, shape)) + (", float bound by memory" if shape[0] == 1 else "")
    rows = list[Row]()
    for kind in ("float32", "bfloat16", "int8"):
        if kind in ms:
            rows.append(recorded(f"{title}, over {kind}", ms[kind] / ms[name], "times"))
        if kind in shares:
            rows.append(within_peak(f"{title}, {kind} of its own peak", shares[kind]))
    ratio = ms["float32"] / ms["packing too"]
    rows.append(recorded(f"{title}, packing too, over float32", ratio, "times"))
    if name in shares:
        rows.append(within_peak(f"{title}, share of the peak", shares[name]))
    return rows, shares


def product_rows(name: str, peaks: dict[str, Loop]) -> list[Row]:
    """Rows for the products of signs: shares of the peak, and ratios to the products of torch."""
    found = {shape: shape_rows(name, shape, peaks) for shape in SHAPES}
    rows = [row for of_shape, _ in found.values() for row in of_shape]
    if name in peaks:
        shares = {shape: of_kind[name] for shape, (_, of_kind) in found.items()}
        goals = (
            ("best share of the peak", max(shares.values()), BEST),
            ("share of it at 1024 cubed", shares[CUBE], OF_CUBE),
        )
        for metric, share, least in goals:
            rows.append(
                Row(metric, float(share), "%", f"{least} to {MOST}", bool(least <= share <= MOST))
            )
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
            (plan,) = stage.plans.values()
            positions = len(plan.border[0])
            rows = module.pack_activations(np.zeros((positions, -(-length // 8)), np.uint8))
            product = rows, panels, length, module.products(rows, panels, length)
            sides.append(lambda m=module, given=product: [m.products(*given) for _ in images[:TOGETHER]])
            paired = stage.weights.kernel == "carry_save" and state.bits.shape[-1] % 8 == 0
            size = panels.shape[1] * panels.itemsize
            sides.append(partial(windows_alone, state.bits, plan.window, positions, size, paired))
            kinds[-1:] = ["signs and pools", "products", "windows"]
        state = after
    calm = undisturbed(in_turn(sides, *LONG))
    ms = dict.fromkeys(("products", "first layer", "windows", "signs and pools", "last layers"), 0.0)
    for kind, found in zip(kinds[1:], calm[1:], strict=True):
        ms[kind] += times * float(found)
    ms["signs and pools"] -= ms["products"] + ms["windows"]
    return ms | {"rest": float(calm[0]) - sum(ms.values())}


def folded(net: nn.Sequential) -> nn.Sequential:
    """A copy in which batch norms that directly follow a convolution are folded into it."""
    layers: list[nn.Module] = []
    for layer in copy.deepcopy(net).eval():
        if isinstance(layer, nn.BatchNorm2d) and isinstance(layers[-1], nn.Conv2d):
            layers[-1] = fuse_conv_bn_eval(layers[-1], layer)
        else:
            layers.append(layer)
    return nn.Sequential(*layers)


def settled_networks() -> tuple[nn.Sequential, nn.Sequential]:
    """VGG-small in float and on signs: random weights, with batch norms that have seen data."""
    torch.manual_seed(0)
    plain, binary = vgg_small(), xnor_vgg_small()
    for net in (plain, binary):
        for _ in range(3):
            net(torch.randn(16, 3, 32, 32))
        net.eval()
    return plain, binary


@torch.inference_mode()
def network_rows(name: str) -> list[Row]:
    """Rows for VGG-small: ratios to float32, and the parts of the packed network's time."""
    plain, binary = settled_networks()
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


def measured_peaks() -> dict[str, Loop]:
    """The fastest loop of each kind of product; prints what all of them reach."""
    known = loops()
    ms = undisturbed(in_turn([partial(loop.run, STEPS) for loop in known], *SHORT))
    fastest, speeds = dict[str, Loop](), defaultdict[str, float](float)
    for loop, time_ms in zip(known, ms, strict=True):
        speed = STEPS * loop.products / time_ms / 1e6
        text = f"{loop.products} products a step of {loop.instructions}: {speed:.0f} billion a second"
        print(f"{loop.kind}: {text}")
        if speed > speeds[loop.kind]:
            fastest[loop.kind], speeds[loop.kind] = loop, speed
    if "amx-tile" in features() and not tiles_allowed():
        print("The tiles of this processor are left out, since the system does not let them be used.")
    return fastest


def main() -> None:
    """Measure with the fastest kernel of this processor."""
    torch.set_num_threads(1)
    name = best_kernel()
    print(f"kernel {name}, clock {clock_ghz():.2f} GHz. Peaks, from registers alone:")
    report(__file__, product_rows(name, measured_peaks()) + network_rows(name))


if __name__ == "__main__":
    main()
