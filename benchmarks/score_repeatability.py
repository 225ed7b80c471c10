"""Are the standard errors honest? The same LoRAs scored again, with the same and with other seeds.

    python benchmarks/score_repeatability.py --seeds 12

Trains LoRAs from poor to good on the demo's SD1.5 and scores each with several sets of seeds, base
model and anchors drawn anew with each. Prints how often two scores of a LoRA lie within twice the
standard error of their difference; 95 % or more is what the errors promise. They are those of other
prompts, too, and prompts stay the same here, so more than 95 % is to be expected.
"""

import argparse
import tempfile
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import torch

from optimizer.config.study import StudyConfig, load_study
from optimizer.demo.layout import lay_out
from optimizer.logs import quiet_libraries
from optimizer.models.lora import applied_lora
from optimizer.scoring.objective import Part, Scores
from optimizer.trial.workbench import open_scorer, open_workbench

RUNS = ((1e-3, 4), (3e-3, 4), (3e-3, 12), (1e-2, 8), (3e-2, 6))
"""Learning rate, epochs."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=12)
    seeds = parser.parse_args().seeds
    quiet_libraries()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        list(lay_out(Path(temporary)))
        config = load_study(Path(temporary) / "studies" / "demo_sd15.toml")
        loras = list(_trained(config))
        found = [_scores(config, loras, seed) for seed in range(seeds)]
        again = _scores(config, loras, 0)
    assert again == found[0], "the same seeds give other numbers"
    print(f"the same seeds twice: {len(loras)} of {len(loras)} LoRAs with identical numbers")
    _report([[of_seed[n] for of_seed in found] for n in range(len(loras))])


def _trained(config: StudyConfig) -> Iterator[Path]:
    bench = open_workbench(config)
    for number, (rate, epochs) in enumerate(RUNS):
        changed = {"learning_rate": rate, "max_train_epochs": epochs}
        changed |= {"save_every_n_epochs": epochs, "network_dim": 8, "network_alpha": 8.0}
        settings = bench.config.training.model_copy(update=changed)
        result = bench.trainer.train(settings, config.folder / str(number), "lora")
        yield result.checkpoints[-1].path


def _scores(config: StudyConfig, loras: list[Path], seed: int) -> list[Scores]:
    scoring = config.scoring.model_copy(update={"seed": seed})
    scorer = open_scorer(config.model_copy(update={"scoring": scoring}))
    _ = scorer.anchors
    scores = []
    for lora in loras:
        with applied_lora(scorer.model, lora):
            scores.append(scorer.score().scores)
    return scores


def _report(by_lora: list[list[Scores]]) -> None:
    names = ("objective", "clip_t", "clip_i", "preservation")
    print("within two standard errors of the difference, pairs of seeds | " + " | ".join(names))
    within: dict[str, list[bool]] = {name: [] for name in names}
    for run, scores in zip(RUNS, by_lora, strict=True):
        cells = []
        for name in names:
            parts = [_part(one, name) for one in scores]
            pairs = [_near(a, b) for a, b in combinations(parts, 2)]
            within[name] += pairs
            spread = np.std([part.value for part in parts], ddof=1)
            told = np.mean([part.standard_error for part in parts])
            cells.append(f"{np.mean(pairs):.0%} (spread {spread:.3f}, told {told:.3f})")
        print(f"learning rate {run[0]:g}, {run[1]} epochs | " + " | ".join(cells))
    print("all | " + " | ".join(f"{np.mean(pairs):.1%}" for pairs in within.values()))


def _part(scores: Scores, name: str) -> Part:
    if name == "objective":
        return Part(scores.objective, scores.objective_se)
    return scores.parts[name]


def _near(a: Part, b: Part) -> bool:
    noise = (a.standard_error**2 + b.standard_error**2) ** 0.5
    return abs(a.value - b.value) <= 2 * noise


if __name__ == "__main__":
    main()
