"""Training steps of the real sizes on a card: ours, the plain loop's, and what was predicted.

    python benchmarks/card.py                 # SDXL at 1024 px and SD1.5 at 512 px, random weights
    python benchmarks/card.py --family sdxl   # one of them

Speed and memory do not depend on the weights' values. Where there is no card the same file runs
with the demo's models on the CPU (32 and 64 px), which shows that it runs, and little more.

Ours is the time from one update to the next as a trial sees it; both have everything cached, the
same batch, rank, targets, optimizer and precision, and are interleaved. TFLOP/s are the model's:
what checkpointing computes again is not counted. `told` is the predicted peak, in GiB.
"""

import argparse
import gc
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from random_model import PICTURES, RandomData, random_model
from reference_loop import Cached, Wanted, step_of
from trial_against_process import WEIGHTS

from optimizer.config.study import ModelConfig
from optimizer.config.training import Hyperparameters, Targets
from optimizer.logs import quiet_libraries
from optimizer.models.attention import apply_attention, xformers_problem
from optimizer.models.device import GIB, best_device, device_name, free_unused
from optimizer.models.loading import load_model
from optimizer.models.shapes import shapes_of
from optimizer.training.adapter_config import UNET_TARGETS
from optimizer.training.cost import network_bytes, step_cost
from optimizer.training.forecast import Forecast
from optimizer.training.memory import MemoryWay
from optimizer.training.trainer import Trainer

TFLOP = 1e12
SIDES = {"sd15": 512, "sdxl": 1024}


@dataclass(frozen=True)
class Case:
    """One line of the table. compiled: the UNet's transformer blocks, by torch."""

    batch: int = 1
    checkpointing: bool = False
    dim: int = 64
    targets: Targets = "transformer"
    attention: str = "sdpa"
    compiled: bool = False

    def name(self) -> str:
        facts = [f"batch {self.batch}", f"dim {self.dim}", self.targets, self.attention]
        facts += ["checkpointing"] * self.checkpointing + ["compiled"] * self.compiled
        return ", ".join(facts)


BASE = [Case(batch=b, checkpointing=c) for c in (True, False) for b in (1, 2, 4, 8)]
VARIED = [
    replace(Case(batch=4), **change)
    for change in (
        {"dim": 16},
        {"targets": "attention"},
        {"attention": "xformers"},
        {"compiled": True},
        {"compiled": True, "checkpointing": True},
    )
]


@dataclass(frozen=True)
class Measured:
    """Seconds of a step and, on a card, most bytes held."""

    seconds: float
    peak: int | None


