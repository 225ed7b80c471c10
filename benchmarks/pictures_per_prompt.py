"""How many pictures a prompt does a search need? The ranking of LoRAs with one, two and four.

    python benchmarks/pictures_per_prompt.py

The LoRAs of objective_against_truth.py, each scored with four pictures a prompt; scores with fewer
follow from the same pictures, for each disjoint share of them. Prints, as medians over shares,
Spearman rank correlations with the truth and how good the LoRA is that the objective would pick.
"""

import tempfile
from pathlib import Path
from statistics import median

import numpy as np
import torch
from objective_against_truth import RUNS, trained, truth
from scipy.stats import spearmanr

from optimizer.config.study import load_study
from optimizer.demo.layout import lay_out
from optimizer.logs import quiet_libraries
from optimizer.models.lora import applied_lora
from optimizer.scoring.objective import Anchors, score
from optimizer.scoring.scorer import Scored, Scorer
from optimizer.trial.workbench import open_workbench

MOST = 4


def main() -> None:
    quiet_libraries()
    torch.set_num_threads(1)
    scored: list[Scored] = []
    truths: list[float] = []
    with tempfile.TemporaryDirectory() as temporary:
        list(lay_out(Path(temporary)))
        config = load_study(Path(temporary) / "studies" / "demo_sdxl.toml")
        scoring = config.scoring.model_copy(update={"num_images_per_prompt": MOST})
        bench = open_workbench(config.model_copy(update={"scoring": scoring}))
        for number, run in enumerate(RUNS):
            for checkpoint in trained(bench, number, run).checkpoints:
                with applied_lora(bench.model, checkpoint.path):
                    scored.append(bench.scorer.score())
                    truths.append(truth(bench.scorer, times=2))
                print(f"{len(scored)}: truth {truths[-1]:.3f}", flush=True)
        _report(bench.scorer, scored, np.array(truths))


def _report(scorer: Scorer, scored: list[Scored], truths: np.ndarray) -> None:
    print(f"{len(scored)} LoRAs, {len(scorer.prompts.subject) // MOST} prompts")
    print("pictures a prompt   standard error   Spearman   in the better half   truth of its pick")
    good = truths > np.median(truths)
    for count in (1, 2, 4):
        shares = [_objectives(scorer, scored, first, count) for first in range(0, MOST, count)]
        whole = median(spearmanr(values, truths)[0] for values, _ in shares)
        half = median(spearmanr(values[good], truths[good])[0] for values, _ in shares)
        pick = np.mean([truths[values.argmax()] for values, _ in shares])
        error = median(float(np.median(errors)) for _, errors in shares)
        print(f"{count:17} {error:16.3f} {whole:10.3f} {half:20.3f} {pick:19.2f}")
    print(f"the best LoRA's truth: {truths.max():.2f}")


def _objectives(
    scorer: Scorer, scored: list[Scored], first: int, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Objectives and standard errors from `count` of each prompt's pictures, from `first` on."""

    def some(values: np.ndarray) -> np.ndarray:
        return values.reshape(-1, MOST)[:, first : first + count].ravel()

    base = {name: some(values) for name, values in scorer.anchors.base.items()}
    anchors = Anchors(base, scorer.anchors.clip_i_ceiling)
    found = []
    for of_one in scored:
        pictures = {name: some(values) for name, values in of_one.per_picture.items()}
        health = of_one.scores.health
        found.append(score(pictures, anchors, scorer.config.preset, count, health)[0])
    return np.array([s.objective for s in found]), np.array([s.objective_se for s in found])


if __name__ == "__main__":
    main()
