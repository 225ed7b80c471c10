"""A trial's folder on disk."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optimizer.files import write_bytes, write_json


class TrialFolder:
    """`trial_0007/`: parameters, steps, checkpoints, pictures, scores and result of one trial."""

    def __init__(self, study_folder: Path, number: int) -> None:
        self.study_folder = study_folder
        self.path = study_folder / f"trial_{number:04d}"
        self.path.mkdir(parents=True, exist_ok=True)

    @property
    def checkpoints(self) -> Path:
        """Where LoRA files go."""
        return self.path / "checkpoints"

    @property
    def state(self) -> Path:
        """Where a run keeps what it needs to go on after it was killed."""
        return self.path / "state"

    @property
    def tensorboard(self) -> Path:
        """Where TensorBoard finds the run."""
        return self.path / "tensorboard"

    def take_over(self, numbers: Sequence[int]) -> None:
        """Begin where an interrupted trial ended; its files are copied here.

        What it drew and trained after its last state is made again, to the same result.

        Args:
            numbers: the trial's earlier attempts, oldest first. The state is with the last of them
                that lived long enough to have one.
        """
        folders = [self.study_folder / f"trial_{number:04d}" for number in reversed(numbers)]
        earlier = next((folder for folder in folders if (folder / "state").is_dir()), None)
        if earlier is None:
            return
        # Not its notes of how it ended; and the state last, in one step: of two folders where a
        # kill may come between, the one that is whole has it.
        left = shutil.ignore_patterns("hang.*", "result.json", "state")
        shutil.copytree(earlier, self.path, ignore=left, dirs_exist_ok=True)
        (earlier / "state").rename(self.state)

    def forget_state(self) -> None:
        """A finished trial needs none."""
        shutil.rmtree(self.state, ignore_errors=True)

    def samples(self, epoch: int) -> Path:
        """Where the pictures of one checkpoint go."""
        return self.path / "samples" / f"{epoch:06d}"

    def relative(self, path: Path) -> str:
        """A path as stored: inside the study's folder, which may be moved."""
        return path.relative_to(self.study_folder).as_posix()

    def append_step(self, step: Mapping[str, Any]) -> None:
        """One line of metrics.jsonl."""
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(step) + "\n")

    def keep_steps(self, last: int) -> None:
        """Drop the lines after a step: a run that goes on from there will write them again."""
        path = self.path / "metrics.jsonl"
        if path.exists():
            lines = path.read_text(encoding="utf-8").splitlines()[:last]
            write_bytes(path, "".join(f"{line}\n" for line in lines).encode())

    def read(self, name: str) -> dict[str, Any]:
        """The reverse of `write`."""
        data: dict[str, Any] = json.loads((self.path / name).read_bytes())
        return data

    def write(self, name: str, data: Mapping[str, Any]) -> None:
        """One of params.json, scores.json and result.json."""
        write_json(self.path / name, data)
