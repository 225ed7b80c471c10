"""A run that was killed goes on to the same losses and the same file, bit for bit."""

import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from random import Random

import pytest

from optimizer.config.training import Hyperparameters
from optimizer.errors import DiskFullError
from optimizer.models.lora import read_header
from optimizer.models.pipeline_model import PipelineModel
from optimizer.training.prepared import PreparedData
from optimizer.training.results import Checkpoint, Step
from optimizer.training.state import STATE_FILE
from optimizer.training.trainer import Trainer

Prepared = Callable[[str], PreparedData]
Models = dict[str, PipelineModel]


class Killed(BaseException):
    """Nothing inside catches it."""


def settings(**changed: object) -> Hyperparameters:
    values: dict[str, object] = {
        "learning_rate": 1e-3,
        "network_dim": 4,
        "network_alpha": 2.0,
        "network_dropout": 0.1,
        "lr_scheduler": "cosine_with_restarts",
        "lr_scheduler_num_cycles": 2,
        "lr_warmup_ratio": 0.1,
        "max_train_epochs": 5,
        "save_every_n_epochs": 2,
        "gradient_checkpointing": False,
    }
    return Hyperparameters.model_validate(values | changed)


def train(
    data: PreparedData,
    folder: Path,
    chosen: Hyperparameters,
    *,
    die_at: int | None = None,
    error: type[BaseException] = Killed,
    state_every_s: float = 1e9,
) -> tuple[list[Step], list[str]]:
    """Steps and digests of a run; with `die_at` it dies after that step."""
    steps: list[Step] = []

    def observe(step: Step) -> None:
        steps.append(step)
        if step.global_step == die_at:
            raise error

    result = Trainer(data.model, data).train(
        chosen,
        folder,
        "mivo",
        state_folder=folder / "state",
        state_every_s=state_every_s,
        observe=observe,
    )
    return steps, [c.sha256 for c in result.checkpoints]


def facts(steps: list[Step]) -> dict[int, tuple[float, dict[str, float], float]]:
    return {s.global_step: (s.loss, dict(s.learning_rates), s.grad_norm) for s in steps}


@pytest.mark.parametrize("optimizer_type", ["AdamW", "AdamW8bit", "Lion8bit", "Adafactor"])
def test_resumed_run_equals_an_uninterrupted_one(
    optimizer_type: str, prepared: Prepared, tmp_path: Path
) -> None:
    data = prepared("sd15")
    chosen = settings(optimizer_type=optimizer_type, text_encoder_lr=5e-4)
    steps, digests = train(data, tmp_path / "whole", chosen)
    for die_at in (7, 14):  # in the second and in the fourth epoch of four updates
        with pytest.raises(Killed):
            train(data, tmp_path / "broken", chosen, die_at=die_at)
    rest, resumed = train(data, tmp_path / "broken", chosen)
    assert resumed == digests
    assert [s.global_step for s in rest] == list(range(13, 21))
    assert facts(rest) == {k: v for k, v in facts(steps).items() if k > 12}


@pytest.mark.parametrize(
    ("optimizer_type", "rate", "schedule"),
    [
        ("AdamW8bit", 1e-3, "cosine"),
        ("Prodigy", 1.0, "cosine"),
        ("AdamWScheduleFree", 1e-3, "constant"),
    ],
)
def test_run_goes_on_in_the_middle_of_an_epoch(
    optimizer_type: str, rate: float, schedule: str, prepared: Prepared, tmp_path: Path
) -> None:
    data = prepared("sdxl")
    chosen = settings(
        optimizer_type=optimizer_type,
        learning_rate=rate,
        lr_scheduler=schedule,
        lr_warmup_ratio=0.0,
        lr_scheduler_num_cycles=1,
        gradient_accumulation_steps=3,
        train_batch_size=1,
        max_train_epochs=3,
    )
    steps, digests = train(data, tmp_path / "whole", chosen)
    # 16 pictures, one at a time, in groups of 3: 6 updates an epoch, the last of one picture.
    assert [s.global_step for s in steps] == list(range(1, 19))
    for die_at in (2, 3, 8, 12, 17):
        with pytest.raises(Killed):
            train(data, tmp_path / "broken", chosen, die_at=die_at, state_every_s=0)
    rest, resumed = train(data, tmp_path / "broken", chosen, state_every_s=0)
    assert [s.global_step for s in rest] == [
        17,
        18,
    ]  # the seventeenth was not yet kept when its observer died
    assert resumed == digests
    assert facts(rest) == {k: v for k, v in facts(steps).items() if k > 16}


