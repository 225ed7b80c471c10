"""The time of one training step against the plain loop's, everything cached that can be.

    python benchmarks/step_time.py --pairs 5

The demo's SDXL, one CPU thread, the same pictures, batch, rank, targets, optimizer and precision;
a step of ours and one of its in turn, in one process. Ours is the time from one update to the next
as a trial sees it, with all that it does in between. Prints every pair of runs and the median ratio
for batches of 1 and of 4.
"""

import argparse
import platform
import tempfile
import time
from pathlib import Path
from statistics import median

import torch
from reference_loop import Wanted, prepared
from trial_against_process import RANK, RATE, WEIGHTS, prepared_data, trial_settings

from optimizer.demo import layout
from optimizer.logs import quiet_libraries
from optimizer.training.prepared import PreparedData
from optimizer.training.results import Step
from optimizer.training.trainer import Trainer

PICTURES, STEPS, WARM_UP = 24, 48, 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    pairs = parser.parse_args().pairs
    quiet_libraries()
    torch.set_num_threads(1)
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, 1 thread")
    print(f"ms a step, median of {STEPS - WARM_UP}; rank {RANK}, SDXL of the demo, 64 px")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        layout.save_drawings(folder / "images", layout.subject_drawings(PICTURES, 64, seed=1))
        data = prepared_data(folder)
        for batch in (1, 4):
            _report(batch, _compared(folder, data, batch, pairs))


def _compared(
    folder: Path, data: PreparedData, batch: int, pairs: int
) -> list[tuple[float, float]]:
    wanted = Wanted(
        str(WEIGHTS),
        folder / "images",
        steps=10_000,
        batch_size=batch,
        rank=RANK,
        learning_rate=RATE,
    )
    return [_pair(wanted, data, folder) for _ in range(pairs)]


def _pair(wanted: Wanted, data: PreparedData, folder: Path) -> tuple[float, float]:
    """Medians of both, step about: whatever else the machine does meanwhile, it does to both."""
    step, _ = prepared(wanted)  # anew: what accelerate knows of the process ends with our run
    ours: list[float] = []
    reference: list[float] = []
    began = time.perf_counter()

    def observe(_: Step) -> None:
        nonlocal began
        ended = time.perf_counter()
        step(len(ours))
        ours.append(ended - began)
        began = time.perf_counter()
        reference.append(began - ended)

    settings = trial_settings(wanted.batch_size, STEPS, len(data.records))
    Trainer(data.model, data).train(settings, folder / "ours", "lora", observe=observe)
    return median(ours[WARM_UP:]), median(reference[WARM_UP:])


def _report(batch: int, pairs: list[tuple[float, float]]) -> None:
    print(f"\nbatch {batch}\npair     ours  reference  reference / ours")
    for number, (ours, reference) in enumerate(pairs, start=1):
        print(
            f"{number:>4} {1000 * ours:>8.1f} {1000 * reference:>10.1f} {reference / ours:>17.2f}"
        )
    print(f"median ratio: {median(reference / ours for ours, reference in pairs):.2f}")


if __name__ == "__main__":
    main()
