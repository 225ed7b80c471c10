"""`optimizer train`: the final LoRA, with every checkpoint of it scored."""

import json
import shutil
from pathlib import Path

from optimizer.config.study import StudyConfig, parse_hyperparameters
from optimizer.config.training import Hyperparameters
from optimizer.errors import TransferError
from optimizer.files import write_json
from optimizer.logs import log_to
from optimizer.models.device import device_held
from optimizer.report.evaluation import print_scores, score_file, sheet_rows
from optimizer.report.progress import ProgressView
from optimizer.report.tables import console
from optimizer.scoring.sheet import write_sheet
from optimizer.study.best_params import read_best_params
from optimizer.study.signals import interruptible
from optimizer.study.turns import sole_runner
from optimizer.training.results import Step
from optimizer.trial.tensorboard import TensorBoard

DONE = "final.json"


def final_settings(config: StudyConfig, params: Path) -> Hyperparameters:
    """The study's fixed settings with the given ones on top.

    Raises:
        TransferError: the file is unusable or comes from another family.
        ConfigError: a value is not one a training can have.
    """
    values, provenance = read_best_params(params)
    family = provenance.get("family", config.model.family)
    if family != config.model.family:
        raise TransferError(
            f"{params} holds the best of {family}, but {config.path} is a {config.model.family} "
            f"study; carry it over with: optimizer transfer {params} --to {config.model.family}"
        )
    known = {k: v for k, v in values.items() if k in Hyperparameters.model_fields}
    fixed = config.training.model_dump(include=config.training.model_fields_set)
    return parse_hyperparameters(fixed | known, params)


def train_final(config: StudyConfig, params: Path) -> None:
    """Train, or say that this very training is done already."""
    settings = final_settings(config, params)
    folder = config.folder / "final"
    lora = folder / f"{config.name}.safetensors"
    if lora.exists() and _is_done(folder / DONE, settings):
        console.print(f"already trained with these settings: {lora}", soft_wrap=True)
        return
    with (
        sole_runner(config),
        interruptible(),
        device_held(f"final run of study {config.name}"),
        log_to(config.folder / "optimization.log"),
    ):
        _train(config, settings, folder)


def _is_done(path: Path, settings: Hyperparameters) -> bool:
    if not path.exists():
        return False
    settled: bool = json.loads(path.read_bytes())["settings"] == settings.model_dump(mode="json")
    return settled


def _train(config: StudyConfig, settings: Hyperparameters, folder: Path) -> None:
    from optimizer.trial.workbench import open_workbench

    bench = open_workbench(config)
    state = bench.trainer.stopped_at(settings, folder / "state")
    with (
        ProgressView() as view,
        TensorBoard(folder / "tensorboard", state.global_step if state else 0) as board,
    ):
        view.begin("final run")

        def observe(step: Step) -> None:
            board.step(step)
            view.step(step)

        result = bench.trainer.train(
            settings,
            folder,
            config.name,
            state_folder=folder / "state",
            way=bench.memory_way(settings),
            observe=observe,
        )
    scored = {c.path.name: score_file(bench.scorer, c.path) for c in result.checkpoints}
    for name, found in scored.items():
        write_sheet(folder / f"{Path(name).stem}.png", name, sheet_rows(found, config))
    print_scores({name: result.scores for name, result in scored.items()})
    best = max(scored, key=lambda name: scored[name].scores.objective)
    console.print(f"final LoRA: {result.checkpoints[-1].path}", soft_wrap=True)
    console.print(f"best of its checkpoints: {folder / best}", soft_wrap=True)
    write_json(
        folder / DONE,
        {
            "settings": settings.model_dump(mode="json"),
            "best_checkpoint": best,
            "scores": {name: result.scores.as_dict() for name, result in scored.items()},
        },
    )
    shutil.rmtree(folder / "state", ignore_errors=True)