def test_interrupted_run_has_kept_its_last_update(prepared: Prepared, tmp_path: Path) -> None:
    data, chosen = prepared("sd15"), settings()
    steps, digests = train(data, tmp_path / "whole", chosen)
    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path / "broken", chosen, die_at=6, error=KeyboardInterrupt)
    rest, resumed = train(data, tmp_path / "broken", chosen)
    assert [s.global_step for s in rest] == list(range(7, 21))
    assert resumed == digests
    assert facts(rest) == {k: v for k, v in facts(steps).items() if k > 6}


def test_run_killed_while_a_checkpoint_is_reported_reports_it_again(
    prepared: Prepared, tmp_path: Path
) -> None:
    data, chosen = prepared("sd15"), settings(max_train_epochs=2)
    told: list[int] = []

    def die(checkpoint: Checkpoint) -> bool:
        told.append(checkpoint.epoch)
        if len(told) == 1:
            raise Killed
        return True

    for _ in range(2):
        with suppress(Killed):
            Trainer(data.model, data).train(
                chosen, tmp_path, "mivo", state_folder=tmp_path / "state", report=die
            )
    assert told == [2, 2]


@contextmanager
def full_disk() -> Iterator[None]:
    """The system refuses to write any file beyond a kilobyte."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_full_disk_leaves_the_last_checkpoint_whole(prepared: Prepared, tmp_path: Path) -> None:
    data, chosen = prepared("sd15"), settings()
    _, digests = train(data, tmp_path / "whole", chosen)
    broken = tmp_path / "broken"
    with ExitStack() as disk, pytest.raises(DiskFullError, match=r"the disk is full .* run it ag"):

        def fill(checkpoint: Checkpoint) -> bool:
            disk.enter_context(full_disk())
            return True

        Trainer(data.model, data).train(
            chosen, broken, "mivo", state_folder=broken / "state", report=fill
        )
    files = sorted(path.name for path in broken.rglob("*") if path.is_file())
    assert files == ["mivo-000002.safetensors", STATE_FILE]
    assert read_header(broken / "mivo-000002.safetensors").modules == 84
    steps, resumed = train(data, broken, chosen)
    assert resumed == digests
    assert steps[0].global_step == 9


def test_state_of_other_pictures_is_not_taken_up(prepared: Prepared, tmp_path: Path) -> None:
    data = prepared("sd15")
    with pytest.raises(Killed):
        train(data, tmp_path, settings(), die_at=6)
    fewer = PreparedData(data.records[:-1], data.model, data.store)
    steps, _ = train(fewer, tmp_path, settings())
    assert steps[0].global_step == 1


def test_state_of_other_settings_is_not_taken_up(prepared: Prepared, tmp_path: Path) -> None:
    data = prepared("sd15")
    with pytest.raises(Killed):
        train(data, tmp_path, settings(), die_at=6)
    steps, _ = train(data, tmp_path, settings(seed=1))
    assert steps[0].global_step == 1


def test_damaged_state_is_not_trusted(prepared: Prepared, tmp_path: Path) -> None:
    data = prepared("sd15")
    with pytest.raises(Killed):
        train(data, tmp_path, settings(), die_at=6)
    path = tmp_path / "state" / STATE_FILE
    path.write_bytes(path.read_bytes()[:-100])
    steps, _ = train(data, tmp_path, settings())
    assert steps[0].global_step == 1


TRAIN_PROCESS = Path(__file__).with_name("train_process.py")


@pytest.mark.slow
def test_sigkill_at_random_moments_changes_nothing(
    prepared: Prepared, models: Models, pictures: Path, tmp_path: Path
) -> None:
    chosen, rng = settings(max_train_epochs=8), Random(4)
    _, digests = train(prepared("sdxl"), tmp_path / "whole", chosen)
    weights, output = models["sdxl"].name, tmp_path / "killed"
    arguments = ["sdxl", weights, pictures, output, chosen.model_dump_json()]
    command = [sys.executable, TRAIN_PROCESS, *map(str, arguments)]
    for _ in range(4):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("step")
        time.sleep(rng.uniform(0.0, 0.9))
        process.send_signal(signal.SIGKILL)
        process.wait()
    last = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert last.splitlines()[-1].split()[1:] == digests