class Bench:
    """A base model of one family on this machine's best device."""

    def __init__(self, family: str, folder: Path, steps: int) -> None:
        self.family, self.folder, self.steps = family, folder, steps
        self.device = best_device()
        self.is_full = self.device.type == "cuda"
        name = "of/the-public-architecture" if self.is_full else str(WEIGHTS.parent / family)
        self.config = ModelConfig.model_validate(
            {"family": family, "pretrained_model_name_or_path": name}
        )
        full = self.is_full
        self.model = (random_model if full else load_model)(self.config, self.device)
        self.side = SIDES[family] if self.is_full else self.model.native_resolution
        self.precision = "bf16" if self.is_full else "no"
        self.forecast = Forecast(shapes_of(self.config), (self.side, self.side))
        self.flops: dict[object, int] = {}
        self.data = RandomData(self.model, folder / family, self.side, steps)

    def ours(self, case: Case) -> Measured:
        """A trial's own step."""
        settings = Hyperparameters(
            network_dim=case.dim,
            network_alpha=float(case.dim),
            targets=case.targets,
            train_batch_size=case.batch,
            gradient_checkpointing=case.checkpointing,
            max_train_epochs=case.batch,  # an epoch is `steps` times the pictures
        )
        ends: list[float] = []

        def observe(_: Any) -> None:
            ends.append(time.perf_counter())
            if len(ends) == self.steps + 1:
                raise KeyboardInterrupt

        def run() -> list[float]:
            try:
                Trainer(self.model, self.data).train(
                    settings, self.folder / "out", "lora", observe=observe
                )
            except KeyboardInterrupt:
                return [b - a for a, b in itertools.pairwise(ends)]
            raise AssertionError("there were too few pictures")

        with self._prepared(case):
            return self._measured(run)

    def reference(self, case: Case) -> Measured:
        """The plain loop's step."""
        accelerator = Accelerator(mixed_precision=self.precision, cpu=self.device.type == "cpu")
        wanted = Wanted(
            self.family,
            self.folder,
            steps=10_000,
            batch_size=case.batch,
            resolution=self.side,
            rank=case.dim,
            checkpointing=case.checkpointing,
            targets=tuple(UNET_TARGETS[case.targets]),
        )
        try:
            step, _ = step_of(self.model.pipeline, self._cached(), wanted, accelerator)

            def run() -> list[float]:
                return [_seconds(step, number) for number in range(self.steps)]

            return self._measured(run)
        finally:
            unet = self.model.pipeline.unet
            unet.disable_gradient_checkpointing()
            unet.delete_adapters("default")
            unet.eval()
            AcceleratorState._reset_state(reset_partial_state=True)
            GradientState._reset_state()

    def predicted(self, case: Case) -> tuple[int, int]:
        """Bytes at the peak of the same step, and operations without checkpointing's own."""
        settings = Hyperparameters(network_dim=case.dim, targets=case.targets)
        way = MemoryWay(case.checkpointing, case.batch)
        base = sum(network_bytes(module) for module in self.forecast.shapes.modules.values())
        key = (case.dim, case.targets)
        if key not in self.flops:
            plain = settings.model_copy(update={"gradient_checkpointing": False})
            size = (self.side, self.side)
            self.flops[key] = step_cost(self.forecast.shapes, plain, 1, size).flops
        return base + self.forecast.beside(settings, way), case.batch * self.flops[key]

    def _cached(self) -> Cached:
        kind = self.model.dtype if self.is_full else torch.float32
        latents = torch.randn(PICTURES, 4, *([self.side // self.model.vae_factor] * 2))
        pooled = self.data.pooled
        embeds = self.data.states.repeat(PICTURES, 1, 1)
        return (
            latents.to(self.device),
            embeds.to(self.device, kind),
            None if pooled is None else pooled.repeat(PICTURES, 1).to(self.device, kind),
        )

    @contextmanager
    def _prepared(self, case: Case) -> Iterator[None]:
        unet = self.model.pipeline.unet
        blocks = [m for m in unet.modules() if type(m).__name__ in unet._repeated_blocks]
        processors = unet.attn_processors
        apply_attention(self.model.pipeline, "xformers" if case.attention == "xformers" else "sdpa")
        if case.compiled:
            unet.compile_repeated_blocks()
        try:
            yield
        finally:
            unet.set_attn_processor(processors)
            for block in blocks:
                block._compiled_call_impl = None

    def _measured(self, run: Callable[[], list[float]]) -> Measured:
        free_unused()
        if self.is_full:
            torch.cuda.reset_peak_memory_stats()
        seconds = run()
        peak = torch.cuda.max_memory_allocated() if self.is_full else None
        gc.collect()
        return Measured(median(seconds[len(seconds) // 3 :]), peak)


def _seconds(step: Callable[[int], float], number: int) -> float:
    started = time.perf_counter()
    step(number)
    return time.perf_counter() - started


def matrix_peak(device: torch.device) -> float:
    """Operations a second of one large matrix product, bf16 on a card and float32 on the CPU."""
    on_card = device.type == "cuda"
    side = 8192 if on_card else 1024
    matrix = torch.randn(side, side, device=device, dtype=torch.bfloat16 if on_card else None)
    seconds = []
    for _ in range(20):
        started = time.perf_counter()
        matrix @ matrix
        if on_card:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return 2 * side**3 / median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--family", choices=SIDES, action="append")
    parser.add_argument("--steps", type=int, default=12, help="of each measurement")
    parser.add_argument("--pairs", type=int, default=1, help="measurements of each, interleaved")
    chosen = parser.parse_args()
    quiet_libraries()
    device = best_device()
    peak = matrix_peak(device)
    print(f"{device_name(device)}, torch {torch.__version__}, {peak / TFLOP:.3g} TFLOP/s matrices")
    with tempfile.TemporaryDirectory() as temporary:
        for family in chosen.family or SIDES:
            bench = Bench(family, Path(temporary), chosen.steps)
            print(f"\n{family} at {bench.side} px, {'random' if bench.is_full else 'demo'} weights")
            print("| settings | pictures/s | plain loop | ratio | TFLOP/s | of peak | GiB | told |")
            print("|---|---|---|---|---|---|---|---|")
            for case in BASE + VARIED:
                print(_line(bench, case, chosen.pairs, peak), flush=True)


def _line(bench: Bench, case: Case, pairs: int, peak: float) -> str:
    problem = xformers_problem(bench.device) if case.attention == "xformers" else None
    if problem:
        return f"| {case.name()} | not here: {problem} | | | | | | |"
    try:
        both = [(bench.ours(case), bench.reference(case)) for _ in range(pairs)]
    except torch.OutOfMemoryError:
        return f"| {case.name()} | out of memory | | | | | | |"
    ours, plain = (median(m.seconds for m in side) for side in zip(*both, strict=True))
    ratio = median(p.seconds / o.seconds for o, p in both)
    told, flops = bench.predicted(case)
    rate = flops / ours
    held = both[0][0].peak
    held_gib = "" if held is None else f"{held / GIB:.2f}"
    return (
        f"| {case.name()} | {case.batch / ours:.3g} | {case.batch / plain:.3g} | {ratio:.2f} "
        f"| {rate / TFLOP:.3g} | {rate / peak:.0%} | {held_gib} | {told / GIB:.2f} |"
    )


if __name__ == "__main__":
    main()
