"""A binary 3x3 convolution on bits against Larq Compute Engine on x86, one thread, in turn.

Optional, as it needs a package index: Larq and TensorFlow go into a virtual environment that is thrown
away afterwards, and Larq runs there, in a second process. The two processes are never busy at once: in
each round one times a shape, then the other. Both measure the CPU time of the calling thread, in which
Larq's interpreter computes as well.

The tasks are alike, but not the same. Larq quantises a float input and writes a float output after batch
norm, and pads with +1, as its optimised path requires. Ours takes and gives signs, and pads with
zeros; a second row adds the step from floats to signs. Larq's time is the better of its default path and
its indirect one, without the wrapper around its interpreter.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from tempfile import TemporaryDirectory

# Positions along a side, channels in, channels out.
SHAPES = ((32, 128, 128), (16, 128, 256), (16, 256, 256), (8, 256, 512), (8, 512, 512))
ROUNDS, CALLS, GOAL = 7, 15, 10
LARQ = ("larq-compute-engine==0.16.0", "larq==0.13.3")
PACKAGES = (*LARQ, "tensorflow-cpu==2.15.*", "numpy<2", "setuptools<81")
LARQ_SIDE = "--larq-side"


def cpu_ms(call: Callable[[], object]) -> float:
    """CPU time of a call in milliseconds, the median of a few after one that is not counted."""
    call()
    found = []
    for _ in range(CALLS):
        start = time.thread_time_ns()
        call()
        found.append((time.thread_time_ns() - start) / 1e6)
    return statistics.median(found)


def larq_side() -> None:
    """For each line with the number of a shape, answer with the times of Larq's two paths."""
    import larq
    import larq_compute_engine as engine
    import numpy as np
    import tensorflow as tf
    from larq_compute_engine.tflite.python.interpreter import Interpreter

    tf.get_logger().setLevel("ERROR")
    signs = dict.fromkeys(("input_quantizer", "kernel_quantizer"), "ste_sign")
    plain = {"kernel_constraint": "weight_clip", "padding": "same", "pad_values": 1.0, "use_bias": False}
    sides = []
    for places, inputs, outputs in SHAPES:
        convolution = larq.layers.QuantConv2D(outputs, 3, **signs, **plain)
        layers = [tf.keras.Input((places, places, inputs)), convolution]
        model = tf.keras.Sequential([*layers, tf.keras.layers.BatchNormalization()])
        flat = engine.convert_keras_model(model)
        x = np.random.default_rng(0).standard_normal((1, places, places, inputs), np.float32)
        paths = [Interpreter(flat, 1, use_indirect_bgemm=way).interpreter for way in (False, True)]
        for path in paths:
            assert np.allclose(path.predict([x])[0], model(x).numpy(), atol=1e-2)
        sides.append([lambda x=x, path=path: path.predict([x]) for path in paths])
    for line in sys.stdin:
        print(json.dumps([cpu_ms(path) for path in sides[json.loads(line)]]), flush=True)


def our_sides(shape: tuple[int, int, int]) -> list[Callable[[], object]]:
    """Calls of our convolution: from signs to signs, and from floats to signs."""
    import torch
    from torch import nn

    from greenai_nb.nets.binary import BinaryConv2d, Sign
    from greenai_nb.nets.packed.pack import pack

    places, inputs, outputs = shape
    torch.manual_seed(0)
    convolution, norm = BinaryConv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs)
    net = nn.Sequential(Sign(), convolution, norm, Sign())
    x = torch.randn(1, inputs, places, places)
    with torch.inference_mode():
        net(torch.randn(4, inputs, places, places))
        packed = pack(net.eval())
        assert torch.equal(packed(x), net(x))
    to_signs, stage = packed.stages
    signs = to_signs(x)
    return [lambda: stage(signs), lambda: stage(to_signs(x))]


def answer(larq: subprocess.Popen) -> object:
    """The next answer of Larq's process."""
    line = larq.stdout.readline()
    if not line:
        sys.exit("larq: Larq's process ended early; its last output is above")
    return json.loads(line)


def main() -> None:
    """Install, measure in turn, report."""
    import torch
    from _report import Row, report, throwaway_python

    from greenai_nb.nets.kernels.processor import best_kernel, clock_ghz

    torch.set_num_threads(1)
    ours, times = [our_sides(shape) for shape in SHAPES], [[] for _ in SHAPES]
    with TemporaryDirectory() as folder:
        start = time.monotonic()
        command = [throwaway_python(folder, PACKAGES), "-I", __file__, LARQ_SIDE]
        print(f"Larq installed in {time.monotonic() - start:.0f} s")
        environment = os.environ | dict.fromkeys(("HOME", "KERAS_HOME", "TMPDIR"), folder)
        environment["TF_CPP_MIN_LOG_LEVEL"] = "3"
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
        with subprocess.Popen(command, **pipes) as larq:
            for _ in range(ROUNDS):
                for number, sides in enumerate(ours):
                    print(number, file=larq.stdin, flush=True)
                    times[number].append([*answer(larq), *map(cpu_ms, sides)])
    rows = []
    for (places, inputs, outputs), found in zip(SHAPES, times, strict=True):
        default, indirect, bits, floats = map(statistics.median, zip(*found, strict=True))
        best, title = min(default, indirect), f"{places}x{places} {inputs} to {outputs}"
        ratio, goal = best / bits, f"at least {GOAL}"
        rows += [
            Row(f"{title}, best of Larq", best, "ms", "recorded", True),
            Row(f"{title}, ours", bits, "ms", "recorded", True),
            Row(f"{title}, signs in and out, over Larq", ratio, "times", goal, ratio >= GOAL),
            Row(f"{title}, floats in, over Larq", best / floats, "times", "recorded", True),
        ]
    print(f"kernel {best_kernel()}, clock {clock_ghz():.2f} GHz")
    report(__file__, rows)


if __name__ == "__main__":
    larq_side() if LARQ_SIDE in sys.argv[1:] else main()
