"""Record the power draw of an NVIDIA GPU while networks run on it, to be replayed anywhere.

    python -m greenai_nb.energy.record_trace FOLDER [--gpu 0] [--interval-ms 1 10 100]

After a warm-up there is one recording for each interval: an idle second, and then each workload
repeated for 0.4 s, since a counter is updated too rarely to see one pass. ``every_1_ms.csv`` is a trace
for ``replay.read_trace``; ``card.json`` names the machine and says when each workload ran.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from greenai_nb import machine
from greenai_nb.energy.backends.nvml import Nvml, ask
from greenai_nb.files import write_atomic
from greenai_nb.nets.architectures import cnn, mlp
from greenai_nb.nets.inception import inception_v3
from greenai_nb.nets.mobilenet import mobilenet_v2

NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, int, int]]] = {
    "MobileNetV2": (mobilenet_v2, (3, 224, 224)),
    "Inception-v3": (inception_v3, (3, 299, 299)),
    "CNN": (partial(cnn, 16), (1, 28, 28)),
    "perceptron": (partial(mlp, 784, 256, bias=True), (1, 28, 28)),
}
BATCH, IDLE_S, WORK_S, MAX_BYTES = 32, 1.0, 0.4, 200_000
Works = dict[str, Callable[[], object]]


def record(board: object, work: Callable[..., object], interval_s: float) -> pd.DataFrame:
    """Samples of a board's energy and power, ``interval_s`` seconds apart, while ``work(clock)`` runs.

    ``time_s``, ``energy_uj`` and the clock count from the first sample, which comes before the work; the
    last comes after it. Raises what NVML and the work raise.
    """

    def sample() -> tuple[float, int, int]:
        energy_mj = ask("nvmlDeviceGetTotalEnergyConsumption", board)
        return time.perf_counter(), energy_mj, ask("nvmlDeviceGetPowerUsage", board)

    samples = [sample()]
    start_s, start_mj, _ = samples[0]
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work, lambda: time.perf_counter() - start_s)
        while wait([working], samples[-1][0] + interval_s - time.perf_counter()).not_done:
            samples.append(sample())
    working.result()
    rows = [(at - start_s, 1000 * (mj - start_mj), mw / 1000) for at, mj, mw in [*samples, sample()]]
    return pd.DataFrame(rows, columns=["time_s", "energy_uj", "power_w"]).round(6)


def works() -> Works:
    """A training step and a batch of answers of each network."""
    made: Works = {}
    for name, (build, shape) in NETWORKS.items():
        net, images = build().cuda(), torch.randn(BATCH, *shape).cuda()
        optimiser, fixed = torch.optim.SGD(net.parameters(), lr=1e-3), build().cuda().eval()
        made[f"{name}, training step"] = partial(_train, net, images, optimiser)
        made[f"{name}, batch of answers"] = torch.inference_mode()(partial(fixed, images))
    return made


def _train(net: nn.Module, images: torch.Tensor, optimiser: torch.optim.Optimizer) -> None:
    optimiser.zero_grad()
    nn.functional.cross_entropy(net(images), torch.arange(BATCH).cuda() % 10).backward()
    optimiser.step()


def session(todo: Works, ran: dict[str, object], clock: Callable[[], float]) -> None:
    """Idle, then repeat each workload for ``WORK_S`` seconds; ``ran`` records when and how often."""
    time.sleep(IDLE_S)
    for name, work in todo.items():
        start_s, passes = clock(), 0
        while clock() < start_s + WORK_S:
            work()
            torch.cuda.synchronize()
            passes += 1
        ran[name] = {"from_s": round(start_s, 6), "to_s": round(clock(), 6), "passes": passes}


def recordings(gpu: int, intervals_ms: Sequence[float]) -> dict[str, str]:
    """Contents of the files by name. Raises as ``Nvml``, and ``OSError`` without CUDA or over 200 kB."""
    (board,) = Nvml([gpu]).boards
    os.environ["CUDA_VISIBLE_DEVICES"] = ask("nvmlDeviceGetUUID", board)  # CUDA may number it otherwise
    if not torch.cuda.is_available():
        raise OSError(f"torch {torch.__version__} reaches no GPU: install a build of torch for CUDA")
    files, ran, todo = dict[str, str](), dict[str, dict[str, object]](), works()
    session(todo, {}, time.perf_counter)
    for name, interval_ms in {f"every_{each:g}_ms.csv": each for each in intervals_ms}.items():
        ran[name] = {"interval_ms": interval_ms}
        table = record(board, partial(session, todo, ran[name]), interval_ms / 1000)
        files[name] = table.to_csv(index=False)
    gpu_card = {"name": ask("nvmlDeviceGetName", board), "driver": ask("nvmlSystemGetDriverVersion")}
    card = {"machine": machine.card(), "gpu": gpu_card, "batch": BATCH, "recordings": ran}
    files["card.json"] = json.dumps(card, indent=1)
    if (size := sum(map(len, files.values()))) > MAX_BYTES:
        raise OSError(f"files take {size} bytes, at most {MAX_BYTES} may: take longer intervals")
    return files


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the recordings; exit with 1 where no GPU can be recorded, and with 2 for wrong use."""
    parser = argparse.ArgumentParser("record-trace")
    parser.add_argument("folder", type=Path, help="a new or empty folder")
    parser.add_argument("--gpu", type=int, default=0, help="its index in nvidia-smi, 0 by default")
    parser.add_argument("--interval-ms", type=float, nargs="+", default=[1.0, 10.0, 100.0])
    given = parser.parse_args(arguments)
    if not all(1 <= each <= 1000 for each in given.interval_ms):
        parser.error(f"--interval-ms must be numbers in [1, 1000], got {given.interval_ms}")
    if given.folder.is_file() or [*given.folder.glob("*")]:
        parser.error(f"{given.folder} must be a new or empty folder, since nothing is overwritten")
    try:
        for name, content in recordings(given.gpu, given.interval_ms).items():
            write_atomic(given.folder / name, content)
    except ValueError as problem:
        parser.error(str(problem))
    except (OSError, torch.OutOfMemoryError) as problem:
        parser.exit(1, f"{problem}\n")


if __name__ == "__main__":
    main()
