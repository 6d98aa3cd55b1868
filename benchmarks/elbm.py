"""Products of signs against elbm, one-bit products in C++ for AVX-512, one thread, in turn.

Optional: it needs the folder of elbm (github.com/CosimoRulli/elbm) as its argument, g++, and a processor
with AVX-512, VPOPCNTDQ and BITALG. A driver is compiled with the flags of elbm's own build and calls
elbm's measuring functions, which pack before the clock starts; ours is packed beforehand as well. All
kernels of elbm that fit the shapes are run, with counts of 64 bits and of 16, and the fastest counts.
Both sides give the least wall-clock time of some calls, because that is the clock elbm reads; ratios are
medians over rounds.

Both do what two instructions a cycle allow: for 2 x 512 signs elbm needs six, two each to XOR, count and
add, and ours five. Where both run at their peak, the ratio is therefore 1.2.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from _report import Row, leave_out, report

from greenai_nb.nets.kernels.processor import best_kernel, clock_ghz
from greenai_nb.nets.kernels.product import kernel, pack_signs

SHAPES = ((1024, 1024, 1024), (256, 256, 2304), (64, 512, 4608))
GOALS = (2, 1, 1)
ROUNDS, CALLS = 7, 40
FLAGS = ["-O3", "-ffast-math", "-march=native", "-mavx512vl", "-funroll-loops", "-std=c++17", "-fopenmp"]
DRIVER = r"""
#include "utils.hpp"
#include "1_bit_vs_1_bit.hpp"
int main() {
    size_t m, n, k, calls;
    while (cin >> m >> n >> k >> calls) {
        auto a = generate_bin_mat(m, k), b = generate_bin_mat(k, n);
        vector<float> c(m * n), d(m * n);
        vector<vector<uint64_t>> found = {
            measure_time_bin_bin_kernel<kernel_bin_2x8>(a, b, d, m, k, n, 2, 8, calls),
            measure_time_bin_bin_kernel<kernel_bin_8x8>(a, b, d, m, k, n, 8, 8, calls),
            measure_time_bin_bin_kernel<kernel_bin_8x16>(a, b, d, m, k, n, 8, 16, calls),
            measure_time_bin_bin_kernel_16bit<kernel_bin_8x8_16bit>(a, b, c, m, k, n, 8, 32, calls),
            measure_time_bin_bin_kernel_16bit<kernel_bin_8x16_16bit>(a, b, c, m, k, n, 8, 64, calls)};
        if (check_equality(c, d, m, n, .5f)) return 1;
        cout << "best";
        for (auto &times : found) cout << " " << *min_element(times.begin(), times.end());
        cout << endl;
    }
}
"""
NEEDED = """give the folder of elbm, whose headers are compiled here, for instance
    git clone https://github.com/CosimoRulli/elbm
    python benchmarks/elbm.py elbm"""


def compiled(source: Path, folder: str) -> Path:
    """The driver's program."""
    code, program = Path(folder, "driver.cpp"), Path(folder, "driver")
    code.write_text(DRIVER)
    command = ["g++", *FLAGS, f"-I{source / 'include'}", str(code), "-o", str(program)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        leave_out("elbm is compiled by g++, which is not installed")
    except subprocess.CalledProcessError as error:
        lines = [line for line in error.stderr.splitlines() if "error" in line]
        leave_out(f"g++ cannot compile elbm from {source}: {lines[:1]}")
    return program


def elbm_ms(driver: subprocess.Popen, shape: tuple[int, int, int]) -> float:
    """The least time of elbm's fastest kernel."""
    print(*shape, CALLS, file=driver.stdin, flush=True)
    for line in driver.stdout:
        if line.startswith("best"):
            return min(map(int, line.split()[1:])) / 1e6
    sys.exit("elbm: the driver ended early; do its kernels agree, and does this processor have AVX-512?")


class Ours:
    """Our product at a shape, checked once against integers."""

    def __init__(self, name: str, shape: tuple[int, int, int]) -> None:
        (m, n, k), rng = shape, np.random.default_rng(0)
        self.module, self.length = kernel(name), k
        a, b = rng.random((m, k)) < 0.5, rng.random((n, k)) < 0.5
        self.left = self.module.pack_activations(pack_signs(a))
        self.right = self.module.pack_weights(pack_signs(b))
        self.out = self.module.products(self.left, self.right, k)
        signs = [2 * side.astype(np.float32) - 1 for side in (a, b)]
        assert np.array_equal(self.out[:m, :n], signs[0] @ signs[1].T)

    def products(self) -> None:
        """Write all products."""
        self.module.products(self.left, self.right, self.length, self.out)


def least_ms(call: Callable[[], None]) -> float:
    """The least time of some calls."""
    found = []
    for _ in range(CALLS):
        start = time.perf_counter_ns()
        call()
        found.append(time.perf_counter_ns() - start)
    return min(found) / 1e6


def main() -> None:
    """Compile, measure in turn, report."""
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    if source is None or not (source / "include/utils.hpp").exists():
        leave_out(NEEDED)
    name, rows = best_kernel(), []
    ours, times = [Ours(name, shape) for shape in SHAPES], [[] for _ in SHAPES]
    with TemporaryDirectory() as folder:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with subprocess.Popen([compiled(source, folder)], **pipes) as driver:
            for _ in range(ROUNDS):
                for shape, own, found in zip(SHAPES, ours, times, strict=True):
                    found.append((elbm_ms(driver, shape), least_ms(own.products)))
    for (m, n, k), goal, found in zip(SHAPES, GOALS, times, strict=True):
        title = f"{m} x {n} x {k}"
        theirs, own = map(statistics.median, zip(*found, strict=True))
        ratio = statistics.median(each[0] / each[1] for each in found)
        rows += [
            Row(f"{title}, best of elbm", theirs, "ms", "recorded", True),
            Row(f"{title}, ours", own, "ms", "recorded", True),
            Row(f"{title}, over elbm", ratio, "times", f"at least {goal}", ratio >= goal),
        ]
    print(f"kernel {name}, clock {clock_ghz():.2f} GHz")
    report(__file__, rows)


if __name__ == "__main__":
    main()
