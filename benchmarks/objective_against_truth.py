"""Does the objective rank LoRAs as the pixels do? Only the demo's drawing code knows the truth.

    python benchmarks/objective_against_truth.py

Trains LoRAs from hopeless to over-trained on the demo's SDXL, scores each as a search does, and
draws four times as many fresh pictures for the truth: the share that shows the subject's colours on
the background that the prompt asks for, read from the pixels. Prints Spearman rank correlations,
also for metrics alone, and for the objective as it was: cut off at what real pictures score when
each is compared with the other ones only.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr

from optimizer.config.study import load_study
from optimizer.demo.layout import lay_out
from optimizer.demo.world import background_of, shows_subject
from optimizer.logs import quiet_libraries
from optimizer.models.lora import applied_lora
from optimizer.scoring import metrics
from optimizer.scoring.generate import draw
from optimizer.scoring.objective import weighted_geometric_mean
from optimizer.scoring.scorer import Scorer
from optimizer.scoring.vae import rebuilt
from optimizer.training.results import TrainingResult
from optimizer.trial.workbench import Workbench, open_workbench

# learning rate, epochs, checkpoint every so many, network_dim
RUNS = (
    *((3e-3, 8, 2, 8), (1e-2, 8, 2, 8), (1e-3, 8, 2, 8), (3e-4, 6, 3, 8), (3e-2, 6, 3, 8)),
    *((5e-3, 24, 4, 16), (1e-2, 30, 10, 16), (2e-3, 12, 3, 4), (1e-1, 4, 2, 8), (2e-2, 16, 4, 8)),
)


def main() -> None:
    quiet_libraries()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        list(lay_out(Path(temporary)))
        config = load_study(Path(temporary) / "studies" / "demo_sdxl.toml")
        bench = open_workbench(config)
        rows = [row for n, run in enumerate(RUNS) for row in _rows(bench, n, run)]
    _report({name: np.array([row[name] for row in rows]) for name in rows[0]})


def _rows(
    bench: Workbench, number: int, run: tuple[float, int, int, int]
) -> list[dict[str, float]]:
    rows = []
    for checkpoint in trained(bench, number, run).checkpoints:
        with applied_lora(bench.model, checkpoint.path):
            row = _measured(bench.scorer) | {"truth": truth(bench.scorer, times=4)}
        rows.append(row)
        print(
            f"lr {run[0]:g} epoch {checkpoint.epoch:2}  "
            + "  ".join(f"{n} {v:.3f}" for n, v in row.items()),
            flush=True,
        )
    return rows


def trained(bench: Workbench, number: int, run: tuple[float, int, int, int]) -> TrainingResult:
    """One of RUNS."""
    rate, epochs, every, dim = run
    settings = bench.config.training.model_copy(
        update={
            "learning_rate": rate,
            "max_train_epochs": epochs,
            "save_every_n_epochs": every,
            "network_dim": dim,
            "network_alpha": float(dim),
        }
    )
    return bench.trainer.train(settings, bench.config.folder / f"{number}", "lora")


def truth(scorer: Scorer, times: int) -> float:
    """Of `times` as many pictures, on other seeds, the share that shows what was asked for."""
    fresh = scorer.redrawn(times)
    plan = fresh.prompts.subject
    images = draw(fresh.model, plan, fresh.config)
    right = [
        shows_subject(image) and f"on a {background_of(image)} background" in picture.judged
        for image, picture in zip(images, plan, strict=True)
    ]
    return float(np.mean(right))


def _measured(scorer: Scorer) -> dict[str, float]:
    scores = scorer.score().scores
    parts = {name: part.value for name, part in scores.parts.items()}
    side = scorer.config.resolution
    rebuilds = [rebuilt(scorer.model, image, side) for image in scorer.reference_images]
    real = scorer.encoder.pictures(rebuilds)
    alike = metrics.alike(real, scorer.references)
    base = float(scorer.anchors.base["clip_i"].mean())
    cut = float(np.clip((parts["clip_i"] - base) / (alike - base), 0, 1))
    before = {"subject": cut, "prompt": parts["prompt"]}
    before["preservation"] = parts["preservation_share"]
    return {
        "objective": scores.objective,
        "objective as it was": float(weighted_geometric_mean(before, "balanced")),
        "clip_i": parts["clip_i"],
        "clip_t": parts["clip_t"],
    }


def _report(found: dict[str, np.ndarray]) -> None:
    truth = found.pop("truth")
    good = truth > np.median(truth)
    print(f"{len(truth)} LoRAs; truth of the best {truth.max():.2f}, median {np.median(truth):.2f}")
    print("                       Spearman with truth   in the better half   truth of its pick")
    for name, values in found.items():
        whole, half = (spearmanr(values[s], truth[s])[0] for s in (slice(None), good))
        pick = truth[values.argmax()]
        print(f"{name:22} {whole:19.3f} {half:20.3f} {pick:19.2f}")


if __name__ == "__main__":
    main()
