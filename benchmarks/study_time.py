"""How much training a search needs for the same best score: begun from SD1.5, or cold.

    python benchmarks/study_time.py --seeds 3

The demo, through the commands that people type. One SD1.5 study and its transfer; then, for each
seed, an SDXL study that begins with what was carried over and ends hopeless trials early, and one
that does neither. Both have trials enough; what counts are the updates trained until a checkpoint
reaches the lower of the two best scores, less its standard error.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import optuna

from optimizer.config.study import StudyConfig, load_study
from optimizer.demo.layout import lay_out
from optimizer.logs import quiet_libraries
from optimizer.study.open import load_existing
from optimizer.study.results import counted_trials
from optimizer.trial import attrs

TRIALS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    seeds = parser.parse_args().seeds
    quiet_libraries()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        list(lay_out(folder))
        _optimizer(folder, "run", "studies/demo_sd15.toml")
        _optimizer(folder, "transfer", "runs/demo_sd15/best_params.json", "--to", "sdxl")
        print(f"{TRIALS} SDXL trials each; updates until the common score is reached")
        ratios = [_pair(folder, seed) for seed in range(seeds)]
    print(f"median ratio: {median(ratios):.1f}")


def _optimizer(folder: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "optimizer.cli.main", *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def _pair(folder: Path, seed: int) -> float:
    warm = _study(folder, f"warm_{seed}", seed, "")
    _optimizer(folder, "run", str(warm.path), "--init-params", "runs/demo_sd15/transfer.json")
    cold = _study(folder, f"cold_{seed}", seed, "[study.stop]\nhopeless_trials = false\n")
    _optimizer(folder, "run", str(cold.path))
    found = [counted_trials(load_existing(config)) for config in (warm, cold)]
    target = min(_best(trials) for trials in found)
    ours, theirs = (_updates_until(trials, target) for trials in found)
    totals = [sum(map(_updates, trials)) for trials in found]
    print(
        f"seed {seed}: common score {target:.3f}; warm {ours} of {totals[0]} updates, "
        f"cold {theirs} of {totals[1]}; {theirs / ours:.1f} times less",
        flush=True,
    )
    return theirs / ours


def _study(folder: Path, name: str, seed: int, stop: str) -> StudyConfig:
    text = (folder / "studies" / "demo_sdxl.toml").read_text()
    text = text.replace('name = "demo_sdxl"', f'name = "{name}"\nseed = {seed}')
    text = text.replace("n_trials = 6", f"n_trials = {TRIALS}")
    path = folder / "studies" / f"{name}.toml"
    path.write_text(text.replace("[model]", f"{stop}[model]", 1))
    return load_study(path)


def _best(trials: list[optuna.trial.FrozenTrial]) -> float:
    best = max(trials, key=lambda trial: float(trial.value or 0.0))
    return float(best.value or 0.0) - float(best.user_attrs[attrs.STANDARD_ERROR])


def _updates(trial: optuna.trial.FrozenTrial) -> int:
    """Trained, in a trial that may have ended early."""
    facts = trial.user_attrs
    share = facts[attrs.TRAINED_EPOCHS] / facts[attrs.PLANNED_EPOCHS]
    return round(facts[attrs.MAX_TRAIN_STEPS] * share)


def _updates_until(trials: list[optuna.trial.FrozenTrial], score: float) -> int:
    """Up to the end of the checkpoint that reached the score."""
    before = 0
    for trial in trials:
        facts = trial.user_attrs
        per_epoch = facts[attrs.MAX_TRAIN_STEPS] / facts[attrs.PLANNED_EPOCHS]
        for epoch, value in sorted(trial.intermediate_values.items()):
            if value >= score:
                return before + round(per_epoch * epoch)
        before += _updates(trial)
    raise AssertionError("the score is one of this study's own")


if __name__ == "__main__":
    main()
