"""VGG-small on single bits beside the same network on eight bits, by torch and by ONNX Runtime.

Optional, as it needs a package index: ONNX and its runtime go into a folder that is thrown away
afterwards. All sides take the same images and are timed in turn, in one process, by the CPU time of the
calling thread; it is checked that no other thread computes.

The networks on eight bits are made from the float one as for deployment: batch norms are folded into
convolutions, each filter has a scale of its own, and activations have the ranges that training images
give them. Torch quantises for oneDNN, which multiplies tiles of numbers where the processor can (AMX);
ONNX Runtime with its defaults, signed numbers in the format QDQ, which its documentation advises. The
time of a kind is that of the best of its forms: layouts of images, called layer by layer or traced.

Times are of the papers' widths with random weights, and of a quarter of them after training. Accuracies
are after the trainings of ``vgg_accuracy``.
"""

import copy
import logging
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from _report import Row, leave_out, report, throwaway_packages
from torch import Tensor, nn
from torch.ao import quantization
from torch.nn.utils.fusion import fuse_conv_bn_eval
from vgg_accuracy import accuracy_rows, over_seeds, padded, percent_right
from xnor import folded, in_turn, recorded, settled_networks

from greenai_nb.nets.architectures import vgg_small, xnor_vgg_small
from greenai_nb.nets.kernels.processor import best_kernel, clock_ghz
from greenai_nb.nets.packed.pack import pack

PACKAGES = ("onnx==1.23.2", "onnxruntime==1.32.0", "onnxscript==0.7.2")
ENGINE, BATCHES, CALIBRATION, PART = "onednn", (1, 64), 512, 64
TORCH, ONNX, ONNX_INT8 = "torch float32", "ONNX Runtime float32", "ONNX Runtime int8"
AHEAD = (TORCH, ONNX, ONNX_INT8)  # kinds that the packed network has to outrun
CLOSE, OFF, AGREE = 1e-4, 0.1, 0.95  # float to float; eight bits to float, in norm and in class

Network = Callable[[Tensor], Tensor]


def without_norms(net: nn.Sequential) -> nn.Sequential:
    """A copy with every batch norm folded into the convolution before it, and pools after the ReLUs.

    A norm with positive scales may pass a max-pool, and a ReLU always may.
    """
    layers: list[nn.Module] = []
    for layer in copy.deepcopy(net).eval():
        pooled = layers and isinstance(layers[-1], nn.MaxPool2d)
        if isinstance(layer, nn.BatchNorm2d):
            assert (layer.weight > 0).all()
            place = -2 if pooled else -1
            layers[place] = fuse_conv_bn_eval(layers[place], layer)
        elif isinstance(layer, nn.ReLU) and pooled:
            layers.insert(-1, layer)
        else:
            layers.append(layer)
    return nn.Sequential(*layers).eval()


class InRows(nn.Module):
    """A network that computes with the channels of a pixel side by side, given images as they are."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = copy.deepcopy(net).to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images.to(memory_format=torch.channels_last))


def torch_int8(net: nn.Sequential, seen: Tensor) -> nn.Module:
    """The network quantised by torch after it has seen some images."""
    pairs = [[f"{at + 1}", f"{at + 2}"] for at, layer in enumerate(net) if isinstance(layer, nn.Conv2d)]
    stubs = nn.Sequential(quantization.QuantStub(), *copy.deepcopy(net), quantization.DeQuantStub())
    fused = quantization.fuse_modules(stubs.eval(), pairs)
    fused.qconfig = quantization.get_default_qconfig(ENGINE)
    watched = quantization.prepare(fused)
    for part in seen.split(PART):
        watched(part)
    return quantization.convert(watched)


def session(file: Path) -> Network:
    """A network in ONNX, run by one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    runs = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(runs.run(None, {"images": images.numpy()})[0])


def onnx_networks(net: nn.Sequential, seen: Tensor, folder: Path) -> tuple[Network, Network]:
    """The network in ONNX: in float32, and quantised after it has seen some images."""
    from onnxruntime.quantization import CalibrationDataReader, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        parts = iter(seen.split(PART))

        def get_next(self):
            part = next(self.parts, None)
            return None if part is None else {"images": part.numpy()}

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    exported, shaped, quantised = (folder / f"{kind}.onnx" for kind in ("float", "shaped", "int8"))
    torch.onnx.export(
        net, (seen[:2],), exported, input_names=["images"], dynamic_shapes=({0: "batch"},),
        external_data=False, verbose=False,
    )  # fmt: skip
    quant_pre_process(exported, shaped)
    quantize_static(shaped, quantised, Reader(), per_channel=True)
    return session(exported), session(quantised)


def assert_alone(call: Callable[[], object]) -> None:
    """Check that a call computes in the calling thread alone."""
    mine, everyone = time.thread_time(), time.process_time()
    for _ in range(10):
        call()
    mine, everyone = time.thread_time() - mine, time.process_time() - everyone
    assert everyone <= 1.05 * mine, f"{everyone:.3f} s of CPU time, {mine:.3f} s in the calling thread"


def opponents(plain: nn.Sequential, seen: Tensor) -> dict[str, list[Network]]:
    """The forms of each kind of network, checked against the float one on the images they have seen."""
    net = without_norms(plain)
    with TemporaryDirectory() as folder:
        onnx_float, onnx_int8 = onnx_networks(net, seen, Path(folder))
    last, small = InRows(net), torch_int8(net, seen)
    kinds: dict[str, list[Network]] = {
        TORCH: [plain, InRows(folded(plain)), last, torch.jit.trace(last, seen[:2])],
        "torch int8": [InRows(small), torch.jit.trace(small, seen[:2])],
        ONNX: [onnx_float],
        ONNX_INT8: [onnx_int8],
    }
    right = plain(seen)
    for kind, form in ((kind, form) for kind, forms in kinds.items() for form in forms):
        found = form(seen)
        off, agree = (found - right).norm() / right.norm(), found.argmax(1) == right.argmax(1)
        assert kind not in (TORCH, ONNX) or torch.allclose(found, right, atol=CLOSE), kind
        assert off <= OFF and agree.double().mean() >= AGREE, f"{kind} is off by {off:.3f}"
        assert_alone(partial(form, seen[:1]))
    return kinds


def time_rows(
    title: str, kinds: dict[str, list[Network]], binary: nn.Module, images: Tensor, ahead: Sequence[str]
) -> list[Row]:
    """Rows for the time of a batch: of the packed network, of each kind, and their ratio.

    Each size of a batch has copies of its own, because torch's int8 prepares for the first size it sees.
    """
    packed, rows = pack(binary, best_kernel()), list[Row]()
    for batch in BATCHES:
        given, at = images[:batch], f"{title}, batch {batch}"
        assert torch.allclose(packed(given), binary(given), atol=1e-5)
        sides = [packed, *copy.deepcopy([form for forms in kinds.values() for form in forms])]
        ours, *found = np.median(in_turn([partial(side, given) for side in sides]), 0)
        rows.append(recorded(f"{at}, packed", ours, "ms"))
        for kind, forms in kinds.items():
            ms, found = min(found[: len(forms)]), found[len(forms) :]
            rows.append(recorded(f"{at}, {kind}", ms, "ms"))
            goal, holds = ("at least 1", bool(ms >= ours)) if kind in ahead else ("recorded", True)
            rows.append(Row(f"{at}, over {kind}", float(ms / ours), "times", goal, holds))
    return rows


def full_rows() -> list[Row]:
    """Times of the papers' widths."""
    plain, binary = settled_networks()
    kinds = opponents(plain, torch.randn(CALIBRATION, 3, 32, 32))
    return time_rows("vgg_small", kinds, binary, torch.randn(max(BATCHES), 3, 32, 32), AHEAD)


def digit_rows() -> list[Row]:
    """Accuracies of a quarter of the widths on MNIST-10k over seeds, and times with the first seed."""
    data, scores, rows = padded(), dict[str, list[float]](), list[Row]()
    seen, images = (split.scaled()[:CALIBRATION] for split in (data.train, data.test))
    for plain, binary in zip(over_seeds(vgg_small, data), over_seeds(xnor_vgg_small, data), strict=True):
        with torch.inference_mode():
            kinds = opponents(plain, seen)
            for kind, forms in (kinds | {"packed": [pack(binary)]}).items():
                scores.setdefault(kind, []).append(percent_right(forms[0], data))
            rows = rows or time_rows("vgg_small, quarter width", kinds, binary, images, ())
        print(scores, flush=True)
    return rows + accuracy_rows(scores)


def main() -> None:
    """Install, measure, report."""
    torch.set_num_threads(1)
    if ENGINE not in torch.backends.quantized.supported_engines:
        leave_out(f"this build of torch does not quantise for {ENGINE}")
    torch.backends.quantized.engine = ENGINE
    warnings.filterwarnings("ignore", ".*deprecated")
    with TemporaryDirectory() as folder:
        throwaway_packages(folder, PACKAGES)
        with torch.inference_mode():
            rows = full_rows()
        rows += digit_rows()
    print(f"kernel {best_kernel()}, clock {clock_ghz():.2f} GHz")
    report(__file__, rows)


if __name__ == "__main__":
    main()
